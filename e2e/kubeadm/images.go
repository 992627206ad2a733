// SPDX-License-Identifier: Apache-2.0

package kubeadm

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// BackendImage is what the pods of the tests run: it listens on port 8080 and says which pod it is.
const BackendImage = "example.com/backend:v1"

// clusterImages returns the images that the given kubeadm asks for, and the tests' own, each under the name of its archive. Those of the
// control plane alone are in the first result, those of all machines in the second.
func clusterImages(ctx context.Context, p programs) (controlPlane, all map[string]image, err error) {
	out, err := exec.CommandContext(ctx, filepath.Join(p.kubernetes, "kubeadm"), "config", "images", "list",
		"--kubernetes-version", kubernetesVersion(p)).Output()
	if err != nil {
		return nil, nil, fmt.Errorf("ask kubeadm for its images: %w", err)
	}
	controlPlane, all = map[string]image{}, map[string]image{}
	for reference := range strings.FieldsSeq(string(out)) {
		name, _, _ := strings.Cut(filepath.Base(reference), ":")
		switch name {
		case "kube-proxy":
			all[name], err = kubeProxyImage(reference, p)
			if err != nil {
				return nil, nil, err
			}
		case "pause":
			all[name] = single(reference, filepath.Join(p.own, name))
		case "coredns":
			all[name] = single(reference, filepath.Join(p.parts, name))
		default:
			controlPlane[name] = single(reference, filepath.Join(p.kubernetes, name))
		}
	}
	all["backend"] = single(BackendImage, filepath.Join(p.own, "backend"))
	return controlPlane, all, nil
}

// kubernetesVersion is the version in the name of the directory; see lab.Kubernetes.
func kubernetesVersion(p programs) string {
	version, _, _ := strings.Cut(filepath.Base(p.kubernetes), "-")
	return version
}

// single is an image of one static program.
func single(reference, program string) image {
	inside := "usr/local/bin/" + filepath.Base(program)
	return image{reference: reference, files: map[string]string{inside: program}, entrypoint: []string{"/" + inside}}
}

// kubeProxyImage holds kube-proxy and the host's programs that it runs, with their libraries. Without /etc/protocols nft
// prints protocols as numbers, and kube-proxy takes its own entries for leftovers.
func kubeProxyImage(reference string, p programs) (image, error) {
	made := single(reference, filepath.Join(p.kubernetes, "kube-proxy"))
	for _, name := range []string{"nft", "iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore", "conntrack"} {
		path, err := lookup(name)
		if err != nil {
			return image{}, fmt.Errorf("put together image %s: %w", reference, err)
		}
		resolved, err := filepath.EvalSymlinks(path)
		if err != nil {
			return image{}, fmt.Errorf("put together image %s: %w", reference, err)
		}
		made.files["usr/sbin/"+name] = resolved
		libraries, err := librariesOf(resolved)
		if err != nil {
			return image{}, fmt.Errorf("put together image %s: %w", reference, err)
		}
		for _, library := range libraries {
			made.files[strings.TrimPrefix(library, "/")] = library
		}
	}
	extensions, err := filepath.Glob("/usr/lib/*/xtables/*.so")
	if err != nil {
		return image{}, err
	}
	for _, path := range append(extensions, "/etc/protocols", "/etc/services") {
		made.files[strings.TrimPrefix(path, "/")] = path
	}
	return made, nil
}

// lookup finds a program also where PATH lacks the directories of the administrator's.
func lookup(name string) (string, error) {
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/bin", "/bin"} {
		if path := filepath.Join(dir, name); isFile(path) {
			return path, nil
		}
	}
	return exec.LookPath(name)
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// librariesOf returns the shared libraries that a program loads, and its loader, under the names it looks for.
func librariesOf(program string) ([]string, error) {
	out, err := exec.CommandContext(context.Background(), "ldd", program).Output()
	if err != nil {
		return nil, fmt.Errorf("list the libraries of %s: %w", program, err)
	}
	var found []string
	for _, match := range regexp.MustCompile(`(?m)(?:=> |^\s+)(/\S+) \(`).FindAllStringSubmatch(string(out), -1) {
		found = append(found, match[1])
	}
	return found, nil
}
