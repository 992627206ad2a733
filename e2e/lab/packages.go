// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// requirePackages installs the Debian packages whose programs the lab runs and the machine lacks. It needs root, and on
// other systems an error names the program that is missing.
func requirePackages(ctx context.Context, progress io.Writer) error {
	needed := []struct{ program, debian string }{
		{"ip", "iproute2"}, {"nft", "nftables"}, {"conntrack", "conntrack"}, {"iptables", "iptables"},
	}
	var programs, missing []string
	for _, n := range needed {
		if _, err := exec.LookPath(n.program); err != nil {
			programs, missing = append(programs, n.program), append(missing, n.debian)
		}
	}
	// Without this file nft prints protocols as numbers, and kube-proxy deletes its own entries as leftovers.
	if _, err := os.Stat("/etc/protocols"); err != nil {
		programs, missing = append(programs, "/etc/protocols"), append(missing, "netbase")
	}
	if len(missing) == 0 {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("the lab needs %v, and there is no apt-get to install them", programs)
	}
	fmt.Fprintf(progress, "lab: installing %v\n", missing)
	install := append([]string{"install", "-y", "--no-install-recommends"}, missing...)
	for _, args := range [][]string{{"update"}, install} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		var output bytes.Buffer
		cmd.Stdout, cmd.Stderr = &output, &output
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("apt-get %v: %w: %s", args, err, bytes.TrimSpace(output.Bytes()))
		}
	}
	return nil
}
