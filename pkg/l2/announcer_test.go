// SPDX-License-Identifier: Apache-2.0

package l2

import (
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"k8s.io/klog/v2"
)

// bursts is one entry with its announcer, and takes what is due at times since the entry was added.
type bursts struct {
	*testing.T
	*announcer
	*entry
	began time.Time
}

func newBursts(t *testing.T, silent time.Duration) *bursts {
	t.Helper()
	step := func(after time.Duration) Step { return Step{After: after} }
	schedule := Schedule{Burst: []Step{step(0), step(150 * time.Millisecond), step(500 * time.Millisecond)}}
	b := &bursts{T: t, announcer: newAnnouncer(schedule, 1000), entry: &entry{addr: addr("10.9.0.100")}, began: time.Now()}
	b.silent = b.began.Add(silent)
	b.add([]*entry{b.entry})
	if silent == 0 {
		b.began = b.start
	}
	return b
}

// take wants something to be sent then, or else how long there is nothing; later is since began.
func (b *bursts) take(at time.Duration, want bool, wait time.Duration) {
	b.Helper()
	got, until := b.pop(b.began.Add(at))
	if (got != nil) != want || !want && until != wait {
		b.Fatalf("after %v: taken %v, wait %v; want %v, %v", at, got != nil, until, want, wait)
	}
	if want {
		if b.step == 0 {
			b.unannounced--
		}
		b.step++
		b.schedule(b.entry, b.began.Add(at))
	}
}

func TestPostponedStepsKeepTheirDistance(t *testing.T) {
	b := newBursts(t, 0)
	b.take(0, true, 0)
	b.postpone([]*entry{b.entry}, b.began.Add(time.Second))
	b.take(200*time.Millisecond, false, 800*time.Millisecond)
	b.take(time.Second, true, 0)
	b.take(time.Second, false, 350*time.Millisecond)
	b.take(1350*time.Millisecond, true, 0)
	b.take(time.Hour, false, idle)
}

// TestFirstAnnouncementIsNotPutOff: where thousands of addresses are announced, some wait for their turn.
func TestFirstAnnouncementIsNotPutOff(t *testing.T) {
	b := newBursts(t, 0)
	b.postpone([]*entry{b.entry}, b.began.Add(time.Second))
	b.take(20*time.Millisecond, true, 0)
	b.take(200*time.Millisecond, false, 800*time.Millisecond)
}

func TestEntryOfASilentAddressWaits(t *testing.T) {
	b := newBursts(t, time.Second)
	b.take(200*time.Millisecond, false, 800*time.Millisecond)
	b.take(time.Second, true, 0)
	b.take(time.Second, false, 150*time.Millisecond)
}

// TestRestart ends a silence, and begins anew what was over.
func TestRestart(t *testing.T) {
	for _, steps := range []int{0, 1, 3} {
		b := newBursts(t, 0)
		for range steps {
			b.take(time.Second, true, 0)
		}
		b.postpone([]*entry{b.entry}, b.began.Add(time.Hour))
		b.restart([]*entry{b.entry})
		if n := b.waiting(); n != 1 {
			t.Errorf("after %d steps and a restart %d wait for their first announcement, want 1", steps, n)
		}
		b.began = b.start
		b.take(0, true, 0)
		b.take(0, false, 150*time.Millisecond)
		b.take(150*time.Millisecond, true, 0)
		b.take(500*time.Millisecond, true, 0)
		b.take(time.Hour, false, idle)
	}
}

// fullConn is a socket of an interface whose queue stands: what is written waits, as long as it may.
type fullConn struct {
	net.PacketConn
	until   time.Time
	writing chan struct{} // closed by a write
	freed   chan struct{} // closed when there is room
}

func (c *fullConn) SetWriteDeadline(t time.Time) error {
	c.until = t
	return nil
}

func (c *fullConn) WriteTo(frame []byte, _ net.Addr) (int, error) {
	var late <-chan time.Time
	if !c.until.IsZero() {
		late = time.After(time.Until(c.until))
	}
	close(c.writing)
	select {
	case <-late:
		return 0, os.ErrDeadlineExceeded
	case <-c.freed:
		return len(frame), nil
	}
}

// TestInterfaceThatSendsNothingHoldsNobodyUp: what is to be withdrawn, or announced on other interfaces, does not wait for it.
func TestInterfaceThatSendsNothingHoldsNobodyUp(t *testing.T) {
	conn := &fullConn{writing: make(chan struct{}), freed: make(chan struct{})}
	b := newBursts(t, 0)
	b.port = &port{family: arpFamily(), conn: conn, stats: &familyCounters{}}
	var sending, withdrawing sync.WaitGroup
	sending.Go(func() { b.sendNext(klog.Background(), b.began) })
	<-conn.writing
	withdrawn := make(chan struct{})
	withdrawing.Go(func() { b.drop(b.entry); close(withdrawn) })
	select {
	case <-withdrawn:
	case <-time.After(10 * time.Second):
		t.Error("an address is not withdrawn in 10 s")
	}
	close(conn.freed)
	sending.Wait()
	withdrawing.Wait()
}
