package conn_test

import (
	"crypto/tls"
	"testing"
)

// FuzzTLS has a peer send anything instead of a handshake, or behind one, in pieces. No
// handler may panic, and what is held stays bounded.
func FuzzTLS(f *testing.F) {
	f.Add([]byte("\x16\x03\x01\x00\x04\x01\x00\x00\x00"), uint8(1), false)
	f.Add([]byte("\x17\x03\x03\x00\x20"), uint8(3), true)
	f.Add([]byte("{\"type\":\"hello\"}\n"), uint8(0), false)
	f.Fuzz(func(t *testing.T, data []byte, piece uint8, greeted bool) {
		l := turnTLS(t)
		var p *turnedPeer
		if greeted {
			p = l.secure(tls.VersionTLS13, 0).turnedPeer
		} else {
			p = l.newcomer()
		}
		for len(data) > 0 && !p.gone {
			n := min(int(piece)+1, len(data))
			p.in = append(p.in, data[:n]...)
			data = data[n:]
			l.loop.Readable(p.h)
			l.step()
		}
		p.ended = true
		l.loop.Readable(p.h)
		l.until("it is over", func() bool { return p.gone || p.half })
		if n := l.manager.Panics(); n > 0 {
			t.Errorf("%d panics", n)
		}
	})
}
