package web_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkServeFile serves 10 MB over a connection, beside the file server of net/http. The times
// have what the client takes in them, which is the same for both.
func BenchmarkServeFile(b *testing.B) {
	const size = 10 << 20
	content := make([]byte, size)
	b.Run("kaban", func(b *testing.B) {
		f, owner := claimed(b, "open")
		id := f.file(owner, "long.bin", string(content))
		getOften(b, f.host, "/v1/files/"+id, owner.Secret, size)
	})
	b.Run("net/http", func(b *testing.B) {
		dir := b.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "long.bin"), content, 0o600); err != nil {
			b.Fatal(err)
		}
		s := httptest.NewServer(http.FileServer(http.Dir(dir)))
		defer s.Close()
		getOften(b, s.Listener.Addr().String(), "/long.bin", "", size)
	})
}

func getOften(b *testing.B, host, path, secret string, size int64) {
	b.Helper()
	conn, err := net.Dial("tcp", host)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	reader := bufio.NewReaderSize(conn, 1<<20)
	b.SetBytes(size)
	for b.Loop() {
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n", path, host, secret)
		answer, err := http.ReadResponse(reader, nil)
		if err != nil || answer.StatusCode != http.StatusOK {
			b.Fatal(answer, err)
		}
		if n, err := io.Copy(io.Discard, answer.Body); n != size || err != nil {
			b.Fatal(n, err)
		}
	}
}
