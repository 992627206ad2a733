// SPDX-License-Identifier: Apache-2.0

package settings

import "strings"

// Prefix begins the keys of Fairlead's own annotations.
const Prefix = "fairlead.dev/"

// The keys of the annotations that other packages and tests name.
const (
	AddressPoolKey        = Prefix + "address-pool"
	AddressesKey          = Prefix + "addresses"
	AddressRangeKey       = Prefix + "address-range"
	AddressesPerFamilyKey = Prefix + "addresses-per-family"
	SharingKeyKey         = Prefix + "sharing-key"
	IDKey                 = Prefix + "id"
	HostnameKey           = Prefix + "hostname"
	NodesKey              = Prefix + "nodes"
	ZonesKey              = Prefix + "zones"
	AnnounceKey           = Prefix + "announce"
	HealthCheckKey        = Prefix + "health-check"
	HealthCheckTypeKey    = Prefix + "health-check-type"
	AccessControlAllowKey = Prefix + "access-control-allow"
	AccessControlDenyKey  = Prefix + "access-control-deny"
)

// Dialect is a family of annotations.
type Dialect string

// The dialects. Fairlead's own is always on.
const (
	Fairlead     Dialect = "fairlead"
	AlibabaCloud Dialect = "alibaba-cloud"
	MetalLB      Dialect = "metallb"
	KubeVIP      Dialect = "kube-vip"
)

// Dialects returns those that can be switched off.
func Dialects() []Dialect { return []Dialect{AlibabaCloud, MetalLB, KubeVIP} }

// prefixes returns what begins the keys of a dialect, in order of precedence.
func (d Dialect) prefixes() []string {
	switch d {
	case AlibabaCloud:
		return []string{"service.beta.kubernetes.io/alibaba-cloud-", "service.beta.kubernetes.io/alicloud-"}
	case MetalLB:
		return []string{"metallb.io/", "metallb.universe.tf/"}
	case KubeVIP:
		return []string{"kube-vip.io/"}
	default:
		return []string{Prefix}
	}
}

// Level says what an annotation is about.
type Level string

// The levels.
const (
	OfController Level = "controller"     // which controller serves the Service
	OfAddress    Level = "address"        // the address and who announces it
	OfPorts      Level = "ports"          // the Service's ports, and who may reach them
	OfHealth     Level = "health check"   // the probe by which a node finds out whether it may announce
	OfEndpoints  Level = "nodes and pods" // where the traffic goes
)

// Verdict says what becomes of an annotation.
type Verdict string

// The verdicts.
const (
	Works   Verdict = "works"   // as described
	Ignored Verdict = "ignored" // accepted without effect, with one Warning event
	Refused Verdict = "refused" // the Service keeps its last good state
)

// Alias is another spelling of a row's annotation: what follows the dialect's prefix, or a whole key.
type Alias struct {
	Dialect Dialect
	Suffix  string
	Key     string // set instead of Suffix
}

// Keys returns the keys that the alias stands for, in order of precedence.
func (a Alias) Keys() []string {
	if a.Key != "" {
		return []string{a.Key}
	}
	var keys []string
	for _, prefix := range a.Dialect.prefixes() {
		keys = append(keys, prefix+a.Suffix)
	}
	return keys
}

// parser reads a trimmed, non-empty value into a draft. It returns the value in its one canonical spelling, by which two
// annotations that set the same are compared. The error says what was expected.
type parser func(d *draft, value string) (canonical string, err error)

// Annotation is a row of the table.
type Annotation struct {
	// Name is the own key without Prefix; empty for a row that only dialects have.
	Name    string
	Aliases []Alias
	Level   Level
	Verdict Verdict
	// Expected says which values are taken, Default what holds without the annotation, Does what comes of it.
	Expected, Default, Does string

	// sets names what is set where that is not Name: of two rows that set the same, one wins.
	sets string
	// parse of a row that is ignored or refused only checks the value.
	parse parser
	// harmless are values that ask for nothing, of rows that are ignored or refused.
	harmless []string
	// asIs has the parser called for an empty value too.
	asIs bool
}

// Harmless returns values, in lower case, that ask for nothing and make no warning, of a row that is ignored or refused.
func (a Annotation) Harmless() []string { return a.harmless }

// setting returns the name of what the row sets.
func (a Annotation) setting() string {
	switch {
	case a.sets != "":
		return a.sets
	case a.Name != "":
		return a.Name
	}
	return a.Aliases[0].Keys()[0]
}

// alibaba returns aliases for suffixes behind "loadbalancer-".
func alibaba(suffixes ...string) []Alias {
	var all []Alias
	for _, suffix := range suffixes {
		all = append(all, Alias{Dialect: AlibabaCloud, Suffix: "loadbalancer-" + suffix})
	}
	return all
}

// of returns aliases of a dialect.
func of(dialect Dialect, suffixes ...string) []Alias {
	var all []Alias
	for _, suffix := range suffixes {
		all = append(all, Alias{Dialect: dialect, Suffix: suffix})
	}
	return all
}

// whole returns an alias by its whole key.
func whole(dialect Dialect, key string) []Alias { return []Alias{{Dialect: dialect, Key: key}} }

// fold makes spellings of a suffix alike that differ by case, hyphens and underscores only.
func fold(suffix string) string {
	return strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(suffix))
}

// Table returns all rows.
func Table() []Annotation {
	var all []Annotation
	for _, part := range [][]Annotation{
		addressRows(), announceRows(), portRows(), accessRows(), healthRows(),
		alibabaAddressRows(), alibabaInstanceRows(), alibabaPortRows(), alibabaHTTPRows(), alibabaHealthRows(), alibabaBackendRows(),
		otherRows(),
	} {
		all = append(all, part...)
	}
	return all
}
