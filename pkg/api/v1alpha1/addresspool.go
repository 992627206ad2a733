// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AddressPool is a set of addresses that Fairlead may hand to Services, and how they are announced.
//
// +genclient
// +genclient:nonNamespaced
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,shortName=pool;pools,categories=fairlead
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Total",type=string,JSONPath=`.status.capacity.total`
// +kubebuilder:printcolumn:name="Assigned",type=string,JSONPath=`.status.capacity.assigned`
// +kubebuilder:printcolumn:name="Free",type=string,JSONPath=`.status.capacity.free`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type AddressPool struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec AddressPoolSpec `json:"spec"`
	// +optional
	Status AddressPoolStatus `json:"status,omitempty"`
}

// AddressPoolSpec says which addresses a pool has, who may use them, and how they are announced.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.namespaces) && has(self.namespaceSelector))",message="namespaces and namespaceSelector exclude each other: name the namespaces or select them by label"
type AddressPoolSpec struct {
	// addresses are CIDRs or first-last ranges of either family, for example 10.1.0.0/24 or fd00:10::10-fd00:10::1f.
	//
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	Addresses []AddressRange `json:"addresses"`

	// excluded are addresses inside the pool that are never handed out, as single addresses, CIDRs or ranges.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	Excluded []AddressRange `json:"excluded,omitempty"`

	// avoidEdges holds back .0 and .255 of every IPv4 /24: some clients take them for network and broadcast addresses.
	//
	// +optional
	AvoidEdges bool `json:"avoidEdges,omitempty"`

	// autoAssign false reserves the pool for Services that name it. Default true.
	//
	// +optional
	// +kubebuilder:default=true
	AutoAssign *bool `json:"autoAssign,omitempty"`

	// priority orders pools that a Service could use: higher first, then by name.
	//
	// +optional
	// +kubebuilder:validation:Minimum=-1000000
	// +kubebuilder:validation:Maximum=1000000
	Priority int32 `json:"priority,omitempty"`

	// disabled keeps what is assigned and hands out no more.
	//
	// +optional
	Disabled bool `json:"disabled,omitempty"`

	// namespaces limits the pool to Services of these namespaces.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	Namespaces []string `json:"namespaces,omitempty"`

	// namespaceSelector limits the pool to Services whose namespace has matching labels.
	//
	// +optional
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`

	// serviceSelector limits the pool to Services with matching labels.
	//
	// +optional
	ServiceSelector *metav1.LabelSelector `json:"serviceSelector,omitempty"`

	// maxPerNamespace is the greatest number of addresses of this pool that one namespace may hold; 0 means no limit. What
	// is kept for deleted Services of the namespace counts.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	MaxPerNamespace int32 `json:"maxPerNamespace,omitempty"`

	// releaseDelay keeps a released address for the same namespace and name this long. Between 0s and 24h. Default 60s.
	//
	// +optional
	// +kubebuilder:default="60s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('24h')",message="releaseDelay must lie between 0s and 24h"
	ReleaseDelay *metav1.Duration `json:"releaseDelay,omitempty"`

	// sharedAcrossNamespaces lets Services of different namespaces share an address by the same sharing key.
	//
	// +optional
	SharedAcrossNamespaces bool `json:"sharedAcrossNamespaces,omitempty"`

	// announce says how the pool's addresses are announced. Default: one entry, l2 on the interfaces whose subnet holds
	// the address.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:default={{l2: {}}}
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Announce []Announcement `json:"announce,omitempty"`
}

// AddressRange is a CIDR, a single address, or first-last.
//
// +kubebuilder:validation:MinLength=2
// +kubebuilder:validation:MaxLength=91
// +kubebuilder:validation:XValidation:rule="self.contains('-') ? (self.split('-').size() == 2 && isIP(self.split('-')[0]) && isIP(self.split('-')[1])) : (isCIDR(self) || isIP(self))",message="must be an address, a CIDR such as 10.1.0.0/24, or a range such as 10.0.0.100-10.0.0.150"
// +kubebuilder:validation:XValidation:rule="!self.contains('-') || self.split('-').size() != 2 || !isIP(self.split('-')[0]) || !isIP(self.split('-')[1]) || ip(self.split('-')[0]).family() == ip(self.split('-')[1]).family()",message="both ends of a range must be of one IP family"
type AddressRange string

// Announcement is one way to announce addresses: exactly one of its members is set.
//
// +kubebuilder:validation:XValidation:rule="has(self.l2) != has(self.bgp)",message="exactly one of l2 and bgp must be set"
type Announcement struct {
	// +optional
	L2 *L2Announcement `json:"l2,omitempty"`
	// +optional
	BGP *BGPAnnouncement `json:"bgp,omitempty"`
}

// L2Announcement is announcing by ARP (RFC 826) and NDP (RFC 4861): one node at a time owns an address.
type L2Announcement struct {
	// interfaces are names or globs such as eth*. Default: the interfaces whose subnet holds the address; where none
	// does, the one with the default route.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=64
	Interfaces []string `json:"interfaces,omitempty"`

	// nodeSelector limits which nodes may announce.
	//
	// +optional
	NodeSelector *metav1.LabelSelector `json:"nodeSelector,omitempty"`

	// probe false skips the search for another user of an address before its first announcement (RFC 5227 section 2.1).
	// Default true.
	//
	// +optional
	// +kubebuilder:default=true
	Probe *bool `json:"probe,omitempty"`
}

// BGPAnnouncement is announcing by BGP: every eligible node announces, the routers balance.
type BGPAnnouncement struct {
	// peers are names of BGPPeer objects. Default: all peers of the node.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	Peers []string `json:"peers,omitempty"`

	// nodeSelector limits which nodes may announce.
	//
	// +optional
	NodeSelector *metav1.LabelSelector `json:"nodeSelector,omitempty"`

	// communities are standard (65000:100), large (65000:1:2) or well-known (no-export, no-advertise, graceful-shutdown).
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	Communities []Community `json:"communities,omitempty"`

	// localPreference is sent to iBGP peers. Default 100.
	//
	// +optional
	LocalPreference *uint32 `json:"localPreference,omitempty"`

	// med is the multi-exit discriminator.
	//
	// +optional
	MED *uint32 `json:"med,omitempty"`

	// asPathPrepend is how many times the local ASN is put before the path once more, towards external peers: a longer path
	// is chosen later. From 1 to 16. Default: not at all.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=16
	ASPathPrepend int32 `json:"asPathPrepend,omitempty"`

	// linkBandwidthPerEndpoint sends a link bandwidth community (draft-ietf-idr-link-bandwidth) of this many Mbit/s for each
	// ready endpoint on the node, from 1 to 100, so that routers that balance by it send each node its share. Only for
	// addresses whose Services all have externalTrafficPolicy Local. Default: none is sent.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	LinkBandwidthPerEndpoint int32 `json:"linkBandwidthPerEndpoint,omitempty"`

	// aggregationLength is the length of the prefix that is announced for an address.
	//
	// +optional
	AggregationLength *AggregationLength `json:"aggregationLength,omitempty"`
}

// Community is a BGP community: standard (RFC 1997), large (RFC 8092), or the name of a well-known one.
//
// +kubebuilder:validation:MaxLength=32
// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9]+(:[0-9]+){1,2}$') ? self.split(':').all(n, n.size() <= 10 && int(n) <= (self.split(':').size() == 2 ? 65535 : 4294967295)) : self in ['graceful-shutdown', 'accept-own', 'accept-own-nexthop', 'llgr-stale', 'no-llgr', 'blackhole', 'no-export', 'no-advertise', 'no-export-subconfed', 'local-as', 'no-peer']",message="must be two numbers up to 65535 (65000:100), three up to 4294967295 (65000:1:2), or a well-known name such as no-export"
type Community string

// AggregationLength is a prefix length per family, in bits. Default 32 and 128: host routes.
type AggregationLength struct {
	// ipv4 is the length for IPv4 addresses, from 8 to 32.
	//
	// +optional
	// +kubebuilder:validation:Minimum=8
	// +kubebuilder:validation:Maximum=32
	IPv4 *int32 `json:"ipv4,omitempty"`
	// ipv6 is the length for IPv6 addresses, from 16 to 128.
	//
	// +optional
	// +kubebuilder:validation:Minimum=16
	// +kubebuilder:validation:Maximum=128
	IPv6 *int32 `json:"ipv6,omitempty"`
}

// AddressPoolStatus is written by the cloud controller manager.
type AddressPoolStatus struct {
	// +optional
	Capacity PoolCapacity `json:"capacity,omitempty"`

	// conditions: Ready (the pool can hand out addresses) and Overlap (another pool or a node has part of it).
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// PoolCapacity counts addresses. They are strings because an IPv6 pool holds more than any JSON number can say: exact
// up to 2^63, and the power of two, for example 2^64, beyond.
type PoolCapacity struct {
	// total is the number of addresses that the pool can hand out, assigned ones included.
	//
	// +optional
	Total string `json:"total,omitempty"`
	// assigned is the number of those that Services have.
	//
	// +optional
	Assigned string `json:"assigned,omitempty"`
	// free is the number of those that a Service could get now.
	//
	// +optional
	Free string `json:"free,omitempty"`
}

// AddressPoolList is a list of AddressPools.
//
// +kubebuilder:object:root=true
type AddressPoolList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []AddressPool `json:"items"`
}
