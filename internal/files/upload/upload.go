// Package upload stages files that are on their way: in a directory of the local disk, also
// if blobs are kept elsewhere.
//
// An upload grows at its end and can be resumed, also after a crash. Every byte that Append
// has counted is durable. What a killed process had written beyond the last checkpoint is
// cut off at the next start, so an offset never stands for bytes that may not be there.
//
// An upload ends in one of three ways: Remove (cancelled, or what it was for has been
// done), Settle or Deliver (done, and a client that has not heard of it may still ask), or
// Expire.
//
// Whoever knows the id of an upload may go on with it, as far as this package is concerned. So
// no error and no line of a log has one.
//
// The files of an upload are ID.data, ID.info (ID.done once it is settled), and
// those that Beside names. One process at a time may use a directory.
package upload

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"

	"kaban/internal/failpoint"
	"kaban/internal/failpoint/disk"
	"kaban/internal/files"
)

// Unknown is the length of an upload that nobody has declared. Such an upload is not
// resumed after a restart.
const Unknown = -1

// Bounds of what may be declared with an upload. Together they bound its record.
const (
	MaxMeta      = 16   // entries of metadata
	MaxMetaBytes = 4096 // of all keys and values
	MaxOwner     = 256  // bytes
)

const (
	// startGrace is for how long after a start nothing expires: clients come back, and the
	// time of day may have jumped while nobody looked.
	startGrace = time.Hour
	// settledFor is how long a client can ask for an upload that is done, and settledAtMost how
	// long if the server was started meanwhile, however often.
	settledFor    = time.Hour
	settledAtMost = 24 * time.Hour
	// reservedFor is how long an upload that does not grow keeps room for bytes that have not come.
	// A link that breaks is back by then.
	reservedFor = 10 * time.Minute
)

// Limits of uploads. A field that is 0 does not limit.
type Limits struct {
	Size     int64         // bytes of one upload
	Staged   int64         // bytes of all uploads together; those that were declared count while an upload grows
	PerOwner int           // uploads of one owner at once
	Uploads  int           // uploads at once
	Idle     time.Duration // after which an upload without a new byte expires
	Empty    time.Duration // after which an upload without any byte expires
	// Settled and SettledPerOwner are how many settled uploads are remembered, of all and of
	// one owner. The oldest are forgotten.
	Settled, SettledPerOwner int
}

// DefaultLimits returns the limits that a server has if nobody sets others.
func DefaultLimits() Limits {
	return Limits{
		Size: 100_000_000, Staged: 10_000_000_000, PerOwner: 20, Uploads: 5000, Idle: 24 * time.Hour, Empty: 10 * time.Minute,
		Settled: 5000, SettledPerOwner: 100,
	}
}

// Errors of uploads.
var (
	// ErrNotFound means that there is no such upload, or no longer.
	ErrNotFound = errors.New("there is no such upload")
	// ErrBusy means that the upload is just growing, or being finished.
	ErrBusy = errors.New("the upload is in use")
	// ErrIncomplete means that bytes are missing.
	ErrIncomplete = errors.New("the upload is not complete")
	// ErrMeta means that the metadata or the owner is too long.
	ErrMeta = errors.New("the metadata of the upload is too long")
)

// OffsetError means that bytes do not continue an upload.
type OffsetError struct {
	Got, Want int64
}

func (e *OffsetError) Error() string {
	return fmt.Sprintf("the upload continues at byte %d, not at %d", e.Want, e.Got)
}

// Limit names one of the Limits.
type Limit string

// The limits.
const (
	LimitSize     Limit = "bytes of an upload"
	LimitStaged   Limit = "bytes of all uploads"
	LimitPerOwner Limit = "uploads at once"
	LimitUploads  Limit = "uploads at once by everybody"
)

// LimitError means that an upload is more than a limit allows. Only LimitSize depends on the
// upload alone; the others may allow it later.
type LimitError struct {
	Limit       Limit
	Max, Actual int64 // Actual is what it would be, or more than Max where nobody knows
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("too many %s: %d are allowed", e.Limit, e.Max)
}

// Draft is an upload that begins.
type Draft struct {
	Owner  string            // whose it is; it means nothing here
	Length int64             // in bytes, or Unknown
	Name   string            // as the client has sent it; files.CleanName cleans it
	Meta   map[string]string // anything else that is to be remembered
}

// Info describes an upload.
type Info struct {
	Draft
	ID      string    // 26 characters of base32, unguessable
	Offset  int64     // how many bytes are durable
	Settled bool      // what it was for is done
	Begun   time.Time // when it was created
	// Answer is what a client was told when it was settled, for those that ask again.
	Answer map[string]string
}

// Complete reports whether an upload has all its bytes. One of an unknown length never is
// before it is finished.
func (i Info) Complete() bool { return i.Length != Unknown && i.Offset == i.Length }

// Config is what a Staging needs.
type Config struct {
	Dir    string // made if it does not exist; it should be used for nothing else
	Limits Limits
	Log    *slog.Logger // nil: none
}

// Staging has the uploads of a directory. Its methods may be called at once from any
// goroutine; of the same upload one at a time, the others return ErrBusy.
type Staging struct {
	dir    string
	limits Limits
	log    *slog.Logger
	began  time.Time
	// checkpoint is after how many bytes those that have come are made durable.
	checkpoint int64

	mu        sync.Mutex
	all       map[string]*entry // guarded by mu
	owners    map[string]int    // uploads that are not settled; guarded by mu
	unsettled int               // guarded by mu
	staged    int64             // bytes that count against the limit; guarded by mu
	settled   map[string]int    // settled uploads by owner; guarded by mu
	settledIn int               // all of these; guarded by mu
}

// entry is an upload. Staging.mu guards it, except for slot, which belongs to whoever has
// made it busy.
type entry struct {
	info     Info
	touched  time.Time
	busy     bool
	reserved int64 // bytes that count against Limits.Staged
	slot     int   // of the record that is written next
	sum      *files.Hash
}

// Open returns the uploads in a directory. It removes what no upload needs: files without a
// record, uploads of unknown length, and bytes beyond the last checkpoint.
func Open(c Config) (*Staging, error) {
	s := &Staging{dir: c.Dir, limits: c.Limits, log: c.Log, began: time.Now(), checkpoint: defaultCheckpoint, all: make(map[string]*entry), owners: make(map[string]int), settled: make(map[string]int)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the uploads: %w", err)
	}
	if err := disk.SyncDirectory(filepath.Dir(c.Dir)); err != nil {
		return nil, fmt.Errorf("open the uploads: %w", err)
	}
	if err := s.load(); err != nil {
		return nil, fmt.Errorf("open the uploads: %w", WithoutID(err))
	}
	s.forget()
	return s, nil
}

// Create begins an upload. It is durable when Create returns.
func (s *Staging) Create(d Draft) (Info, error) {
	if err := checkDraft(&d); err != nil {
		return Info{}, err
	}
	e := &entry{info: Info{Draft: d, ID: newID(), Begun: time.Now()}, touched: time.Now(), busy: true, reserved: max(d.Length, 0)}
	s.mu.Lock()
	err := s.admit(e)
	s.mu.Unlock()
	if err != nil {
		return Info{}, err
	}
	err = s.make(e)
	s.mu.Lock()
	defer s.mu.Unlock()
	e.busy = false
	if err != nil {
		s.drop(e)
		return Info{}, s.explain("create an upload", err)
	}
	return e.info, nil
}

func checkDraft(d *Draft) error {
	if !allowedMeta(d.Meta) || len(d.Owner) > MaxOwner {
		return ErrMeta
	}
	d.Name, d.Meta, d.Length = files.CleanName(d.Name), maps.Clone(d.Meta), max(d.Length, Unknown)
	return nil
}

