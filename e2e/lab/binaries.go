// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"time"
)

// module is the product's module path: what the root of the tree is recognised by.
const module = "github.com/fairlead-io/fairlead"

// Programs are programs that a Go module pins. They are built once and kept in the user's cache, keyed by what the module
// pins.
type Programs struct {
	Module   string            // directory of go.mod and go.sum
	Version  string            // begins the name of the directory in the cache
	Packages map[string]string // the main package of each program
	Flags    []string          // of go build
}

// Kubernetes returns the Kubernetes and etcd that e2e/lab/kube/go.mod pins: those that a lab runs and, for nodes, kubeadm
// and what it sets up beside them. root is the root of the product's tree.
func Kubernetes(root string, nodes bool) (Programs, error) {
	module := filepath.Join(root, "e2e", "lab", "kube")
	version, err := kubernetesVersion(module)
	if err != nil {
		return Programs{}, err
	}
	packages := map[string]string{"etcd": "go.etcd.io/etcd/server/v3"}
	names := []string{"kube-apiserver", "kube-controller-manager", "kube-proxy", "kubectl"}
	if nodes {
		names = append(names, "kube-scheduler", "kubeadm", "kubelet")
	}
	for _, name := range names {
		packages[name] = "k8s.io/kubernetes/cmd/" + name
	}
	return Programs{
		Module: module, Version: version, Packages: packages,
		Flags: []string{"-ldflags", "-s -w -X k8s.io/component-base/version.gitVersion=" + version},
	}, nil
}

func kubernetesVersion(module string) (string, error) {
	mod, err := os.ReadFile(filepath.Join(module, "go.mod"))
	if err != nil {
		return "", fmt.Errorf("read the lab's Kubernetes module: %w", err)
	}
	match := regexp.MustCompile(`(?m)^\s*k8s\.io/kubernetes (v\S+)`).FindSubmatch(mod)
	if match == nil {
		return "", fmt.Errorf("%s requires no k8s.io/kubernetes", filepath.Join(module, "go.mod"))
	}
	return string(match[1]), nil
}

// Binaries builds the Kubernetes and etcd that e2e/lab/kube/go.mod pins, unless the cache has them, and returns their
// directory. root is the root of the product's tree. A first build takes some five minutes on two cores; progress goes
// to the given writer. Runs in parallel build once.
func Binaries(ctx context.Context, root string, progress io.Writer) (string, error) {
	programs, err := Kubernetes(root, false)
	if err != nil {
		return "", err
	}
	return programs.Build(ctx, progress)
}

// Build builds what the cache lacks, and returns the directory that holds the programs. Progress goes to the given
// writer. Runs in parallel build once.
func (p Programs) Build(ctx context.Context, progress io.Writer) (string, error) {
	dir, err := p.dir()
	if err != nil {
		return "", err
	}
	if p.complete(dir) {
		return dir, nil
	}
	unlock, err := lockFile(ctx, dir+".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	for _, name := range slices.Sorted(maps.Keys(p.Packages)) {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			continue
		}
		fmt.Fprintf(progress, "lab: building %s (once; kept in %s)\n", name, dir)
		begin := time.Now()
		if err := p.build(ctx, p.Packages[name], filepath.Join(dir, name)); err != nil {
			return "", err
		}
		fmt.Fprintf(progress, "lab: built %s in %s\n", name, time.Since(begin).Round(time.Second))
	}
	return dir, nil
}

func (p Programs) complete(dir string) bool {
	for name := range p.Packages {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return false
		}
	}
	return true
}

// dir names the builds of one state of the module.
func (p Programs) dir() (string, error) {
	sum, err := os.ReadFile(filepath.Join(p.Module, "go.sum"))
	if err != nil {
		return "", fmt.Errorf("read what %s pins: %w", p.Module, err)
	}
	key := fmt.Sprintf("%s-%x", p.Version, sha256.Sum256(sum))[:len(p.Version)+13]
	return filepath.Join(cacheDir(), "bin", key), nil
}

// build builds one program under a temporary name, so that a build that is broken off leaves nothing to be taken for a
// program.
func (p Programs) build(ctx context.Context, pkg, target string) error {
	args := slices.Concat([]string{"build", "-trimpath"}, p.Flags, []string{"-o", target + ".partial", pkg})
	if err := goCommand(ctx, p.Module, args...); err != nil {
		return fmt.Errorf("build %s: %w", pkg, err)
	}
	return os.Rename(target+".partial", target)
}

func goCommand(ctx context.Context, dir string, args ...string) error {
	var output bytes.Buffer
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go %s: %w: %s", args[0], err, bytes.TrimSpace(output.Bytes()))
	}
	return nil
}

// productPrograms builds the given packages of the product's tree into the directory dir. The Go build cache and the
// previous result, which stays in the tree and goes with it, make it quick when nothing has changed. Programs that run
// keep the file they were started from.
func productPrograms(ctx context.Context, root, dir string, packages ...string) error {
	shared := filepath.Join(root, "bin", "lab")
	unlock, err := lockFile(ctx, shared+".lock")
	if err != nil {
		return err
	}
	defer unlock()
	for _, pkg := range packages {
		name := filepath.Base(pkg)
		// As make build has it, but for the version: what one has compiled is the other's too.
		args := []string{"build", "-trimpath", "-ldflags", "-X k8s.io/component-base/version.gitVersion=v0.0.0-lab", "-o", filepath.Join(shared, name), pkg}
		if err := goCommand(ctx, root, args...); err != nil {
			return fmt.Errorf("build %s: %w", pkg, err)
		}
		if err := linkOrCopy(filepath.Join(shared, name), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

func linkOrCopy(from, to string) error {
	if err := os.Remove(to); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("replace %s: %w", to, err)
	}
	if err := os.Link(from, to); err == nil {
		return nil
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	return os.WriteFile(to, data, 0o755)
}

func cacheDir() string {
	base, err := os.UserCacheDir()
	if err != nil {
		base = "/var/cache"
	}
	return filepath.Join(base, "fairlead")
}

// lockFile takes an exclusive lock between processes and waits for it as long as ctx allows. It makes the directory
// that the lock is for, beside it.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	if err := os.MkdirAll(path[:len(path)-len(filepath.Ext(path))], 0o755); err != nil {
		return nil, fmt.Errorf("make the cache directory: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open lock file: %w", err)
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			_ = f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		select {
		case <-ctx.Done():
			_ = f.Close()
			return nil, fmt.Errorf("wait for another build, which holds %s: %w", path, context.Cause(ctx))
		case <-time.After(pollInterval):
		}
	}
}

// FindRoot returns the root of the product's tree: the closest directory at or above the working directory whose go.mod
// is the product's.
func FindRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the root of the tree: %w", err)
	}
	for d := dir; ; d = filepath.Dir(d) {
		mod, err := os.ReadFile(filepath.Join(d, "go.mod"))
		if err == nil && bytes.HasPrefix(mod, []byte("module "+module+"\n")) {
			return d, nil
		}
		if d == filepath.Dir(d) {
			return "", fmt.Errorf("find the root of the tree: neither %s nor a directory above it holds the go.mod of %s", dir, module)
		}
	}
}
