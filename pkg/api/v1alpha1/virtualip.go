// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// VirtualIP is one address in use or reserved. Its name is the address itself (IPv6 with : written -), so that the API
// server's unique names make a second claim of the same address impossible.
//
// +genclient
// +genclient:nonNamespaced
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,path=virtualips,shortName=vip;vips,categories=fairlead
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Address",type=string,JSONPath=`.spec.address`
// +kubebuilder:printcolumn:name="Pool",type=string,JSONPath=`.spec.pool`
// +kubebuilder:printcolumn:name="Namespace",type=string,JSONPath=`.spec.services[*].namespace`
// +kubebuilder:printcolumn:name="Service",type=string,JSONPath=`.spec.services[*].name`
// +kubebuilder:printcolumn:name="Node",type=string,JSONPath=`.status.node`
// +kubebuilder:printcolumn:name="Announced",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Announced")].status`
// +kubebuilder:printcolumn:name="Candidates",type=string,priority=1,JSONPath=`.spec.candidates`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule=`self.metadata.name == (self.spec.address.startsWith(":") ? "0" : "") + self.spec.address.replace(":", "-") + (self.spec.address.endsWith(":") ? "0" : "")`,message="the name must be the address, with : written as -, and a 0 where it would begin or end with -"
type VirtualIP struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec VirtualIPSpec `json:"spec"`
	// +optional
	Status VirtualIPStatus `json:"status,omitempty"`
}

// ReclaimPolicy says what becomes of a VirtualIP that no Service uses.
//
// +kubebuilder:validation:Enum=Delete;Retain
type ReclaimPolicy string

// The reclaim policies.
const (
	// ReclaimDelete removes the VirtualIP with its last Service.
	ReclaimDelete ReclaimPolicy = "Delete"
	// ReclaimRetain keeps it: a reservation.
	ReclaimRetain ReclaimPolicy = "Retain"
)

// VirtualIPSpec is written by the cloud controller manager; a reservation is first written by a user.
type VirtualIPSpec struct {
	// address in canonical form (RFC 5952 for IPv6).
	//
	// +required
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=45
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="address is immutable: the address is the object's name"
	// +kubebuilder:validation:XValidation:rule="isIP(self) && ip.isCanonical(self)",message="must be an IP address in canonical form"
	Address string `json:"address"`

	// pool is the name of the AddressPool the address came from; empty for a reservation outside every pool.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Pool string `json:"pool,omitempty"`

	// id names a reservation for the annotation fairlead.dev/id.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^([a-z0-9]([-a-z0-9._]*[a-z0-9])?)?$`
	ID string `json:"id,omitempty"`

	// reclaimPolicy Retain keeps the VirtualIP when its last Service leaves. Default Delete: it goes with its last Service,
	// and one that no Service has used yet waits for the first.
	//
	// +optional
	// +kubebuilder:default=Delete
	ReclaimPolicy ReclaimPolicy `json:"reclaimPolicy,omitempty"`

	// sharing is for the owner of a reservation to set: with a key, only Services with this key use the address; without, all
	// that name it, as long as they have the same key or none. No Service's key is written here.
	//
	// +optional
	Sharing *Sharing `json:"sharing,omitempty"`

	// services that use the address, in the order in which they claimed it.
	//
	// +optional
	// +listType=map
	// +listMapKey=namespace
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=256
	Services []ServiceClaim `json:"services,omitempty"`

	// reservedFor keeps the address of a deleted Service for one of the same namespace and name, as the pool's
	// releaseDelay or the Service's preserveOnDelete says. Set only while services is empty.
	//
	// +optional
	ReservedFor *ReservedFor `json:"reservedFor,omitempty"`

	// promised says for which Services that left while others stayed the address is to be kept as well. When the last one
	// leaves, the longest of the promises, its own among them, becomes reservedFor.
	//
	// +optional
	// +listType=map
	// +listMapKey=namespace
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=256
	Promised []ReservedFor `json:"promised,omitempty"`

	// announce is how the address is announced, resolved from the pool and the Services' annotations.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	Announce []Announcement `json:"announce,omitempty"`

	// nodeRules say which nodes may announce, where the cloud configuration departs from its defaults.
	//
	// +optional
	NodeRules *NodeRules `json:"nodeRules,omitempty"`

	// candidates are the nodes that may own the address on layer 2, in order.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Candidates []string `json:"candidates,omitempty"`

	// epoch grows with every change of candidates. 0: no Service has used the address yet.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	Epoch int64 `json:"epoch,omitempty"`
}

