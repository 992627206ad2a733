// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/fairlead-io/fairlead/pkg/api/client/informers/externalversions"
	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/bgp"
)

const (
	// bgpInterval is how often all is looked at again though nothing was reported.
	bgpInterval = 5 * time.Second
	// secretInterval is how often passwords are read again.
	secretInterval = 30 * time.Second
	secretTimeout  = 5 * time.Second
	// withdrawAfter is how long a draining node goes on announcing its routes as the last resort.
	withdrawAfter = 10 * time.Second
	// shutdownWait is how long the agent, before it ends, leaves peers that will drop its routes to find others.
	shutdownWait = time.Second
	// secretNamespace has the Secrets with passwords, secretKey is where in them.
	secretNamespace, secretKey = "fairlead-system", "password"
)

// bgpAgent has pkg/bgp do what BGPPeers and VirtualIPs ask of this node.
type bgpAgent struct {
	speaker *bgp.Speaker
	secrets corev1client.SecretInterface
	peers   cache.SharedIndexInformer
	view    func() bgpView // without peers, vips, passwords, localReady and withdrawn
	vips    func() []*v1alpha1.VirtualIP
	synced  func() bool
	hurry   func() // has the status written
	local   *localEndpoints
	wake    chan struct{}

	passwords map[string]secret
	readAt    time.Time // when passwords were last read
	drainFrom time.Time
	last      bgp.Desired

	mu       sync.Mutex
	problems map[string]error
	draining bool
	restarts bool // every peer has graceful restart
}

// newBGPAgent makes it; run starts it.
func (p *parts) newBGPAgent() (*bgpAgent, error) {
	factory := externalversions.NewSharedInformerFactory(p.clients.Fairlead, 0)
	b := &bgpAgent{
		speaker: bgp.New(bgp.Config{}), secrets: p.clients.Core.Secrets(secretNamespace),
		peers: factory.Fairlead().V1alpha1().BGPPeers().Informer(), hurry: func() { p.reporter.hurry() },
		wake: make(chan struct{}, 1), passwords: map[string]secret{},
		local: newLocalEndpoints(p.address.Addr()), vips: p.objects.allVIPs,
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

func (b *bgpAgent) poke() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// run works until ctx is done. What is announced stays; see stop.
func (b *bgpAgent) run(ctx context.Context) {
	states := map[string]bgp.State{}
	var tasks sync.WaitGroup
	defer tasks.Wait()
	tasks.Go(func() { b.peers.Run(ctx.Done()) })
	tasks.Go(func() { b.local.run(ctx, b.poke) })
	tick := time.NewTicker(bgpInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.wake:
		case <-tick.C:
		case <-b.speaker.Changed():
			b.tell(ctx, states)
			b.hurry()
			continue
		}
		// Half of the routes would be taken for all of them by peers that kept those of the agent before this one.
		if b.synced() {
			b.reconcile(ctx)
		}
	}
}

// tell logs sessions that came up or went down.
func (b *bgpAgent) tell(ctx context.Context, states map[string]bgp.State) {
	for _, s := range b.speaker.Sessions() {
		was := states[s.Peer]
		if was != s.State && (was == bgp.Established || s.State == bgp.Established) {
			klog.FromContext(ctx).Info("BGP session changed", "peer", s.Peer, "from", was, "to", s.State, "err", s.LastError)
		}
		states[s.Peer] = s.State
	}
}

func (b *bgpAgent) reconcile(ctx context.Context) {
	v := b.view()
	for _, obj := range b.peers.GetStore().List() {
		if p, ok := obj.(*v1alpha1.BGPPeer); ok {
			v.peers = append(v.peers, p)
		}
	}
	if len(v.peers) > 0 {
		v.vips = b.vips() // nobody to announce them to: not worth a look at each whenever one changes
	}
	b.readSecrets(ctx, v.peers, v.node.labels)
	v.passwords = b.passwords
	b.local.want(localPorts(v.vips))
	v.localReady = b.local.ready()
	if !v.node.draining {
		b.drainFrom = time.Time{}
	} else if b.drainFrom.IsZero() {
		b.drainFrom = time.Now()
	}
	v.withdrawn = v.node.draining && time.Since(b.drainFrom) > withdrawAfter
	want, problems := desiredBGP(v)
	b.remember(v, want, problems)
	if reflect.DeepEqual(want, b.last) {
		return
	}
	logger := klog.FromContext(ctx)
	if err := b.speaker.Apply(ctx, want); err != nil {
		if !errors.Is(err, bgp.ErrStopped) {
			logger.Error(err, "BGP not all as it should be")
		}
		b.last = bgp.Desired{}
		return
	}
	logger.V(1).Info("BGP applied", "peers", len(want.Peers), "routes", len(want.Routes), "draining", want.Draining)
	b.last = want
}

func (b *bgpAgent) remember(v bgpView, want bgp.Desired, problems map[string]error) {
	restarts := true
	for _, p := range want.Peers {
		restarts = restarts && p.GracefulRestart > 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !reflect.DeepEqual(b.problems, problems) {
		b.hurry()
	}
	b.problems, b.draining, b.restarts = problems, v.node.draining, restarts
}

// readSecrets reads the passwords that this node's peers need.
func (b *bgpAgent) readSecrets(ctx context.Context, peers []*v1alpha1.BGPPeer, node labels.Set) {
	stale := time.Since(b.readAt) > secretInterval
	if stale {
		b.readAt = time.Now()
	}
	for _, p := range peers {
		name := p.Spec.PasswordSecret
		if have, ok := b.passwords[name]; name == "" || ok && !stale && have.err == nil || !selects(p.Spec.NodeSelector, node) {
			continue
		}
		got := b.readSecret(ctx, name)
		if have, ok := b.passwords[name]; ok && got.err != nil && have.err == nil {
			// An API server that is away must not end sessions.
			klog.FromContext(ctx).Info("Secret not read again, keeping the password", "secret", name, "err", got.err)
			continue
		}
		b.passwords[name] = got
	}
}

func (b *bgpAgent) readSecret(ctx context.Context, name string) secret {
	ctx, cancel := context.WithTimeout(ctx, secretTimeout)
	defer cancel()
	s, err := b.secrets.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return secret{err: err}
	}
	password := string(s.Data[secretKey])
	if password == "" {
		return secret{err: fmt.Errorf("has no key %q", secretKey)}
	}
	return secret{password: password}
}

// status is what the Announcer object says of BGP.
func (b *bgpAgent) status() []v1alpha1.BGPSession {
	var out []v1alpha1.BGPSession
	seen := map[string]bool{}
	for _, s := range b.speaker.Sessions() {
		seen[s.Peer] = true
		since := metav1.NewTime(s.Since).Rfc3339Copy()
		out = append(out, v1alpha1.BGPSession{
			Peer: s.Peer, State: string(s.State), Since: &since, Prefixes: int32(s.Prefixes), LastError: s.LastError,
		})
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, err := range b.problems {
		if !seen[name] {
			out = append(out, v1alpha1.BGPSession{Peer: name, State: string(bgp.Idle), LastError: err.Error()})
		}
	}
	return sortSessions(out)
}

// stop ends the sessions. Peers with graceful restart keep the routes, unless the node is being drained; the others are
// asked to prefer other nodes first, and lose them a second later. kube-proxy forwards to the end.
func (b *bgpAgent) stop(ctx context.Context) {
	b.mu.Lock()
	keep, quick := !b.draining, b.restarts && !b.draining
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
