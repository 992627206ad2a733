// SPDX-License-Identifier: Apache-2.0

package kubeadm

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A Block is a fenced block of a document that says where it is to be run: the word after the language, as in
// "```sh worker". Blocks without such a word are examples, and nobody's to run.
type Block struct {
	Section string // the closest heading above, without its marks
	Where   string
	Script  string
	Line    int
}

// Document is a document of the tree whose blocks are run, in their order.
type Document struct {
	path string
	left []Block
}

// ReadDocument reads a document by its path below the root of the tree.
func ReadDocument(root, path string) (*Document, error) {
	data, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		return nil, fmt.Errorf("read the steps: %w", err)
	}
	d := &Document{path: path}
	var open *Block
	inside, section, number := false, "", 0
	for line := range strings.Lines(string(data)) {
		number++
		text := strings.TrimRight(line, "\n")
		switch {
		case !inside && strings.HasPrefix(text, "#"):
			section = strings.TrimLeft(text, "# ")
		case !inside && strings.HasPrefix(text, "```"):
			inside = true
			if words := strings.Fields(strings.TrimPrefix(text, "```")); len(words) == 2 {
				open = &Block{Section: section, Where: words[1], Line: number}
			}
		case inside && text == "```":
			inside = false
			if open != nil {
				d.left = append(d.left, *open)
			}
			open = nil
		case open != nil:
			open.Script += line
		}
	}
	return d, nil
}

// Left returns the blocks that have not been run.
func (d *Document) Left() []Block { return d.left }

// Run runs the blocks of one section, each where it says: machine gives the machines for a word, and "" for one that is
// the caller's business, whose blocks are returned. It is an error if the section has no block left.
func (c *Cluster) RunSection(ctx context.Context, d *Document, section string, machines map[string][]string) error {
	ran := 0
	for len(d.left) > 0 && d.left[0].Section == section {
		block := d.left[0]
		names, known := machines[block.Where]
		if !known {
			return fmt.Errorf("%s, line %d: nobody runs what is for %q", d.path, block.Line, block.Where)
		}
		for _, name := range names {
			if _, err := c.Run(ctx, name, block.Script); err != nil {
				return fmt.Errorf("%s, line %d, on machine %s: %w", d.path, block.Line, name, err)
			}
		}
		d.left = d.left[1:]
		ran++
	}
	if ran == 0 {
		return fmt.Errorf("%s: the next block to run is not in section %q: %+v", d.path, section, d.left)
	}
	return nil
}
