//go:build failpoint

package disk

import (
	"encoding/gob"
	"errors"
	"os"
)

// kept is what a killed process leaves to the system: it can be read, and is lost with the
// power unless the next process syncs it.
type kept struct {
	SQLite map[string][]change
	Files  []keptFile
	Names  map[string][]keptRenaming
}

type keptFile struct {
	Path    string // "" if it has no name any more
	Content []byte // if so
	Mode    os.FileMode
	Changes []change
}

type keptRenaming struct {
	From, To       string
	File, Replaced int // index of a file, from 1; 0 is none
}

// save writes all unsynced changes to a file. It must be called with the lock held.
func (d *state) save(path string) {
	k := kept{SQLite: d.changes, Names: make(map[string][]keptRenaming)}
	index := make(map[*file]int)
	for i, f := range d.files {
		one := keptFile{Path: f.path, Mode: f.info.Mode().Perm(), Changes: f.changes}
		if f.path == "" {
			info, err := f.handle.Stat()
			must(err)
			one.Content = make([]byte, info.Size())
			_, err = f.handle.ReadAt(one.Content, 0)
			must(err)
		}
		k.Files, index[f] = append(k.Files, one), i+1
	}
	for dir, names := range d.names {
		for _, r := range names {
			k.Names[dir] = append(k.Names[dir], keptRenaming{r.from, r.to, index[r.file], index[r.replaced]})
		}
	}
	out, err := os.Create(path)
	must(err)
	must(errors.Join(gob.NewEncoder(out).Encode(k), out.Close()))
}

// restore continues with the changes in a file, and removes it.
func (d *state) restore(path string) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	var k kept
	if err := errors.Join(gob.NewDecoder(in).Decode(&k), in.Close(), os.Remove(path)); err != nil {
		return err
	}
	if k.SQLite != nil {
		d.changes = k.SQLite
	}
	for i := range k.Files {
		if err := d.restoreFile(&k.Files[i]); err != nil {
			return err
		}
	}
	for dir, names := range k.Names {
		for _, r := range names {
			one := &renaming{from: r.From, to: r.To, file: d.files[r.File-1]}
			if r.Replaced > 0 {
				one.replaced = d.files[r.Replaced-1]
			}
			d.names[dir] = append(d.names[dir], one)
		}
	}
	return nil
}

func (d *state) restoreFile(k *keptFile) error {
	path := k.Path
	if path == "" {
		out, err := os.CreateTemp("", "kaban-removed-")
		if err != nil {
			return err
		}
		path = out.Name()
		defer os.Remove(path)
		_, err = out.Write(k.Content)
		if err := errors.Join(err, out.Chmod(k.Mode), out.Close()); err != nil {
			return err
		}
	}
	f, err := d.fileAt(path)
	if err != nil {
		return err
	}
	f.path, f.changes = k.Path, k.Changes
	return nil
}
