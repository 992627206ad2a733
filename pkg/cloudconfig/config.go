// SPDX-License-Identifier: Apache-2.0

package cloudconfig

// APIVersion and Kind are what a file must say it is.
const (
	APIVersion = "config.fairlead.dev/v1alpha1"
	Kind       = "CloudConfig"
)

// Config is the content of the file. Make one with Load or Default.
type Config struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`

	// Namespace holds Fairlead's own objects, such as the gossip key. Default fairlead-system.
	Namespace string `json:"namespace,omitempty"`

	// Nodes says how nodes are looked at.
	Nodes Nodes `json:"nodes,omitempty"`

	// Zones gives nodes a zone and a region when they join: the first rule that matches decides. A node that no rule
	// matches gets neither.
	Zones []ZoneRule `json:"zones,omitempty"`

	// Settings says how annotations of Services are read.
	Settings Settings `json:"settings,omitempty"`
}

// Settings says how annotations of Services are read.
type Settings struct {
	// DisabledDialects are dialects of annotations that are not read: alibaba-cloud, metallb, kube-vip.
	DisabledDialects []string `json:"disabledDialects,omitempty"`

	// AddressTypes maps values of the annotation fairlead.dev/address-type, in lower case, to names of AddressPools.
	AddressTypes map[string][]string `json:"addressTypes,omitempty"`

	// DefaultAddressType, a key of addressTypes, holds for Services that name neither a type nor a pool. Default: such a
	// Service gets an address from any pool that it may use.
	DefaultAddressType string `json:"defaultAddressType,omitempty"`

	// AccessLists maps names to CIDRs, for annotations that limit clients.
	AccessLists map[string][]string `json:"accessLists,omitempty"`
}

// Nodes says how nodes are looked at.
type Nodes struct {
	// ExcludeLabel is Honor (default) or Ignore: whether the label node.kubernetes.io/exclude-from-external-load-balancers,
	// which kubeadm puts on control-plane nodes, keeps a node from announcing. A cluster of one node needs Ignore, or the
	// label taken off.
	ExcludeLabel ExcludeLabelPolicy `json:"excludeLabel,omitempty"`

	// LeaveOnCordon makes a cordoned node hand over its addresses. Default false: cordoning says that no new pods shall
	// come, and a node that is cordoned for a while may well go on announcing.
	LeaveOnCordon bool `json:"leaveOnCordon,omitempty"`

	// DeadNodeEndpoints is MarkNotReady (default) or Leave: whether pods behind LoadBalancer Services are marked not ready
	// as soon as a majority of announcers has lost their node, rather than when Kubernetes notices.
	DeadNodeEndpoints DeadNodePolicy `json:"deadNodeEndpoints,omitempty"`
}

// ExcludeLabelPolicy says what the exclude label means.
type ExcludeLabelPolicy string

// The policies.
const (
	ExcludeLabelHonor  ExcludeLabelPolicy = "Honor"
	ExcludeLabelIgnore ExcludeLabelPolicy = "Ignore"
)

// DeadNodePolicy says what becomes of the endpoints on a node that the announcers agree is dead.
type DeadNodePolicy string

// The policies.
const (
	DeadNodeMarkNotReady DeadNodePolicy = "MarkNotReady"
	DeadNodeLeave        DeadNodePolicy = "Leave"
)

// ZoneRule matches nodes by exactly one of names, addresses and labels.
type ZoneRule struct {
	// Zone is the value of topology.kubernetes.io/zone. Required, a label value.
	Zone string `json:"zone"`
	// Region is the value of topology.kubernetes.io/region. A label value.
	Region string `json:"region,omitempty"`

	// Names are names of nodes, or globs such as rack1-* (as path.Match reads them).
	Names []string `json:"names,omitempty"`
	// CIDRs contain an internal address of the node.
	CIDRs []string `json:"cidrs,omitempty"`
	// Labels are all on the node.
	Labels map[string]string `json:"labels,omitempty"`
}

// Default returns the configuration of an empty file.
func Default() *Config {
	config := &Config{APIVersion: APIVersion, Kind: Kind}
	config.setDefaults()
	return config
}

func (c *Config) setDefaults() {
	if c.Namespace == "" {
		c.Namespace = "fairlead-system"
	}
	if c.Nodes.ExcludeLabel == "" {
		c.Nodes.ExcludeLabel = ExcludeLabelHonor
	}
	if c.Nodes.DeadNodeEndpoints == "" {
		c.Nodes.DeadNodeEndpoints = DeadNodeMarkNotReady
	}
}
