// SPDX-License-Identifier: Apache-2.0

package health

import "container/heap"

// schedule is a heap of targets, the one that is due first at 0.
type schedule[K comparable] []*target[K]

func (s *schedule[K]) push(t *target[K]) { heap.Push((*ordered[K])(s), t) }

// pop returns the first target; there must be one.
func (s *schedule[K]) pop() *target[K] {
	t := (*s)[0]
	s.remove(t)
	return t
}

// remove takes a target out, if it is there.
func (s *schedule[K]) remove(t *target[K]) {
	if t.at >= 0 {
		heap.Remove((*ordered[K])(s), t.at)
	}
}

// ordered implements heap.Interface and keeps each target's place in it.
type ordered[K comparable] []*target[K]

func (o *ordered[K]) Len() int           { return len(*o) }
func (o *ordered[K]) Less(i, j int) bool { return (*o)[i].due.Before((*o)[j].due) }

func (o *ordered[K]) Swap(i, j int) {
	s := *o
	s[i], s[j] = s[j], s[i]
	s[i].at, s[j].at = i, j
}

func (o *ordered[K]) Push(x any) {
	t := x.(*target[K]) //nolint:forcetypeassert // only push calls it
	t.at = len(*o)
	*o = append(*o, t)
}

func (o *ordered[K]) Pop() any {
	s := *o
	t := s[len(s)-1]
	s[len(s)-1] = nil
	*o, t.at = s[:len(s)-1], -1
	return t
}
