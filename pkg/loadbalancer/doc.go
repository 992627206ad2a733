// SPDX-License-Identifier: Apache-2.0

// Package loadbalancer makes the VirtualIPs of a Service what the Service asks for. It owns the one reconcile function
// that both callers share: the provider's EnsureLoadBalancer, which the stock service controller calls on edges, and the
// level-triggered controller of pkg/controller, which heals what edges miss. Calls for one Service are serialised here.
//
// The order of a call to Reconciler.Ensure: settings are parsed, all of them (pkg/settings); what the Service has is held
// against what it wants; what lacks is claimed, each address by creating a VirtualIP whose name is the address, so that
// the API server decides between two claims, whoever makes them; only then is given up what the Service no longer wants.
// An error on the way therefore never shrinks what the Service has.
//
// The package must not know how an address is announced: it writes VirtualIP objects, and Service.status is an output
// that its callers write.
package loadbalancer
