package peer

import (
	"strings"
	"testing"
)

func BenchmarkPreamble(b *testing.B) {
	r, p := behind(b)
	data := frame(0x21, 0x11, body4, extension(0x20, 1, 0, 0, 0, 0))
	b.ReportAllocs()
	for b.Loop() {
		r.Preamble(p, data)
	}
}

// Whoever sends the worst headers costs the server little.
func BenchmarkForwarded(b *testing.B) {
	r, p := behind(b)
	for name, h := range map[string]headers{
		"one hop":           {headerFor: {"192.0.2.1"}, headerProto: {"https"}},
		"32 hops of 16 KiB": {headerForwarded: {strings.Repeat("for=1.1.1.1,", 1300) + strings.Repeat("for=10.0.0.2,", 31)}},
		"64 KiB":            {headerFor: {strings.Repeat("1.1.1.1,", 8<<10) + "192.0.2.1"}},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r.Forwarded(p, h)
			}
		})
	}
}
