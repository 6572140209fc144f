// Package backup makes backups on a schedule and keeps the newest of them.
//
// A backup is made when the last one is old enough: at the start of a server by the
// times in the names of the backups that are there, later by the monotonic clock. So
// neither restarts nor a clock that is set lead to more backups or to none. A clock
// that was wrong leaves backups whose names are in the future. They count as older than
// all others, because they were made before it was set right: they are removed first, and
// restored only if they are named or if there is no other. A name of a backup at which
// there is a link or a directory is left alone. The log and Status say which these are.
//
// A backup that fails ends nothing: it is logged and tried again, after a minute at
// first and then after ever longer pauses. Only after a success are old backups
// removed.
//
// The package does not know how a backup is made. Whoever makes it writes the file
// under another name, with ".partial" at its end, and renames it. What is left of an
// attempt that failed is removed after it, and what a crash leaves at the next start.
package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Bounds of a schedule.
const (
	MinEvery = time.Minute
	MaxEvery = 366 * 24 * time.Hour
	MaxKeep  = 10_000
)

// slack is how far the name of a backup may be ahead of the clock: one that finds its
// name taken gets that of a later second.
const slack = time.Minute

// Pauses before a failed backup is tried again.
const (
	firstPause = time.Minute
	lastPause  = time.Hour
)

// Config configures a Service. All fields but Tidy and Now are needed.
type Config struct {
	Every time.Duration // from the beginning of a backup to that of the next
	Keep  int           // how many to keep
	Dir   string        // where; it is created if it does not exist
	// Make writes a checked backup to a file that does not exist. What it has written
	// when it fails is removed.
	Make func(ctx context.Context, file string) error
	// Room returns an error if there is no room for a backup.
	Room func() error
	// Tidy removes what belongs to backups that are no longer there. It is called after old ones
	// were removed. Default: nothing.
	Tidy func(ctx context.Context) error
	Log  *slog.Logger
	// Now is the clock that names backups, which somebody may set. Default: time.Now.
	Now func() time.Time
}

// Status is the state of a Service.
type Status struct {
	Last     File      // the newest backup that is not dated in the future; the zero File if there is none
	Count    int       // backups in the directory
	Bytes    int64     // all of them
	Remarks  []string  // of Listing
	Next     time.Time // when the next one is due, by Config.Now; zero while one is made
	Failures int       // failed attempts since the last success
	Err      error     // of the last attempt; nil if it succeeded
}

// Service makes backups. Its methods are safe for concurrent use.
type Service struct {
	config   Config
	prepared bool // Run's alone

	mu       sync.Mutex // guards all below
	found    Listing
	due      time.Time // of the next attempt, with a monotonic reading; zero while one is made
	failures int
	err      error
}

// New returns a service. Its work begins with Run.
func New(config Config) *Service {
	if config.Now == nil {
		config.Now = time.Now
	}
	return &Service{config: config, due: time.Now()}
}

// prepare creates the directory with mode 0700, removes what a crash has left, and says
// by the times of the backups in it when the next one is due.
func (s *Service) prepare() error {
	if err := os.MkdirAll(s.config.Dir, 0o700); err != nil {
		return err
	}
	removed, err := clean(s.config.Dir)
	if err != nil {
		return err
	}
	if removed > 0 {
		s.config.Log.Info("removed what an interrupted backup has left", "dir", s.config.Dir, "files", removed)
	}
	if err := s.refresh(); err != nil {
		return err
	}
	s.prepared = true
	s.mu.Lock()
	defer s.mu.Unlock()
	if dated := s.found.dated(); len(dated) > 0 {
		age := s.config.Now().Sub(dated[len(dated)-1].Time)
		s.due = time.Now().Add(min(max(s.config.Every-age, 0), s.config.Every))
	}
	return nil
}

// isAhead reports whether a backup was made by a clock that was ahead of the present one.
func isAhead(f File, now time.Time) bool { return f.Time.After(now.Add(slack)) }

// explain says what to do about an error of the directory.
func explain(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w; the directory of the backups must be writable for the user that runs the server", err)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w; under systemd, name the directory in ReadWritePaths= of the unit", err)
	case errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%w; name a directory for the backups", err)
	}
	return err
}

