// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/fairlead-io/fairlead/e2e/lab"
	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/settings"
)

const (
	current = "service.beta.kubernetes.io/alibaba-cloud-loadbalancer-"
	legacy  = "service.beta.kubernetes.io/alicloud-loadbalancer-"

	// settingsConfig has the networks of the client on the segment, and of the one behind the router.
	settingsConfig = `apiVersion: config.fairlead.dev/v1alpha1
kind: CloudConfig
settings:
  addressTypes: {internet: [settings-public], intranet: [settings-office]}
  accessLists: {office: [10.1.0.0/16], near: [%s/32], far: [%s/32], none: []}
  disabledDialects: [kube-vip]
`
)

// TestSettings runs on one lab: annotations, and what comes of them for clients and in the objects.
func TestSettings(t *testing.T) {
	c := ownCloud(t, lab.Config{})
	ccm, err := c.StartCCM(t.Context(), "ccm", lab.CCMOptions{
		CloudConfig: fmt.Sprintf(settingsConfig, c.Addr4(lab.Client), c.Addr4(lab.Far)),
	})
	if err != nil {
		t.Fatal(err)
	}
	c.ccm = ccm
	if err := c.StartAnnouncers(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.awaitMembers(t)
	for _, test := range []struct {
		name string
		run  func(*space)
	}{
		{"manifest of 2017", manifestOf2017},
		{"wrong settings change nothing", wrongSettingsChangeNothing},
		{"nodes by label", nodesByLabel},
		{"zones and cordon", zonesAndCordon},
		{"kept and protected", keptAndProtected},
		{"pools by type, and what cannot move", poolsByType},
		{"shared settings", sharedSettings},
		{"other dialects", otherDialects},
		{"health check and access control", healthCheckAndAccessControl},
		{"plain load balancers", plainLoadBalancers},
		{"Services of others", servicesOfOthers},
		{"named access lists", namedAccessLists},
		{"zones and their pools", zonesAndTheirPools},
		{"what kube-proxy is to be told", whatKubeProxyIsToBeTold},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(newSpace(t, c)) })
	}
}

// annotations sets several.
func annotations(all map[string]string) edit {
	return func(service *corev1.Service) { service.Annotations = all }
}

// alsoOnPort adds a port for the same pods.
func alsoOnPort(port int32) edit {
	return func(service *corev1.Service) {
		service.Spec.Ports = append(service.Spec.Ports, corev1.ServicePort{
			Name: fmt.Sprintf("p%d", port), Port: port, TargetPort: intstr.FromInt32(8080), Protocol: corev1.ProtocolTCP,
		})
	}
}

func forPods(app string) edit {
	return func(service *corev1.Service) { service.Spec.Selector = map[string]string{"app": app} }
}

// awaitClaim waits until what the VirtualIP of an address says of the Service web is as wanted.
func (s *space) awaitClaim(addr netip.Addr, want func(v1alpha1.ServiceClaim) bool) {
	s.t.Helper()
	lab.Await(s.t.Context(), s.t, "the claim of web on "+addr.String(), func(ctx context.Context) (bool, string, error) {
		vip, err := s.vip(ctx, addr)
		if err != nil {
			return false, "", err
		}
		at := slices.IndexFunc(vip.Spec.Services, func(claim v1alpha1.ServiceClaim) bool { return claim.Name == "web" })
		return at >= 0 && want(vip.Spec.Services[at]), fmt.Sprintf("%+v, warnings %v", vip.Spec.Services, s.warnings(ctx, "web")), nil
	})
}

func manifestOf2017(s *space) {
	first, _ := s.onSegment()
	s.backends("n1", "n2")
	s.reserve(first, func(spec *v1alpha1.VirtualIPSpec) { spec.ID = "lb-2017" })
	s.service("web", alsoOnPort(443), annotations(map[string]string{
		legacy + "ProtocolPort": "http:80,http:443", legacy + "HealthCheckFlag": "off", legacy + "id": "lb-2017",
	}))
	s.awaitAddresses("web", first)
	s.awaitAnswer(lab.Client, first)
	s.awaitWarning("web", settings.ReasonIgnored, "ProtocolPort", "http:80, http:443", "passes through as TCP")
	// Another Service uses the same load balancer, on another port.
	s.service("more", forPods("web"), onPort(corev1.ProtocolTCP, 8443), annotations(map[string]string{current + "id": "lb-2017"}))
	s.awaitAddresses("more", first)
	s.awaitAnswerOn(lab.Client, first, 8443)
	s.awaitClaim(first, func(claim v1alpha1.ServiceClaim) bool { return claim.HealthCheck == nil && len(claim.Ports) == 2 })
	// An id cannot be changed under a Service that has an address.
	s.editService("web", annotated(legacy+"id", "lb-other"))
	s.awaitWarning("web", legacy+"id", `"lb-other"`, first.String()+" already")
	s.wantAddresses("web", first)
}

