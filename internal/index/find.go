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

	"kaban/internal/search"
)

const (
	// fewRooms is how many rooms are always looked up together with the terms. With more
	// it is tried first how far firstLook messages lead that have the terms, wherever they
	// are: usually that is enough.
	fewRooms  = 16
	firstLook = 1024
	// manyRooms is the number of rooms beyond which they are no part of the question.
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
	positive, negative []string
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
		err = f.inVolumes(few)
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

// condition returns what all messages with a text fulfil, and few others. Terms have no
// quotes. Of three words that follow each other, or more, their pairs say nearly all, so only
// the longest is looked up as well: FTS5 reads the whole list of each, and short ones are in
// many messages.
func condition(t *search.Text) string {
	var all, words []string // words that are in a pair
	quote := func(term string) string { return `"` + term + `"` }
	exact := len(t.Terms) // terms before that are no prefix
	if t.Prefix {
		exact--
		all = append(all, quote(t.Terms[exact])+" *")
	}
	before := false // the term is in a pair with the one before it
	for i, term := range t.Terms[:exact] {
		pair, behind := "", false
		if i+1 < exact {
			pair, behind = termOfPair(term, t.Terms[i+1])
		}
		if behind {
			all = append(all, quote(pair))
		}
		switch {
		case search.IsOfRun(term) || !before && !behind:
			all = append(all, quote(term))
		default:
			words = append(words, quote(term))
		}
		before = behind
	}
	if len(words) > 2 {
		words = []string{slices.MaxFunc(words, func(x, y string) int { return cmp.Compare(len(x), len(y)) })}
	}
	all = append(all, words...)
	return "(" + strings.Join(all, " AND ") + ")"
}

// conditions turns the query into conditions on terms.
func (f *finder) conditions() {
	q := f.ask.Query
	for i := range q.Texts {
		switch t := &q.Texts[i]; {
		case !t.Not:
			f.positive = append(f.positive, condition(t))
		case len(t.Terms) == 1: // others may be missing where their condition holds
			f.negative = append(f.negative, condition(t))
		}
	}
	var any []string
	for i := range f.ask.Any {
		any = append(any, condition(&f.ask.Any[i]))
	}
	f.positive = appendOr(f.positive, any)
	any = nil
	for _, name := range q.From {
		any = append(any, `"`+f.db.termOfAuthor(name)+`"`)
	}
	f.positive = appendOr(f.positive, any)
	for _, name := range q.NotFrom {
		f.negative = append(f.negative, `"`+f.db.termOfAuthor(name)+`"`)
	}
	if q.Must&search.HasLink != 0 {
		f.positive = append(f.positive, `"`+linkTerm+`"`)
	}
	if q.MustNot&search.HasLink != 0 {
		f.negative = append(f.negative, `"`+linkTerm+`"`)
	}
}

func appendOr(to, any []string) []string {
	if len(any) == 0 {
		return to
	}
	return append(to, "("+strings.Join(any, " OR ")+")")
}

// expression returns what FTS5 is asked for.
func (f *finder) expression(withRooms bool) string {
	must := f.positive
	if withRooms {
		any := make([]string, 0, len(f.rooms))
		for id := range f.rooms {
			any = append(any, `"`+termOfRoom(id)+`"`)
		}
		must = appendOr(must[:len(must):len(must)], any)
	}
	all := "(" + strings.Join(must, " AND ") + ")"
	for _, not := range f.negative {
		all += " NOT " + not
	}
	return all
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
	stmt, err := f.db.prepared(f.ctx, query)
	if err != nil {
		return nil, err
	}
	rows, err := stmt.QueryContext(f.ctx, args...)
	if err != nil && strings.Contains(err.Error(), "statement is closed") { // another search has just forgotten it
		f.db.unprepare(query)
		if stmt, err = f.db.prepared(f.ctx, query); err != nil {
			return nil, err
		}
		rows, err = stmt.QueryContext(f.ctx, args...)
	}
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
func (f *finder) inVolumes(few bool) error {
	if f.high <= f.low {
		return nil
	}
	size := f.x.options.shape.volume
	volumes, err := f.orders("SELECT id FROM volumes WHERE id BETWEEN ? AND ? ORDER BY id DESC", f.low/size, (f.high-1)/size)
	if err != nil {
		return err
	}
	direct := few && (len(f.rooms) <= fewRooms || len(f.positive) == 0)
	for i, volume := range volumes {
		first := volume * size
		low, high := max(f.low, first), min(f.high, first+size)
		if !direct {
			if high, err = f.inVolume(volume, low, high, false, few); err != nil {
				return err
			}
		}
		if !f.isFull() && high > low && few {
			if high, err = f.inVolume(volume, low, high, true, false); err != nil {
				return err
			}
		}
		if f.isFull() {
			f.result.More = f.result.More || high > low || i < len(volumes)-1
			return nil
		}
	}
	return nil
}

// inVolume finds messages of a volume within bounds. It returns the bound below which it
// has not looked: low if it has looked everywhere. once ends after firstLook messages.
func (f *finder) inVolume(volume, low, high uint64, withRooms, once bool) (uint64, error) {
	size := f.x.options.shape.volume
	first := volume * size
	match := f.expression(withRooms)
	query := fmt.Sprintf("SELECT rowid FROM %[1]s WHERE %[1]s MATCH ? AND rowid >= ? AND rowid < ? ORDER BY rowid DESC LIMIT ?", table(volume))
	for high > low && !f.isFull() {
		look := firstLook
		if withRooms || f.rooms == nil {
			look = f.limit - len(f.result.List) + 1
		}
		rows, err := f.orders(query, match, low-first+1, high-first+1, look)
		if err != nil && strings.Contains(err.Error(), "no such table") {
			f.db.unprepare(query)
			return low, nil // it was dropped meanwhile
		}
		if err != nil {
			return high, err
		}
		for i := range rows {
			rows[i] += first - 1
		}
		if err := f.take(rows); err != nil {
			return high, err
		}
		if len(rows) < look {
			return low, nil
		}
		high = min(f.result.Next, rows[len(rows)-1])
		if f.isFull() {
			high = f.result.Next
		}
		if once {
			break
		}
	}
	return high, nil
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
