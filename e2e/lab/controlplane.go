// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// startControlPlane brings up etcd, the API server and the controller manager, and waits until pods can be created.
func (l *Lab) startControlPlane(ctx context.Context) error {
	if err := l.writeCredentials(); err != nil {
		return err
	}
	if err := l.startEtcd(); err != nil {
		return err
	}
	if err := l.StartAPIServer(ctx); err != nil {
		return err
	}
	return l.startControllerManager()
}

// writeCredentials makes the lab's authority and every key and kubeconfig of the control plane.
func (l *Lab) writeCredentials() error {
	var err error
	if l.ca, err = newAuthority(); err != nil {
		return err
	}
	addrs := []net.IP{net.ParseIP(apiService), net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	for _, a := range l.plan.on(controlOffset) {
		addrs = append(addrs, a.AsSlice())
	}
	serving, err := l.ca.serverPair("kube-apiserver", addrs, []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"})
	if err != nil {
		return err
	}
	// Nothing is aggregated, but programs that read the authentication settings expect this authority to be there.
	frontProxy, err := newAuthority()
	if err != nil {
		return err
	}
	signing, err := signingKey()
	if err != nil {
		return err
	}
	files := map[string][]byte{
		"ca.crt": l.ca.pem, "front-proxy-ca.crt": frontProxy.pem,
		"apiserver.crt": serving.cert, "apiserver.key": serving.key, "service-account.key": signing,
	}
	for name, data := range files {
		if err := os.WriteFile(l.pki(name), data, 0o600); err != nil {
			return fmt.Errorf("write credentials: %w", err)
		}
	}
	_, pair, err := l.certKubeconfig("admin", "admin", "system:masters")
	if err != nil {
		return err
	}
	l.admin = l.restConfig(l.mustHost(ControlPlane), pair)
	l.client, err = kubernetes.NewForConfig(l.admin)
	return err
}

func (l *Lab) pki(name string) string { return filepath.Join(l.dir, "pki", name) }

func (l *Lab) startEtcd() error {
	_, err := l.StartProcess(ControlPlane, Command{Name: "etcd", Path: filepath.Join(l.kube, "etcd"), Args: []string{
		"--data-dir", filepath.Join(l.dir, "etcd"), "--unsafe-no-fsync", "--log-level", "warn",
		"--listen-client-urls", "http://127.0.0.1:2379", "--advertise-client-urls", "http://127.0.0.1:2379",
		"--listen-peer-urls", "http://127.0.0.1:2380", "--initial-advertise-peer-urls", "http://127.0.0.1:2380",
		"--initial-cluster", "default=http://127.0.0.1:2380",
	}})
	return err
}

// StartAPIServer starts kube-apiserver and waits until it is ready. Stop it with StopAPIServer.
func (l *Lab) StartAPIServer(ctx context.Context) error {
	args := append([]string{
		"--etcd-servers=http://127.0.0.1:2379",
		fmt.Sprintf("--secure-port=%d", apiPort),
		"--bind-address=::",
		"--advertise-address=" + l.plan.on(controlOffset)[0].String(),
		"--service-cluster-ip-range=" + serviceCIDRs,
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--allow-privileged",
		"--client-ca-file=" + l.pki("ca.crt"),
		"--tls-cert-file=" + l.pki("apiserver.crt"),
		"--tls-private-key-file=" + l.pki("apiserver.key"),
		"--requestheader-client-ca-file=" + l.pki("front-proxy-ca.crt"),
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-signing-key-file=" + l.pki("service-account.key"),
		"--service-account-key-file=" + l.pki("service-account.key"),
	}, l.cfg.APIServerArgs...)
	p, err := l.StartProcess(ControlPlane, Command{Name: "kube-apiserver", Path: filepath.Join(l.kube, "kube-apiserver"), Args: args})
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.apiServer = p
	l.mu.Unlock()
	return l.awaitReady(ctx, p, "kube-apiserver to be ready", func(ctx context.Context) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		body, err := l.client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		return string(body), err
	})
}

// StopAPIServer kills kube-apiserver. Everything else runs on, without it.
func (l *Lab) StopAPIServer() {
	l.mu.Lock()
	p := l.apiServer
	l.mu.Unlock()
	if p != nil {
		p.Kill()
	}
}

// startControllerManager starts kube-controller-manager with default settings, but for its rate limit: at the default of 20
// requests per second its start takes five seconds.
func (l *Lab) startControllerManager() error {
	kubeconfig, _, err := l.certKubeconfig("kube-controller-manager", "system:kube-controller-manager")
	if err != nil {
		return err
	}
	args := append([]string{
		"--kubeconfig=" + kubeconfig,
		"--authentication-kubeconfig=" + kubeconfig,
		"--authorization-kubeconfig=" + kubeconfig,
		"--cloud-provider=external",
		"--leader-elect=false",
		"--use-service-account-credentials",
		"--kube-api-qps=100", "--kube-api-burst=200",
		"--bind-address=127.0.0.1",
		"--root-ca-file=" + l.pki("ca.crt"),
		"--service-account-private-key-file=" + l.pki("service-account.key"),
	}, l.cfg.ControllerManagerArgs...)
	_, err = l.StartProcess(ControlPlane, Command{
		Name: "kube-controller-manager", Path: filepath.Join(l.kube, "kube-controller-manager"), Args: args,
	})
	return err
}

// awaitServiceAccount waits until pods can be created in a namespace: the controller manager makes the account, and
// admission refuses pods before.
func (l *Lab) awaitServiceAccount(ctx context.Context, namespace string) error {
	return Eventually(ctx, "service account "+namespace+"/default", func(ctx context.Context) (bool, string, error) {
		_, err := l.client.CoreV1().ServiceAccounts(namespace).Get(ctx, "default", metav1.GetOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return false, err.Error(), nil
		}
		return err == nil, "not there", nil
	})
}

// awaitReady awaits an answer without error from a process, and fails as soon as the process ends.
func (l *Lab) awaitReady(ctx context.Context, p *Process, what string, ask func(context.Context) (string, error)) error {
	return Eventually(ctx, what, func(ctx context.Context) (bool, string, error) {
		if p.Exited() {
			return false, "", fmt.Errorf("%s has ended; its last words:\n%s", p.Name, p.tail())
		}
		detail, err := ask(ctx)
		if err != nil {
			return false, fmt.Sprintf("%v: %s", err, detail), nil
		}
		return true, detail, nil
	})
}
