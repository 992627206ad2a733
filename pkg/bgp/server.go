// SPDX-License-Identifier: Apache-2.0

package bgp

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/server"
	"k8s.io/klog/v2"
)

// batch is how many routes are given to the server at once: it does nothing else meanwhile, keepalives included.
const batch = 500

// start runs a server without peers and routes. asn is only what GoBGP wants to have; each peer has its own.
func (s *Speaker) start(ctx context.Context, asn uint32) error {
	if !s.desired.RouterID.Is4() {
		return fmt.Errorf("bgp identifier %v: want an IPv4 address", s.desired.RouterID)
	}
	// The server lives until Stop, not as long as this call.
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	s.log = newLogBridge(klog.FromContext(ctx).WithName("gobgp"), s.board.heard)
	s.server = server.NewBgpServer(server.LoggerOption(s.log.logger(), s.log.level()))
	s.end = end
	srv := s.server
	s.tasks.Go(srv.Serve)
	global := &api.Global{Asn: asn, RouterId: s.desired.RouterID.String(), ListenPort: -1}
	if s.cfg.ListenPort != 0 {
		global.ListenPort = int32(s.cfg.ListenPort)
		for _, a := range s.cfg.ListenAddresses {
			global.ListenAddresses = append(global.ListenAddresses, a.String())
		}
	}
	if err := s.prepare(life, global); err != nil {
		return errors.Join(err, s.halt(ctx, false))
	}
	s.routerID = s.desired.RouterID
	s.tasks.Go(func() { s.follow(life) })
	return nil
}

// prepare gives the new server its policies: nothing comes in, nothing goes out.
func (s *Speaker) prepare(life context.Context, global *api.Global) error {
	if err := s.server.StartBgp(life, &api.StartBgpRequest{Global: global}); err != nil {
		return fmt.Errorf("starting bgp: %w", err)
	}
	if err := s.server.AddPolicy(life, &api.AddPolicyRequest{Policy: ownPolicy()}); err != nil {
		return fmt.Errorf("policy %s: %w", ownRoutes, err)
	}
	if err := s.server.SetPolicyAssignment(life, &api.SetPolicyAssignmentRequest{Assignment: &api.PolicyAssignment{
		Name: "global", Direction: api.PolicyDirection_POLICY_DIRECTION_IMPORT, DefaultAction: api.RouteAction_ROUTE_ACTION_REJECT,
		Policies: []*api.Policy{{Name: ownRoutes}},
	}}); err != nil {
		return fmt.Errorf("refusing routes of peers: %w", err)
	}
	if err := s.setHeld(life); err != nil {
		return err
	}
	if err := s.server.AddPolicy(life, &api.AddPolicyRequest{Policy: holdPolicy()}); err != nil {
		return fmt.Errorf("policy %s: %w", heldPolicy, err)
	}
	if err := s.installPolicy(life, nil, nil); err != nil {
		return err
	}
	err := s.server.WatchEvent(life, server.WatchEventMessageCallbacks{OnPeerUpdate: s.board.update}, server.WatchPeer())
	if err != nil {
		return fmt.Errorf("watching sessions: %w", err)
	}
	return nil
}

// halt ends the server, if there is one.
func (s *Speaker) halt(ctx context.Context, keepRoutes bool) error {
	if s.server == nil {
		return nil
	}
	s.end()
	// GoBGP's own Stop below reports that the server has stopped already.
	s.log.mute()
	err := s.server.StopBgp(context.WithoutCancel(ctx), &api.StopBgpRequest{AllowGracefulRestart: keepRoutes})
	s.server.Stop()
	s.tasks.Wait()
	s.server = nil
	clear(s.peers)
	clear(s.routes)
	clear(s.held)
	clear(s.sets)
	clear(s.tags)
	s.policy = 0
	if err != nil {
		return fmt.Errorf("stopping bgp: %w", err)
	}
	return nil
}

// removePeers ends the sessions of peers that are not desired or not as they were. Other next hops are a matter of routes.
func (s *Speaker) removePeers(ctx context.Context, desired map[string]Peer) error {
	var errs []error
	for _, name := range sortedKeys(s.peers) {
		p := s.peers[name]
		if want, ok := desired[name]; ok && want.session() == p.session() {
			p.rerouted = p.rerouted || want != p.Peer
			p.Peer = want
			continue
		}
		errs = append(errs, s.disconnect(ctx, p, "its configuration or password changed"))
		delete(s.peers, name)
	}
	return errors.Join(errs...)
}

// disconnect ends the session with a peer, for a reason in words; it stays known.
func (s *Speaker) disconnect(ctx context.Context, p *applied, why string) error {
	if !p.at.IsValid() {
		return nil
	}
	s.board.forget(p.at, why)
	delete(s.held, p.at)
	err := s.server.DeletePeer(ctx, &api.DeletePeerRequest{Address: p.at.String()})
	p.at = netip.Addr{}
	if err != nil {
		return fmt.Errorf("ending the session with %q: %w", p.Name, err)
	}
	return errors.Join(s.setHeld(ctx), s.setSet(ctx, peerSet(p.Name)))
}

