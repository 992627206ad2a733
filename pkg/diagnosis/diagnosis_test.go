// SPDX-License-Identifier: Apache-2.0

package diagnosis

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/loadbalancer"
	"github.com/fairlead-io/fairlead/pkg/settings"
)

const address = "10.0.0.100"

// node returns a node that lacks nothing.
func node(name string, edits ...func(*corev1.Node)) *corev1.Node {
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{}, Annotations: map[string]string{}},
		Spec:       corev1.NodeSpec{ProviderID: "fairlead://" + name},
		Status: corev1.NodeStatus{
			Addresses:  []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.0.0.1"}},
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
		},
	}
	for _, edit := range edits {
		edit(n)
	}
	return n
}

// agent returns the report of an agent that takes part, on a node in the subnet of the address.
func agent(name string, edits ...func(*v1alpha1.AnnouncerStatus)) *v1alpha1.Announcer {
	a := &v1alpha1.Announcer{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: v1alpha1.AnnouncerStatus{
		Version:    "v1",
		Interfaces: []v1alpha1.NodeInterface{{Name: "eth0", MAC: "02:00:00:00:00:01", Addresses: []string{"10.0.0.1/24"}, DefaultRoute: true}},
		Conditions: []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue}},
	}}
	for _, edit := range edits {
		edit(&a.Status)
	}
	return a
}

// vip returns the address of Service default/web, announced by a node on layer 2.
func vip(owner string, candidates ...string) *v1alpha1.VirtualIP {
	return &v1alpha1.VirtualIP{
		ObjectMeta: metav1.ObjectMeta{Name: address},
		Spec: v1alpha1.VirtualIPSpec{
			Address: address, Pool: "office", Candidates: candidates,
			Services: []v1alpha1.ServiceClaim{{Namespace: "default", Name: "web"}},
			Announce: []v1alpha1.Announcement{{L2: &v1alpha1.L2Announcement{}}},
		},
		Status: v1alpha1.VirtualIPStatus{Node: owner},
	}
}

// healthy returns a cluster of three nodes in which all is well.
func healthy() *Cluster {
	return &Cluster{
		Nodes:      []*corev1.Node{node("n1"), node("n2"), node("n3")},
		Announcers: []*v1alpha1.Announcer{agent("n1"), agent("n2"), agent("n3")},
		VirtualIPs: []*v1alpha1.VirtualIP{vip("n2", "n2", "n1", "n3")},
		Pools: []*v1alpha1.AddressPool{{ObjectMeta: metav1.ObjectMeta{Name: "office"}, Status: v1alpha1.AddressPoolStatus{
			Conditions: []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue}},
		}}},
		Services: []*corev1.Service{{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: "web"},
			Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer},
			Status:     corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{{IP: address}}}},
		}},
	}
}