func allowedMeta(meta map[string]string) bool {
	size := 0
	for key, value := range meta {
		size += len(key) + len(value)
	}
	return len(meta) <= MaxMeta && size <= MaxMetaBytes
}

// admit adds an upload if the limits allow it. The lock must be held.
func (s *Staging) admit(e *entry) error {
	owner, length := e.info.Owner, e.info.Length
	for _, c := range []struct {
		limit       Limit
		max, actual int64
	}{
		{LimitSize, s.limits.Size, length},
		{LimitPerOwner, int64(s.limits.PerOwner), int64(s.owners[owner]) + 1},
		{LimitUploads, int64(s.limits.Uploads), int64(s.unsettled) + 1},
		{LimitStaged, s.limits.Staged, s.staged + e.reserved},
	} {
		if c.max > 0 && c.actual > c.max {
			return &LimitError{c.limit, c.max, c.actual}
		}
	}
	s.keep(e)
	return nil
}

// keep adds an upload. The lock must be held.
func (s *Staging) keep(e *entry) {
	s.all[e.info.ID] = e
	if e.info.Settled {
		s.settled[e.info.Owner]++
		s.settledIn++
		return
	}
	s.owners[e.info.Owner]++
	s.unsettled++
	s.staged += e.reserved
}

// drop forgets an upload. The lock must be held.
func (s *Staging) drop(e *entry) {
	s.release(e)
	delete(s.all, e.info.ID)
}

// release takes an upload out of what the limits count. The lock must be held.
func (s *Staging) release(e *entry) {
	owners := s.owners
	if e.info.Settled {
		owners = s.settled
		s.settledIn--
	} else {
		s.unsettled--
		s.staged -= e.reserved
	}
	if owners[e.info.Owner]--; owners[e.info.Owner] == 0 {
		delete(owners, e.info.Owner)
	}
}

// Info returns an upload.
func (s *Staging) Info(id string) (Info, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.all[id]
	if !ok {
		return Info{}, ErrNotFound
	}
	return e.info.clone(), nil
}

func (i Info) clone() Info {
	i.Meta, i.Answer = maps.Clone(i.Meta), maps.Clone(i.Answer)
	return i
}

// All returns all uploads, the oldest first. After a start, those that are complete and
// not settled are work that a crash has interrupted.
func (s *Staging) All() []Info {
	s.mu.Lock()
	all := make([]Info, 0, len(s.all))
	for _, e := range s.all {
		all = append(all, e.info.clone())
	}
	s.mu.Unlock()
	slices.SortFunc(all, func(a, b Info) int { return a.Begun.Compare(b.Begun) })
	return all
}

// Staged returns how many bytes count against Limits.Staged.
func (s *Staging) Staged() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.staged
}

// Part is a file that is made of an upload.
type Part string

// The parts.
const (
	Source    Part = dataSuffix // of what is no upload, but made again from what is kept
	Picture   Part = ".picture" // encoded anew
	Thumbnail Part = ".thumb"
)

// Beside returns the path of a part. It is nowhere else, goes with the upload, and does not
// survive a restart. Whoever makes it creates the file, with mode 0600.
func (s *Staging) Beside(id string, part Part) string { return s.path(id, string(part)) }

func (s *Staging) path(id, suffix string) string { return filepath.Join(s.dir, id+suffix) }

// Suffixes of the files of an upload.
const (
	dataSuffix  = ".data"
	infoSuffix  = ".info"
	doneSuffix  = ".done"
	draftSuffix = ".new"
)

var suffixes = []string{dataSuffix, infoSuffix, doneSuffix, draftSuffix, string(Picture), string(Thumbnail)}

// take makes an upload busy.
func (s *Staging) take(id string) (*entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.takeLocked(id)
}

func (s *Staging) takeLocked(id string) (*entry, error) {
	e, ok := s.all[id]
	switch {
	case !ok:
		return nil, ErrNotFound
	case e.busy:
		return nil, ErrBusy
	}
	e.busy = true
	return e, nil
}

