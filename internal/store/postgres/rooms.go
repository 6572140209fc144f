package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"

	"kaban"
	"kaban/internal/store"
)

// maxRooms bounds the rooms that are kept in memory.
const maxRooms = 1 << 16

// room is what never changes of a room that exists.
type room struct {
	id   int64
	name kaban.RoomName
}

// roomCache keeps rooms that exist, by key. A room is never removed.
type roomCache struct {
	mu    sync.RWMutex
	byKey map[string]room
}

func (c *roomCache) get(key string) (room, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	r, ok := c.byKey[key]
	return r, ok
}

func (c *roomCache) add(r room) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byKey == nil || len(c.byKey) >= maxRooms {
		c.byKey = make(map[string]room)
	}
	c.byKey[r.name.Key()] = r
}

// listed are the rooms that exist for others: the other rows were made for an append that stored
// nothing.
const listed = "(head > 0 OR revision > 0)"

// Rooms implements store.Store.
func (s *Store) Rooms(ctx context.Context) (rooms []store.Room, err error) {
	err = s.reading(ctx, "list the rooms", func(ctx context.Context, c querier) error {
		rows, err := c.Query(ctx, "SELECT name, head, oldest, revision FROM rooms WHERE "+listed)
		if err != nil {
			return err
		}
		rooms, err = pgx.CollectRows(rows, scanRoom)
		return err
	})
	return rooms, err
}

// States returns the states of those rooms that have ever had an entry or a Bump, in no particular
// order, in one query. It does not read their names, so that damage in one takes nothing from the others.
func (s *Store) States(ctx context.Context, names []kaban.RoomName) (rooms []store.Room, err error) {
	keys := make([]string, len(names))
	byKey := make(map[string]kaban.RoomName, len(names))
	for i, name := range names {
		keys[i], byKey[name.Key()] = name.Key(), name
	}
	err = s.reading(ctx, "compare rooms", func(ctx context.Context, c querier) error {
		rows, err := c.Query(ctx, "SELECT key, head, oldest, revision FROM rooms WHERE key = ANY ($1) AND "+listed, keys)
		if err != nil {
			return err
		}
		rooms, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (r store.Room, err error) {
			var key string
			err = row.Scan(&key, &r.Head, &r.Oldest, &r.Revision)
			r.Name = byKey[key]
			return r, err
		})
		return err
	})
	return rooms, err
}

// Room implements store.Store.
func (s *Store) Room(ctx context.Context, name kaban.RoomName) (r store.Room, err error) {
	err = s.reading(ctx, "read a room", func(ctx context.Context, c querier) error {
		rows, err := c.Query(ctx, "SELECT name, head, oldest, revision FROM rooms WHERE key = $1 AND "+listed, name.Key())
		if err != nil {
			return err
		}
		r, err = pgx.CollectOneRow(rows, scanRoom)
		if errors.Is(err, pgx.ErrNoRows) {
			r, err = store.Room{Name: name, Oldest: 1}, nil
		}
		return err
	})
	return r, err
}

func scanRoom(row pgx.CollectableRow) (r store.Room, err error) {
	var name string
	if err := row.Scan(&name, &r.Head, &r.Oldest, &r.Revision); err != nil {
		return r, err
	}
	r.Name, err = parseRoom(name)
	return r, err
}

// parseRoom returns the room name of a row.
func parseRoom(name string) (kaban.RoomName, error) {
	r, err := kaban.ParseAnyRoom(name)
	if err != nil {
		return r, fmt.Errorf("%w: the name of a room: %w", store.ErrDamaged, err)
	}
	return r, nil
}
