// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/cloud-provider/options"

	"github.com/fairlead-io/fairlead/e2e/lab"
	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/ipam"
)

// pool makes an AddressPool for the test's namespace alone, whose released addresses are free at once. It goes away with
// the test, after the Services made later.
func (s *space) pool(name string, addresses []string, edits ...func(*v1alpha1.AddressPoolSpec)) *v1alpha1.AddressPool {
	s.t.Helper()
	pool := &v1alpha1.AddressPool{
		ObjectMeta: metav1.ObjectMeta{Name: s.poolName(name)},
		Spec: v1alpha1.AddressPoolSpec{
			Namespaces: []string{s.namespace}, ReleaseDelay: &metav1.Duration{},
		},
	}
	for _, text := range addresses {
		pool.Spec.Addresses = append(pool.Spec.Addresses, v1alpha1.AddressRange(text))
	}
	for _, edit := range edits {
		edit(&pool.Spec)
	}
	made, err := s.fairlead.FairleadV1alpha1().AddressPools().Create(s.t.Context(), pool, metav1.CreateOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		err := s.fairlead.FairleadV1alpha1().AddressPools().Delete(context.WithoutCancel(s.t.Context()), made.Name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			s.t.Error(err)
		}
	})
	return made
}

// poolName makes the name of a pool one that no other test uses.
func (s *space) poolName(name string) string { return fmt.Sprintf("s%d-%s", s.number, name) }

// editPool changes the spec of a pool.
func (s *space) editPool(name string, edit func(*v1alpha1.AddressPoolSpec)) {
	s.t.Helper()
	pools := s.fairlead.FairleadV1alpha1().AddressPools()
	lab.Await(s.t.Context(), s.t, "an edit of AddressPool "+name, func(ctx context.Context) (bool, string, error) {
		pool, err := pools.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, "", err
		}
		edit(&pool.Spec)
		_, err = pools.Update(ctx, pool, metav1.UpdateOptions{})
		if apierrors.IsConflict(err) {
			return false, err.Error(), nil
		}
		return err == nil, "", err
	})
}

// edit changes a Service before it is written.
type edit = func(*corev1.Service)

func annotated(key, value string) edit {
	return func(service *corev1.Service) {
		if service.Annotations == nil {
			service.Annotations = map[string]string{}
		}
		service.Annotations[key] = value
	}
}

func families(policy corev1.IPFamilyPolicy, all ...corev1.IPFamily) edit {
	return func(service *corev1.Service) {
		service.Spec.IPFamilyPolicy = &policy
		service.Spec.IPFamilies = all
	}
}

// onPort replaces the Service's port 80.
func onPort(protocol corev1.Protocol, port int32) edit {
	return func(service *corev1.Service) {
		service.Spec.Ports[0].Protocol, service.Spec.Ports[0].Port = protocol, port
	}
}

// service makes a LoadBalancer Service with TCP port 80 for pods labelled app=NAME, without node ports, of which a cluster
// has but few. The end of the test deletes it.
func (s *space) service(name string, edits ...edit) *corev1.Service {
	s.t.Helper()
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: s.namespace},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeLoadBalancer, Selector: map[string]string{"app": name},
			AllocateLoadBalancerNodePorts: new(false),
			Ports:                         []corev1.ServicePort{{Name: "first", Port: 80, TargetPort: intstr.FromInt32(8080), Protocol: corev1.ProtocolTCP}},
		},
	}
	for _, edit := range edits {
		edit(service)
	}
	made, err := s.Client().CoreV1().Services(s.namespace).Create(s.t.Context(), service, metav1.CreateOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		err := s.Client().CoreV1().Services(s.namespace).Delete(context.WithoutCancel(s.t.Context()), name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			s.t.Error(err)
		}
	})
	return made
}

func (s *space) editService(name string, edit edit) {
	s.t.Helper()
	services := s.Client().CoreV1().Services(s.namespace)
	lab.Await(s.t.Context(), s.t, "an edit of Service "+name, func(ctx context.Context) (bool, string, error) {
		service, err := services.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, "", err
		}
		edit(service)
		_, err = services.Update(ctx, service, metav1.UpdateOptions{})
		if apierrors.IsConflict(err) {
			return false, err.Error(), nil
		}
		return err == nil, "", err
	})
}

