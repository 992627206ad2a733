// SPDX-License-Identifier: Apache-2.0

package bgp

import (
	"context"
	"net/netip"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"k8s.io/klog/v2"
)

const (
	// bfdPoll is how often the state of BFD is looked at: GoBGP has no event for it. It only delays routes when BFD comes
	// up; when it goes down, GoBGP ends the session by itself.
	bfdPoll = 50 * time.Millisecond
	// bfdPatience is how long a session waits for BFD before it is opened without.
	bfdPatience = 3 * time.Second
	// bfdGrace is how long BFD of an Established session may take before it is an error that it is not up. Both sides begin
	// with one packet a second (RFC 5880 section 6.8.3), and need three.
	bfdGrace = 5 * time.Second
	// findPoll is how often unnumbered peers are looked for, and what rests is looked at.
	findPoll = time.Second
	// limitRest is how long a session rests whose peer sent too many routes.
	limitRest = 5 * time.Minute
)

// follow does what time and others bring about, until ctx is done.
func (s *Speaker) follow(ctx context.Context) {
	fast, slow := time.NewTicker(bfdPoll), time.NewTicker(findPoll)
	defer fast.Stop()
	defer slow.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-fast.C:
			s.followBFD(ctx)
		case <-slow.C:
			s.followInterfaces(ctx)
			s.followLimits(ctx)
		}
	}
}

// followBFD lets routes go to peers whose BFD has come up, and holds them back from those whose BFD is down.
func (s *Speaker) followBFD(ctx context.Context) {
	// Not waiting for the lock: whoever has it may be waiting for this goroutine to end.
	if !s.mu.TryLock() {
		return
	}
	defer s.mu.Unlock()
	var states map[netip.Addr]string
	for _, p := range s.peers {
		if !p.BFD.Enabled() || !p.at.IsValid() || ctx.Err() != nil {
			continue
		}
		if states == nil {
			states = s.bfdStates(ctx)
		}
		s.followOne(ctx, p, states[p.at])
	}
}

func (s *Speaker) bfdStates(ctx context.Context) map[netip.Addr]string {
	out := map[netip.Addr]string{}
	s.server.ListBfdPeer(ctx, func(addr string, state *api.BfdPeerState) {
		if a, err := netip.ParseAddr(addr); err == nil {
			out[a] = bfdState(state.SessionState)
		}
	})
	return out
}

func (s *Speaker) followOne(ctx context.Context, p *applied, state string) {
	logger := klog.FromContext(ctx).WithValues("peer", p.Name, "address", p.at)
	if state == "" {
		state = "Down"
	}
	if state != p.bfd {
		logger.Info("BFD changed", "from", p.bfd, "to", state)
		wasUp := p.bfd == bfdUp
		p.bfd = state
		s.board.bfd(p.Name, state)
		if isUp := state == bfdUp; isUp != wasUp {
			s.hold(ctx, p, !isUp)
		}
	}
	s.board.awaitBFD(p.Name, time.Now())
	if p.enableBy.IsZero() || state != bfdUp && time.Now().Before(p.enableBy) {
		return
	}
	p.enableBy = time.Time{}
	if err := s.server.EnablePeer(ctx, &api.EnablePeerRequest{Address: p.at.String()}); err != nil {
		logger.Error(err, "Session not opened")
	}
}

// hold takes all routes from a peer, or gives it what is for it.
func (s *Speaker) hold(ctx context.Context, p *applied, held bool) {
	if held {
		s.held[p.at] = true
	} else {
		delete(s.held, p.at)
	}
	err := s.setHeld(ctx)
	if err == nil {
		err = s.tellAll(ctx, p)
	}
	if err != nil {
		klog.FromContext(ctx).Error(err, "Routes not updated after BFD", "peer", p.Name, "held", held)
	}
}

// followInterfaces finds unnumbered peers, and finds them again when another router took their place.
func (s *Speaker) followInterfaces(ctx context.Context) {
	if !s.mu.TryLock() {
		return
	}
	defer s.mu.Unlock()
	for _, name := range sortedKeys(s.peers) {
		p := s.peers[name]
		if p.Interface == "" || ctx.Err() != nil {
			continue
		}
		at, err := s.locate(p)
		if err != nil && !p.at.IsValid() {
			s.board.fail(p.Name, err.Error())
		}
		if err != nil || at == p.at {
			continue
		}
		logger := klog.FromContext(ctx)
		logger.Info("Found the peer of an interface", "peer", p.Name, "interface", p.Interface, "address", at)
		if err := s.disconnect(ctx, p, "another router is at the interface now"); err != nil {
			logger.Error(err, "Old session not ended", "peer", p.Name)
		}
		if err := s.connect(ctx, p, at); err != nil {
			s.board.fail(p.Name, err.Error())
			logger.Error(err, "Session not opened", "peer", p.Name)
		}
	}
}

// followLimits has sessions tried again that GoBGP leaves closed for ever: those with peers that sent too many routes.
func (s *Speaker) followLimits(ctx context.Context) {
	if !s.mu.TryLock() {
		return
	}
	defer s.mu.Unlock()
	for _, at := range s.board.rested(time.Now(), s.rest) {
		if err := s.server.EnablePeer(ctx, &api.EnablePeerRequest{Address: at.String()}); err != nil && ctx.Err() == nil {
			klog.FromContext(ctx).Error(err, "Session not opened again", "address", at)
		}
	}
}
