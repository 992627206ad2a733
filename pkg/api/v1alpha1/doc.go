// SPDX-License-Identifier: Apache-2.0

// Package v1alpha1 is Fairlead's API: AddressPool, VirtualIP, BGPPeer and Announcer, group fairlead.dev, all
// cluster-scoped. It owns the types, their validation (CEL in the CRD schema, no webhook) and the names of conditions and
// well-known keys; it must not know behaviour.
//
// +kubebuilder:object:generate=true
// +groupName=fairlead.dev
package v1alpha1
