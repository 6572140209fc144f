// Package keep makes files of finished uploads. It has the places where their bytes are: the
// uploads that are on their way, the blobs, and the worker that encodes pictures.
//
// What it guarantees:
//
//   - When Keep returns a file, its bytes are durable, and were so before anything referred to them.
//     Whatever the process is killed at leaves either a file with its bytes, or bytes without a
//     file, which Sweep removes.
//   - An upload becomes one file, however often Keep is called for it: the id of the file follows
//     from that of the upload.
//   - A JPEG, PNG, GIF or WebP is kept as it was encoded here, with a thumbnail. One that cannot be
//     shown is kept as a plain file, without what it says of places and people, and so are
//     pictures and films of other formats; see picture.Strip. If nobody knows whether it can be
//     shown, or what it says, it is not kept.
//
// It does not decide who may upload, nor how much: package chat does, in the transaction that
// registers the file. It does not end uploads; whoever has called Keep does.
package keep

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"kaban"
	"kaban/internal/chat"
	"kaban/internal/failpoint"
	"kaban/internal/files"
	"kaban/internal/files/upload"
	"kaban/internal/people"
	"kaban/internal/picture"
)

const (
	// AltKey is the key of the metadata of an upload that has the description of a picture.
	AltKey = "alt"
	// memoryTries is how often a picture is tried that the machine has no memory for, and
	// memoryPause how long the second try waits. Each further one waits twice as long.
	memoryTries = 4
	memoryPause = 2 * time.Second
)

// Pictures encodes pictures anew, as picture.Worker does.
type Pictures interface {
	Make(ctx context.Context, job picture.Job) (picture.Made, error)
}

// Registry registers files of somebody. chat.User is one.
type Registry interface {
	AddFile(ctx context.Context, upload chat.Upload) (people.File, error)
	// SweepBlob removes the bytes with a hash if no file has them.
	SweepBlob(ctx context.Context, hash string) error
}

// Config is what a Keeper needs.
type Config struct {
	Staging *upload.Staging
	Store   files.Store
	// Pictures is nil in a process that takes no uploads.
	Pictures Pictures
	Log      *slog.Logger // nil: none
	// Shared is set if other processes keep files in Store as well. Sweep leaves them their youngest bytes.
	Shared bool
}

// Keeper keeps files. All methods are safe for concurrent use.
type Keeper struct {
	staging  *upload.Staging
	store    files.Store
	pictures Pictures
	log      *slog.Logger
	shared   bool
	locks    files.Locks
	pause    time.Duration // see memoryPause

	ctx         context.Context // of making thumbnails anew; ends with Close
	stop        context.CancelFunc
	remakes     sync.WaitGroup
	remakePause time.Duration
	remakeWait  time.Duration
	mu          sync.Mutex // guards what follows
	isRemaking  bool       // a thumbnail is made anew
	// failed is when a picture may be tried again that no thumbnail could be made of. The zero time is never.
	failed map[files.Hash]time.Time
}

// Why a picture is not kept.
var (
	// ErrPicture means that nobody knows whether it can be shown. Another try may go well.
	ErrPicture = errors.New("the picture could not be prepared")
	// ErrBadPicture means that a picture or a film cannot be freed from what it says of places and
	// people. The same file is refused again.
	ErrBadPicture = errors.New("the picture is broken")
)

// New returns a Keeper. It starts nothing. Close ends it.
func New(c Config) *Keeper {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	k := &Keeper{
		staging: c.Staging, store: c.Store, pictures: c.Pictures, log: c.Log, shared: c.Shared, pause: memoryPause,
		remakePause: remakePause, remakeWait: remakeWait, failed: make(map[files.Hash]time.Time),
	}
	k.ctx, k.stop = context.WithCancel(context.Background())
	return k
}

// Uploads returns the uploads that are on their way.
func (k *Keeper) Uploads() *upload.Staging { return k.staging }

// FileID returns the id of the file that an upload becomes. Nobody can guess it that does not
// know the id of the upload.
func FileID(uploadID string) string {
	sum := sha256.Sum256([]byte("kaban file of upload " + uploadID))
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:]))[:kaban.FileIDLength]
}

