package s3

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"kaban/internal/files"
)

// OwnerName is the name of the object that has the owner, below the prefix.
const OwnerName = "kaban-owner"

// maxOwner is the length of a longer owner than there is, in bytes.
const maxOwner = 256

// errOwner means that the objects are somebody else's.
var errOwner = errors.New("its files belong to another data directory")

// Ready asks the service whether the bucket can be used, and whose the objects are. Those that are
// nobody's become the owner's. Any error is an UnreachableError, or the context's.
func (s *Store) Ready(ctx context.Context) error {
	s.owned.Store(nil)
	if s.c.Owner != "" {
		return s.own(ctx)
	}
	brief, cancel := s.brief(ctx)
	defer cancel()
	if _, err := s.owner(brief); err != nil {
		return s.explain(brief, "open the file store in S3", err)
	}
	return nil
}

// TakeOver makes the objects the owner's, whoever had them.
func (s *Store) TakeOver(ctx context.Context) error {
	brief, cancel := s.brief(ctx)
	defer cancel()
	if err := s.putOwner(brief, minio.PutObjectOptions{}); err != nil {
		return s.explain(brief, "take the files over", err)
	}
	return s.Ready(ctx)
}

// isOwned reports whether the objects were seen to be the owner's lately.
func (s *Store) isOwned() bool {
	seen := s.owned.Load()
	return seen != nil && time.Since(*seen) < s.c.Recheck
}

// own returns nil if the objects are the owner's, or if nobody asks. What was seen lately is not
// asked again, and while one call asks again, the others go by what was seen.
func (s *Store) own(ctx context.Context) error {
	if s.c.Owner == "" || s.isOwned() {
		return nil
	}
	if known := s.owned.Load() != nil; !s.takeTurn(ctx, !known) {
		if known {
			return nil
		}
		return context.Cause(ctx)
	}
	defer func() { <-s.turn }()
	if s.isOwned() {
		return nil
	}
	brief, cancel := s.brief(ctx)
	defer cancel()
	owner, err := s.owner(brief)
	if err == nil && owner == "" {
		owner, err = s.claim(brief)
	}
	const what = "see whose the files are"
	switch {
	case err != nil:
		return s.explain(brief, what, err)
	case owner != s.c.Owner:
		return fmt.Errorf("%s: %w", what, &files.UnreachableError{
			Store: s.name, Err: errOwner, Final: true,
			Advice: "use another bucket or prefix; if that directory is gone for good and this one takes its place, run \"kaban restore --s3-take-over\", or remove the object " + path.Join(s.c.Prefix, OwnerName),
		})
	}
	now := time.Now()
	s.owned.Store(&now)
	return nil
}

// takeTurn waits for the turn to ask if wait is set, until ctx ends. It reports whether the caller has it.
func (s *Store) takeTurn(ctx context.Context, wait bool) bool {
	if !wait {
		select {
		case s.turn <- struct{}{}:
			return true
		default:
			return false
		}
	}
	select {
	case s.turn <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// claim makes objects that are nobody's the owner's, and returns whose they are then: somebody else may
// have been faster.
func (s *Store) claim(ctx context.Context) (string, error) {
	var options minio.PutObjectOptions
	options.SetMatchETagExcept("*")
	err := s.putOwner(ctx, options)
	if err != nil {
		switch answer := minio.ToErrorResponse(err); {
		case answer.Code == minio.PreconditionFailed:
		case answer.Code == "NotImplemented", answer.StatusCode == http.StatusNotImplemented:
			// The service knows no conditions. Then two that are new at the same moment share the
			// objects until one of them asks again.
			if err := s.putOwner(ctx, minio.PutObjectOptions{}); err != nil {
				return "", err
			}
		default:
			return "", err
		}
	}
	return s.owner(ctx)
}

func (s *Store) putOwner(ctx context.Context, options minio.PutObjectOptions) error {
	options.ContentType = "text/plain"
	options.DisableContentSha256 = true
	text := s.c.Owner + "\n"
	sum := files.Hash(sha256.Sum256([]byte(text)))
	_, err := s.client.PutObject(ctx, s.c.Bucket, path.Join(s.c.Prefix, OwnerName), strings.NewReader(text), int64(len(text)), "", sum.String(), options)
	return err
}

// owner returns whose the objects are; "" if they are nobody's.
func (s *Store) owner(ctx context.Context) (string, error) {
	body, _, _, err := s.client.GetObject(ctx, s.c.Bucket, path.Join(s.c.Prefix, OwnerName), minio.GetObjectOptions{})
	if isMissing(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(body, maxOwner))
	if err := errors.Join(err, body.Close()); err != nil {
		return "", err
	}
	return strings.TrimSpace(string(text)), nil
}
