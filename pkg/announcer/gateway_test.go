// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"strings"
	"testing"
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
