//go:build tools

// Package ingress pins the version of Traefik that the lab builds and runs. It holds no code: the import below keeps the
// main package in go.mod.
package ingress

import (
	_ "github.com/traefik/traefik/v3/cmd/traefik"
)
