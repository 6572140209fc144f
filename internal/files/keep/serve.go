package keep

import (
	"context"
	"errors"
	"fmt"
	"io"

	"kaban/internal/files"
	"kaban/internal/people"
)

// Open returns the bytes of a file, and what is to be said of them. The caller has decided that
// they may be seen, and closes them. Errors are those of files.Store.
func (k *Keeper) Open(ctx context.Context, f *people.File) (io.ReadSeekCloser, files.Served, error) {
	key, err := keyOf(f, files.Content)
	if err != nil {
		return nil, files.Served{}, err
	}
	bytes, _, err := k.store.Open(ctx, key)
	if err != nil {
		return nil, files.Served{}, err
	}
	return bytes, files.Served{Key: key, Name: f.Name, Type: f.Type, Encoded: f.Width > 0}, nil
}

// ErrNoThumbnail means that a file is no picture that is shown.
var ErrNoThumbnail = errors.New("the file has no thumbnail")

// OpenThumbnail is Open for the thumbnail of a picture. One that is small enough is its own. A thumbnail that
// the store does not have is made anew, and waited for up to 5 seconds; while that is not possible, the picture is
// its own, too. The error is ErrNoThumbnail if the file was not encoded here.
func (k *Keeper) OpenThumbnail(ctx context.Context, f *people.File) (io.ReadSeekCloser, files.Served, error) {
	if f.Width == 0 {
		return nil, files.Served{}, ErrNoThumbnail
	}
	key, err := keyOf(f, files.Thumbnail)
	if err != nil {
		return nil, files.Served{}, err
	}
	bytes, _, err := k.store.Open(ctx, key)
	if errors.Is(err, files.ErrNotFound) && k.remake(ctx, f, key) {
		bytes, _, err = k.store.Open(ctx, key)
	}
	if errors.Is(err, files.ErrNotFound) {
		return k.Open(ctx, f)
	}
	if err != nil {
		return nil, files.Served{}, err
	}
	head := make([]byte, files.HeadSize)
	n, err := io.ReadFull(bytes, head)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	if err == nil {
		_, err = bytes.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, files.Served{}, errors.Join(fmt.Errorf("read %s: %w", key, err), bytes.Close())
	}
	return bytes, files.Served{Key: key, Name: f.Name, Type: files.TypeOf(head[:n]), Encoded: true}, nil
}

func keyOf(f *people.File, kind files.Kind) (files.Key, error) {
	hash, err := files.ParseHash(f.Hash)
	if err != nil {
		return files.Key{}, fmt.Errorf("the hash of a file: %w", err) // without its id, which is as good as a link
	}
	return files.Key{Kind: kind, Hash: hash}, nil
}