// addPeers opens sessions with those that have none, in this order. What fails with unnumbered peers is no error: they are
// looked for again and again.
func (s *Speaker) addPeers(ctx context.Context, peers []Peer) error {
	var errs []error
	for _, want := range peers {
		p := s.peers[want.Name]
		if p.at.IsValid() {
			continue
		}
		at, err := s.locate(p)
		if err == nil {
			err = s.connect(ctx, p, at)
		}
		if err == nil {
			continue
		}
		s.board.fail(p.Name, err.Error())
		if p.Interface == "" {
			errs = append(errs, fmt.Errorf("bgp peer %q: %w", p.Name, err))
		}
	}
	return errors.Join(errs...)
}

// locate returns where a peer is. GoBGP has one session to an address, and its policies leave out the zone of a link-local
// one: what is there for a peer already is not there for another.
func (s *Speaker) locate(p *applied) (netip.Addr, error) {
	at := p.Address
	if p.Interface != "" {
		var err error
		if at, err = s.find(p.Interface); err != nil {
			return netip.Addr{}, err
		}
	}
	for _, name := range sortedKeys(s.peers) {
		switch other := s.peers[name]; {
		case other == p || !other.at.IsValid():
		case p.Interface != "" && p.Interface == other.Interface:
			return netip.Addr{}, fmt.Errorf("interface %s is that of peer %q already", p.Interface, name)
		case at == other.at:
			return netip.Addr{}, fmt.Errorf("address %v is that of peer %q already", at, name)
		case at.WithZone("") == other.at.WithZone(""):
			return netip.Addr{}, fmt.Errorf(
				"address %v is, but for the interface, that of peer %q (%v): routers need different link-local addresses", at, name, other.at)
		}
	}
	return at, nil
}

// connect opens the session with a peer.
func (s *Speaker) connect(ctx context.Context, p *applied, at netip.Addr) error {
	if err := s.setSet(ctx, peerSet(p.Name), at); err != nil {
		return err
	}
	if p.BFD.Enabled() {
		p.enableBy = time.Now().Add(bfdPatience)
		p.bfd = "Down"
		s.board.bfd(p.Name, p.bfd)
		s.held[at] = true
		if err := s.setHeld(ctx); err != nil {
			return err
		}
	}
	s.board.know(at, p.Peer)
	if err := s.server.AddPeer(ctx, &api.AddPeerRequest{Peer: apiPeer(p.Peer, at, s.resumed[p.Name])}); err != nil {
		s.board.forget(at, "")
		delete(s.held, at)
		return errors.Join(err, s.setHeld(ctx), s.setSet(ctx, peerSet(p.Name)))
	}
	delete(s.resumed, p.Name)
	p.at = at
	return nil
}

// setHeld tells the server which peers are told nothing.
func (s *Speaker) setHeld(ctx context.Context) error {
	return s.setSet(ctx, heldSet, slices.Collect(maps.Keys(s.held))...)
}

// setSet makes a neighbor set hold these addresses. It is never replaced: statements refer to the set as it was when
// they were made, not to its name.
func (s *Speaker) setSet(ctx context.Context, name string, want ...netip.Addr) error {
	have, ok := s.sets[name]
	var add, del []string
	for _, a := range want {
		if !slices.Contains(have, a) {
			add = append(add, hostPrefix(a))
		}
	}
	for _, a := range have {
		if !slices.Contains(want, a) {
			del = append(del, hostPrefix(a))
		}
	}
	if !ok {
		add = append(add, nobody)
	}
	if len(add) > 0 {
		if err := s.server.AddDefinedSet(ctx, &api.AddDefinedSetRequest{DefinedSet: neighborSet(name, add)}); err != nil {
			return fmt.Errorf("neighbor set %s: %w", name, err)
		}
	}
	if len(del) > 0 {
		if err := s.server.DeleteDefinedSet(ctx, &api.DeleteDefinedSetRequest{DefinedSet: neighborSet(name, del)}); err != nil {
			return fmt.Errorf("neighbor set %s: %w", name, err)
		}
	}
	s.sets[name] = want
	return nil
}

// reroute tells peers all routes once more whose next hops have changed: the policy in force has the new ones.
func (s *Speaker) reroute(ctx context.Context) error {
	var errs []error
	for _, name := range sortedKeys(s.peers) {
		p := s.peers[name]
		if p.rerouted && p.at.IsValid() {
			if err := s.tellAll(ctx, p); err != nil {
				errs = append(errs, fmt.Errorf("next hops for bgp peer %q: %w", name, err))
				continue
			}
		}
		p.rerouted = false
	}
	return errors.Join(errs...)
}

