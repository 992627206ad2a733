// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"k8s.io/cloud-provider/app"
	"k8s.io/cloud-provider/names"
	"k8s.io/cloud-provider/options"
	cliflag "k8s.io/component-base/cli/flag"
)

// stockFlags are the flags of the application without our presets.
func stockFlags(t *testing.T) *pflag.FlagSet {
	t.Helper()
	opts, err := options.NewCloudControllerManagerOptions()
	if err != nil {
		t.Fatal(err)
	}
	return app.NewCloudControllerManagerCommand(opts, newCloud, app.DefaultInitFuncConstructors, names.CCMControllerAliases(),
		cliflag.NamedFlagSets{}, t.Context().Done()).Flags()
}

// TestPresetsAreDocumented: docs/flags.md has a line for each flag whose default is not the application's, and each line has
// the default that is there.
func TestPresetsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/flags.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "## fairlead-cloud-controller-manager")
	if !found {
		t.Fatal("docs/flags.md has no section of the manager")
	}
	documented := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `--([a-z0-9-]+)` \\| (.*?)\\| ").FindAllStringSubmatch(section, -1) {
		documented[row[1]] = strings.Trim(row[2], "` ")
	}
	command, err := newCommand(t.Context().Done())
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range documented {
		if flag := command.Flags().Lookup(name); flag == nil || strings.Trim(flag.DefValue, "[]") != value {
			t.Errorf("docs/flags.md has flag --%s with default %q, the program has %+v", name, value, flag)
		}
	}
	stock, presets := stockFlags(t), 0
	command.Flags().VisitAll(func(flag *pflag.Flag) {
		if stock.Lookup(flag.Name).DefValue == flag.DefValue {
			return
		}
		presets++
		if _, ok := documented[flag.Name]; !ok {
			t.Errorf("docs/flags.md has no line for --%s, whose default here is %q", flag.Name, flag.DefValue)
		}
	})
	if presets == 0 {
		t.Error("no flag has a default of our own: the comparison is wrong")
	}
}
