// SPDX-License-Identifier: Apache-2.0

package bgp

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fairlead-io/fairlead/e2e/netnstest"
)

// TestMain runs the tests in a process with a network of its own: GoBGP opens sockets on threads of its choice, so that it
// is not enough to put one thread there.
func TestMain(m *testing.M) {
	// GoBGP drains the queue of a removed peer without waiting for the goroutine that fills it. Where something is queued, as
	// for a peer that has stopped reading, that goroutine is left behind: one for each peer removed at most.
	netnstest.Main(func() {
		goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/eapache/channels.(*InfiniteChannel).infiniteBuffer"))
	})
}

// router is a network namespace at the other end of a cable, with the programs of a router in it.
type router struct {
	t      *testing.T
	name   string // also of the cable's end on this side
	dir    string
	holder *exec.Cmd // the process that the namespace lives by
	own    netip.Addr
	ours   netip.Addr
	own6   netip.Addr
	ours6  netip.Addr
}

// newRouter lays a cable numbered n, from 1, with 10.9.n.1 and fd09:n::1 on this side and ...2 on the router's.
func newRouter(t *testing.T, name string, n int) *router {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	for _, program := range []string{"ip", "nsenter", "/usr/lib/frr/bgpd", "vtysh", "/usr/sbin/bird", "/usr/sbin/birdc"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is missing: install iproute2, util-linux, frr and bird2", program)
		}
	}
	r := &router{
		t: t, name: name, dir: t.TempDir(), holder: exec.Command("sleep", "infinity"),
		own: netip.MustParseAddr(fmt.Sprintf("10.9.%d.2", n)), ours: netip.MustParseAddr(fmt.Sprintf("10.9.%d.1", n)),
		own6: netip.MustParseAddr(fmt.Sprintf("fd09:%d::2", n)), ours6: netip.MustParseAddr(fmt.Sprintf("fd09:%d::1", n)),
	}
	r.holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := r.holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.holder.Process.Kill()
		r.holder.Wait()
		exec.Command("ip", "link", "del", name).Run()
	})
	run(t, "ip", "link", "set", "lo", "up")
	run(t, "ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", fmt.Sprint(r.holder.Process.Pid))
	run(t, "ip", "addr", "add", r.ours.String()+"/24", "dev", name)
	run(t, "ip", "addr", "add", r.ours6.String()+"/64", "dev", name, "nodad")
	run(t, "ip", "link", "set", name, "up")
	r.run("ip", "link", "set", "lo", "up")
	r.run("ip", "addr", "add", r.own.String()+"/24", "dev", "eth0")
	r.run("ip", "addr", "add", r.own6.String()+"/64", "dev", "eth0", "nodad")
	// FRR refuses IPv6 sessions while the link-local address is tentative.
	r.run("sysctl", "-qw", "net.ipv6.conf.eth0.accept_dad=0")
	r.run("ip", "link", "set", "eth0", "up")
	r.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
	return r
}

func run(t *testing.T, argv ...string) string {
	t.Helper()
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", argv, err, out)
	}
	return string(out)
}

// enter gives the command line that runs argv in the router's namespace.
func (r *router) enter(argv ...string) []string {
	return append([]string{"nsenter", fmt.Sprintf("--net=/proc/%d/ns/net", r.holder.Process.Pid)}, argv...)
}

func (r *router) run(argv ...string) string {
	r.t.Helper()
	return run(r.t, r.enter(argv...)...)
}

// daemon runs a program in the router until the test ends.
func (r *router) daemon(argv ...string) {
	r.t.Helper()
	log, err := os.Create(filepath.Join(r.dir, filepath.Base(argv[0])+".log"))
	if err != nil {
		r.t.Fatal(err)
	}
	argv = r.enter(argv...)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		log.Close()
		if r.t.Failed() {
			text, _ := os.ReadFile(log.Name())
			r.t.Logf("%s of %s:\n%s", filepath.Base(log.Name()), r.name, text)
		}
	})
}

