// SPDX-License-Identifier: Apache-2.0

package loadbalancer

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/ipam"
	"github.com/fairlead-io/fairlead/pkg/placement"
	"github.com/fairlead-io/fairlead/pkg/settings"
)

// claimed returns a VirtualIP of pool p with claims of Services a, b ... of namespace ns.
func claimed(addr string, edits ...func(*v1alpha1.VirtualIP)) *v1alpha1.VirtualIP {
	vip := &v1alpha1.VirtualIP{ObjectMeta: metav1.ObjectMeta{Name: ipam.ObjectName(netip.MustParseAddr(addr)), UID: "1", ResourceVersion: "10"}}
	vip.Spec = v1alpha1.VirtualIPSpec{Address: addr, Pool: "p", Services: []v1alpha1.ServiceClaim{{Namespace: "ns", Name: "a"}}}
	for _, edit := range edits {
		edit(vip)
	}
	return vip
}

func shared(key string) func(*v1alpha1.VirtualIP) {
	return func(vip *v1alpha1.VirtualIP) {
		vip.Spec.Services[0].SharingKey = key
		vip.Spec.Services = append(vip.Spec.Services, v1alpha1.ServiceClaim{Namespace: "ns", Name: "b", SharingKey: key})
	}
}

func othersHave(key string) func(*v1alpha1.VirtualIP) {
	return func(vip *v1alpha1.VirtualIP) { vip.Spec.Services[1].SharingKey = key }
}

