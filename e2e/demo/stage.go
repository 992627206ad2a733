// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/fairlead-io/fairlead/e2e/lab"
)

// stage is what the audience sees: titles, commands and what they answer.
type stage struct {
	out io.Writer
	lab *lab.Lab
}

// progress tells on standard error what takes its time.
func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "demo: "+format+"\n", args...)
}

func (s *stage) title(text string) { fmt.Fprintf(s.out, "\n── %s\n", text) }

func (s *stage) say(format string, args ...any) { fmt.Fprintf(s.out, format+"\n", args...) }

// command shows a command and its output.
func (s *stage) command(line, output string) {
	fmt.Fprintf(s.out, "$ %s\n%s\n", line, strings.TrimRight(output, "\n"))
}

// kubectl runs kubectl as the administrator and shows the command and its output.
func (s *stage) kubectl(ctx context.Context, args ...string) error {
	output, err := s.lab.Kubectl(ctx, args...)
	if err != nil {
		return err
	}
	s.command("kubectl "+strings.Join(args, " "), output)
	return nil
}

// apply applies objects as `kubectl apply` does, and shows them.
func (s *stage) apply(ctx context.Context, objects string) error {
	s.command("kubectl apply -f - <<EOF", strings.TrimSpace(objects)+"\nEOF")
	return s.lab.Apply(ctx, objects)
}
