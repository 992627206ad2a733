// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"
)

// example is a manifest without apiVersion and kind, and what the API server says to it.
type example struct {
	name     string
	manifest string
	// refused lists what the error must contain: the field and what was expected. None means that the API server accepts.
	refused []string
}

// try lets the API server validate examples as kubectl would hand them over, without keeping anything.
func try(t *testing.T, kind, resource string, examples []example) {
	t.Helper()
	client, err := dynamic.NewForConfig(cluster(t).RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	objects := client.Resource(schema.GroupVersionResource{Group: "fairlead.dev", Version: "v1alpha1", Resource: resource})
	for _, example := range examples {
		t.Run(example.name, func(t *testing.T) {
			t.Parallel()
			object := &unstructured.Unstructured{}
			if err := yaml.Unmarshal([]byte(example.manifest), &object.Object); err != nil {
				t.Fatal(err)
			}
			object.SetAPIVersion("fairlead.dev/v1alpha1")
			object.SetKind(kind)
			if object.GetName() == "" {
				object.SetName("example")
			}
			_, err := objects.Create(t.Context(), object, metav1.CreateOptions{
				DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict,
			})
			check(t, err, example.refused)
		})
	}
}

func check(t *testing.T, err error, refused []string) {
	t.Helper()
	switch {
	case len(refused) == 0 && err != nil:
		t.Errorf("refused: %v", err)
	case len(refused) == 0:
	case err == nil:
		t.Errorf("accepted, want an error with %q", refused)
	case !apierrors.IsInvalid(err) && !apierrors.IsBadRequest(err):
		t.Errorf("not refused by validation: %v", err)
	default:
		for _, want := range refused {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("the error lacks %q: %v", want, err)
			}
		}
	}
}

func TestAddressPoolSchema(t *testing.T) {
	try(t, "AddressPool", "addresspools", []example{
		{"CIDR, range and IPv6", `spec: {addresses: [10.0.0.100-10.0.0.150, 10.1.0.0/24, "fd00:10::/112"]}`, nil},
		{"single addresses", `spec: {addresses: [10.0.0.1, "fd00::1"]}`, nil},
		{"IPv6 range", `spec: {addresses: ["fd00:10::10-fd00:10::1f"]}`, nil},
		{"everything set", `
spec:
  addresses: [10.1.0.0/16]
  excluded: [10.1.0.1, 10.1.4.0/24, 10.1.9.1-10.1.9.9]
  avoidEdges: true
  autoAssign: false
  priority: -5
  disabled: true
  namespaceSelector: {matchLabels: {team: a}}
  serviceSelector: {matchExpressions: [{key: app, operator: In, values: [web]}]}
  maxPerNamespace: 10
  releaseDelay: 24h
  sharedAcrossNamespaces: true
  announce:
  - l2: {interfaces: ["eth*"], nodeSelector: {matchLabels: {edge: "true"}}, probe: false}
  - bgp: {peers: [tor-a], communities: ["64512:100", "64512:1:2", no-export], localPreference: 100, med: 0,
          asPathPrepend: 2, linkBandwidthPerEndpoint: 10, aggregationLength: {ipv4: 24, ipv6: 64}}`, nil},
		{"namespaces", `spec: {addresses: [10.0.0.0/24], namespaces: [a, b]}`, nil},
		{"no release delay", `spec: {addresses: [10.0.0.0/24], releaseDelay: 0s}`, nil},
	})
}

