// SPDX-License-Identifier: Apache-2.0

package bgp

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

const (
	defaultHoldTime     = 90 * time.Second
	defaultConnectRetry = 10 * time.Second
	// idleAfterReset is how long a session rests after it was torn down by this side.
	idleAfterReset = time.Second
	// deferral is how long a restarted speaker waits for the peer's routes, which it refuses anyway, before it sends its
	// own (RFC 4724 section 4.1).
	deferral = time.Second
	// maxReceived is how many routes of a family a peer may send before the session is closed. They are all refused, but
	// kept in memory, and GoBGP counts them anew with each UPDATE.
	maxReceived = 50_000
	// maxLongLived is what the capability has 24 bits for.
	maxLongLived = (1<<24 - 1) * time.Second
)

// validate finds what would make GoBGP or the kernel refuse the peer, or do something else than was asked for.
func (p Peer) validate() error {
	switch {
	case p.Name == "":
		return errors.New("peer without a name")
	case p.Address.IsValid() == (p.Interface != ""):
		return errors.New("exactly one of address and interface must be set")
	case p.Address.IsLinkLocalUnicast() && p.Address.Is6() && p.Address.Zone() == "":
		return fmt.Errorf("link-local address %v needs an interface (%v%%eth0)", p.Address, p.Address)
	case p.ASN == 0 || p.LocalASN == 0:
		return fmt.Errorf("ASN %d and local ASN %d must not be 0", p.ASN, p.LocalASN)
	case p.HoldTime != 0 && p.HoldTime < 3*time.Second:
		return fmt.Errorf("hold time %v: must be at least 3s", p.HoldTime)
	case p.Keepalive != 0 && seconds(p.Keepalive) >= seconds(withDefault(p.HoldTime, defaultHoldTime)):
		return fmt.Errorf("keepalive %v: must be shorter than the hold time %v, in whole seconds", p.Keepalive, withDefault(p.HoldTime, defaultHoldTime))
	case len(p.Password) > 80:
		return fmt.Errorf("password of %d bytes: TCP MD5 takes at most 80", len(p.Password))
	case p.Source.IsValid() && p.Address.IsValid() && p.Source.Is4() != p.Address.Is4():
		return fmt.Errorf("source address %v is of another family than the peer's %v", p.Source, p.Address)
	case p.BFD.Enabled() && (p.BFD.Interval < 10*time.Millisecond || p.BFD.Multiplier < 2):
		return fmt.Errorf("bfd interval %v, multiplier %d: want at least 10ms and 2", p.BFD.Interval, p.BFD.Multiplier)
	case p.BFD.Enabled() && p.MultiHop > 1:
		return errors.New("bfd works with peers on the same segment only, this one is multihop")
	case p.GracefulRestart > 4095*time.Second:
		return fmt.Errorf("graceful restart time %v: must be at most 4095s", p.GracefulRestart)
	case p.LongLivedStale > maxLongLived:
		return fmt.Errorf("long-lived stale time %v: must be at most %v", p.LongLivedStale, maxLongLived)
	case p.LongLivedStale > 0 && p.GracefulRestart <= 0:
		return fmt.Errorf("long-lived stale time %v: needs graceful restart", p.LongLivedStale)
	}
	return nil
}

// validate finds prefixes that are none.
func (r Route) validate() error {
	if !r.Prefix.IsValid() || r.Prefix != r.Prefix.Masked() {
		return fmt.Errorf("route %v: not a prefix, or with bits beyond its length", r.Prefix)
	}
	return nil
}

// seconds rounds up.
func seconds(d time.Duration) uint64 { return uint64((d + time.Second - 1) / time.Second) }