func TestWhatSatisfiesAService(t *testing.T) {
	within := func(text string) ipam.Range {
		r, err := ipam.ParseRange(text)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	conflict := func(vip *v1alpha1.VirtualIP) {
		vip.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionConflict, Status: metav1.ConditionTrue}}
	}
	announced := func(vip *v1alpha1.VirtualIP) { vip.Status.Node = "n1" }
	named := func(vip *v1alpha1.VirtualIP) { vip.Spec.ID = "static" }
	for _, test := range []struct {
		name string
		vip  *v1alpha1.VirtualIP
		want settings.Settings
		ok   bool
	}{
		{"no wish", claimed("10.0.0.1"), settings.Settings{}, true},
		{"another station has it", claimed("10.0.0.1", conflict), settings.Settings{}, false},
		{"another station claims it while it is announced", claimed("10.0.0.1", conflict, announced), settings.Settings{}, true},
		{"the wanted address", claimed("10.0.0.1"), settings.Settings{Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")}}, true},
		{"another than the wanted", claimed("10.0.0.1"), settings.Settings{Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.2")}}, false},
		{"a wish for the other family", claimed("10.0.0.1"), settings.Settings{Addresses: []netip.Addr{netip.MustParseAddr("fd00::2")}}, true},
		{"of a named pool", claimed("10.0.0.1"), settings.Settings{Pools: []string{"q", "p"}}, true},
		{"of another pool", claimed("10.0.0.1"), settings.Settings{Pools: []string{"q"}}, false},
		{"inside the range", claimed("10.0.0.1"), settings.Settings{Range: within("10.0.0.0/30")}, true},
		{"outside the range", claimed("10.0.0.9"), settings.Settings{Range: within("10.0.0.0/30")}, false},
		{"the range is of the other family", claimed("fd00::1"), settings.Settings{Range: within("10.0.0.0/30")}, true},
		{"the named reservation", claimed("10.0.0.1", named), settings.Settings{ID: "static"}, true},
		{"another reservation", claimed("10.0.0.1", named), settings.Settings{ID: "other"}, false},
		{"a reservation that nothing names any more", claimed("10.0.0.1", named), settings.Settings{}, false},
		{"shared under its key", claimed("10.0.0.1", shared("k")), settings.Settings{SharingKey: "k"}, true},
		{"shared, and the key is gone", claimed("10.0.0.1", shared("k")), settings.Settings{}, false},
		{"shared, and the others have another key by now", claimed("10.0.0.1", shared("k"), othersHave("l")), settings.Settings{SharingKey: "k"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := satisfies(test.vip, "ns/a", test.want); got != test.ok {
				t.Errorf("satisfies: %t, want %t", got, test.ok)
			}
		})
	}
}

func TestFamiliesOfAService(t *testing.T) {
	v4, v6 := corev1.IPv4Protocol, corev1.IPv6Protocol
	for _, test := range []struct {
		name     string
		policy   corev1.IPFamilyPolicy
		families []corev1.IPFamily
		want     []ipam.Family
	}{
		{"nothing said", "", nil, []ipam.Family{ipam.IPv4}},
		{"single", corev1.IPFamilyPolicySingleStack, []corev1.IPFamily{v6}, []ipam.Family{ipam.IPv6}},
		{"single counts the first", corev1.IPFamilyPolicySingleStack, []corev1.IPFamily{v4, v6}, []ipam.Family{ipam.IPv4}},
		{"prefer", corev1.IPFamilyPolicyPreferDualStack, []corev1.IPFamily{v4, v6}, []ipam.Family{ipam.IPv4, ipam.IPv6}},
		{"require, IPv6 first", corev1.IPFamilyPolicyRequireDualStack, []corev1.IPFamily{v6, v4}, []ipam.Family{ipam.IPv6, ipam.IPv4}},
	} {
		t.Run(test.name, func(t *testing.T) {
			service := &corev1.Service{Spec: corev1.ServiceSpec{IPFamilies: test.families}}
			if test.policy != "" {
				service.Spec.IPFamilyPolicy = &test.policy
			}
			if diff := cmp.Diff(test.want, families(service, settings.Settings{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestPoolSpecNamesEveryBadField(t *testing.T) {
	pool := &v1alpha1.AddressPool{Spec: v1alpha1.AddressPoolSpec{
		Addresses: []v1alpha1.AddressRange{"10.0.0.9-10.0.0.1", "10.1.0.0/24", "10.1.0.128/25"},
		Excluded:  []v1alpha1.AddressRange{"ten"},
		ServiceSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
			{Key: "app", Operator: "Likes"},
		}},
	}}
	spec, err := poolSpec(pool)
	if err == nil || !spec.Disabled {
		t.Fatalf("error %v, disabled %t; want an error and a pool that hands out nothing", err, spec.Disabled)
	}
	for _, word := range []string{
		`spec.addresses[0] "10.0.0.9-10.0.0.1"`, `spec.addresses[2] "10.1.0.128/25": overlaps 10.1.0.0/24`,
		`spec.excluded[0] "ten"`, "spec.serviceSelector", "Likes",
	} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the error lacks %q: %v", word, err)
		}
	}
	if spec.ServiceSelector(map[string]string{"app": "x"}) {
		t.Error("a selector that cannot be read selects")
	}
}

func TestBookKeepsTheNewestVersion(t *testing.T) {
	b := newBook()
	b.observe(claimed("10.0.0.1"))
	b.observe(claimed("10.0.0.1", func(vip *v1alpha1.VirtualIP) { vip.ResourceVersion, vip.Spec.Services = "9", nil }))
	if got := b.claimedBy("ns/a"); len(got) != 1 {
		t.Errorf("an older version took the claim away: %v", got)
	}
	b.observe(claimed("10.0.0.1", func(vip *v1alpha1.VirtualIP) { vip.ResourceVersion, vip.UID, vip.Spec.Services = "9", "0", nil }))
	if got := b.claimedBy("ns/a"); len(got) != 1 {
		t.Errorf("an object of the same name that is gone, made in the same second, took the claim away: %v", got)
	}
	b.observe(claimed("10.0.0.1", func(vip *v1alpha1.VirtualIP) { vip.ResourceVersion, vip.Spec.Services[0].Name = "11", "c" }))
	if a, c := b.claimedBy("ns/a"), b.claimedBy("ns/c"); len(a) != 0 || len(c) != 1 {
		t.Errorf("claims of a: %v, of c: %v", a, c)
	}
	b.forget(claimed("10.0.0.1", func(vip *v1alpha1.VirtualIP) { vip.UID = "2" }), time.Time{})
	if b.get("10.0.0.1") == nil {
		t.Error("the end of another object of the same name was taken for this one's")
	}
	b.forget(claimed("10.0.0.1"), time.Time{})
	if b.get("10.0.0.1") != nil || len(b.claimedBy("ns/c")) != 0 {
		t.Error("it is not forgotten")
	}
	b.observe(claimed("10.0.0.1"))
	if b.get("10.0.0.1") != nil {
		t.Error("what an informer brings late of one that is gone is taken for one that exists")
	}
	held := func(vip *v1alpha1.VirtualIP) { vip.ResourceVersion, vip.DeletionTimestamp = "12", new(metav1.Now()) }
	b.observe(claimed("10.0.0.1", held))
	if b.get("10.0.0.1") == nil {
		t.Error("one that a finalizer holds is taken for gone")
	}
	b.forget(claimed("10.0.0.1"), time.Time{})
	b.bury(claimed("10.0.0.1"))
	if len(b.gone) > 0 {
		t.Errorf("after the end was told: %v", b.gone)
	}
}

func TestBookTellsReservationsFromClaims(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	b := newBook()
	b.observe(claimed("10.0.0.1", func(vip *v1alpha1.VirtualIP) {
		vip.Spec.Services = nil
		vip.Spec.ReservedFor = &v1alpha1.ReservedFor{Namespace: "ns", Name: "a", Until: new(metav1.NewTime(now.Add(time.Minute)))}
	}))
	if claims, kept := b.claimedBy("ns/a"), b.reservedFor("ns/a"); len(claims) != 0 || len(kept) != 1 {
		t.Errorf("claims %v, reservations %v", claims, kept)
	}
	// It is there until somebody has seen that the Service's status does not show it, and until then nobody else's.
	one, err := ipam.ParseRange("10.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	b.setPools([]ipam.PoolSpec{{Name: "p", Addresses: []ipam.Range{one}, AutoAssign: true}}, nil)
	nobody := func(ipam.Choice, placement.Load) []string { return nil }
	claim := func(key string) error {
		_, _, err := b.claim(ipam.Request{Key: key, Namespace: "ns", Family: ipam.IPv4}, now.Add(time.Hour), nobody)
		return err
	}
	if claim("ns/b") == nil {
		t.Error("ns/b got the address that is kept for ns/a")
	}
	b.forget(b.get("10.0.0.1"), time.Time{})
	if err := claim("ns/b"); err != nil {
		t.Errorf("after the end of the object: %v", err)
	}
}

func TestClaimsKeepTheirOrder(t *testing.T) {
	vip := claimed("10.0.0.1", shared("k"))
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "a", UID: types.UID("u")}}
	putClaim(&vip.Spec, claimOf(service, settings.Settings{}))
	if len(vip.Spec.Services) != 2 || vip.Spec.Services[0].UID != "u" {
		t.Errorf("claims %+v", vip.Spec.Services)
	}
	service.Name = "c"
	putClaim(&vip.Spec, claimOf(service, settings.Settings{}))
	if len(vip.Spec.Services) != 3 || vip.Spec.Services[2].Name != "c" {
		t.Errorf("claims %+v", vip.Spec.Services)
	}
}

func TestANewVirtualIPMakesRoomForThoseWhoMayJoinIt(t *testing.T) {
	reserved := func(vip *v1alpha1.VirtualIP) { vip.Spec.Services = nil }
	kept := func(vip *v1alpha1.VirtualIP) {
		vip.Spec.Services, vip.Spec.ReservedFor = nil, &v1alpha1.ReservedFor{Namespace: "ns", Name: "a"}
	}
	for _, test := range []struct {
		name string
		vip  *v1alpha1.VirtualIP
		want bool
	}{
		{"of a Service without a key", claimed("10.0.0.1"), false},
		{"shared under a key", claimed("10.0.0.1", shared("dns")), true},
		{"nobody's", claimed("10.0.0.1", reserved), true},
		{"kept", claimed("10.0.0.1", kept), false},
	} {
		if got := newBook().observe(test.vip); got != test.want {
			t.Errorf("%s: room for others: %t, want %t", test.name, got, test.want)
		}
	}
}
