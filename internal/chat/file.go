package chat

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/dispatch"
	"kaban/internal/people"
	"kaban/internal/store"
)

// ErrNoFile says that there is no such file, as far as the identity may know, or none that a
// message of it may have.
var ErrNoFile = errors.New("there is no such file")

// ErrUploading means that an upload cannot be removed yet, because it is just growing or being
// finished.
var ErrUploading = errors.New("an upload is in use")

// ErrFileClaimed says that a message has the file, so that nothing about it changes any more.
var ErrFileClaimed = errors.New("a message has the file")

// FileTooLargeError says that a file is larger than the server takes.
type FileTooLargeError struct{ Size, Limit int64 } // in bytes

func (e *FileTooLargeError) Error() string {
	return fmt.Sprintf("the file has %d bytes, and the limit is %d", e.Size, e.Limit)
}

// QuotaError says that a file does not fit beside those that there are: those of the account, or
// of the server.
type QuotaError struct {
	Server            bool
	Size, Used, Limit int64 // in bytes
}

func (e *QuotaError) Error() string {
	whose := "your files"
	if e.Server {
		whose = "the files of this server"
	}
	return fmt.Sprintf("the file has %d bytes, %s have %d, and the limit is %d", e.Size, whose, e.Used, e.Limit)
}

// Upload is a file whose bytes are kept.
type Upload struct {
	// ID is that of the file: kaban.FileIDLength characters that nobody else can guess or choose.
	// An upload that is registered again has the same. Empty: a new one.
	ID            string
	Name          string
	Size          int64 // in bytes
	Type          string
	Width, Height int // of a picture, in pixels
	Alt           string
	Hash          string // the SHA-256 of the bytes, in hexadecimal digits
}

// AddFile registers a finished upload as a file of the user's, which no message has yet. The caller
// has kept the bytes, and nothing removes them until AddFile returns. If there is a file with the
// id of the upload, it is returned as it is: perhaps with another hash. It returns ErrForbidden,
// ErrAuthRequired, a *FileTooLargeError, a *QuotaError, and kaban.ErrFiles. It blocks while the
// store works. After any other error nobody knows whether there is a file.
func (u User) AddFile(ctx context.Context, upload Upload) (people.File, error) {
	f := people.File{
		ID: cmp.Or(upload.ID, strings.ToLower(rand.Text())), Owner: u.account(), Name: upload.Name, Size: upload.Size, Type: upload.Type,
		Width: upload.Width, Height: upload.Height, Alt: upload.Alt, Hash: upload.Hash, Time: u.chat.now(),
	}
	said := f.OfMessage()
	if err := said.Check(); err != nil {
		return people.File{}, u.chat.count(err)
	}
	added := f
	err := u.chat.dispatcher.Update(ctx, func(tx store.Tx) error {
		if err := u.hasUploads(tx); err != nil {
			return err
		}
		switch there, err := people.Files.Get(tx, f.ID); {
		case err == nil && there.Owner == f.Owner:
			added = there
			return nil
		case err != nil && !errors.Is(err, people.ErrNotFound):
			return err
		}
		if err := checkQuota(tx, &f); err != nil {
			return err
		}
		added = f
		return people.Files.Add(tx, &f)
	})
	if err != nil {
		return people.File{}, u.chat.count(err)
	}
	return added, nil
}

// DescribeFile changes what describes a file of the user's; "" takes the description away. It returns
// the file, ErrForbidden, ErrAuthRequired, ErrNoFile, ErrFileClaimed if a message has the file and
// says something else of it, and kaban.ErrFiles. It blocks while the store works.
func (u User) DescribeFile(ctx context.Context, id, alt string) (f people.File, err error) {
	return f, u.chat.count(u.chat.dispatcher.Update(ctx, func(tx store.Tx) (err error) {
		if err := u.hasUploads(tx); err != nil {
			return err
		}
		if !kaban.IsFileID(id) {
			return ErrNoFile
		}
		if f, err = u.ownFile(tx, id); err != nil || f.Alt == alt {
			return err
		}
		if !f.IsLoose() {
			return ErrFileClaimed
		}
		f.Alt = alt
		said := f.OfMessage()
		if err := said.Check(); err != nil {
			return err
		}
		return people.Files.Put(tx, &f)
	}))
}

// MayUpload returns why AddFile would refuse a file of some size now, so that nobody sends bytes in
// vain. AddFile decides again. A size below zero asks for the right alone.
func (u User) MayUpload(ctx context.Context, size int64) error {
	return u.chat.count(u.chat.dispatcher.View(ctx, func(tx store.Tx) error {
		if err := u.hasUploads(tx); err != nil || size < 0 {
			return err
		}
		return checkQuota(tx, &people.File{Owner: u.account(), Size: size})
	}))
}

// hasUploads returns why the user may not upload anything.
func (u User) hasUploads(tx store.Tx) error {
	s, err := u.scene(tx, kaban.RoomName{}, false, false)
	if err == nil {
		err = refusalOf(access.Can(access.Upload, s.Facts), access.Upload)
	}
	return err
}

// FileLimits returns the bounds of files as they are now.
func (c *Chat) FileLimits(ctx context.Context) (limits people.FileLimits, err error) {
	err = c.dispatcher.View(ctx, func(tx store.Tx) error {
		limits, err = people.ReadFileLimits(tx)
		return err
	})
	return limits, err
}

