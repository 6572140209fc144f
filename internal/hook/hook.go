// Package hook keeps the keys of incoming webhooks: who has a key may say
// something in one room, and nothing else.
//
// Each hook is a small file in a directory of the data directory, named by the
// SHA-256 of its key; the key itself is kept nowhere. So hooks are added and
// removed while a server runs, by another process, without a lock and without
// telling the server: it looks for the file when a key is used.
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

// Facts that callers tell apart with errors.Is.
var (
	// ErrNotFound says that there is no such hook.
	ErrNotFound = errors.New("no such hook")
	// ErrAmbiguous says that several hooks have ids that begin so.
	ErrAmbiguous = errors.New("several hooks have ids that begin so")
)

const (
	directory = "hooks" // in the data directory
	extension = ".json"
	// idLength is how many digits of the hash name a hook to people.
	idLength = 12
	// maxKey is the longest key that is looked for, in bytes.
	maxKey = 128
	// maxFile is more than a file of ours has, in bytes.
	maxFile = 4096
)

// Hook is a key's right.
type Hook struct {
	// ID names the hook to its operator. It does not help to use it.
	ID string
	// Room is where it speaks.
	Room kaban.RoomName
	// Username is who speaks when a message does not say.
	Username kaban.Username
	// Created is when it was made, in UTC.
	Created time.Time

	path string
}

// file is a hook as it is kept.
type file struct {
	Room     string    `json:"room"`
	Username string    `json:"username"`
	Created  time.Time `json:"created"`
	// Sum is the checksum of the above and of the file's name, so that a hook does
	// not speak in another room because a bit has flipped. Older files have none.
	Sum *uint32 `json:"sum,omitempty"`
}

// sum returns the checksum that the file of a name has.
func (f *file) sum(name string) uint32 {
	return crc32.Checksum(fmt.Appendf(nil, "%s\n%s\n%s\n%d", name, f.Room, f.Username, f.Created.Unix()), crc32.MakeTable(crc32.Castagnoli))
}

// Dir is the hooks of a data directory. It need not exist. All methods are safe
// for concurrent use, also by several processes.
type Dir struct{ path string }

// Open returns the hooks of a data directory.
func Open(data string) Dir { return Dir{filepath.Join(data, directory)} }

// Add makes a hook and returns its key, of 130 random bits, which cannot be had
// again. The data directory must exist.
func (d Dir) Add(room kaban.RoomName, username kaban.Username) (key string, h Hook, err error) {
	if err := os.Mkdir(d.path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", Hook{}, fmt.Errorf("make the directory of hooks: %w", err)
	}
	key = rand.Text()
	f := file{Room: room.String(), Username: username.String(), Created: time.Now().UTC().Truncate(time.Second)}
	path := d.pathOf(key)
	f.Sum = new(f.sum(filepath.Base(path)))
	if err := write(path, f); err != nil {
		return "", Hook{}, fmt.Errorf("keep the hook: %w", err)
	}
	h, err = read(path)
	return key, h, err
}

// write writes a file as a whole or not at all.
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

// Find returns the hook of a key. It returns ErrNotFound.
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

// List returns all hooks, the oldest first.
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
		case errors.Is(err, fs.ErrNotExist): // removed in this moment
		case err != nil:
			return nil, err
		default:
			all = append(all, h)
		}
	}
	slices.SortStableFunc(all, func(a, b Hook) int { return a.Created.Compare(b.Created) })
	return all, nil
}

// Remove ends the hook whose ID begins with id. It returns ErrNotFound and
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

// read reads one hook. Who can write the file may write nonsense, so it is
// checked as everything else is.
func read(path string) (Hook, error) {
	text, err := readSmall(path)
	if err != nil {
		return Hook{}, err
	}
	bad := func(err error) (Hook, error) {
		return Hook{}, fmt.Errorf("%s is damaged; remove it and add the hook again: %v", path, err) // not what a client did
	}
	var f file
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields() // such as "sun"
	if err := decoder.Decode(&f); err != nil {
		return bad(err)
	}
	if f.Sum != nil && *f.Sum != f.sum(filepath.Base(path)) {
		return bad(errors.New("its checksum is another one; if it was changed by hand, take \"sum\" out"))
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
		return nil, fmt.Errorf("%s is no hook", path)
	}
	return os.ReadFile(path)
}
