// SPDX-License-Identifier: Apache-2.0

package due

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestLikeAMap compares the queue with a map that is looked through.
func TestLikeAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q Queue[int]
		model := map[int]time.Time{}
		key, second := rapid.IntRange(0, 9), rapid.Int64Range(0, 5)
		at := func(label string) time.Time { return time.Unix(second.Draw(t, label), 0) }
		earliest := func() (first time.Time) {
			for _, when := range model {
				if first.IsZero() || when.Before(first) {
					first = when
				}
			}
			return first
		}
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				k, when := key.Draw(t, "key"), at("at")
				q.Set(k, when)
				model[k] = when
			},
			"remove": func(t *rapid.T) {
				k := key.Draw(t, "key")
				_, there := model[k]
				if removed := q.Remove(k); removed != there {
					t.Fatalf("Remove(%d) returned %v with %v", k, removed, model)
				}
				delete(model, k)
			},
			"take": func(t *rapid.T) {
				now, want := at("now"), earliest()
				k, ok := q.Take(now)
				if due := len(model) > 0 && !want.After(now); ok != due {
					t.Fatalf("Take(%v) returned %v with %v", now, ok, model)
				}
				if ok && !model[k].Equal(want) {
					t.Fatalf("took %d, due at %v: expected one due at %v", k, model[k], want)
				}
				if ok {
					delete(model, k)
				}
			},
			"": func(t *rapid.T) {
				k, when, ok := q.First()
				if ok != (len(model) > 0) {
					t.Fatalf("there is a first one: %v; expected %v", ok, model)
				}
				for k := range 10 {
					if _, want := model[k]; q.Has(k) != want {
						t.Fatalf("Has(%d) returned %v with %v", k, !want, model)
					}
				}
				if ok && (!when.Equal(earliest()) || !when.Equal(model[k])) {
					t.Fatalf("first is %d at %v: expected one at %v", k, when, earliest())
				}
			},
		})
	})
}
