// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-io/fairlead/e2e/lab"
)

// patience bounds each wait of the demo.
const patience = time.Minute

const pool = `
apiVersion: fairlead.dev/v1alpha1
kind: AddressPool
metadata: {name: office}
spec: {addresses: ["%s"], announce: [{l2: {}}]}
`

const service = `
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
`

// install puts the product into the cluster.
func (s *story) install(ctx context.Context) error {
	s.title("A cluster without a cloud: its nodes wait for a cloud controller manager")
	if err := s.kubectl(ctx, "get", "nodes", "-o", "custom-columns=NAME:.metadata.name,TAINT:.spec.taints[*].key"); err != nil {
		return err
	}
	progress("building and starting the cloud controller manager, and an announcer on each node")
	if err := s.lab.ApplyManifests(ctx); err != nil {
		return err
	}
	if _, err := s.lab.StartCCM(ctx, "ccm", lab.CCMOptions{Restart: true}); err != nil {
		return err
	}
	if err := s.lab.StartAnnouncers(ctx); err != nil {
		return err
	}
	if err := s.awaitInstalled(ctx); err != nil {
		return err
	}
	s.title("Fairlead: one controller, and an announcer on each node")
	s.command("kubectl apply -k manifests/", "(in the lab the programs run without containers, with these objects and permissions)")
	if err := s.kubectl(ctx, "get", "nodes", "-o",
		"custom-columns=NAME:.metadata.name,TAINT:.spec.taints[*].key,PROVIDER-ID:.spec.providerID"); err != nil {
		return err
	}
	return s.kubectl(ctx, "get", "announcers")
}

// awaitInstalled waits until all nodes are initialised and all announcers see each other.
func (s *story) awaitInstalled(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	want := len(s.lab.Nodes())
	return lab.Eventually(ctx, "nodes and announcers to be ready", func(ctx context.Context) (bool, string, error) {
		nodes, err := s.lab.Client().CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, "", err
		}
		for _, node := range nodes.Items {
			if len(node.Spec.Taints) > 0 {
				return false, "node " + node.Name + " is tainted", nil
			}
		}
		announcers, err := s.fairlead.FairleadV1alpha1().Announcers().List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, "", err
		}
		together := 0
		for _, a := range announcers.Items {
			if int(a.Status.Members) == want {
				together++
			}
		}
		return together == want, fmt.Sprintf("%d of %d announcers see all others", together, want), nil
	})
}

// prepare makes a pool and starts a pod on each node.
func (s *story) prepare(ctx context.Context) error {
	s.title("A pool of addresses, and something to serve")
	if err := s.apply(ctx, fmt.Sprintf(pool, s.lab.Pool4())); err != nil {
		return err
	}
	for _, node := range s.lab.Nodes() {
		spec := lab.PodSpec{Name: "web-" + node, Node: node, Labels: map[string]string{"app": "web"}}
		if _, err := s.lab.StartPod(ctx, spec); err != nil {
			return err
		}
	}
	if err := s.awaitPool(ctx); err != nil {
		return err
	}
	if err := s.kubectl(ctx, "get", "addresspools"); err != nil {
		return err
	}
	return s.kubectl(ctx, "get", "pods", "-l", "app=web", "-o",
		"custom-columns=NAME:.metadata.name,PHASE:.status.phase,IP:.status.podIP,NODE:.spec.nodeName")
}

func (s *story) awaitPool(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return lab.Eventually(ctx, "the pool to be ready", func(ctx context.Context) (bool, string, error) {
		p, err := s.fairlead.FairleadV1alpha1().AddressPools().Get(ctx, "office", metav1.GetOptions{})
		if err != nil {
			return false, "", err
		}
		return len(p.Status.Conditions) > 0, "its status is empty", nil
	})
}

// expose creates the Service and waits for its address and for the first answer.
func (s *story) expose(ctx context.Context) error {
	s.title("A Service of type LoadBalancer")
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	start := time.Now()
	if err := s.createService(ctx, start); err != nil {
		return err
	}
	client := "http://" + s.result.Address + "/"
	err := lab.Eventually(ctx, "the first answer", func(ctx context.Context) (bool, string, error) {
		_, err := s.lab.Ask(ctx, lab.Client, client)
		return err == nil, fmt.Sprint(err), nil
	})
	if err != nil {
		return err
	}
	s.result.FirstResponseMS = since(start)
	if _, err := s.owner(ctx, ""); err != nil {
		return err
	}
	s.say("Address after %d ms, first answer of a pod after %d ms.", s.result.AllocateMS, s.result.FirstResponseMS)
	if err := s.kubectl(ctx, "get", "service", "web"); err != nil {
		return err
	}
	return s.kubectl(ctx, "get", "vips", "-o", "wide")
}

// reach asks from both sides of the router.
func (s *story) reach(ctx context.Context) error {
	s.title("Reached from the nodes' own segment, and from behind the router")
	for _, host := range []string{lab.Client, lab.Far} {
		output, err := s.lab.HTTPGet(ctx, host, "http://"+s.result.Address+"/")
		if err != nil {
			return err
		}
		s.say("%s$ curl http://%s/\n%s", host, s.result.Address, strings.TrimSpace(output))
	}
	return nil
}

// lose takes the announcing node away while a client asks, each 10 ms over a new connection.
func (s *story) lose(ctx context.Context) error {
	before, err := s.owner(ctx, "")
	if err != nil {
		return err
	}
	s.title("The node that announces the address, " + before + ", loses power, while a client connects each 10 ms")
	probe, err := s.lab.ProbeHTTP(ctx, lab.Client, "http://"+s.result.Address+"/", lab.ProbeOptions{})
	if err != nil {
		return err
	}
	defer probe.Stop()
	if err := pause(ctx, time.Second); err != nil {
		return err
	}
	moment := time.Now()
	if err := s.lab.CrashNode(before); err != nil {
		return err
	}
	after, err := s.owner(ctx, before)
	if err != nil {
		return err
	}
	if err := pause(ctx, 4*time.Second-time.Since(moment)); err != nil {
		return err
	}
	attempts := probe.Stop()
	if last := attempts.Since(time.Now().Add(-time.Second)); len(last) == last.Failures() {
		return errors.New("no request was answered after the node had crashed")
	}
	s.result.FailoverMS = attempts.LongestGap().Milliseconds()
	if err := s.kubectl(ctx, "get", "vips", "-o", "wide"); err != nil {
		return err
	}
	s.say("%s answers for the address in place of %s. Of %d requests %d failed; the longest time without an answer was %d ms,\n"+
		"and no request failed later than %d ms after the crash.", after, before, len(attempts), attempts.Failures(),
		s.result.FailoverMS, attempts.Unsettled(moment).Milliseconds())
	return s.lab.RestoreNode(ctx, before)
}

// owner waits for the VirtualIP to name a node other than the given one.
func (s *story) owner(ctx context.Context, other string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	node := ""
	err := lab.Eventually(ctx, "a node to announce the address", func(ctx context.Context) (bool, string, error) {
		vip, err := s.fairlead.FairleadV1alpha1().VirtualIPs().Get(ctx, s.result.Address, metav1.GetOptions{})
		if err != nil {
			return false, "", err
		}
		node = vip.Status.Node
		return node != "" && node != other, "status.node is " + node, nil
	})
	return node, err
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
