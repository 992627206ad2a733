// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/bgp/community"
)

// Announce chooses among the ways in which a pool is announced.
type Announce string

// The ways.
const (
	AnnounceAll  Announce = "" // as the pool says
	AnnounceL2   Announce = "l2"
	AnnounceBGP  Announce = "bgp"
	AnnounceBoth Announce = "both"
)

// AddressSettings is what a Service asks of its address as a whole. Services that share an address agree on each setting
// that both make.
type AddressSettings struct {
	// Nodes selects those that may announce; empty selects all.
	Nodes string
	// Zones are preferred for announcing, in this order.
	Zones []string
	// LeaveOnCordon has cordoned nodes stop announcing; nil for what holds for all Services.
	LeaveOnCordon *bool
	Announce      Announce
	// Interfaces replaces the pool's, for layer 2.
	Interfaces []string
	// The others replace the pool's, for BGP, where they are set.
	Peers, Communities   []string
	LocalPreference, MED *uint32
	Prepend              int32
	LinkBandwidth        int32 // per endpoint, in Mbit/s
	// Hostname stands beside the address in the status.
	Hostname string
}

const (
	// maxZones bounds the zones: each makes a BGP announcement of its own, and an address has room for eight.
	maxZones = 3
	// The others are what the API takes.
	maxInterfaces, maxInterface = 32, 64
	maxPeers, maxCommunities    = 64, 32
)

// Encode returns the settings that are made, by the names of their annotations, as a VirtualIP records them.
func (a *AddressSettings) Encode() map[string]string {
	texts := map[string]string{
		"nodes": a.Nodes, "zones": strings.Join(a.Zones, ","), "announce": string(a.Announce),
		"interfaces": strings.Join(a.Interfaces, ","), "bgp-peers": strings.Join(a.Peers, ","),
		"bgp-communities": strings.Join(a.Communities, ","), "bgp-local-preference": decimal(a.LocalPreference),
		"bgp-med": decimal(a.MED), "hostname": a.Hostname,
	}
	for name, n := range map[string]int32{"bgp-as-path-prepend": a.Prepend, "bgp-link-bandwidth": a.LinkBandwidth} {
		if n > 0 {
			texts[name] = strconv.Itoa(int(n))
		}
	}
	if a.LeaveOnCordon != nil {
		texts["leave-on-cordon"] = onOff(*a.LeaveOnCordon)
	}
	maps.DeleteFunc(texts, func(_, text string) bool { return text == "" })
	if len(texts) == 0 {
		return nil
	}
	return texts
}

// Merge reads what the Services on an address ask of it, the oldest first: of two that differ, the older counts. What
// cannot be read, because a user wrote it, is left out.
func Merge(encoded ...map[string]string) AddressSettings {
	d := newDraft(&Config{}, &corev1.Service{})
	merged := map[string]string{}
	for _, one := range encoded {
		for name, value := range one {
			if _, known := merged[name]; !known {
				merged[name] = value
			}
		}
	}
	if len(merged) == 0 {
		return AddressSettings{}
	}
	for _, row := range announceRows() {
		if value, ok := merged[row.Name]; ok {
			before := d.Address
			if _, err := row.parse(d, value); err != nil {
				d.Address = before
			}
		}
	}
	return d.Address
}

func decimal(n *uint32) string {
	if n == nil {
		return ""
	}
	return strconv.FormatUint(uint64(*n), 10)
}

// parseNodes reads a label selector.
func parseNodes(d *draft, value string) (string, error) {
	if _, err := metav1.ParseToLabelSelector(value); err != nil {
		return "", fmt.Errorf("expected a label selector such as edge=true,zone in (a,b): %w", err)
	}
	selector, err := labels.Parse(value)
	if err != nil {
		return "", fmt.Errorf("expected a label selector such as edge=true,zone in (a,b): %w", err)
	}
	if err := contradiction(selector); err != nil {
		return "", err
	}
	d.Address.Nodes = selector.String()
	return d.Address.Nodes, nil
}

// contradiction returns an error where a selector wants two values of one label: the API's selectors hold one of them.
func contradiction(selector labels.Selector) error {
	requirements, _ := selector.Requirements()
	want := map[string]string{}
	for _, one := range requirements {
		if operator := one.Operator(); operator != selection.Equals && operator != selection.DoubleEquals {
			continue
		}
		value, _ := one.Values().PopAny()
		if other, ok := want[one.Key()]; ok && other != value {
			return fmt.Errorf("no node has %[1]s=%[2]s and %[1]s=%[3]s: expected one value of each label, or %[1]s in (%[2]s,%[3]s)", one.Key(), other, value)
		}
		want[one.Key()] = value
	}
	return nil
}

// parseEqualities reads k=v,k2=v2, all of which a node must have.
func parseEqualities(d *draft, value string) (string, error) {
	items, err := list(value)
	if err != nil {
		return "", err
	}
	set := labels.Set{}
	for _, item := range items {
		key, content, ok := strings.Cut(item, "=")
		key, content = strings.TrimSpace(key), strings.TrimSpace(content)
		if _, twice := set[key]; !ok || twice || len(validation.IsQualifiedName(key)) > 0 || len(validation.IsValidLabelValue(content)) > 0 {
			return "", fmt.Errorf("%q: expected labels such as role=edge,rack=3, each key once", item)
		}
		set[key] = content
	}
	return parseNodes(d, set.String())
}

