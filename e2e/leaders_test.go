// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/fairlead-io/fairlead/e2e/lab"
)

// quickElection makes a standby take over within seconds.
var quickElection = []string{
	"--leader-elect-lease-duration=3s", "--leader-elect-renew-deadline=2s", "--leader-elect-retry-period=500ms",
}

// create makes a LoadBalancer Service of a test with many of them, which no cleanup deletes one by one.
func (s *space) create(ctx context.Context, name string) error {
	_, err := s.Client().CoreV1().Services(s.namespace).Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: s.namespace},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeLoadBalancer, AllocateLoadBalancerNodePorts: new(false),
			Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}},
		},
	}, metav1.CreateOptions{})
	return err
}

// all returns the addresses of all Services of the namespace by name.
func (s *space) all(ctx context.Context) (map[string][]netip.Addr, error) {
	list, err := s.Client().CoreV1().Services(s.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	found := map[string][]netip.Addr{}
	for i := range list.Items {
		if found[list.Items[i].Name], err = ingress(&list.Items[i]); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// awaitConsistent waits until exactly the wanted Services are there, each with one address that is its own, and until
// every VirtualIP is one of these Services' and names it alone.
func (s *space) awaitConsistent(ctx context.Context, want []string) map[string]netip.Addr {
	s.t.Helper()
	result := map[string]netip.Addr{}
	lab.Await(ctx, s.t, fmt.Sprintf("%d Services with one address each, and no other VirtualIP", len(want)), func(ctx context.Context) (bool, string, error) {
		have, err := s.all(ctx)
		if err != nil {
			return false, err.Error(), nil //nolint:nilerr // tried again: the wait reports it
		}
		vips, err := s.fairlead.FairleadV1alpha1().VirtualIPs().List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, err.Error(), nil //nolint:nilerr // tried again: the wait reports it
		}
		clear(result)
		owners := map[string]string{} // Service by address, as Services say
		for name, addrs := range have {
			if len(addrs) != 1 {
				return false, fmt.Sprintf("Service %s has %v", name, addrs), nil
			}
			if other, twice := owners[addrs[0].String()]; twice {
				return false, fmt.Sprintf("%s has the address %s of %s", name, addrs[0], other), nil
			}
			owners[addrs[0].String()], result[name] = name, addrs[0]
		}
		for i := range vips.Items {
			spec := &vips.Items[i].Spec
			if len(spec.Services) != 1 || spec.Services[0].Name != owners[spec.Address] {
				return false, fmt.Sprintf("VirtualIP %s is claimed by %+v, its address is in the status of %q", spec.Address, spec.Services, owners[spec.Address]), nil
			}
		}
		names := slices.Sorted(maps.Keys(have))
		return slices.Equal(slices.Sorted(slices.Values(want)), names) && len(vips.Items) == len(want),
			fmt.Sprintf("%d Services, %d VirtualIPs", len(have), len(vips.Items)), nil
	})
	return result
}

func (c *cloud) startCCM(t *testing.T, name string, args ...string) *lab.Process {
	t.Helper()
	p, err := c.StartCCM(t.Context(), name, lab.CCMOptions{ExtraArgs: args})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// awaitLeader waits until a manager has become the leader after a moment.
func (c *cloud) awaitLeader(t *testing.T, notBefore time.Time) {
	t.Helper()
	lab.Await(t.Context(), t, "a new leader", func(ctx context.Context) (bool, string, error) {
		lease, err := c.Client().CoordinationV1().Leases("fairlead-system").Get(ctx, "fairlead-cloud-controller-manager", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return false, "no lease", nil
		}
		if err != nil {
			return false, "", err
		}
		acquired := lease.Spec.AcquireTime
		return acquired != nil && acquired.After(notBefore), fmt.Sprint(acquired), nil
	})
}

func TestLeaderDiesInABurst(t *testing.T) {
	c := ownCloud(t, lab.Config{Nodes: 1})
	ctx := bounded(t, 3*time.Minute)
	leader := c.startCCM(t, "ccm-1", quickElection...)
	c.awaitLeader(t, time.Time{})
	standby := c.startCCM(t, "ccm-2", quickElection...)
	s := newSpace(t, c)
	s.pool("p", []string{span(s.v4(1), s.v4(250))})

	const burst = 100
	var names []string
	for i := range burst {
		names = append(names, fmt.Sprintf("b%03d", i))
	}
	died := make(chan time.Time, 1)
	var dying sync.WaitGroup
	dying.Go(func() {
		// In the middle: some Services have an address, some a claim only, and some are not made yet.
		_ = lab.Eventually(ctx, "a part of the burst", func(ctx context.Context) (bool, string, error) {
			vips, err := c.fairlead.FairleadV1alpha1().VirtualIPs().List(ctx, metav1.ListOptions{})
			return err == nil && len(vips.Items) >= burst/4, "", nil
		})
		died <- time.Now()
		leader.Kill()
	})
	for _, name := range names {
		if err := s.create(ctx, name); err != nil {
			t.Fatal(err)
		}
	}
	dying.Wait()
	c.awaitLeader(t, <-died)
	before := s.awaitConsistent(ctx, names)

	// A restart of the whole manager changes no address; a Service made and one deleted meanwhile are noticed.
	standby.Kill()
	if err := s.create(ctx, "late"); err != nil {
		t.Fatal(err)
	}
	if err := c.Client().CoreV1().Services(s.namespace).Delete(ctx, names[7], metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	c.startCCM(t, "ccm-3", quickElection...)
	after := s.awaitConsistent(ctx, append(slices.Delete(slices.Clone(names), 7, 8), "late"))
	for name, addr := range before {
		if now, there := after[name]; there && now != addr {
			t.Errorf("Service %s moved from %s to %s", name, addr, now)
		}
	}
}

func TestAddressInStatusIsClaimedBackAfterRestart(t *testing.T) {
	c := ownCloud(t, lab.Config{Nodes: 1})
	ctx := t.Context()
	ccm := c.startCCM(t, "ccm-1", "--leader-elect=false")
	s := newSpace(t, c)
	s.pool("p", []string{span(s.v4(10), s.v4(20))})
	for _, name := range []string{"a", "b"} {
		s.service(name)
		s.awaitCount(name, 1)
	}
	ccm.Kill()
	if err := c.fairlead.FairleadV1alpha1().VirtualIPs().DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	s.service("newcomer") // would take the lowest address, were it free
	c.startCCM(t, "ccm-2", "--leader-elect=false")
	s.awaitAddresses("newcomer", s.v4(12))
	s.wantAddresses("a", s.v4(10))
	s.wantAddresses("b", s.v4(11))
	lab.Await(ctx, t, "the VirtualIPs of all three", func(ctx context.Context) (bool, string, error) {
		vips, err := c.fairlead.FairleadV1alpha1().VirtualIPs().List(ctx, metav1.ListOptions{})
		return err == nil && len(vips.Items) == 3, fmt.Sprint(len(vips.Items)), err
	})
}

// chaosTime is how long two leaders are killed at random while Services come and go.
const chaosTime = 40 * time.Second

// TestTwoLeadersNeverGiveOneAddressTwice: two managers that both lead, killed at random, make and give up claims at the same
// time. At no moment do the statuses of two Services show one address; in the end every Service has its own, and nothing is
// leaked.
func TestTwoLeadersNeverGiveOneAddressTwice(t *testing.T) {
	c := ownCloud(t, lab.Config{Nodes: 1})
	ctx := bounded(t, 4*time.Minute)
	s := newSpace(t, c)
	// Little more room than Services, so that both leaders want the same addresses all the time.
	s.pool("p", []string{span(s.v4(1), s.v4(60))})
	chaos, stop := context.WithTimeout(ctx, chaosTime)
	defer stop()
	var running sync.WaitGroup
	for n := range 2 {
		running.Go(func() { c.keepKilling(ctx, chaos, t, fmt.Sprintf("leader-%d", n)) })
	}
	const writers, slots = 4, 10
	left := make([]map[string]bool, writers)
	for n := range writers {
		left[n] = map[string]bool{}
		running.Go(func() { s.churn(ctx, chaos, n, slots, left[n]) })
	}
	watched, endWatch := context.WithCancel(ctx)
	defer endWatch()
	var watching sync.WaitGroup
	watching.Go(func() { s.watchForDoubles(watched) })
	running.Wait()
	var want []string
	for _, names := range left {
		want = append(want, slices.Collect(maps.Keys(names))...)
	}
	t.Logf("%d Services are left", len(want))
	s.awaitConsistent(ctx, want)
	endWatch()
	watching.Wait()
}

// keepKilling runs a manager that takes itself for the leader, and kills it at random until the chaos is over; the last
// one lives on.
func (c *cloud) keepKilling(ctx, chaos context.Context, t *testing.T, name string) {
	for kills := 0; ; kills++ {
		p, err := c.StartCCM(ctx, name, lab.CCMOptions{ExtraArgs: []string{"--leader-elect=false"}})
		if err != nil {
			t.Error(err)
			return
		}
		select {
		case <-chaos.Done():
			t.Logf("%s was killed %d times", name, kills)
			return
		case <-time.After(3*time.Second + rand.N(6*time.Second)):
			p.Kill()
		}
	}
}

// churn makes and deletes Services until the chaos is over, and keeps account of those that are left.
func (s *space) churn(ctx, chaos context.Context, writer, slots int, left map[string]bool) {
	for chaos.Err() == nil {
		name := fmt.Sprintf("w%d-%d", writer, rand.N(slots))
		var err error
		if left[name] {
			err = s.Client().CoreV1().Services(s.namespace).Delete(ctx, name, metav1.DeleteOptions{})
			delete(left, name)
		} else if err = s.create(ctx, name); err == nil {
			left[name] = true
		}
		// A Service whose deletion is under way still has its name.
		if err != nil && !apierrors.IsAlreadyExists(err) && !apierrors.IsNotFound(err) {
			s.t.Errorf("Service %s: %v", name, err)
			return
		}
		select {
		case <-chaos.Done():
		case <-time.After(rand.N(100 * time.Millisecond)):
		}
	}
}

// watchForDoubles follows every version of every Service until the context ends, and fails the test at the first one whose
// status shows an address that another Service's status shows.
func (s *space) watchForDoubles(ctx context.Context) {
	w, err := s.Client().CoreV1().Services(s.namespace).Watch(ctx, metav1.ListOptions{})
	if err != nil {
		s.t.Error(err)
		return
	}
	defer w.Stop()
	versions, shownBy := 0, map[string]string{} // Service by address
	for {
		select {
		case <-ctx.Done():
			s.t.Logf("saw %d versions of Services", versions)
			return
		case event, open := <-w.ResultChan():
			service, ok := event.Object.(*corev1.Service)
			if !open || !ok {
				if ctx.Err() == nil {
					s.t.Errorf("the watch of Services ended: %v", event.Object)
				}
				return
			}
			versions++
			if event.Type == watch.Deleted {
				service.Status.LoadBalancer.Ingress = nil
			}
			s.takeDown(shownBy, service)
		}
	}
}

// takeDown makes shownBy what it is after a new version of a Service.
func (s *space) takeDown(shownBy map[string]string, service *corev1.Service) {
	maps.DeleteFunc(shownBy, func(_, name string) bool { return name == service.Name })
	for _, one := range service.Status.LoadBalancer.Ingress {
		if other, taken := shownBy[one.IP]; taken {
			s.t.Errorf("%s is in the status of %s while it is in the status of %s (version %s)", one.IP, service.Name, other, service.ResourceVersion)
		}
		shownBy[one.IP] = service.Name
	}
}
