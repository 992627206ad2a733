// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-io/fairlead/pkg/l2"
)

// TestGatewayJudgement plays answers (+) and their absence (-), and shows after each whether the gateway counts as
// reachable (R), lost (L: it has answered before) or unknown to answer at all (?); a letter in lower case is no news.
func TestGatewayJudgement(t *testing.T) {
	for _, tc := range []struct{ name, answers, want string }{
		{"answers", "+++", "Rrr"},
		{"misses one of three", "+-+--+", "Rrrrrr"},
		{"goes, and comes back", "+---+", "RrrLR"},
		{"never answers", "-----", "?...."},
		{"answers late", "--+", "?.R"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var j gatewayJudgement
			var got strings.Builder
			for _, answer := range tc.answers {
				changed := j.take(answer == '+', 3)
				letter := map[[2]bool]string{{true, true}: "R", {false, true}: "L", {false, false}: "?"}[[2]bool{j.reachable, j.answered}]
				if !changed {
					letter = strings.ReplaceAll(strings.ToLower(letter), "?", ".")
				}
				got.WriteString(letter)
			}
			if got.String() != tc.want {
				t.Errorf("%s, want %s", got.String(), tc.want)
			}
		})
	}
}

// TestGatewayThatAnswers asks on the links of a node until one of the gateways has answered.
func TestGatewayThatAnswers(t *testing.T) {
	with := func(l l2.Link, gateways ...string) l2.Link {
		for _, g := range gateways {
			l.Gateways = append(l.Gateways, netip.MustParseAddr(g))
		}
		return l
	}
	links := []l2.Link{
		with(testLink("eth0", "10.0.0.11/24", false), "10.0.0.1"),
		with(testLink("eth1", "10.1.0.11/24", true), "10.1.0.1", "fe80::1"),
		with(testLink("eth2", "10.2.0.11/24", true), "10.2.0.1"),
	}
	for _, tc := range []struct {
		name, answers string
		asked         []string
		want          bool
	}{
		{name: "the first that can be asked", answers: "eth1 10.1.0.1", asked: []string{"eth1 10.1.0.1"}, want: true},
		{name: "a link-local one", answers: "eth1 fe80::1", asked: []string{"eth1 10.1.0.1", "eth1 fe80::1"}, want: true},
		{name: "none", asked: []string{"eth1 10.1.0.1", "eth1 fe80::1", "eth2 10.2.0.1"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var asked []string
			g := gatewayWatch{
				links: func() []l2.Link { return links },
				resolve: func(_ context.Context, addr netip.Addr, link string) (l2.MAC, error) {
					asked = append(asked, link+" "+addr.String())
					if asked[len(asked)-1] != tc.answers {
						return l2.MAC{}, nil
					}
					return l2.MAC{2, 0, 0, 0, 0, 1}, nil
				},
			}
			if got := g.ask(t.Context()); got != tc.want {
				t.Errorf("a gateway answers: %v, want %v", got, tc.want)
			}
			if diff := cmp.Diff(tc.asked, asked); diff != "" {
				t.Error("asked:", diff)
			}
		})
	}
}
