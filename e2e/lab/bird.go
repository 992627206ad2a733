// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// BIRD is the routing daemon of that name in a host.
type BIRD struct {
	lab     *Lab
	host    string
	dir     string
	process *Process
}

// StartBIRD runs BIRD 2 in a host with a configuration as /etc/bird/bird.conf has it.
func (l *Lab) StartBIRD(ctx context.Context, host, config string) (*BIRD, error) {
	b := &BIRD{lab: l, host: host, dir: filepath.Join(l.dir, "bird-"+host)}
	if err := os.MkdirAll(b.dir, 0o755); err != nil {
		return nil, fmt.Errorf("make BIRD's directory: %w", err)
	}
	file := filepath.Join(b.dir, "bird.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, fmt.Errorf("write BIRD's configuration: %w", err)
	}
	p, err := l.StartProcess(host, Command{
		Name: "bird-" + host, Path: "/usr/sbin/bird", Args: []string{"-f", "-c", file, "-s", b.socket()},
	})
	if err != nil {
		return nil, fmt.Errorf("BIRD, as the package bird2 has it: %w", err)
	}
	b.process = p
	return b, l.awaitFile(ctx, p, b.socket())
}

func (b *BIRD) socket() string { return filepath.Join(b.dir, "bird.ctl") }

// Birdc returns what BIRD says to a command.
func (b *BIRD) Birdc(ctx context.Context, command ...string) (string, error) {
	return b.lab.Exec(ctx, b.host, append([]string{"/usr/sbin/birdc", "-s", b.socket()}, command...)...)
}

// Process returns the daemon, to be killed or paused.
func (b *BIRD) Process() *Process { return b.process }