// CleanAlt returns a description in one line, as CheckAlt wants it, without characters that turn
// around what stands beside it. What is no UTF-8 stays so.
func CleanAlt(alt string) string {
	if utf8.ValidString(alt) {
		alt = strings.Map(cleanRune, alt)
	}
	return strings.Join(strings.Fields(alt), " ")
}

func cleanRune(r rune) rune {
	if unicode.Is(unicode.Bidi_Control, r) {
		return -1
	}
	return r
}

// CheckAlt returns why a file cannot have a description: a kaban.ErrFiles, or nil.
func CheckAlt(alt string) error {
	f := kaban.File{ID: strings.Repeat("a", kaban.FileIDLength), Name: "x", Type: "x/x", Alt: CleanAlt(alt)}
	return f.Check()
}

// Keep makes a file of an upload that is complete, and registers it with somebody. The upload must
// stay as it is meanwhile: upload.Staging.Deliver and Take see to that. It may be called again
// after an error or a crash.
//
// Errors: those of chat.User.AddFile, ErrPicture, ErrBadPicture, those of files.Store, the context's,
// or one of the system.
func (k *Keeper) Keep(ctx context.Context, by Registry, info upload.Info, staged files.Staged) (people.File, error) {
	p, err := k.prepare(ctx, info, staged)
	if err != nil {
		return people.File{}, err
	}
	f, err := k.register(ctx, by, info, p)
	if hash := p.content.Sum.String(); err != nil || f.Hash != hash { // another version may have encoded it
		if err := by.SweepBlob(context.WithoutCancel(ctx), hash); err != nil {
			k.log.Warn("bytes that no file has could not be removed; that is tried again", "error", err)
		}
	}
	return f, err
}

// register keeps the bytes and registers the file. Nothing removes the bytes meanwhile.
func (k *Keeper) register(ctx context.Context, by Registry, info upload.Info, p prepared) (people.File, error) {
	hash := p.content.Sum
	unlock, err := k.locks.Lock(ctx, hash)
	if err != nil {
		return people.File{}, err
	}
	defer unlock()
	failpoint.Point("keep.prepared")
	if err := k.add(ctx, p); err != nil {
		return people.File{}, err
	}
	failpoint.Point("keep.added")
	// A transaction that goes on after its context would refer to bytes that nothing protects.
	f, err := by.AddFile(context.WithoutCancel(ctx), chat.Upload{
		ID: FileID(info.ID), Name: p.name, Size: p.content.Size, Type: p.contentType, Width: p.width, Height: p.height,
		Alt: CleanAlt(info.Meta[AltKey]), Hash: hash.String(),
	})
	failpoint.Point("keep.registered")
	return f, err
}

// prepared is what is kept of an upload.
type prepared struct {
	content       files.Staged
	thumbnail     files.Staged // without a path there is none
	name          string
	contentType   string
	width, height int // in pixels; 0 if it is not shown
}

// prepare returns what is to be kept of an upload.
func (k *Keeper) prepare(ctx context.Context, info upload.Info, staged files.Staged) (prepared, error) {
	contentType, err := typeOf(staged.Path)
	if err != nil {
		return prepared{}, err
	}
	plain := prepared{content: staged, name: files.CleanName(info.Name), contentType: contentType}
	if !files.IsPicture(contentType) {
		return k.strip(ctx, info.ID, plain)
	}
	made, err := k.encode(ctx, info.ID, staged.Path)
	switch {
	case errors.Is(err, picture.ErrNotShown):
		k.log.Debug("a picture is kept as a plain file", "reason", err)
		return k.strip(ctx, info.ID, plain)
	case err != nil:
		return prepared{}, err
	}
	return k.shown(ctx, info.ID, plain, made)
}

// typeOf returns the type of a file by its bytes.
func typeOf(path string) (contentType string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", withoutID("look at an upload", err)
	}
	defer f.Close()
	head := make([]byte, files.HeadSize)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return "", withoutID("look at an upload", err)
	}
	return files.TypeOf(head[:n]), nil
}

