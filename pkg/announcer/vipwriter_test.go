// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

func testTime() time.Time { return time.Date(2026, 3, 4, 5, 6, 7, 890, time.UTC) }

// vipStore is the API server and the informer's cache in one: a write is seen at once.
type vipStore struct {
	mu      sync.Mutex
	objects map[string]*v1alpha1.VirtualIP
	writes  int
	down    bool
}

func newVIPStore(statuses map[string]v1alpha1.VirtualIPStatus) *vipStore {
	s := &vipStore{objects: map[string]*v1alpha1.VirtualIP{}}
	for n, st := range statuses {
		s.objects[n] = &v1alpha1.VirtualIP{ObjectMeta: metav1.ObjectMeta{Name: n, ResourceVersion: "1"}, Status: st}
	}
	return s
}

func (s *vipStore) Get(name string) (*v1alpha1.VirtualIP, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.objects[name]; o != nil {
		return o.DeepCopy(), nil
	}
	return nil, apierrors.NewNotFound(v1alpha1.Resource("virtualips"), name)
}

// Patch applies a JSON merge patch as far as the writer's patches go: members are replaced, null removes.
func (s *vipStore) Patch(_ context.Context, name string, _ types.PatchType, data []byte, _ metav1.PatchOptions, sub ...string) (*v1alpha1.VirtualIP, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.objects[name]
	switch {
	case s.down:
		return nil, errors.New("connection refused")
	case o == nil:
		return nil, apierrors.NewNotFound(v1alpha1.Resource("virtualips"), name)
	case len(sub) != 1 || sub[0] != "status":
		return nil, fmt.Errorf("patch of %v", sub)
	}
	var patch struct {
		Metadata struct{ ResourceVersion string }
		Status   v1alpha1.VirtualIPStatus
	}
	if err := json.Unmarshal(data, &patch); err != nil {
		return nil, err
	}
	if v := patch.Metadata.ResourceVersion; v != "" && v != o.ResourceVersion {
		return nil, apierrors.NewConflict(v1alpha1.Resource("virtualips"), name, errors.New("changed"))
	}
	o = o.DeepCopy()
	o.Status = patch.Status
	o.ResourceVersion += "1"
	s.objects[name], s.writes = o, s.writes+1
	return o, nil
}

// status returns that of the object called a.
func (s *vipStore) status() v1alpha1.VirtualIPStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.objects["a"].Status
}

func (s *vipStore) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// withWriter runs a writer of node n1 over the store in virtual time.
func withWriter(t *testing.T, s *vipStore, f func(w *vipWriter)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newVIPWriter("n1", s, s, newAgentMetrics())
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); w.run(ctx) }()
		f(w)
		cancel()
		<-done
	})
}

// watchedStore tells all writers of each write, as informers do.
type watchedStore struct {
	*vipStore
	writers []*vipWriter
}

func (i *watchedStore) Patch(ctx context.Context, name string, kind types.PatchType, data []byte, o metav1.PatchOptions, sub ...string) (*v1alpha1.VirtualIP, error) {
	vip, err := i.vipStore.Patch(ctx, name, kind, data, o, sub...)
	for _, w := range i.writers {
		if err == nil {
			w.check(vip)
		}
	}
	return vip, err
}

// TestRivalsDoNotWriteAgainstEachOther while gossip between them is blocked; and the one that is left gets named.
func TestRivalsDoNotWriteAgainstEachOther(t *testing.T) {
	const rounds = 10
	for _, tc := range []struct {
		name string
		term int64 // of n2; n1 has 5
	}{
		{"the other has the higher claim", 6},
		{"both claims are of one term", 5},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &watchedStore{vipStore: newVIPStore(map[string]v1alpha1.VirtualIPStatus{"a": {Node: "n1", Term: 4}})}
				var running sync.WaitGroup
				defer running.Wait()
				start := func(node string, term int64) context.CancelFunc {
					ctx, cancel := context.WithCancel(t.Context())
					w := newVIPWriter(node, s, s, newAgentMetrics())
					s.writers = append(s.writers, w)
					running.Go(func() { w.run(ctx) })
					w.say("a", vipFacts{announcing: true, since: testTime(), term: term, owner: node}, 0)
					synctest.Wait()
					if got := s.status().Node; got != node {
						t.Errorf("status names %q just after %s has begun to announce", got, node)
					}
					return cancel
				}
				defer start("n1", 5)()
				crash := start("n2", tc.term)
				time.Sleep(rounds * outrankedPause)
				synctest.Wait()
				s.set(func() {
					if s.writes > 4*rounds+2 {
						t.Errorf("%d writes in %v", s.writes, rounds*outrankedPause)
					}
				})
				crash()
				time.Sleep(2 * outrankedPause)
				synctest.Wait()
				if got := s.status().Node; got != "n1" {
					t.Errorf("status names %q long after the end of n2", got)
				}
			})
		})
	}
}

