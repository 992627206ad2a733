// SPDX-License-Identifier: Apache-2.0

package health

// State is what is thought of a target.
type State uint8

// The states.
const (
	// Unknown: no probe has ended yet.
	Unknown State = iota
	Healthy
	Unhealthy
)

// String returns the state in lower case, as metrics name it.
func (s State) String() string {
	switch s {
	case Healthy:
		return "healthy"
	case Unhealthy:
		return "unhealthy"
	default:
		return "unknown"
	}
}

// Thresholds are how many results in a row change a verdict; below 1 counts as 1.
type Thresholds struct {
	Healthy   int // that an unhealthy target passes
	Unhealthy int // that a healthy target fails
}

// Tally counts results up to a verdict. The zero value has seen none.
type Tally struct {
	State State
	// contrary results in a row, against the state
	contrary int
}

// Add returns the tally after one more result. The first one decides alone.
func (t Tally) Add(passed bool, limits Thresholds) Tally {
	next, limit := Unhealthy, limits.Unhealthy
	if passed {
		next, limit = Healthy, limits.Healthy
	}
	switch {
	case t.State == Unknown:
		return Tally{State: next}
	case t.State == next:
		return Tally{State: t.State}
	case t.contrary+1 >= limit:
		return Tally{State: next}
	default:
		return Tally{State: t.State, contrary: t.contrary + 1}
	}
}