// frr starts zebra, bgpd and bfdd with this configuration of bgpd.
func (r *router) frr(config string) {
	r.t.Helper()
	// The daemons give up root, for which the test's own directory is closed.
	dir, err := os.MkdirTemp("", "fairlead-frr-")
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { os.RemoveAll(dir) })
	r.dir = dir
	run(r.t, "chown", "frr:frr", dir)
	for _, name := range []string{"zebra", "bfdd", "bgpd"} {
		file := filepath.Join(r.dir, name+".conf")
		text := ""
		if name == "bgpd" {
			text = config
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			r.t.Fatal(err)
		}
		argv := []string{
			"/usr/lib/frr/" + name, "-f", file, "-i", filepath.Join(r.dir, name+".pid"),
			"-z", filepath.Join(r.dir, "zserv.api"), "--vty_socket", r.dir, "-P", "0", "--log", "stdout",
		}
		if name == "bfdd" {
			argv = append(argv, "--bfdctl", filepath.Join(r.dir, "bfdd.sock"))
		}
		r.daemon(argv...)
		r.await(name+" answers", func() (bool, string) {
			_, err := os.Stat(filepath.Join(r.dir, name+".vty"))
			return err == nil, fmt.Sprint(err)
		})
	}
}

// vtysh returns what FRR says to a command.
func (r *router) vtysh(commands ...string) string {
	r.t.Helper()
	argv := []string{"vtysh", "--vty_socket", r.dir}
	for _, c := range commands {
		argv = append(argv, "-c", c)
	}
	return r.run(argv...)
}

// bird starts BIRD with this configuration.
func (r *router) bird(config string) {
	r.t.Helper()
	file := filepath.Join(r.dir, "bird.conf")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		r.t.Fatal(err)
	}
	r.daemon("/usr/sbin/bird", "-f", "-c", file, "-s", filepath.Join(r.dir, "bird.ctl"))
	r.await("bird answers", func() (bool, string) {
		_, err := os.Stat(filepath.Join(r.dir, "bird.ctl"))
		return err == nil, fmt.Sprint(err)
	})
}

func (r *router) birdc(command string) string {
	r.t.Helper()
	return r.run("/usr/sbin/birdc", "-s", filepath.Join(r.dir, "bird.ctl"), command)
}

// frrPath is what FRR knows of one path.
type frrPath struct {
	ASPath struct {
		String string `json:"string"`
	} `json:"aspath"`
	Metric            *uint32                 `json:"metric"`
	LocalPref         *uint32                 `json:"locPrf"`
	Stale             bool                    `json:"stale"`
	Community         struct{ String string } `json:"community"`
	LargeCommunity    struct{ String string } `json:"largeCommunity"`
	ExtendedCommunity struct{ String string } `json:"extendedCommunity"`
	Nexthops          []struct {
		IP    string `json:"ip"`
		Scope string `json:"scope"`
	} `json:"nexthops"`
}

// path returns FRR's best path to a prefix; nil if it has none.
func (r *router) path(prefix string) *frrPath {
	r.t.Helper()
	family := "ipv4"
	if strings.Contains(prefix, ":") {
		family = "ipv6"
	}
	var answer struct {
		Paths []frrPath `json:"paths"`
	}
	out := r.vtysh(fmt.Sprintf("show bgp %s unicast %s json", family, prefix))
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		r.t.Fatalf("%v in %q", err, out)
	}
	if len(answer.Paths) == 0 {
		return nil
	}
	return &answer.Paths[0]
}

// has waits until FRR has, or has not, a path to a prefix, and returns it.
func (r *router) has(prefix string, want bool) *frrPath {
	r.t.Helper()
	var p *frrPath
	r.await(fmt.Sprintf("%s is there: %v", prefix, want), func() (bool, string) {
		p = r.path(prefix)
		return (p != nil) == want, r.vtysh("show bgp summary")
	})
	return p
}

func (r *router) await(what string, check func() (bool, string)) {
	r.t.Helper()
	await(r.t, r.name+": "+what, check)
}

// await fails the test when check does not come true in half a minute.
func await(t *testing.T, what string, check func() (ok bool, detail string)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, detail := check()
		if ok {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not within 30s\n%s", what, detail)
		case <-tick.C:
		}
	}
}
