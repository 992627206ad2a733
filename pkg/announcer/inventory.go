// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"net/netip"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
	"github.com/fairlead-io/fairlead/pkg/l2"
)

// containerInterfaces are names that container networks give to interfaces of their own. A node's real interface may
// well be a veth or a bridge, so the kind does not tell. Docker names a bridge by twelve hexadecimal digits.
func containerInterfaces() []string {
	return []string{
		"cni*", "cali*", "flannel*", "docker*", "br-" + strings.Repeat("[0-9a-f]", 12), "virbr*", "kube-*", "nodelocaldns", "cilium*",
		"lxc*", "weave", "tunl*", "vxlan.calico", "antrea-*",
	}
}

// inventory turns links into what the Announcer object tells of them, sorted by name: the link with the default route, and
// of those that no container network made all that have an address or could announce one.
func inventory(links []l2.Link) []v1alpha1.NodeInterface {
	var out []v1alpha1.NodeInterface
	for _, l := range links {
		i := v1alpha1.NodeInterface{Name: l.Name, Addresses: globalAddresses(l), Up: l.Up, DefaultRoute: hasDefaultRoute(l)}
		if l.Resolves() {
			i.MAC = l.MAC.String()
		}
		// A veth without an address is the outer end of a container's.
		announces := i.MAC != "" && l.Kind != "veth"
		if i.DefaultRoute || !ofContainers(l) && (announces || len(i.Addresses) > 0) {
			out = append(out, i)
		}
	}
	slices.SortFunc(out, func(a, b v1alpha1.NodeInterface) int { return strings.Compare(a.Name, b.Name) })
	return out[:min(len(out), 256)]
}

func hasDefaultRoute(l l2.Link) bool { return l.DefaultRoute4 || l.DefaultRoute6 }

// ofContainers tells whether a container network made the link. None leads its node's own traffic out.
func ofContainers(l l2.Link) bool {
	return !hasDefaultRoute(l) && slices.ContainsFunc(containerInterfaces(), func(glob string) bool {
		ok, err := path.Match(glob, l.Name)
		return err == nil && ok
	})
}

func globalAddresses(l l2.Link) []string {
	var out []string
	for _, p := range l.Addresses {
		if a := p.Addr(); !a.IsLinkLocalUnicast() && !a.IsLoopback() {
			out = append(out, p.String())
		}
	}
	slices.Sort(out)
	out = slices.Compact(out)
	return out[:min(len(out), 256)]
}

// ownAddress returns the address that others reach this node by: the first of the wanted ones that an interface has,
// else the address of the interface with the default route, IPv4 first; the reason says which. The zero address means
// that the node has none yet.
func ownAddress(links []l2.Link, wanted []netip.Addr) (netip.Addr, string) {
	for _, w := range wanted {
		if slices.ContainsFunc(links, func(l l2.Link) bool {
			return slices.ContainsFunc(l.Addresses, func(p netip.Prefix) bool { return p.Addr() == w })
		}) {
			return w, "address of the Node"
		}
	}
	for _, four := range []bool{true, false} {
		for _, l := range links {
			if !l.Up || four && !l.DefaultRoute4 || !four && !l.DefaultRoute6 {
				continue
			}
			for _, p := range l.Addresses {
				if a := p.Addr(); a.Is4() == four && !a.IsLinkLocalUnicast() {
					return a, "address of " + l.Name + ", which has the default route"
				}
			}
		}
	}
	for _, l := range links {
		if addrs := l.Addresses; l.Usable() && !ofContainers(l) {
			for _, p := range addrs {
				if a := p.Addr(); a.Is4() && !a.IsLinkLocalUnicast() {
					return a, "address of " + l.Name + ", there is no default route"
				}
			}
		}
	}
	return netip.Addr{}, ""
}

// machineID reads what tells machines apart: the system UUID that the kubelet reports too, or else systemd's machine
// id. Both may be unreadable, which is fine.
func machineID(root string) string {
	for _, file := range []string{"sys/class/dmi/id/product_uuid", "etc/machine-id"} {
		if b, err := os.ReadFile(path.Join(root, file)); err == nil && len(strings.TrimSpace(string(b))) > 0 {
			return strings.ToLower(strings.TrimSpace(string(b)))
		}
	}
	return ""
}
