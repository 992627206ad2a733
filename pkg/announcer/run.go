// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	discoveryv1client "k8s.io/client-go/kubernetes/typed/discovery/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/fairlead-io/fairlead/pkg/api/client/clientset/versioned"
	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/l2"
	"github.com/fairlead-io/fairlead/pkg/l2/conntrack"
	"github.com/fairlead-io/fairlead/pkg/membership"
	"github.com/fairlead-io/fairlead/pkg/ownership"
	"github.com/fairlead-io/fairlead/pkg/wake"
)

// Config of an agent. NodeName and GossipKeyFile are required.
type Config struct {
	NodeName string
	// GossipKeyFile has one base64 key of 32 bytes a line; the first encrypts, all decrypt. It is read again when it
	// changes, and waited for while it is missing or empty.
	GossipKeyFile string
	// GossipPort, UDP and TCP; heartbeats use the next one.
	GossipPort uint16
	// GossipAddress to be reached by; the zero value means the node's own, see [Run].
	GossipAddress netip.Addr
	// Quorum says which part of a parted cluster announces.
	Quorum ownership.Quorum
	// KubeProxyHealthz is the URL of kube-proxy's health check on this node; "" if there is no kube-proxy.
	KubeProxyHealthz string
	// MetricsAddress serves metrics and health; Profiling adds pprof to it.
	MetricsAddress string
	Profiling      bool
	// KeepConnections has connections go on through the node that an address has moved away from.
	KeepConnections bool
	// Version is reported in the Announcer object.
	Version string
}

// Clients are what the agent needs of the API server.
type Clients struct {
	Fairlead versioned.Interface
	Core     corev1client.CoreV1Interface
	// Discovery is used where BGP announces Services with externalTrafficPolicy Local.
	Discovery discoveryv1client.DiscoveryV1Interface
}

// nodeWait is how long the start waits for the Node object, which names the node's address, before the agent takes the
// address from its interfaces: the API server may be away.
const nodeWait = 3 * time.Second

// Run runs the agent until ctx is done and then ends it in good order: addresses are handed over first. It returns nil
// then, and an error when something without which there is no announcing failed.
//
// Gossip uses, in this order, Config.GossipAddress, the address that the kubelet was given or the Node's InternalIP if
// an interface has it, or the address of the interface with the default route.
func Run(ctx context.Context, cfg Config, clients Clients) error {
	m := newAgentMetrics()
	h := newLiveness()
	server, err := listen(ctx, cfg, m, h)
	if err != nil {
		return err
	}
	defer server.close()
	keys, err := awaitKeys(ctx, cfg.GossipKeyFile)
	if err != nil {
		return endOf(ctx, err)
	}
	// Everything below lives until the addresses are handed over, thus longer than ctx.
	life, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(nil)
	p := &parts{cfg: cfg, clients: clients, metrics: m, box: newInbox()}
	defer p.tasks.Wait()
	defer end(nil)
	if err := p.start(ctx, life, end, keys); err != nil {
		return endOf(ctx, err)
	}
	defer p.group.Close()
	h.set(p)
	server.watch(p)
	select {
	case <-ctx.Done():
		return p.stop(life, end)
	case <-life.Done():
		return context.Cause(life)
	}
}

// endOf makes nothing of an error that is only the end that was asked for.
func endOf(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
		return nil
	}
	return err
}

// parts are the running pieces of one agent.
type parts struct {
	cfg     Config
	clients Clients
	metrics *agentMetrics
	box     *inbox
	tasks   sync.WaitGroup

	objects  *informed
	speaker  *l2.Speaker
	group    *membership.Membership
	agent    *agent
	reporter *reporter
	bgp      *bgpAgent
	access   *accessKeeper
	routing  *routeBoard
	address  netip.AddrPort
	loopEnd  chan struct{}
	stopLoop context.CancelFunc
	// stopWrites ends the status writer, writesEnd says that it has.
	stopWrites context.CancelFunc
	writesEnd  chan struct{}
}

