// SPDX-License-Identifier: Apache-2.0

package membership

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// DefaultPort is the gossip port (UDP and TCP) customary for memberlist.
const DefaultPort = 7946

// maxNameLen is the longest node name: that of a DNS subdomain, as Kubernetes has it (RFC 1123).
const maxNameLen = 253

// Config says who this node is and how it finds and hears the others. NodeName, BindAddr and Keys are required.
type Config struct {
	// NodeName is unique in the group, 1..253 bytes.
	NodeName string
	// BindAddr is the address and port (UDP and TCP) that gossip listens on, and that the others are told to send to: an
	// address of this node. Port 0 means DefaultPort.
	BindAddr netip.AddrPort
	// HeartbeatPort is the UDP port for heartbeats, on the same address as gossip; 0 means the port of BindAddr + 1.
	// Every node tells the others its own in its metadata, so the ports may differ.
	HeartbeatPort uint16
	// Keys encrypt and authenticate gossip and heartbeats (AES-GCM): 16, 24 or 32 bytes each. The first encrypts, all
	// decrypt. At least one. They are never logged. See SetKeys for changing them without an interruption.
	Keys [][]byte
	// Tuning holds the times; the zero value of each field means its default.
	Tuning Tuning

	// drop, in tests, discards what is sent from this node to an address, to part the network.
	drop func(to netip.AddrPort) bool
}

// Tuning are the times of both failure detectors. A smaller value detects faster, costs more CPU, and is sooner mistaken
// when a machine is overloaded. Members whose heartbeats come late are given as much more time than these say.
type Tuning struct {
	// HeartbeatInterval is the time between two heartbeats; default 50 ms. A death is seen after HeartbeatMisses of
	// them and a quarter, 0.06–0.11 s by default, for about 3 kB/s and 2 % of a core per member, whatever their number.
	HeartbeatInterval time.Duration
	// HeartbeatMisses is how many heartbeats in a row must be missing for a member to be accused, if it also leaves
	// questions unanswered; default 2, at least 1.
	HeartbeatMisses int
	// ProbeInterval is the time between memberlist's probes; default 100 ms. With the defaults memberlist alone sees a
	// death after 0.5–0.9 s at 20 members; with its own defaults (1 s) after 6–7 s.
	ProbeInterval time.Duration
	// ProbeTimeout is how long a direct probe may take before others are asked to probe; default 50 ms.
	ProbeTimeout time.Duration
	// SuspicionMult × max(1, log10 N) × ProbeInterval is how long a suspected member has to refute; default 3. With 2
	// memberlist is 0.13 s faster and takes no confirmations.
	SuspicionMult int
	// GossipInterval is the time between rounds of gossip; default 20 ms.
	GossipInterval time.Duration
	// PushPullInterval is the time between exchanges of the full state with one random member; default 10 s. It
	// repairs whatever gossip lost.
	PushPullInterval time.Duration
	// RejoinMin and RejoinMax bound the pause between two attempts to join a seed that is not a member; defaults
	// 250 ms and 3 s. RejoinMax is thus how long a healed partition may stay unnoticed.
	RejoinMin, RejoinMax time.Duration
}

func (t Tuning) withDefaults() Tuning {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&t.HeartbeatInterval, 50*time.Millisecond)
	set(&t.ProbeInterval, 100*time.Millisecond)
	set(&t.ProbeTimeout, 50*time.Millisecond)
	set(&t.GossipInterval, 20*time.Millisecond)
	set(&t.PushPullInterval, 10*time.Second)
	set(&t.RejoinMin, 250*time.Millisecond)
	set(&t.RejoinMax, 3*time.Second)
	if t.HeartbeatMisses == 0 {
		t.HeartbeatMisses = 2
	}
	if t.SuspicionMult == 0 {
		t.SuspicionMult = 3
	}
	return t
}

func (t Tuning) validate() error {
	var errs []error
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"heartbeat interval", t.HeartbeatInterval},
		{"probe interval", t.ProbeInterval},
		{"probe timeout", t.ProbeTimeout},
		{"gossip interval", t.GossipInterval},
		{"push/pull interval", t.PushPullInterval},
		{"least rejoin pause", t.RejoinMin},
	} {
		if d.value < time.Millisecond {
			errs = append(errs, fmt.Errorf("%s %v: must be at least 1ms", d.name, d.value))
		}
	}
	if t.ProbeTimeout >= t.ProbeInterval {
		errs = append(errs, fmt.Errorf("probe timeout %v: must be below the probe interval %v", t.ProbeTimeout, t.ProbeInterval))
	}
	if t.HeartbeatMisses < 1 {
		errs = append(errs, fmt.Errorf("heartbeat misses %d: must be at least 1", t.HeartbeatMisses))
	}
	if t.SuspicionMult < 1 {
		errs = append(errs, fmt.Errorf("suspicion multiplier %d: must be at least 1", t.SuspicionMult))
	}
	if t.RejoinMax < t.RejoinMin {
		errs = append(errs, fmt.Errorf("longest rejoin pause %v: must not be below the least, %v", t.RejoinMax, t.RejoinMin))
	}
	return errors.Join(errs...)
}

// complete fills in defaults and returns every fault of the configuration at once.
func (c Config) complete() (Config, error) {
	var errs []error
	if n := len(c.NodeName); n == 0 || n > maxNameLen {
		errs = append(errs, fmt.Errorf("node name %q: must have 1..%d bytes", c.NodeName, maxNameLen))
	}
	c.BindAddr = withPort(c.BindAddr, DefaultPort)
	switch a := c.BindAddr.Addr(); {
	case !a.IsValid():
		errs = append(errs, errors.New("bind address: missing"))
	case a.IsUnspecified() || a.IsMulticast():
		errs = append(errs, fmt.Errorf("bind address %v: must be the address of one node", a))
	case a.Zone() != "":
		errs = append(errs, fmt.Errorf("address %v: gossip cannot carry a zone, use an address that is not link-local", a))
	}
	if c.HeartbeatPort == 0 {
		c.HeartbeatPort = c.BindAddr.Port() + 1
	}
	if c.HeartbeatPort == 0 || c.HeartbeatPort == c.BindAddr.Port() {
		errs = append(errs, fmt.Errorf("heartbeat port %d: must be 1..65535 and not the gossip port", c.HeartbeatPort))
	}
	if err := validateKeys(c.Keys); err != nil {
		errs = append(errs, err)
	}
	c.Tuning = c.Tuning.withDefaults()
	errs = append(errs, c.Tuning.validate())
	return c, errors.Join(errs...)
}

func withPort(a netip.AddrPort, port uint16) netip.AddrPort {
	if a.Port() != 0 {
		port = a.Port()
	}
	return netip.AddrPortFrom(a.Addr().Unmap(), port)
}