func wrongSettingsChangeNothing(s *space) {
	addr := s.web()
	s.editService("web", func(service *corev1.Service) {
		service.Annotations = map[string]string{
			current + "persistence-timeout": "3601", current + "protocol-port": "https:81", settings.HostnameKey: "No_Host",
			settings.AddressesPerFamilyKey: "2",
		}
		service.Spec.Ports[0].Port = 81
	})
	names := []string{
		"persistence-timeout \"3601\": expected a whole number from 0 to 3600", "protocol-port \"https:81\"", "nothing here ends TLS",
		settings.HostnameKey + " \"No_Host\": expected a DNS name",
	}
	s.awaitWarning("web", names...)
	s.wantAddresses("web", addr)
	s.awaitAnswer(lab.Client, addr)
	s.awaitClaim(addr, func(claim v1alpha1.ServiceClaim) bool { return claim.Ports[0].Port == 80 })
	tried := s.counted("web", "EnsuringLoadBalancer")
	// What is wrong with the Service is no news when something else changes, and nothing to try again for.
	s.editPool(s.poolName("segment"), func(spec *v1alpha1.AddressPoolSpec) { spec.Priority = 1 })
	s.label("n1", "example.com/news", "none")
	s.service("after", annotated(settings.AddressPoolKey, "none-such"))
	s.awaitWarning("after", "none-such")
	if telling := s.counted("web", names...); telling != 1 {
		s.t.Errorf("it is told %d times, want once: %q", telling, s.warnings(s.t.Context(), "web"))
	}
	if again := s.counted("web", "EnsuringLoadBalancer"); again != tried || tried > 2 {
		s.t.Errorf("it was tried %d times, and %d times after something else changed: want an attempt for each edit of the Service", tried, again)
	}
	s.wantAddresses("web", addr)
	s.deleteService("web")
	s.awaitNoVIP(addr)
}