// TestWhyANodeDoesNotAnnounce says of node n1 what keeps it from announcing, while n2 announces.
func TestWhyANodeDoesNotAnnounce(t *testing.T) {
	for _, test := range []struct {
		name string
		edit func(*Cluster)
		want string
	}{
		{"it is next", func(*Cluster) {}, "takes over as candidate 2 of 3"},
		{"excluded", func(c *Cluster) { c.Nodes[0].Labels[corev1.LabelNodeExcludeBalancers] = "" }, "exclude-from-external-load-balancers"},
		{"excluded, which is ignored", func(c *Cluster) {
			c.Nodes[0].Labels[corev1.LabelNodeExcludeBalancers] = ""
			c.Rules = loadbalancer.NodeRules{IgnoreExcludeLabel: true}
		}, "takes over"},
		{"excluded, which the address ignores", func(c *Cluster) {
			c.Nodes[0].Labels[corev1.LabelNodeExcludeBalancers] = ""
			c.VirtualIPs[0].Spec.NodeRules = &v1alpha1.NodeRules{IgnoreExcludeLabel: true}
		}, "takes over"},
		{"drained", func(c *Cluster) { c.Nodes[0].Annotations[v1alpha1.DrainKey] = "true" }, "drained"},
		{"cordoned, which counts", func(c *Cluster) {
			c.Nodes[0].Spec.Unschedulable = true
			c.Rules = loadbalancer.NodeRules{LeaveOnCordon: true}
		}, "cordoned"},
		{"without an agent", func(c *Cluster) { c.Announcers = c.Announcers[1:] }, "no announcer has reported"},
		{"in another subnet", func(c *Cluster) { c.Announcers[0].Status.Interfaces[0].Addresses = []string{"10.9.0.1/24"} }, "only the default route"},
		{"without an interface", func(c *Cluster) { c.Announcers[0].Status.Interfaces = nil }, "no interface has the address in its subnet"},
		{"not selected", func(c *Cluster) {
			c.VirtualIPs[0].Spec.Announce[0].L2.NodeSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"edge": "yes"}}
		}, "no nodeSelector"},
		{"without an endpoint", func(c *Cluster) {
			c.VirtualIPs[0].Spec.Services[0].ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
			c.Slices = []*discoveryv1.EndpointSlice{{
				ObjectMeta: metav1.ObjectMeta{Namespace: "default", Labels: map[string]string{discoveryv1.LabelServiceName: "web"}},
				Endpoints:  []discoveryv1.Endpoint{{NodeName: new("n2")}},
			}}
		}, "no ready endpoint"},
		{"with an agent that is not ready", func(c *Cluster) {
			c.Announcers[0].Status.Conditions[0] = metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Message: "it was stopped"}
		}, "not ready: it was stopped"},
		{"with a health check that fails", func(c *Cluster) {
			c.Announcers[0].Status.HealthChecks = &v1alpha1.HealthChecks{Failed: []v1alpha1.FailedHealthCheck{{Address: address, Service: "default/web", Message: "503"}}}
		}, "health check of default/web fails on the node: 503"},
		{"lost by the others", func(c *Cluster) {
			for _, announcer := range c.Announcers[1:] {
				announcer.Status.Unreachable = []string{"n1"}
			}
		}, "2 of 3 announcers have lost the node"},
		{"no candidate", func(c *Cluster) { c.VirtualIPs[0].Spec.Candidates = []string{"n2"} }, "candidates enough"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cluster := healthy()
			test.edit(cluster)
			answer, err := Who(cluster, "web", "default")
			if err != nil || !answer.OK() {
				t.Fatalf("%+v, %v", answer, err)
			}
			for _, node := range answer.Addresses[0].Nodes {
				if node.Announces != (node.Node == "n2") {
					t.Errorf("%s announces: %t (%s)", node.Node, node.Announces, node.Reason)
				}
				if node.Node == "n1" && !strings.Contains(node.Reason, test.want) {
					t.Errorf("n1: %q, want %q in it", node.Reason, test.want)
				}
			}
		})
	}
}

