// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-io/fairlead/e2e/lab"
	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/ipam"
)

const (
	// manyOnOne is the number of addresses of l2_arp.
	manyOnOne = 10_000
	// steadyRate is the number of requests per second at which CPU and reply times are measured.
	steadyRate = 1000
)

// manyAddresses gives one node 10,000 addresses and asks for them by ARP. The VirtualIPs are made by hand, with nobody's
// ports, so that neither the controller manager nor kube-proxy takes part: it is the announcer that is measured.
func manyAddresses(ctx context.Context, e *env) (figure, error) {
	node := e.lab.Nodes()[0]
	if err := e.makeKey(ctx); err != nil {
		return figure{}, err
	}
	e.say("creating %d VirtualIPs", manyOnOne)
	addrs, err := e.createMany(ctx, node)
	if err != nil {
		return figure{}, err
	}
	client, err := newAsker(e.lab, lab.Client)
	if err != nil {
		return figure{}, err
	}
	defer client.close() //nolint:errcheck // nothing is written to it any more
	e.say("starting the announcer")
	if err := e.lab.Build(ctx, "./cmd/fairlead-announcer"); err != nil {
		return figure{}, err
	}
	start := time.Now()
	agent, err := e.lab.StartAnnouncer(ctx, node)
	if err != nil {
		return figure{}, err
	}
	if err := client.awaitAll(ctx, addrs); err != nil {
		return figure{}, err
	}
	announced := time.Since(start)
	e.say("all are announced after %s", announced.Round(time.Millisecond))
	f, err := e.measureReplies(ctx, client, addrs, strconv.Itoa(agent.Pid()))
	return f.with("addresses", manyOnOne).with("all_announced_s", announced.Seconds()), err
}

// makeKey lets the controller manager make the gossip key, and ends it.
func (e *env) makeKey(ctx context.Context) error {
	if err := e.startCCM(ctx); err != nil {
		return err
	}
	defer e.ccm.Kill()
	return lab.Eventually(ctx, "the gossip key", func(ctx context.Context) (bool, string, error) {
		secret, err := e.kube.CoreV1().Secrets("fairlead-system").Get(ctx, "fairlead-gossip", metav1.GetOptions{})
		return err == nil && len(secret.Data["key"]) > 0, "the Secret is empty", err
	})
}

func (e *env) createMany(ctx context.Context, node string) ([]netip.Addr, error) {
	addrs := make([]netip.Addr, manyOnOne)
	for i := range addrs {
		addrs[i] = unpooledAddress(i)
	}
	vips := e.fairlead.FairleadV1alpha1().VirtualIPs()
	return addrs, parallel(len(addrs), func(i int) error {
		_, err := vips.Create(ctx, &v1alpha1.VirtualIP{
			ObjectMeta: metav1.ObjectMeta{Name: ipam.ObjectName(addrs[i])},
			Spec: v1alpha1.VirtualIPSpec{
				Address: addrs[i].String(), ReclaimPolicy: v1alpha1.ReclaimRetain, Candidates: []string{node}, Epoch: 1,
				Services: []v1alpha1.ServiceClaim{{Namespace: benchNamespace, Name: serviceName(i)}},
				Announce: []v1alpha1.Announcement{{L2: &v1alpha1.L2Announcement{Interfaces: []string{"eth0"}, Probe: new(false)}}},
			},
		}, metav1.CreateOptions{})
		return err
	})
}

// awaitAll asks for addresses until each has been answered once.
func (a *asker) awaitAll(ctx context.Context, addrs []netip.Addr) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	return lab.Eventually(ctx, "all addresses to be announced", func(ctx context.Context) (bool, string, error) {
		if _, _, err := a.askAll(ctx, addrs, 0); err != nil {
			return false, "", err
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		var left []netip.Addr
		for _, addr := range addrs {
			if _, answered := a.took[addr]; !answered {
				left = append(left, addr)
			}
		}
		missing := len(left)
		addrs = left
		return missing == 0, fmt.Sprintf("%d are not", missing), nil
	})
}

// measureReplies asks for all addresses at a steady rate, and then as fast as one client can.
func (e *env) measureReplies(ctx context.Context, client *asker, addrs []netip.Addr, pid string) (figure, error) {
	// The agent is still writing the status of all these addresses, at the pace it allows itself: what that takes is told
	// beside what it takes with requests.
	quietly, err := cpuShare(pid, func() error { return sleep(ctx, 5*time.Second) })
	if err != nil {
		return figure{}, err
	}
	e.say("asking %d times a second", steadyRate)
	var took []float64
	var unanswered int
	cpu, err := cpuShare(pid, func() (err error) {
		took, unanswered, err = client.askAll(ctx, addrs, steadyRate)
		return err
	})
	if err != nil {
		return figure{}, err
	}
	agent, err := readProcess(pid)
	if err != nil {
		return figure{}, err
	}
	e.say("asking as fast as one client can")
	start := time.Now()
	flood, lost, err := client.askAll(ctx, addrs, 0)
	if err != nil {
		return figure{}, err
	}
	perSecond := float64(len(flood)) / (time.Since(start) - time.Second/2).Seconds()
	f := summarize("ms", took, true).with("p99", quantile(took, 0.99)).with("unanswered", unanswered)
	return f.with("cpu_percent_at_1000_per_s", 100*cpu).with("cpu_percent_unasked", 100*quietly).
		with("rss_mb", float64(agent.resident)/1e6).
		with("replies_per_s", perSecond).with("unanswered_at_full_speed", lost), nil
}

// cpuShare returns how much of one core a process used while f ran.
func cpuShare(pid string, f func() error) (float64, error) {
	before, err := readProcess(pid)
	if err != nil {
		return 0, err
	}
	start := time.Now()
	if err := f(); err != nil {
		return 0, err
	}
	after, err := readProcess(pid)
	return (after.cpu - before.cpu).Seconds() / time.Since(start).Seconds(), err
}
