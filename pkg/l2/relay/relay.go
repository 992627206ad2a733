// SPDX-License-Identifier: Apache-2.0

// Package relay sends packets of TCP connections that this machine does not
// know to the machine that had their address before.
//
// When an address moves on purpose, the machine that had it still knows the
// connections through it: what they were translated to is in its kernel. The
// neighbours, however, send everything to the new machine. A packet there that
// begins no connection and belongs to none is handed on, as it is, to the
// former machine, which answers the client itself. So connections outlive the
// move, also those that were being opened meanwhile.
//
// The kernel does it, with one nftables rule for each family in tables of
// their own. The rule stands before the translation of addresses (priority
// mangle) and needs connection tracking. What a machine of the cluster has sent
// on is not sent on again, so nothing can go round. The tables outlive the
// process, for its restart must not break what they keep, and each entry ends
// by itself after a day.
//
// The package must not know who has an address, or why.
package relay

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/google/nftables"
)

// keepFor is how long packets of unknown connections are handed on after a move.
const keepFor = 24 * time.Hour

// Relay is this network namespace's part. Its methods may be called from any
// goroutine, and return when the kernel has taken the change.
type Relay struct {
	mu       sync.Mutex
	families []*family // IPv4, IPv6
	former   map[netip.Addr]netip.Addr
	peers    []net.HardwareAddr
}

// Open makes the tables, or takes over those of an earlier process with what
// is in them. It takes CAP_NET_ADMIN.
func Open() (*Relay, error) {
	r := &Relay{families: []*family{ipv4(), ipv6()}, former: map[netip.Addr]netip.Addr{}}
	for _, f := range r.families {
		entries, err := f.open()
		if err != nil {
			return nil, fmt.Errorf("nftables table %s %s: %w", f.name, f.table.Name, err)
		}
		maps.Copy(r.former, entries)
	}
	return r, nil
}

// Former returns the machines that packets may be handed to, by the address
// they are for.
func (r *Relay) Former() map[netip.Addr]netip.Addr {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.former)
}

// Keep hands packets of unknown connections to each address on to the machine
// that has the address it is mapped to, of the same family and on a segment of
// this machine.
func (r *Relay) Keep(former map[netip.Addr]netip.Addr) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.change(former, nil)
}

// Forget ends that for the addresses; those not kept are passed over.
func (r *Relay) Forget(addrs ...netip.Addr) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.change(nil, addrs)
}

// ForgetVia does so for those of the addresses whose packets go to the machine
// with the address via; those that go to another by now are passed over.
func (r *Relay) ForgetVia(via netip.Addr, addrs ...netip.Addr) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.change(nil, slices.DeleteFunc(slices.Clone(addrs), func(a netip.Addr) bool { return r.former[a] != via }))
}

// change is called with mu held.
func (r *Relay) change(add map[netip.Addr]netip.Addr, remove []netip.Addr) error {
	var errs []error
	for _, f := range r.families {
		err := f.change(r.elements(f, add, remove))
		if err != nil {
			// Entries end by themselves, and somebody may have emptied the tables: look what there is, and try again.
			if err = r.reread(f); err == nil {
				err = f.change(r.elements(f, add, remove))
			}
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("nftables table %s %s: %w", f.name, f.table.Name, err))
			continue
		}
		r.note(f, add, remove)
	}
	return errors.Join(errs...)
}

// elements returns what has to be put in and taken out. An entry that is replaced is taken out first.
func (r *Relay) elements(f *family, add map[netip.Addr]netip.Addr, remove []netip.Addr) (added, removed []nftables.SetElement) {
	for addr, via := range add {
		if addr.Is4() != f.four || via.Is4() != f.four {
			continue
		}
		if old, known := r.former[addr]; known {
			removed = append(removed, element(addr, old))
		}
		e := element(addr, via)
		e.Timeout = keepFor
		added = append(added, e)
	}
	for _, addr := range remove {
		if old, known := r.former[addr]; known && addr.Is4() == f.four {
			removed = append(removed, element(addr, old))
		}
	}
	return added, removed
}

// note keeps what the kernel now has.
func (r *Relay) note(f *family, add map[netip.Addr]netip.Addr, remove []netip.Addr) {
	for addr, via := range add {
		if addr.Is4() == f.four && via.Is4() == f.four {
			r.former[addr] = via
		}
	}
	for _, addr := range remove {
		if addr.Is4() == f.four {
			delete(r.former, addr)
		}
	}
}

// reread learns what the kernel has, and makes what is missing.
func (r *Relay) reread(f *family) error {
	entries, err := f.open()
	if err != nil {
		return err
	}
	maps.DeleteFunc(r.former, func(addr, _ netip.Addr) bool { return addr.Is4() == f.four })
	maps.Copy(r.former, entries)
	return f.setPeers(r.peers)
}

// SetPeers names the hardware addresses of the cluster's other machines: what
// comes from them was handed on already.
func (r *Relay) SetPeers(peers []net.HardwareAddr) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.EqualFunc(peers, r.peers, slices.Equal) {
		return nil
	}
	for _, f := range r.families {
		if err := f.setPeers(peers); err != nil {
			return fmt.Errorf("nftables table %s %s: %w", f.name, f.table.Name, err)
		}
	}
	r.peers = slices.Clone(peers)
	return nil
}

func element(addr, via netip.Addr) nftables.SetElement {
	return nftables.SetElement{Key: addr.AsSlice(), Val: via.AsSlice()}
}