// refresh reads the directory: somebody may have removed backups.
func (s *Service) refresh() error {
	found, err := List(s.config.Dir, s.config.Now())
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, remark := range found.Remarks() {
		if !slices.Contains(s.found.Remarks(), remark) {
			s.config.Log.Warn("some backups have something wrong with them", "dir", s.config.Dir, "which", remark)
		}
	}
	s.found = found
	return nil
}

// Run makes backups until ctx ends.
func (s *Service) Run(ctx context.Context) {
	for {
		s.mu.Lock()
		wait := time.Until(s.due)
		s.mu.Unlock()
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		s.attempt(ctx)
	}
}

// attempt makes one backup and says when the next is due. The first one looks whether
// it is due at all.
func (s *Service) attempt(ctx context.Context) {
	begun := time.Now()
	var file File
	var err error
	if !s.prepared {
		if err = s.prepare(); err == nil && time.Until(s.due) > 0 {
			return
		}
	}
	if err == nil {
		s.mu.Lock()
		s.due = time.Time{}
		s.mu.Unlock()
		file, err = s.make(ctx)
	}
	if ctx.Err() != nil {
		return
	}
	pause := s.config.Every - time.Since(begun)
	s.mu.Lock()
	if s.err = explain(err); err == nil {
		s.failures = 0
	} else {
		pause = min(firstPause<<min(s.failures, 6), lastPause, s.config.Every)
		s.failures++
	}
	s.due = time.Now().Add(max(pause, 0))
	s.mu.Unlock()
	if err != nil {
		s.config.Log.Error("the backup failed; it is tried again", "in", pause, "error", explain(err))
		return
	}
	s.config.Log.Info("made a backup", "path", file.Path, "bytes", file.Bytes, "took", time.Since(begun).Round(time.Millisecond))
	err = s.prune()
	if err == nil && s.config.Tidy != nil {
		err = s.config.Tidy(ctx)
	}
	if err != nil {
		s.config.Log.Warn("old backups could not be removed; that is tried again after the next one", "error", explain(err))
	}
}

// make makes one backup.
func (s *Service) make(ctx context.Context) (File, error) {
	if err := os.MkdirAll(s.config.Dir, 0o700); err != nil { // somebody may have removed it
		return File{}, err
	}
	if err := s.config.Room(); err != nil {
		return File{}, err
	}
	path, t, err := s.free(s.config.Now())
	if err != nil {
		return File{}, err
	}
	if err := s.config.Make(ctx, path); err != nil {
		return File{}, together(err, s.discard(path))
	}
	info, err := os.Stat(path)
	if err != nil {
		return File{}, err
	}
	return File{path, t, info.Size()}, s.refresh()
}

// discard removes what a failed attempt has left: each has a name of its own, so that they
// would fill the disk.
func (s *Service) discard(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	_, err := clean(s.config.Dir)
	return err
}

// free returns a name that is not taken: a clock that was set back may have come to the
// same second again.
func (s *Service) free(now time.Time) (path string, t time.Time, err error) {
	for t = now.UTC().Truncate(time.Second); ; t = t.Add(time.Second) {
		path = filepath.Join(s.config.Dir, nameOf(t))
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			return path, t, nil
		} else if err != nil {
			return "", t, err
		}
	}
}

// prune removes all backups but the newest.
func (s *Service) prune() error {
	s.mu.Lock()
	files := s.found.Files
	s.mu.Unlock()
	var errs []error
	for _, f := range files[:max(len(files)-s.config.Keep, 0)] {
		if err := os.Remove(f.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return together(append(errs, s.refresh())...)
}

// together returns errors as one with a text of one line, or nil if there are none.
func together(errs ...error) (all error) {
	for _, err := range errs {
		switch {
		case err == nil:
		case all == nil:
			all = err
		default:
			all = fmt.Errorf("%w; %w", all, err)
		}
	}
	return all
}

// Status returns the present state.
func (s *Service) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	status := Status{Count: len(s.found.Files), Remarks: s.found.Remarks(), Failures: s.failures, Err: s.err}
	for _, f := range s.found.Files {
		status.Bytes += f.Bytes
	}
	if dated := s.found.dated(); len(dated) > 0 {
		status.Last = dated[len(dated)-1]
	}
	if !s.due.IsZero() {
		status.Next = s.config.Now().Add(time.Until(s.due))
	}
	return status
}