// start brings the pieces up: ctx is asked to end when the program is, life when the agent has.
func (p *parts) start(ctx, life context.Context, fail context.CancelCauseFunc, keys [][]byte) error {
	var err error
	if p.objects, err = newInformed(p.cfg.NodeName, p.clients.Fairlead, p.clients.Core, p.box); err != nil {
		return err
	}
	p.tasks.Go(func() { p.objects.run(life, p.box) })
	p.speaker = l2.New(l2.Config{})
	p.tasks.Go(func() {
		if err := p.speaker.Run(life); err != nil {
			fail(fmt.Errorf("layer 2: %w", err))
		}
	})
	if err := p.findAddress(ctx); err != nil {
		return err
	}
	p.group, err = membership.Join(life, membership.Config{
		NodeName: p.cfg.NodeName, BindAddr: p.address, HeartbeatPort: p.address.Port() + 1, Keys: keys,
	})
	if err != nil {
		return err
	}
	p.tasks.Go(func() { followKeys(life, p.cfg.GossipKeyFile, keys, p.group.SetKeys) })
	p.routing = newRouteBoard(func() { p.bgp.poke() }, p.box.poke)
	p.access = newAccessKeeper(p.objects.allVIPs, func() { p.box.poke(); p.bgp.poke() })
	if p.bgp, err = p.newBGPAgent(); err != nil {
		return err
	}
	p.assemble(life)
	p.tasks.Go(func() { p.bgp.run(life) })
	return nil
}

// findAddress waits until the node has an address to be reached by.
func (p *parts) findAddress(ctx context.Context) error {
	logger := klog.FromContext(ctx)
	if p.cfg.GossipAddress.IsValid() {
		p.address = netip.AddrPortFrom(p.cfg.GossipAddress, p.cfg.GossipPort)
		return nil
	}
	wanted := nodeAddresses(p.objects.waitNode(ctx, nodeWait))
	for told := false; ; {
		if addr, how := ownAddress(p.speaker.Links(), wanted); addr.IsValid() {
			p.address = netip.AddrPortFrom(addr, p.cfg.GossipPort)
			logger.Info("Found the node's own address", "address", addr, "how", how)
			return nil
		}
		if !told && len(p.speaker.Links()) > 0 {
			told = true
			logger.Info("No interface has an address that others could reach this node by, waiting")
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-p.speaker.LinksChanged():
		case <-time.After(time.Second):
			wanted = nodeAddresses(p.objects.nodeObject())
		}
	}
}

// assemble makes the loop and what stands around it, and sets them going.
func (p *parts) assemble(life context.Context) {
	self := p.cfg.NodeName
	api := p.clients.Fairlead.FairleadV1alpha1()
	recorder := p.startEvents(life)
	loop, stopLoop := context.WithCancel(life)
	gates := newGateKeeper(p.cfg.KubeProxyHealthz, p.programChecker(loop), func() {
		p.box.poke()
		p.bgp.poke()
	})
	p.agent = &agent{
		self: self, own: p.address.Addr(),
		machine: ownership.New(machineOptions(p.cfg, time.Now())),
		group:   p.group, speaker: p.speaker, objects: p.objects, gates: gates,
		status: newVIPWriter(self, api.VirtualIPs(), p.objects.vips, p.metrics),
		sender: newSender(p.group.Send, p.metrics),
		events: newEventWriter(recorder, p.metrics), metrics: p.metrics, now: time.Now, started: time.Now(),
		flusher: newFlusher(conntrack.FlushUDP, conntrack.UDPTimeout), probes: p.newProbes(loop), access: p.access, routing: p.routing,
		linksChanged: p.bgp.poke,
		inbox:        p.box, calls: make(chan func()),
		vips: map[string]*address{}, byAddr: map[netip.Addr]*address{}, gateChanged: map[netip.Addr]*address{},
		failing: map[netip.Addr]*address{},
	}
	p.reporter = &reporter{
		self: self, client: api.Announcers(), current: p.announcerStatus,
		nodeUID: func() types.UID { return p.objects.node().uid },
		exists:  func() bool { return !p.objects.synced() || p.objects.announcer(self) != nil },
		urgent:  wake.New(),
	}
	p.agent.hosts = newHostWatch(p.reporter.hurry)
	if p.agent.relay = openRelay(life, p.cfg.KeepConnections); p.agent.relay != nil {
		p.agent.relayWatch = newRelayWatch(p.agent.relay, p.cfg.GossipPort, func(n int) { p.metrics.relayed.Set(float64(n)) })
		p.tasks.Go(func() { p.agent.relayWatch.run(life) })
	}
	p.stopLoop, p.loopEnd = stopLoop, make(chan struct{})
	p.tasks.Go(func() {
		defer p.agent.tasks.Wait() // what the loop began ends with its context
		defer close(p.loopEnd)
		p.agent.run(loop)
		p.agent.hosts.wait()
	})
	writes, stopWrites := context.WithCancel(life)
	p.stopWrites, p.writesEnd = stopWrites, make(chan struct{})
	p.tasks.Go(func() { defer close(p.writesEnd); p.write(writes) })
	p.tasks.Go(func() { p.agent.sender.run(life) })
	p.tasks.Go(func() { gates.run(life) })
	p.tasks.Go(func() { p.agent.probes.run(life) })
	p.tasks.Go(func() { p.enforceAccess(life) })
	p.tasks.Go(func() { p.agent.followLayer2(loop, p.speaker.LinksChanged(), p.speaker.Conflicts()) })
	p.tasks.Go(func() { p.agent.flusher.run(life) })
	p.tasks.Go(func() { p.watchGateway(loop).run(loop) })
	p.box.poke()
}

