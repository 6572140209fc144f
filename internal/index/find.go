package index

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	sqlite "modernc.org/sqlite/lib"

	"kaban"
	"kaban/internal/search"
)

const (
	// fewRows is how many messages of a volume are looked up one by one to see in which room
	// they are. With more, the lists of the rooms are read.
	fewRows = 24
	// firstLook is how many pinned messages are looked at together.
	firstLook = 1024
	// manyRooms is the number of rooms beyond which they are no part of the question if
	// there is no other.
	manyRooms = 2000
	// partialLag is how far behind the index may be before it says that it is partial.
	partialLag = 5 * time.Second
)

// Find implements search.Index.
func (x *Index) Find(ctx context.Context, ask search.Ask) (search.Places, error) {
	x.using.RLock()
	defer x.using.RUnlock()
	if x.db == nil {
		return search.Places{Partial: true}, nil
	}
	x.mu.Lock()
	partial := x.building || x.lagLocked() > partialLag
	x.mu.Unlock()
	f := finder{x: x, db: x.db, ctx: ctx, ask: ask, limit: max(ask.Limit, 1)}
	f.result.Partial = partial
	err := f.find()
	switch {
	case err == nil:
	case ctx.Err() != nil || codeOf(err) == sqlite.SQLITE_INTERRUPT:
		f.result.Partial, f.result.More = true, true
	case isDamage(err):
		x.log.Warn("the search index is damaged and is made anew; searches find only a part until then", "err", err)
		x.Rebuild()
		f.result.Partial = true
	default:
		return search.Places{}, fmt.Errorf("search: %w", err)
	}
	return f.result, nil
}

// finder answers one question.
type finder struct {
	x      *Index
	db     *database
	ctx    context.Context
	ask    search.Ask
	limit  int
	rooms  map[uint32]bool // nil: all
	result search.Places
	// low and high bound the orders: low ≤ order < high.
	low, high uint64
	// positive are conditions of which all must hold, negative of which none may.
	positive, negative []condition
	unused             []bitmap // of the volumes before
}

func (f *finder) find() error {
	f.high = f.x.tail.published.Load()
	if b := f.ask.Before; b != 0 {
		f.high = min(f.high, b)
	}
	f.result.Next = f.high
	if !f.ask.All {
		f.rooms = make(map[uint32]bool)
		f.x.mu.Lock()
		for _, name := range f.ask.Rooms {
			if r := f.x.rooms[name.Key()]; r != nil && r.id != 0 {
				f.rooms[r.id] = true
			}
		}
		f.x.mu.Unlock()
		if len(f.rooms) == 0 {
			return nil
		}
	}
	if err := f.narrow(); err != nil {
		return err
	}
	f.conditions()
	var err error
	switch few := f.rooms != nil && len(f.rooms) <= manyRooms; {
	case f.ask.Query.Must&search.IsPinned != 0:
		err = f.among("pins")
	case len(f.positive) > 0 || few:
		err = f.inVolumes()
	default:
		err = f.everywhere()
	}
	return err
}

// narrow bounds the orders by the times of the query.
func (f *finder) narrow() error {
	q, chunk := f.ask.Query, f.x.options.shape.chunk
	var id sql.NullInt64
	if !q.Since.IsZero() {
		if err := f.db.read.QueryRowContext(f.ctx, "SELECT min(id) FROM chunks WHERE until >= ?", q.Since.UnixMilli()).Scan(&id); err != nil {
			return err
		}
		if !id.Valid {
			f.high = 0
			return nil
		}
		f.low = uint64(id.Int64) * chunk
	}
	if !q.Until.IsZero() {
		if err := f.db.read.QueryRowContext(f.ctx, "SELECT max(id) FROM chunks WHERE since < ?", q.Until.UnixMilli()).Scan(&id); err != nil {
			return err
		}
		if !id.Valid {
			f.high = 0
			return nil
		}
		f.high = min(f.high, uint64(id.Int64+1)*chunk)
	}
	return nil
}

// condition holds for a message with all terms of one of some alternatives.
type condition [][]lookup

// termsOf returns the terms that all messages with a text have, and few others. Of three words
// that follow each other, or more, their pairs say nearly all, so only the longest is looked up
// as well: short ones are in many messages.
func termsOf(t *search.Text) (all []lookup) {
	var words []lookup // that are in a pair
	exact := len(t.Terms)
	if t.Prefix {
		exact--
		all = append(all, lookup{t.Terms[exact], true})
	}
	before := false // the term is in a pair with the one before it
	for i, term := range t.Terms[:exact] {
		pair, behind := "", false
		if i+1 < exact {
			pair, behind = termOfPair(term, t.Terms[i+1])
		}
		if behind {
			all = append(all, lookup{term: pair})
		}
		switch {
		case search.IsOfRun(term) || !before && !behind:
			all = append(all, lookup{term: term})
		default:
			words = append(words, lookup{term: term})
		}
		before = behind
	}
	if len(words) > 2 {
		words = []lookup{slices.MaxFunc(words, func(x, y lookup) int { return cmp.Compare(len(x.term), len(y.term)) })}
	}
	return append(all, words...)
}

