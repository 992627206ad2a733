// SPDX-License-Identifier: Apache-2.0

package bgp

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead-io/fairlead/e2e/lab"
)

// page is docs/bgp.md: what it shows as configuration, by section and language, in its order.
type page map[string][]string

// readPage takes the fenced blocks out of the page.
func readPage(t *testing.T) page {
	t.Helper()
	root, err := lab.FindRoot()
	must(t, err)
	text, err := os.ReadFile(filepath.Join(root, "docs", "bgp.md"))
	must(t, err)
	blocks := page{}
	section, language := "", ""
	var block strings.Builder
	for line := range strings.Lines(string(text)) {
		fence, fenced := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case fenced && language == "":
			language = fence
			block.Reset()
		case fenced:
			key := section + "/" + language
			blocks[key] = append(blocks[key], block.String())
			language = ""
		case language != "":
			block.WriteString(line)
		case strings.HasPrefix(line, "#"):
			section = strings.TrimSpace(strings.TrimLeft(line, "#"))
		}
	}
	return blocks
}

// the returns the blocks of one language in a section, joined as documents of YAML are; there must be some.
func (p page) the(t *testing.T, section, language string) string {
	t.Helper()
	blocks := p[section+"/"+language]
	if len(blocks) == 0 {
		t.Fatalf("docs/bgp.md has no block of %q below %q", language, section)
	}
	separator := "\n"
	if language == "yaml" {
		separator = "---\n"
	}
	return strings.Join(blocks, separator)
}

// patient returns the page's configuration of a speaker with a BFD multiplier of 15, where the page says 3. A daemon of a
// busy machine that gets no processor for a second would end a session, and no test of routes that must not change could
// tell that from a fault. How soon a dead node is noticed is up to the multiplier of its own announcer: the tests that need
// this to be quick apply the page's BGPPeers as they are.
func patient(t *testing.T, block string) string {
	t.Helper()
	changed := strings.NewReplacer("multiplier: 3", "multiplier: 15", "multiplier 3", "multiplier 15").Replace(block)
	if changed == block {
		t.Fatalf("no BFD multiplier of 3 in this block of docs/bgp.md:\n%s", block)
	}
	return changed
}
