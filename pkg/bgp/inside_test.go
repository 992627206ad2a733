// SPDX-License-Identifier: Apache-2.0

package bgp

import (
	"fmt"
	"testing"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// known returns the prefixes of the server's table.
func known(t *testing.T, s *Speaker) string {
	t.Helper()
	out := ""
	for _, family := range []bgp.Family{bgp.RF_IPv4_UC, bgp.RF_IPv6_UC} {
		err := s.server.ListPath(apiutil.ListPathRequest{TableType: api.TableType_TABLE_TYPE_GLOBAL, Family: family},
			func(prefix bgp.NLRI, _ []*apiutil.Path) { out += fmt.Sprint(prefix, " ") })
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}
