// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-io/fairlead/e2e/lab"
	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/settings"
)

func TestNamedPoolsInOrder(t *testing.T) {
	t.Parallel()
	s := newSpace(t, sharedCloud(t))
	off := false
	first := s.pool("first", []string{s.v4(10).String()}, func(spec *v1alpha1.AddressPoolSpec) { spec.AutoAssign = &off })
	second := s.pool("second", []string{span(s.v4(20), s.v4(29))}, func(spec *v1alpha1.AddressPoolSpec) { spec.AutoAssign = &off })
	names := annotated(settings.AddressPoolKey, first.Name+","+second.Name)
	s.service("a", names)
	s.awaitAddresses("a", s.v4(10))
	s.service("b", names)
	s.awaitAddresses("b", s.v4(20))
	s.service("none")
	s.awaitWarning("none", first.Name, "autoAssign")
	s.service("unknown", annotated(settings.AddressPoolKey, "no-such-pool"))
	s.awaitWarning("unknown", "no-such-pool", "does not exist")
}

func TestPoolsByPriorityAndSelectors(t *testing.T) {
	t.Parallel()
	s := newSpace(t, sharedCloud(t))
	selected := func(key string) func(*v1alpha1.AddressPoolSpec) {
		return func(spec *v1alpha1.AddressPoolSpec) {
			spec.Namespaces = nil
			spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"space": key}}
		}
	}
	s.pool("low", []string{span(s.v4(10), s.v4(19))}, selected(s.namespace))
	s.pool("other", []string{span(s.v4(20), s.v4(29))}, selected("nobody"), func(spec *v1alpha1.AddressPoolSpec) { spec.Priority = 9 })
	high := s.pool("high", []string{s.v4(30).String()}, selected(s.namespace), func(spec *v1alpha1.AddressPoolSpec) { spec.Priority = 1 })
	s.awaitCondition(high.Name, v1alpha1.ConditionReady, metav1.ConditionTrue) // before that it may know "low" alone
	s.service("a")
	s.awaitAddresses("a", s.v4(30))
	s.service("b")
	s.awaitAddresses("b", s.v4(10))
}

func TestLimitPerNamespace(t *testing.T) {
	t.Parallel()
	s := newSpace(t, sharedCloud(t))
	pool := s.pool("p", []string{span(s.v4(10), s.v4(20))}, func(spec *v1alpha1.AddressPoolSpec) { spec.MaxPerNamespace = 1 })
	s.service("a")
	s.awaitAddresses("a", s.v4(10))
	s.service("b")
	s.awaitWarning("b", pool.Name, "limit of 1", s.namespace)
	s.deleteService("a")
	s.awaitCount("b", 1)
}

