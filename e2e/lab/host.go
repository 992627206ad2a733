// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// Names of the hosts that every lab has. Nodes are n1, n2 ... (see NodeName).
const (
	ControlPlane = "cp"     // etcd, kube-apiserver, kube-controller-manager and the product's controller manager
	Router       = "router" // default gateway of the segment; eth0 on the segment, eth1 on the far network
	Client       = "client" // on the nodes' segment
	Far          = "far"    // behind the router
	switchHost   = "switch" // the bridges; not a station itself
)

// NodeName returns the name of node number n, from 1: both its host and its Node object.
func NodeName(n int) string { return fmt.Sprintf("n%d", n) }

// host is one machine: a network namespace.
type host struct {
	name   string
	nsName string
	addrs  [2]netip.Addr // IPv4 and IPv6 of eth0; zero for the switch

	mu   sync.RWMutex    // held for writing when the host goes away
	ns   netns.NsHandle  // closed once the host is gone
	link *netlink.Handle // nil once the host is gone
}

// newHost makes the namespace of a host, with the sysctls that every host of the lab has and the loopback link up.
func newHost(labID int, name string) (*host, error) {
	h := &host{name: name, nsName: netnsPrefix(labID) + name, ns: netns.None()}
	ns, err := createNamespace(h.nsName)
	if err != nil {
		return h, err
	}
	h.ns = ns
	if h.link, err = netlink.NewHandleAt(ns); err != nil {
		return h, fmt.Errorf("open netlink in host %q: %w", name, err)
	}
	if err := h.sysctl(hostSysctls()); err != nil {
		return h, err
	}
	return h, h.up("lo")
}

// hostSysctls are those of every host. Addresses are usable at once (no duplicate address detection), outlive a link
// that goes down, and come from nowhere but the lab.
func hostSysctls() map[string]string {
	values := map[string]string{}
	for _, scope := range []string{"all", "default"} {
		values["net/ipv4/conf/"+scope+"/rp_filter"] = "0"
		values["net/ipv6/conf/"+scope+"/accept_dad"] = "0"
		values["net/ipv6/conf/"+scope+"/accept_ra"] = "0"
		values["net/ipv6/conf/"+scope+"/keep_addr_on_down"] = "1"
		values["net/ipv6/conf/"+scope+"/router_solicitations"] = "0"
	}
	return values
}

// forwardingSysctls make a host a router: the router itself and the nodes.
func forwardingSysctls() map[string]string {
	return map[string]string{"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "1"}
}

// sysctl writes values, keyed by their path below /proc/sys, in the host.
func (h *host) sysctl(values map[string]string) error {
	return h.do(func() error {
		for key, value := range values {
			if err := os.WriteFile(filepath.Join("/proc/sys", key), []byte(value), 0o644); err != nil {
				return fmt.Errorf("set sysctl %s=%s in host %q: %w", strings.ReplaceAll(key, "/", "."), value, h.name, err)
			}
		}
		return nil
	})
}

// do runs f in the host; see inNamespace.
func (h *host) do(f func() error) error {
	return inNamespace(func() error {
		h.mu.RLock()
		defer h.mu.RUnlock()
		if h.link == nil {
			return h.gone()
		}
		return netns.Set(h.ns)
	}, f)
}

func (h *host) gone() error { return fmt.Errorf("host %q is gone", h.name) }

// dial opens a connection from the host. address must hold an IP literal: nothing resolves names in the lab.
func (h *host) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var conn net.Conn
	err := h.do(func() error {
		var err error
		conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// close gives back what the process holds of the host, and removes its namespace.
func (h *host) close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.link != nil {
		h.link.Close()
		h.link = nil
	}
	if h.ns.IsOpen() {
		_ = h.ns.Close()
	}
	return removeNamespace(h.nsName)
}

func (l *Lab) host(name string) (*host, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h, ok := l.hosts[name]
	if !ok {
		return nil, fmt.Errorf("the lab has no host %q", name)
	}
	return h, nil
}

// Dial opens a connection from a host; address must be an IP literal and a port.
func (l *Lab) Dial(ctx context.Context, host, network, address string) (net.Conn, error) {
	h, err := l.host(host)
	if err != nil {
		return nil, err
	}
	return h.dial(ctx, network, address)
}

// InHost runs f on a thread inside the host's network namespace: sockets that f opens belong to that host. f must not
// leave socket calls to other goroutines.
func (l *Lab) InHost(host string, f func() error) error {
	h, err := l.host(host)
	if err != nil {
		return err
	}
	return h.do(f)
}

// Addr4 returns the IPv4 address of a host's eth0. It panics on a host that does not exist: a mistake in the test.
func (l *Lab) Addr4(host string) netip.Addr { return l.mustHost(host).addrs[0] }

// Addr6 is Addr4 for IPv6.
func (l *Lab) Addr6(host string) netip.Addr { return l.mustHost(host).addrs[1] }

func (l *Lab) mustHost(name string) *host {
	h, err := l.host(name)
	if err != nil {
		panic(err)
	}
	return h
}

// Netlink runs f with a netlink handle of a host, for links, addresses, neighbours and routes. f must not keep it: once
// closed, it would work on the caller's own network.
func (l *Lab) Netlink(host string, f func(*netlink.Handle) error) error {
	h, err := l.host(host)
	if err != nil {
		return err
	}
	return h.netlink(f)
}
