// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

func announcer(name string, unreachable ...string) *v1alpha1.Announcer {
	return &v1alpha1.Announcer{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Status:     v1alpha1.AnnouncerStatus{Unreachable: unreachable},
	}
}

// stopped is the Announcer of an agent that was stopped so long ago.
func stopped(ago time.Duration, name string, unreachable ...string) *v1alpha1.Announcer {
	a := announcer(name, unreachable...)
	a.Status.Conditions = []metav1.Condition{{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonStopped,
		LastTransitionTime: metav1.NewTime(time.Unix(1000, 0).Add(-ago)),
	}}
	return a
}

func TestLostByMajority(t *testing.T) {
	for _, test := range []struct {
		name       string
		announcers []*v1alpha1.Announcer
		want       []string
	}{
		{"nobody is lost", []*v1alpha1.Announcer{announcer("a"), announcer("b"), announcer("c")}, nil},
		{"two of three agree", []*v1alpha1.Announcer{announcer("a", "c"), announcer("b", "c"), announcer("c")}, []string{"c"}},
		{"one of three is no majority", []*v1alpha1.Announcer{announcer("a", "c"), announcer("b"), announcer("c")}, nil},
		{"one of two is no majority", []*v1alpha1.Announcer{announcer("a", "b"), announcer("b")}, nil},
		{
			"a cut-off node cannot outvote those it lost",
			[]*v1alpha1.Announcer{announcer("a", "c"), announcer("b", "c"), announcer("c", "a", "b")},
			[]string{"c"},
		},
		{"a vote for oneself is none", []*v1alpha1.Announcer{announcer("a", "a"), announcer("b", "a"), announcer("c")}, nil},
		{
			"a node without an Announcer is not known",
			[]*v1alpha1.Announcer{announcer("a", "x"), announcer("b", "x"), announcer("c", "x")},
			nil,
		},
		{
			"agents that were stopped for good do not count",
			[]*v1alpha1.Announcer{announcer("a", "c"), announcer("b", "c"), announcer("c"), stopped(time.Hour, "d"), stopped(time.Minute, "e")},
			[]string{"c"},
		},
		{
			"agents that are being restarted count",
			[]*v1alpha1.Announcer{announcer("a", "d"), announcer("b", "d"), stopped(time.Second, "c"), announcer("d")},
			nil,
		},
		{
			"agents that were stopped for good do not vote",
			[]*v1alpha1.Announcer{announcer("a", "c"), announcer("b"), announcer("c"), stopped(time.Hour, "d", "c"), stopped(time.Hour, "e", "c")},
			nil,
		},
		{
			"a node whose agent was stopped can be lost",
			[]*v1alpha1.Announcer{announcer("a", "c"), announcer("b", "c"), stopped(time.Hour, "c")},
			[]string{"c"},
		},
		{
			"lost agents do not vote, whatever they saw before they died",
			[]*v1alpha1.Announcer{announcer("a", "e"), announcer("b", "e", "d"), announcer("c", "e", "d"), announcer("d"), announcer("e", "d")},
			[]string{"e"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := lostByMajority(test.announcers, time.Unix(1000, 0)); !slices.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestMarkingBrakesAtAThirdOfTheNodes(t *testing.T) {
	now := time.Unix(1000, 0)
	for _, test := range []struct {
		name   string
		dead   []string // before, and marked
		lost   []string
		nodes  int
		want   []string
		braked bool
	}{
		{"one of three", nil, []string{"a"}, 3, []string{"a"}, false},
		{"two of three", nil, []string{"a", "b"}, 3, nil, true},
		{"one of two", nil, []string{"a"}, 2, nil, true},
		{"three of nine", nil, []string{"a", "b", "c"}, 9, []string{"a", "b", "c"}, false},
		{"four of nine", nil, []string{"a", "b", "c", "d"}, 9, nil, true},
		{"a third after two", []string{"a", "b"}, []string{"a", "b", "c"}, 9, []string{"c"}, false},
		{"a fourth after three", []string{"a", "b", "c"}, []string{"a", "b", "c", "d"}, 9, nil, true},
		{"a fourth after three that are seen again and whose Leases are not renewed", []string{"a", "b", "c"}, []string{"d"}, 9, nil, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			known := newDeaths()
			known.record("back", now) // counts no more, although its mark is not taken back yet
			known.recovered("back", now.Add(time.Second), now)
			for _, node := range test.dead {
				known.record(node, now)
				known.markedAll(node)
			}
			got, braked := known.unmarked(test.lost, test.nodes, now)
			if !slices.Equal(got, test.want) || braked != test.braked {
				t.Errorf("got %v, %t, want %v, %t", got, braked, test.want, test.braked)
			}
		})
	}
}

func TestADeadNodeIsMarkedUntilItIsDoneWith(t *testing.T) {
	now := time.Unix(1000, 0)
	known := newDeaths()
	known.record("a", now)
	if unmarked, _ := known.unmarked([]string{"a"}, 3, now); !slices.Equal(unmarked, []string{"a"}) {
		t.Errorf("given up: %v", unmarked)
	}
	if unmarked, _ := known.unmarked(nil, 3, now); len(unmarked) > 0 {
		t.Errorf("marked though it is not lost any more: %v", unmarked)
	}
	known.markedAll("a")
	if unmarked, _ := known.unmarked([]string{"a"}, 3, now); len(unmarked) > 0 {
		t.Errorf("marked twice: %v", unmarked)
	}
	if known.recovered("a", now, now) {
		t.Error("recovered without a renewal")
	}
	known.recovered("a", now.Add(time.Second), now)
	if unmarked, _ := known.unmarked([]string{"a"}, 3, now); len(unmarked) > 0 {
		t.Errorf("marked though its Lease is renewed: %v", unmarked)
	}
}

func TestANodeThatRenewsItsLeaseIsTakenBackAndLeftAloneForAWhile(t *testing.T) {
	now, renewed := time.Unix(1000, 0), time.Unix(17, 0) // the node's clock is its own
	known := newDeaths()
	known.record("a", renewed)
	if known.recovered("a", renewed, now) {
		t.Error("recovered without a renewal")
	}
	first, second := renewed.Add(time.Second), renewed.Add(11*time.Second)
	for _, look := range []struct {
		after   time.Duration
		renewed time.Time
		want    bool
	}{{0, first, false}, {bootTold - 1, first, false}, {bootTold, first, true}, {bootTold + 1, second, true}} {
		if got := known.recovered("a", look.renewed, now.Add(look.after)); got != look.want {
			t.Errorf("recovered %s after its renewal: %t, want %t", look.after, got, look.want)
		}
	}
	known.takeBack("a", now)
	if known.recovered("a", second, now.Add(bootTold)) {
		t.Error("recovered twice")
	}
	if declared, _ := known.unmarked([]string{"a"}, 3, now.Add(quietAfterTakeBack-1)); len(declared) > 0 {
		t.Errorf("declared dead again too soon: %v", declared)
	}
	if declared, _ := known.unmarked([]string{"a"}, 3, now.Add(quietAfterTakeBack)); !slices.Equal(declared, []string{"a"}) {
		t.Errorf("not declared dead after the quiet time: %v", declared)
	}
}