// programChecker makes what looks whether kube-proxy has programmed an address; nil where there is no kube-proxy.
func (p *parts) programChecker(loop context.Context) *programChecker {
	if p.cfg.KubeProxyHealthz == "" {
		return nil
	}
	checker := newProgramChecker(looksForwarded, func(addrs []netip.Addr) {
		p.agent.do(loop, func() { p.agent.lookedAt(loop, addrs) })
	})
	checker.local = newLocalEndpoints(p.address.Addr()).ask
	return checker
}

// newProbes makes what probes Services; verdicts go to the loop.
func (p *parts) newProbes(loop context.Context) *probeKeeper {
	return newProbeKeeper(func(addrs []netip.Addr) {
		p.agent.do(loop, func() { p.agent.lookedAt(loop, addrs) })
	}, p.metrics.probed)
}

// enforceAccess has clients refused from when the VirtualIPs are known until ctx is done.
func (p *parts) enforceAccess(ctx context.Context) {
	if cache.WaitForCacheSync(ctx.Done(), p.objects.informerSync...) {
		p.access.run(ctx)
	}
}

// refusingVIPs are those whose access control is in place.
func (p *parts) refusingVIPs() []*v1alpha1.VirtualIP {
	return slices.DeleteFunc(p.objects.allVIPs(), func(vip *v1alpha1.VirtualIP) bool {
		ready, _ := p.access.ready(vip)
		return !ready
	})
}

// write runs what writes to the API server until ctx is done.
func (p *parts) write(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { p.agent.status.run(ctx) })
	wg.Go(func() { p.reporter.run(ctx) })
	wg.Wait()
}

func machineOptions(cfg Config, now time.Time) ownership.Options {
	return ownership.Options{
		Self: cfg.NodeName, Incarnation: uint64(now.UnixNano()), Quorum: cfg.Quorum,
		SettleTimeout: neverByItself, MaxEntries: entriesPerDatagram,
	}
}

// neverByItself keeps the machine from settling on its own: the agent knows when it has met the others.
const neverByItself = 10 * 365 * 24 * time.Hour

// announcerStatus is what the Announcer object should say now.
func (p *parts) announcerStatus() v1alpha1.AnnouncerStatus {
	s := p.agent.read()
	return v1alpha1.AnnouncerStatus{
		Version: p.cfg.Version, MachineID: machineID("/"), GossipAddress: p.address.String(),
		Interfaces: inventory(p.speaker.Links()), Owned: int32(s.owned), Members: int32(s.members),
		Unreachable: p.agent.hosts.unreachable(), BGP: p.bgp.status(), HealthChecks: p.agent.probes.status(),
		Conditions: []metav1.Condition{readyCondition(s)},
	}
}
