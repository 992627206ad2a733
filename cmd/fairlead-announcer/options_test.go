// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// TestFlagsAreDocumented holds docs/flags.md against the flags: each has its line, with its default, and no other has one.
func TestFlagsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/flags.md")
	if err != nil {
		t.Fatal(err)
	}
	own, rest, found := strings.Cut(string(text), "## fairlead-cloud-controller-manager")
	_, logs, foundLogs := strings.Cut(rest, "## Logs")
	if !found || !foundLogs {
		t.Fatal("docs/flags.md has not the sections that this test knows")
	}
	t.Setenv("NODE_NAME", "")
	flags := newCommand(t.Context()).Flags()
	flags.VisitAll(func(flag *pflag.Flag) {
		if strings.HasPrefix(flag.Usage, "[Alpha]") { // of Kubernetes' logs
			return
		}
		row := fmt.Sprintf("| `--%s` | `%s` | ", flag.Name, flag.DefValue)
		if row = strings.Replace(row, " `` ", " ", 1); !strings.Contains(own+logs, row) {
			t.Errorf("docs/flags.md has no line that begins with %s", row)
		}
	})
	for _, row := range regexp.MustCompile("(?m)^\\| `--([a-z-]+)`").FindAllStringSubmatch(own+logs, -1) {
		if flags.Lookup(row[1]) == nil {
			t.Errorf("docs/flags.md tells of a flag --%s, which is not there", row[1])
		}
	}
}