func announced(s v1alpha1.VirtualIPStatus) bool {
	return meta.IsStatusConditionTrue(s.Conditions, v1alpha1.ConditionAnnounced)
}

func TestTakeoverOverwritesTheDeadOwner(t *testing.T) {
	s := newVIPStore(map[string]v1alpha1.VirtualIPStatus{"a": {Node: "n2", Term: 4}})
	withWriter(t, s, func(w *vipWriter) {
		w.say("a", vipFacts{announcing: true, since: testTime(), term: 5, epoch: 2, owner: "n1"}, 0)
		synctest.Wait()
		if got := s.status(); got.Node != "n1" || got.Term != 5 || got.Epoch != 2 || !announced(got) || !got.Since.Equal(&metav1.Time{Time: testTime().Truncate(time.Second)}) {
			t.Errorf("status after the takeover: %+v", got)
		}
	})
}

func TestStatusIsWrittenOnce(t *testing.T) {
	s := newVIPStore(map[string]v1alpha1.VirtualIPStatus{"a": {}})
	withWriter(t, s, func(w *vipWriter) {
		f := vipFacts{announcing: true, since: testTime(), term: 1, owner: "n1"}
		for range 5 {
			w.say("a", f, 0)
			synctest.Wait()
			vip, _ := s.Get("a")
			w.check(vip)
			time.Sleep(time.Minute) // a resync; virtual time
		}
		if s.writes != 1 {
			t.Errorf("%d writes of an unchanged status", s.writes)
		}
	})
}

func TestNameIsClearedOnlyWhereNobodyFollowed(t *testing.T) {
	for _, tc := range []struct {
		name, before, owner, want string
	}{
		{"nobody followed", "n1", "", ""},
		{"n2 follows and will write", "n1", "n2", "n1"},
		{"n2 has written", "n2", "", "n2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newVIPStore(map[string]v1alpha1.VirtualIPStatus{"a": {Node: tc.before, Term: 3}})
			withWriter(t, s, func(w *vipWriter) {
				w.say("a", vipFacts{owner: tc.owner, why: "it was told to"}, time.Second)
				time.Sleep(2 * time.Second)
				synctest.Wait()
				if got := s.status(); got.Node != tc.want || got.Term != 3 {
					t.Errorf("status %+v, want node %q and the term kept", got, tc.want)
				}
			})
		})
	}
}

func TestClearingDoesNotUndoAFollower(t *testing.T) {
	s := newVIPStore(map[string]v1alpha1.VirtualIPStatus{"a": {Node: "n1"}})
	stale, _ := s.Get("a")
	s.objects["a"].Status.Node, s.objects["a"].ResourceVersion = "n2", "2"
	w := newVIPWriter("n1", s, staleLister{stale}, newAgentMetrics())
	w.facts["a"] = vipFacts{why: "it ends"}
	if err := w.send(t.Context(), "a"); !apierrors.IsConflict(err) {
		t.Errorf("clearing by an old view of the object gave %v, want a conflict", err)
	}
	if got := s.status().Node; got != "n2" {
		t.Errorf("node is %q, want n2", got)
	}
	w.queue.ShutDown()
}

type staleLister struct{ vip *v1alpha1.VirtualIP }

func (l staleLister) Get(string) (*v1alpha1.VirtualIP, error) { return l.vip, nil }

func TestLatestStatusIsWrittenWhenTheServerReturns(t *testing.T) {
	s := newVIPStore(map[string]v1alpha1.VirtualIPStatus{"a": {}})
	s.down = true
	withWriter(t, s, func(w *vipWriter) {
		for term := range int64(9) {
			w.say("a", vipFacts{announcing: true, since: testTime(), term: term + 1, owner: "n1"}, 0)
			time.Sleep(time.Second)
		}
		s.set(func() { s.down = false })
		time.Sleep(20 * time.Second) // longer than the longest pause
		synctest.Wait()
		if got := s.status(); got.Term != 9 || s.writes != 1 {
			t.Errorf("term %d after %d writes, want 9 after one", got.Term, s.writes)
		}
	})
}

