// SPDX-License-Identifier: Apache-2.0

package bgp

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/mdlayher/ndp"
	"golang.org/x/net/ipv6"
	"golang.org/x/sync/errgroup"
	"k8s.io/klog/v2"
)

const (
	// advertInterval is how often this machine shows itself to an unnumbered peer, which knows it by nothing else.
	advertInterval = 3 * time.Second
	// routerMemory is how long another router on the interface counts after its last advertisement.
	routerMemory = time.Minute
)

// advertisers find the routers at the other ends of interfaces, by router advertisements (RFC 4861 section 4.2), and
// send some, with lifetime 0: nobody will take this machine for a default gateway.
type advertisers struct {
	mu    sync.Mutex
	byIf  map[string]*advertiser
	tasks sync.WaitGroup
}

// advertiser is at work on one interface.
type advertiser struct {
	end context.CancelFunc
	// routers that advertised themselves, and when last; the advertisers' mu guards it.
	routers map[netip.Addr]time.Time
}

func newAdvertisers() *advertisers { return &advertisers{byIf: map[string]*advertiser{}} }

// want sets the interfaces. It begins on new ones, until they are wanted no more.
func (a *advertisers) want(ctx context.Context, ifnames map[string]bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.DeleteFunc(a.byIf, func(ifname string, one *advertiser) bool {
		if !ifnames[ifname] {
			one.end()
		}
		return !ifnames[ifname]
	})
	for ifname := range ifnames {
		if a.byIf[ifname] != nil {
			continue
		}
		life, end := context.WithCancel(context.WithoutCancel(ctx))
		one := &advertiser{end: end, routers: map[netip.Addr]time.Time{}}
		a.byIf[ifname] = one
		a.tasks.Go(func() { a.run(life, ifname, one) })
	}
}

// stop ends all and waits.
func (a *advertisers) stop(ctx context.Context) {
	a.want(ctx, nil)
	a.tasks.Wait()
}

// router returns the router at the other end of an interface, with the interface as zone.
func (a *advertisers) router(ifname string) (netip.Addr, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var newest netip.Addr
	recent := 0
	var routers map[netip.Addr]time.Time
	if one := a.byIf[ifname]; one != nil {
		routers = one.routers
	}
	for addr, seen := range routers {
		if !newest.IsValid() || seen.After(routers[newest]) {
			newest = addr
		}
		if time.Since(seen) < routerMemory {
			recent++
		}
	}
	if !newest.IsValid() {
		return netip.Addr{}, fmt.Errorf("no router has advertised itself on interface %s yet", ifname)
	}
	if recent > 1 {
		return netip.Addr{}, fmt.Errorf("%d routers advertise themselves on interface %s: an unnumbered peer must be alone",
			recent, ifname)
	}
	return newest.WithZone(ifname), nil
}

// run keeps a socket on the interface, which may come and go.
func (a *advertisers) run(ctx context.Context, ifname string, one *advertiser) {
	for {
		err := a.serve(ctx, ifname, one)
		if ctx.Err() != nil {
			return
		}
		klog.FromContext(ctx).V(1).Info("No router advertisements for now", "interface", ifname, "err", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(advertInterval):
		}
	}
}

func (a *advertisers) serve(ctx context.Context, ifname string, one *advertiser) error {
	link, err := net.InterfaceByName(ifname)
	if err != nil {
		return err
	}
	conn, own, err := listen(link)
	if err != nil {
		return err
	}
	tasks, ctx := errgroup.WithContext(ctx)
	tasks.Go(func() error {
		<-ctx.Done()
		return conn.Close()
	})
	tasks.Go(func() error { return send(ctx, conn, link) })
	tasks.Go(func() error { return a.receive(conn, own, one) })
	return tasks.Wait()
}

// listen opens a socket for the router advertisements of others, bound to the interface's link-local address.
func listen(link *net.Interface) (*ndp.Conn, netip.Addr, error) {
	conn, own, err := ndp.Listen(numbered(link), ndp.LinkLocal)
	if err != nil {
		return nil, own, err
	}
	var filter ipv6.ICMPFilter
	filter.SetAll(true)
	filter.Accept(ipv6.ICMPTypeRouterAdvertisement)
	err = conn.SetICMPFilter(&filter)
	if err == nil {
		err = conn.JoinGroup(netip.IPv6LinkLocalAllNodes())
	}
	if err != nil {
		conn.Close()
	}
	return conn, own, err
}

// receive notes the routers that advertise themselves, until the socket is closed.
func (a *advertisers) receive(conn *ndp.Conn, own netip.Addr, one *advertiser) error {
	for {
		m, _, from, err := conn.ReadFrom()
		if err != nil {
			return err
		}
		if _, ok := m.(*ndp.RouterAdvertisement); ok && from.WithZone("") != own.WithZone("") {
			a.note(one, from.WithZone(""))
		}
	}
}

// note keeps a router that has just advertised itself, and forgets those that count no more.
func (a *advertisers) note(one *advertiser, router netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	one.routers[router] = time.Now()
	maps.DeleteFunc(one.routers, func(_ netip.Addr, seen time.Time) bool { return time.Since(seen) >= routerMemory })
}

// numbered gives an interface its index for a name, which stands for a zone as well (RFC 4007 section 11.2). Package net
// remembers for a minute which index a name had, also when the interface was deleted and made again since.
func numbered(link *net.Interface) *net.Interface {
	same := *link
	same.Name = strconv.Itoa(link.Index)
	return &same
}

// send asks for advertisements once and then sends some, until ctx is done or one cannot be sent: the socket is for one
// address of one interface, and nothing but that tells that either is gone.
func send(ctx context.Context, conn *ndp.Conn, link *net.Interface) error {
	source := &ndp.LinkLayerAddress{Direction: ndp.Source, Addr: link.HardwareAddr}
	tick := time.NewTicker(advertInterval)
	defer tick.Stop()
	ask := &ndp.RouterSolicitation{Options: []ndp.Option{source}}
	if err := conn.WriteTo(ask, nil, netip.IPv6LinkLocalAllRouters()); err != nil {
		return fmt.Errorf("router solicitation not sent on interface %s: %w", link.Name, err)
	}
	for {
		show := &ndp.RouterAdvertisement{Options: []ndp.Option{source}}
		if err := conn.WriteTo(show, nil, netip.IPv6LinkLocalAllNodes()); err != nil {
			return fmt.Errorf("router advertisement not sent on interface %s: %w", link.Name, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
