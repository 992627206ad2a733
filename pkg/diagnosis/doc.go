// SPDX-License-Identifier: Apache-2.0

// Package diagnosis answers an operator's questions about a cluster: which node has an address and why, what is wrong, and
// which nodes lack what. It takes the objects of the cluster and returns values, so it needs no cluster to be tested with.
// Which nodes may announce it asks pkg/loadbalancer, which decides it. It must not know clients, nor how answers are shown.
package diagnosis
