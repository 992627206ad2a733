// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes/fake"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/wake"
)

// TestFirstLookKnowsLocalEndpoints: routers drop the route to an address that what is announced first leaves out.
func TestFirstLookKnowsLocalEndpoints(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer int
		want   bool
	}{{"with endpoints", http.StatusOK, true}, {"without", http.StatusServiceUnavailable, false}} {
		t.Run(tt.name, func(t *testing.T) { tryFirstLook(t, tt.answer, tt.want) })
	}
}

func tryFirstLook(t *testing.T, answer int, want bool) {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(answer) }))
	defer proxy.Close()
	client := fake.NewClientset()
	b := &bgpAgent{
		local: newLocalEndpoints(netip.MustParseAddr("127.0.0.1")), gate: newBGPGate(nil), departures: departures{},
		secrets: newSecretStore(client.CoreV1().Secrets(secretNamespace), func() {}), routing: newRouteBoard(func() {}, func() {}),
	}
	var err error
	if b.watch, err = newEndpointWatch("n1", listed{client.DiscoveryV1()}, func() {}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer b.watch.wait()
	defer cancel()
	port := int32(proxy.Listener.Addr().(*net.TCPAddr).Port)
	view := func() bgpView {
		return bgpView{vips: []*v1alpha1.VirtualIP{bgpVIP("10.0.0.9", v1alpha1.BGPAnnouncement{}, local(port))}}
	}
	v := view()
	if b.look(ctx, &v) {
		t.Fatal("something is announced before kube-proxy has said what is served")
	}
	changed := wake.New()
	var asking sync.WaitGroup
	defer asking.Wait()
	asking.Go(func() { b.local.run(ctx, changed.Poke) })
	defer cancel()
	select {
	case <-changed:
	case <-time.After(30 * time.Second):
		t.Fatal("nobody is told of the first answer")
	}
	if v = view(); !b.look(ctx, &v) || v.localReady[port] != want {
		t.Errorf("after the first answer, ready ports are %v, want %v", v.localReady, want)
	}
}

func TestSilenceIsAnAnswerInTheEnd(t *testing.T) {
	l := newLocalEndpoints(netip.MustParseAddr("127.0.0.1"))
	l.want(map[int32]bool{30001: true})
	for i := range localSilence {
		if l.asked() {
			t.Fatalf("taken for an answer after %d questions", i)
		}
		if told := l.note(30001, false, false); told != (i == localSilence-1) {
			t.Errorf("after question %d, told: %v", i+1, told)
		}
	}
	if !l.asked() || l.ready()[30001] {
		t.Errorf("after %d questions without an answer: %v", localSilence, l.ready())
	}
}