// deleteService deletes a Service and waits until it is gone.
func (s *space) deleteService(name string) {
	s.t.Helper()
	services := s.Client().CoreV1().Services(s.namespace)
	if err := services.Delete(s.t.Context(), name, metav1.DeleteOptions{}); err != nil {
		s.t.Fatal(err)
	}
	lab.Await(s.t.Context(), s.t, "the end of Service "+name, func(ctx context.Context) (bool, string, error) {
		service, err := services.Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return true, "", nil
		}
		return false, fmt.Sprintf("finalizers %v", service.Finalizers), err
	})
}

// addresses returns the addresses in a Service's status.
func (s *space) addresses(ctx context.Context, name string) ([]netip.Addr, error) {
	service, err := s.Client().CoreV1().Services(s.namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return ingress(service)
}

func ingress(service *corev1.Service) ([]netip.Addr, error) {
	var all []netip.Addr
	for _, one := range service.Status.LoadBalancer.Ingress {
		addr, err := netip.ParseAddr(one.IP)
		if err != nil {
			return nil, fmt.Errorf("status of Service %s: %w", service.Name, err)
		}
		all = append(all, addr)
	}
	return all, nil
}

// awaitCount waits until a Service has so many addresses, and returns them.
func (s *space) awaitCount(name string, n int) []netip.Addr {
	s.t.Helper()
	var have []netip.Addr
	lab.Await(s.t.Context(), s.t, fmt.Sprintf("%d addresses of Service %s", n, name), func(ctx context.Context) (done bool, _ string, err error) {
		have, err = s.addresses(ctx, name)
		return len(have) == n, fmt.Sprint(have, s.warnings(ctx, name)), err
	})
	return have
}

// awaitAddresses waits until a Service has these addresses, in this order.
func (s *space) awaitAddresses(name string, want ...netip.Addr) {
	s.t.Helper()
	lab.Await(s.t.Context(), s.t, fmt.Sprintf("%v for Service %s", want, name), func(ctx context.Context) (bool, string, error) {
		have, err := s.addresses(ctx, name)
		return slices.Equal(want, have), fmt.Sprint(have, s.warnings(ctx, name)), err
	})
}

// wantAddresses checks that a Service has these addresses now.
func (s *space) wantAddresses(name string, want ...netip.Addr) {
	s.t.Helper()
	have, err := s.addresses(s.t.Context(), name)
	if err != nil || !slices.Equal(want, have) {
		s.t.Errorf("Service %s has %v, want %v (%v)", name, have, want, err)
	}
}

// byFairlead tells whether the manager sent an event, by the stock controllers in it or by itself, or an announcer. Those of
// Kubernetes, the API server's too, tell of what goes by in its own business.
func byFairlead(event *corev1.Event) bool {
	return slices.Contains([]string{
		"service-controller", "cloud-node-controller", "cloud-node-lifecycle-controller", options.CloudControllerManagerUserAgent,
		"fairlead-announcer",
	}, event.Source.Component)
}

// warnings returns the texts of Fairlead's warnings about an object of the namespace, or of a cluster-wide one.
func (s *space) warnings(ctx context.Context, name string) []string {
	events, err := s.Client().CoreV1().Events("").List(ctx, metav1.ListOptions{
		FieldSelector: fields.Set{"involvedObject.name": name, "type": corev1.EventTypeWarning}.String(),
	})
	if err != nil {
		return []string{err.Error()}
	}
	var texts []string
	for i := range events.Items {
		event := &events.Items[i]
		ours := event.InvolvedObject.Namespace == s.namespace || event.InvolvedObject.Namespace == ""
		if ours && byFairlead(event) {
			texts = append(texts, event.Reason+": "+event.Message)
		}
	}
	return texts
}

// awaitWarning waits for an event whose text has all the words.
func (s *space) awaitWarning(name string, words ...string) {
	s.t.Helper()
	lab.Await(s.t.Context(), s.t, fmt.Sprintf("a warning about %s with %q", name, words), func(ctx context.Context) (bool, string, error) {
		texts := s.warnings(ctx, name)
		return slices.ContainsFunc(texts, func(text string) bool { return hasAll(text, words) }), strings.Join(texts, "\n"), nil
	})
}

func hasAll(text string, words []string) bool {
	for _, word := range words {
		if !strings.Contains(text, word) {
			return false
		}
	}
	return true
}

// vip returns the VirtualIP of an address.
func (c *cloud) vip(ctx context.Context, addr netip.Addr) (*v1alpha1.VirtualIP, error) {
	return c.fairlead.FairleadV1alpha1().VirtualIPs().Get(ctx, ipam.ObjectName(addr), metav1.GetOptions{})
}

// wantVIP returns the VirtualIP of an address, and ends the test if there is none.
func (s *space) wantVIP(addr netip.Addr) *v1alpha1.VirtualIP {
	s.t.Helper()
	vip, err := s.vip(s.t.Context(), addr)
	if err != nil {
		s.t.Fatal(err)
	}
	return vip
}

// awaitNoVIP waits until the VirtualIP of an address is gone.
func (s *space) awaitNoVIP(addr netip.Addr) {
	s.t.Helper()
	lab.Await(s.t.Context(), s.t, "the end of VirtualIP "+addr.String(), func(ctx context.Context) (bool, string, error) {
		vip, err := s.vip(ctx, addr)
		if apierrors.IsNotFound(err) {
			return true, "", nil
		}
		return false, fmt.Sprintf("%+v", vip.Spec), err
	})
}

// patchVIP changes the VirtualIP of an address by a merge patch, as a user does.
func (s *space) patchVIP(addr netip.Addr, patch string) {
	s.t.Helper()
	_, err := s.fairlead.FairleadV1alpha1().VirtualIPs().
		Patch(s.t.Context(), ipam.ObjectName(addr), types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
}

// reserve makes a VirtualIP as a user does.
func (s *space) reserve(addr netip.Addr, edits ...func(*v1alpha1.VirtualIPSpec)) {
	s.t.Helper()
	vip := &v1alpha1.VirtualIP{
		ObjectMeta: metav1.ObjectMeta{Name: ipam.ObjectName(addr)},
		Spec:       v1alpha1.VirtualIPSpec{Address: addr.String(), ReclaimPolicy: v1alpha1.ReclaimRetain},
	}
	for _, edit := range edits {
		edit(&vip.Spec)
	}
	if _, err := s.fairlead.FairleadV1alpha1().VirtualIPs().Create(s.t.Context(), vip, metav1.CreateOptions{}); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		err := s.fairlead.FairleadV1alpha1().VirtualIPs().Delete(context.WithoutCancel(s.t.Context()), vip.Name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			s.t.Error(err)
		}
	})
}

