// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-io/fairlead/e2e/lab"
	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/ipam"
)

// converge starts an announcer that is to announce 10,000 addresses, and waits until the router's kernel has a route to
// each. The VirtualIPs are made by hand, with nobody's ports, so that neither the controller manager nor kube-proxy takes
// part. Of the time, the session's part alone is told too: as long as the routes take when it is reset.
func converge(ctx context.Context, e *env) (figure, error) {
	node := e.lab.Nodes()[0]
	if err := e.makeKey(ctx); err != nil {
		return figure{}, err
	}
	e.say("creating %d VirtualIPs", manyOnOne)
	if err := e.createRoutedVIPs(ctx); err != nil {
		return figure{}, err
	}
	if err := e.lab.Build(ctx, "./cmd/fairlead-announcer"); err != nil {
		return figure{}, err
	}
	if err := e.openSessions(ctx, func(*v1alpha1.BGPPeerSpec) {}); err != nil {
		return figure{}, err
	}
	var fromStart, fromReset, memory []float64
	for i := range e.runsOr(5) {
		start := time.Now()
		agent, err := e.lab.StartAnnouncer(ctx, node)
		if err != nil {
			return figure{}, err
		}
		if err := e.awaitRoutes(ctx, manyOnOne); err != nil {
			return figure{}, err
		}
		fromStart = append(fromStart, time.Since(start).Seconds())
		reset, err := e.resetSession(ctx)
		if err != nil {
			return figure{}, err
		}
		fromReset = append(fromReset, reset.Seconds())
		used, err := readProcess(strconv.Itoa(agent.Pid()))
		if err != nil {
			return figure{}, err
		}
		memory = append(memory, float64(used.resident)/1e6)
		e.say("run %d: %.1f s from the start, %.1f s from a reset, %.0f MB", i+1, fromStart[i], fromReset[i], memory[i])
		agent.Kill()
		if err := e.awaitRoutes(ctx, 0); err != nil {
			return figure{}, err
		}
	}
	f := summarize("s", fromStart, true).with("addresses", manyOnOne)
	return f.with("after_reset_s", quantile(fromReset, 0.5)).with("after_reset_worst_s", quantile(fromReset, 1)).
		with("rss_mb", quantile(memory, 0.5)).with("rss_worst_mb", quantile(memory, 1)), nil
}

func (e *env) createRoutedVIPs(ctx context.Context) error {
	vips := e.fairlead.FairleadV1alpha1().VirtualIPs()
	return parallel(manyOnOne, func(i int) error {
		addr := unpooledAddress(i)
		_, err := vips.Create(ctx, &v1alpha1.VirtualIP{
			ObjectMeta: metav1.ObjectMeta{Name: ipam.ObjectName(addr)},
			Spec: v1alpha1.VirtualIPSpec{
				Address: addr.String(), ReclaimPolicy: v1alpha1.ReclaimRetain,
				Services: []v1alpha1.ServiceClaim{{Namespace: benchNamespace, Name: serviceName(i)}},
				Announce: []v1alpha1.Announcement{{BGP: &v1alpha1.BGPAnnouncement{}}},
			},
		}, metav1.CreateOptions{})
		return err
	})
}

// resetSession has the router end the session, and returns how long it has less than all routes.
func (e *env) resetSession(ctx context.Context) (time.Duration, error) {
	start := time.Now()
	if _, err := e.frr.Vtysh(ctx, "clear bgp *"); err != nil {
		return 0, err
	}
	if err := lab.Eventually(ctx, "the session's end", func(context.Context) (bool, string, error) {
		n, err := e.countRoutes()
		return n < manyOnOne, "all routes are there", err
	}); err != nil {
		return 0, err
	}
	err := e.awaitRoutes(ctx, manyOnOne)
	return time.Since(start), err
}

func (e *env) awaitRoutes(ctx context.Context, want int) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	return lab.Eventually(ctx, fmt.Sprintf("%d routes", want), func(context.Context) (bool, string, error) {
		n, err := e.countRoutes()
		return n == want, fmt.Sprintf("the router has %d", n), err
	})
}

// countRoutes counts what BGP has put into the router's kernel.
func (e *env) countRoutes() (int, error) {
	n := 0
	err := e.lab.Netlink(lab.Router, func(handle *netlink.Handle) error {
		all, err := handle.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Protocol: unix.RTPROT_BGP}, netlink.RT_FILTER_PROTOCOL)
		n = len(all)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("counting the router's routes: %w", err)
	}
	return n, nil
}