// tellAll has the server tell a peer everything anew, as the policies say.
func (s *Speaker) tellAll(ctx context.Context, p *applied) error {
	return s.server.ResetPeer(ctx, &api.ResetPeerRequest{
		Address: p.at.String(), Soft: true, Direction: api.ResetPeerRequest_DIRECTION_OUT,
	})
}

// setRoutes announces and withdraws. While routes change, old and new classes are both in the policy: GoBGP finds out
// by it who has to be told that a route is no longer for him.
func (s *Speaker) setRoutes(ctx context.Context, peers []Peer) error {
	var errs []error
	routes := make([]Route, 0, len(s.desired.Routes))
	for _, r := range s.desired.Routes {
		if err := r.validate(); err != nil {
			errs = append(errs, err)
			continue
		}
		routes = append(routes, r)
	}
	want := s.classes.classify(lastResort(routes, s.drained))
	used, both := classesOf(want), classesOf(want)
	maps.Copy(both, classesOf(s.routes))
	if err := s.installPolicy(ctx, both, peers); err != nil {
		return errors.Join(append(errs, err)...)
	}
	if err := s.movePaths(want); err != nil {
		return errors.Join(append(errs, err)...)
	}
	if len(both) > len(used) {
		errs = append(errs, s.installPolicy(ctx, used, peers))
	}
	s.classes.keep(used)
	s.board.count(want, s.classes)
	return errors.Join(errs...)
}

func classesOf(routes map[netip.Prefix]class) map[class]bool {
	out := map[class]bool{}
	for _, n := range routes {
		out[n] = true
	}
	return out
}

// movePaths makes the server's paths those wanted.
func (s *Speaker) movePaths(want map[netip.Prefix]class) error {
	var add, del []*apiutil.Path
	now := time.Now()
	for prefix, n := range want {
		if old, ok := s.routes[prefix]; ok && old == n {
			continue
		}
		p, err := path(prefix, n, now)
		if err != nil {
			return err
		}
		add = append(add, p)
	}
	for prefix, n := range s.routes {
		if _, ok := want[prefix]; ok {
			continue
		}
		p, err := path(prefix, n, now)
		if err != nil {
			return err
		}
		del = append(del, p)
	}
	for some := range slices.Chunk(del, batch) {
		if err := s.server.DeletePath(apiutil.DeletePathRequest{Paths: some}); err != nil {
			return fmt.Errorf("withdrawing %d routes: %w", len(some), err)
		}
	}
	for some := range slices.Chunk(add, batch) {
		if _, err := s.server.AddPath(apiutil.AddPathRequest{Paths: some}); err != nil {
			return fmt.Errorf("announcing %d routes: %w", len(some), err)
		}
	}
	s.routes = maps.Clone(want)
	return nil
}

// installPolicy replaces the export policy by one for these classes and peers.
func (s *Speaker) installPolicy(ctx context.Context, used map[class]bool, peers []Peer) error {
	old := s.policy
	s.policy++
	name := fmt.Sprintf("export-%d", s.policy)
	for _, p := range peers {
		if _, ok := s.sets[peerSet(p.Name)]; !ok {
			// The statements need the set; connect fills it.
			if err := s.setSet(ctx, peerSet(p.Name)); err != nil {
				return err
			}
		}
	}
	for n := range used {
		if s.tags[n] {
			continue
		}
		if err := s.server.AddDefinedSet(ctx, &api.AddDefinedSetRequest{DefinedSet: tagSet(n)}); err != nil {
			return fmt.Errorf("community set %s: %w", n.set(), err)
		}
		s.tags[n] = true
	}
	policy := exportPolicy(name, s.classes, used, peers)
	if err := s.server.AddPolicy(ctx, &api.AddPolicyRequest{Policy: policy}); err != nil {
		return fmt.Errorf("policy %s: %w", name, err)
	}
	if err := s.server.SetPolicyAssignment(ctx, &api.SetPolicyAssignmentRequest{Assignment: &api.PolicyAssignment{
		Name: "global", Direction: api.PolicyDirection_POLICY_DIRECTION_EXPORT,
		Policies:      []*api.Policy{{Name: heldPolicy}, {Name: name}},
		DefaultAction: api.RouteAction_ROUTE_ACTION_REJECT,
	}}); err != nil {
		return fmt.Errorf("policy %s: %w", name, err)
	}
	if old == 0 {
		return nil
	}
	stale := &api.DeletePolicyRequest{Policy: &api.Policy{Name: fmt.Sprintf("export-%d", old)}, All: true}
	if err := s.server.DeletePolicy(ctx, stale); err != nil {
		return fmt.Errorf("policy export-%d: %w", old, err)
	}
	for n := range s.tags {
		if used[n] {
			continue
		}
		if err := s.server.DeleteDefinedSet(ctx, &api.DeleteDefinedSetRequest{DefinedSet: tagSet(n), All: true}); err != nil {
			return fmt.Errorf("community set %s: %w", n.set(), err)
		}
		delete(s.tags, n)
	}
	return nil
}
