// SPDX-License-Identifier: Apache-2.0

// Package controller is the cloud controller manager's own, level-triggered controller. It owns what the stock service
// controller leaves undone because it acts on edges only: a cleared Service status, a VirtualIP deleted by hand, a pool
// that appears later, a claim whose Service is gone, candidates after a change of nodes or endpoints, the status of pools,
// and the key of the announcers' gossip. Services are reconciled by the function that EnsureLoadBalancer calls
// (pkg/loadbalancer). It must not know sockets.
package controller
