package web_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/account"
	"kaban/internal/nodetest"
	"kaban/internal/web"
)

// sender is a connection that sends files as a system does: what it could not send stays in the
// file.
type sender struct {
	net.Conn
	calls int
}

func (s *sender) ReadFrom(from io.Reader) (sent int64, err error) {
	s.calls++
	limited := from.(*io.LimitedReader)
	file := limited.R.(*os.File)
	buffer := make([]byte, 4<<10)
	for limited.N > 0 {
		at, err := file.Seek(0, io.SeekCurrent)
		if err != nil {
			return sent, err
		}
		n, err := file.ReadAt(buffer[:min(limited.N, int64(len(buffer)))], at)
		if n == 0 {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return sent, err
		}
		n, writeErr := s.Write(buffer[:n])
		if _, err := file.Seek(int64(n), io.SeekCurrent); err != nil {
			return sent, err
		}
		sent, limited.N = sent+int64(n), limited.N-int64(n)
		if writeErr != nil {
			return sent, writeErr
		}
	}
	return sent, nil
}

// someFile returns a file of random bytes, and these.
func someFile(t *testing.T, size int) (*os.File, []byte) {
	t.Helper()
	content := make([]byte, size)
	random := rand.NewChaCha8([32]byte{1})
	random.Read(content)
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, content
}

// The system sends a file for as long as the reader takes some of it, over many deadlines. Nothing
// is lost or repeated. A reader that stops ends it.
func TestFilesGoToSlowReaders(t *testing.T) {
	file, content := someFile(t, 2*web.FilePiece+3000)
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		conn := &sender{Conn: here}
		got, taken := make(chan []byte), 2*web.FilePiece+1000
		go func() {
			all, buffer := []byte(nil), make([]byte, 4<<10)
			for len(all) < taken {
				time.Sleep(20 * time.Second)
				n, err := there.Read(buffer[:min(len(buffer), taken-len(all))])
				if all = append(all, buffer[:n]...); err != nil {
					break
				}
			}
			got <- all
		}()
		sent, err := make(chan int64, 1), make(chan error, 1)
		go func() {
			n, e := web.SendFile(conn, file, int64(len(content)))
			sent <- n
			err <- e
		}()
		if all := <-got; !bytes.Equal(all, content[:taken]) {
			t.Errorf("%d other bytes came than the first %d", len(all), taken)
		}
		stopped := time.Now()
		if n, e := <-sent, <-err; n != int64(taken) || !errors.Is(e, os.ErrDeadlineExceeded) {
			t.Errorf("%d bytes were sent, %v; want %d, and the end", n, e, taken)
		}
		if waited := time.Since(stopped); waited < web.StallTime-10*time.Second || waited > web.StallTime+10*time.Second {
			t.Errorf("a reader that had stopped was waited for %s", waited)
		}
		if conn.calls < 3 {
			t.Errorf("the connection sent %d pieces; want three or more", conn.calls)
		}
		here.Close()
		there.Close()
	})
}

// A file that is shorter than it should be ends early, and a connection that cannot send files gets
// their bytes.
func TestFilesThatAreSentOtherwise(t *testing.T) {
	file, content := someFile(t, web.FilePiece+100)
	for name, wrap := range map[string]func(net.Conn) net.Conn{
		"sent by the system": func(c net.Conn) net.Conn { return &sender{Conn: c} },
		"copied":             func(c net.Conn) net.Conn { return c },
	} {
		if _, err := file.Seek(50, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		here, there := net.Pipe()
		got := make(chan []byte)
		go func() {
			all, _ := io.ReadAll(there)
			got <- all
		}()
		n, err := web.SendFile(wrap(here), file, 2*web.FilePiece)
		here.Close()
		if all := <-got; err != nil || n != int64(len(content)-50) || !bytes.Equal(all, content[50:]) {
			t.Errorf("%s: %d bytes, %v, and %d came; want %d", name, n, err, len(all), len(content)-50)
		}
	}
}

// What comes over a real connection is what is in the file, also a part of it that begins and ends
// within pieces.
func TestALongFileComesWhole(t *testing.T) {
	f, owner := claimed(t, "open")
	_, content := someFile(t, 5*web.FilePiece+77)
	id := f.file(owner, "long.bin", string(content))
	if got := f.get("/v1/files/"+id, bearer(owner)...).has(t, 200); got.body != string(content) {
		t.Errorf("%d other bytes came", len(got.body))
	}
	from, to := 1000, 3*web.FilePiece+5
	headers := append(bearer(owner), "Range", fmt.Sprintf("bytes=%d-%d", from, to))
	if got := f.get("/v1/files/"+id, headers...).has(t, 206); got.body != string(content[from:to+1]) {
		t.Errorf("%d other bytes of a part came", len(got.body))
	}
}

// A download that has begun ends with the right to it, also if nobody reads.
func TestADownloadEndsWithTheRight(t *testing.T) {
	nodetest.One(t, "it watches what a node has open")
	const size = 8 << 20 // more than all buffers on the way
	content := strings.Repeat("secret", size/6)
	for name, end := range map[string]func(f *fixture, ann, eve account.Session){
		"kicked": func(f *fixture, ann, _ account.Session) { f.act(ann, access.Kick, "den", "eve") },
		"suspended": func(f *fixture, ann, _ account.Session) {
			f.must(f.accounts.Suspend(f.t.Context(), account.Operator(), "eve", ""))
		},
		"signed out": func(f *fixture, _, eve account.Session) {
			f.must(f.accounts.RevokeDevice(f.t.Context(), eve.Principal.As(""), eve.Principal.SecretID))
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, _ := claimed(t, "open")
			ann, eve := f.person("ann", kaban.RoleMember), f.person("eve", kaban.RoleMember)
			f.private("den", ann, eve)
			id := f.file(ann, "long.txt", content)
			f.message(ann, "den", id)
			conn, err := net.Dial("tcp", f.host)
			f.must(err)
			defer conn.Close()
			conn.(*net.TCPConn).SetReadBuffer(4 << 10)
			conn.SetDeadline(time.Now().Add(patience))
			fmt.Fprintf(conn, "GET /v1/files/%s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n", id, f.host, eve.Secret)
			_, err = io.ReadFull(conn, make([]byte, 10_000))
			f.must(err)
			end(f, ann, eve)
			f.until("the download is cut", func() bool { return f.web.Downloads() == 0 })
			if rest, _ := io.Copy(io.Discard, conn); rest > size/2 {
				t.Errorf("%d more bytes came", rest)
			}
		})
	}
	t.Run("nothing", func(t *testing.T) {
		f, owner := claimed(t, "open")
		id := f.file(owner, "long.txt", content)
		conn, err := net.Dial("tcp", f.host)
		f.must(err)
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(patience))
		fmt.Fprintf(conn, "GET /v1/files/%s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nConnection: close\r\n\r\n", id, f.host, owner.Secret)
		time.Sleep(3 * time.Second) // some looks
		if got, err := io.ReadAll(conn); err != nil || !strings.HasSuffix(string(got), "\r\n\r\n"+content) {
			t.Errorf("%d bytes came, %v", len(got), err)
		}
	})
}
