package server_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"kaban/internal/conn"
	"kaban/internal/dispatch"
)

// paced reads so many bytes in a hundredth of a second, in however many pieces they come.
type paced struct {
	io.Reader
	bytes int
	read  int // since the last pause
}

func (p *paced) Read(b []byte) (int, error) {
	if p.read >= p.bytes {
		time.Sleep(10 * time.Millisecond)
		p.read = 0
	}
	n, err := p.Reader.Read(b[:min(len(b), p.bytes-p.read)])
	p.read += n
	return n, err
}

// A reader that is far behind, takes three heartbeats and more to get to a ping,
// and answers each ping when it sees it, is given everything.
func TestASlowReaderIsGivenEverything(t *testing.T) {
	t.Parallel()
	const n, size = 1500, 4000
	f := start(t, conn.Config{Heartbeat: 500 * time.Millisecond}, nil, dispatch.Options{})
	ann := f.join("ann")
	go func() {
		for i := range n {
			fmt.Fprintf(ann.conn, `{"type":"send","room":"lobby","id":"%d","content":"%s"}`+"\n", i, strings.Repeat("x", size))
		}
	}()
	for i := range n {
		ann.expect("ack", "id", i)
		if i%50 == 0 {
			ann.say(`{"type":"pong"}`) // also if it has said all before the acks come
		}
	}
	ann.conn.Close()
	slow := f.hello("slow")
	slow.say(`{"type":"join","room":"lobby","after":0}`)
	slow.decoder = json.NewDecoder(bufio.NewReaderSize(&paced{Reader: slow.conn, bytes: 20 << 10}, 64<<10)) // 2 MB in a second
	for seq := 0; seq < n; {
		slow.conn.SetReadDeadline(time.Now().Add(patience))
		var got frame
		if err := slow.decoder.Decode(&got); err != nil {
			t.Fatalf("after message %d: %v", seq, err)
		}
		switch got["type"] {
		case "message":
			seq++
		case "ping":
			slow.say(`{"type":"pong"}`)
		case "goodbye", "error":
			t.Fatalf("after message %d: %s", seq, got)
		}
	}
}