// NodeRules say which nodes may announce an address.
type NodeRules struct {
	// ignoreExcludeLabel lets nodes with the label node.kubernetes.io/exclude-from-external-load-balancers announce.
	//
	// +optional
	IgnoreExcludeLabel bool `json:"ignoreExcludeLabel,omitempty"`
	// leaveOnCordon makes a cordoned node hand the address over.
	//
	// +optional
	LeaveOnCordon bool `json:"leaveOnCordon,omitempty"`
}

// ReservedFor names who gets a released address back, and until when.
type ReservedFor struct {
	// namespace of the Service.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace"`
	// name of the Service.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// until when; without it, until the VirtualIP is deleted by hand.
	//
	// +optional
	Until *metav1.Time `json:"until,omitempty"`
	// sharingKey under which the Service used the address. Others that may share it under this key need not wait.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	SharingKey string `json:"sharingKey,omitempty"`
}

// Sharing lets several Services use one address on different ports.
type Sharing struct {
	// key must be the same for all Services on the address.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key"`
}

// ServiceClaim is one Service's use of an address: what an announcer needs to know of it.
type ServiceClaim struct {
	// namespace of the Service.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace"`
	// name of the Service.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// uid of the Service.
	//
	// +optional
	UID types.UID `json:"uid,omitempty"`
	// ports that the Service claims on the address; no other Service there may have them.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1024
	Ports []ServicePort `json:"ports,omitempty"`
	// externalTrafficPolicy of the Service: with Local, only nodes with a ready endpoint announce.
	//
	// +optional
	// +kubebuilder:validation:Enum=Cluster;Local
	ExternalTrafficPolicy corev1.ServiceExternalTrafficPolicy `json:"externalTrafficPolicy,omitempty"`
	// healthCheckNodePort answers, on each node, whether it has ready endpoints (externalTrafficPolicy Local).
	//
	// +optional
	HealthCheckNodePort int32 `json:"healthCheckNodePort,omitempty"`
	// sourceRanges are the Service's loadBalancerSourceRanges, which kube-proxy enforces, on a node's own probes too.
	//
	// +optional
	// +listType=atomic
	SourceRanges []string `json:"sourceRanges,omitempty"`

	// sharingKey of the Service; the others on the address have the same.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	SharingKey string `json:"sharingKey,omitempty"`

	// healthCheck is how each node finds out whether traffic for the Service gets through by way of itself. Default: none;
	// a node announces without a probe.
	//
	// +optional
	HealthCheck *HealthCheck `json:"healthCheck,omitempty"`

	// accessControl says which clients reach the Service at this address. Default: all.
	//
	// +optional
	AccessControl *AccessControl `json:"accessControl,omitempty"`

	// settings are what the Service asks of the address as a whole, by the names of its annotations without prefix
	// (announce, nodes, zones ...). Services that share the address agree on each; announce and candidates of the
	// VirtualIP follow from them.
	//
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	Settings map[string]string `json:"settings,omitempty"`

	// displayName is for people; nothing finds an address by it.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	DisplayName string `json:"displayName,omitempty"`

	// tags are for people and their inventories.
	//
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Tags map[string]string `json:"tags,omitempty"`

	// deleteProtection refuses the deletion of the VirtualIP by anybody but the cloud controller manager.
	//
	// +optional
	DeleteProtection bool `json:"deleteProtection,omitempty"`

	// preserveOnDelete keeps the address for a Service of this namespace and name when the Service is deleted, until the
	// VirtualIP is deleted by hand.
	//
	// +optional
	PreserveOnDelete bool `json:"preserveOnDelete,omitempty"`

	// drainTimeoutSeconds is how long a draining node goes on serving the address to clients whose routers have no other
	// way yet, before it withdraws its route.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=3600
	DrainTimeoutSeconds *int32 `json:"drainTimeoutSeconds,omitempty"`
}

// HealthCheckType is what a probe speaks.
//
// +kubebuilder:validation:Enum=TCP;HTTP;HTTPS;UDP;GRPC
type HealthCheckType string

// The types of health check.
const (
	// HealthCheckTCP passes where a connection opens.
	HealthCheckTCP HealthCheckType = "TCP"
	// HealthCheckHTTP passes where a request is answered with one of the codes.
	HealthCheckHTTP HealthCheckType = "HTTP"
	// HealthCheckHTTPS is the same over TLS; the certificate is not verified.
	HealthCheckHTTPS HealthCheckType = "HTTPS"
	// HealthCheckUDP passes where a datagram is answered, or not refused by ICMP within the timeout.
	HealthCheckUDP HealthCheckType = "UDP"
	// HealthCheckGRPC passes where grpc.health.v1.Health/Check says SERVING.
	HealthCheckGRPC HealthCheckType = "GRPC"
)

// HealthCheck is a probe that each node sends on the path that the Service's traffic takes.
type HealthCheck struct {
	// +required
	Type HealthCheckType `json:"type"`
	// port of the address to probe. Default: the first port of the Service that the type can probe.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port,omitempty"`
	// path of the request (HTTP, HTTPS), or the service name (GRPC). Default / and the empty name.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=255
	Path string `json:"path,omitempty"`
	// host is the Host header (HTTP, HTTPS), the server name (HTTPS) and the authority (GRPC). Default: the address.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Host string `json:"host,omitempty"`
	// method of the request (HTTP, HTTPS). Default GET.
	//
	// +optional
	// +kubebuilder:validation:Enum=GET;HEAD
	Method string `json:"method,omitempty"`
	// codes that pass, as one code (204) or a range (200-299). Default 200-399.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:Pattern=`^[1-5][0-9]{2}(-[1-5][0-9]{2})?$`
	Codes []string `json:"codes,omitempty"`
	// intervalSeconds between probes, from 1 to 300. Default 2.
	//
	// +optional
	// +kubebuilder:default=2
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=300
	IntervalSeconds int32 `json:"intervalSeconds,omitempty"`
	// timeoutSeconds of one probe, from 1 to 300. Default 5.
	//
	// +optional
	// +kubebuilder:default=5
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=300
	TimeoutSeconds int32 `json:"timeoutSeconds,omitempty"`
	// healthyThreshold is how many probes in a row must pass before a failed node counts as healthy again. Default 3.
	//
	// +optional
	// +kubebuilder:default=3
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10
	HealthyThreshold int32 `json:"healthyThreshold,omitempty"`
	// unhealthyThreshold is how many probes in a row must fail before a node counts as failed. Default 3.
	//
	// +optional
	// +kubebuilder:default=3
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10
	UnhealthyThreshold int32 `json:"unhealthyThreshold,omitempty"`
}

// AccessControl limits the clients of a Service at its address. A client in deny is refused; where allow is not empty,
// one outside of it is refused too. Clients are refused by dropping their packets.
type AccessControl struct {
	// allow lists source CIDRs of either family.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=1024
	// +kubebuilder:validation:items:MaxLength=43
	Allow []string `json:"allow,omitempty"`
	// deny lists source CIDRs of either family.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=1024
	// +kubebuilder:validation:items:MaxLength=43
	Deny []string `json:"deny,omitempty"`
}

// ServicePort is a port that a Service claims on its address.
type ServicePort struct {
	// protocol of the port.
	//
	// +required
	// +kubebuilder:validation:Enum=TCP;UDP;SCTP
	Protocol corev1.Protocol `json:"protocol"`
	// port at the address.
	//
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port"`
	// nodePort that leads to the same pods; 0 where the Service has none.
	//
	// +optional
	NodePort int32 `json:"nodePort,omitempty"`
}

// VirtualIPStatus is written by the announcer that owns the address. Where an address is announced by BGP alone there is no
// owner: then the first by name of the nodes that announce it writes the conditions.
type VirtualIPStatus struct {
	// node that announces the address on layer 2, as it said itself. It is cleared by the node that lets go of the address
	// and replaced by the one that takes it; a node that died stays here for as long as no other takes its place.
	//
	// +optional
	Node string `json:"node,omitempty"`
	// term of the ownership: grows with each change of owner, also while the API server is away.
	//
	// +optional
	Term int64 `json:"term,omitempty"`
	// epoch of the candidates that the owner acted on.
	//
	// +optional
	Epoch int64 `json:"epoch,omitempty"`
	// since when the node announces the address.
	//
	// +optional
	Since *metav1.Time `json:"since,omitempty"`
	// conditions: Announced (on layer 2; it stays with node), Conflict and Healthy.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// VirtualIPList is a list of VirtualIPs.
//
// +kubebuilder:object:root=true
type VirtualIPList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []VirtualIP `json:"items"`
}
