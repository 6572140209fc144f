package upload

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"kaban/internal/failpoint"
	"kaban/internal/failpoint/disk"
	"kaban/internal/files"
)

// Sizes in bytes.
const (
	// defaultCheckpoint is after how many bytes those that have come are made durable: a crash costs
	// a client no more.
	defaultCheckpoint = 8 << 20
	// bufferSize is what an upload that grows has in memory.
	bufferSize = 32 << 10
)

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// Append adds what it reads to an upload, which must be at an offset, and returns how many
// bytes it has added. These are durable, also if there is an error. The upload has grown
// by them and can be continued.
//
// After a pause there may be no room for the rest, which is a LimitError of LimitStaged. It
// reads until the end, an error, or the end of the context between two reads. It does
// not end a read that blocks. A byte more than the length of the upload, or than a limit
// allows, is a LimitError; the bytes before it are added. Other errors: ErrNotFound,
// ErrBusy, an OffsetError, files.ErrNoSpace, that of the reader, or one of the system.
func (s *Staging) Append(ctx context.Context, id string, offset int64, from io.Reader) (n int64, err error) {
	e, err := s.begin(id, offset)
	if err != nil {
		return 0, err
	}
	durable, err := s.grow(ctx, e, from)
	s.mu.Lock()
	defer s.mu.Unlock()
	e.busy = false
	if n = durable - offset; n > 0 {
		e.info.Offset, e.touched, e.sum = durable, time.Now(), nil
	}
	return n, err
}

// begin makes an upload busy that continues at an offset.
func (s *Staging) begin(id string, offset int64) (*entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.takeLocked(id)
	if err != nil {
		return nil, err
	}
	switch {
	case e.info.Settled:
		err = ErrNotFound
	case offset != e.info.Offset:
		err = &OffsetError{offset, e.info.Offset}
	default:
		err = s.reserveLocked(e)
	}
	if err != nil {
		e.busy = false
	}
	return e, err
}

// reserveLocked takes back the room for the rest of an upload that Expire has taken away.
func (s *Staging) reserveLocked(e *entry) error {
	missing := e.info.Length - e.reserved
	if missing <= 0 {
		return nil
	}
	if s.limits.Staged > 0 && s.staged+missing > s.limits.Staged {
		return &LimitError{LimitStaged, s.limits.Staged, s.staged + missing}
	}
	s.staged += missing
	e.reserved = e.info.Length
	return nil
}

// growth is a call of Append.
type growth struct {
	s           *Staging
	e           *entry
	data        *disk.File
	at, durable int64 // the end of what is written, and of what is recorded
	limit       int64 // up to where it may grow
}

// grow returns up to where an upload is durable.
func (s *Staging) grow(ctx context.Context, e *entry, from io.Reader) (durable int64, err error) {
	g := growth{s: s, e: e, at: e.info.Offset, durable: e.info.Offset, limit: e.info.Length}
	if e.info.Length == Unknown {
		g.limit = 1<<63 - 1
		if s.limits.Size > 0 {
			g.limit = s.limits.Size
		}
	}
	if g.data, err = disk.OpenFile(s.path(e.info.ID, dataSuffix), os.O_RDWR, 0); err != nil {
		return g.durable, s.explain("append to an upload", err)
	}
	err = g.copy(ctx, from)
	if failed := g.checkpoint(); failed != nil {
		err = errors.Join(s.explain("append to an upload", failed), err)
	}
	return g.durable, errors.Join(err, g.data.Close())
}

func (g *growth) copy(ctx context.Context, from io.Reader) error {
	buffer := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buffer)
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, readErr := from.Read(buffer[:])
		if err := g.write(buffer[:n]); err != nil {
			return err
		}
		if readErr == io.EOF {
			return nil
		}
		if readErr != nil {
			return readErr
		}
	}
}

// write adds as many bytes as are allowed.
func (g *growth) write(p []byte) error {
	allowed, refused := g.allow(p)
	n, err := g.data.WriteAt(p[:allowed], g.at)
	g.at += int64(n)
	failpoint.Point("upload.written")
	if err != nil {
		return g.s.explain("append to an upload", err)
	}
	if refused != nil {
		return refused
	}
	if g.at-g.durable >= g.s.checkpoint {
		if err := g.checkpoint(); err != nil {
			return g.s.explain("append to an upload", err)
		}
	}
	return nil
}

