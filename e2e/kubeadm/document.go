// SPDX-License-Identifier: Apache-2.0

package kubeadm

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A Block is a fenced block of a document that says where it is to be run: the word after the language, as in
// "```sh worker". Blocks without such a word are examples, and nobody's to run.
type Block struct {
	Document string
	Section  string // the closest heading above, without its marks
	Where    string
	Script   string
	Line     int
}

// Document is a document of the tree whose blocks are run.
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
		text := strings.TrimSpace(line) // blocks in lists are indented
		switch {
		case !inside && strings.HasPrefix(text, "#"):
			section = strings.TrimLeft(text, "# ")
		case !inside && strings.HasPrefix(text, "```"):
			inside = true
			if words := strings.Fields(strings.TrimPrefix(text, "```")); len(words) == 2 {
				open = &Block{Document: path, Section: section, Where: words[1], Line: number}
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

// Left returns the blocks that have not been taken.
func (d *Document) Left() []Block { return d.left }

// Take takes the blocks of a section out of the document.
func (d *Document) Take(section string) ([]Block, error) {
	var taken []Block
	d.left = slices.DeleteFunc(d.left, func(block Block) bool {
		if block.Section == section {
			taken = append(taken, block)
		}
		return block.Section == section
	})
	if len(taken) == 0 {
		return nil, fmt.Errorf("%s has no blocks to run in a section %q", d.path, section)
	}
	return taken, nil
}

// String names the block for errors.
func (b Block) String() string { return fmt.Sprintf("%s, line %d (%s)", b.Document, b.Line, b.Section) }

// RunBlock runs a block on machines, one after the other.
func (c *Cluster) RunBlock(ctx context.Context, block Block, machines ...string) error {
	for _, name := range machines {
		out, err := c.Run(ctx, name, block.Script)
		if err != nil {
			return fmt.Errorf("%s, on machine %s: %w\n%s", block, name, err, out)
		}
	}
	return nil
}
