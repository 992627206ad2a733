// SPDX-License-Identifier: Apache-2.0

// Package lab is a private cloud on one Linux machine: hosts are network namespaces on a bridge, the control plane is a
// real etcd, kube-apiserver and kube-controller-manager, nodes run a real kube-proxy, and pods are processes in
// namespaces of their own. End-to-end tests start the product's own binaries in it and take machines, cables and
// processes away.
//
// What is not real is the kubelet: the package itself registers Nodes, renews their Leases and reports the status of
// pods, with the credentials of each node and from within its namespace, so that a cut cable silences it too.
//
// The package must not know what the product decides (which node announces what). It owns the machines, not the
// expectations. Everything it makes carries the number of the lab, stays out of the network namespace of its caller, and
// is removed by Stop, by SIGINT and SIGTERM, and, after a SIGKILL, by the next Start or Sweep.
package lab
