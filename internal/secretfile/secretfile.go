// Package secretfile reads secrets of the server from files. A secret is never on a
// command line or in the environment, which other users of the machine may read.
//
// A name that begins with "credential:" is a credential of systemd: the file of that name
// in $CREDENTIALS_DIRECTORY, which only the service can read. See systemd.exec(5),
// "LoadCredential=".
package secretfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Credential begins the name of a credential of systemd.
const Credential = "credential:"

// othersMay are the permissions that a file with a secret should not give: the group may
// read it, and others may do nothing.
const othersMay = 0o027

// ErrNoCredentials means that a credential is named, and systemd has passed none.
var ErrNoCredentials = errors.New("the service manager has passed no credentials; add LoadCredential= to the unit")

// ErrNoFile means that there is something else than a file, such as a directory or a FIFO.
var ErrNoFile = errors.New("it is not a regular file")

// Path returns the file that a name means.
func Path(name string) (string, error) {
	credential, ok := strings.CutPrefix(name, Credential)
	if !ok {
		return name, nil
	}
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	switch {
	case credential == "" || credential == "." || credential == ".." || strings.ContainsAny(credential, `/\`):
		return "", fmt.Errorf("%q is no name of a credential; write it like %soidc_client_secret", name, Credential)
	case dir == "":
		return "", fmt.Errorf("%s: %w", name, ErrNoCredentials)
	}
	return filepath.Join(dir, credential), nil
}

// Read returns the secret that a file has, without the white space around it. An error
// does not have it. If others can read the file, warning says so and what to do.
func Read(name string, maxBytes int) (secret, warning string, err error) {
	path, err := Path(name)
	if err != nil {
		return "", "", err
	}
	info, err := os.Stat(path) // before it is opened: a FIFO waits for a writer
	if err != nil {
		return "", "", err
	}
	if !info.Mode().IsRegular() {
		return "", "", fmt.Errorf("%s: %w", path, ErrNoFile)
	}
	file, err := os.Open(path)
	if err != nil {
		return "", "", err
	}
	defer file.Close()
	if mode := info.Mode().Perm(); mode&othersMay != 0 && runtime.GOOS != "windows" {
		warning = fmt.Sprintf("others can read or change %s, which has a secret; use chmod 600 (it has mode %04o)", path, mode)
	}
	data, err := io.ReadAll(io.LimitReader(file, int64(maxBytes)+1))
	if err != nil {
		return "", warning, err
	}
	secret = strings.TrimSpace(string(data))
	if secret == "" || len(data) > maxBytes {
		return "", warning, fmt.Errorf("%s has no secret of at most %d bytes", path, maxBytes)
	}
	return secret, warning, nil
}