func TestBurstIsPaced(t *testing.T) {
	for _, test := range []struct {
		name             string
		status           v1alpha1.VirtualIPStatus
		burst, perSecond int
		all              time.Duration
	}{
		{"takeovers", v1alpha1.VirtualIPStatus{Node: "n2", Term: 1}, statusBurst, statusWritesPerSecond, 200 / statusWritesPerSecond * time.Second},
		{"first announcements", v1alpha1.VirtualIPStatus{}, firstBurst, firstWritesPerSecond, arrivalRest + 200/statusWritesPerSecond*time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			statuses := map[string]v1alpha1.VirtualIPStatus{}
			for i := range 200 {
				statuses[fmt.Sprint(i)] = test.status
			}
			s := newVIPStore(statuses)
			withWriter(t, s, func(w *vipWriter) {
				for n := range statuses {
					w.say(n, vipFacts{announcing: true, since: testTime(), term: 2, owner: "n1"}, 0)
				}
				time.Sleep(time.Second)
				synctest.Wait()
				s.set(func() {
					if s.writes < test.burst || s.writes > test.burst+test.perSecond+statusWriters {
						t.Errorf("%d writes in the first second, pace is %d with a burst of %d", s.writes, test.perSecond, test.burst)
					}
				})
				time.Sleep(test.all)
				synctest.Wait()
				if s.writes != len(statuses) {
					t.Errorf("%d of %d written", s.writes, len(statuses))
				}
			})
		})
	}
}

// TestFirstWritesKeepNobodyWaiting: of hundreds of new addresses the statuses come at leisure, also when no more arrive.
func TestFirstWritesKeepNobodyWaiting(t *testing.T) {
	statuses := map[string]v1alpha1.VirtualIPStatus{"old": {Node: "n1", Term: 1}}
	for i := range 600 {
		statuses[fmt.Sprint(i)] = v1alpha1.VirtualIPStatus{}
	}
	s := newVIPStore(statuses)
	withWriter(t, s, func(w *vipWriter) {
		for n, status := range statuses {
			w.say(n, vipFacts{announcing: true, since: testTime(), term: max(1, status.Term), owner: "n1"}, 0)
		}
		time.Sleep(4 * arrivalRest)
		w.say("old", vipFacts{announcing: true, since: testTime(), term: 2, owner: "n1"}, 0)
		time.Sleep(time.Second)
		synctest.Wait()
		s.set(func() {
			if s.writes == len(statuses) {
				t.Error("all is written already: the test says nothing")
			}
			if got := s.objects["old"].Status; got.Term != 2 {
				t.Errorf("status %+v, want term 2", got)
			}
		})
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(w.waiting) > 0 {
			t.Errorf("%d still wait", len(w.waiting))
		}
	})
}

// TestConflictsDoNotWait: first announcements are written at leisure, but a Service waits for another address.
func TestConflictsDoNotWait(t *testing.T) {
	statuses := map[string]v1alpha1.VirtualIPStatus{}
	for i := range 2 * firstBurst {
		statuses[fmt.Sprint(i)] = v1alpha1.VirtualIPStatus{}
	}
	s := newVIPStore(statuses)
	withWriter(t, s, func(w *vipWriter) {
		for name := range statuses {
			w.say(name, vipFacts{owner: "n1", conflict: "used by another station"}, 0)
		}
		synctest.Wait()
		s.set(func() {
			if s.writes != len(statuses) {
				t.Errorf("%d of %d conflicts written at once", s.writes, len(statuses))
			}
		})
	})
}

func TestConflictBeforeTheFirstAnnouncement(t *testing.T) {
	s := newVIPStore(map[string]v1alpha1.VirtualIPStatus{"a": {}})
	withWriter(t, s, func(w *vipWriter) {
		w.say("a", vipFacts{owner: "n1", conflict: "10.0.0.100 is used by the station 02:00:00:00:00:09 on eth0"}, 0)
		synctest.Wait()
		got := s.status()
		if !meta.IsStatusConditionTrue(got.Conditions, v1alpha1.ConditionConflict) || got.Node != "" || announced(got) {
			t.Errorf("status %+v, want a conflict and no node", got)
		}
		w.say("a", vipFacts{owner: "n1", announcing: true, since: testTime(), term: 1}, 0)
		synctest.Wait()
		if got := s.status(); meta.IsStatusConditionTrue(got.Conditions, v1alpha1.ConditionConflict) || got.Node != "n1" {
			t.Errorf("status %+v, want n1 and no conflict once the station has gone", got)
		}
	})
}
