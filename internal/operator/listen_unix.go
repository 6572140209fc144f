//go:build !windows

package operator

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// socketMode lets nobody but the user of the server connect.
const socketMode = 0o600

// hiddenPrefix begins the name of the directory in which the socket is made.
const hiddenPrefix = ".admin-"

// listen makes the socket where nobody else can reach it, and moves it to its place
// once it has its mode.
func listen(dir string) (l net.Listener, err error) {
	left, err := filepath.Glob(filepath.Join(escapeGlob(dir), hiddenPrefix+"*"))
	if err != nil {
		return nil, err
	}
	for _, of := range left { // a server that was killed while it was here
		if err := os.RemoveAll(of); err != nil {
			return nil, err
		}
	}
	hidden, err := os.MkdirTemp(dir, hiddenPrefix) // with mode 0700
	if err != nil {
		return nil, err
	}
	defer func() {
		if gone := os.RemoveAll(hidden); err == nil && gone != nil {
			err = errors.Join(gone, l.Close())
		}
	}()
	err = withAddress(hidden, "s", func(address string) error {
		l, err = net.Listen("unix", address)
		return err
	})
	if err != nil {
		return nil, err
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // it would remove the former name
	made := filepath.Join(hidden, "s")
	if err := os.Chmod(made, socketMode); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	path := filepath.Join(dir, SocketName)
	if info, err := os.Lstat(path); err == nil && info.Mode()&os.ModeSocket == 0 {
		return nil, errors.Join(fmt.Errorf("%s is in the way; it is no socket", path), l.Close())
	}
	if err := os.Rename(made, path); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// escapeGlob escapes a path for filepath.Glob.
func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

// isRefused reports whether nobody listens behind a socket.
func isRefused(error) bool { return false }