// allow returns how many bytes may be added, and the error for the others.
func (g *growth) allow(p []byte) (int, error) {
	allowed, refused := len(p), error(nil)
	if room := g.limit - g.at; int64(allowed) > room {
		allowed, refused = int(room), &LimitError{LimitSize, g.limit, g.limit + 1}
	}
	if g.e.info.Length != Unknown {
		return allowed, refused
	}
	s := g.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if room := s.limits.Staged - s.staged; s.limits.Staged > 0 && int64(allowed) > room {
		allowed, refused = int(max(room, 0)), &LimitError{LimitStaged, s.limits.Staged, s.limits.Staged + 1}
	}
	s.staged += int64(allowed)
	g.e.reserved += int64(allowed)
	return allowed, refused
}

// checkpoint makes what is written durable. If it cannot, the upload is as it was at the
// last one: after a sync that failed nobody knows which bytes are on the disk, so they
// are written again.
func (g *growth) checkpoint() error {
	if g.at == g.durable {
		return nil
	}
	err := g.data.SyncData()
	failpoint.Point("upload.synced")
	if err == nil {
		err = g.s.record(g.e, g.at)
	}
	if err != nil {
		g.at = g.durable
		return errors.Join(err, g.data.Truncate(g.durable))
	}
	failpoint.Point("upload.recorded")
	g.durable = g.at
	return nil
}

// Finish returns an upload with all its bytes as a file for files.Store. It stays until
// Remove or Settle, or until it expires: Deliver keeps it from that. Calling Finish again returns the same. One of unknown length
// ends here. It reads the file, with 32 KiB in memory. Errors: ErrNotFound, ErrBusy,
// ErrIncomplete, the context's, or one of the system.
func (s *Staging) Finish(ctx context.Context, id string) (files.Staged, error) {
	e, err := s.take(id)
	if err != nil {
		return files.Staged{}, err
	}
	defer s.leave(e)
	staged, err := s.finish(ctx, e)
	if err != nil {
		return files.Staged{}, err
	}
	s.finished(e, staged)
	return staged, nil
}

func (s *Staging) finished(e *entry, staged files.Staged) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.info.Length, e.sum = staged.Size, &staged.Sum
}

func (s *Staging) finish(ctx context.Context, e *entry) (staged files.Staged, err error) {
	switch {
	case e.info.Settled:
		return staged, ErrNotFound
	case e.info.Length != Unknown && !e.info.Complete():
		return staged, ErrIncomplete
	}
	staged = files.Staged{Path: s.path(e.info.ID, dataSuffix), Size: e.info.Offset}
	if e.sum != nil {
		staged.Sum = *e.sum
		return staged, nil
	}
	f, err := os.Open(staged.Path)
	if err != nil {
		return staged, s.explain("finish an upload", err)
	}
	size, sum, err := files.Sum(ctx, f)
	if err := errors.Join(err, f.Close()); err != nil {
		return staged, s.explain("finish an upload", err)
	}
	staged.Sum = sum
	// A file that is longer has bytes beyond the last checkpoint, which only a failed truncation leaves.
	if size != staged.Size {
		return staged, s.explain("finish an upload", &sizeError{size, staged.Size})
	}
	return staged, nil
}

// Take stages what it reads, such as a part of a form, as an upload of its own, and finishes
// it. Draft.Length may be Unknown. If it fails, nothing is left.
func (s *Staging) Take(ctx context.Context, d Draft, from io.Reader) (Info, files.Staged, error) {
	info, err := s.Create(d)
	if err != nil {
		return Info{}, files.Staged{}, err
	}
	var staged files.Staged
	if _, err = s.Append(ctx, info.ID, 0, from); err == nil {
		staged, err = s.Finish(ctx, info.ID)
	}
	if err != nil {
		return Info{}, files.Staged{}, errors.Join(err, s.Remove(info.ID))
	}
	info.Offset, info.Length = staged.Size, staged.Size
	return info, staged, nil
}