func withDefault(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// apiPeer is the peer as GoBGP takes it, at the address found for it. A restarting one asks the peer to keep the routes
// that it had from the process before.
func apiPeer(p Peer, at netip.Addr, restarting bool) *api.Peer {
	hold := withDefault(p.HoldTime, defaultHoldTime)
	out := &api.Peer{
		Conf: &api.PeerConf{
			NeighborAddress: at.String(), PeerAsn: p.ASN, LocalAsn: p.LocalASN, AuthPassword: p.Password,
			Description: p.Name, AdminDown: p.BFD.Enabled(),
		},
		Timers: &api.Timers{Config: &api.TimersConfig{
			HoldTime: seconds(hold), KeepaliveInterval: seconds(withDefault(p.Keepalive, hold/3)),
			ConnectRetry:           seconds(withDefault(p.ConnectRetry, defaultConnectRetry)),
			IdleHoldTimeAfterReset: seconds(idleAfterReset),
		}},
		Transport: &api.Transport{RemotePort: uint32(p.Port)},
	}
	if p.Source.IsValid() {
		out.Transport.LocalAddress = p.Source.String()
	}
	if p.MultiHop > 1 {
		out.EbgpMultihop = &api.EbgpMultihop{Enabled: true, MultihopTtl: uint32(p.MultiHop)}
	}
	if p.BFD.Enabled() {
		us := uint32(p.BFD.Interval / time.Microsecond)
		out.Bfd = &api.BfdPeerConfig{
			Enabled: true, DesiredMinimumTxInterval: us, RequiredMinimumReceive: us,
			DetectionMultiplier: uint32(p.BFD.Multiplier),
		}
	}
	if p.GracefulRestart > 0 {
		out.GracefulRestart = &api.GracefulRestart{
			Enabled: true, RestartTime: uint32(seconds(p.GracefulRestart)), DeferralTime: uint32(seconds(deferral)),
			LocalRestarting: restarting, LonglivedEnabled: p.LongLivedStale > 0,
		}
	}
	for _, afi := range []api.Family_Afi{api.Family_AFI_IP, api.Family_AFI_IP6} {
		family := &api.Family{Afi: afi, Safi: api.Family_SAFI_UNICAST}
		longLived := &api.LongLivedGracefulRestartConfig{
			Enabled: p.LongLivedStale > 0, RestartTime: uint32(seconds(p.LongLivedStale)),
		}
		out.AfiSafis = append(out.AfiSafis, &api.AfiSafi{
			Config:                   &api.AfiSafiConfig{Family: family, Enabled: true},
			MpGracefulRestart:        &api.MpGracefulRestart{Config: &api.MpGracefulRestartConfig{Enabled: p.GracefulRestart > 0}},
			LongLivedGracefulRestart: &api.LongLivedGracefulRestart{Config: longLived},
			PrefixLimits:             &api.PrefixLimit{Family: family, MaxPrefixes: maxReceived},
		})
	}
	return out
}

// path is a prefix of a class as GoBGP keeps it. The next hop is left to each session.
func path(prefix netip.Prefix, n class, now time.Time) (*apiutil.Path, error) {
	nlri, err := bgp.NewIPAddrPrefix(prefix)
	if err != nil {
		return nil, fmt.Errorf("route %v: %w", prefix, err)
	}
	p := &apiutil.Path{
		Family: bgp.RF_IPv4_UC, Nlri: nlri, Age: now.Unix(),
		Attrs: []bgp.PathAttributeInterface{
			bgp.NewPathAttributeOrigin(bgp.BGP_ORIGIN_ATTR_TYPE_IGP), bgp.NewPathAttributeLocalPref(0),
			bgp.NewPathAttributeCommunities([]uint32{uint32(n)}),
		},
	}
	var next bgp.PathAttributeInterface
	if prefix.Addr().Is4() {
		next, err = bgp.NewPathAttributeNextHop(netip.IPv4Unspecified())
	} else {
		p.Family = bgp.RF_IPv6_UC
		next, err = bgp.NewPathAttributeMpReachNLRI(p.Family, []bgp.PathNLRI{{NLRI: nlri}}, netip.IPv6Unspecified())
	}
	if err != nil {
		return nil, fmt.Errorf("route %v: %w", prefix, err)
	}
	p.Attrs = append(p.Attrs, next)
	return p, nil
}

// stateOf names GoBGP's state as RFC 4271 does.
func stateOf(s bgp.FSMState) State {
	switch s {
	case bgp.BGP_FSM_CONNECT:
		return Connect
	case bgp.BGP_FSM_ACTIVE:
		return Active
	case bgp.BGP_FSM_OPENSENT:
		return OpenSent
	case bgp.BGP_FSM_OPENCONFIRM:
		return OpenConfirm
	case bgp.BGP_FSM_ESTABLISHED:
		return Established
	default: // Idle, or none known
		return Idle
	}
}

// bfdState names a BFD state as RFC 5880 does.
func bfdState(s api.BfdSessionState) string {
	switch s {
	case api.BfdSessionState_BFD_SESSION_STATE_UP:
		return bfdUp
	case api.BfdSessionState_BFD_SESSION_STATE_INIT:
		return "Init"
	case api.BfdSessionState_BFD_SESSION_STATE_ADMIN_DOWN:
		return "AdminDown"
	default: // down, or not known yet
		return "Down"
	}
}

const bfdUp = "Up"
