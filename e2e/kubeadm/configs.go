// SPDX-License-Identifier: Apache-2.0

package kubeadm

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"sigs.k8s.io/yaml"
)

// adaptations is what kubeadm's configurations get beside what the files of the tree hold, by kind, because three machines
// share one kernel here: no systemd manages control groups, those of this kernel may be of version 1, disks are one disk,
// and the size of the connection table is not the machine's to set. The version keeps kubeadm from asking the Internet.
func (c *Cluster) adaptations() map[string]map[string]any {
	type object = map[string]any
	ignore := object{"ignorePreflightErrors": []any{"SystemVerification"}}
	return map[string]object{
		"InitConfiguration":    {"nodeRegistration": ignore},
		"JoinConfiguration":    {"nodeRegistration": ignore},
		"ClusterConfiguration": {"kubernetesVersion": kubernetesVersion(c.programs)},
		"KubeletConfiguration": {
			"apiVersion": "kubelet.config.k8s.io/v1beta1", "cgroupDriver": "cgroupfs", "failCgroupV1": false,
			"evictionHard": object{"nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%", "imagefs.inodesFree": "0%"},
		},
		"KubeProxyConfiguration": {
			"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "conntrack": object{"maxPerCore": 0, "min": 0},
		},
	}
}

// adaptConfigs writes adapted copies of the configurations in manifests/kubeadm, and returns what machines are to cover the
// files of the tree with.
func (c *Cluster) adaptConfigs() (map[string]string, error) {
	covers := map[string]string{}
	files, err := filepath.Glob(filepath.Join(c.root, "manifests", "kubeadm", "*.yaml"))
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(c.Dir(), "kubeadm"), 0o755); err != nil {
		return nil, fmt.Errorf("adapt kubeadm's configurations: %w", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("adapt kubeadm's configurations: %w", err)
		}
		adapted, err := adapt(data, c.adaptations())
		if err != nil {
			return nil, fmt.Errorf("adapt %s: %w", file, err)
		}
		covers[file] = filepath.Join(c.Dir(), "kubeadm", filepath.Base(file))
		if err := os.WriteFile(covers[file], adapted, 0o644); err != nil {
			return nil, fmt.Errorf("adapt kubeadm's configurations: %w", err)
		}
	}
	return covers, nil
}

// adapt merges each document with the adaptations of its kind. A file that initialises a cluster gets those that it has no
// document for as new ones.
func adapt(stream []byte, adaptations map[string]map[string]any) ([]byte, error) {
	seen := map[string]bool{}
	var out bytes.Buffer
	write := func(document map[string]any) error {
		data, err := yaml.Marshal(document)
		out.WriteString("---\n")
		out.Write(data)
		return err
	}
	for part := range bytes.SplitSeq(append([]byte("\n"), stream...), []byte("\n---")) {
		document := map[string]any{}
		if err := yaml.Unmarshal(part, &document); err != nil {
			return nil, err
		}
		kind, ok := document["kind"].(string)
		if !ok {
			continue // comments
		}
		seen[kind] = true
		merge(document, adaptations[kind])
		if err := write(document); err != nil {
			return nil, err
		}
	}
	for _, kind := range []string{"KubeletConfiguration", "KubeProxyConfiguration"} {
		if !seen["InitConfiguration"] || seen[kind] {
			continue
		}
		document := map[string]any{"kind": kind}
		merge(document, adaptations[kind])
		if err := write(document); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

// merge adds what is in from to the object, and goes into objects that both have.
func merge(to, from map[string]any) {
	for key, value := range from {
		inner, ok := value.(map[string]any)
		if have, isObject := to[key].(map[string]any); ok && isObject {
			merge(have, inner)
			continue
		}
		to[key] = value
	}
}
