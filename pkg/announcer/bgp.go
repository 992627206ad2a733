// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/fairlead-io/fairlead/pkg/api/client/informers/externalversions"
	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/bgp"
	"github.com/fairlead-io/fairlead/pkg/wake"
)

const (
	// bgpInterval is how soon all is looked at again though nothing was reported.
	bgpInterval = 5 * time.Second
	// shutdownWait is how long the agent, before it ends, leaves peers that will drop its routes to find others.
	shutdownWait = time.Second
)

// bgpAgent has pkg/bgp do what BGPPeers and VirtualIPs ask of this node.
type bgpAgent struct {
	speaker *bgp.Speaker
	secrets *secretStore
	peers   cache.SharedIndexInformer
	view    func() bgpView // without peers, vips and what follows from them
	vips    func() []*v1alpha1.VirtualIP
	synced  func() bool
	hurry   func() // has the status written
	record  func(about *v1alpha1.BGPPeer, kind, reason, text string)
	local   *localEndpoints
	watch   *endpointWatch
	gate    *bgpGate
	news    *sessionNews
	routing *routeBoard
	wake    wake.Signal

	departures departures
	announced  []bgp.Route
	last       bgp.Desired
	aside      bool // the node announces no route, or is about to stop

	mu       sync.Mutex
	problems map[string]error
	leaving  bool
	restarts bool // every peer has graceful restart
}

// newBGPAgent makes it; run starts it.
func (p *parts) newBGPAgent() (*bgpAgent, error) {
	factory := externalversions.NewSharedInformerFactory(p.clients.Fairlead, 0)
	b := &bgpAgent{
		speaker: bgp.New(bgp.Config{}), news: newSessionNews(p.cfg.NodeName),
		record: func(about *v1alpha1.BGPPeer, kind, reason, text string) {
			p.agent.events.record(about, kind, reason, text)
		},
		peers: factory.Fairlead().V1alpha1().BGPPeers().Informer(), hurry: func() { p.reporter.hurry() },
		wake: wake.New(), departures: departures{},
		local: newLocalEndpoints(p.address.Addr()), vips: p.refusingVIPs, routing: p.routing,
	}
	var err error
	if b.watch, err = newEndpointWatch(p.cfg.NodeName, p.clients.Discovery, b.poke); err != nil {
		return nil, fmt.Errorf("informer for EndpointSlices: %w", err)
	}
	b.secrets = newSecretStore(p.clients.Core.Secrets(secretNamespace), b.poke)
	b.gate = newBGPGate(nil)
	if p.cfg.KubeProxyHealthz != "" {
		b.gate = newBGPGate(newProgramChecker(looksForwarded, func([]netip.Addr) { b.poke() }))
	}
	b.synced = func() bool { return p.objects.synced() && b.peers.HasSynced() }
	b.view = func() bgpView {
		return bgpView{
			self: p.cfg.NodeName, node: p.objects.node(), addr: p.address.Addr(), links: p.speaker.Links(),
			forwarding: !p.agent.gates.kubeProxyDead(),
		}
	}
	poke := cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { b.poke() }, UpdateFunc: func(_, _ any) { b.poke() }, DeleteFunc: func(any) { b.poke() },
	}
	vips := p.objects.factory.Fairlead().V1alpha1().VirtualIPs().Informer()
	for _, informer := range []cache.SharedIndexInformer{b.peers, vips, p.objects.nodes} {
		if _, err := informer.AddEventHandler(poke); err != nil {
			return nil, fmt.Errorf("informer for bgp: %w", err)
		}
	}
	return b, nil
}

func (b *bgpAgent) poke() { b.wake.Poke() }

// run works until ctx is done. What is announced stays; see stop.
func (b *bgpAgent) run(ctx context.Context) {
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer b.watch.wait()
	defer b.secrets.close()
	tasks.Go(func() { b.peers.Run(ctx.Done()) })
	tasks.Go(func() { b.local.run(ctx, b.poke) })
	if b.gate.checker != nil {
		tasks.Go(func() { b.gate.checker.run(ctx) })
	}
	next := time.NewTimer(bgpInterval)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.wake:
		case <-next.C:
		case <-b.speaker.Changed():
			b.tell(ctx)
			b.tellRouters()
			b.hurry()
			continue
		}
		pause := bgpInterval
		// Half of the routes would be taken for all of them by peers that kept those of the agent before this one.
		if b.synced() {
			pause = min(pause, b.reconcile(ctx))
			b.tell(ctx)
		}
		next.Reset(pause)
	}
}

// reconcile has the speaker do what is to be done now, and returns after which time that is something else by itself.
func (b *bgpAgent) reconcile(ctx context.Context) time.Duration {
	v := b.view()
	for _, obj := range b.peers.GetStore().List() {
		if p, ok := obj.(*v1alpha1.BGPPeer); ok {
			v.peers = append(v.peers, p)
		}
	}
	if len(v.peers) > 0 {
		v.vips = b.vips() // nobody to announce them to: not worth a look at each whenever one changes
	}
	if !b.look(ctx, &v) {
		return bgpInterval
	}
	pause := untilWithdrawal(v)
	b.aside = !v.forwarding || v.node.draining
	b.tellRouters()
	want, problems := desiredBGP(v)
	b.remember(ctx, v, want, problems)
	b.announced = want.Routes
	if reflect.DeepEqual(want, b.last) {
		return pause
	}
	logger := klog.FromContext(ctx)
	if err := b.speaker.Apply(ctx, want); err != nil {
		if !errors.Is(err, bgp.ErrStopped) {
			logger.Error(err, "BGP not all as it should be")
		}
		b.last = bgp.Desired{}
		return pause
	}
	logger.V(1).Info("BGP applied", "peers", len(want.Peers), "routes", len(want.Routes), "leaving", len(v.leaving))
	b.last = want
	return pause
}