// conditions turns the query into conditions on terms.
func (f *finder) conditions() {
	q := f.ask.Query
	for i := range q.Texts {
		switch t := &q.Texts[i]; {
		case !t.Not:
			f.positive = append(f.positive, condition{termsOf(t)})
		case len(t.Terms) == 1: // others may be missing where their terms are
			f.negative = append(f.negative, condition{termsOf(t)})
		}
	}
	var any condition
	for i := range f.ask.Any {
		any = append(any, termsOf(&f.ask.Any[i]))
	}
	if any != nil {
		f.positive = append(f.positive, any)
	}
	if from := f.authors(q.From); from != nil {
		f.positive = append(f.positive, from)
	}
	if from := f.authors(q.NotFrom); from != nil {
		f.negative = append(f.negative, from)
	}
	for property, term := range map[search.Property]string{search.HasLink: linkTerm, search.HasFile: fileTerm} {
		has := condition{{{term: term}}}
		if q.Must&property != 0 {
			f.positive = append(f.positive, has)
		}
		if q.MustNot&property != 0 {
			f.negative = append(f.negative, has)
		}
	}
	// The longest terms are the rarest, as a rule; once nothing is left the others are not read.
	slices.SortStableFunc(f.positive, func(x, y condition) int { return cmp.Compare(y.rarity(), x.rarity()) })
}

// authors holds for messages of one of some authors.
func (f *finder) authors(names []kaban.Username) (any condition) {
	for _, name := range names {
		any = append(any, []lookup{{term: f.db.termOfAuthor(name)}})
	}
	return any
}

// rarity is the greater, the fewer messages there are probably for which a condition holds.
func (c condition) rarity() (least int) {
	for i, all := range c {
		longest := 0
		for _, l := range all {
			longest = max(longest, len(l.term))
		}
		if i == 0 || longest < least {
			least = longest
		}
	}
	return least
}

// rows returns the rows of a volume for which a condition holds, or nil if there are none.
func (c condition) rows(v *volume) (bitmap, error) {
	var any bitmap
	for _, terms := range c {
		all, err := v.withAll(terms)
		if err != nil {
			return nil, err
		}
		switch {
		case all == nil:
		case any == nil:
			any = all
		default:
			any.or(all)
			v.release(all)
		}
	}
	return any, nil
}

// isFull reports whether enough was found.
func (f *finder) isFull() bool { return len(f.result.List) >= f.limit }

// take adds the places of orders, which are in descending order, as far as they are in a
// room in which to look. It reports whether there were more than are wanted.
func (f *finder) take(orders []uint64) error {
	s := &f.x.options.shape
	same := 0 // how many orders from here on are of the same chunk
	for n, order := range orders {
		if f.isFull() {
			f.result.More = true
			return nil
		}
		id := order / s.chunk
		if same--; same <= 0 {
			for same = 1; n+same < len(orders) && orders[n+same]/s.chunk == id; same++ {
			}
		}
		i, ok, err := f.db.readItem(f.ctx, id, int(order-id*s.chunk), same)
		if err != nil {
			return err
		}
		f.result.Next = order
		if ok { // else it was dropped meanwhile
			f.add(i, order)
		}
	}
	return nil
}

// add adds a place if its room is one in which to look.
func (f *finder) add(i item, order uint64) {
	if f.rooms != nil && !f.rooms[i.room] {
		return
	}
	f.x.mu.Lock()
	r := f.x.byID[i.room]
	f.x.mu.Unlock()
	if r != nil {
		f.result.List = append(f.result.List, search.Place{Room: r.name, Seq: i.seq, Order: order})
	}
}

// orders runs a query for orders.
func (f *finder) orders(query string, args ...any) (found []uint64, err error) {
	stmt, err := f.db.prepared(f.ctx, query, 0)
	if err != nil {
		return nil, err
	}
	rows, err := stmt.QueryContext(f.ctx, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var order uint64
		if err := rows.Scan(&order); err != nil {
			return nil, err
		}
		found = append(found, order)
	}
	return found, rows.Err()
}

// among finds messages in a table of places; what they say is for the caller.
func (f *finder) among(table string) error {
	for high := f.high; !f.isFull(); {
		found, err := f.orders("SELECT place FROM "+table+" WHERE place >= ? AND place < ? ORDER BY place DESC LIMIT ?", f.low, high, firstLook)
		if err != nil {
			return err
		}
		if err := f.take(found); err != nil {
			return err
		}
		if len(found) < firstLook {
			break
		}
		high = found[len(found)-1]
		if f.isFull() {
			f.result.More = true
		}
	}
	return nil
}

