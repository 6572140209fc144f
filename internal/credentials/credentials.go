// Package credentials keeps the tokens of a person's accounts, one for each server, in
// a file that only they can read. The file is TOML: a table for each server.
package credentials

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/pelletier/go-toml/v2"

	"kaban/wire"
)

// maxFile is the longest file in bytes.
const maxFile = 1 << 20

// ErrNoHome means that there is no place for the file.
var ErrNoHome = errors.New("there is no directory for credentials; set HOME or XDG_CONFIG_HOME")

// Credential signs in to a server.
type Credential struct {
	Username string
	Token    wire.Secret
	// Device means that the token is that of a device, which can be revoked with it.
	Device bool
	// Web is the http or https address of the server where that is done; "" if it is not
	// known.
	Web string
	// CA and Pin are those of dial.Trust, as texts; "" for none.
	CA, Pin string
	// Place is that of client.Options. It stays after Delete.
	Place wire.Secret
}

// File is the file with the credentials. The zero File has none and cannot be changed.
// Changes replace the file as a whole; of two at the same time the later one counts.
type File struct{ path string }

// Beside returns the file in the directory of another file of the person.
func Beside(path string) File {
	if path == "" {
		return File{}
	}
	return File{filepath.Join(filepath.Dir(path), "credentials.toml")}
}

// Path returns where the file is, or "".
func (f File) Path() string { return f.path }

// saved is a Credential in the file.
type saved struct {
	Username string `toml:"username,omitempty"`
	Token    string `toml:"token,omitempty"`
	Device   bool   `toml:"device,omitempty"`
	Web      string `toml:"web,omitempty"`
	CA       string `toml:"ca,multiline,omitempty"`
	Pin      string `toml:"pin,omitempty"`
	Place    string `toml:"place,omitempty"`
}

// Of returns the credential for a server, an address in its usual form, and whether
// there is one. Without one it may have a Place.
func (f File) Of(server string) (Credential, bool, error) {
	all, err := f.load()
	if err != nil {
		return Credential{}, false, err
	}
	s, ok := all[server]
	c := Credential{Username: s.Username, Token: wire.Secret(s.Token), Device: s.Device || s.Web != "", Web: s.Web, CA: s.CA, Pin: s.Pin, Place: wire.Secret(s.Place)}
	return c, ok && s.Token != "", nil
}

// Put saves the credential for a server.
func (f File) Put(server string, c Credential) error {
	return f.change(func(all map[string]saved) {
		all[server] = saved{Username: c.Username, Token: string(c.Token), Device: c.Device, Web: c.Web, CA: c.CA, Pin: c.Pin, Place: string(c.Place)}
	})
}

// Delete forgets the credential for a server, but not the place, which signs in nobody.
func (f File) Delete(server string) error {
	return f.change(func(all map[string]saved) {
		place := all[server].Place
		delete(all, server)
		if place != "" {
			all[server] = saved{Place: place}
		}
	})
}

// NewPlace returns a secret for Credential.Place, of 130 random bits.
func NewPlace() wire.Secret { return wire.Secret("kaban_place_" + rand.Text()) }

func (f File) change(do func(map[string]saved)) error {
	if f.path == "" {
		return ErrNoHome
	}
	all, err := f.load()
	if err != nil {
		return err
	}
	do(all)
	text := bytes.NewBufferString("# Written by \"kaban login\". Whoever knows a token here is you: keep it to yourself.\n")
	for _, server := range slices.Sorted(maps.Keys(all)) {
		table, err := toml.Marshal(map[string]saved{server: all[server]})
		if err != nil {
			return fmt.Errorf("credentials: %w", err)
		}
		fmt.Fprintf(text, "\n%s", table)
	}
	return f.replace(text.Bytes())
}

// load reads the file, which need not exist. Errors do not quote it.
func (f File) load() (map[string]saved, error) {
	all := make(map[string]saved)
	if f.path == "" {
		return all, nil
	}
	info, err := os.Stat(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return all, nil
	case err != nil:
		return nil, fmt.Errorf("credentials: %w", err)
	case runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("credentials: others can read %s; sign out on the page, then \"chmod 600\" it and sign in again", f.path)
	case info.Size() > maxFile:
		return nil, fmt.Errorf("credentials: %s has %d bytes; the limit is %d", f.path, info.Size(), maxFile)
	}
	text, err := os.ReadFile(f.path)
	if err != nil {
		return nil, fmt.Errorf("credentials: %w", err)
	}
	if err := toml.Unmarshal(text, &all); err != nil {
		if bad, ok := errors.AsType[*toml.DecodeError](err); ok {
			line, _ := bad.Position()
			return nil, fmt.Errorf("credentials: %s is not valid in line %d; repair it, or delete it and sign in again", f.path, line)
		}
		return nil, fmt.Errorf("credentials: %s is not valid; delete it and sign in again", f.path)
	}
	return all, nil
}

// replace writes the file as a whole, or not at all. Nobody else can read it at any
// time: os.CreateTemp makes files with mode 0600.
func (f File) replace(text []byte) error {
	dir := filepath.Dir(f.path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("credentials: %w", err)
	}
	draft, err := os.CreateTemp(dir, ".credentials-*")
	if err != nil {
		return fmt.Errorf("credentials: %w", err)
	}
	defer os.Remove(draft.Name())
	_, err = draft.Write(text)
	if err = errors.Join(err, draft.Sync(), draft.Close()); err == nil {
		err = os.Rename(draft.Name(), f.path)
	}
	if err != nil {
		return fmt.Errorf("credentials: %w", err)
	}
	return nil
}