func TestWho(t *testing.T) {
	for _, test := range []struct {
		name, subject, namespace string
		edit                     func(*Cluster)
		want                     string // in the summary, the reason to wait, or the error
		ok                       bool
	}{
		{"by name", "web", "default", nil, "n2 announces the address", true},
		{"by namespace and name", "default/web", "elsewhere", nil, "n2 announces the address", true},
		{"by address", address, "elsewhere", nil, "n2 announces the address", true},
		{"an address of nobody", "10.0.0.99", "", nil, "no VirtualIP has it", false},
		{"no such Service", "web", "elsewhere", nil, "no Service elsewhere/web", false},
		{"no LoadBalancer", "web", "default", func(c *Cluster) {
			c.VirtualIPs, c.Services[0].Spec.Type = nil, corev1.ServiceTypeClusterIP
		}, "of type ClusterIP", false},
		{"the first candidate is passed over", "web", "default", func(c *Cluster) {
			c.VirtualIPs[0].Spec.Candidates = []string{"n3", "n2", "n1"}
			c.Nodes[2].Annotations[v1alpha1.DrainKey] = "true"
		}, "n3 comes before it, but the node is drained", true},
		{"the first candidate was away", "web", "default", func(c *Cluster) {
			c.VirtualIPs[0].Spec.Candidates = []string{"n3", "n2", "n1"}
		}, "n2 announces the address; n3 comes before it, but takes no address back from a node that announces it", true},
		{"nobody", "web", "default", func(c *Cluster) { c.VirtualIPs[0].Status.Node = "" }, "nobody announces the address", false},
		{"waiting, and why", "web", "default", func(c *Cluster) {
			c.VirtualIPs = nil
			for i, text := range []string{"an old reason", "pool office is full", "Ensuring load balancer"} {
				kind := corev1.EventTypeWarning
				if i == 2 {
					kind = corev1.EventTypeNormal
				}
				c.Events = append(c.Events, &corev1.Event{
					InvolvedObject: corev1.ObjectReference{Kind: "Service", UID: "web"}, Type: kind, Message: text,
					LastTimestamp: metav1.NewTime(time.Unix(int64(i+1), 0)),
				})
			}
		}, "pool office is full", false},
		{"somebody else's", "web", "default", func(c *Cluster) {
			c.VirtualIPs, c.Services[0].Spec.LoadBalancerClass = nil, new("example.com/other")
		}, "gives it to example.com/other", false},
		{"somebody else's by annotation", "web", "default", func(c *Cluster) {
			c.VirtualIPs, c.Services[0].Annotations = nil, map[string]string{v1alpha1.ElsewhereKey: "other"}
		}, "gives it to another controller", false},
		{"an annotation that means nothing here", "web", "default", func(c *Cluster) {
			c.VirtualIPs, c.Services[0].Annotations = nil, map[string]string{v1alpha1.ElsewhereKey: "other"}
			c.Disabled = []settings.Dialect{settings.AlibabaCloud}
		}, "nothing has been said about it yet", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			cluster := healthy()
			if test.edit != nil {
				test.edit(cluster)
			}
			answer, err := Who(cluster, test.subject, test.namespace)
			var got string
			switch {
			case err != nil:
				got = err.Error()
			case answer.Pending != nil:
				got = answer.Pending.Reason
			default:
				got = answer.Addresses[0].Summary
			}
			if !strings.Contains(got, test.want) || (err == nil && answer.OK()) != test.ok {
				t.Errorf("%q, want %q in it; all well: %t, want %t", got, test.want, answer.OK(), test.ok)
			}
		})
	}
}

