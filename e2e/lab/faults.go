// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/vishvananda/netlink"
)

// CutLink pulls a host's cable out of the switch: the host loses its carrier, and with it everything it can reach.
// Processes, addresses and routes stay. A node's heartbeats end with it.
func (l *Lab) CutLink(host string) error { return l.setPort(host, false) }

// RestoreLink plugs the cable in again.
func (l *Lab) RestoreLink(host string) error { return l.setPort(host, true) }

func (l *Lab) setPort(name string, up bool) error {
	if _, err := l.host(name); err != nil {
		return err
	}
	sw, err := l.host(switchHost)
	if err != nil {
		return err
	}
	return sw.onDevice(name, func(handle *netlink.Handle, port netlink.Link) error {
		if up {
			return handle.LinkSetUp(port)
		}
		return handle.LinkSetDown(port)
	})
}

// CrashNode is a machine that is gone, seen from outside: its cable is dead and its heartbeats end. Its processes run
// on, so that RestoreNode shows what happens when a machine that everybody took for dead comes back as it was.
func (l *Lab) CrashNode(name string) error {
	n, err := l.node(name)
	if err != nil {
		return err
	}
	if err := l.CutLink(name); err != nil {
		return err
	}
	n.kubelet.stop()
	return nil
}

// PowerOffNode is CrashNode, and the announcer and kube-proxy of the node are killed. RestoreNode boots it: both start
// anew, with nothing left in the packet filter.
func (l *Lab) PowerOffNode(ctx context.Context, name string) error {
	n, err := l.node(name)
	if err != nil {
		return err
	}
	if err := l.CutLink(name); err != nil {
		return err
	}
	l.mu.Lock()
	n.poweredOff, n.announcerOn = true, n.announcer != nil && !n.announcer.Exited()
	killed := []*Process{n.announcer, n.kubeProxy}
	l.mu.Unlock()
	for _, p := range killed {
		if p != nil {
			p.Kill()
		}
	}
	n.kubelet.stop()
	_, err = l.Exec(ctx, name, "nft", "flush", "ruleset")
	return err
}

// RestoreNode brings a node back that CrashNode or PowerOffNode took away: cable, heartbeats and the status of its pods,
// and after PowerOffNode kube-proxy and the announcer, if one ran. It returns when the node has made a heartbeat.
func (l *Lab) RestoreNode(ctx context.Context, name string) error {
	n, err := l.node(name)
	if err != nil {
		return err
	}
	if err := l.RestoreLink(name); err != nil {
		return err
	}
	if err := n.kubelet.start(ctx); err != nil {
		return err
	}
	l.mu.Lock()
	boot, announcer, args := n.poweredOff, n.announcerOn, n.announcerArgs
	n.poweredOff, n.announcerOn = false, false
	l.mu.Unlock()
	if !boot {
		return nil
	}
	if err := n.kubelet.reportBoot(ctx); err != nil {
		return err
	}
	if err := l.startKubeProxy(ctx, n); err != nil {
		return err
	}
	if announcer {
		_, err = l.StartAnnouncer(ctx, name, args...)
	}
	return err
}

// StopHeartbeats silences a node's kubelet alone: the machine works, Kubernetes will take it for dead.
func (l *Lab) StopHeartbeats(nodeName string) error {
	n, err := l.node(nodeName)
	if err != nil {
		return err
	}
	n.kubelet.stop()
	return nil
}

// StartHeartbeats lets the kubelet of a node speak again, and returns when it has.
func (l *Lab) StartHeartbeats(ctx context.Context, nodeName string) error {
	n, err := l.node(nodeName)
	if err != nil {
		return err
	}
	return n.kubelet.start(ctx)
}

// Partition cuts the segment: hosts of different groups no longer reach each other, while their links stay up. Hosts
// in no group reach everybody. It replaces an earlier partition and earlier blocks.
func (l *Lab) Partition(ctx context.Context, groups ...[]string) error {
	blocked := map[[2]string]bool{}
	for i, a := range groups {
		for j, b := range groups {
			if i == j {
				continue
			}
			for _, from := range a {
				for _, to := range b {
					blocked[[2]string{from, to}] = true
				}
			}
		}
	}
	return l.setBlocked(ctx, blocked)
}

// Block drops what one host sends to another on the segment, and not the other way round. It adds to what is blocked.
func (l *Lab) Block(ctx context.Context, from, to string) error {
	l.mu.Lock()
	blocked := map[[2]string]bool{{from, to}: true}
	for pair := range l.blocked {
		blocked[pair] = true
	}
	l.mu.Unlock()
	return l.setBlocked(ctx, blocked)
}

// Heal ends all partitions and blocks. It does not plug cables in.
func (l *Lab) Heal(ctx context.Context) error { return l.setBlocked(ctx, map[[2]string]bool{}) }

// setBlocked loads a bridge filter into the switch, in one transaction.
func (l *Lab) setBlocked(ctx context.Context, blocked map[[2]string]bool) error {
	var rules strings.Builder
	rules.WriteString("table bridge fairlead\nflush table bridge fairlead\ntable bridge fairlead {\nchain forward {\n" +
		"type filter hook forward priority 0; policy accept;\n")
	for pair := range blocked {
		for _, name := range pair {
			if _, err := l.host(name); err != nil {
				return errors.Join(errors.New("cut the segment"), err)
			}
		}
		fmt.Fprintf(&rules, "iifname %q oifname %q drop\n", pair[0], pair[1])
	}
	rules.WriteString("}\n}\n")
	if _, err := l.execInput(ctx, switchHost, []byte(rules.String()), "nft", "-f", "-"); err != nil {
		return fmt.Errorf("cut the segment: %w", err)
	}
	l.mu.Lock()
	l.blocked = blocked
	l.mu.Unlock()
	return nil
}
