// SPDX-License-Identifier: Apache-2.0

package membership

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/memberlist"
)

func key(b byte) []byte { return bytes.Repeat([]byte{b}, 16) }

func TestDatagramSurvivesTheWire(t *testing.T) {
	long := strings.Repeat("x", maxNameLen)
	var most []subject
	for i := range maxAccused {
		most = append(most, subject{long, bootID{byte(i)}})
	}
	for _, g := range []datagram{
		{from: subject{"a", bootID{1}}, seq: 1, kind: sendBeat},
		{from: subject{"a", bootID{1}}, seq: 1 << 60, kind: sendAccuse, accused: []subject{{"b", bootID{2}}, {"c.example", bootID{3}}}},
		{from: subject{long, bootID{1}}, seq: 9, kind: sendAccuse, accused: most},
	} {
		b, err := newSealer([][]byte{key(1)}).seal(g)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > maxDatagram {
			t.Errorf("datagram of %d bytes, limit is %d", len(b), maxDatagram)
		}
		got, err := newSealer([][]byte{key(2), key(1)}).open(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(g, got, cmp.AllowUnexported(datagram{}, subject{})); diff != "" {
			t.Error(diff)
		}
		if _, err := newSealer([][]byte{key(2)}).open(b); err == nil {
			t.Error("opened with another key")
		}
		for i := range b {
			forged := bytes.Clone(b)
			forged[i] ^= 1
			if _, err := newSealer([][]byte{key(1)}).open(forged); err == nil {
				t.Fatalf("opened although byte %d was changed", i)
			}
		}
	}
}

func FuzzDatagram(f *testing.F) {
	seal := newSealer([][]byte{key(1)})
	b, _ := seal.seal(datagram{from: subject{"a", bootID{1}}, seq: 1, kind: sendBeat})
	f.Add(b)
	f.Add(datagram{from: subject{"a", bootID{1}}, kind: sendAccuse, accused: []subject{{"b", bootID{2}}}}.body())
	f.Fuzz(func(t *testing.T, b []byte) {
		if g, err := seal.open(b); err == nil && g.kind == 0 {
			t.Error("opened a datagram without a kind")
		}
		var g datagram
		if g.parseBody(b) == nil && !bytes.Equal(g.body(), b) {
			t.Errorf("%x is read as %+v, which is written as %x", b, g, g.body())
		}
	})
}

func FuzzEnvelope(f *testing.F) {
	f.Add(envelope{kind: envelopeMessage, seq: 3, from: "a", payload: []byte("x")}.marshal())
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := parseEnvelope(b); err == nil && !bytes.Equal(e.marshal(), b) {
			t.Errorf("%x is written as %x", b, e.marshal())
		}
	})
}

func TestMetaSurvivesTheWire(t *testing.T) {
	want := meta{boot: newBootID(), heartbeatPort: 7947, leaving: true}
	b := want.marshal()
	if len(b) > memberlist.MetaMaxSize {
		t.Errorf("%d bytes, limit is %d", len(b), memberlist.MetaMaxSize)
	}
	got, err := parseMeta(append(b, "of a later version"...))
	if err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	for _, bad := range [][]byte{nil, b[:5], append([]byte{9}, b[1:]...)} {
		if _, err := parseMeta(bad); err == nil {
			t.Errorf("accepted %x", bad)
		}
	}
}

func TestReplayWindow(t *testing.T) {
	var w replayWindow
	for _, step := range []struct {
		seq  uint64
		want bool
	}{
		{0, false},
		{1, true},
		{1, false},
		{5, true},
		{3, true},
		{3, false},
		{1000, true},
		{5, false},
		{1500, true},
		{5, false},
		{477, true},
		{476, false},
		{1499, true},
		{1 << 40, true},
		{1500, false},
		{1<<40 - 1, true},
	} {
		if got := w.accept(step.seq); got != step.want {
			t.Errorf("accept(%d) = %v, want %v", step.seq, got, step.want)
		}
	}
}

func TestReplaceKeys(t *testing.T) {
	a, b, c, d := key(1), key(2), key(3), key(4)
	for _, tc := range []struct {
		name      string
		have, set [][]byte
	}{
		{"add second", [][]byte{a}, [][]byte{a, b}},
		{"switch", [][]byte{a, b}, [][]byte{b, a}},
		{"drop old", [][]byte{b, a}, [][]byte{b}},
		{"drop from the middle", [][]byte{a, b, c, d}, [][]byte{a, d, c}},
		{"all others", [][]byte{a, b}, [][]byte{c, d}},
		{"same", [][]byte{a, b}, [][]byte{a, b}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ring, err := memberlist.NewKeyring(tc.have, tc.have[0])
			if err != nil {
				t.Fatal(err)
			}
			held, before := ring.GetKeys(), bytes.Join(ring.GetKeys(), nil)
			if err := replaceKeys(ring, tc.set); err != nil {
				t.Fatal(err)
			}
			got := ring.GetKeys()
			if !bytes.Equal(got[0], tc.set[0]) || len(got) != len(tc.set) {
				t.Errorf("ring has %x, want %x", got, tc.set)
			}
			for _, k := range tc.set {
				if !bytes.Contains(bytes.Join(got, nil), k) {
					t.Errorf("key %x is missing", k)
				}
			}
			if !bytes.Equal(bytes.Join(held, nil), before) {
				t.Error("keys moved under a reader")
			}
		})
	}
}