func TestEditsAndDeletionOfAPoolTakeNothingAway(t *testing.T) {
	t.Parallel()
	s := newSpace(t, sharedCloud(t))
	pool := s.pool("p", []string{span(s.v4(10), s.v4(20))})
	s.service("a")
	s.awaitAddresses("a", s.v4(10))
	before := s.wantVIP(s.v4(10))

	s.editPool(pool.Name, func(spec *v1alpha1.AddressPoolSpec) {
		spec.Addresses = []v1alpha1.AddressRange{v1alpha1.AddressRange(span(s.v4(30), s.v4(39)))}
	})
	s.awaitCondition(pool.Name, "Ready", metav1.ConditionTrue, "1 assigned addresses lie outside", s.v4(10).String(), s.namespace+"/a")
	s.service("b")
	s.awaitAddresses("b", s.v4(30))
	s.editPool(pool.Name, func(spec *v1alpha1.AddressPoolSpec) { spec.Disabled = true })
	s.awaitCondition(pool.Name, "Ready", metav1.ConditionFalse, "Disabled", "spec.disabled")
	s.service("c")
	s.awaitWarning("c", pool.Name, "disabled")
	if err := s.fairlead.FairleadV1alpha1().AddressPools().Delete(t.Context(), pool.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	// The next pool is handed out, so the deletion has been seen.
	s.pool("q", []string{s.v4(50).String()})
	s.awaitAddresses("c", s.v4(50))
	s.wantAddresses("a", s.v4(10))
	s.wantAddresses("b", s.v4(30))
	if after := s.wantVIP(s.v4(10)); after.UID != before.UID {
		t.Error("the VirtualIP was made anew")
	}
	s.deleteService("a") // needs no pool
	s.awaitNoVIP(s.v4(10))
}

func TestCapacityIsCounted(t *testing.T) {
	t.Parallel()
	s := newSpace(t, sharedCloud(t))
	pool := s.pool("p", []string{span(s.v4(0), s.v4(255))}, func(spec *v1alpha1.AddressPoolSpec) {
		spec.AvoidEdges = true
		spec.Excluded = []v1alpha1.AddressRange{v1alpha1.AddressRange(span(s.v4(1), s.v4(4)))}
	})
	s.awaitCapacity(pool.Name, "250", "0", "250")
	s.service("a")
	s.awaitAddresses("a", s.v4(5))
	s.awaitCapacity(pool.Name, "250", "1", "249")
	s.awaitCondition(pool.Name, "Ready", metav1.ConditionTrue)
	s.awaitMetric(fmt.Sprintf(`fairlead_pool_addresses{pool=%q,state="assigned"} 1`, pool.Name))
	s.awaitMetric(fmt.Sprintf(`fairlead_pool_addresses{pool=%q,state="free"} 249`, pool.Name))
	s.deleteService("a")
	s.awaitCapacity(pool.Name, "250", "0", "250")

	large := s.pool("large", []string{fmt.Sprintf("3fff:%x:1::/48", s.number)})
	s.awaitCapacity(large.Name, "2^80", "0", "2^80")
}

func TestOverlapIsReportedAndTheOlderPoolWins(t *testing.T) {
	t.Parallel()
	s := newSpace(t, sharedCloud(t))
	older := s.pool("z-older", []string{span(s.v4(10), s.v4(12))}, func(spec *v1alpha1.AddressPoolSpec) { spec.Namespaces = []string{"nobody"} })
	s.awaitCondition(older.Name, "Overlap", metav1.ConditionFalse)
	s.awaitSecondAfter(older.CreationTimestamp)
	younger := s.pool("a-younger", []string{span(s.v4(11), s.v4(14))})
	s.awaitCondition(younger.Name, "Overlap", metav1.ConditionTrue, older.Name, s.v4(11).String(), s.v4(12).String())
	s.awaitCondition(older.Name, "Overlap", metav1.ConditionFalse)
	s.awaitWarning(younger.Name, "Overlap", older.Name)
	s.service("a")
	s.awaitAddresses("a", s.v4(13))
	if err := s.fairlead.FairleadV1alpha1().AddressPools().Delete(t.Context(), older.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	s.awaitCondition(younger.Name, "Overlap", metav1.ConditionFalse)
	s.service("b")
	s.awaitAddresses("b", s.v4(11))
}

// awaitSecondAfter waits until a new object's creation time differs from this one: API times are whole seconds.
func (s *space) awaitSecondAfter(created metav1.Time) {
	s.t.Helper()
	lab.Await(s.t.Context(), s.t, "the next second", func(context.Context) (bool, string, error) {
		return metav1.Now().Rfc3339Copy().After(created.Time), "", nil
	})
}

func TestNodeAddressesAreNotHandedOut(t *testing.T) {
	t.Parallel()
	s := newSpace(t, sharedCloud(t))
	n1, n2 := s.Addr4("n1"), s.Addr4("n2")
	pool := s.pool("p", []string{span(n1, n2), s.v4(10).String()})
	s.awaitCondition(pool.Name, "Overlap", metav1.ConditionTrue, "n1", n1.String(), "n2", n2.String())
	s.service("a")
	s.awaitAddresses("a", s.v4(10))
}

func TestBadPoolsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	s := newSpace(t, sharedCloud(t))
	reversed := span(s.v4(20), s.v4(10))
	pool := s.pool("reversed", []string{reversed})
	s.awaitCondition(pool.Name, "Ready", metav1.ConditionFalse, "InvalidSpec", "spec.addresses[0]", reversed)
	s.awaitWarning(pool.Name, "spec.addresses[0]", reversed)
	multicast := s.pool("multicast", []string{s.v4(60).String(), "224.0.0.0/28"})
	s.awaitCondition(multicast.Name, "Ready", metav1.ConditionFalse, "InvalidSpec", "spec.addresses[1]", "224.0.0.0/28", "multicast", "expected")
	overlapping := s.pool("overlapping", []string{span(s.v4(30), s.v4(40)), span(s.v4(35), s.v4(45))})
	s.awaitCondition(overlapping.Name, "Ready", metav1.ConditionFalse, "InvalidSpec", "spec.addresses[1]", span(s.v4(35), s.v4(40)))
	s.service("a")
	s.awaitWarning("a", pool.Name, overlapping.Name)

	s.editPool(overlapping.Name, func(spec *v1alpha1.AddressPoolSpec) { spec.Addresses = spec.Addresses[:1] })
	s.awaitAddresses("a", s.v4(30))
	// A pool that turns bad keeps what it gave.
	s.editPool(overlapping.Name, func(spec *v1alpha1.AddressPoolSpec) {
		spec.Addresses = []v1alpha1.AddressRange{v1alpha1.AddressRange(reversed)}
	})
	s.awaitCondition(overlapping.Name, "Ready", metav1.ConditionFalse, "InvalidSpec", s.v4(30).String())
	s.wantAddresses("a", s.v4(30))
}

func TestBadSettingsKeepTheLastGoodState(t *testing.T) {
	t.Parallel()
	s := newSpace(t, sharedCloud(t))
	s.pool("p", []string{span(s.v4(10), s.v4(20))})
	s.service("a")
	s.awaitAddresses("a", s.v4(10))
	s.editService("a", annotated(settings.AddressesPerFamilyKey, "many"))
	s.awaitWarning("a", settings.AddressesPerFamilyKey, `"many"`, "expected a whole number from 1 to 16")
	s.wantAddresses("a", s.v4(10))
	s.wantVIP(s.v4(10))
	s.service("b", annotated(settings.AddressesKey, "10.0.0"), annotated(settings.IDKey, "UP"))
	s.awaitWarning("b", settings.AddressesKey, `"10.0.0"`, settings.IDKey, `"UP"`)
	s.deleteService("b") // bad settings block no deletion
	s.deleteService("a")
	s.awaitNoVIP(s.v4(10))
}