// everywhere finds all messages, newest first.
func (f *finder) everywhere() error {
	chunk := f.x.options.shape.chunk
	for high := f.high; high > f.low; {
		id := (high - 1) / chunk
		items, err := f.db.readChunk(f.ctx, f.db.read, id, int(high-id*chunk))
		if err != nil {
			return err
		}
		for at := min(high-id*chunk, uint64(len(items))); at > 0; at-- {
			order := id*chunk + at - 1
			if order < f.low {
				break
			}
			if f.isFull() {
				f.result.More = true
				return nil
			}
			f.result.Next = order
			f.add(items[at-1], order)
		}
		if err := f.ctx.Err(); err != nil {
			return err
		}
		high = id * chunk
	}
	return nil
}

// inVolumes finds messages by their terms, in one volume after the other.
func (f *finder) inVolumes() error {
	if f.high <= f.low {
		return nil
	}
	size := f.x.options.shape.volume
	volumes, err := f.orders("SELECT id FROM volumes WHERE id BETWEEN ? AND ? ORDER BY id DESC", f.low/size, (f.high-1)/size)
	if err != nil {
		return err
	}
	for i, id := range volumes {
		first := id * size
		low, high := max(f.low, first), min(f.high, first+size)
		found, more, err := f.inVolume(id, low-first, high-first)
		if err != nil {
			return err
		}
		for i := range found {
			found[i] += first
		}
		if err := f.take(found); err != nil {
			return err
		}
		if f.isFull() {
			f.result.More = f.result.More || more || i < len(volumes)-1
			return nil
		}
		f.result.Next = low
	}
	return nil
}

// inVolume returns the last bits of a volume within bounds, low ≤ bit < high, of messages for which
// the conditions hold, as many as are wanted, or a few more of any room. It reports whether
// there are others.
func (f *finder) inVolume(id, low, high uint64) (found []uint64, more bool, err error) {
	err = f.db.withVolume(f.ctx, id, f.x.options.shape.volume, func(v *volume) error {
		found, more, v.unused = nil, false, f.unused
		defer func() { f.unused = v.unused }()
		rows, err := f.rows(v)
		if rows == nil || err != nil {
			return err
		}
		n, most := rows.keep(low, high), f.limit-len(f.result.List)
		if f.rooms != nil && len(f.positive) > 0 {
			if n <= fewRows {
				most = n
			} else {
				inRooms := v.blank()
				if err := v.addRooms(inRooms, f.rooms); err != nil {
					return err
				}
				rows.and(inRooms)
				n = rows.keep(low, high)
				v.release(inRooms)
			}
		}
		found, more = rows.last(most), n > most
		v.release(rows)
		return nil
	})
	if err != nil && strings.Contains(err.Error(), "no such table") {
		return nil, false, nil // it was dropped meanwhile
	}
	return found, more, err
}

// rows returns the rows of a volume for which the conditions hold, or nil if there are none.
// Without a condition on terms that must be there they are those of the rooms.
func (f *finder) rows(v *volume) (all bitmap, err error) {
	for _, c := range f.positive {
		one, err := c.rows(v)
		if one == nil || err != nil {
			return nil, err
		}
		if all == nil {
			all = one
			continue
		}
		all.and(one)
		v.release(one)
		if all.isEmpty() {
			v.release(all)
			return nil, nil
		}
	}
	if all == nil {
		all = v.blank()
		if err := v.addRooms(all, f.rooms); err != nil {
			return nil, err
		}
	}
	for _, c := range f.negative {
		one, err := c.rows(v)
		if err != nil {
			return nil, err
		}
		if one != nil {
			all.andNot(one)
			v.release(one)
		}
	}
	return all, nil
}

// Numbers of 52 bits are orders of 40 bits and 12 bits of 0, mixed by a Feistel network.
const (
	halfBits  = 26
	checkBits = 12
	half      = 1<<halfBits - 1
	mixRounds = 4
)

func mix(secret string, round byte, half uint64) uint64 {
	h := hmac.New(sha256.New, []byte(secret))
	var in [9]byte
	in[8] = round
	binary.BigEndian.PutUint64(in[:], half)
	h.Write(in[:])
	return binary.BigEndian.Uint64(h.Sum(nil)) & (1<<halfBits - 1)
}

// Number implements search.Index.
func (x *Index) Number(order uint64) uint64 {
	x.using.RLock()
	defer x.using.RUnlock()
	if x.db == nil {
		return 0
	}
	n := order << checkBits
	left, right := n>>halfBits, n&half
	for round := range byte(mixRounds) {
		left, right = right, left^mix(x.db.secret, round, right)
	}
	return left<<halfBits | right
}

// Order implements search.Index.
func (x *Index) Order(number uint64) (order uint64, ok bool) {
	x.using.RLock()
	defer x.using.RUnlock()
	if x.db == nil || number>>(2*halfBits) != 0 {
		return 0, false
	}
	left, right := number>>halfBits, number&half
	for round := byte(mixRounds); round > 0; round-- {
		left, right = right^mix(x.db.secret, round-1, left), left
	}
	n := left<<halfBits | right
	return n >> checkBits, n&(1<<checkBits-1) == 0
}
