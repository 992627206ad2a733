// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// BGPPeer is a router (or a local speaker) that announcers open BGP sessions to. It has no status: each node tells of its
// own session in the status of its Announcer.
//
// +genclient
// +genclient:nonNamespaced
// +genclient:noStatus
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,categories=fairlead
// +kubebuilder:printcolumn:name="Peer",type=string,JSONPath=`.spec.peerAddress`
// +kubebuilder:printcolumn:name="Interface",type=string,JSONPath=`.spec.peerInterface`
// +kubebuilder:printcolumn:name="Discovery",type=string,priority=1,JSONPath=`.spec.peerDiscovery`
// +kubebuilder:printcolumn:name="ASN",type=integer,JSONPath=`.spec.peerASN`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type BGPPeer struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec BGPPeerSpec `json:"spec"`
}

// BGPPeerSpec describes the sessions to one peer.
//
// +kubebuilder:validation:XValidation:rule="(has(self.peerAddress) ? 1 : 0) + (has(self.peerInterface) ? 1 : 0) + (has(self.peerDiscovery) ? 1 : 0) == 1",message="exactly one of peerAddress, peerInterface and peerDiscovery must be set"
// +kubebuilder:validation:XValidation:rule="has(self.localASN) || has(self.localASNFrom)",message="localASN or localASNFrom must be set"
// +kubebuilder:validation:XValidation:rule="!has(self.passwordKey) || has(self.passwordSecret)",message="passwordKey needs passwordSecret"
// +kubebuilder:validation:XValidation:rule="!has(self.keepalive) || duration(self.keepalive) < (has(self.holdTime) ? duration(self.holdTime) : duration('90s'))",message="keepalive must be shorter than holdTime, which is 90s where it is not set"
// +kubebuilder:validation:XValidation:rule="!has(self.bfd) || !has(self.ebgpMultiHop) || self.ebgpMultiHop == 1",message="bfd is for peers on the same segment: ebgpMultiHop must not be above 1 beside it"
// +kubebuilder:validation:XValidation:rule="!has(self.sourceAddress) || !isIP(self.sourceAddress) || has(self.peerAddress) && !isIP(self.peerAddress) || ip(self.sourceAddress).family() == (has(self.peerAddress) ? ip(self.peerAddress).family() : has(self.peerDiscovery) && self.peerDiscovery == 'DefaultGatewayIPv4' ? 4 : 6)",message="sourceAddress must be of the peer's family (IPv6 for peerInterface)"
type BGPPeerSpec struct {
	// peerAddress is the peer's address, the same for all nodes.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=45
	// +kubebuilder:validation:XValidation:rule="isIP(self)",message="must be an IP address"
	// +kubebuilder:validation:XValidation:rule="!isIP(self) || ip(self).family() == 4 || !ip(self).isLinkLocalUnicast()",message="must not be link-local: peerInterface is for that"
	PeerAddress string `json:"peerAddress,omitempty"`

	// peerInterface makes an unnumbered session over IPv6 link-local addresses (RFC 5549) on this interface.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=15
	PeerInterface string `json:"peerInterface,omitempty"`

	// peerDiscovery finds the peer's address on each node: DefaultGatewayIPv4 and DefaultGatewayIPv6 take the next hop of
	// the node's default route of that family, and follow it when the route changes.
	//
	// +optional
	PeerDiscovery PeerDiscovery `json:"peerDiscovery,omitempty"`

	// peerASN is the peer's ASN.
	//
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4294967295
	PeerASN int64 `json:"peerASN"`

	// localASN of the nodes towards this peer. Required unless localASNFrom is set.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4294967295
	LocalASN int64 `json:"localASN,omitempty"`

	// localASNFrom gives nodes an ASN of their own: that of the named annotation or label of the Node, and localASN where
	// the Node has none.
	//
	// +optional
	LocalASNFrom *LocalASNSource `json:"localASNFrom,omitempty"`

	// sourceAddress is the node's own address of the session. Default: what its routing table says.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=45
	// +kubebuilder:validation:XValidation:rule="isIP(self)",message="must be an IP address"
	SourceAddress string `json:"sourceAddress,omitempty"`

	// port of the peer. Default 179.
	//
	// +optional
	// +kubebuilder:default=179
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port,omitempty"`

	// holdTime of the session, from 3s to 65535s (RFC 4271 section 4.2; sessions without a hold time are not offered).
	// Default 90s.
	//
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('3s') && duration(self) <= duration('65535s')",message="holdTime must lie between 3s and 65535s"
	HoldTime *metav1.Duration `json:"holdTime,omitempty"`

	// keepalive interval. Default a third of the hold time.
	//
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s')",message="keepalive must be at least 1s"
	Keepalive *metav1.Duration `json:"keepalive,omitempty"`

	// connectRetry is the time between attempts to connect, from 2s to 65535s. Default 10s.
	//
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('2s') && duration(self) <= duration('65535s')",message="connectRetry must lie between 2s and 65535s"
	ConnectRetry *metav1.Duration `json:"connectRetry,omitempty"`

	// ebgpMultiHop allows an eBGP peer that is more than one hop away, at most this many.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=255
	EBGPMultiHop *int32 `json:"ebgpMultiHop,omitempty"`

	// passwordSecret names a Secret in Fairlead's namespace that has the TCP MD5 key (RFC 2385). Announcers may read the
	// Secret fairlead-bgp-passwords; another one needs a Role of its own.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	PasswordSecret string `json:"passwordSecret,omitempty"`

	// passwordKey is the key in the Secret. Default password.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[-._a-zA-Z0-9]+$`
	PasswordKey string `json:"passwordKey,omitempty"`

	// +optional
	BFD *BFD `json:"bfd,omitempty"`

	// +optional
	GracefulRestart *GracefulRestart `json:"gracefulRestart,omitempty"`

	// nodeSelector limits which nodes open this session. Default all.
	//
	// +optional
	NodeSelector *metav1.LabelSelector `json:"nodeSelector,omitempty"`
}

