// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

const (
	// localInterval between two questions whether a Service has ready endpoints on this node.
	localInterval = 200 * time.Millisecond
	// localTimeout of one question.
	localTimeout = 150 * time.Millisecond
	// localSilence is how many questions in a row may stay without an answer: a restart of kube-proxy takes no endpoints
	// away.
	localSilence = 10
)

// localEndpoints asks kube-proxy which Services with externalTrafficPolicy Local have ready endpoints on this node. It
// answers on the healthCheckNodePort of each: 200 with endpoints, 503 without.
type localEndpoints struct {
	hosts  []string
	client *http.Client

	mu    sync.Mutex
	ports map[int32]*localPort
}

type localPort struct {
	asked  bool // and answered, or silent for so long that this is an answer
	ready  bool
	silent int
}

// newLocalEndpoints asks at the node's own address, and at the loopback address: kube-proxy need not listen on both.
func newLocalEndpoints(node netip.Addr) *localEndpoints {
	return &localEndpoints{
		hosts: []string{node.String(), "127.0.0.1"}, ports: map[int32]*localPort{},
		client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true, Proxy: nil}, Timeout: localTimeout},
	}
}

// localPorts are the ports to ask at for the addresses that BGP announces.
func localPorts(vips []*v1alpha1.VirtualIP) map[int32]bool {
	out := map[int32]bool{}
	for _, vip := range vips {
		if !byBGP(vip) {
			continue
		}
		for _, port := range localHealthPorts(vip.Spec.Services) {
			out[port] = true
		}
	}
	return out
}

// localHealthPorts returns where kube-proxy tells of endpoints on this node, for Services with externalTrafficPolicy Local.
func localHealthPorts(services []v1alpha1.ServiceClaim) (ports []int32) {
	for i := range services {
		if s := &services[i]; s.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal && s.HealthCheckNodePort != 0 {
			ports = append(ports, s.HealthCheckNodePort)
		}
	}
	return ports
}

// want sets the ports to ask at.
func (l *localEndpoints) want(ports map[int32]bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.ports, func(port int32, _ *localPort) bool { return !ports[port] })
	for port := range ports {
		if l.ports[port] == nil {
			l.ports[port] = &localPort{}
		}
	}
}

// ready returns the last answers.
func (l *localEndpoints) ready() map[int32]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[int32]bool{}
	for port, p := range l.ports {
		out[port] = p.ready
	}
	return out
}

// asked tells whether each port has answered, or is not going to.
func (l *localEndpoints) asked() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.ports {
		if !p.asked {
			return false
		}
	}
	return true
}

// run asks until ctx is done, and calls changed when an answer is the first, or another than before.
func (l *localEndpoints) run(ctx context.Context, changed func()) {
	wait.NonSlidingUntilWithContext(ctx, func(ctx context.Context) {
		l.mu.Lock()
		ports := slices.Collect(maps.Keys(l.ports))
		l.mu.Unlock()
		for _, port := range ports {
			ready, answered := l.ask(ctx, port)
			if ctx.Err() == nil && l.note(port, ready, answered) {
				changed()
			}
		}
	}, localInterval)
}

// note takes an answer in, and tells whether it changes anything.
func (l *localEndpoints) note(port int32, ready, answered bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.ports[port]
	if p == nil {
		return false
	}
	if answered {
		p.silent = 0
	} else if p.silent++; p.silent < localSilence {
		return false
	}
	before := *p
	p.asked, p.ready = true, ready
	return !before.asked || before.ready != ready
}

func (l *localEndpoints) ask(ctx context.Context, port int32) (ready, answered bool) {
	for _, host := range l.hosts {
		url := "http://" + net.JoinHostPort(host, strconv.Itoa(int(port))) + "/"
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return false, false
		}
		resp, err := l.client.Do(req)
		if err != nil {
			continue
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK, true
	}
	return false, false
}
