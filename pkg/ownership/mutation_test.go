// SPDX-License-Identifier: Apache-2.0

package ownership

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// mutation is a deliberate bug: text of a source file and what takes its place.
type mutation struct {
	name, file, old, new string
	want                 string // the start of the violation, where it is always the same
}

func mutations() []mutation {
	return []mutation{
		{"no majority needed", "members.go", "return 2*alive > len(m.voters)", "return true", "I2"},
		{"half is a majority", "members.go", "return 2*alive > len(m.voters)", "return 2*alive >= len(m.voters)", "I2"},
		{"gateway ignored by one of two", "members.go", "return m.gateway", "return true", "I2"},
		{"minority not withdrawn", "decide.go", "case !m.quorate:", "case false:", "I2"},
		{"term not increased", "decide.go", "max(r.maxTerm, r.recorded) + 1", "max(r.maxTerm, r.recorded, 1)", ""},
		{"terms of earlier machines forgotten", "decide.go", "max(r.maxTerm, r.recorded) + 1", "r.maxTerm + 1", "term"},
		{"better claims ignored", "decide.go", "case p != nil && best.beats(p.name, r.own, m.opt.Self):", "case p != nil && best.Term > 1<<60:", "I1"},
		{"equal terms both stand", "message.go", "\tif e.Order != f.Order {\n\t\treturn e.Order < f.Order\n\t}\n\treturn node < other", "\treturn false", "I1"},
		{"tie decided differently by one node", "message.go", "return e.Order < f.Order", "return e.Order > f.Order && node != \"n0\"", ""},
		{"taken back on return", "decide.go", "if claim, p := m.liveClaim(r); p != nil {", "if claim, p := m.liveClaim(r); p != nil && turn > 0 {", "I4"},
		{"claims before members are heard", "decide.go", "if m.now.Before(m.syncUntil) {", "if false {", "I4"},
		{"withdraws before the successor announces", "handover.go", "\tm.yield(r, PhaseYielding, heirs[r.attempt%len(heirs)])", "\tm.yield(r, PhaseYielding, heirs[r.attempt%len(heirs)])\n\tm.withdraw(r, CauseHandover)", "handover"},
		{"never hands over", "handover.go", "if len(heirs) == 0 {", "if true {", "handover"},
		{"patience without end", "handover.go", "r.bettered.Add(r.patience)", "m.now.Add(r.patience)", "handover"},
		{"no turn for later candidates", "decide.go", "m.now.Before(due) {", "m.now.Before(due) || turn > 0 {", ""},
		{"dead owners count", "decide.go", "if !p.alive {\n\t\t\tcontinue", "if false {\n\t\t\tcontinue", "I3"},
		{"claims of an earlier run are kept", "peer.go", "\t\tm.forget(p)\n\t\tp.ended", "\t\tp.ended", ""},
		{"a run with a lower number is not heard", "peer.go", " && !p.lost", "", ""},
		{"a run with a lower number is not heard after a failure", "members.go", "p.lost = false, false, true", "p.lost = false, false, false", ""},
		{"a run with a lower number is not heard after a short absence", "members.go", "p.lost = true", "p.lost = false", ""},
		{"a second run with a lower number is not heard", "peer.go", "msg.Incarnation, !p.alive", "msg.Incarnation, false", ""},
		{"late words end a run", "peer.go", "msg.Incarnation == p.ended || ", "", ""},
		{"a member that was lost counts as heard", "members.go", "p.lost = true\n\t\tm.appear(p)", "p.lost = true", ""},
		{"older words replace newer ones", "peer.go", "if p.entries[e.Address].seq < msg.Seq {", "if true {", ""},
		{"lost gossip is not repaired", "peer.go", "if digest != p.digest {", "if false {", ""},
		{"health is excluding", "decide.go", "return rankUnhealthy\n", "return rankUnable\n", "I3"},
		{"gates of removed addresses count as told", "machine.go", "return r.gate, r.gateKnown", "return r.gate, true", "I3"},
		{"gates that were taken back count", "configure.go", "r != nil {\n\t\t\tr.gate, r.gateKnown = GateOpen, false", "r != nil {\n\t\t\tr.gate = GateOpen", "gate"},
		{"claims that were never announced count as announcements", "peer.go", "e.Term > 0 && !e.Silent", "e.Term > 0", "probe"},
		{"removed addresses are kept", "decide.go", "case !r.configured:", "case false:", ""},
	}
}

// TestSimulationFindsMutations builds the package with one bug at a time and
// expects the simulation to find it within the schedules of CI.
func TestSimulationFindsMutations(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the package once per mutation; left out with -short")
	}
	found := regexp.MustCompile(`schedule (\d+): at [^ ]+ (.*)`)
	for _, mut := range mutations() {
		t.Run(mut.name, func(t *testing.T) {
			out, err := simulateMutant(t, mut)
			m := found.FindSubmatch(out)
			if err == nil || m == nil {
				t.Fatalf("not found; the simulation said: %v\n%s", err, out)
			}
			t.Logf("found by schedule %s: %s", m[1], m[2])
			if !strings.HasPrefix(string(m[2]), mut.want) {
				t.Errorf("found as %q, want %s", m[2], mut.want)
			}
		})
	}
}

func simulateMutant(t *testing.T, mut mutation) ([]byte, error) {
	t.Helper()
	source, err := os.ReadFile(mut.file)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(source), mut.old); n != 1 {
		t.Fatalf("%s has %d places that read %q, want 1", mut.file, n, mut.old)
	}
	dir := t.TempDir()
	original, err := filepath.Abs(mut.file)
	if err != nil {
		t.Fatal(err)
	}
	mutant, overlay, binary := filepath.Join(dir, mut.file), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "sim.test")
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {original: mutant}})
	if err != nil {
		t.Fatal(err)
	}
	for path, data := range map[string][]byte{
		mutant:  []byte(strings.Replace(string(source), mut.old, mut.new, 1)),
		overlay: replace,
	} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-vet=off", "-overlay", overlay, "-o", binary, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("the mutant does not build: %v\n%s", err, out)
	}
	return exec.CommandContext(t.Context(), binary, "-test.run=^TestSimulation$", "-schedules=10000", "-test.timeout=2m").CombinedOutput()
}
