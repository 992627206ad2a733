// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	cloudprovider "k8s.io/cloud-provider"
	cloudproviderapi "k8s.io/cloud-provider/api"

	listers "github.com/fairlead-io/fairlead/pkg/api/client/listers/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/cloudconfig"
)

func node(edit func(*corev1.Node)) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1", Annotations: map[string]string{}}}
	n.Status.NodeInfo.SystemUUID = "4C4C4544-0042"
	edit(n)
	return n
}

// with returns instances that know these Announcers.
func with(t *testing.T, announcers ...*v1alpha1.Announcer) *instances {
	t.Helper()
	indexer := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
	for _, announcer := range announcers {
		if err := indexer.Add(announcer); err != nil {
			t.Fatal(err)
		}
	}
	return &instances{config: cloudconfig.Default(), announcers: listers.NewAnnouncerLister(indexer)}
}

func ready(status corev1.ConditionStatus) func(*corev1.Node) {
	return func(n *corev1.Node) {
		n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: status}}
	}
}

func TestOnlyADecommissionedNodeOfOursThatIsNotReadyIsGone(t *testing.T) {
	decommissioned := func(n *corev1.Node) { n.Annotations[v1alpha1.DecommissionedKey] = "" }
	for _, test := range []struct {
		name  string
		edits []func(*corev1.Node)
		want  bool
	}{
		{"ready", []func(*corev1.Node){ready(corev1.ConditionTrue)}, true},
		{"not ready", []func(*corev1.Node){ready(corev1.ConditionFalse)}, true},
		{"unknown, cut off", []func(*corev1.Node){ready(corev1.ConditionUnknown)}, true},
		{"decommissioned and still ready", []func(*corev1.Node){decommissioned, ready(corev1.ConditionTrue)}, true},
		{"decommissioned and not ready", []func(*corev1.Node){decommissioned, ready(corev1.ConditionUnknown)}, false},
		{"not decommissioned after all", []func(*corev1.Node){
			func(n *corev1.Node) { n.Annotations[v1alpha1.DecommissionedKey] = "false" }, ready(corev1.ConditionFalse),
		}, true},
		{"decommissioned, and another provider's", []func(*corev1.Node){
			decommissioned, ready(corev1.ConditionFalse),
			func(n *corev1.Node) { n.Spec.ProviderID = "aws:///x" },
		}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := with(t).InstanceExists(t.Context(), node(func(n *corev1.Node) {
				for _, edit := range test.edits {
					edit(n)
				}
			}))
			if err != nil || got != test.want {
				t.Errorf("exists %t, %v, want %t", got, err, test.want)
			}
		})
	}
}

// report is what the agent of node n1 tells of it: on eth0 are an address that moves between machines, and its own.
func report() *v1alpha1.Announcer {
	inventory := &v1alpha1.Announcer{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}
	inventory.Status.Interfaces = []v1alpha1.NodeInterface{
		{Name: "eth1", Addresses: []string{"192.168.0.5/24"}},
		{Name: "lo", Addresses: []string{"10.255.0.5/32"}},
		{Name: "eth0", DefaultRoute: true, Addresses: []string{"10.0.0.1/32", "fe80::1/64", "10.0.0.5/24", "10.0.0.6/24", "fd00::5/64"}},
	}
	return inventory
}

func internal(address string) corev1.NodeAddress {
	return corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: address}
}

