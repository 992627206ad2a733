// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
)

// frrPrograms is where the package frr has its daemons.
const frrPrograms = "/usr/lib/frr"

// FRR is the routing suite of that name in a host: zebra, bfdd and bgpd.
type FRR struct {
	lab       *Lab
	host      string
	dir       string // of its sockets
	processes []*Process
}

// StartFRR runs FRR in a host with a configuration as /etc/frr/frr.conf has it, and returns when it is in force.
func (l *Lab) StartFRR(ctx context.Context, host, config string) (*FRR, error) {
	f := &FRR{lab: l, host: host, dir: filepath.Join(l.dir, "frr-"+host)}
	if err := f.mkdir(); err != nil {
		return nil, err
	}
	for _, name := range []string{"zebra", "bfdd", "bgpd"} {
		if err := f.start(ctx, name); err != nil {
			f.Stop()
			return nil, err
		}
	}
	if err := f.Configure(ctx, config); err != nil {
		f.Stop()
		return nil, err
	}
	return f, nil
}

// mkdir makes the directory for the user that the daemons turn into.
func (f *FRR) mkdir() error {
	if _, err := os.Stat(filepath.Join(frrPrograms, "bgpd")); err != nil {
		return fmt.Errorf("FRR is missing, as the package frr has it: %w", err)
	}
	owner, err := user.Lookup("frr")
	if err != nil {
		return fmt.Errorf("user of FRR's daemons: %w", err)
	}
	uid, uidErr := strconv.Atoi(owner.Uid)
	gid, gidErr := strconv.Atoi(owner.Gid)
	return errors.Join(uidErr, gidErr, os.RemoveAll(f.dir), os.Mkdir(f.dir, 0o755), os.Chown(f.dir, uid, gid))
}

func (f *FRR) start(ctx context.Context, name string) error {
	args := []string{
		"-f", "/dev/null", "-i", filepath.Join(f.dir, name+".pid"), "-z", filepath.Join(f.dir, "zserv.api"),
		"--vty_socket", f.dir, "-P", "0", "--log", "stdout",
	}
	if name == "bfdd" {
		args = append(args, "--bfdctl", filepath.Join(f.dir, "bfdd.sock"))
	}
	p, err := f.lab.StartProcess(f.host, Command{Name: name + "-" + f.host, Path: filepath.Join(frrPrograms, name), Args: args})
	if err != nil {
		return err
	}
	f.processes = append(f.processes, p)
	return f.lab.awaitFile(ctx, p, filepath.Join(f.dir, name+".vty"))
}

// Configure adds to the configuration what a file frr.conf with this content would.
func (f *FRR) Configure(ctx context.Context, config string) error {
	file := filepath.Join(f.dir, "frr.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return fmt.Errorf("write FRR's configuration: %w", err)
	}
	out, err := f.lab.Exec(ctx, f.host, "vtysh", "--vty_socket", f.dir, "-f", file)
	if err != nil {
		return fmt.Errorf("configure FRR: %w: %s", err, out)
	}
	return nil
}

// Vtysh returns what FRR says to commands.
func (f *FRR) Vtysh(ctx context.Context, commands ...string) (string, error) {
	argv := []string{"vtysh", "--vty_socket", f.dir}
	for _, c := range commands {
		argv = append(argv, "-c", c)
	}
	return f.lab.Exec(ctx, f.host, argv...)
}

// Stop kills the daemons. The routes that they made stay in the kernel.
func (f *FRR) Stop() {
	for _, p := range f.processes {
		p.Kill()
	}
}

// awaitFile waits for a file that a process makes when it is ready.
func (l *Lab) awaitFile(ctx context.Context, p *Process, file string) error {
	return l.awaitReady(ctx, p, p.Name+" to answer", func(context.Context) (string, error) {
		_, err := os.Stat(file)
		return "", err
	})
}
