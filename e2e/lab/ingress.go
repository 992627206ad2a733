// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"io"
	"path/filepath"
)

// IngressController builds the Traefik that e2e/lab/ingress/go.mod pins, unless the cache has it, and returns its path. A
// first build takes some four minutes on two cores; only tests that run an ingress controller need it.
func IngressController(ctx context.Context, root string, progress io.Writer) (string, error) {
	programs := Programs{
		Module: filepath.Join(root, "e2e", "lab", "ingress"), Version: "traefik",
		Packages: map[string]string{"traefik": "github.com/traefik/traefik/v3/cmd/traefik"},
		Flags:    []string{"-ldflags", "-s -w"},
	}
	dir, err := programs.Build(ctx, progress)
	return filepath.Join(dir, "traefik"), err
}
