package people

import (
	"errors"
	"fmt"
	"strconv"

	"kaban"
	"kaban/internal/store"
)

// File is something that somebody has uploaded. It is loose until a message claims it.
type File struct {
	ID     string `json:"id"`    // kaban.FileIDLength characters of base32, random
	Owner  string `json:"owner"` // an account
	Name   string `json:"name"`
	Size   int64  `json:"size"` // in bytes
	Type   string `json:"type"`
	Width  int    `json:"width,omitempty"` // of a picture, in pixels
	Height int    `json:"height,omitempty"`
	Alt    string `json:"alt,omitempty"`
	Hash   string `json:"hash"` // of the blob: its SHA-256 in hexadecimal digits
	Time   int64  `json:"time"` // of the upload
	// Room, RoomName and Seq are the message that has claimed the file: the key of the room's name,
	// the name as it was then, and a seq. They are zero while the file is loose.
	Room     string `json:"room,omitempty"`
	RoomName string `json:"room_name,omitempty"`
	Seq      uint64 `json:"seq,omitempty"`
}

// IsLoose reports whether no message has claimed the file.
func (f *File) IsLoose() bool { return f.Seq == 0 }

// OfMessage returns what a message says of the file.
func (f *File) OfMessage() kaban.File {
	return kaban.File{ID: f.ID, Name: f.Name, Size: f.Size, Type: f.Type, Width: f.Width, Height: f.Height, Alt: f.Alt}
}

// Files has all files by id. Add and Remove are the only ways to change which files there are:
// they keep Blobs and Usages.
var Files = files{Table[File]{
	name: "file",
	key:  func(f *File) []string { return []string{f.ID} },
	indexes: []index[File]{
		{"owner", false, func(f *File) [][]string { return [][]string{{f.Owner}} }},
		{"hash", false, func(f *File) [][]string { return [][]string{{f.Hash}} }},
		{"message", false, func(f *File) [][]string {
			if f.IsLoose() {
				return nil
			}
			return [][]string{{f.Room, seqPart(f.Seq)}}
		}},
		{"loose", false, func(f *File) [][]string {
			if !f.IsLoose() {
				return nil
			}
			return [][]string{{stamp(f.Time)}}
		}},
	},
}}

type files struct{ Table[File] }

func seqPart(seq uint64) string { return strconv.FormatUint(seq, 10) }

// Blob is the bytes of files. Several files may have the same.
type Blob struct {
	Hash       string `json:"hash"`
	Size       int64  `json:"size"`       // in bytes
	References int64  `json:"references"` // how many files have it
}

// Blobs has all blobs by their hashes.
var Blobs = blobs{Table[Blob]{
	name: "blob",
	key:  func(b *Blob) []string { return []string{b.Hash} },
	indexes: []index[Blob]{
		{"unused", false, func(b *Blob) [][]string {
			if b.References > 0 {
				return nil
			}
			return [][]string{{""}}
		}},
	},
}}

type blobs struct{ Table[Blob] }

// ParseBlob returns the blob that a document is, and whether it is one.
func ParseBlob(d *store.Document) (b Blob, ok bool, err error) {
	if !Blobs.has(d.Key) {
		return Blob{}, false, nil
	}
	b, err = Blobs.decode(d.Value)
	return b, true, err
}

// ParseFile returns the file that a document is, and whether it is one.
func ParseFile(d *store.Document) (f File, ok bool, err error) {
	if !Files.has(d.Key) {
		return File{}, false, nil
	}
	f, err = Files.decode(d.Value)
	return f, true, err
}

// Usage is how many bytes an account has in files, or the server in blobs. Two files with the
// same blob count twice for an account, and once for the server.
type Usage struct {
	Account string `json:"account"` // ServerUsage is the server
	Bytes   int64  `json:"bytes"`
	Files   int64  `json:"files"` // of the server: blobs
}

// ServerUsage is the name of the server's usage. No account has it as its id.
const ServerUsage = "server"

// Usages has those of all accounts that have files, and of the server.
var Usages = usages{Table[Usage]{
	name: "usage",
	key:  func(u *Usage) []string { return []string{u.Account} },
}}

type usages struct{ Table[Usage] }

// Of returns the usage of an account, or of the server.
func (t *usages) Of(tx store.Tx, account string) (Usage, error) {
	u, err := t.Get(tx, account)
	if errors.Is(err, ErrNotFound) {
		return Usage{Account: account}, nil
	}
	return u, err
}