// encode has a picture encoded anew.
func (k *Keeper) encode(ctx context.Context, id, source string) (made picture.Made, err error) {
	if k.pictures == nil {
		return made, fmt.Errorf("%w: this process makes none", ErrPicture)
	}
	job := picture.Job{Source: source, Picture: k.staging.Beside(id, upload.Picture), Thumbnail: k.staging.Beside(id, upload.Thumbnail)}
	pause := k.pause
	for try := 1; ; try++ {
		made, err = k.pictures.Make(ctx, job)
		failed, ok := errors.AsType[*picture.ProcessError](err)
		switch {
		case err == nil, errors.Is(err, picture.ErrNotShown), ctx.Err() != nil:
			return made, withoutID("prepare a picture", err)
		case !ok:
			return made, fmt.Errorf("%w: %w", ErrPicture, upload.WithoutID(err))
		case files.IsNoSpace(failed):
			return made, fmt.Errorf("%w: %w: %w", ErrPicture, files.ErrNoSpace, upload.WithoutID(err))
		case failed.Failure != picture.NoMemory || try == memoryTries:
			return made, fmt.Errorf("%w: %w", ErrPicture, upload.WithoutID(err))
		}
		select {
		case <-time.After(pause):
			pause *= 2
		case <-ctx.Done():
			return made, context.Cause(ctx)
		}
	}
}

// shown returns a picture that was encoded anew.
func (k *Keeper) shown(ctx context.Context, id string, plain prepared, made picture.Made) (p prepared, err error) {
	p = plain
	p.contentType, p.width, p.height = made.Picture.Type.String(), made.Picture.Width, made.Picture.Height
	p.name = renamed(plain.name, plain.contentType, made.Picture.Type)
	if p.content, err = k.sum(ctx, k.staging.Beside(id, upload.Picture), made.Picture.Size); err != nil {
		return prepared{}, err
	}
	if made.Thumbnail != (picture.Rendition{}) {
		p.thumbnail, err = k.sum(ctx, k.staging.Beside(id, upload.Thumbnail), made.Thumbnail.Size)
	}
	return p, err
}

// extensions are those of the formats that pictures are encoded in.
var extensions = map[picture.Type]string{picture.JPEG: ".jpg", picture.PNG: ".png", picture.GIF: ".gif"}

// renamed returns the name of a picture with the extension of its format if that is another one
// than the upload had, which is so for WebP.
func renamed(name, before string, now picture.Type) string {
	if before == now.String() {
		return name
	}
	stem := strings.TrimSuffix(name, path.Ext(name))
	return files.CleanName(stem + extensions[now])
}

// sum returns a file beside an upload as a staged one.
func (k *Keeper) sum(ctx context.Context, path string, size int64) (files.Staged, error) {
	f, err := os.Open(path)
	if err != nil {
		return files.Staged{}, withoutID("read a picture", err)
	}
	n, sum, err := files.Sum(ctx, f)
	if err := errors.Join(err, f.Close()); err != nil {
		return files.Staged{}, withoutID("read a picture", err)
	}
	if n != size {
		return files.Staged{}, fmt.Errorf("%w: it has %d bytes, and %d were made", ErrPicture, n, size)
	}
	return files.Staged{Path: path, Size: n, Sum: sum}, nil
}

// add adds the bytes to the store. The lock of the content must be held.
func (k *Keeper) add(ctx context.Context, p prepared) error {
	if p.thumbnail.Path != "" {
		if err := k.store.Add(ctx, files.Key{Kind: files.Thumbnail, Hash: p.content.Sum}, p.thumbnail); err != nil {
			return withoutID("keep a thumbnail", err)
		}
	}
	if err := k.store.Add(ctx, files.Key{Kind: files.Content, Hash: p.content.Sum}, p.content); err != nil {
		return withoutID("keep a file", err)
	}
	return nil
}

func withoutID(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, upload.WithoutID(err))
}
