// SPDX-License-Identifier: Apache-2.0

package ipam_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/fairlead-io/fairlead/pkg/ipam"
)

// TestEveryRefusalIsExplained: whoever reads in an event why there is no address finds the words in the documentation.
func TestEveryRefusalIsExplained(t *testing.T) {
	read := func(name string) string {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	docs := read("../../docs/addresses.md")
	explained := func(name, text, words string) {
		if !strings.Contains(text, words) {
			t.Errorf("%s says %q, which lacks %q", name, text, words)
		}
		if !strings.Contains(docs, words) {
			t.Errorf("%s: docs/addresses.md lacks %q", name, words)
		}
	}
	reasons := map[ipam.Reason]string{
		ipam.ReasonNotFound: "does not exist", ipam.ReasonDisabled: "disabled, it hands out no addresses",
		ipam.ReasonNamed: "autoAssign is off", ipam.ReasonNamespace: "not allowed", ipam.ReasonService: "its serviceSelector does not match",
		ipam.ReasonFamily: "has no IPv6 addresses", ipam.ReasonRange: "does not lie inside it",
		ipam.ReasonAddress: "is not an address it hands out", ipam.ReasonLimit: "addresses for namespace", ipam.ReasonFull: "addresses assigned",
	}
	for reason, words := range reasons {
		explained(string(reason), ipam.Refusal{Pool: "p", Reason: reason, Family: ipam.IPv6}.String(), words)
	}
	causes := map[ipam.Cause]string{
		ipam.CauseNotShareable: "which has no sharing key", ipam.CauseKey: "has sharing key", ipam.CauseNamespace: "of another namespace",
		ipam.CausePort: "belongs to", ipam.CauseLocalTraffic: "externalTrafficPolicy Local needs the same pods", ipam.CauseSetting: "by this Service",
	}
	for cause, words := range causes {
		explained(string(cause), (&ipam.SharingConflict{Cause: cause, Owner: "a/b"}).Error(), words)
	}
	for file, has := range map[string]int{"refusal.go": len(reasons), "sharing.go": len(causes)} {
		if all := regexp.MustCompile(`(?m)^\t(Reason|Cause)\w+ +(Reason|Cause) += "`).FindAllString(read(file), -1); len(all) != has {
			t.Errorf("%s has %d of them, and this test %d", file, len(all), has)
		}
	}
	full := ipam.Refusal{Reason: ipam.ReasonFull, Family: ipam.IPv4, Usage: ipam.Usage{Reserved: 1, Quarantined: 1}}
	explained("kept", full.String(), "kept for deleted Services")
	explained("set aside", full.String(), "used by other stations on the network")
	full.Range = mustRange(t, "10.0.0.0/28")
	explained("of a range", full.String(), "no free address in 10.0.0.0/28")
	explained("no pool", (&ipam.NoAddressError{Request: ipam.Request{Family: ipam.IPv4}}).Error(), "no pool offers IPv4 addresses: an AddressPool that does is needed")
	explained("no pool for the address", (&ipam.NoAddressError{Request: ipam.Request{Address: ip("10.0.0.1")}}).Error(), "no pool has it")
	explained("not for it", ipam.ErrNotAllowed.Error(), "the pool is not for this Service")
}
