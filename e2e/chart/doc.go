// SPDX-License-Identifier: Apache-2.0

// Package chart holds the Helm chart against manifests/: both install the same objects. It renders them with Helm's and
// kustomize's own libraries, and needs no cluster. It has no code of its own.
package chart