// awaitCondition waits until a pool's condition has a status and all the words in its message.
func (s *space) awaitCondition(pool, kind string, status metav1.ConditionStatus, words ...string) {
	s.t.Helper()
	what := fmt.Sprintf("%s=%s of AddressPool %s with %q", kind, status, pool, words)
	lab.Await(s.t.Context(), s.t, what, func(ctx context.Context) (bool, string, error) {
		got, err := s.fairlead.FairleadV1alpha1().AddressPools().Get(ctx, pool, metav1.GetOptions{})
		if err != nil {
			return false, "", err
		}
		condition := meta.FindStatusCondition(got.Status.Conditions, kind)
		if condition == nil || condition.ObservedGeneration != got.Generation {
			return false, "no condition of this generation", nil
		}
		text := condition.Reason + ": " + condition.Message
		return condition.Status == status && hasAll(text, words), fmt.Sprintf("%s, %s", condition.Status, text), nil
	})
}

// awaitCapacity waits until a pool's status counts so many addresses.
func (s *space) awaitCapacity(pool, total, assigned, free string) {
	s.t.Helper()
	want := v1alpha1.PoolCapacity{Total: total, Assigned: assigned, Free: free}
	lab.Await(s.t.Context(), s.t, fmt.Sprintf("capacity %+v of AddressPool %s", want, pool), func(ctx context.Context) (bool, string, error) {
		got, err := s.fairlead.FairleadV1alpha1().AddressPools().Get(ctx, pool, metav1.GetOptions{})
		if err != nil {
			return false, "", err
		}
		return got.Status.Capacity == want, fmt.Sprintf("%+v", got.Status.Capacity), nil
	})
}

// span returns first-last.
func span(first, last netip.Addr) string { return first.String() + "-" + last.String() }

// bounded returns a context that ends after a time that no healthy run needs.
func bounded(t *testing.T, patience time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), patience, errors.New("the test's patience is over"))
	t.Cleanup(cancel)
	return ctx
}
