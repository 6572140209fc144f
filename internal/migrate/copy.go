package migrate

import (
	"context"
	"errors"
	"fmt"

	"kaban/internal/store"
)

// copyIdentity has the target be what the source is.
func (m *migration) copyIdentity(ctx context.Context) error {
	identity, err := m.from.Identity(ctx)
	if err == nil {
		err = m.to.Become(ctx, identity)
	}
	if err != nil {
		return fmt.Errorf("take over the epoch: %w", err)
	}
	return nil
}

// errEnough ends a visit.
var errEnough = errors.New("that is enough")

// eachDocument passes on the documents of a store, by key, some at a time.
func eachDocument(ctx context.Context, s store.Store, pass func([]store.Document) error) error {
	const end = "\xff" // behind every key
	for from := ""; ; {
		var some []store.Document
		err := s.View(ctx, func(tx store.Tx) (err error) {
			some, err = tx.Scan(from, end, documentsAtOnce)
			return err
		})
		if err == nil && len(some) > 0 {
			err = pass(some)
		}
		if err != nil || len(some) < documentsAtOnce {
			return err
		}
		from = some[len(some)-1].Key + "\x01"
	}
}

func (m *migration) copyDocuments(ctx context.Context) error {
	return eachDocument(ctx, m.from, func(some []store.Document) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := m.to.ImportDocuments(ctx, some); err != nil {
			return fmt.Errorf("copy documents: %w", err)
		}
		m.advance(Copying, len(some))
		return nil
	})
}

// copyRooms makes the rooms, under the names that they were given.
func (m *migration) copyRooms(ctx context.Context) error {
	for from := 0; from < len(m.rooms); from += roomsAtOnce {
		if err := m.to.ImportRooms(ctx, m.rooms[from:min(from+roomsAtOnce, len(m.rooms))]); err != nil {
			return fmt.Errorf("make rooms: %w", err)
		}
	}
	return ctx.Err()
}

// copyFronts copies the fronts before any entry: names of authors that stand in both are then the
// same as in the source.
func (m *migration) copyFronts(ctx context.Context) error {
	return m.from.Fronts(ctx, func(f *store.Front) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := m.to.ImportFront(ctx, f); err != nil {
			return fmt.Errorf("copy what was cut from %s: %w", f.Room, err)
		}
		return nil
	})
}

// copyLogs copies the entries, each room from where the target ends.
func (m *migration) copyLogs(ctx context.Context) error {
	heads, err := m.heads(ctx)
	if err != nil {
		return err
	}
	for i := range m.rooms {
		r := &m.rooms[i]
		if head := heads[r.Name.Key()]; head >= r.Oldest {
			m.advance(Copying, int(min(head, r.Head)+1-r.Oldest))
		}
	}
	ctx, stop := context.WithCancel(ctx)
	source := begin(ctx, func(ctx context.Context, send func([]store.Kept) error) error {
		p := portion{send: send}
		for i := range m.rooms {
			r := &m.rooms[i]
			if err := eachKept(ctx, m.from, r, max(heads[r.Name.Key()], r.Oldest-1), p.add); err != nil {
				return fmt.Errorf("read %s: %w", m.from.Place(), err)
			}
		}
		return p.flush()
	})
	defer source.reading.Wait()
	defer stop()
	for {
		some, err := source.next()
		if err != nil || len(some) == 0 {
			return err
		}
		source.rest = nil
		n, err := m.to.ImportKept(ctx, some)
		if err != nil {
			return fmt.Errorf("write %s: %w", m.to.Place(), err)
		}
		m.report.Copied += uint64(n)
		m.advance(Copying, len(some))
	}
}

// portion collects entries of small rooms, which are written together.
type portion struct {
	kept  []store.Kept
	bytes int
	send  func([]store.Kept) error
}

func (p *portion) add(some []store.Kept) error {
	bytes := 0
	for i := range some {
		bytes += len(some[i].Body)
	}
	if len(p.kept) > 0 && (len(p.kept)+len(some) > entriesAtOnce || p.bytes+bytes > bytesAtOnce) {
		if err := p.flush(); err != nil {
			return err
		}
	}
	p.kept, p.bytes = append(p.kept, some...), p.bytes+bytes
	return nil
}

func (p *portion) flush() error {
	some := p.kept
	p.kept, p.bytes = nil, 0
	if len(some) == 0 {
		return nil
	}
	return p.send(some)
}

// heads returns the heads of the rooms of the target, by key.
func (m *migration) heads(ctx context.Context) (map[string]uint64, error) {
	rooms, err := m.to.Rooms(ctx)
	if err != nil {
		return nil, err
	}
	heads := make(map[string]uint64, len(rooms))
	for i := range rooms {
		heads[rooms[i].Name.Key()] = rooms[i].Head
	}
	return heads, nil
}

// eachKept passes on the entries of a room behind one, some at a time.
func eachKept(ctx context.Context, s store.Movable, r *store.Room, after uint64, pass func([]store.Kept) error) error {
	for after < r.Head {
		some, err := s.ReadKept(ctx, r.Name, after, entriesAtOnce, bytesAtOnce)
		if err != nil {
			return err
		}
		if len(some) == 0 {
			return fmt.Errorf("%w: %s ends with %d, and not with %d", store.ErrDamaged, r.Name, after, r.Head)
		}
		after = some[len(some)-1].Seq
		if err := pass(some); err != nil {
			return err
		}
	}
	return nil
}
