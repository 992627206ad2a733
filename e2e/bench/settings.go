// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-io/fairlead/pkg/settings"
)

const (
	// parsesPerRun is how many Services a run of settings_parse reads.
	parsesPerRun = 2_000
	// annotationsRead is how many annotations each has.
	annotationsRead = 30
)

// settingsParse times the reading of a Service with 30 annotations: own ones, and those of manifests for Alibaba Cloud in
// the spellings of today and of 2017, some of them without effect.
func settingsParse(_ context.Context, e *env) (figure, error) {
	service := annotatedService()
	if n := len(service.Annotations); n != annotationsRead {
		return figure{}, fmt.Errorf("the Service has %d annotations: expected %d", n, annotationsRead)
	}
	parser := settings.NewParser(settings.Config{AccessLists: map[string][]string{"office": {"10.1.0.0/16"}}})
	if _, _, err := parser.Parse(service); err != nil {
		return figure{}, err
	}
	runs := e.runsOr(20)
	e.say("%d runs of %d Services with %d annotations", runs, parsesPerRun, annotationsRead)
	var took []float64
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		start := time.Now()
		for range parsesPerRun {
			if _, _, err := parser.Parse(service); err != nil {
				return figure{}, err
			}
		}
		took = append(took, float64(time.Since(start).Nanoseconds())/parsesPerRun)
	}
	runtime.ReadMemStats(&after)
	wrong, err := timeRefusals(parser)
	if err != nil {
		return figure{}, err
	}
	return summarize("ns", took, true).with("annotations", annotationsRead).with("ns_plain", timePlain(parser)).with("ns_refused", wrong).
		with("allocations", float64(after.Mallocs-before.Mallocs)/float64(runs*parsesPerRun)), nil
}

// timePlain returns the nanoseconds for a Service without annotations, as most are.
func timePlain(parser *settings.Parser) float64 {
	plain := annotatedService()
	plain.Annotations = nil
	start := time.Now()
	for range parsesPerRun {
		if _, _, err := parser.Parse(plain); err != nil {
			return 0
		}
	}
	return float64(time.Since(start).Nanoseconds()) / parsesPerRun
}

// timeRefusals returns the nanoseconds for the same Service with one wrong annotation.
func timeRefusals(parser *settings.Parser) (float64, error) {
	service := annotatedService()
	service.Annotations[settings.HostnameKey] = "No_Host"
	start := time.Now()
	for range parsesPerRun {
		if _, _, err := parser.Parse(service); !errors.Is(err, settings.ErrInvalid) {
			return 0, errors.Join(errors.New("a wrong host name is not refused"), err)
		}
	}
	return float64(time.Since(start).Nanoseconds()) / parsesPerRun, nil
}

// annotatedService returns a Service with 30 annotations.
func annotatedService() *corev1.Service {
	const current, legacy = "service.beta.kubernetes.io/alibaba-cloud-loadbalancer-", "service.beta.kubernetes.io/alicloud-loadbalancer-"
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "bench", Name: "web", Annotations: map[string]string{
			settings.AddressPoolKey: "office,lab", settings.AddressRangeKey: "10.0.0.0/24", settings.SharingKeyKey: "web",
			settings.HostnameKey: "www.example.com", settings.NodesKey: "role=edge,zone in (a,b)", settings.ZonesKey: "a,b",
			settings.Prefix + "bgp-communities": "64512:100,no-export", settings.Prefix + "bgp-local-preference": "120",
			settings.Prefix + "interfaces": "eth0,bond*", settings.AccessControlDenyKey: "10.1.7.0/24,10.1.8.1",
			settings.Prefix + "drain-timeout": "30", settings.Prefix + "leave-on-cordon": "on",
			legacy + "ProtocolPort": "http:80,tcp:443", legacy + "HealthCheckFlag": "on", legacy + "HealthCheckType": "http",
			legacy + "HealthCheckURI": "/healthz", legacy + "HealthyThreshold": "4", legacy + "UnhealthyThreshold": "4",
			legacy + "HealthCheckInterval": "10", legacy + "HealthCheckTimeout": "8", legacy + "Bandwidth": "50",
			legacy + "ChargeType": "paybytraffic", current + "health-check-httpcode": "http_2xx,http_3xx",
			current + "acl-status": "on", current + "acl-id": "office", current + "acl-type": "white",
			current + "name": "Web shop", current + "additional-resource-tags": "team=a,cost=7",
			current + "delete-protection": "on", current + "persistence-timeout": "60",
		}},
		Spec: corev1.ServiceSpec{
			IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol},
			Ports: []corev1.ServicePort{
				{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP}, {Name: "https", Port: 443, Protocol: corev1.ProtocolTCP},
			},
		},
	}
}