// Remove removes an upload with all its files, durably.
func (s *Staging) Remove(id string) error {
	e, err := s.take(id)
	if err != nil {
		return err
	}
	return s.remove(e)
}

// remove removes an upload that is busy. The record goes first: without it the next
// start removes the rest.
func (s *Staging) remove(e *entry) error {
	suffix := infoSuffix
	if e.info.Settled {
		suffix = doneSuffix
	}
	err := ignoreMissing(disk.Remove(s.path(e.info.ID, suffix)))
	failpoint.Point("upload.record-removed")
	if err == nil {
		err = s.removeRest(e.info.ID, "")
	}
	failpoint.Point("upload.removed")
	if err == nil {
		err = disk.SyncDirectory(s.dir)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		e.busy = false
		return s.explain("remove an upload", err)
	}
	s.drop(e)
	return nil
}

// removeRest removes the files of an upload, except for one with a suffix.
func (s *Staging) removeRest(id, except string) (err error) {
	for _, suffix := range suffixes {
		if suffix != except {
			err = errors.Join(err, ignoreMissing(disk.Remove(s.path(id, suffix))))
		}
	}
	return err
}

// Expire removes uploads that have not grown for Limits.Idle, those without a byte after
// Limits.Empty, and settled ones after an hour, and returns how many. Uploads that have
// not grown for ten minutes give back the room for what has not come; Append asks for it
// again. Call it every few minutes. What cannot be removed is left for the next time.
func (s *Staging) Expire() (removed int, err error) {
	var old []*entry
	s.mu.Lock()
	for _, e := range s.all {
		switch {
		case e.busy:
		case s.isOld(e):
			e.busy = true
			old = append(old, e)
		case !e.info.Settled && time.Since(e.touched) >= reservedFor:
			s.staged -= e.reserved - e.info.Offset
			e.reserved = e.info.Offset
		}
	}
	s.mu.Unlock()
	for _, e := range old {
		if failed := s.remove(e); failed != nil {
			err = errors.Join(err, failed)
			continue
		}
		removed++
	}
	return removed, err
}

// isOld reports whether an upload has expired. The lock must be held.
func (s *Staging) isOld(e *entry) bool {
	now := time.Now()
	age := now.Sub(e.touched)
	if e.info.Settled && age >= settledAtMost {
		return true
	}
	if now.Sub(s.began) < startGrace && e.touched.Before(s.began) {
		return false
	}
	if e.info.Settled {
		return age >= settledFor
	}
	if e.info.Offset == 0 && !e.info.Complete() && s.limits.Empty > 0 && age >= s.limits.Empty {
		return true
	}
	return s.limits.Idle > 0 && age >= s.limits.Idle
}

// explain returns what an error of the system means, without the id of the upload.
func (s *Staging) explain(what string, err error) error {
	err = WithoutID(err)
	if files.IsNoSpace(err) {
		return fmt.Errorf("%s: %w: %w", what, files.ErrNoSpace, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// ids matches an id within a path.
var ids = regexp.MustCompile(`[a-z2-7]{26}\.`)

// WithoutID returns an error whose text has no id of an upload, for a log. Errors of the system have
// the paths of files, which begin with one. It wraps the error: errors.Is and AsType find what
// they would have found, with its own text.
func WithoutID(err error) error {
	if err == nil || !ids.MatchString(err.Error()) {
		return err
	}
	return &withoutID{err}
}

type withoutID struct{ err error }

func (e *withoutID) Error() string { return ids.ReplaceAllString(e.err.Error(), "….") }
func (e *withoutID) Unwrap() error { return e.err }

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// sizeError means that a file is not as long as it should be.
type sizeError struct{ got, want int64 }

func (e *sizeError) Error() string {
	return fmt.Sprintf("the file has %d bytes, want %d", e.got, e.want)
}
