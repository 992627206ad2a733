// SPDX-License-Identifier: Apache-2.0

package diagnosis

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

// loses has an agent report which nodes it has lost.
func loses(c *Cluster, agent int, nodes ...string) { c.Announcers[agent].Status.Unreachable = nodes }

// alone has an agent report that it is in a minority and which nodes it has lost.
func alone(c *Cluster, agent int, nodes ...string) {
	c.Announcers[agent].Status.Conditions[0] = metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonMinority, Message: "no majority",
	}
	loses(c, agent, nodes...)
}

// silence has Kubernetes hear nothing of nodes any more.
func silence(c *Cluster, nodes ...int) {
	for _, i := range nodes {
		c.Nodes[i].Status.Conditions[0].Status = corev1.ConditionUnknown
	}
}

// TestWhetherTheRecordedOwnerAnnounces: n2 is the last that said it announces, and the reports of dead agents stay what they
// were. Empty wants are those of an owner that is believed.
func TestWhetherTheRecordedOwnerAnnounces(t *testing.T) {
	for _, test := range []struct {
		name string
		edit func(*Cluster)
		want string // of the owner, in the summary
	}{
		{"all is well", func(*Cluster) {}, ""},
		{"dead, as all candidates", func(c *Cluster) {
			c.VirtualIPs[0].Spec.Candidates = []string{"n2"}
			loses(c, 0, "n2")
			loses(c, 2, "n2")
		}, "2 of 3 announcers have lost the node"},
		{"dead, as two of three", func(c *Cluster) { alone(c, 2, "n1", "n2") }, "n3, left in a minority, has lost the node"},
		{"dead, after it had lost the other", func(c *Cluster) {
			loses(c, 1, "n1")
			alone(c, 2, "n1", "n2")
		}, "n3, left in a minority, has lost the node"},
		{"dead, as one of two without a gateway", func(c *Cluster) {
			c.Nodes, c.Announcers = c.Nodes[:2], c.Announcers[:2]
			alone(c, 0, "n2")
		}, "n1, left in a minority, has lost the node"},
		{"its announcer has crashed, as two of three", func(c *Cluster) {
			c.Announcers[0].Status.Members, c.Announcers[1].Status.Members, c.Announcers[2].Status.Members = 3, 3, 1
			alone(c, 2)
		}, "n3, left in a minority, sees no other announcer"},
		{"dead, as all", func(c *Cluster) { silence(c, 0, 1, 2) }, "no other announcer vouches"},
		{"cut off, and knows it", func(c *Cluster) { alone(c, 1, "n1", "n3") }, "its announcer is not ready: no majority"},
		{"without an announcer's report", func(c *Cluster) { c.Announcers = append(c.Announcers[:1], c.Announcers[2]) }, "no announcer reports from there"},
		{"without a Node", func(c *Cluster) {
			c.Nodes, c.Announcers = append(c.Nodes[:1], c.Nodes[2]), append(c.Announcers[:1], c.Announcers[2])
		}, "its Node is gone"},

		{"another is cut off", func(c *Cluster) {
			loses(c, 1, "n3")
			loses(c, 0, "n3")
			alone(c, 2, "n1", "n2")
		}, ""},
		{"another hears no gossip", func(c *Cluster) {
			c.Announcers[0].Status.Members, c.Announcers[1].Status.Members, c.Announcers[2].Status.Members = 2, 2, 1
			alone(c, 2)
		}, ""},
		{"another has died in a minority", func(c *Cluster) {
			alone(c, 2, "n1", "n2")
			silence(c, 2)
		}, ""},
		{"another has lost it and was stopped", func(c *Cluster) {
			alone(c, 2, "n2")
			c.Announcers[2].Status.Conditions[0].Reason = v1alpha1.ReasonStopped
		}, ""},
		{"only its kubelet is dead", func(c *Cluster) { silence(c, 1) }, ""},
		{"a health check fails there, and it stays", func(c *Cluster) {
			c.Announcers[1].Status.HealthChecks = &v1alpha1.HealthChecks{Failed: []v1alpha1.FailedHealthCheck{{Address: address, Service: "default/web"}}}
		}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			cluster := healthy()
			test.edit(cluster)
			answer, err := Who(cluster, "web", "default")
			if err != nil {
				t.Fatal(err)
			}
			got, unowned := answer.Addresses[0], len(Survey(cluster).Unowned)
			if believed := test.want == ""; believed != answer.OK() || believed != (unowned == 0) || believed != (got.Node == "n2") {
				t.Errorf("all well: %t, unowned: %d, owner %q, want n2 to be believed: %t", answer.OK(), unowned, got.Node, believed)
			}
			if test.want == "" && got.Summary == "n2 announces the address" {
				return
			}
			if !strings.HasPrefix(got.Summary, "nobody announces the address: n2 was the last to") || !strings.Contains(got.Summary, test.want) {
				t.Errorf("summary %q, want %q in it", got.Summary, test.want)
			}
			for _, node := range got.Nodes {
				if node.Announces || strings.Contains(node.Reason, "candidates enough") || strings.Contains(node.Reason, "no address back") {
					t.Errorf("%s announces: %t: %s", node.Node, node.Announces, node.Reason)
				}
			}
		})
	}
}

