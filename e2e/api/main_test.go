// SPDX-License-Identifier: Apache-2.0

// Package api tests the API types and the manifests against a real API server: what it accepts, what it refuses and with
// which words, and what the product's ServiceAccounts may do. Nothing of the product runs here.
package api

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/fairlead-io/fairlead/e2e/lab"
	"github.com/fairlead-io/fairlead/pkg/api/client/clientset/versioned"
)

// shared is the lab of all tests of the package; the first that asks for it starts it. It has two nodes, for tokens to be
// bound to, and manifests/ applied.
var shared struct {
	once sync.Once
	lab  *lab.Lab
	err  error
}

func TestMain(m *testing.M) {
	logs, err := os.MkdirTemp("", "fairlead-api-logs-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(run(m, logs))
}

func run(m *testing.M, logs string) int {
	if err := os.Setenv(logsVariable, logs); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if shared.lab != nil {
		if err := shared.lab.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	if code != 0 {
		fmt.Fprintln(os.Stderr, "logs of the lab:", logs)
		return code
	}
	if err := os.RemoveAll(logs); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// logsVariable holds the directory that the lab's logs go to.
const logsVariable = "FAIRLEAD_API_TEST_LOGS"

// cluster returns the shared lab.
func cluster(t *testing.T) *lab.Lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("the lab makes network namespaces, which needs root")
	}
	shared.once.Do(func() {
		// The lab outlives the test that starts it.
		ctx := context.WithoutCancel(t.Context())
		shared.lab, shared.err = lab.Start(ctx, lab.Config{Nodes: 2, LogDir: os.Getenv(logsVariable)})
		if shared.err == nil {
			shared.err = shared.lab.ApplyManifests(ctx)
		}
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.lab
}

// administrator returns the administrator's client of Fairlead's objects.
func administrator(t *testing.T) versioned.Interface {
	t.Helper()
	return clientOf(t, cluster(t).RESTConfig())
}

func clientOf(t *testing.T, config *rest.Config) versioned.Interface {
	t.Helper()
	client, err := versioned.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// account returns the clients of the announcers' ServiceAccount, with a token bound to a node or, where that is empty,
// to none.
func account(t *testing.T, node string) (versioned.Interface, kubernetes.Interface) {
	t.Helper()
	l := cluster(t)
	path, err := l.ServiceAccountKubeconfig(t.Context(), "fairlead-system", announcerAccount, node)
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	config.Dial = l.RESTConfig().Dial // the API server can be reached from inside the lab only
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return clientOf(t, config), kube
}
