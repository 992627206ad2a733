// SPDX-License-Identifier: Apache-2.0

package membership

import "slices"

// watchersPerMember is how many successors in the ring watch a member: enough that a second opinion remains when one
// of them dies with it.
const watchersPerMember = 3

// meshLimit is up to how many members everyone can ask everyone. In larger groups a node asks only its nearest
// meshReach on either side of the ring; what it learns of the others comes from their watchers and from memberlist.
const (
	meshLimit = 64
	meshReach = 16
)

// ring is the sorted list of members' names; every member with the same view of the group has the same ring.
type ring []string

func newRing(names []string) ring {
	r := slices.Clone(names)
	slices.Sort(r)
	return slices.Compact(r)
}

// step returns the k names that follow (k > 0) or precede (k < 0) name, fewer when the ring is smaller.
func (r ring) step(name string, k int) []string {
	i, ok := slices.BinarySearch(r, name)
	if !ok {
		return nil
	}
	d, n := 1, k
	if k < 0 {
		d, n = -1, -k
	}
	out := make([]string, 0, n)
	for j := 1; j <= min(n, len(r)-1); j++ {
		out = append(out, r[((i+d*j)%len(r)+len(r))%len(r)])
	}
	return out
}

// watchers returns who watches name.
func (r ring) watchers(name string) []string { return r.step(name, watchersPerMember) }

// watched returns whom name watches.
func (r ring) watched(name string) []string { return r.step(name, -watchersPerMember) }

// neighbours returns those whom name may ask directly.
func (r ring) neighbours(name string) []string {
	if len(r) <= meshLimit {
		return r.step(name, len(r)-1)
	}
	return append(r.step(name, meshReach), r.step(name, -meshReach)...)
}
