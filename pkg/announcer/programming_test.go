// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"errors"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

// withChecker runs a checker in virtual time against a kube-proxy that answers as forwarding says.
func withChecker(t *testing.T, f func(c *programChecker, forwarding *atomic.Bool, looks *atomic.Int32)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var forwarding atomic.Bool
		var looks atomic.Int32
		c := newProgramChecker(func(context.Context, netip.Addr, portOf) (bool, error) {
			looks.Add(1)
			return forwarding.Load(), nil
		}, func([]netip.Addr) {})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); c.run(ctx) }()
		f(c, &forwarding, &looks)
		cancel()
		<-done
	})
}

func claims(protocols ...corev1.Protocol) []v1alpha1.ServiceClaim {
	var out []v1alpha1.ServiceClaim
	for i, p := range protocols {
		out = append(out, v1alpha1.ServiceClaim{Name: string(p), Ports: []v1alpha1.ServicePort{{Protocol: p, Port: int32(80 + i)}}})
	}
	return out
}

func localClaims(healthCheckNodePort int32) []v1alpha1.ServiceClaim {
	out := claims(corev1.ProtocolTCP)
	out[0].ExternalTrafficPolicy, out[0].HealthCheckNodePort = corev1.ServiceExternalTrafficPolicyLocal, healthCheckNodePort
	return out
}

func TestVerdictFollowsKubeProxy(t *testing.T) {
	vip := netip.MustParseAddr("10.0.0.100")
	withChecker(t, func(c *programChecker, forwarding *atomic.Bool, _ *atomic.Int32) {
		expect := func(after time.Duration, want programming, why string) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			if got := c.state(vip); got != want {
				t.Errorf("%s: verdict %d, want %d", why, got, want)
			}
		}
		c.watch(vip, claims(corev1.ProtocolTCP), true)
		expect(time.Second, programmingUnknown, "kube-proxy may need a second")
		expect(programmingGrace, notProgrammed, "after the grace and the look that follows it")
		forwarding.Store(true)
		expect(2*time.Second, programmed, "kube-proxy has followed late")
		forwarding.Store(false)
		expect(100*time.Millisecond, programmed, "nobody has looked again")
		expect(2*steadyRecheck+programmingGrace, notProgrammed, "rules lost")
	})
}

// TestEndpointsOnTheNodeAreAwaited: with externalTrafficPolicy Local, a node that kube-proxy has not told of its endpoint yet
// drops what comes in, though it translates the address.
func TestEndpointsOnTheNodeAreAwaited(t *testing.T) {
	vip := netip.MustParseAddr("10.0.0.100")
	local := localClaims(32000)
	for _, tc := range []struct {
		name            string
		services        []v1alpha1.ServiceClaim
		answered, ready bool
		now, later      programming
	}{
		{"none yet", local, true, false, programmingUnknown, withoutEndpoint},
		{"one", local, true, true, programmed, programmed},
		{"kube-proxy does not say", local, false, false, programmed, programmed},
		{"no port to ask at", localClaims(0), true, false, programmed, programmed},
		{"none of one Service of two", append(claims(corev1.ProtocolTCP), local...), true, false, programmingUnknown, withoutEndpoint},
		{"none, and any node serves", claims(corev1.ProtocolTCP), true, false, programmed, programmed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			withChecker(t, func(c *programChecker, forwarding *atomic.Bool, _ *atomic.Int32) {
				forwarding.Store(true)
				c.local = func(_ context.Context, port int32) (ready, answered bool) {
					return tc.ready && port == 32000, tc.answered
				}
				c.watch(vip, tc.services, true)
				time.Sleep(time.Second)
				synctest.Wait()
				if got := c.state(vip); got != tc.now {
					t.Errorf("verdict %d, want %d", got, tc.now)
				}
				time.Sleep(programmingGrace)
				synctest.Wait()
				if got := c.state(vip); got != tc.later {
					t.Errorf("verdict %d after the grace, want %d", got, tc.later)
				}
			})
		})
	}
}

// TestEndpointsAreNoticedSoon: an address follows its endpoint within a second, of which kube-proxy takes most.
func TestEndpointsAreNoticedSoon(t *testing.T) {
	withChecker(t, func(c *programChecker, forwarding *atomic.Bool, _ *atomic.Int32) {
		forwarding.Store(true)
		last, longest := time.Now(), time.Duration(0)
		c.local = func(context.Context, int32) (ready, answered bool) {
			longest, last = max(longest, time.Since(last)), time.Now()
			return false, true
		}
		c.watch(netip.MustParseAddr("10.0.0.100"), localClaims(32000), true)
		time.Sleep(programmingGrace - time.Millisecond)
		synctest.Wait()
		if most := 3*endpointRecheck/2 + checkRound; longest == 0 || longest > most {
			t.Errorf("nobody asked for %s, want at most %s", longest, most)
		}
	})
}

// TestMissingEndpointsHoldNobodyUp: that Services have no endpoint on the node does not mean that kube-proxy has not followed.
func TestMissingEndpointsHoldNobodyUp(t *testing.T) {
	now := time.Unix(0, 0)
	c := newProgramChecker(func(context.Context, netip.Addr, portOf) (bool, error) { return true, nil }, func([]netip.Addr) {})
	c.now = func() time.Time { now = now.Add(time.Nanosecond); return now }
	c.local = func(context.Context, int32) (ready, answered bool) { return false, true }
	addr := netip.MustParseAddr("10.0.0.100")
	for range scouts {
		c.watch(addr, localClaims(32000), true)
		addr = addr.Next()
	}
	c.watch(addr, claims(corev1.ProtocolTCP), true)
	c.checkDue(t.Context())
	if got := c.state(addr); got != programmed {
		t.Errorf("verdict %d on an address that any node serves, behind %d without endpoints here", got, scouts)
	}
}

