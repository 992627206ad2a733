// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

func TestVotersAreThoseThatMayComeBackSoon(t *testing.T) {
	announcer := func(name, reason string, status metav1.ConditionStatus, ago time.Duration) *v1alpha1.Announcer {
		return &v1alpha1.Announcer{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: v1alpha1.AnnouncerStatus{
			Conditions: []metav1.Condition{{
				Type: v1alpha1.ConditionReady, Status: status, Reason: reason,
				LastTransitionTime: metav1.NewTime(testTime().Add(-ago)),
			}},
		}}
	}
	got := voters([]*v1alpha1.Announcer{
		announcer("up", "TakingPart", metav1.ConditionTrue, time.Hour),
		announcer("restarting", v1alpha1.ReasonStopped, metav1.ConditionFalse, 10*time.Second),
		announcer("removed", v1alpha1.ReasonStopped, metav1.ConditionFalse, 2*time.Minute),
		announcer("cut-off", "Minority", metav1.ConditionFalse, time.Hour),
		{ObjectMeta: metav1.ObjectMeta{Name: "new"}},
	}, testTime())
	if want := []string{"cut-off", "new", "restarting", "up"}; !slices.Equal(got, want) {
		t.Errorf("voters %v, want %v", got, want)
	}
}
