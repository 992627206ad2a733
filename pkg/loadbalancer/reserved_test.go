// SPDX-License-Identifier: Apache-2.0

package loadbalancer

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/ipam"
	"github.com/fairlead-io/fairlead/pkg/settings"
)

// onWeb returns a Service on the reservation "web". annotations are keys and values in turn.
func onWeb(name string, port int32, annotations ...string) *corev1.Service {
	return balanced("ns", name, port, append(annotations, settings.IDKey, "web")...)
}

func webReservation() *v1alpha1.VirtualIP { return reservation("10.0.0.5", "p", "web") }

// saves makes a Service known as the API server has it, as it was before or anew.
func (w *world) saves(service *corev1.Service) {
	w.Helper()
	services := w.kube.CoreV1().Services(service.Namespace)
	_, err := services.Update(w.Context(), service, metav1.UpdateOptions{})
	if err != nil {
		_, err = services.Create(w.Context(), service, metav1.CreateOptions{})
	}
	if err != nil {
		w.Fatal(err)
	}
	w.knows(func() bool {
		known, err := w.config.Services.Lister().Services(service.Namespace).Get(service.Name)
		return err == nil && known.Annotations[settings.SharingKeyKey] == service.Annotations[settings.SharingKeyKey]
	})
}

func TestAReservationTakesNoKeyFromItsServices(t *testing.T) {
	for _, test := range []struct {
		name  string
		after func(w *world, first *corev1.Service)
	}{
		{"its Service drops the key", func(w *world, first *corev1.Service) {
			delete(first.Annotations, settings.SharingKeyKey)
			first.Spec.Ports[0].Port = 81
			w.gets(first, "10.0.0.5")
			if got := w.vip("10.0.0.5").Spec.Services[0].Ports[0].Port; got != 81 {
				w.Errorf("port %d is on record, want 81", got)
			}
		}},
		{"its Service takes another key", func(w *world, first *corev1.Service) {
			first.Annotations[settings.SharingKeyKey] = "other"
			w.gets(first, "10.0.0.5")
		}},
		{"its Service goes", func(w *world, first *corev1.Service) { w.deletes(first) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, poolOf("p", "10.0.0.1-10.0.0.9"), webReservation())
			first := onWeb("first", 80, settings.SharingKeyKey, "dns")
			w.gets(first, "10.0.0.5")
			test.after(w, first)
			w.gets(onWeb("next", 82, settings.SharingKeyKey, first.Annotations[settings.SharingKeyKey]), "10.0.0.5")
			if got := w.vip("10.0.0.5").Spec.Sharing; got != nil {
				t.Errorf("the reservation has key %q, and its owner gave it none", got.Key)
			}
		})
	}
}

func TestAReservationWithoutKeyIsSharedUnderThatOfItsServices(t *testing.T) {
	const key = settings.SharingKeyKey
	w := newWorld(t, poolOf("p", "10.0.0.1-10.0.0.9"), webReservation())
	w.gets(onWeb("a", 1, key, "dns"), "10.0.0.5")
	w.gets(onWeb("b", 2, key, "dns"), "10.0.0.5")
	w.gets(balanced("ns", "c", 3, key, "dns"), "10.0.0.5") // the key alone leads there
	w.refused(onWeb("d", 4), ipam.ErrSharing, `ns/a has sharing key "dns", this Service ""`)
	w.refused(onWeb("e", 5, key, "web"), ipam.ErrSharing, `ns/a has sharing key "dns", this Service "web"`)
	w.gets(balanced("ns", "f", 6, key, "web"), "10.0.0.1")
}

func TestAReservationWithAKeyIsForThatKey(t *testing.T) {
	const key = settings.SharingKeyKey
	mine := webReservation()
	mine.Spec.Sharing = &v1alpha1.Sharing{Key: "dns"}
	w := newWorld(t, poolOf("p", "10.0.0.1-10.0.0.9"), mine)
	w.refused(onWeb("a", 1), ipam.ErrSharing, `the VirtualIP has sharing key "dns", this Service ""`)
	b := onWeb("b", 2, key, "dns")
	w.gets(b, "10.0.0.5")
	w.deletes(b)
	w.refused(onWeb("c", 3, key, "web"), ipam.ErrSharing, `the VirtualIP has sharing key "dns", this Service "web"`)
}

