package operator

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"
)

// listen replaces the socket of a server that has ended.
func listen(dir string) (l net.Listener, err error) {
	if err := os.Remove(filepath.Join(dir, SocketName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	err = withAddress(dir, SocketName, func(address string) error {
		l, err = net.Listen("unix", address)
		return err
	})
	return l, err
}

// isRefused reports whether nobody listens behind a socket.
func isRefused(err error) bool { return errors.Is(err, windows.WSAECONNREFUSED) }
