package keep

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"kaban/internal/files"
	"kaban/internal/files/upload"
	"kaban/internal/picture"
)

// strip returns a file that is kept as it came, without what it says of places and people, if it is
// of a format that does so. A copy is beside the upload.
func (k *Keeper) strip(ctx context.Context, id string, plain prepared) (prepared, error) {
	copied := k.staging.Beside(id, upload.Picture)
	size, err := stripTo(copied, plain.content)
	refused, isRefused := errors.AsType[*picture.RefusedError](err)
	switch {
	case isRefused && refused.Reason == picture.Unknown:
		return plain, nil
	case isRefused:
		return prepared{}, fmt.Errorf("%w: %w", ErrBadPicture, err)
	case files.IsNoSpace(err):
		return prepared{}, fmt.Errorf("copy a picture: %w: %w", files.ErrNoSpace, upload.WithoutID(err))
	case err != nil:
		return prepared{}, withoutID("copy a picture", err)
	}
	p := plain
	p.content, err = k.sum(ctx, copied, size)
	return p, err
}

// stripTo copies a file to a path, without what it says. What was there before may be a blob by now,
// so the copy is another file.
func stripTo(path string, staged files.Staged) (size int64, err error) {
	source, err := os.Open(staged.Path)
	if err != nil {
		return 0, err
	}
	defer source.Close()
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	to, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	size, err = picture.Strip(to, source, staged.Size)
	return size, errors.Join(err, to.Close())
}
