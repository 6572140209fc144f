package tcp_test

import (
	"io"
	"net"
	"testing"
	"time"

	"kaban/internal/tcp"
)

// Untaken shows that the peer's TCP accepts buffered data even while the kernel
// accepts no more writes.
func TestProgressInTheKernel(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	theirs, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	ours, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	ours.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
	written, err := io.CopyN(ours, zeros{}, 1<<30)
	if err == nil {
		t.Fatalf("the kernel accepted %d bytes for a peer that does not read", written)
	}
	before := tcp.Untaken(ours)
	if before <= 0 {
		t.Fatalf("%d bytes are unacknowledged, want some of %d", before, written)
	}
	for end, read := time.Now().Add(2*time.Minute), 0; tcp.Untaken(ours) >= before; {
		n, err := theirs.Read(make([]byte, 64<<10))
		if read += n; err != nil || time.Now().After(end) {
			t.Fatalf("the peer read %d bytes, %v; %d are still unacknowledged", read, err, tcp.Untaken(ours))
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }
