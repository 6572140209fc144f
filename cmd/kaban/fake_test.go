package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"kaban/wire"
)

// asking has the fields of a request that a fake server needs.
type asking struct{ Type, Ref, Room, ID string }

// fakeWelcome is the answer to the hello of an account.
const fakeWelcome = `{"type":"welcome","version":1,"session":"s","username":"ann","account":{"username":"ann","name":"ann","role":"member","bot":false},"server":"fake","limits":{"username":32,"content":5000,"frame":65536},"heartbeat":30}`

// failing returns the error with a code for a request.
func failing(a asking, code wire.Code) string {
	return fmt.Sprintf(`{"type":"error","code":%q,"message":"no","ref":%q}`, code, a.Ref)
}

// newFake starts a server for one connection at a time, and returns its address. It
// answers requests with lines, and is gone after those that end with "gone".
func newFake(t *testing.T, answer func(asking) (lines string)) (addr string) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			for lines := bufio.NewScanner(c); lines.Scan(); {
				var a asking
				if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
					t.Errorf("%q: %v", lines.Text(), err)
				}
				said, gone := strings.CutSuffix(answer(a), "\ngone")
				if gone {
					l.Close()
				}
				fmt.Fprintln(c, said)
				if gone {
					break
				}
			}
			c.Close()
		}
	}()
	return l.Addr().String()
}

// joined is the answer to a join.
func joined(a asking) string {
	return fmt.Sprintf(`{"type":"joined","room":%q,"epoch":"e","head":0,"members":1,"ref":%q}`, a.Room, a.Ref)
}

// acknowledged is the answer to a message.
func acknowledged(a asking) string {
	return fmt.Sprintf(`{"type":"ack","room":%q,"id":%q,"seq":1,"time":"2026-11-24T02:35:37.101Z","ref":%q}`, a.Room, a.ID, a.Ref)
}

// With --join, no other answer than that to the join keeps a message from being sent.
func TestJoiningNeedsNoOtherAnswer(t *testing.T) {
	newTown(t) // an empty home
	addr := newFake(t, func(a asking) string {
		switch a.Type {
		case "hello":
			return fakeWelcome
		case "join":
			return joined(a)
		case "send":
			return acknowledged(a)
		}
		return failing(a, wire.CodeUnavailable)
	})
	code, stdout, stderr := kabanRuns("", "send", "--join", "square", "hello", "--server", addr, "--token-file", file(t, "kaban_token_x"))
	if code != exitDone || stdout+stderr != "" {
		t.Errorf("got %d %q %q", code, stdout, stderr)
	}
}

// The filter says why the server ended its session, also if the server is gone by then.
func TestPlainChatOfAServerThatIsGone(t *testing.T) {
	newTown(t)
	addr := newFake(t, func(a asking) string {
		switch a.Type {
		case "hello":
			return fakeWelcome
		case "join":
			return joined(a) +
				"\n" + `{"type":"goodbye","reason":"auth"}` + "\ngone"
		}
		return failing(a, wire.CodeUnavailable)
	})
	var out bytes.Buffer
	args := []string{"chat", "--plain", "square", "--server", addr, "--token-file", file(t, "kaban_token_x")}
	code := run(args, streams{in: idle(t), out: io.Discard, err: &out})
	if stderr := out.String(); code != exitFailed || !strings.Contains(stderr, "did not accept the name or the sign-in (auth)") {
		t.Errorf("got %d %q", code, stderr)
	}
}
