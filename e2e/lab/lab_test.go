// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// webService makes a dual-stack Service of the given type for pods labelled app=web, with HTTP and UDP on port 80.
func webService(ctx context.Context, t *testing.T, l *Lab, kind corev1.ServiceType) *corev1.Service {
	t.Helper()
	policy := corev1.IPFamilyPolicyRequireDualStack
	service, err := l.Client().CoreV1().Services("default").Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: corev1.ServiceSpec{
			Type: kind, Selector: map[string]string{"app": "web"}, IPFamilyPolicy: &policy,
			Ports: []corev1.ServicePort{
				{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080), Protocol: corev1.ProtocolTCP},
				{Name: "udp", Port: 80, TargetPort: intstr.FromInt32(8080), Protocol: corev1.ProtocolUDP},
			},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return service
}

func startWeb(ctx context.Context, t *testing.T, l *Lab, nodes ...string) []*Pod {
	t.Helper()
	var pods []*Pod
	for i, node := range nodes {
		p, err := l.StartPod(ctx, PodSpec{Name: fmt.Sprintf("web-%d", i+1), Node: node, Labels: map[string]string{"app": "web"}})
		if err != nil {
			t.Fatal(err)
		}
		pods = append(pods, p)
	}
	return pods
}

// awaitAnswers waits until exactly the given pods answer a URL.
func awaitAnswers(ctx context.Context, t *testing.T, l *Lab, host, url string, pods ...string) {
	t.Helper()
	Await(ctx, t, fmt.Sprintf("%v to answer %s from %s", pods, url, host), func(ctx context.Context) (bool, string, error) {
		seen := map[string]bool{}
		for range 8 * len(pods) {
			a, err := l.Ask(ctx, host, url)
			if err != nil {
				return false, err.Error(), nil //nolint:nilerr // tried again: the wait reports it
			}
			seen[a.Pod] = true
		}
		for _, p := range pods {
			if !seen[p] {
				return false, fmt.Sprintf("answers from %v", seen), nil
			}
		}
		return len(seen) == len(pods), fmt.Sprintf("answers from %v", seen), nil
	})
}

func TestPodsAnswerThroughServices(t *testing.T) {
	begin := time.Now()
	l := ForTest(t, Config{})
	t.Logf("three nodes are up after %s", time.Since(begin).Round(10*time.Millisecond))
	ctx := t.Context()
	startWeb(ctx, t, l, "n1", "n2")
	service := webService(ctx, t, l, corev1.ServiceTypeNodePort)
	port := func(addr any) string {
		return net.JoinHostPort(fmt.Sprint(addr), fmt.Sprint(service.Spec.Ports[0].NodePort))
	}

	for _, clusterIP := range service.Spec.ClusterIPs {
		awaitAnswers(ctx, t, l, "n3", "http://"+net.JoinHostPort(clusterIP, "80"), "web-1", "web-2")
	}
	for _, from := range []string{Client, Far} {
		awaitAnswers(ctx, t, l, from, "http://"+port(l.Addr4("n3")), "web-1", "web-2")
		awaitAnswers(ctx, t, l, from, "http://"+port(l.Addr6("n3")), "web-1", "web-2")
	}
	udp := net.JoinHostPort(l.Addr4("n1").String(), fmt.Sprint(service.Spec.Ports[1].NodePort))
	Await(ctx, t, "UDP through a node port to be answered", func(ctx context.Context) (bool, string, error) {
		a, err := l.AskUDP(ctx, Client, udp)
		return err == nil && a.Pod != "", fmt.Sprintf("%+v, %v", a, err), nil
	})
	t.Logf("all answers after %s", time.Since(begin).Round(10*time.Millisecond))
}