// TestAnAddressThatIsRetainedHasNoKeyOfItsServices has a user make a reservation of an address that Services shared.
func TestAnAddressThatIsRetainedHasNoKeyOfItsServices(t *testing.T) {
	retain := func(spec *v1alpha1.VirtualIPSpec) { spec.ReclaimPolicy, spec.ID = v1alpha1.ReclaimRetain, "web" }
	for _, test := range []struct {
		name    string
		retains func(w *world, first *corev1.Service)
	}{
		{"while a Service uses it", func(w *world, first *corev1.Service) {
			w.editVIP(retain)
			w.deletes(first)
		}},
		{"while it is kept", func(w *world, first *corev1.Service) {
			w.deletes(first)
			w.editVIP(retain)
			if err := w.SetAside(w.Context(), w.vip("10.0.0.1")); err != nil {
				w.Fatal(err)
			}
		}},
		{"after a key was written there", func(w *world, first *corev1.Service) {
			w.editVIP(func(spec *v1alpha1.VirtualIPSpec) { spec.Sharing = &v1alpha1.Sharing{Key: "dns"} })
			w.gets(first, "10.0.0.1")
			w.editVIP(retain)
			w.deletes(first)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, poolOf("p", "10.0.0.1-10.0.0.9"))
			first := balanced("ns", "first", 80, settings.SharingKeyKey, "dns")
			w.gets(first, "10.0.0.1")
			test.retains(w, first)
			w.gets(onWeb("next", 80), "10.0.0.1")
		})
	}
}

// TestAnAddressInUseIsMadeAReservation has a user retain the address of a Service that lives.
func TestAnAddressInUseIsMadeAReservation(t *testing.T) {
	t.Run("without an id", func(t *testing.T) {
		w := newWorld(t, poolOf("p", "10.0.0.1-10.0.0.9"))
		service := balanced("ns", "a", 80)
		w.gets(service, "10.0.0.1")
		w.editVIP(func(spec *v1alpha1.VirtualIPSpec) { spec.ReclaimPolicy = v1alpha1.ReclaimRetain })
		w.gets(service, "10.0.0.1")
	})
	t.Run("with the id that the Service names already", func(t *testing.T) {
		w := newWorld(t, poolOf("p", "10.0.0.1-10.0.0.9"))
		service := balanced("ns", "a", 80)
		w.gets(service, "10.0.0.1")
		service.Annotations[settings.IDKey] = "web"
		w.refused(service, settings.ErrInvalid, "the Service has 10.0.0.1 already")
		w.editVIP(func(spec *v1alpha1.VirtualIPSpec) { spec.ReclaimPolicy, spec.ID = v1alpha1.ReclaimRetain, "web" })
		w.gets(service, "10.0.0.1")
	})
}

// TestTwoServicesChangeTheKeyThatTheyShare: one has to be first, and is beside the other one's former key then. The other one
// is not kept from what it has by an edit of the first.
func TestTwoServicesChangeTheKeyThatTheyShare(t *testing.T) {
	const key = settings.SharingKeyKey
	for _, now := range []string{"web", ""} {
		t.Run("to "+now, func(t *testing.T) {
			w := newWorld(t, poolOf("p", "10.0.0.1-10.0.0.9"), webReservation())
			a, b := onWeb("a", 1, key, "dns"), onWeb("b", 2, key, "dns")
			w.changeKeys(a, b, "10.0.0.5", now)
		})
	}
	t.Run("of an address of the pool", func(t *testing.T) {
		w := newWorld(t, poolOf("p", "10.0.0.1-10.0.0.9"))
		a, b := balanced("ns", "a", 1, key, "dns"), balanced("ns", "b", 2, key, "dns")
		for _, service := range []*corev1.Service{a, b} {
			service.Annotations[settings.AddressesKey] = "10.0.0.5"
		}
		w.changeKeys(a, b, "10.0.0.5", "web")
		w.gets(balanced("ns", "c", 3, key, "web"), "10.0.0.5")
	})
}

// changeKeys gives two Services on an address another key, one after the other.
func (w *world) changeKeys(a, b *corev1.Service, address, key string) {
	w.Helper()
	for _, service := range []*corev1.Service{a, b} {
		w.saves(service)
		w.gets(service, address)
	}
	a = a.DeepCopy()
	a.Annotations[settings.SharingKeyKey] = key
	w.saves(a)
	w.refused(a, ipam.ErrSharing, "ns/b has sharing key")
	w.gets(b, address)
	b = b.DeepCopy()
	b.Annotations[settings.SharingKeyKey] = key
	w.saves(b)
	w.gets(b, address)
	w.gets(a, address)
}
