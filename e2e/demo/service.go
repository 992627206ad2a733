// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// createService creates the Service and notes when a watcher sees its address. It is created by a request of this process,
// as kubectl would make it, so that starting kubectl is not measured.
func (s *story) createService(ctx context.Context, start time.Time) error {
	s.command("kubectl apply -f - <<EOF", strings.TrimSpace(service)+"\nEOF")
	wanted := &corev1.Service{}
	if err := yaml.Unmarshal([]byte(service), wanted); err != nil {
		return fmt.Errorf("reading the Service: %w", err)
	}
	services := s.lab.Client().CoreV1().Services(metav1.NamespaceDefault)
	created, err := services.Create(ctx, wanted, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("creating the Service: %w", err)
	}
	seen, err := services.Watch(ctx, metav1.ListOptions{
		ResourceVersion: created.ResourceVersion, FieldSelector: "metadata.name=" + created.Name,
	})
	if err != nil {
		return fmt.Errorf("watching the Service: %w", err)
	}
	defer seen.Stop()
	for event := range seen.ResultChan() {
		now, ok := event.Object.(*corev1.Service)
		if ok && len(now.Status.LoadBalancer.Ingress) > 0 {
			s.result.Address, s.result.AllocateMS = now.Status.LoadBalancer.Ingress[0].IP, since(start)
			return nil
		}
	}
	return errors.New("the Service got no address; its events tell why: kubectl describe service web")
}
