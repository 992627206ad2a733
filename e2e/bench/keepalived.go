// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/fairlead-io/fairlead/e2e/lab"
)

// keepalivedConfig is one VRRPv3 instance among equals: who is master stays master.
const keepalivedConfig = `
global_defs {
  router_id %[1]s
  vrrp_version 3
}
vrrp_instance bench {
  state BACKUP
  nopreempt
  interface eth0
  virtual_router_id 51
  priority %[2]d
  advert_int %[3]s
  virtual_ipaddress { %[4]s/32 }
}
`

// keepalived measures the same crash with keepalived on the nodes, the same pods and the same kube-proxy behind an address
// of the same segment. advert is the interval of its adverts in seconds.
func keepalived(advert string) func(context.Context, *env) (figure, error) {
	return func(ctx context.Context, e *env) (figure, error) {
		program, err := exec.LookPath("keepalived")
		if err != nil {
			return figure{}, fmt.Errorf("the reference needs keepalived, as Debian's package has it: %w", err)
		}
		e.say("starting keepalived with adverts each %s s", advert)
		processes, err := e.startKeepalived(program, advert)
		defer func() {
			for _, p := range processes {
				p.Kill()
			}
			e.dropAddress(context.WithoutCancel(ctx))
		}()
		if err != nil {
			return figure{}, err
		}
		var gaps []float64
		for i := range e.runsOr(10) {
			if err := e.awaitSteady(ctx); err != nil {
				return figure{}, err
			}
			master, err := e.master(ctx)
			if err != nil {
				return figure{}, err
			}
			one, err := e.watchGap(ctx, func() error { return e.lab.CrashNode(master) })
			if err != nil {
				return figure{}, fmt.Errorf("run %d: %w", i+1, err)
			}
			e.say("run %d: %d ms without an answer", i+1, one.gap.Milliseconds())
			gaps = append(gaps, milliseconds(one.gap))
			if err := e.lab.RestoreNode(ctx, master); err != nil {
				return figure{}, err
			}
		}
		return summarize("ms", gaps, true).with("advert_int_s", advert).with("nodes", e.nodes), nil
	}
}

func (e *env) startKeepalived(program, advert string) ([]*lab.Process, error) {
	var processes []*lab.Process
	for i, node := range e.lab.Nodes() {
		// Files of its own: keepalived does not start where the file of one that was killed names a process that lives.
		base := filepath.Join(e.lab.Dir(), "keepalived-"+node+"-"+advert)
		config := fmt.Sprintf(keepalivedConfig, node, 100-10*i, advert, e.service.address)
		if err := os.WriteFile(base+".conf", []byte(config), 0o600); err != nil {
			return processes, fmt.Errorf("writing the configuration of keepalived: %w", err)
		}
		p, err := e.lab.StartProcess(node, lab.Command{Name: "keepalived-" + node, Path: program, Args: []string{
			"--dont-fork", "--log-console", "--vrrp", "--use-file", base + ".conf",
			"--pid", base + ".pid", "--vrrp_pid", base + "-vrrp.pid",
		}})
		if err != nil {
			return processes, err
		}
		processes = append(processes, p)
	}
	return processes, nil
}

// master returns the one node that has the address on its interface.
func (e *env) master(ctx context.Context) (string, error) {
	master := ""
	err := lab.Eventually(ctx, "one keepalived to be master", func(ctx context.Context) (bool, string, error) {
		var having []string
		for _, node := range e.lab.Nodes() {
			has, err := e.hasAddress(ctx, node)
			if err != nil {
				return false, "", err
			}
			if has {
				having, master = append(having, node), node
			}
		}
		return len(having) == 1, fmt.Sprintf("the address is on %v", having), nil
	})
	return master, err
}

func (e *env) hasAddress(ctx context.Context, node string) (bool, error) {
	addresses, err := e.lab.Exec(ctx, node, "ip", "-o", "-4", "addr", "show", "dev", "eth0")
	return strings.Contains(addresses, " "+e.service.address+"/"), err
}

// dropAddress takes the address from the nodes whose keepalived was killed with it.
func (e *env) dropAddress(ctx context.Context) {
	for _, node := range e.lab.Nodes() {
		if has, err := e.hasAddress(ctx, node); err == nil && has {
			if _, err := e.lab.Exec(ctx, node, "ip", "addr", "del", e.service.address+"/32", "dev", "eth0"); err != nil {
				e.say("%v", err)
			}
		}
	}
}