// TestSessionsThatAnnounceNothing: a session that is up is not enough for an address to be announced.
func TestSessionsThatAnnounceNothing(t *testing.T) {
	for _, test := range []struct {
		name    string
		session v1alpha1.BGPSession
		want    string // of the node; empty where it announces
	}{
		{"routes", v1alpha1.BGPSession{State: sessionUp, Prefixes: 3}, ""},
		{"routes under BFD", v1alpha1.BGPSession{State: sessionUp, Prefixes: 3, BFD: "Up"}, ""},
		{"not up", v1alpha1.BGPSession{State: "Active", LastError: "i/o timeout"}, "tor-a is Active: i/o timeout"},
		{"BFD down", v1alpha1.BGPSession{State: sessionUp, BFD: "Down"}, "tor-a is Established, but its BFD is Down"},
		{"BFD down, as it says itself", v1alpha1.BGPSession{
			State: sessionUp, BFD: "Down", LastError: "bfd is Down: no routes are announced",
		}, "tor-a is Established: bfd is Down: no routes are announced"},
		{"no routes, as while kube-proxy is silent", v1alpha1.BGPSession{State: sessionUp}, "tor-a is Established, but gets no prefix: see whether kube-proxy"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cluster := healthy()
			cluster.VirtualIPs[0] = vip("")
			cluster.VirtualIPs[0].Spec.Announce = []v1alpha1.Announcement{{BGP: &v1alpha1.BGPAnnouncement{}}}
			test.session.Peer = "tor-a"
			cluster.Announcers[0].Status.BGP = []v1alpha1.BGPSession{test.session}
			answer, err := Who(cluster, address, "")
			if err != nil {
				t.Fatal(err)
			}
			n1 := answer.Addresses[0].Nodes[0]
			if n1.Announces != (test.want == "") || answer.OK() != n1.Announces || !strings.Contains(n1.Reason, test.want) {
				t.Errorf("%+v, all well: %t, want %q", n1, answer.OK(), test.want)
			}
		})
	}
}

// TestWhatMattersToBGP: a node announces by BGP without a majority, and with a health check that fails everywhere.
func TestWhatMattersToBGP(t *testing.T) {
	fails := &v1alpha1.HealthChecks{Failed: []v1alpha1.FailedHealthCheck{{Address: address, Service: "default/web", Message: "503"}}}
	for _, test := range []struct {
		name string
		edit func(*Cluster)
		want []string // of the nodes: what is in their reasons
	}{
		{"all is well", func(*Cluster) {}, []string{"by BGP", "by BGP", "by BGP"}},
		{"one is left", func(c *Cluster) { alone(c, 2, "n1", "n2") }, []string{"has lost the node", "has lost the node", "by BGP"}},
		{"all are dead", func(c *Cluster) { silence(c, 0, 1, 2) }, []string{"no other announcer", "no other announcer", "no other announcer"}},
		{"one was stopped", func(c *Cluster) {
			alone(c, 0)
			c.Announcers[0].Status.Conditions[0].Reason = v1alpha1.ReasonStopped
		}, []string{"is not ready", "by BGP", "by BGP"}},
		{"a check fails on one", func(c *Cluster) { c.Announcers[0].Status.HealthChecks = fails }, []string{"503", "by BGP", "by BGP"}},
		{"a check fails on all", func(c *Cluster) {
			for _, announcer := range c.Announcers {
				announcer.Status.HealthChecks = fails
			}
		}, []string{"by BGP", "by BGP", "by BGP"}},
		{"a check fails on all that live", func(c *Cluster) {
			for i := range 2 {
				c.Announcers[i].Status.HealthChecks = fails
				loses(c, i, "n3")
			}
		}, []string{"by BGP", "by BGP", "have lost the node"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			cluster := healthy()
			cluster.VirtualIPs[0] = vip("")
			cluster.VirtualIPs[0].Spec.Announce = []v1alpha1.Announcement{{BGP: &v1alpha1.BGPAnnouncement{}}}
			for _, announcer := range cluster.Announcers {
				announcer.Status.BGP = []v1alpha1.BGPSession{{Peer: "tor-a", State: sessionUp, Prefixes: 1}}
			}
			test.edit(cluster)
			answer, err := Who(cluster, address, "")
			if err != nil {
				t.Fatal(err)
			}
			for i, node := range answer.Addresses[0].Nodes {
				if !strings.Contains(node.Reason, test.want[i]) || node.Announces != (test.want[i] == "by BGP") {
					t.Errorf("%s announces: %t, %q, want %q", node.Node, node.Announces, node.Reason, test.want[i])
				}
			}
		})
	}
}

// TestStoppedAnnouncersAreNoPartOfAMajority: of three that run, two have lost the owner.
func TestStoppedAnnouncersAreNoPartOfAMajority(t *testing.T) {
	cluster := healthy()
	cluster.VirtualIPs[0].Spec.Candidates = []string{"n2"}
	loses(cluster, 0, "n2")
	loses(cluster, 2, "n2")
	stopped := cluster.Announcers[2].DeepCopy()
	stopped.Name, stopped.Status.Unreachable = "n4", nil
	stopped.Status.Conditions[0].Status, stopped.Status.Conditions[0].Reason = metav1.ConditionFalse, v1alpha1.ReasonStopped
	cluster.Announcers = append(cluster.Announcers, stopped)
	answer, err := Who(cluster, "web", "default")
	if err != nil {
		t.Fatal(err)
	}
	if got := answer.Addresses[0].Summary; !strings.Contains(got, "2 of 3 announcers have lost the node") {
		t.Errorf("the summary is %q", got)
	}
}