// NodeSelector returns Nodes in the form that the API takes; nil where all nodes may announce.
func (a *AddressSettings) NodeSelector() *metav1.LabelSelector {
	if a.Nodes == "" {
		return nil
	}
	selector, err := metav1.ParseToLabelSelector(a.Nodes)
	if err != nil {
		return nil // parseNodes let it through
	}
	return selector
}

func parseZones(d *draft, value string) (string, error) {
	names, err := distinct(value, "zone", maxZones, func(name string) error {
		if messages := validation.IsValidLabelValue(name); len(messages) > 0 {
			return fmt.Errorf("%q is no zone: %s", name, messages[0])
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	d.Address.Zones = names
	return strings.Join(names, ","), nil
}

// zone reads one zone into what to points to.
func zone(to func(d *draft) *string) parser {
	return func(d *draft, value string) (string, error) {
		if messages := validation.IsValidLabelValue(value); len(messages) > 0 {
			return "", fmt.Errorf("expected a zone, the value of the label %s: %s", corev1.LabelTopologyZone, messages[0])
		}
		*to(d) = value
		return value, nil
	}
}

// finishZones makes one order of the zones, and a node selector of those outside of which nothing is announced.
func (d *draft) finishZones() {
	var elsewhere []string
	for _, name := range []string{d.firstZone, d.secondZone} {
		if name != "" && !slices.Contains(elsewhere, name) {
			elsewhere = append(elsewhere, name)
		}
	}
	if zones := d.Address.Zones; !d.set("zones") {
		d.Address.Zones = elsewhere
	} else if len(elsewhere) > len(zones) || !slices.Equal(elsewhere, zones[:len(elsewhere)]) {
		d.yields("master-zoneid", "zones")
		d.yields("slave-zoneid", "zones")
	}
	if len(d.onlyZones) == 0 {
		return
	}
	if !d.set("nodes") {
		d.made["nodes"] = d.made["zone-maps"] // who reads that no node is selected looks for it there
	}
	within := corev1.LabelTopologyZone + " in (" + strings.Join(d.onlyZones, ",") + ")"
	if d.Address.Nodes != "" {
		within = d.Address.Nodes + "," + within
	}
	if _, err := parseNodes(d, within); err != nil {
		d.errs = append(d.errs, fmt.Errorf("annotation %s: %w", d.KeyOf("nodes"), err))
	}
}

func parseAnnounce(d *draft, value string) (string, error) {
	way, err := oneOf(string(AnnounceL2), string(AnnounceBGP), string(AnnounceBoth))(d, value)
	d.Address.Announce = Announce(way)
	return way, err
}

func parseInterfaces(d *draft, value string) (string, error) {
	names, err := distinct(value, "interface", maxInterfaces, func(name string) error {
		if _, err := path.Match(name, ""); err != nil || len(name) > maxInterface {
			return fmt.Errorf("%q: expected names of interfaces or globs such as eth*", name)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	d.Address.Interfaces = names
	return strings.Join(names, ","), nil
}

func parsePeers(d *draft, value string) (string, error) {
	names, err := distinct(value, "peer", maxPeers, func(name string) error { return parseName(name, "a BGPPeer") })
	if err != nil {
		return "", err
	}
	d.Address.Peers = names
	return strings.Join(names, ","), nil
}

func parseCommunities(d *draft, value string) (string, error) {
	items, err := distinct(value, "community", maxCommunities, func(item string) error {
		parsed, err := community.Parse(item)
		if err != nil || strings.Contains(item, ":") && parsed.String() != item { // the API takes no more than some leading zeros
			return fmt.Errorf("%q: expected a community such as 64512:100, 64512:1:2 or no-export", item)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	d.Address.Communities = items
	return strings.Join(items, ","), nil
}

// attribute reads a 32-bit attribute of BGP.
func attribute(to func(d *draft) **uint32) parser {
	return number(0, 1<<32-1, func(d *draft, n int64) { *to(d) = new(uint32(n)) })
}

// parseHostname checks what the API server would refuse in a status.
func parseHostname(d *draft, value string) (string, error) {
	if len(validation.IsDNS1123Subdomain(value)) > 0 {
		return "", errors.New("expected a DNS name in lower case, such as www.example.com")
	}
	d.Address.Hostname = value
	return value, nil
}

// hasPort tells whether a Service has a port of a protocol.
func hasPort(service *corev1.Service, protocol corev1.Protocol) bool {
	return slices.ContainsFunc(service.Spec.Ports, func(port corev1.ServicePort) bool { return port.Protocol == protocol })
}

// probes maps the values of health-check-type.
func probes() map[string]v1alpha1.HealthCheckType {
	return map[string]v1alpha1.HealthCheckType{
		"tcp": v1alpha1.HealthCheckTCP, "http": v1alpha1.HealthCheckHTTP, "https": v1alpha1.HealthCheckHTTPS,
		"udp": v1alpha1.HealthCheckUDP, "grpc": v1alpha1.HealthCheckGRPC,
	}
}
