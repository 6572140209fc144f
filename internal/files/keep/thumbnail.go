package keep

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"

	"kaban/internal/files"
	"kaban/internal/files/upload"
	"kaban/internal/people"
	"kaban/internal/picture"
)

// This file makes thumbnails anew that the store has lost: they can be made of their pictures, so
// nobody has to bring them back.

// maxHopeless is how many pictures are remembered that no thumbnail can be made of. They are not tried again.
const maxHopeless = 1000

// remake makes the thumbnail of a picture anew and adds it to the store, unless it is there by now. It
// reports whether there is one. One is made at a time: whoever asks for another one meanwhile gets the
// picture itself, and the next time perhaps its thumbnail.
func (k *Keeper) remake(ctx context.Context, f *people.File, key files.Key) bool {
	if k.pictures == nil || !picture.HasThumbnail(f.Width, f.Height) {
		return false
	}
	select {
	case k.remaking <- struct{}{}:
		defer func() { <-k.remaking }()
	default:
		return false
	}
	if k.hopeless[key.Hash] {
		return false
	}
	// While the lock is held nobody removes the picture, nor leaves a thumbnail behind that it had.
	unlock, err := k.locks.Lock(ctx, key.Hash)
	if err != nil {
		return false
	}
	defer unlock()
	err = k.remakeLocked(ctx, key)
	_, away := errors.AsType[*files.UnreachableError](err)
	switch {
	case err == nil:
		return true
	case ctx.Err() != nil, away, errors.Is(err, picture.ErrBusy), errors.Is(err, picture.ErrClosed), files.IsNoSpace(err):
		return false
	}
	if len(k.hopeless) >= maxHopeless {
		clear(k.hopeless)
	}
	k.hopeless[key.Hash] = true
	k.log.Warn("a thumbnail is missing and could not be made anew; the picture is shown instead", "picture", files.Key{Kind: files.Content, Hash: key.Hash}, "error", err)
	return false
}

func (k *Keeper) remakeLocked(ctx context.Context, key files.Key) error {
	there, _, err := k.store.Open(ctx, key)
	if err == nil { // somebody was faster
		return there.Close()
	}
	if !errors.Is(err, files.ErrNotFound) {
		return err
	}
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
		return fmt.Errorf("%w: it has no thumbnail", ErrPicture)
	}
	small, err := k.sum(ctx, job.Thumbnail, made.Thumbnail.Size)
	if err != nil {
		return err
	}
	return withoutID("keep a thumbnail", k.store.Add(ctx, key, small))
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
