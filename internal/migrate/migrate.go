// Package migrate takes all of a store to another one: logs with everything that is kept of them,
// documents, and the identity, so that clients go on as if nothing had happened.
//
// Nobody else may use either store. Both have a note of it (store.Move) until it is over, so that a
// server refuses them. Each step is durable before the next begins, and what is there already is
// passed over: a migration that was interrupted at any moment goes on when it is run again. At its
// end both stores are read and compared, and only then the source is given up: it gets another
// epoch and a note that says where its data are, and after that the target has no note any more. So
// never do both serve the same clients.
//
// One goroutine reads the source while another one writes the target.
package migrate

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"

	"kaban/internal/store"
)

// Errors of Run that callers distinguish with errors.Is.
var (
	// ErrOccupied means that the target has data which are not of this migration.
	ErrOccupied = errors.New("the target is not empty")
	// ErrDiffers means that the target has something else than the source. The error names it.
	ErrDiffers = errors.New("the target differs from the source")
	// ErrDone means that this migration was completed before.
	ErrDone = errors.New("everything was moved before")
)

// Limits of what is taken at once.
const (
	entriesAtOnce   = 5000
	bytesAtOnce     = 4 << 20
	roomsAtOnce     = 1000
	documentsAtOnce = 1000
)

// Phase is a part of a migration.
type Phase string

// The phases.
const (
	Copying   Phase = "copying"
	Comparing Phase = "comparing"
)

// Report is what was moved.
type Report struct {
	Rooms              int
	Entries, Documents uint64 // all of them
	Copied             uint64 // entries that were not there before
	Resumed            bool   // an interrupted migration went on
	Sum                string // of everything, the same for the source and the target
}

// Progress is called from time to time, with entries and documents. It may be called from several
// goroutines, one at a time.
type Progress func(phase Phase, done, total uint64)

// Options configure Run. The zero value is ready to use.
type Options struct {
	Progress Progress // or nil
	// Last is called before the target may be used, for what is not in the source. It may be called
	// again by another run.
	Last func(ctx context.Context) error
}

// Run takes everything from one store to another, or goes on with it.
func Run(ctx context.Context, from, to store.Movable, options Options) (*Report, error) {
	m := migration{from: from, to: to, progress: options.Progress}
	given, err := m.begin(ctx)
	if err != nil {
		return nil, err
	}
	if err := m.measure(ctx); err != nil {
		return nil, err
	}
	if !given { // otherwise all that is left is the note of the target
		for _, step := range []func(context.Context) error{m.copyIdentity, m.copyDocuments, m.copyRooms, m.copyFronts, m.copyLogs, m.compare, m.give} {
			if err := step(ctx); err != nil {
				return nil, err
			}
		}
	}
	if err := m.forsake(context.WithoutCancel(ctx)); err != nil {
		return nil, err
	}
	if options.Last != nil {
		if err := options.Last(context.WithoutCancel(ctx)); err != nil {
			return nil, err
		}
	}
	if err := to.NoteMove(context.WithoutCancel(ctx), store.Move{}); err != nil {
		return nil, fmt.Errorf("remove the note of the migration from %s: %w", to.Place(), err)
	}
	return &m.report, nil
}

// migration is one run.
type migration struct {
	from, to store.Movable
	id       string
	rooms    []store.Room // of the source, by name
	report   Report

	mu       sync.Mutex // guards the progress
	progress Progress
	done     uint64
	total    uint64
}

// advance reports progress.
func (m *migration) advance(phase Phase, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done += uint64(n)
	if m.progress != nil {
		m.progress(phase, min(m.done, m.total), m.total)
	}
}

// restart begins to count the progress of a phase.
func (m *migration) restart() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done = 0
}

// begin writes the notes, or finds those of the run that goes on. given reports whether the source
// was given up already.
func (m *migration) begin(ctx context.Context) (given bool, err error) {
	source, err := m.from.Move(ctx)
	if err != nil {
		return false, err
	}
	target, err := m.to.Move(ctx)
	if err != nil {
		return false, err
	}
	switch {
	case target.Role == store.RoleTarget && source.ID == target.ID && (source.Role == store.RoleSource || source.Role == store.RoleLeft):
		m.id, m.report.Resumed = target.ID, true
		return source.Role == store.RoleLeft, m.from.NoteMove(ctx, source)
	case source.Role == store.RoleLeft && source.Other == m.to.Place() && target.Role == store.RoleNone && errors.Is(m.checkEmpty(ctx), ErrOccupied):
		return false, fmt.Errorf("%w: what was in %s is in %s; nothing was changed", ErrDone, m.from.Place(), m.to.Place())
	case source.Role == store.RoleLeft || source.Role == store.RoleTarget:
		return false, source.ErrInUse(m.from.Place(), m.from.GiveUp())
	case target.Role == store.RoleLeft:
		return false, fmt.Errorf("%w: %s has what was taken from there to %s, without all that was said since; name another place", ErrOccupied, m.to.Place(), target.Other)
	case target.Role == store.RoleSource:
		return false, fmt.Errorf("%w: %s is being taken to %s; finish that migration, or to give it up, %s", ErrOccupied, m.to.Place(), target.Other, m.to.GiveUp())
	case target.Role == store.RoleTarget:
		return false, fmt.Errorf("%w: %s has what is left of another migration (from %s): empty it, or finish that one", ErrOccupied, m.to.Place(), target.Other)
	}
	if err := m.checkEmpty(ctx); err != nil {
		return false, err
	}
	m.id = source.ID
	if source.Role == store.RoleNone || source.Other != m.to.Place() {
		m.id = rand.Text()
	}
	if err := m.from.NoteMove(ctx, store.Move{Role: store.RoleSource, ID: m.id, Other: m.to.Place()}); err != nil {
		return false, fmt.Errorf("note the migration in %s: %w", m.from.Place(), err)
	}
	if err := m.to.NoteMove(ctx, store.Move{Role: store.RoleTarget, ID: m.id, Other: m.from.Place()}); err != nil {
		return false, fmt.Errorf("note the migration in %s: %w", m.to.Place(), err)
	}
	return false, nil
}

// checkEmpty returns an ErrOccupied if the target has anything.
func (m *migration) checkEmpty(ctx context.Context) error {
	rooms, err := m.to.Rooms(ctx)
	if err != nil {
		return err
	}
	documents := false
	err = eachDocument(ctx, m.to, func([]store.Document) error {
		documents = true
		return errEnough
	})
	if err != nil && !errors.Is(err, errEnough) {
		return err
	}
	if len(rooms) > 0 || documents {
		return fmt.Errorf("%w: %s has data of its own; name an empty place, or empty this one if nobody needs what is there", ErrOccupied, m.to.Place())
	}
	return nil
}

// measure counts what there is to do.
func (m *migration) measure(ctx context.Context) (err error) {
	if m.rooms, err = m.from.Rooms(ctx); err != nil {
		return err
	}
	store.SortRooms(m.rooms)
	m.report.Rooms = len(m.rooms)
	for i := range m.rooms {
		m.report.Entries += m.rooms[i].Head + 1 - m.rooms[i].Oldest
	}
	err = eachDocument(ctx, m.from, func(some []store.Document) error {
		m.report.Documents += uint64(len(some))
		return nil
	})
	m.total = m.report.Entries + m.report.Documents
	return err
}

// give gives the source up: no server starts there any more.
func (m *migration) give(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := m.from.NoteMove(context.WithoutCancel(ctx), store.Move{Role: store.RoleLeft, ID: m.id, Other: m.to.Place()})
	if err != nil {
		return fmt.Errorf("note in %s that its data are in %s: %w", m.from.Place(), m.to.Place(), err)
	}
	return nil
}

// forsake changes the epoch of a source that was given up. Who serves it all the same tells clients to
// start over.
func (m *migration) forsake(ctx context.Context) error {
	source, err := m.from.Identity(ctx)
	if err != nil {
		return err
	}
	target, err := m.to.Identity(ctx)
	if err != nil || source.Epoch != target.Epoch {
		return err
	}
	source.Epoch = rand.Text()
	if err := m.from.Become(ctx, source); err != nil {
		return fmt.Errorf("change the epoch of %s: %w", m.from.Place(), err)
	}
	return nil
}
