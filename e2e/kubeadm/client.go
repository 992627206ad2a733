// SPDX-License-Identifier: Apache-2.0

package kubeadm

import (
	"context"
	"fmt"
	"net"
	"path/filepath"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/fairlead-io/fairlead/e2e/lab"
)

// AdminKubeconfig is the path, on the control plane's machine, of the administrator's kubeconfig.
const AdminKubeconfig = "/etc/kubernetes/admin.conf"

// RESTConfig reaches the API server from outside of the lab. kubeadm init must have run.
func (c *Cluster) RESTConfig() (*rest.Config, error) {
	// What the machine writes to /etc is in the upper layer; see package machine.
	path := filepath.Join(c.machineDir(lab.ControlPlane), "overlay", "-etc", "upper", "kubernetes", "admin.conf")
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		return nil, fmt.Errorf("read the administrator's kubeconfig: %w", err)
	}
	config.QPS, config.Burst = 100, 200
	config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		return c.Dial(ctx, lab.Router, network, address)
	}
	return config, nil
}

// Client returns the administrator's client. It panics before kubeadm init has run: a mistake in the test.
func (c *Cluster) Client() kubernetes.Interface {
	config, err := c.RESTConfig()
	if err != nil {
		panic(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		panic(err)
	}
	return client
}

// Kubectl runs kubectl as the administrator on the control plane's machine and returns its output.
func (c *Cluster) Kubectl(ctx context.Context, args ...string) (string, error) {
	pid, err := c.pid(lab.ControlPlane)
	if err != nil {
		return "", err
	}
	return c.Exec(ctx, lab.ControlPlane, append(append(Enter(pid, c.programs.path()), "kubectl"), args...)...)
}
