package web_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A refusal does not wait for a body: neither for one that is too long, nor for one that
// nobody reads. The connection then ends without a reset that would lose the answer.
func TestRefusalsAreAtOnce(t *testing.T) {
	f := serve(t)
	for name, c := range map[string]struct {
		head   string
		status int
	}{
		"too long":        {"POST /v1/rooms/lobby/messages HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 100000000\r\n", 413},
		"another origin":  {"POST /v1/session HTTP/1.1\r\nOrigin: https://evil.example\r\nContent-Type: application/json\r\nContent-Length: 100\r\n", 403},
		"no such path":    {"POST /v1/nothing HTTP/1.1\r\nContent-Length: 1000000\r\n", 404},
		"chunked":         {"POST /v1/nothing HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", 404},
		"no such account": {"POST /v1/admin/users HTTP/1.1\r\nAuthorization: Bearer kaban_wrong\r\nContent-Type: application/json\r\nContent-Length: 50000\r\n", 401},
		"a long hook":     {"POST /hooks/x HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 100000000\r\n", 404},
	} {
		conn := f.dialConn()
		conn.SetDeadline(time.Now().Add(25 * time.Second)) // less than bodyTimeout, which was waited for
		if _, err := fmt.Fprintf(conn, "%sHost: localhost\r\n\r\n", c.head); err != nil {
			t.Fatal(err)
		}
		got, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: "POST"})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got.StatusCode != c.status || !got.Close {
			t.Errorf("%s: got %d, and the connection ends: %t, want %d and that it ends", name, got.StatusCode, got.Close, c.status)
		}
		if _, err := io.ReadAll(got.Body); err != nil {
			t.Errorf("%s: the answer is not whole: %v", name, err)
		}
	}
}

// A client that sends its body before it reads gets the answer, and one whose short body
// has come keeps its connection.
func TestRefusalsReachThoseWhoSend(t *testing.T) {
	f := serve(t)
	conn := f.dialConn()
	conn.SetDeadline(time.Now().Add(patience))
	const long = 4 << 20
	if _, err := fmt.Fprintf(conn, "POST /v1/rooms/lobby/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", long); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(make([]byte, long)); err != nil {
		t.Errorf("the body is not taken: %v", err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: "POST"})
	if err != nil || answer.StatusCode != 413 {
		t.Fatalf("got %v, %v", answer, err)
	}

	short := f.dialConn()
	short.SetDeadline(time.Now().Add(patience))
	replies := bufio.NewReader(short)
	for range 3 {
		if _, err := io.WriteString(short, "POST /v1/nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"+strings.Repeat("x", 100)); err != nil {
			t.Fatal(err)
		}
		got, err := http.ReadResponse(replies, &http.Request{Method: "POST"})
		if err != nil || got.StatusCode != 404 || got.Close {
			t.Fatalf("got %v, %v, want 404 on a connection that goes on", got, err)
		}
		io.Copy(io.Discard, got.Body)
	}
}
