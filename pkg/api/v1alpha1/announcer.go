// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Announcer is what a node's agent tells about itself. Its name is the node's; only that node's agent writes it.
//
// +genclient
// +genclient:nonNamespaced
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,categories=fairlead
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Address",type=string,JSONPath=`.status.gossipAddress`
// +kubebuilder:printcolumn:name="Owned",type=integer,JSONPath=`.status.owned`
// +kubebuilder:printcolumn:name="Members",type=integer,JSONPath=`.status.members`
// +kubebuilder:printcolumn:name="Unhealthy",type=integer,priority=1,JSONPath=`.status.healthChecks.failing`
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.status.version`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Announcer struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +optional
	Status AnnouncerStatus `json:"status,omitempty"`
}

// AnnouncerStatus is the node's inventory and what its agent is doing.
type AnnouncerStatus struct {
	// version of the agent.
	//
	// +optional
	Version string `json:"version,omitempty"`
	// machineID is the node's system UUID or machine id, as the agent reads it.
	//
	// +optional
	MachineID string `json:"machineID,omitempty"`
	// gossipAddress is where other agents reach this one, as address:port.
	//
	// +optional
	GossipAddress string `json:"gossipAddress,omitempty"`
	// interfaces of the node that have an address or could announce one. Left out are those of containers, by their names,
	// unless the default route leaves through one.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=256
	Interfaces []NodeInterface `json:"interfaces,omitempty"`
	// owned is the number of addresses the node announces on layer 2 now.
	//
	// +optional
	Owned int32 `json:"owned"`
	// members is the number of agents that this one sees alive, itself included.
	//
	// +optional
	Members int32 `json:"members"`
	// unreachable names the nodes whose agent this one has lost without a farewell, and whose host does not answer it
	// either. When a majority of agents names a node, its endpoints are taken out of service.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=1024
	Unreachable []string `json:"unreachable,omitempty"`
	// bgp lists the node's BGP sessions.
	//
	// +optional
	// +listType=map
	// +listMapKey=peer
	// +kubebuilder:validation:MaxItems=256
	BGP []BGPSession `json:"bgp,omitempty"`
	// healthChecks of Services that this node runs; absent where there are none.
	//
	// +optional
	HealthChecks *HealthChecks `json:"healthChecks,omitempty"`
	// conditions: Ready.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// HealthChecks tells which addresses a node does not serve.
type HealthChecks struct {
	// running is the number of probes.
	//
	// +optional
	Running int32 `json:"running"`
	// failing is the number of addresses that have a check which fails on this node.
	//
	// +optional
	Failing int32 `json:"failing"`
	// failed tells why, for the first 64 of the failing addresses in order.
	//
	// +optional
	// +listType=map
	// +listMapKey=address
	// +kubebuilder:validation:MaxItems=64
	Failed []FailedHealthCheck `json:"failed,omitempty"`
}

// FailedHealthCheck is an address that a node does not serve by the verdict of a health check.
type FailedHealthCheck struct {
	// address that is not served.
	//
	// +required
	Address string `json:"address"`
	// service whose check failed, as namespace/name.
	//
	// +optional
	Service string `json:"service,omitempty"`
	// message tells what was asked and what came back.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Message string `json:"message,omitempty"`
}

// NodeInterface is a network interface of the node.
type NodeInterface struct {
	// name of the interface.
	//
	// +required
	Name string `json:"name"`
	// mac is the hardware address, by which neighbours find the node. It is empty where the interface has no neighbours, as
	// a loopback, a tunnel or a member of a bond, and thus announces nothing on layer 2.
	//
	// +optional
	MAC string `json:"mac,omitempty"`
	// addresses with their prefix lengths, for example 10.0.0.5/24, without link-local ones.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	Addresses []string `json:"addresses,omitempty"`
	// up tells whether the link has a carrier.
	//
	// +optional
	Up bool `json:"up,omitempty"`
	// defaultRoute tells whether a default route leaves through this interface.
	//
	// +optional
	DefaultRoute bool `json:"defaultRoute,omitempty"`
}

// BGPSession is the state of one session.
type BGPSession struct {
	// peer is the name of the BGPPeer.
	//
	// +required
	Peer string `json:"peer"`
	// address of the peer, where it is known.
	//
	// +optional
	Address string `json:"address,omitempty"`
	// localASN is the node's own towards the peer.
	//
	// +optional
	LocalASN int64 `json:"localASN,omitempty"`
	// state as RFC 4271 names it: Idle, Connect, Active, OpenSent, OpenConfirm, Established.
	//
	// +optional
	State string `json:"state,omitempty"`
	// since when the session is in this state.
	//
	// +optional
	Since *metav1.Time `json:"since,omitempty"`
	// bfd is Up, Down, Init or AdminDown (RFC 5880); empty without BFD.
	//
	// +optional
	BFD string `json:"bfd,omitempty"`
	// prefixes announced to the peer.
	//
	// +optional
	Prefixes int32 `json:"prefixes,omitempty"`
	// lastError in words.
	//
	// +optional
	LastError string `json:"lastError,omitempty"`
}

// AnnouncerList is a list of Announcers.
//
// +kubebuilder:object:root=true
type AnnouncerList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []Announcer `json:"items"`
}
