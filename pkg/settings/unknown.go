// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"maps"
	"slices"
	"strings"
)

// unknownKey is a key under a known prefix that no row has, and the nearest one that a row has.
type unknownKey struct{ key, near string }

// prefixOf splits a key after the prefix of a dialect that is on.
func (p *Parser) prefixOf(key string) (prefix, suffix string, known bool) {
	for _, dialect := range p.active {
		for _, prefix := range dialect.prefixes() {
			if suffix, ok := strings.CutPrefix(key, prefix); ok {
				return prefix, suffix, true
			}
		}
	}
	return "", "", false
}

// nearest returns the known key under a prefix that takes the fewest edits to reach.
func (p *Parser) nearest(prefix, suffix string) string {
	best, least := "", -1
	for _, key := range slices.Sorted(maps.Keys(p.exact)) {
		known, ok := strings.CutPrefix(key, prefix)
		if !ok {
			continue
		}
		if n := distance(fold(suffix), fold(known)); least < 0 || n < least {
			best, least = key, n
		}
	}
	return best
}

// distance is the Levenshtein distance of two strings, of which only the first 64 bytes count.
func distance(a, b string) int {
	a, b = a[:min(len(a), 64)], b[:min(len(b), 64)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
