// SPDX-License-Identifier: Apache-2.0

// Command machine is one machine of the cluster from its power switch on, and systemctl inside it:
//
//	machine boot SPEC   switch a machine on; it is on until the command ends
//	machine init SPEC   its process 1, which boot starts
//	systemctl ...       the same program under this name: a command to process 1
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/fairlead-io/fairlead/e2e/kubeadm/machine"
)

func main() {
	if filepath.Base(os.Args[0]) == "systemctl" {
		systemctl()
	}
	var err error
	switch {
	case len(os.Args) == 3 && os.Args[1] == "boot":
		err = machine.Boot(os.Args[2])
	case len(os.Args) == 3 && os.Args[1] == "init":
		err = machine.Init(os.Args[2])
	default:
		err = fmt.Errorf("arguments %q: expected boot or init, and the path of a specification", os.Args[1:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "machine:", err)
		os.Exit(1)
	}
}

func systemctl() {
	output, code, err := machine.Systemctl(os.Args[1:])
	if err != nil {
		output, code = err.Error(), 1
	}
	if output != "" {
		fmt.Println(output)
	}
	os.Exit(code)
}