func TestAddressPoolSchemaRefuses(t *testing.T) {
	try(t, "AddressPool", "addresspools", []example{
		{"no spec", `{}`, []string{"spec", "Required"}},
		{"no addresses", `spec: {}`, []string{"spec.addresses", "Required"}},
		{"empty addresses", `spec: {addresses: []}`, []string{"spec.addresses", "at least 1"}},
		{"the same twice", `spec: {addresses: [10.0.0.0/24, 10.0.0.0/24]}`, []string{"spec.addresses[1]", "Duplicate", "10.0.0.0/24"}},
		{
			"unparsable", `spec: {addresses: [10.0.0.0/24, ten]}`,
			[]string{"spec.addresses[1]", "ten", "must be an address, a CIDR such as"},
		},
		{"octet too large", `spec: {addresses: [10.0.0.256]}`, []string{"spec.addresses[0]", "10.0.0.256", "must be an address"}},
		{"prefix too long", `spec: {addresses: [10.0.0.0/33]}`, []string{"spec.addresses[0]", "10.0.0.0/33", "a CIDR such as"}},
		{"half a range", `spec: {addresses: [10.0.0.1-]}`, []string{"spec.addresses[0]", "a range such as"}},
		{"three ends", `spec: {addresses: [10.0.0.1-10.0.0.2-10.0.0.3]}`, []string{"spec.addresses[0]", "a range such as"}},
		{
			"range of two families", `spec: {addresses: ["10.0.0.1-fd00::1"]}`,
			[]string{"spec.addresses[0]", "both ends of a range must be of one IP family"},
		},
		{"exclusion", `spec: {addresses: [10.0.0.0/24], excluded: [none]}`, []string{"spec.excluded[0]", "none", "must be an address"}},
		{
			"list and selector of namespaces", `spec: {addresses: [10.0.0.0/24], namespaces: [a], namespaceSelector: {}}`,
			[]string{"spec", "namespaces and namespaceSelector exclude each other"},
		},
		{
			"negative limit", `spec: {addresses: [10.0.0.0/24], maxPerNamespace: -1}`,
			[]string{"spec.maxPerNamespace", "-1", "greater than or equal to 0"},
		},
		{
			"priority out of range", `spec: {addresses: [10.0.0.0/24], priority: 1000001}`,
			[]string{"spec.priority", "1000001", "less than or equal to 1000000"},
		},
		{
			"release delay too long", `spec: {addresses: [10.0.0.0/24], releaseDelay: 25h}`,
			[]string{"spec.releaseDelay", "between 0s and 24h"},
		},
		{
			"negative release delay", `spec: {addresses: [10.0.0.0/24], releaseDelay: -1s}`,
			[]string{"spec.releaseDelay", "between 0s and 24h"},
		},
		{"no duration", `spec: {addresses: [10.0.0.0/24], releaseDelay: soon}`, []string{"spec.releaseDelay"}},
		{"nothing to announce by", `spec: {addresses: [10.0.0.0/24], announce: []}`, []string{"spec.announce", "at least 1"}},
		{
			"empty announcement", `spec: {addresses: [10.0.0.0/24], announce: [{}]}`,
			[]string{"spec.announce[0]", "exactly one of l2 and bgp"},
		},
		{
			"l2 and bgp in one", `spec: {addresses: [10.0.0.0/24], announce: [{l2: {}, bgp: {}}]}`,
			[]string{"spec.announce[0]", "exactly one of l2 and bgp"},
		},
		{
			"empty interface", `spec: {addresses: [10.0.0.0/24], announce: [{l2: {interfaces: [""]}}]}`,
			[]string{"spec.announce[0].l2.interfaces[0]", "at least 1"},
		},
		{"unknown field", `spec: {addresses: [10.0.0.0/24], adresses: [x]}`, []string{`unknown field "spec.adresses"`}},
	})
}

func TestVirtualIPSchema(t *testing.T) {
	try(t, "VirtualIP", "virtualips", []example{
		{"IPv4", `{metadata: {name: 10.0.0.100}, spec: {address: 10.0.0.100}}`, nil},
		{"IPv6", `{metadata: {name: fd00-10--1}, spec: {address: "fd00:10::1"}}`, nil},
		{"IPv6 that ends in colons", `{metadata: {name: fd00-10--0}, spec: {address: "fd00:10::"}}`, nil},
		{"IPv6 that begins with colons", `{metadata: {name: 0--1}, spec: {address: "::1"}}`, nil},
		{"reservation", `{metadata: {name: 10.0.0.7}, spec: {address: 10.0.0.7, id: static-web, reclaimPolicy: Retain, sharing: {key: dns}}}`, nil},
		{"claims", `
metadata: {name: 10.0.0.7}
spec:
  address: 10.0.0.7
  pool: office
  services:
  - {namespace: a, name: web, ports: [{protocol: TCP, port: 80, nodePort: 30080}], externalTrafficPolicy: Local, healthCheckNodePort: 30090}
  - {namespace: a, name: dns, ports: [{protocol: UDP, port: 53}]}
  announce: [{l2: {}}]
  nodeRules: {ignoreExcludeLabel: true, leaveOnCordon: true}
  candidates: [n2, n1]
  epoch: 7`, nil},

		{"another name", `{metadata: {name: web}, spec: {address: 10.0.0.100}}`, []string{"the name must be the address"}},
		{
			"IPv6 under the name of another", `{metadata: {name: fd00-10--2}, spec: {address: "fd00:10::1"}}`,
			[]string{"the name must be the address, with : written as -"},
		},
		{"no 0 at the end", `{metadata: {name: fd00-10}, spec: {address: "fd00:10::"}}`, []string{"a 0 where it would begin or end with -"}},
		{"no address", `{metadata: {name: 10.0.0.100}, spec: {}}`, []string{"spec.address", "Required"}},
		{
			"IPv6 with leading zeros", `{metadata: {name: fd00-0010--1}, spec: {address: "fd00:0010::1"}}`,
			[]string{"spec.address", "canonical form"},
		},
		{"IPv6 in capitals", `{metadata: {name: fd00--a}, spec: {address: "FD00::A"}}`, []string{"spec.address", "canonical form"}},
		{"no IP address", `{metadata: {name: ten}, spec: {address: ten}}`, []string{"spec.address", "must be an IP address in canonical form"}},
		{"CIDR", `{metadata: {name: 10.0.0.0}, spec: {address: 10.0.0.0/24}}`, []string{"spec.address", "must be an IP address"}},
		{
			"reclaim policy", `{metadata: {name: 10.0.0.1}, spec: {address: 10.0.0.1, reclaimPolicy: Keep}}`,
			[]string{"spec.reclaimPolicy", "Keep", `"Delete", "Retain"`},
		},
		{"id", `{metadata: {name: 10.0.0.1}, spec: {address: 10.0.0.1, id: Static Web}}`, []string{"spec.id", "Static Web"}},
		{
			"protocol", `{metadata: {name: 10.0.0.1}, spec: {address: 10.0.0.1, services: [{namespace: a, name: b, ports: [{protocol: ICMP, port: 1}]}]}}`,
			[]string{"spec.services[0].ports[0].protocol", "ICMP", `"TCP", "UDP", "SCTP"`},
		},
		{
			"port", `{metadata: {name: 10.0.0.1}, spec: {address: 10.0.0.1, services: [{namespace: a, name: b, ports: [{protocol: TCP, port: 70000}]}]}}`,
			[]string{"spec.services[0].ports[0].port", "70000", "65535"},
		},
		{
			"the same Service twice", `{metadata: {name: 10.0.0.1}, spec: {address: 10.0.0.1, services: [{namespace: a, name: b}, {namespace: a, name: b}]}}`,
			[]string{"spec.services[1]", "Duplicate"},
		},
		{"empty sharing key", `{metadata: {name: 10.0.0.1}, spec: {address: 10.0.0.1, sharing: {key: ""}}}`, []string{"spec.sharing.key", "at least 1"}},
		{
			"two ways in one announcement", `{metadata: {name: 10.0.0.1}, spec: {address: 10.0.0.1, announce: [{l2: {}, bgp: {}}]}}`,
			[]string{"spec.announce[0]", "exactly one of l2 and bgp"},
		},
		{"negative epoch", `{metadata: {name: 10.0.0.1}, spec: {address: 10.0.0.1, epoch: -1}}`, []string{"spec.epoch", "-1"}},
		{"unknown field", `{metadata: {name: 10.0.0.1}, spec: {address: 10.0.0.1, node: n1}}`, []string{`unknown field "spec.node"`}},
	})
}

