// SPDX-License-Identifier: Apache-2.0

package announcer

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-io/fairlead/pkg/api/v1alpha1"
)

// jsonNames are the names of a struct's fields in JSON, sorted.
func jsonNames(of any) []string {
	var out []string
	for f := range reflect.TypeOf(of).Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// TestEveryFieldOfTheStatusIsWritten: a merge patch leaves alone what it does not name.
func TestEveryFieldOfTheStatusIsWritten(t *testing.T) {
	status, ok := statusFields(v1alpha1.AnnouncerStatus{HealthChecks: &v1alpha1.HealthChecks{}})["status"].(map[string]any)
	if !ok {
		t.Fatal("the patch has no status")
	}
	if diff := cmp.Diff(jsonNames(v1alpha1.AnnouncerStatus{}), slices.Sorted(maps.Keys(status))); diff != "" {
		t.Errorf("fields of AnnouncerStatus (-want +got):\n%s", diff)
	}
	checks, ok := status["healthChecks"].(map[string]any)
	if !ok {
		t.Fatal("the patch has no health checks")
	}
	if diff := cmp.Diff(jsonNames(v1alpha1.HealthChecks{}), slices.Sorted(maps.Keys(checks))); diff != "" {
		t.Errorf("fields of HealthChecks (-want +got):\n%s", diff)
	}
}
