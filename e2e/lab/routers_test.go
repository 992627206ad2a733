// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
)

// testRouters puts a second router into the lab: what is behind it reaches the nodes through it alone, there and back.
func testRouters(t *testing.T, l *Lab, url string) {
	ctx := t.Context()
	if err := l.AddRouter("second", "behind"); err != nil {
		t.Fatal(err)
	}
	awaitAnswers(ctx, t, l, "behind", url, "web-1", "web-2")
	there := netip.PrefixFrom(l.Addr4("behind"), 32)
	hops, err := l.NextHops("n1", there)
	if want := []netip.Addr{l.Addr4("second")}; err != nil || !slices.Equal(hops, want) {
		t.Errorf("n1's next hops to %s are %v, want %v (%v)", there, hops, want, err)
	}
	watch, err := l.WatchRoutes("second")
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Stop()
	if _, err := l.Exec(ctx, "second", "ip", "route", "add", "192.0.2.0/24", "nexthop", "via", l.Addr4("n1").String(),
		"nexthop", "via", l.Addr4("n2").String()); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Exec(ctx, "second", "ip", "route", "del", "192.0.2.0/24"); err != nil {
		t.Fatal(err)
	}
	Await(ctx, t, "both changes", func(context.Context) (bool, string, error) {
		changes, err := watch.Changes(netip.MustParsePrefix("192.0.2.0/24"))
		ok := len(changes) == 2 && !changes[0].Gone && changes[1].Gone &&
			slices.Equal(changes[0].Hops, []netip.Addr{l.Addr4("n1"), l.Addr4("n2")})
		return ok, fmt.Sprintf("%+v", changes), err
	})
}
