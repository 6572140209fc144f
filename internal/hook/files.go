package hook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"kaban"
	"kaban/internal/people"
	"kaban/internal/store"
)

const (
	directory = "hooks" // in the data directory
	extension = ".json"
	// maxFile is the size of the largest file that is read, in bytes. A hook needs
	// much less.
	maxFile = 4096
)

// file is the format of a hook's file. Its name is the SHA-256 of the key.
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

// Import moves the hooks that older versions kept as files of a data directory into
// the database, and returns how many. A file is removed once its hook is durable, so
// an import that was interrupted is repeated without effect. Files that cannot be read
// stay; the error names all of them.
func Import(ctx context.Context, documents store.Documents, data string) (imported int, err error) {
	paths, err := files(data)
	if err != nil || len(paths) == 0 {
		return 0, err
	}
	var hooks []people.Hook
	var done []string
	var bad []error
	for _, path := range paths {
		h, err := read(path)
		if err != nil {
			bad = append(bad, err)
			continue
		}
		hooks, done = append(hooks, h), append(done, path)
	}
	err = documents.Update(ctx, func(tx store.Tx) error {
		imported = 0
		for i := range hooks {
			_, err := people.Hooks.Get(tx, hooks[i].Hash)
			if err == nil {
				continue
			}
			if !errors.Is(err, people.ErrNotFound) {
				return err
			}
			if err := people.Hooks.Put(tx, &hooks[i]); err != nil {
				return err
			}
			imported++
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("import the hooks in %s: %w", filepath.Join(data, directory), err)
	}
	for _, path := range done {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			bad = append(bad, err)
		}
	}
	if len(bad) == 0 {
		os.Remove(filepath.Join(data, directory)) // unless there is anything else in it
	}
	return imported, errors.Join(bad...)
}

// Check returns an error that names each file of a hook that Import cannot read.
func Check(data string) error {
	paths, err := files(data)
	if err != nil {
		return err
	}
	var bad []error
	for _, path := range paths {
		if _, err := read(path); err != nil {
			bad = append(bad, err)
		}
	}
	return errors.Join(bad...)
}

// files returns the paths of the files of hooks.
func files(data string) (paths []string, err error) {
	entries, err := os.ReadDir(filepath.Join(data, directory))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the hooks: %w", err)
	}
	for _, entry := range entries {
		if name := entry.Name(); !strings.HasPrefix(name, ".") && filepath.Ext(name) == extension {
			paths = append(paths, filepath.Join(data, directory, name))
		}
	}
	return paths, nil
}

// hashLength is the number of digits of a SHA-256.
const hashLength = 64

// read reads one file. It validates the file, because people may edit it.
func read(path string) (people.Hook, error) {
	text, err := readSmall(path)
	if err != nil {
		return people.Hook{}, err
	}
	bad := func(err error) (people.Hook, error) {
		// Not %w: a MessageError would look like the fault of a client.
		return people.Hook{}, fmt.Errorf("%s is damaged; remove it and add the hook again: %v", path, err)
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
	room, err := kaban.ParseRoomName(f.Room)
	if err != nil {
		return bad(err)
	}
	username, err := kaban.ParseUsername(f.Username)
	if err != nil {
		return bad(err)
	}
	hash := strings.TrimSuffix(filepath.Base(path), extension)
	if len(hash) != hashLength || strings.Trim(hash, "0123456789abcdef") != "" {
		return bad(errors.New("its name is not the hash of a key"))
	}
	return people.Hook{
		Hash: hash, ID: hash[:idLength], Room: room.String(), Username: username.String(), Created: max(f.Created.UnixMilli(), 0),
	}, nil
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