// add changes a usage. One of nothing is no document.
func (t *usages) add(tx store.Tx, account string, bytes, files int64) error {
	u, err := t.Of(tx, account)
	if err != nil {
		return err
	}
	u.Bytes, u.Files = u.Bytes+bytes, u.Files+files
	switch {
	case u.Bytes < 0 || u.Files < 0:
		return fmt.Errorf("%w: %s would have %d bytes in %d files", store.ErrDamaged, account, u.Bytes, u.Files)
	case u.Bytes == 0 && u.Files == 0:
		return t.Delete(tx, account)
	}
	return t.Put(tx, &u)
}

// Add adds a file that is new, with a reference to its blob, which it adds if it is new, too. It
// returns an *ExistsError if the id is used, and store.ErrDamaged if the blob has another size.
func (t *files) Add(tx store.Tx, f *File) error {
	switch _, err := t.Get(tx, f.ID); {
	case err == nil:
		return &ExistsError{t.name, "id"}
	case !errors.Is(err, ErrNotFound):
		return err
	}
	b, err := Blobs.Get(tx, f.Hash)
	switch {
	case errors.Is(err, ErrNotFound):
		b = Blob{Hash: f.Hash, Size: f.Size}
		err = Usages.add(tx, ServerUsage, f.Size, 1)
	case err == nil && b.Size != f.Size:
		err = fmt.Errorf("%w: the blob %s has %d bytes, and the file %s has %d", store.ErrDamaged, f.Hash, b.Size, f.ID, f.Size)
	}
	if err != nil {
		return err
	}
	b.References++
	return errors.Join(Blobs.Put(tx, &b), Usages.add(tx, f.Owner, f.Size, 1), t.Put(tx, f))
}

// Remove removes a file, if there is one, with its reference. The blob stays, perhaps unused.
func (t *files) Remove(tx store.Tx, id string) error {
	f, err := t.Get(tx, id)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	b, err := Blobs.Get(tx, f.Hash)
	if err != nil {
		return err
	}
	if b.References--; b.References < 0 {
		return fmt.Errorf("%w: the blob %s has fewer references than files", store.ErrDamaged, f.Hash)
	}
	return errors.Join(Blobs.Put(tx, &b), Usages.add(tx, f.Owner, -f.Size, -1), t.Delete(tx, id))
}

// Of returns up to limit files of an account, by id, from behind one ("" is all), and whether
// there are more.
func (t *files) Of(tx store.Tx, account, after string, limit int) ([]File, bool, error) {
	var from []string
	if after != "" {
		from = []string{account, store.Key(after)}
	}
	return t.listBy(tx, "owner", []string{account}, from, limit)
}

// OfMessage returns the files that a message has claimed, by id. There are up to kaban.MaxFiles.
func (t *files) OfMessage(tx store.Tx, room string, seq uint64) ([]File, error) {
	found, _, err := t.listBy(tx, "message", []string{room, seqPart(seq)}, nil, kaban.MaxFiles)
	return found, err
}

// With returns up to limit files with a blob, by id, and whether there are more.
func (t *files) With(tx store.Tx, hash string, limit int) ([]File, bool, error) {
	return t.listBy(tx, "hash", []string{hash}, nil, limit)
}

// Loose returns up to limit files that are loose since before a time, the oldest first, and
// whether there may be more.
func (t *files) Loose(tx store.Tx, before int64, limit int) (found []File, more bool, err error) {
	found, more, err = t.listBy(tx, "loose", nil, nil, limit)
	for i := range found {
		if found[i].Time >= before {
			return found[:i], false, err
		}
	}
	return found, more, err
}

// Unused returns up to limit blobs without references, by hash, from behind one ("" is all).
func (t *blobs) Unused(tx store.Tx, after string, limit int) (found []Blob, more bool, err error) {
	var from []string
	if after != "" {
		from = []string{"", store.Key(after)}
	}
	return t.listBy(tx, "unused", []string{""}, from, limit)
}

// Forget removes a blob whose bytes are gone. It returns an *ExistsError if a file has it.
func (t *blobs) Forget(tx store.Tx, hash string) error {
	b, err := t.Get(tx, hash)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil
	case err != nil:
		return err
	case b.References > 0:
		return &ExistsError{t.name, "references"}
	}
	return errors.Join(Usages.add(tx, ServerUsage, -b.Size, -1), t.Delete(tx, hash))
}
