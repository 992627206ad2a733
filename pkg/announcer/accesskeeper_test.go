// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/nftables"
	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-io/fairlead/e2e/netnstest"
	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

// TestFlushedRulesAreWrittenAgain also where VirtualIPs change all the time.
func TestFlushedRulesAreWrittenAgain(t *testing.T) {
	limited := vipA(func(vip *v1alpha1.VirtualIP) {
		vip.Spec.Services[0].Ports = []v1alpha1.ServicePort{{Protocol: corev1.ProtocolTCP, Port: 80}}
		vip.Spec.Services[0].AccessControl = &v1alpha1.AccessControl{Deny: []string{"10.1.0.0/16"}}
	})
	for _, tc := range []struct {
		name    string
		changes time.Duration // between two
	}{
		{"nothing changes", time.Hour},
		{"VirtualIPs change", time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			node := netnstest.New(t)
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				k := newAccessKeeper(func() []*v1alpha1.VirtualIP { return []*v1alpha1.VirtualIP{limited} }, func() {})
				var running sync.WaitGroup
				running.Go(func() { node.Do(t, func() { k.run(ctx) }) })
				defer running.Wait()
				defer cancel()
				pass := func(d time.Duration) {
					time.Sleep(d) // virtual
					synctest.Wait()
				}
				pass(time.Second)
				if tables(t, node) != 1 {
					t.Fatal("the rules have not been written")
				}
				node.Do(t, func() {
					conn := &nftables.Conn{}
					conn.FlushRuleset()
					if err := conn.Flush(); err != nil {
						t.Fatal(err)
					}
				})
				for spent := time.Duration(0); spent < accessCheck+time.Second; spent += tc.changes {
					pass(min(tc.changes, 2*accessCheck))
					k.poke()
				}
				if tables(t, node) != 1 {
					t.Error("the rules were flushed and have not been written again")
				}
			})
		})
	}
}

// tables counts those of the kernel in a namespace.
func tables(t *testing.T, node netnstest.Namespace) (n int) {
	t.Helper()
	node.Do(t, func() {
		all, err := new(nftables.Conn).ListTables()
		if err != nil {
			t.Fatal(err)
		}
		n = len(all)
	})
	return n
}