// TestStandbysLookLater: a node that is not to announce an address looks at it once kube-proxy has mostly followed, unless
// it has become the first candidate, or somebody else has failed.
func TestStandbysLookLater(t *testing.T) {
	vip := netip.MustParseAddr("10.0.0.100")
	for _, tc := range []struct {
		name string
		then func(c *programChecker)
		want programming
	}{
		{"nothing happens", func(*programChecker) {}, programmingUnknown},
		{"becomes the first", func(c *programChecker) { c.watch(vip, claims(corev1.ProtocolTCP), true) }, programmed},
		{"a member fails", (*programChecker).hurry, programmed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			withChecker(t, func(c *programChecker, forwarding *atomic.Bool, looks *atomic.Int32) {
				c.watch(vip, claims(corev1.ProtocolTCP), false)
				time.Sleep(standbyLook/2 - time.Second)
				if n := looks.Load(); n != 0 {
					t.Errorf("%d looks before the address is needed", n)
				}
				forwarding.Store(true)
				tc.then(c)
				time.Sleep(checkRound)
				synctest.Wait()
				if got := c.state(vip); got != tc.want {
					t.Errorf("verdict %d, want %d", got, tc.want)
				}
				time.Sleep(standbyLook + time.Second)
				synctest.Wait()
				if got := c.state(vip); got != programmed {
					t.Errorf("verdict %d after the time of a standby", got)
				}
				forwarding.Store(false)
				time.Sleep(2*steadyRecheck + programmingGrace)
				synctest.Wait()
				if got := c.state(vip); got != notProgrammed {
					t.Errorf("verdict %d after the rules were lost", got)
				}
			})
		})
	}
}

func TestNewPortsKeepTheVerdictForTheGrace(t *testing.T) {
	vip := netip.MustParseAddr("10.0.0.100")
	withChecker(t, func(c *programChecker, forwarding *atomic.Bool, _ *atomic.Int32) {
		forwarding.Store(true)
		c.watch(vip, claims(corev1.ProtocolTCP), true)
		synctest.Wait()
		forwarding.Store(false)
		c.watch(vip, claims(corev1.ProtocolTCP, corev1.ProtocolUDP), true)
		time.Sleep(programmingGrace - 200*time.Millisecond)
		synctest.Wait()
		if got := c.state(vip); got != programmed {
			t.Errorf("verdict %d while kube-proxy programs a new port", got)
		}
	})
}

func TestAddressesAreNotCheckedTooOften(t *testing.T) {
	withChecker(t, func(c *programChecker, forwarding *atomic.Bool, looks *atomic.Int32) {
		forwarding.Store(true)
		c.watch(netip.MustParseAddr("10.0.0.100"), claims(corev1.ProtocolTCP), true)
		time.Sleep(10 * time.Minute)
		if n := looks.Load(); n < 20 || n > 90 {
			t.Errorf("%d looks in ten minutes, want one in %v", n, steadyRecheck)
		}
		c.forget(netip.MustParseAddr("10.0.0.100"))
		before := looks.Load()
		time.Sleep(10 * time.Minute)
		if n := looks.Load() - before; n > 1 {
			t.Errorf("%d looks at a forgotten address", n)
		}
	})
}

// TestOldestAreLookedAtFirst: of a thousand addresses made at once few are looked at while kube-proxy has not followed, and
// all when it has; those that it never follows on hold nobody up for longer than the grace.
func TestOldestAreLookedAtFirst(t *testing.T) {
	const many = 1000
	withChecker(t, func(c *programChecker, forwarding *atomic.Bool, looks *atomic.Int32) {
		addr := netip.MustParseAddr("10.0.0.0")
		for range many {
			addr = addr.Next()
			c.watch(addr, claims(corev1.ProtocolTCP), true)
		}
		time.Sleep(programmingGrace / 2)
		synctest.Wait()
		if n := looks.Load(); n == 0 || n > many/5 {
			t.Errorf("%d looks at %d addresses before kube-proxy has followed", n, many)
		}
		forwarding.Store(true)
		time.Sleep(2 * patientRecheck)
		synctest.Wait()
		for a := netip.MustParseAddr("10.0.0.1"); a != addr.Next(); a = a.Next() {
			if got := c.state(a); got != programmed {
				t.Fatalf("%v: verdict %d after kube-proxy has followed", a, got)
			}
		}
	})
}

func TestWhatCannotBeCheckedCountsAsProgrammed(t *testing.T) {
	vip := netip.MustParseAddr("10.0.0.100")
	for _, tc := range []struct {
		name     string
		services []v1alpha1.ServiceClaim
		err      error
	}{
		{"SCTP only", claims(corev1.ProtocolSCTP), nil},
		{"a reservation without Services", nil, nil},
		{"the kernel cannot be asked", claims(corev1.ProtocolTCP), errors.New("no conntrack")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newProgramChecker(func(context.Context, netip.Addr, portOf) (bool, error) { return false, tc.err }, func([]netip.Addr) {})
			c.watch(vip, tc.services, true)
			c.checkDue(t.Context())
			if got := c.state(vip); got != programmed {
				t.Errorf("verdict %d", got)
			}
		})
	}
}