// counted returns how often there was an event about a Service with all words in its reason and text.
func (s *space) counted(name string, words ...string) (n int) {
	s.t.Helper()
	events, err := s.Client().CoreV1().Events(s.namespace).List(s.t.Context(), metav1.ListOptions{
		FieldSelector: fields.Set{"involvedObject.name": name}.String(),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	for i := range events.Items {
		if event := &events.Items[i]; hasAll(event.Reason+": "+event.Message, words) {
			n += int(max(event.Count, 1))
		}
	}
	return n
}

// patchNode changes a Node, and back at the end of the test.
func (s *space) patchNode(name, patch, back string) {
	s.t.Helper()
	write := func(ctx context.Context, patch string) {
		if _, err := s.Client().CoreV1().Nodes().Patch(ctx, name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
			s.t.Error(err)
		}
	}
	write(s.t.Context(), patch)
	s.t.Cleanup(func() { write(context.WithoutCancel(s.t.Context()), back) })
}

func (s *space) label(node, key, value string) {
	s.t.Helper()
	s.patchNode(node, fmt.Sprintf(`{"metadata":{"labels":{%q:%q}}}`, key, value), fmt.Sprintf(`{"metadata":{"labels":{%q:null}}}`, key))
}

// awaitOwnerIs waits until a node announces the address.
func (s *space) awaitOwnerIs(addr netip.Addr, want string) {
	s.t.Helper()
	var others []string
	for _, node := range s.Nodes() {
		if node != want {
			others = append(others, node)
		}
	}
	s.awaitOwner(addr, others...)
}

func nodesByLabel(s *space) {
	s.onSegment()
	s.label("n2", "role", "edge")
	s.backends(s.Nodes()...)
	s.service("web", annotated(current+"backend-label", "role=edge"))
	addr := s.awaitCount("web", 1)[0]
	s.awaitOwnerIs(addr, "n2")
	s.awaitAnswer(lab.Client, addr)
	s.editService("web", annotated(settings.NodesKey, "kubernetes.io/hostname=n3"))
	s.awaitWarning("web", settings.ReasonOverridden, "backend-label")
	s.awaitOwnerIs(addr, "n3")
	// No such node: the address stays, and nobody announces it.
	s.editService("web", annotated(settings.NodesKey, "role=nobody"))
	s.awaitWarning("web", "NoNodeSelected", settings.NodesKey)
	lab.Await(s.t.Context(), s.t, "nobody to announce "+addr.String(), func(ctx context.Context) (bool, string, error) {
		vip, err := s.vip(ctx, addr)
		if err != nil {
			return false, "", err
		}
		if err := s.FlushNeighbors(lab.Client); err != nil { // a node forwards what neighbours go on sending to it
			return false, "", err
		}
		_, asked := s.Ask(ctx, lab.Client, url(addr))
		return len(vip.Spec.Candidates) == 0 && vip.Status.Node == "" && asked != nil, fmt.Sprintf("%+v, asked: %v", vip.Status, asked), nil
	})
	s.wantAddresses("web", addr)
	s.editService("web", func(service *corev1.Service) { service.Annotations = nil })
	s.awaitAnswer(lab.Client, addr)
}

func zonesAndCordon(s *space) {
	s.onSegment()
	for node, zone := range map[string]string{"n1": "east", "n2": "west", "n3": "north"} {
		s.label(node, corev1.LabelTopologyZone, zone)
	}
	s.backends(s.Nodes()...)
	s.service("web", annotations(map[string]string{
		current + "master-zoneid": "west", current + "slave-zoneid": "north", current + "remove-unscheduled-backend": "on",
	}))
	addr := s.awaitCount("web", 1)[0]
	s.awaitOwnerIs(addr, "n2")
	s.awaitAnswer(lab.Client, addr)
	s.patchNode("n2", `{"spec":{"unschedulable":true}}`, `{"spec":{"unschedulable":null}}`)
	s.awaitOwnerIs(addr, "n3") // the fallback
	// A node that is as fit as before keeps the address, and its heir is in the zone that is preferred now.
	s.patchNode("n2", `{"spec":{"unschedulable":null}}`, `{"spec":{"unschedulable":null}}`)
	s.editService("web", annotated(settings.ZonesKey, "east"))
	lab.Await(s.t.Context(), s.t, "n1 to be the first candidate of three", func(ctx context.Context) (bool, string, error) {
		vip, err := s.vip(ctx, addr)
		if err != nil {
			return false, "", err
		}
		return len(vip.Spec.Candidates) == 3 && vip.Spec.Candidates[0] == "n1", fmt.Sprint(vip.Spec.Candidates), nil
	})
	s.patchNode("n3", `{"spec":{"unschedulable":true}}`, `{"spec":{"unschedulable":null}}`)
	s.awaitOwnerIs(addr, "n1")
	s.awaitAnswer(lab.Client, addr)
}

func keptAndProtected(s *space) {
	first, _ := s.onSegment()
	s.backends("n1")
	keep := annotations(map[string]string{
		current + "preserve-lb-on-delete": "true", current + "delete-protection": "on", current + "hostname": "web.example.com",
		current + "name": "Web shop", current + "additional-resource-tags": "team=a,cost=7", current + "connection-drain": "on",
		current + "connection-drain-timeout": "20", current + "bandwidth": "5", current + "persistence-timeout": "60", current + "loadbalancr-id": "x",
	})
	s.service("web", keep)
	s.awaitAddresses("web", first)
	lab.Await(s.t.Context(), s.t, "the host name beside the address", func(ctx context.Context) (bool, string, error) {
		service, err := s.get(ctx, "web")
		if err != nil {
			return false, "", err
		}
		one := service.Status.LoadBalancer.Ingress
		return len(one) == 1 && one[0].Hostname == "web.example.com" && one[0].IP == first.String(), fmt.Sprintf("%+v", one), nil
	})
	s.awaitClaim(first, func(claim v1alpha1.ServiceClaim) bool {
		return claim.DisplayName == "Web shop" && claim.Tags["cost"] == "7" && claim.DrainTimeoutSeconds != nil && *claim.DrainTimeoutSeconds == 20
	})
	s.awaitWarning("web", settings.ReasonIgnored, "bandwidth \"5\"")
	s.awaitWarning("web", settings.ReasonAdvice, "spec.sessionAffinityConfig.clientIP.timeoutSeconds: 60")
	s.awaitWarning("web", settings.ReasonUnknown, "loadbalancr-id", "the nearest known one is "+current+"loadbalancer-id")

	s.awaitAnswer(lab.Client, first)
	vips := s.fairlead.FairleadV1alpha1().VirtualIPs()
	lab.Await(s.t.Context(), s.t, "the API server to refuse the deletion by hand", func(ctx context.Context) (bool, string, error) {
		err := vips.Delete(ctx, first.String(), metav1.DeleteOptions{})
		return apierrors.IsForbidden(err) && strings.Contains(err.Error(), "delete-protection"), fmt.Sprint(err), nil
	})
	s.awaitAnswer(lab.Client, first)
	s.deleteService("web")
	s.awaitNobody(first)
	vip := s.wantVIP(first)
	if kept := vip.Spec.ReservedFor; kept == nil || kept.Name != "web" || kept.Until != nil || len(vip.Spec.Services) > 0 {
		s.t.Fatalf("the VirtualIP is left as %+v", vip.Spec)
	}
	s.service("other")
	s.awaitCount("other", 1)
	s.service("web", keep)
	s.awaitAddresses("web", first)
	s.awaitAnswer(lab.Client, first)
	s.editService("web", annotated(current+"preserve-lb-on-delete", "off"))
	s.awaitClaim(first, func(claim v1alpha1.ServiceClaim) bool { return !claim.PreserveOnDelete })
	s.deleteService("web")
	s.awaitNoVIP(first)
}

// typedPools makes the pools of the cloud config's types, of addresses that no other test uses.
func (s *space) typedPools() (public, office [2]netip.Addr) {
	s.t.Helper()
	public[0], public[1] = s.tenOfSegment()
	office = [2]netip.Addr{public[0], public[1]}
	for range 5 {
		office[0], office[1] = office[0].Next(), office[1].Next()
	}
	for name, first := range map[string][2]netip.Addr{"settings-public": public, "settings-office": office} {
		made := &v1alpha1.AddressPool{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.AddressPoolSpec{
			AutoAssign: new(false), ReleaseDelay: &metav1.Duration{},
		}}
		for _, addr := range first {
			last := addr.Next().Next().Next().Next()
			made.Spec.Addresses = append(made.Spec.Addresses, v1alpha1.AddressRange(span(addr, last)))
		}
		pools := s.fairlead.FairleadV1alpha1().AddressPools()
		if _, err := pools.Create(s.t.Context(), made, metav1.CreateOptions{}); err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() {
			if err := pools.Delete(context.WithoutCancel(s.t.Context()), name, metav1.DeleteOptions{}); err != nil {
				s.t.Error(err)
			}
		})
	}
	return public, office
}

func poolsByType(s *space) {
	public, office := s.typedPools()
	s.backends("n1")
	get := func(name string, want []netip.Addr, edits ...edit) {
		s.service(name, append(edits, forPods("web"))...)
		s.awaitAddresses(name, want...)
		for _, addr := range want {
			s.awaitAnswer(lab.Client, addr)
		}
	}
	inner4, inner6 := office[0], office[1]
	get("outer", public[:1], annotated(current+"address-type", "internet"))
	get("inner", office[:1], annotated(current+"address-type", "Intranet"))
	get("mixed", []netip.Addr{inner4.Next(), public[1]}, families(require), annotations(map[string]string{
		current + "address-type": "intranet", current + "ipv6-address-type": "internet",
	}))
	get("only", []netip.Addr{inner6}, families(require), annotations(map[string]string{
		current + "address-type": "intranet", current + "ip-version": "ipv6",
	}))
	s.service("unknown", annotated(current+"address-type", "dmz"))
	s.awaitWarning("unknown", `address-type "dmz"`, "internet or intranet")
	s.wantAddresses("unknown")

	fixed := inner4.Next().Next()
	get("fixed", []netip.Addr{fixed}, annotated(current+"vswitch-id", "settings-office"))
	s.editService("fixed", annotated(current+"vswitch-id", "settings-public"))
	s.awaitWarning("fixed", `vswitch-id "settings-public"`, fixed.String(), "already")
	s.wantAddresses("fixed", fixed)
	s.awaitAnswer(lab.Client, fixed)
}

func sharedSettings(s *space) {
	first, _ := s.onSegment()
	s.service("one", annotations(map[string]string{settings.SharingKeyKey: "k", settings.HostnameKey: "one.example.com"}))
	s.awaitAddresses("one", first)
	s.service("two", onPort(corev1.ProtocolTCP, 81), annotations(map[string]string{settings.SharingKeyKey: "k", settings.HostnameKey: "two.example.com"}))
	s.awaitWarning("two", "hostname", "one.example.com", "two.example.com", s.namespace+"/one")
	s.wantAddresses("two")
	s.editService("two", func(service *corev1.Service) { delete(service.Annotations, settings.HostnameKey) })
	s.awaitAddresses("two", first)
	lab.Await(s.t.Context(), s.t, "the host name to be inherited", func(ctx context.Context) (bool, string, error) {
		service, err := s.get(ctx, "two")
		if err != nil {
			return false, "", err
		}
		return service.Status.LoadBalancer.Ingress[0].Hostname == "one.example.com", fmt.Sprintf("%+v", service.Status), nil
	})
	// What is said of one is not said of the other, and does not go with it.
	s.backends("n2")
	s.editService("one", annotated(current+"additional-resource-tags", "team=a"))
	s.editService("two", func(service *corev1.Service) {
		service.Annotations[current+"additional-resource-tags"] = "team=b,cost=7"
		service.Spec.Selector = map[string]string{"app": "web"}
	})
	s.awaitTags(first, map[string]map[string]string{"one": {"team": "a"}, "two": {"team": "b", "cost": "7"}})
	s.deleteService("one")
	s.awaitTags(first, map[string]map[string]string{"two": {"team": "b", "cost": "7"}})
	s.awaitAnswerOn(lab.Client, first, 81)
	s.service("bgp", annotated(settings.AnnounceKey, "bgp"))
	s.awaitWarning("bgp", settings.AnnounceKey, "does not announce by bgp")
}

// awaitTags waits until the Services on an address have these tags.
func (s *space) awaitTags(addr netip.Addr, want map[string]map[string]string) {
	s.t.Helper()
	lab.Await(s.t.Context(), s.t, fmt.Sprintf("tags %v on %s", want, addr), func(ctx context.Context) (bool, string, error) {
		vip, err := s.vip(ctx, addr)
		if err != nil {
			return false, "", err
		}
		have := map[string]map[string]string{}
		for _, claim := range vip.Spec.Services {
			have[claim.Name] = claim.Tags
		}
		return reflect.DeepEqual(want, have), fmt.Sprint(have), nil
	})
}

func otherDialects(s *space) {
	first, _ := s.onSegment()
	s.backends("n3")
	second := first.Next()
	s.service("lb", forPods("web"), annotations(map[string]string{"metallb.universe.tf/loadBalancerIPs": second.String(), "metallb.io/allow-shared-ip": "any key"}))
	s.awaitAddresses("lb", second)
	s.awaitAnswer(lab.Client, second)
	s.service("beside", forPods("web"), onPort(corev1.ProtocolTCP, 81), annotations(map[string]string{
		"metallb.io/address-pool": s.poolName("segment"), "metallb.universe.tf/allow-shared-ip": "any key",
	}))
	s.awaitAddresses("beside", second)
	s.awaitAnswerOn(lab.Client, second, 81)
	// The dialect is off in the cloud config: it is as if the annotation were somebody else's.
	s.service("vip", annotated("kube-vip.io/loadbalancerIPs", first.Next().Next().String()))
	s.awaitAddresses("vip", first)
}

func healthCheckAndAccessControl(s *space) {
	first, _ := s.onSegment()
	s.service("web", annotations(map[string]string{
		current + "health-check-type": "http", current + "health-check-uri": "/healthz", current + "health-check-httpcode": "http_2xx",
		current + "health-check-interval": "10", current + "unhealthy-threshold": "4",
		current + "acl-status": "on", current + "acl-id": "office", current + "acl-type": "white", settings.AccessControlDenyKey: "10.1.7.0/24",
	}), func(service *corev1.Service) {
		service.Spec.LoadBalancerSourceRanges = []string{"10.1.0.0/20", "192.0.2.0/24"}
	})
	s.awaitAddresses("web", first)
	s.awaitClaim(first, func(claim v1alpha1.ServiceClaim) bool {
		check, access := claim.HealthCheck, claim.AccessControl
		return check != nil && check.Type == v1alpha1.HealthCheckHTTP && check.Path == "/healthz" && check.IntervalSeconds == 10 &&
			check.UnhealthyThreshold == 4 && slices.Equal(check.Codes, []string{"200-299"}) &&
			access != nil && slices.Equal(access.Allow, []string{"10.1.0.0/20"}) && slices.Equal(access.Deny, []string{"10.1.7.0/24"})
	})
	s.service("unknown", annotations(map[string]string{current + "acl-status": "on", current + "acl-id": "nobody", current + "acl-type": "white"}))
	s.awaitWarning("unknown", `acl-id "nobody"`, "office")
	s.wantAddresses("unknown")
}