func TestAnnouncerSchema(t *testing.T) {
	try(t, "Announcer", "announcers", []example{
		{"bare", `{}`, nil},
		{"unknown field", `spec: {}`, []string{`unknown field "spec"`}},
	})
}

func TestAnnouncerStatusSchema(t *testing.T) {
	l, client := cluster(t), administrator(t).FairleadV1alpha1().Announcers()
	if err := l.Apply(t.Context(), `{"apiVersion":"fairlead.dev/v1alpha1","kind":"Announcer","metadata":{"name":"inventory"}}`); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Delete(context.WithoutCancel(t.Context()), "inventory", metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	for _, example := range []example{
		{"all", `
status:
  version: v0.1.0
  machineID: 1b4e28ba
  gossipAddress: 10.0.0.5:7946
  interfaces: [{name: eth0, mac: "02:00:00:00:00:01", addresses: [10.0.0.5/24], up: true, defaultRoute: true}]
  owned: 3
  members: 3
  bgp: [{peer: tor-a, address: 192.0.2.1, localASN: 64512, state: Established, bfd: Up, prefixes: 3}]
  conditions: [{type: Ready, status: "True", reason: Ready, message: "", lastTransitionTime: "2026-01-01T00:00:00Z"}]`, nil},
		{
			"the same interface twice", `status: {owned: 0, members: 1, interfaces: [{name: eth0}, {name: eth0}]}`,
			[]string{"status.interfaces[1]", "Duplicate"},
		},
		{"interface without a name", `status: {owned: 0, members: 1, interfaces: [{mac: x}]}`, []string{"status.interfaces[0].name", "Required"}},
		{"session without a peer", `status: {owned: 0, members: 1, bgp: [{state: Idle}]}`, []string{"status.bgp[0].peer", "Required"}},
		{"number as text", `status: {owned: many, members: 1}`, []string{"status.owned", "integer"}},
		{"unknown field", `status: {owned: 0, members: 1, vips: 3}`, []string{`unknown field "status.vips"`}},
	} {
		t.Run(example.name, func(t *testing.T) {
			patch, err := yaml.YAMLToJSON([]byte(example.manifest))
			if err != nil {
				t.Fatal(err)
			}
			_, err = client.Patch(t.Context(), "inventory", types.MergePatchType, patch, metav1.PatchOptions{
				DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict,
			}, "status")
			check(t, err, example.refused)
		})
	}
}

func TestVirtualIPAddressIsImmutable(t *testing.T) {
	client := administrator(t).FairleadV1alpha1().VirtualIPs()
	const manifest = `{"apiVersion":"fairlead.dev/v1alpha1","kind":"VirtualIP","metadata":{"name":"203.0.113.9"},"spec":{"address":"203.0.113.9"}}`
	if err := cluster(t).Apply(t.Context(), manifest); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { deleteVirtualIP(t, client, "203.0.113.9") })
	vip, err := client.Get(t.Context(), "203.0.113.9", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if vip.Spec.ReclaimPolicy != "Delete" {
		t.Errorf("reclaimPolicy defaults to %q, want Delete", vip.Spec.ReclaimPolicy)
	}
	vip.Spec.Address = "203.0.113.10"
	_, err = client.Update(t.Context(), vip, metav1.UpdateOptions{})
	check(t, err, []string{"spec.address", "address is immutable"})
}
