// SPDX-License-Identifier: Apache-2.0

package community

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	tests := []struct {
		in, want, err string
	}{
		{in: "65000:100", want: "65000:100"},
		{in: "0:0", want: "0:0"},
		{in: "65535:65535", want: "65535:65535"},
		{in: "65000:1:2", want: "65000:1:2"},
		{in: "4294967295:4294967295:4294967295", want: "4294967295:4294967295:4294967295"},
		{in: "no-export", want: "65535:65281"},
		{in: "no-advertise", want: "65535:65282"},
		{in: "graceful-shutdown", want: "65535:0"},
		{in: "blackhole", want: "65535:666"},
		{in: "", err: "want two numbers"},
		{in: "65000", err: "want two numbers"},
		{in: "65536:1", err: `"65536" is not a number from 0 to 65535`},
		{in: "1:65536", err: "65535"},
		{in: "1:2:4294967296", err: `"4294967296" is not a number from 0 to 4294967295`},
		{in: "1:2:3:4", err: "want two numbers"},
		{in: "-1:2", err: `"-1"`},
		{in: "+1:2", err: `"+1"`},
		{in: "1: 2", err: `" 2"`},
		{in: "0x10:1", err: `"0x10"`},
		{in: "No-Export", err: "want two numbers"},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			got, err := Parse(tt.in)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v, want one with %q", err, tt.err)
				}
				return
			}
			if err != nil || got.String() != tt.want {
				t.Fatalf("got %v, %v, want %v", got, err, tt.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"65000:100", "65000:1:2", "no-export", "::", "1:", "99999999999:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := Parse(s)
		if err != nil {
			return
		}
		again, err := Parse(c.String())
		if err != nil || again != c {
			t.Fatalf("%q is %+v, which is written %q and read back as %+v, %v", s, c, c.String(), again, err)
		}
		if !c.Large && (c.Global > 0xFFFF || c.Local1 > 0xFFFF || c.Local2 != 0) {
			t.Fatalf("%q gives %+v, which does not fit a standard community", s, c)
		}
	})
}
