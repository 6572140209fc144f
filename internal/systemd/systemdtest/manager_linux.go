package systemdtest

import (
	"errors"
	"net"
	"path/filepath"
	"syscall"
	"testing"
)

// maxMessage is the longest notification in bytes.
const maxMessage = 4096

// Manager is the socket of a service manager. Its methods are for one goroutine.
type Manager struct {
	t    testing.TB
	conn *net.UnixConn
}

// NewManager opens a socket and names it in NOTIFY_SOCKET until the test ends.
func NewManager(t testing.TB) *Manager {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return &Manager{t, conn}
}

// Take returns the notifications since the last call, without waiting, which suits a
// bubble of synctest.
func (m *Manager) Take() (messages []string) {
	m.t.Helper()
	raw, err := m.conn.SyscallConn()
	if err != nil {
		m.t.Fatal(err)
	}
	buffer := make([]byte, maxMessage)
	for {
		var n int
		var failed error
		if err := raw.Read(func(fd uintptr) bool {
			n, _, failed = syscall.Recvfrom(int(fd), buffer, syscall.MSG_DONTWAIT)
			return true
		}); err != nil {
			m.t.Fatal(err)
		}
		if errors.Is(failed, syscall.EAGAIN) {
			return messages
		}
		if failed != nil {
			m.t.Fatal(failed)
		}
		messages = append(messages, string(buffer[:n]))
	}
}
