// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"cmp"
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/nftables"
	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-io/fairlead/e2e/netnstest"
	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

// TestFlushedRulesAreWrittenAgain also where VirtualIPs change all the time.
func TestFlushedRulesAreWrittenAgain(t *testing.T) {
	limited := vipA(func(vip *v1alpha1.VirtualIP) {
		vip.Spec.Services[0].Ports = []v1alpha1.ServicePort{{Protocol: corev1.ProtocolTCP, Port: 80}}
		vip.Spec.Services[0].AccessControl = &v1alpha1.AccessControl{Deny: []string{"10.1.0.0/16"}}
	})
	for _, tc := range []struct {
		name    string
		changes time.Duration // between two
	}{
		{"nothing changes", time.Hour},
		{"VirtualIPs change", time.Second},
		{"one changes just before the look", accessCheck - 2*time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			node := netnstest.New(t)
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				k := newAccessKeeper(func() []*v1alpha1.VirtualIP { return []*v1alpha1.VirtualIP{limited} }, func() {})
				var running sync.WaitGroup
				running.Go(func() { node.Do(t, func() { k.run(ctx) }) })
				defer running.Wait()
				defer cancel()
				pass := func(d time.Duration) {
					time.Sleep(d) // virtual
					synctest.Wait()
				}
				pass(time.Second)
				if tables(t, node) != 1 {
					t.Fatal("the rules have not been written")
				}
				node.Do(t, func() {
					conn := &nftables.Conn{}
					conn.FlushRuleset()
					if err := conn.Flush(); err != nil {
						t.Fatal(err)
					}
				})
				for left := accessCheck + time.Second; left > 0; left -= tc.changes {
					pass(min(tc.changes, left))
					if tc.changes < left {
						k.note(map[string]*v1alpha1.VirtualIP{limited.Name: limited})
					}
				}
				pass(0)
				if tables(t, node) != 1 {
					t.Error("the rules were flushed and have not been written again")
				}
			})
		})
	}
}

// TestReadyOnceRulesStand follows one address through the changes that decide whether it may be announced.
func TestReadyOnceRulesStand(t *testing.T) {
	open := vipA()
	limited := vipA(func(vip *v1alpha1.VirtualIP) {
		vip.Spec.Services[0].Ports = []v1alpha1.ServicePort{{Protocol: corev1.ProtocolTCP, Port: 80}}
		vip.Spec.Services[0].AccessControl = &v1alpha1.AccessControl{Deny: []string{"10.1.0.0/16"}}
	})
	another := limited.DeepCopy()
	another.UID = "2"
	node := netnstest.New(t)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var current atomic.Pointer[v1alpha1.VirtualIP] // as the informer has it, which is before the loop is told
		var told atomic.Int32
		k := newAccessKeeper(func() []*v1alpha1.VirtualIP {
			if vip := current.Load(); vip != nil {
				return []*v1alpha1.VirtualIP{vip}
			}
			return nil
		}, func() { told.Add(1) })
		current.Store(limited)
		var running sync.WaitGroup
		running.Go(func() { node.Do(t, func() { k.run(ctx) }) })
		defer running.Wait()
		defer cancel()
		synctest.Wait() // the rules are made before the loop is told of the VirtualIP
		for _, step := range []struct {
			name   string
			vip    *v1alpha1.VirtualIP
			ready  bool // before the rules have been looked at again
			told   int32
			tables int
		}{
			{"limited from the start", limited, false, 1, 1},
			{"opened", open, true, 1, 0},
			{"limited again", limited, true, 1, 1},
			{"deleted", nil, false, 1, 0},
			{"made anew", limited, false, 2, 1},
			{"deleted and made anew at once", another, false, 3, 1},
		} {
			current.Store(step.vip)
			k.note(map[string]*v1alpha1.VirtualIP{limited.Name: step.vip})
			vip := cmp.Or(step.vip, limited)
			if ready, err := k.ready(vip); ready != step.ready || err != nil {
				t.Errorf("%s: ready at once: %v, %v", step.name, ready, err)
			}
			time.Sleep(time.Second) // virtual
			synctest.Wait()
			if ready, err := k.ready(vip); ready != (step.vip != nil) || err != nil {
				t.Errorf("%s: ready after a second: %v, %v", step.name, ready, err)
			}
			if told.Load() != step.told {
				t.Errorf("%s: told of %d changes, expected %d", step.name, told.Load(), step.told)
			}
			if n := tables(t, node); n != step.tables {
				t.Errorf("%s: %d tables, expected %d", step.name, n, step.tables)
			}
		}
	})
}

// tables counts those of the kernel in a namespace.
func tables(t *testing.T, node netnstest.Namespace) (n int) {
	t.Helper()
	node.Do(t, func() {
		all, err := new(nftables.Conn).ListTables()
		if err != nil {
			t.Fatal(err)
		}
		n = len(all)
	})
	return n
}