// PeerDiscovery is a way to find the address of a peer.
//
// +kubebuilder:validation:Enum=DefaultGatewayIPv4;DefaultGatewayIPv6
type PeerDiscovery string

// The ways to find a peer.
const (
	// DefaultGatewayIPv4 is the next hop of the IPv4 default route with the lowest metric.
	DefaultGatewayIPv4 PeerDiscovery = "DefaultGatewayIPv4"
	// DefaultGatewayIPv6 is that of the IPv6 default route.
	DefaultGatewayIPv6 PeerDiscovery = "DefaultGatewayIPv6"
)

// LocalASNSource is where a node's own ASN stands: a number from 1 to 4294967295.
//
// +kubebuilder:validation:XValidation:rule="has(self.nodeAnnotation) != has(self.nodeLabel)",message="exactly one of nodeAnnotation and nodeLabel must be set"
type LocalASNSource struct {
	// nodeAnnotation is the key of an annotation of the Node, for example fairlead.dev/bgp-local-asn.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	NodeAnnotation string `json:"nodeAnnotation,omitempty"`
	// nodeLabel is the key of a label of the Node.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	NodeLabel string `json:"nodeLabel,omitempty"`
}

// BFD is bidirectional forwarding detection (RFC 5880) beside the session; routes are announced only while it is up.
type BFD struct {
	// interval between packets, both directions, from 10ms to 60s. Default 300ms.
	//
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('10ms') && duration(self) <= duration('60s')",message="interval must lie between 10ms and 60s"
	Interval *metav1.Duration `json:"interval,omitempty"`
	// multiplier is the number of missed packets that ends the session. Default 3.
	//
	// +optional
	// +kubebuilder:default=3
	// +kubebuilder:validation:Minimum=2
	// +kubebuilder:validation:Maximum=255
	Multiplier int32 `json:"multiplier,omitempty"`
}

// GracefulRestart (RFC 4724) keeps the routes at the peer while the announcer restarts.
type GracefulRestart struct {
	// restartTime is how long the peer keeps them, from 1s to 4095s. Default 120s.
	//
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('4095s')",message="restartTime must lie between 1s and 4095s"
	RestartTime *metav1.Duration `json:"restartTime,omitempty"`
	// longLivedStaleTime makes the peer keep them this much longer as a last resort, marked LLGR_STALE (RFC 9494), from 1s
	// to 16777215s. Default: not at all.
	//
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('16777215s')",message="longLivedStaleTime must lie between 1s and 16777215s"
	LongLivedStaleTime *metav1.Duration `json:"longLivedStaleTime,omitempty"`
}

// BGPPeerList is a list of BGPPeers.
//
// +kubebuilder:object:root=true
type BGPPeerList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []BGPPeer `json:"items"`
}
