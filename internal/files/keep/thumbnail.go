package keep

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"kaban/internal/files"
	"kaban/internal/files/upload"
	"kaban/internal/people"
	"kaban/internal/picture"
)

// This file makes thumbnails anew that the store does not have: they can be made of their pictures, so
// nobody has to bring them back.

const (
	// remakeTime is how long making a thumbnail anew may take, and remakeWait how long a request waits for it
	// before it gets the picture itself.
	remakeTime = 2 * time.Minute
	remakeWait = 5 * time.Second
	// remakePause is how long a picture is left alone after a failure that may pass.
	remakePause = time.Minute
	// maxFailed is how many pictures are remembered that no thumbnail could be made of.
	maxFailed = 1000
)

// errNoneMade means that a picture has no thumbnail, although one of its size should.
var errNoneMade = errors.New("the picture has no thumbnail")

// errPanic is what a panic fails with.
var errPanic = errors.New("the program has a fault")

// remake makes the thumbnail of a picture anew and adds it to the store, unless it is there by now. It
// reports whether there is one. One is made at a time: whoever asks for another one meanwhile gets the
// picture itself, and the next time perhaps its thumbnail. Making goes on when ctx ends, so that whoever asks and hangs
// up again and again has one made, and not many begun.
func (k *Keeper) remake(ctx context.Context, f *people.File, key files.Key) bool {
	if k.pictures == nil || !picture.HasThumbnail(f.Width, f.Height) {
		return false
	}
	made := k.beginRemake(key)
	if made == nil {
		return false
	}
	select {
	case is := <-made:
		return is
	case <-time.After(k.remakeWait):
	case <-ctx.Done():
	}
	return false
}

// beginRemake begins to make a thumbnail, and returns a channel that reports whether there is one in the end; nil if it is
// not the time for it.
func (k *Keeper) beginRemake(key files.Key) <-chan bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	again, failed := k.failed[key.Hash]
	if k.isRemaking || k.ctx.Err() != nil || failed && (again.IsZero() || time.Now().Before(again)) {
		return nil
	}
	k.isRemaking = true
	made := make(chan bool, 1) // perhaps nobody waits
	k.remakes.Go(func() {
		ctx, cancel := context.WithTimeout(k.ctx, remakeTime)
		defer cancel()
		err := errPanic
		defer func() {
			if cause := recover(); cause != nil { // a picture must not end the server
				k.log.Error("making a thumbnail panicked", "cause", cause, "stack", string(debug.Stack()))
			}
			k.endRemake(key, err)
			made <- err == nil
		}()
		err = k.makeThumbnail(ctx, key)
	})
	return made
}

// endRemake remembers a failure: for good if it is about the picture, and for a pause if another try may go well.
func (k *Keeper) endRemake(key files.Key, err error) {
	hopeless := isHopeless(err)
	if k.noteRemake(key, err, hopeless); err == nil || k.ctx.Err() != nil {
		return
	}
	what := slog.Any("picture", files.Key{Kind: files.Content, Hash: key.Hash})
	if hopeless {
		k.log.Warn("a thumbnail is missing and cannot be made anew; the picture is shown instead", what, "error", err)
		return
	}
	k.log.Info("a thumbnail is missing and could not be made anew; that is tried again when somebody asks for it", what, "error", err)
}

// noteRemake lets the next one begin.
func (k *Keeper) noteRemake(key files.Key, err error, hopeless bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.isRemaking = false
	delete(k.failed, key.Hash)
	if err == nil || k.ctx.Err() != nil {
		return
	}
	if len(k.failed) >= maxFailed {
		clear(k.failed)
	}
	k.failed[key.Hash] = time.Time{}
	if !hopeless {
		k.failed[key.Hash] = time.Now().Add(k.remakePause)
	}
}

// isHopeless reports whether a failure is about the picture itself. All others may pass: the machine has no memory,
// disk or processes left, the store is away, or the picture is not back from a backup yet.
func isHopeless(err error) bool {
	failed, ok := errors.AsType[*picture.ProcessError](err)
	return errors.Is(err, picture.ErrNotShown) || errors.Is(err, errNoneMade) ||
		ok && (failed.Failure == picture.Garbled || failed.Failure == picture.Crashed)
}

// makeThumbnail makes a thumbnail of what the store has. It holds the lock of the picture only at the end: whoever
// deletes the picture, or uploads it again, does not wait for a process.
func (k *Keeper) makeThumbnail(ctx context.Context, key files.Key) error {
	id := strings.ToLower(rand.Text()) // like that of an upload, so that the next start removes what a crash leaves
	job := picture.Job{Source: k.staging.Beside(id, upload.Source), Picture: k.staging.Beside(id, upload.Picture), Thumbnail: k.staging.Beside(id, upload.Thumbnail)}
	defer func() {
		for _, path := range []string{job.Source, job.Picture, job.Thumbnail} {
			_ = os.Remove(path) // most are not there, and the next start removes the others
		}
	}()
	if err := k.fetch(ctx, files.Key{Kind: files.Content, Hash: key.Hash}, job.Source); err != nil {
		return withoutID("read a picture", err)
	}
	made, err := k.pictures.Make(ctx, job)
	if err != nil {
		return withoutID("make a thumbnail", err)
	}
	if made.Thumbnail == (picture.Rendition{}) {
		return errNoneMade
	}
	small, err := k.sum(ctx, job.Thumbnail, made.Thumbnail.Size)
	if err != nil {
		return err
	}
	return withoutID("keep a thumbnail", k.addThumbnail(ctx, key, small))
}

// addThumbnail adds a thumbnail, unless the store has it by now. If its picture is gone, the error is
// files.ErrNotFound: nothing would ever remove a thumbnail without a picture.
func (k *Keeper) addThumbnail(ctx context.Context, key files.Key, small files.Staged) error {
	unlock, err := k.locks.Lock(ctx, key.Hash)
	if err != nil {
		return err
	}
	defer unlock()
	if err := k.has(ctx, files.Key{Kind: files.Content, Hash: key.Hash}); err != nil {
		return err
	}
	if err := k.has(ctx, key); !errors.Is(err, files.ErrNotFound) {
		return err
	}
	return k.store.Add(ctx, key, small)
}

// has returns files.ErrNotFound if the store does not have a blob.
func (k *Keeper) has(ctx context.Context, key files.Key) error {
	there, _, err := k.store.Open(ctx, key)
	if err != nil {
		return err
	}
	return there.Close()
}

// Close ends the making of thumbnails and waits for it. Other methods go on working.
func (k *Keeper) Close() {
	k.mu.Lock() // nothing begins after it
	k.stop()
	k.mu.Unlock()
	k.remakes.Wait()
}

// fetch copies a blob to a new file.
func (k *Keeper) fetch(ctx context.Context, key files.Key, path string) (err error) {
	from, _, err := k.store.Open(ctx, key)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = files.Copy(ctx, to, from)
	return errors.Join(err, to.Close())
}
