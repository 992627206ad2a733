// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// apiURL is the API server's real address, which needs no kube-proxy.
func (l *Lab) apiURL() string {
	return fmt.Sprintf("https://%s:%d", l.plan.on(controlOffset)[0], apiPort)
}

// RESTConfig returns the administrator's configuration. Its connections are opened in the control plane's host, so that
// it works from the test's own process, whatever is cut. Callers may change the copy.
func (l *Lab) RESTConfig() *rest.Config { return rest.CopyConfig(l.admin) }

// Client returns the administrator's client.
func (l *Lab) Client() kubernetes.Interface { return l.client }

// Kubeconfig returns the path of the administrator's kubeconfig. It works inside the lab's hosts only.
func (l *Lab) Kubeconfig() string { return filepath.Join(l.dir, "kubeconfig", "admin") }

// restConfig gives a client with a certificate of its own, whose connections start in the given host.
func (l *Lab) restConfig(h *host, pair keyPair) *rest.Config {
	return &rest.Config{
		Host:            l.apiURL(),
		TLSClientConfig: rest.TLSClientConfig{CAData: l.ca.pem, CertData: pair.cert, KeyData: pair.key},
		Dial:            h.dial,
		QPS:             -1,
	}
}

// writeKubeconfig writes a kubeconfig with the given credentials and returns its path.
func (l *Lab) writeKubeconfig(name string, auth *clientcmdapi.AuthInfo) (string, error) {
	cfg := clientcmdapi.NewConfig()
	cfg.Clusters["lab"] = &clientcmdapi.Cluster{Server: l.apiURL(), CertificateAuthorityData: l.ca.pem}
	cfg.AuthInfos[name] = auth
	cfg.Contexts["lab"] = &clientcmdapi.Context{Cluster: "lab", AuthInfo: name}
	cfg.CurrentContext = "lab"
	path := filepath.Join(l.dir, "kubeconfig", name)
	if err := clientcmd.WriteToFile(*cfg, path); err != nil {
		return "", fmt.Errorf("write the kubeconfig of %q: %w", name, err)
	}
	return path, nil
}

// certKubeconfig issues a client certificate and writes a kubeconfig with it.
func (l *Lab) certKubeconfig(name, user string, groups ...string) (string, keyPair, error) {
	pair, err := l.ca.clientPair(user, groups...)
	if err != nil {
		return "", keyPair{}, err
	}
	path, err := l.writeKubeconfig(name, &clientcmdapi.AuthInfo{ClientCertificateData: pair.cert, ClientKeyData: pair.key})
	return path, pair, err
}

// tokenLifetime outlives any test; the lab does not rotate tokens.
const tokenLifetime = 24 * time.Hour

// ServiceAccountKubeconfig writes a kubeconfig with a token of a ServiceAccount and returns its path. When boundNode is
// not empty, the token is bound to that Node object, as the kubelet's are: it carries the node's name, and dies with it.
func (l *Lab) ServiceAccountKubeconfig(ctx context.Context, namespace, name, boundNode string) (string, error) {
	seconds := int64(tokenLifetime / time.Second)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
	file := namespace + "-" + name
	if boundNode != "" {
		node, err := l.client.CoreV1().Nodes().Get(ctx, boundNode, metav1.GetOptions{})
		if err != nil {
			return "", fmt.Errorf("bind a token to node %q: %w", boundNode, err)
		}
		request.Spec.BoundObjectRef = &authenticationv1.BoundObjectReference{
			APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID,
		}
		file += "-" + boundNode
	}
	answer, err := l.client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, request, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("request a token for service account %s/%s: %w", namespace, name, err)
	}
	return l.writeKubeconfig(file, &clientcmdapi.AuthInfo{Token: answer.Status.Token})
}
