// SPDX-License-Identifier: Apache-2.0

// Package e2e tests the whole chain on real parts: Services, the cloud controller manager, announcers, and clients on the
// network. Tests that only read and allocate share one lab, each in a namespace and with pools of its own; those that
// break things have labs to themselves.
package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/fairlead-io/fairlead/e2e/lab"
	"github.com/fairlead-io/fairlead/pkg/api/client/clientset/versioned"
)

// logsVariable holds the directory that the shared lab's logs go to.
const logsVariable = "FAIRLEAD_E2E_TEST_LOGS"

// shared is the lab of the tests about addresses: two nodes, no announcers, one cloud controller manager. The first test
// that asks for it starts it.
var shared struct {
	once  sync.Once
	cloud *cloud
	err   error
}

func TestMain(m *testing.M) {
	logs, err := os.MkdirTemp("", "fairlead-e2e-logs-")
	if err == nil {
		err = os.Setenv(logsVariable, logs)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(run(m, logs))
}

func run(m *testing.M, logs string) int {
	code := m.Run()
	if shared.cloud != nil {
		if err := shared.cloud.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	if code != 0 {
		fmt.Fprintln(os.Stderr, "logs of the shared lab:", logs)
		return code
	}
	if err := os.RemoveAll(logs); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// cloud is a lab with the product's objects in it.
type cloud struct {
	*lab.Lab
	fairlead versioned.Interface
	ccm      *lab.Process // of the shared lab
}

func newCloud(ctx context.Context, l *lab.Lab) (*cloud, error) {
	fairlead, err := versioned.NewForConfig(l.RESTConfig())
	if err != nil {
		return nil, fmt.Errorf("making the client of Fairlead's objects: %w", err)
	}
	return &cloud{Lab: l, fairlead: fairlead}, l.ApplyManifests(ctx)
}

// ownCloud returns a lab for one test, with manifests/ applied and nothing of the product running.
func ownCloud(t *testing.T, config lab.Config) *cloud {
	t.Helper()
	c, err := newCloud(t.Context(), lab.ForTest(t, config))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// sharedCloud returns the lab of the tests about addresses.
func sharedCloud(t *testing.T) *cloud {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("the lab makes network namespaces, which needs root")
	}
	shared.once.Do(func() {
		// The lab outlives the test that starts it.
		shared.cloud, shared.err = startShared(context.WithoutCancel(t.Context()))
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.cloud
}

func startShared(ctx context.Context) (*cloud, error) {
	l, err := lab.Start(ctx, lab.Config{Nodes: 2, LogDir: os.Getenv(logsVariable)})
	if err != nil {
		return nil, err
	}
	c, err := newCloud(ctx, l)
	if err == nil {
		c.ccm, err = c.StartCCM(ctx, "ccm", lab.CCMOptions{Restart: true})
	}
	return c, err
}

// space is a test's own part of the shared lab: a namespace, and networks that no other test uses.
type space struct {
	*cloud
	t         *testing.T
	namespace string
	number    int
}

// spaces counts the namespaces of the shared lab.
var spaces struct {
	sync.Mutex
	n int
}

// newSpace makes a namespace in a lab. Its name comes from the test's.
func newSpace(t *testing.T, c *cloud) *space {
	t.Helper()
	spaces.Lock()
	spaces.n++
	number := spaces.n
	spaces.Unlock()
	letters := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, strings.ToLower(strings.TrimPrefix(t.Name(), "Test")))
	name := fmt.Sprintf("s%d-%s", number, letters[:min(len(letters), 36)])
	s := &space{cloud: c, t: t, namespace: name, number: number}
	if err := c.Apply(t.Context(), fmt.Sprintf(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":%q,"labels":{"space":%q}}}`, name, name)); err != nil {
		t.Fatal(err)
	}
	return s
}

// v4 returns an IPv4 address of the test's own network, 198.18.0.0/15 cut into /24s (RFC 2544).
func (s *space) v4(last int) netip.Addr {
	return netip.AddrFrom4([4]byte{198, 18, byte(s.number), byte(last)})
}

// v6 is v4 for IPv6 (RFC 9637).
func (s *space) v6(last int) netip.Addr {
	return netip.MustParseAddr(fmt.Sprintf("3fff:%x::%x", s.number, last))
}