// look completes the view by what has to be asked for; false means that it is too early to announce anything.
func (b *bgpAgent) look(ctx context.Context, v *bgpView) bool {
	names := map[string]bool{}
	for _, p := range v.peers {
		if p.Spec.PasswordSecret != "" && selects(p.Spec.NodeSelector, v.node.labels) {
			names[p.Spec.PasswordSecret] = true
		}
	}
	b.secrets.want(ctx, names)
	v.password = b.secrets.password
	ports := localPorts(v.vips)
	b.local.want(ports)
	v.localReady, v.endpoints, v.elsewhere = b.local.ready(), b.countEndpoints, b.endpointsElsewhere
	if len(ports) > 0 {
		b.watch.start(ctx)
	}
	b.gate.watch(v.vips)
	withheld := b.routing.withholding()
	v.open = func(addr netip.Addr) bool { return b.gate.open(addr) && !withheld[addr] }
	v.leaving = b.departures.follow(*v, b.announced, time.Now())
	// Peers that come later are not told that this is a restart, nor are routes known to be those of before.
	return b.gate.ready(time.Now(), b.local.asked() && !b.secrets.reading())
}

// countEndpoints counts the endpoints on this node that serve an address.
func (b *bgpAgent) countEndpoints(s v1alpha1.ServiceClaim, addr netip.Addr) (int, bool) {
	return b.watch.count(s.Namespace, s.Name, addressType(addr))
}

// endpointsElsewhere tells whether there are endpoints on other nodes that serve an address.
func (b *bgpAgent) endpointsElsewhere(s v1alpha1.ServiceClaim, addr netip.Addr) bool {
	return b.watch.elsewhere(s.Namespace, s.Name, addressType(addr))
}

func addressType(addr netip.Addr) discoveryv1.AddressType {
	if addr.Is6() {
		return discoveryv1.AddressTypeIPv6
	}
	return discoveryv1.AddressTypeIPv4
}

// tellRouters tells the loop who takes routes from this node.
func (b *bgpAgent) tellRouters() {
	var established []string
	for _, s := range b.speaker.Sessions() {
		if s.State == bgp.Established && !b.aside {
			established = append(established, s.Peer)
		}
	}
	b.routing.setRouters(established)
}

func (b *bgpAgent) remember(ctx context.Context, v bgpView, want bgp.Desired, problems map[string]error) {
	restarts := true
	for _, p := range want.Peers {
		restarts = restarts && p.GracefulRestart > 0
	}
	b.mu.Lock()
	differ := !reflect.DeepEqual(b.problems, problems)
	b.problems, b.leaving, b.restarts = problems, v.node.draining || len(v.leaving) > 0, restarts
	b.mu.Unlock()
	if differ {
		b.tell(ctx)
		b.hurry()
	}
}

// sessions is how it stands with every peer, also those that cannot be tried.
func (b *bgpAgent) sessions() []bgp.Session {
	out := b.speaker.Sessions()
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, err := range b.problems {
		if !slices.ContainsFunc(out, func(s bgp.Session) bool { return s.Peer == name }) {
			one := bgp.Session{Peer: name, State: bgp.Idle, LastError: err.Error()}
			if errors.Is(err, errNotRead) { // in a moment it has been, or there is an error to tell of
				one.LastError = ""
			}
			out = append(out, one)
		}
	}
	slices.SortFunc(out, func(a, b bgp.Session) int { return strings.Compare(a.Peer, b.Peer) })
	return out
}

// status is what the Announcer object says of BGP.
func (b *bgpAgent) status() []v1alpha1.BGPSession {
	var out []v1alpha1.BGPSession
	for _, s := range b.sessions() {
		one := v1alpha1.BGPSession{
			Peer: s.Peer, LocalASN: int64(s.LocalASN), State: string(s.State), BFD: s.BFD,
			Prefixes: int32(s.Prefixes), LastError: s.LastError,
		}
		if s.Address.IsValid() {
			one.Address = s.Address.String()
		}
		if !s.Since.IsZero() {
			one.Since = new(metav1.NewTime(s.Since).Rfc3339Copy())
		}
		out = append(out, one)
	}
	return out
}

// stop ends the sessions. Peers with graceful restart keep the routes, unless the node is being drained; the others are
// asked to prefer other nodes first, and lose them a second later. kube-proxy forwards to the end.
func (b *bgpAgent) stop(ctx context.Context) {
	b.mu.Lock()
	keep, quick := !b.leaving, b.restarts && !b.leaving
	b.mu.Unlock()
	logger := klog.FromContext(ctx)
	if !quick && len(b.speaker.Sessions()) > 0 {
		if err := b.speaker.Drain(ctx); err != nil {
			logger.Error(err, "Peers not asked to prefer other nodes")
		}
		select {
		case <-ctx.Done():
		case <-time.After(shutdownWait):
		}
	}
	if err := b.speaker.Stop(ctx, keep); err != nil {
		logger.Error(err, "BGP not ended in good order")
	}
}
