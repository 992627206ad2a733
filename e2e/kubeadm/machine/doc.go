// SPDX-License-Identifier: Apache-2.0

// Package machine is the inside of one machine of the cluster: process 1 in namespaces of its own, which mounts the
// machine's file systems, runs containerd and the kubelet and answers systemctl.
//
// What it sees is the host's root file system with its own /etc, /var, /opt, /run, /proc and /sys; nothing it writes
// reaches the host's. The package must not know of Kubernetes' objects, nor of other machines.
package machine
