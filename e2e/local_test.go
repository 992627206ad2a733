// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-io/fairlead/e2e/lab"
	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

func localTrafficFollowsEndpoints(s *space) {
	s.onSegment()
	old := s.backends("n2")[0]
	s.service("web", local)
	addr := s.awaitCount("web", 1)[0]
	answer := s.awaitAnswer(lab.Client, addr)
	if !strings.HasPrefix(answer.Client, s.Addr4(lab.Client).String()+":") {
		s.t.Errorf("the pod saw %s, want the client's own address", answer.Client)
	}
	if owner := s.awaitOwner(addr); owner != "n2" {
		s.t.Errorf("%s announces, and only n2 has an endpoint", owner)
	}
	// A rolling update: the new pod is there, and the old one terminates and serves on. A node without heartbeats keeps
	// it until they are back.
	if err := s.StopHeartbeats("n2"); err != nil {
		s.t.Fatal(err)
	}
	var heir *lab.Pod
	s.failingNothing(addr, func() {
		heir = s.backends("n3")[0]
		if err := s.Client().CoreV1().Pods(s.namespace).Delete(s.t.Context(), old.Name, metav1.DeleteOptions{}); err != nil {
			s.t.Fatal(err)
		}
		if speaker := s.awaitSpeaker(addr, "n2"); speaker != "n3" {
			s.t.Errorf("%s announces, and only n3 has an endpoint that does not terminate", speaker)
		}
		if err := s.StartHeartbeats(s.t.Context(), "n2"); err != nil {
			s.t.Fatal(err)
		}
		if by := s.awaitAnswer(lab.Client, addr).Node; by != "n3" {
			s.t.Errorf("an answer from %s", by)
		}
	})
	// And one that is not ready any more, which serves nobody.
	s.backends("n1")
	if err := s.SetPodReady(s.t.Context(), heir, false); err != nil {
		s.t.Fatal(err)
	}
	if owner := s.awaitOwner(addr, "n2", "n3"); owner != "n1" {
		s.t.Errorf("%s announces, and only n1 has a ready endpoint", owner)
	}
	if by := s.awaitAnswer(lab.Client, addr).Node; by != "n1" {
		s.t.Errorf("an answer from %s", by)
	}
}

// lastEndpointsKeepTheAddress: a node that is drained gives an address away that another node serves, and no sooner.
func lastEndpointsKeepTheAddress(s *space) {
	s.onSegment()
	s.backends("n2")
	s.service("web", local)
	addr := s.awaitCount("web", 1)[0]
	s.awaitOwnerIs(addr, "n2")
	s.awaitAnswer(lab.Client, addr)
	drain := func(sign string) {
		if _, err := s.Kubectl(s.t.Context(), "annotate", "node", "n2", v1alpha1.DrainKey+sign); err != nil {
			s.t.Fatal(err)
		}
	}
	s.failingNothing(addr, func() {
		drain("=true")
		s.awaitWarning("web", "LastEndpoints", addr.String(), "n2")
		s.backends("n3")
		if speaker := s.awaitSpeaker(addr, "n2"); speaker != "n3" {
			s.t.Errorf("%s announces, and only n3 has another endpoint", speaker)
		}
		s.awaitOwnerIs(addr, "n3")
	})
	drain("-")
}