// checkQuota returns why a file does not fit. Bytes that the server has already take no room of it.
func checkQuota(tx store.Tx, f *people.File) error {
	limits, err := people.ReadFileLimits(tx)
	if err != nil {
		return err
	}
	own, err := people.Usages.Of(tx, f.Owner)
	if err != nil {
		return err
	}
	all, err := people.Usages.Of(tx, people.ServerUsage)
	if err != nil {
		return err
	}
	_, known := people.Blobs.Get(tx, f.Hash)
	switch {
	case known != nil && !errors.Is(known, people.ErrNotFound):
		return known
	case limits.File != 0 && f.Size > limits.File:
		return &FileTooLargeError{f.Size, limits.File}
	case limits.Account != 0 && f.Size > limits.Account-own.Bytes:
		return &QuotaError{Size: f.Size, Used: own.Bytes, Limit: limits.Account}
	case known != nil && limits.Server != 0 && f.Size > limits.Server-all.Bytes:
		return &QuotaError{Server: true, Size: f.Size, Used: all.Bytes, Limit: limits.Server}
	}
	return nil
}

// Claim are the files of a message on its way through the commit.
type Claim struct {
	user  User
	ids   []string
	files kaban.Files
	lost  error // why the message cannot have them, unless it has them already
}

// Claim reads what a message is to say of some files of the user's, by their ids. A message that is
// sent again says the same as before, because files that a message has do not change. Whether the message gets them is
// decided when it is committed. Claim returns kaban.ErrFiles. It blocks while the store is asked.
func (u User) Claim(ctx context.Context, ids []string) (*Claim, error) {
	c := &Claim{user: u, ids: ids}
	if len(ids) == 0 {
		return c, nil
	}
	if len(ids) > kaban.MaxFiles {
		return nil, fmt.Errorf("%w: there are %d, and the limit is %d", kaban.ErrFiles, len(ids), kaban.MaxFiles)
	}
	var list []kaban.File
	err := u.chat.dispatcher.View(ctx, func(tx store.Tx) error {
		list = nil
		for _, id := range ids {
			f, err := u.ownFile(tx, id)
			if err != nil {
				return err
			}
			list = append(list, f.OfMessage())
		}
		return nil
	})
	switch {
	case errors.Is(err, ErrNoFile): // perhaps the message was deleted since, and its files with it
		c.lost = err
		return c, nil
	case err != nil:
		return nil, err
	}
	c.files, err = kaban.NewFiles(list...)
	return c, err
}

// ownFile returns a file of the user's; ErrNoFile if there is none.
func (u User) ownFile(tx store.Tx, id string) (people.File, error) {
	f, err := people.Files.Get(tx, id)
	if errors.Is(err, people.ErrNotFound) || err == nil && (f.Owner != u.account() || u.account() == "") {
		return f, fmt.Errorf("%w: %.100q", ErrNoFile, id)
	}
	return f, err
}

// decide gives the files to the message, in the transaction that appends it as the next entry of
// the room.
func (c *Claim) decide(tx store.Tx, room kaban.RoomName) error {
	if c.lost != nil || len(c.ids) == 0 {
		return c.lost
	}
	head, err := tx.Head(room)
	if err != nil {
		return err
	}
	said := c.files.List()
	for i, id := range c.ids {
		f, err := c.user.ownFile(tx, id)
		if err != nil {
			return err
		}
		if !f.IsLoose() {
			return fmt.Errorf("%w: another message has %.100q", ErrNoFile, id)
		}
		f.Alt = said[i].Alt // a repeat says the same, also if the description has changed since Claim
		f.Room, f.RoomName, f.Seq = room.Key(), room.String(), head+1
		if err := people.Files.Put(tx, &f); err != nil {
			return err
		}
	}
	return nil
}

// File returns a file that the user may have now: one's own, while no message has it; else one of
// a message that the user may read now and that still has it. To anybody else it is ErrNoFile. It
// blocks while the store is asked.
func (u User) File(ctx context.Context, id string) (f people.File, err error) {
	allowed := false
	err = u.chat.dispatcher.View(ctx, func(tx store.Tx) (err error) {
		if f, err = people.Files.Get(tx, id); err != nil || !f.IsLoose() {
			return err
		}
		s, err := u.scene(tx, kaban.RoomName{}, false, false)
		allowed = err == nil && u.account() != "" && f.Owner == u.account() && s.Who.Active && s.Who.Reach == access.ReachServer
		return err
	})
	switch {
	case errors.Is(err, people.ErrNotFound), err == nil && f.IsLoose() && !allowed:
		return people.File{}, u.chat.count(ErrNoFile)
	case err != nil:
		return people.File{}, u.chat.count(err)
	case f.IsLoose():
		return f, nil
	}
	if err := u.readsFile(ctx, &f); err != nil {
		return people.File{}, err
	}
	return f, nil
}

// readsFile returns nil if the user may read the message of a file, and the message has it.
func (u User) readsFile(ctx context.Context, f *people.File) error {
	room, err := kaban.ParseAnyRoom(f.RoomName)
	if err != nil {
		return fmt.Errorf("%w: the room of a file: %w", store.ErrDamaged, err)
	}
	err = u.whileAllowed(ctx, access.Read, room, func(_ *dispatch.Room, found ruling) error {
		if f.Seq < found.from {
			return ErrNoFile
		}
		page, err := u.chat.dispatcher.History(ctx, room, store.Page{After: f.Seq - 1, Before: f.Seq + 1, Limit: 1})
		if err != nil {
			return err
		}
		for i := range page.Entries {
			files, err := kaban.ParseFiles(page.Entries[i].Files)
			if err != nil {
				return fmt.Errorf("%w: %w", store.ErrDamaged, err)
			}
			for _, one := range files.List() {
				if one.ID == f.ID {
					return nil
				}
			}
		}
		return ErrNoFile
	})
	if isRefusal(err) {
		return ErrNoFile
	}
	return err
}
