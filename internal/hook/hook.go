// Package hook stores the keys of incoming webhooks. The holder of a key may post
// to one room, and do nothing else.
//
// Each hook is a small file in a subdirectory of the data directory, named by the
// SHA-256 of its key. The key itself is not stored. Another process can add and
// remove hooks while the server runs, without a lock and without notifying it: the
// server looks for the file when a key is used.
package hook

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kaban"
)

// Errors of this package.
var (
	// ErrNotFound means that the hook does not exist.
	ErrNotFound = errors.New("no such hook")
	// ErrAmbiguous means that the ids of several hooks have the given prefix.
	ErrAmbiguous = errors.New("several hooks have ids with this prefix")
)

const (
	directory = "hooks" // in the data directory
	extension = ".json"
	// idLength is the number of digits of the hash in an ID.
	idLength = 12
	// maxKey is the length of the longest key that Find accepts, in bytes.
	maxKey = 128
	// maxFile is the size of the largest file that is read, in bytes. A hook needs
	// much less.
	maxFile = 4096
)

// Hook is the permission to post to a room.
type Hook struct {
	// ID identifies the hook to its operator. It is not a secret.
	ID string
	// Room is the room of its messages.
	Room kaban.RoomName
	// Username is the author of messages that do not name one.
	Username kaban.Username
	// Created is the time of Add, in UTC.
	Created time.Time

	path string
}

// file is the file format of a hook.
type file struct {
	Room     string    `json:"room"`
	Username string    `json:"username"`
	Created  time.Time `json:"created"`
	// Sum is the checksum of the other fields and the file's name. Without it a
	// flipped bit could make a hook post to another room. Older files have none.
	Sum *uint32 `json:"sum,omitempty"`
}

// sum returns the checksum for a file name.
func (f *file) sum(name string) uint32 {
	return crc32.Checksum(fmt.Appendf(nil, "%s\n%s\n%s\n%d", name, f.Room, f.Username, f.Created.Unix()), crc32.MakeTable(crc32.Castagnoli))
}

// Dir is the set of hooks in a data directory, which need not exist. All methods
// are safe for concurrent use, including by several processes.
type Dir struct{ path string }

// Open returns the hooks of a data directory.
func Open(data string) Dir { return Dir{filepath.Join(data, directory)} }

// Add creates a hook and returns its key of 130 random bits, which cannot be
// recovered later. The data directory must exist.
func (d Dir) Add(room kaban.RoomName, username kaban.Username) (key string, h Hook, err error) {
	if err := os.Mkdir(d.path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", Hook{}, fmt.Errorf("create the directory of hooks: %w", err)
	}
	key = rand.Text()
	f := file{Room: room.String(), Username: username.String(), Created: time.Now().UTC().Truncate(time.Second)}
	path := d.pathOf(key)
	f.Sum = new(f.sum(filepath.Base(path)))
	if err := write(path, f); err != nil {
		return "", Hook{}, fmt.Errorf("store the hook: %w", err)
	}
	h, err = read(path)
	return key, h, err
}

// write writes a file atomically.
func write(path string, f file) error {
	text, err := json.Marshal(f)
	if err != nil {
		return err
	}
	temporary, err := os.CreateTemp(filepath.Dir(path), ".new-") // with mode 0600
	if err != nil {
		return err
	}
	_, err = temporary.Write(append(text, '\n'))
	err = errors.Join(err, temporary.Sync(), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary.Name()))
	}
	return nil
}

// Find returns the hook with a key, or ErrNotFound.
func (d Dir) Find(key string) (Hook, error) {
	if key == "" || len(key) > maxKey {
		return Hook{}, ErrNotFound
	}
	h, err := read(d.pathOf(key))
	if errors.Is(err, fs.ErrNotExist) {
		return Hook{}, ErrNotFound
	}
	return h, err
}

// List returns all hooks, oldest first.
func (d Dir) List() ([]Hook, error) {
	entries, err := os.ReadDir(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the hooks: %w", err)
	}
	var all []Hook
	for _, entry := range entries {
		if name := entry.Name(); strings.HasPrefix(name, ".") || filepath.Ext(name) != extension {
			continue
		}
		h, err := read(filepath.Join(d.path, entry.Name()))
		switch {
		case errors.Is(err, fs.ErrNotExist): // removed in the meantime
		case err != nil:
			return nil, err
		default:
			all = append(all, h)
		}
	}
	slices.SortStableFunc(all, func(a, b Hook) int { return a.Created.Compare(b.Created) })
	return all, nil
}

// Remove deletes the hook whose ID begins with id. It may return ErrNotFound or
// ErrAmbiguous.
func (d Dir) Remove(id string) (Hook, error) {
	all, err := d.List()
	if err != nil {
		return Hook{}, err
	}
	all = slices.DeleteFunc(all, func(h Hook) bool { return id == "" || !strings.HasPrefix(h.ID, id) })
	switch len(all) {
	case 0:
		return Hook{}, ErrNotFound
	case 1:
	default:
		return Hook{}, ErrAmbiguous
	}
	if err := os.Remove(all[0].path); err != nil {
		return Hook{}, fmt.Errorf("remove the hook: %w", err)
	}
	return all[0], nil
}

func (d Dir) pathOf(key string) string {
	hash := sha256.Sum256([]byte(key))
	return filepath.Join(d.path, hex.EncodeToString(hash[:])+extension)
}

// read reads one hook. It validates the file, because people may edit it.
func read(path string) (Hook, error) {
	text, err := readSmall(path)
	if err != nil {
		return Hook{}, err
	}
	bad := func(err error) (Hook, error) {
		// Not %w: a MessageError would look like the fault of a client.
		return Hook{}, fmt.Errorf("%s is damaged; remove it and add the hook again: %v", path, err)
	}
	var f file
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields() // such as "sun"
	if err := decoder.Decode(&f); err != nil {
		return bad(err)
	}
	if f.Sum != nil && *f.Sum != f.sum(filepath.Base(path)) {
		return bad(errors.New("the checksum does not match; if you edited the file, remove \"sum\""))
	}
	h := Hook{Created: f.Created, path: path}
	if h.Room, err = kaban.ParseRoomName(f.Room); err != nil {
		return bad(err)
	}
	if h.Username, err = kaban.ParseUsername(f.Username); err != nil {
		return bad(err)
	}
	h.ID = strings.TrimSuffix(filepath.Base(path), extension)
	h.ID = h.ID[:min(idLength, len(h.ID))]
	return h, nil
}

func readSmall(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, fmt.Errorf("%s is not a hook", path)
	}
	return os.ReadFile(path)
}
