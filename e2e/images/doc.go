// SPDX-License-Identifier: Apache-2.0

// Package images builds the container images of the programs that run in a cluster. It owns what is in them: a static
// program, its licence and its bill of materials, on top of nothing. It needs Go, but neither root, nor a container engine,
// nor a registry, and the same sources, version and time give the same bytes. It must not know how a cluster gets the
// images, nor how it runs them: that is for the manifests.
package images
