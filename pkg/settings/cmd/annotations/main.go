// SPDX-License-Identifier: Apache-2.0

// Command annotations writes docs/annotations.md to standard output. It is run by make generate.
package main

import (
	"fmt"
	"os"

	"github.com/fairlead-io/fairlead/pkg/settings"
)

func main() {
	if err := settings.WriteMarkdown(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