func TestAddressByBGP(t *testing.T) {
	cluster := healthy()
	cluster.VirtualIPs[0].Spec.Announce = []v1alpha1.Announcement{{BGP: &v1alpha1.BGPAnnouncement{Peers: []string{"tor-a"}}}}
	cluster.VirtualIPs[0].Status.Node, cluster.VirtualIPs[0].Spec.Candidates = "", nil
	cluster.Announcers[0].Status.BGP = []v1alpha1.BGPSession{{Peer: "tor-a", State: sessionUp, Prefixes: 1}, {Peer: "tor-b", State: sessionUp}}
	cluster.Announcers[1].Status.BGP = []v1alpha1.BGPSession{{Peer: "tor-a", State: "Active", LastError: "connection refused"}}
	cluster.Nodes[2].Annotations[v1alpha1.DrainKey] = "true"
	answer, err := Who(cluster, address, "")
	if err != nil || !answer.OK() {
		t.Fatalf("%+v, %v", answer, err)
	}
	want := []NodeOfAddress{
		{Node: "n1", Announces: true, Reason: "announces the address by BGP to tor-a"},
		{Node: "n2", Reason: "no BGP session announces it: tor-a is Active: connection refused"},
		{Node: "n3", Reason: "the node is drained: fairlead.dev/drain is true"},
	}
	if diff := cmp.Diff(want, answer.Addresses[0].Nodes); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSurvey(t *testing.T) {
	well := healthy()
	well.Announcers[0].Status.BGP = []v1alpha1.BGPSession{{Peer: "tor-a", State: sessionUp, BFD: "Up"}} // which has nothing to announce
	if problems := Survey(well).Problems; len(problems) > 0 {
		t.Errorf("problems in a cluster in which all is well: %q", problems)
	}
	for _, test := range []struct {
		name string
		edit func(*Cluster)
		want string
	}{
		{"nobody announces", func(c *Cluster) { c.VirtualIPs[0].Status.Node = "" }, "address 10.0.0.100: nobody announces the address"},
		{"a Service waits", func(c *Cluster) { c.Services[0].Status.LoadBalancer.Ingress = nil }, "Service default/web waits"},
		{"a pool is not ready", func(c *Cluster) {
			c.Pools[0].Status.Conditions[0] = metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Message: "it is full"}
		}, "pool office: it is full"},
		{"a session is down", func(c *Cluster) {
			c.Announcers[0].Status.BGP = []v1alpha1.BGPSession{{Peer: "tor-a", State: "Idle"}}
		}, "node n1: BGP session to tor-a is Idle"},
		{"a session without BFD", func(c *Cluster) {
			c.Announcers[0].Status.BGP = []v1alpha1.BGPSession{{Peer: "tor-a", State: sessionUp, BFD: "Down"}}
		}, "node n1: BGP session to tor-a is Established, but its BFD is Down"},
		{"a session with an error", func(c *Cluster) {
			c.Announcers[0].Status.BGP = []v1alpha1.BGPSession{{Peer: "tor-a", State: sessionUp, BFD: "Down", LastError: "bfd is Down: no routes are announced"}}
		}, "node n1: BGP session to tor-a is Established: bfd is Down: no routes are announced"},
		{"a node lacks something", func(c *Cluster) { c.Nodes[1].Spec.ProviderID = "" }, "node n2: has no providerID"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cluster := healthy()
			test.edit(cluster)
			if problems := Survey(cluster).Problems; len(problems) != 1 || !strings.Contains(problems[0], test.want) {
				t.Errorf("problems %q, want one with %q", problems, test.want)
			}
		})
	}
}

func TestWhatANodeLacks(t *testing.T) {
	for _, test := range []struct {
		name  string
		edit  func(*Cluster)
		want  string
		helps string // in the remedy
	}{
		{"not initialised", func(c *Cluster) {
			c.Nodes[0].Spec.ProviderID = ""
			c.Nodes[0].Spec.Taints = []corev1.Taint{{Key: "node.cloudprovider.kubernetes.io/uninitialized", Effect: corev1.TaintEffectNoSchedule}}
		}, "still has the taint", "kubectl -n edge logs -l app.kubernetes.io/name=fairlead-cloud-controller-manager --prefix --tail=-1 | grep -w n1"},
		{"joined without the flag", func(c *Cluster) { c.Nodes[0].Spec.ProviderID = "" }, "joined without --cloud-provider=external", "kubectl taint node n1 "},
		{"no address", func(c *Cluster) { c.Nodes[0].Status.Addresses = nil }, "no InternalIP", "--node-ip"},
		{"no agent", func(c *Cluster) { c.Announcers = c.Announcers[1:] }, "no announcer has reported", "kubectl -n edge get pods "},
		{"an agent without a Node", func(c *Cluster) { c.Nodes = c.Nodes[1:] }, "no Node", "kubectl delete announcer n1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cluster := healthy()
			cluster.Namespace = "edge"
			test.edit(cluster)
			nodes := NodesOf(cluster)
			if nodes[0].Node != "n1" || len(nodes[0].Problems) != 1 || !strings.Contains(nodes[0].Problems[0].Text, test.want) ||
				!strings.Contains(nodes[0].Problems[0].Remedy, test.helps) {
				t.Errorf("%+v, want one problem with %q and a remedy with %q", nodes[0], test.want, test.helps)
			}
			for _, other := range nodes[1:] {
				if len(other.Problems) > 0 {
					t.Errorf("%+v, want no problem", other)
				}
			}
		})
	}
}