// A node that was initialised without --node-ip follows its machine to other addresses, and to none while it still has one
// of its own: kube-proxy is restarted by each change.
func TestAddressesFollowTheMachine(t *testing.T) {
	for _, test := range []struct {
		name       string
		id         string
		have, want []string
	}{
		{"on the machine, though not the first there", "fairlead://x", []string{"10.0.0.6"}, []string{"10.0.0.6"}},
		{"on an interface without the default route", "fairlead://x", []string{"192.168.0.5"}, []string{"192.168.0.5"}},
		{"on the loopback", "fairlead://x", []string{"10.255.0.5"}, []string{"10.255.0.5"}},
		{"one of two is left", "fairlead://x", []string{"10.7.0.9", "fd00::5"}, []string{"10.7.0.9", "fd00::5"}},
		{"gone", "fairlead://x", []string{"10.7.0.9"}, []string{"10.0.0.5", "fd00::5"}},
		{"the kubelet's own, of a node that nobody initialised", "", []string{"10.7.0.9"}, []string{"10.7.0.9"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			metadata, err := with(t, report()).InstanceMetadata(t.Context(), node(func(n *corev1.Node) {
				n.Spec.ProviderID = test.id
				for _, address := range test.have {
					n.Status.Addresses = append(n.Status.Addresses, internal(address))
				}
			}))
			if err != nil {
				t.Fatal(err)
			}
			var want []corev1.NodeAddress
			for _, address := range test.want {
				want = append(want, internal(address))
			}
			if diff := cmp.Diff(append(want, corev1.NodeAddress{Type: corev1.NodeHostName, Address: "n1"}), metadata.NodeAddresses); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestInstanceMetadata(t *testing.T) {
	inventory := report()
	host := corev1.NodeAddress{Type: corev1.NodeHostName, Address: "n1"}
	ours := "fairlead://4c4c4544-0042"
	for _, test := range []struct {
		name string
		edit func(*corev1.Node)
		want cloudprovider.InstanceMetadata
	}{
		{"what the kubelet was given comes first", func(n *corev1.Node) {
			n.Annotations[cloudproviderapi.AnnotationAlphaProvidedIPAddr] = "10.9.0.1, fd00:9::1"
			n.Status.Addresses = []corev1.NodeAddress{internal("10.8.0.1")}
		}, cloudprovider.InstanceMetadata{
			ProviderID: ours, InstanceType: "machine",
			NodeAddresses: []corev1.NodeAddress{internal("10.9.0.1"), internal("fd00:9::1"), host},
		}},
		{"then what the Node has", func(n *corev1.Node) {
			n.Status.Addresses = []corev1.NodeAddress{internal("10.8.0.1"), {Type: corev1.NodeHostName, Address: "short"}}
		}, cloudprovider.InstanceMetadata{
			ProviderID: ours, InstanceType: "machine",
			NodeAddresses: []corev1.NodeAddress{internal("10.8.0.1"), {Type: corev1.NodeHostName, Address: "short"}},
		}},
		{
			"then the inventory, one of each family on the interface with the default route", func(*corev1.Node) {},
			cloudprovider.InstanceMetadata{
				ProviderID: ours, InstanceType: "machine",
				NodeAddresses: []corev1.NodeAddress{internal("10.0.0.5"), internal("fd00::5"), host},
			},
		},
		{
			"a provider ID stays", func(n *corev1.Node) { n.Spec.ProviderID = "fairlead://old" },
			cloudprovider.InstanceMetadata{
				ProviderID: "fairlead://old", InstanceType: "machine",
				NodeAddresses: []corev1.NodeAddress{internal("10.0.0.5"), internal("fd00::5"), host},
			},
		},
		{
			"without a UUID the machine id", func(n *corev1.Node) { n.Status.NodeInfo = corev1.NodeSystemInfo{MachineID: "abc"} },
			cloudprovider.InstanceMetadata{
				ProviderID: "fairlead://abc", InstanceType: "machine",
				NodeAddresses: []corev1.NodeAddress{internal("10.0.0.5"), internal("fd00::5"), host},
			},
		},
		{
			"another provider's node is left alone", func(n *corev1.Node) { n.Spec.ProviderID = "aws:///x" },
			cloudprovider.InstanceMetadata{ProviderID: "aws:///x"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := with(t, inventory).InstanceMetadata(t.Context(), node(test.edit))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// The taint of a node that another provider is to initialise must stay, and the framework takes it off where this answers.
func TestAnotherProvidersNodeIsNotInitialised(t *testing.T) {
	got, err := with(t).InstanceMetadata(t.Context(), node(func(n *corev1.Node) {
		n.Spec.ProviderID = "aws:///x"
		n.Spec.Taints = []corev1.Taint{{Key: cloudproviderapi.TaintExternalCloudProvider, Effect: corev1.TaintEffectNoSchedule}}
	}))
	if err == nil {
		t.Fatalf("got %+v", got)
	}
	for _, word := range []string{"n1", `"aws:///x"`, "fairlead://"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the error lacks %q: %v", word, err)
		}
	}
}

func TestNodeWithoutAddressIsAnErrorThatSaysWhy(t *testing.T) {
	for _, test := range []struct {
		name string
		edit func(*corev1.Node)
		want []string
	}{
		{"nothing known", func(*corev1.Node) {}, []string{"n1", "--node-ip", "announcer"}},
		{
			"bad annotation", func(n *corev1.Node) { n.Annotations[cloudproviderapi.AnnotationAlphaProvidedIPAddr] = "ten" },
			[]string{"n1", cloudproviderapi.AnnotationAlphaProvidedIPAddr, `"ten"`, "expected"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := with(t).InstanceMetadata(t.Context(), node(test.edit))
			if err == nil {
				t.Fatalf("got %+v", got)
			}
			for _, word := range test.want {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("the error lacks %q: %v", word, err)
				}
			}
		})
	}
}
