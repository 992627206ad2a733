// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
)

// controlSocket is where process 1 listens for systemctl.
const controlSocket = "/run/systemctl.sock"

// reply is the answer to one systemctl command.
type reply struct {
	Code   int
	Output string
}

// Systemctl sends a command to process 1 of the machine and returns what to print and the exit code. It knows what kubeadm
// and an administrator of its nodes need: start, stop, restart, is-active, is-enabled, status, enable, disable and
// daemon-reload.
func Systemctl(args []string) (string, int, error) {
	conn, err := (&net.Dialer{}).DialContext(context.Background(), "unix", controlSocket)
	if err != nil {
		return "", 1, fmt.Errorf("reach process 1: %w", err)
	}
	defer conn.Close()
	if err := json.NewEncoder(conn).Encode(args); err != nil {
		return "", 1, fmt.Errorf("ask process 1: %w", err)
	}
	var answer reply
	if err := json.NewDecoder(conn).Decode(&answer); err != nil {
		return "", 1, fmt.Errorf("hear process 1: %w", err)
	}
	return answer.Output, answer.Code, nil
}

// obey serves systemctl commands, one at a time, until the listener fails.
func (s *services) obey(listener net.Listener) error {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return fmt.Errorf("listen for systemctl: %w", err)
		}
		if err := s.serve(conn); err != nil {
			fmt.Fprintln(os.Stderr, "systemctl:", err)
		}
	}
}

func (s *services) serve(conn net.Conn) error {
	defer conn.Close()
	var args []string
	if err := json.NewDecoder(conn).Decode(&args); err != nil {
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	}
	return json.NewEncoder(conn).Encode(s.execute(args))
}

func (s *services) execute(args []string) reply {
	var words []string
	for _, arg := range args {
		if !strings.HasPrefix(arg, "-") {
			words = append(words, strings.TrimSuffix(arg, ".service"))
		}
	}
	if len(words) == 0 {
		return reply{Code: 1, Output: "no command"}
	}
	if words[0] == "daemon-reload" {
		return reply{}
	}
	for _, name := range words[1:] {
		if s.units[name] == nil {
			return reply{Code: 4, Output: fmt.Sprintf("Unit %s.service could not be found.", name)}
		}
		if answer := s.command(words[0], name); answer.Code != 0 || len(words) == 2 {
			return answer
		}
	}
	return reply{}
}

// command carries out one command on one unit, with systemd's exit codes.
func (s *services) command(verb, name string) reply {
	var err error
	switch verb {
	case "start":
		err = s.start(name)
	case "stop":
		err = s.stop(name)
	case "restart":
		err = errors.Join(s.stop(name), s.start(name))
	case "enable", "disable":
	case "is-enabled":
		return reply{Output: "enabled"}
	case "is-active", "status":
		if !s.active(name) {
			return reply{Code: 3, Output: "inactive"}
		}
		return reply{Output: "active"}
	default:
		return reply{Code: 1, Output: fmt.Sprintf("this machine knows no command %q", verb)}
	}
	if err != nil {
		return reply{Code: 1, Output: err.Error()}
	}
	return reply{}
}
