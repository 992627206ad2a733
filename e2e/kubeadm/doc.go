// SPDX-License-Identifier: Apache-2.0

// Package kubeadm is a real kubeadm cluster on one Linux machine: one control plane and workers, each a machine in
// namespaces of its own, with real kubelets, containerd and runc, set up by kubeadm init and join with
// --cloud-provider=external. The tests install Fairlead in it by the commands of the documents, word for word.
//
// Hosts, cables, a client outside and what removes all of it are package lab's; the inside of a machine is package
// machine's. What is not as on real machines: systemctl is a small program, images are put together here (no registry),
// kernel settings without a namespace are covered, and the network plugin's configuration is written by this package.
package kubeadm
