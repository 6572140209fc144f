package sqlite

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"kaban"
	"kaban/internal/store"
)

// salvage reads what SQLite itself does not: what is beside and below damaged pages. Each table is
// read once, when it turns out to be damaged. What it returns has a matching checksum. It sees what
// the transaction of its connection does.
type salvage struct {
	*conn
	sum   summer
	pages *pages

	users map[int64]author // nil until they are read

	gaps      []span    // the places of entries whose pages are lost, in order
	entries   []stretch // those that no page leads to, by place
	longest   int64     // of them
	isSought  bool      // entries are read
	latest    node      // the page that was read last
	latestOne uint32    // its number, 0 if there is none
}

// stretch is a run of entries whose places follow each other, in a leaf that no page leads to. A leaf is one stretch
// or a few, so that those of a table of ten million entries take a few megabytes.
type stretch struct {
	place   int64 // of the first
	page    uint32
	cell, n uint16 // the cell of the first, and how many there are
}

func (s *salvage) close() error {
	if s == nil || s.pages == nil {
		return nil
	}
	return s.pages.stmt.Close()
}

// walk reads the tree of a table or an index.
func (s *salvage) walk(ctx context.Context, name, table string, index bool, visit func(*row, cell, bool) error, lost func(uint32, error) error) error {
	return s.run(ctx, name, table, index, btree{visit: visit, lost: lost})
}

// run is walk for a btree that lacks its pages.
func (s *salvage) run(ctx context.Context, name, table string, index bool, t btree) (err error) {
	if s.pages == nil {
		if s.pages, err = s.newPages(ctx); err != nil {
			return fmt.Errorf("read the pages of %s: %w", table, err)
		}
	}
	root, err := s.rootOf(ctx, name)
	if err != nil {
		return fmt.Errorf("find %s: %w", name, err)
	}
	t.pages = s.pages
	return t.run(root, index)
}

// page returns a page that was found before. It keeps the last one: rows are read in order.
func (s *salvage) page(n uint32) (*node, error) {
	if s.latestOne != n {
		of, err := s.pages.node(n)
		if err != nil {
			return nil, err
		}
		s.latest, s.latestOne = of, n
	}
	return &s.latest, nil
}

// savedDocument is where a document is.
type savedDocument struct {
	key string
	at  cell
}

// document returns the document that a row is, and an error if it is none or damaged. The key is then what is left of
// it.
func (s *salvage) document(r *row) (store.Document, error) {
	key, isKey := r.text(0)
	value, isValue := r.blob(1)
	sum, isSum := r.number(2)
	d := store.Document{Key: key, Value: value}
	if !isKey || !isValue || !isSum || len(r.values) != 3 || s.sum.document(key, value) != sum {
		return d, errSum
	}
	return d, d.Check()
}

// pageGap is a page of documents that cannot be read.
type pageGap struct {
	page       uint32
	cause      error
	from, to   string // the documents beside it
	isComplete bool   // there is one behind it
}

// savedDocuments are those behind a key, and the damage among them.
type savedDocuments struct {
	after  string
	last   string // the key of the latest one that a page leads to
	gaps   []pageGap
	found  []savedDocument
	broken []*store.DocumentError
}

// add adds a row.
func (s *savedDocuments) add(d *store.Document, err error, at cell, orphan bool) {
	switch {
	case err != nil && (orphan || s.last < s.after): // of another table, or reported already
		return
	case err != nil:
		s.broken = append(s.broken, &store.DocumentError{Key: d.Key, Err: err})
		return
	case d.Key > s.after:
		s.found = append(s.found, savedDocument{d.Key, at})
	}
	if !orphan {
		s.last = d.Key
		for i := len(s.gaps) - 1; i >= 0 && !s.gaps[i].isComplete; i-- {
			s.gaps[i].to, s.gaps[i].isComplete = s.last, true
		}
	}
}

// documentsAfter passes on the documents behind a key, in order, and the damage among them, apart from the documents
// whose damage is reported already.
func (s *salvage) documentsAfter(ctx context.Context, after string, reported []string, visit func(*store.Document) error, damaged func(error) error) error {
	all := savedDocuments{after: after}
	err := s.walk(ctx, "documents", "documents", true, func(r *row, at cell, orphan bool) error {
		d, err := s.document(r)
		all.add(&d, err, at, orphan)
		return nil
	}, func(page uint32, cause error) error {
		all.gaps = append(all.gaps, pageGap{page: page, cause: cause, from: all.last})
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortStableFunc(all.found, func(a, b savedDocument) int { return cmp.Compare(a.key, b.key) })
	if err := all.report(reported, damaged); err != nil {
		return err
	}
	all.found = slices.CompactFunc(all.found, func(a, b savedDocument) bool { return a.key == b.key })
	return s.eachSaved(all.found, visit)
}

// report passes on the damage.
func (s *savedDocuments) report(reported []string, damaged func(error) error) error {
	for _, g := range s.gaps {
		lost := fmt.Sprintf("documents after %q", g.from)
		if g.isComplete {
			lost = fmt.Sprintf("documents between %q and %q", g.from, g.to)
		}
		if err := damaged(&pageError{"documents", g.page, g.cause, lost}); err != nil {
			return err
		}
	}
	known := make(map[string]int, len(reported))
	for _, key := range reported {
		known[key]++
	}
	for _, bad := range s.broken {
		_, twice := slices.BinarySearchFunc(s.found, bad.Key, func(d savedDocument, key string) int { return cmp.Compare(d.key, key) })
		if known[bad.Key] > 0 || twice {
			known[bad.Key]--
			continue
		}
		if err := damaged(bad); err != nil {
			return err
		}
	}
	return nil
}

// eachSaved reads documents again.
func (s *salvage) eachSaved(found []savedDocument, visit func(*store.Document) error) error {
	for i := range found {
		at := found[i].at
		of, err := s.page(at.page)
		if err != nil {
			return err
		}
		r, err := s.pages.row(of, at.n)
		if err != nil {
			return err
		}
		d, err := s.document(&r)
		if err != nil {
			return fmt.Errorf("%w: page %d has changed", store.ErrDamaged, at.page)
		}
		if err := visit(&d); err != nil {
			return err
		}
	}
	return nil
}

// author returns a row of users that SQLite could not read. Where only the index has it, the name is one
// of those that fit: the checksum of an entry tells.
func (s *salvage) author(ctx context.Context, id int64) (author, error) {
	if s.users == nil {
		if err := s.readUsers(ctx); err != nil {
			return author{}, err
		}
	}
	if found, ok := s.users[id]; ok {
		return found, nil
	}
	return author{err: errMissing}, nil
}

func (s *salvage) readUsers(ctx context.Context) error {
	s.users = make(map[int64]author)
	nothing := func(uint32, error) error { return nil } // each entry by such an author is named
	err := s.walk(ctx, "users", "users", false, func(r *row, _ cell, _ bool) error {
		key, isKey := r.text(1)
		name, isName := r.text(2)
		sum, isSum := r.number(3)
		if isKey && isName && isSum && len(r.values) == 4 && s.sum.user(r.id, key, name) == sum {
			s.users[r.id] = author{key: key, name: name}
		}
		return nil
	}, nothing)
	if err != nil {
		return err
	}
	var lost []author
	var ids []int64
	err = s.walk(ctx, "sqlite_autoindex_users_1", "users", true, func(r *row, _ cell, orphan bool) error {
		key, isKey := r.text(0)
		id, isID := r.number(1)
		if _, known := s.users[id]; !known && !orphan && isKey && isID && len(r.values) == 2 {
			lost, ids = append(lost, author{key: key}), append(ids, id)
		}
		return nil
	}, nothing)
	if err != nil {
		return err
	}
	for i, id := range ids {
		if lost[i].guesses = s.namesOf(ctx, lost[i].key); len(lost[i].guesses) > 0 {
			lost[i].name = lost[i].guesses[0]
			s.users[id] = lost[i]
		}
	}
	return nil
}

// namesOf returns how an author may be spelled: an account as its document has it, and a visitor in the usual ways.
func (s *salvage) namesOf(ctx context.Context, key string) []string {
	if name, ok := strings.CutPrefix(key, visitorPrefix); ok {
		return spellings(name)
	}
	account, _ := kaban.AuthorOf(key)
	if account == "" {
		return nil
	}
	var of struct {
		Username string `json:"username"`
	}
	if !s.decode(ctx, store.Key("account", account), &of) || of.Username == "" {
		return nil
	}
	return []string{of.Username}
}

// decode decodes the value of a document, and reports whether it could.
func (s *salvage) decode(ctx context.Context, key string, to any) bool {
	var text []byte
	err := s.QueryRowContext(ctx, "SELECT value FROM documents WHERE key = ?", key).Scan(&text)
	return err == nil && json.Unmarshal(text, to) == nil
}

// maxFolded bounds the letters of a name that spellings takes for digits.
const maxFolded = 10

// spellings returns how a name is usually written whose folded form is that: in small letters, with a capital or all
// in capitals, and with the digits that look like o and l.
func spellings(folded string) (names []string) {
	readings := []string{folded}
	for i, n := 0, 0; i < len(folded) && n < maxFolded; i++ {
		digit, ok := map[byte]string{'o': "0", 'l': "1"}[folded[i]]
		if !ok {
			continue
		}
		n++
		for _, name := range readings {
			readings = append(readings, name[:i]+digit+name[i+1:])
		}
	}
	for _, name := range readings {
		first, size := utf8.DecodeRuneInString(name)
		names = append(names, name, string(unicode.ToUpper(first))+name[size:], strings.ToUpper(name))
	}
	return names
}

// savedRoom is a row of rooms, or as much of one as there is.
type savedRoom struct {
	id        int64
	key, name string
	row       roomRow
	guessed   bool // the row is lost, and this is what else says about the room
}

// rooms returns the rooms that SQLite cannot read, apart from some, and the ids of those that have entries and
// nothing else. bad gets the damage that hides more of these.
func (s *salvage) rooms(ctx context.Context, known map[int64]*room, bad func(error) error) (found []savedRoom, nameless []int64, err error) {
	seen := make(map[int64]bool)
	for id := range known {
		seen[id] = true
	}
	nothing := func(uint32, error) error { return nil }
	err = s.walk(ctx, "rooms", "rooms", false, func(r *row, _ cell, _ bool) error {
		if one, ok := s.room(r); ok && !seen[one.id] {
			seen[one.id] = true
			found = append(found, one)
		}
		return nil
	}, nothing)
	if err != nil {
		return nil, nil, err
	}
	err = s.walk(ctx, "sqlite_autoindex_rooms_1", "rooms", true, func(r *row, _ cell, orphan bool) error {
		key, isKey := r.text(0)
		id, isID := r.number(1)
		if isKey && isID && !orphan && len(r.values) == 2 && !seen[id] {
			seen[id] = true
			found = append(found, savedRoom{id: id, key: key, guessed: true})
		}
		return nil
	}, nothing)
	if err != nil {
		return nil, nil, err
	}
	for i := range found {
		if found[i].guessed {
			if err := s.guess(ctx, &found[i], bad); err != nil {
				return nil, nil, err
			}
		}
	}
	nameless, err = s.nameless(ctx, seen, bad)
	return found, nameless, err
}

// nameless returns the ids of rooms that have entries, apart from some.
func (s *salvage) nameless(ctx context.Context, seen map[int64]bool, bad func(error) error) (found []int64, _ error) {
	for id := int64(-1); ; { // one look for each room
		var next *int64
		err := s.QueryRowContext(ctx, "SELECT min(place) >> 40 FROM entries WHERE place >= ?", (id+1)<<seqBits).Scan(&next)
		switch {
		case isDamage(err):
			return found, bad(damaged(fmt.Sprintf("the entries of the rooms from %d on; those of them whose names are lost are not listed", id+1), err))
		case err != nil:
			return nil, err
		case next == nil:
			return found, nil
		}
		if id = *next; !seen[id] {
			found = append(found, id)
		}
	}
}

// room returns the room that a row is, unless it is none or damaged. Columns: id, key, name, head, sum, revision,
// messages, cut, cut_messages.
func (s *salvage) room(r *row) (found savedRoom, ok bool) {
	key, isKey := r.text(1)
	name, isName := r.text(2)
	sum, isSum := r.number(4)
	ok = isKey && isName && isSum && len(r.values) >= 5
	for i, to := range map[int]*uint64{3: &found.row.head, 5: &found.row.revision, 6: &found.row.messages, 7: &found.row.cut, 8: &found.row.cutMessages} {
		n, isNumber := r.number(i)
		*to, ok = uint64(n), ok && isNumber
	}
	found.id, found.key, found.name = r.id, key, name
	return found, ok && s.sum.room(found.id, key, name, found.row) == sum
}

// guess fills in a room that has lost all but its key: its name by its document, and its log by its entries. bad gets
// the damage that may hide more of these.
func (s *salvage) guess(ctx context.Context, r *savedRoom, bad func(error) error) error {
	var of struct {
		Name string `json:"name"`
	}
	r.name = r.key
	if s.decode(ctx, store.Key("room", r.key), &of) {
		if name, err := kaban.ParseAnyRoom(of.Name); err == nil && name.Key() == r.key {
			r.name = of.Name
		}
	}
	first, last, damage, err := s.endsOf(ctx, span{r.id << seqBits, r.id<<seqBits | maxSeq})
	if err != nil {
		return err
	}
	if damage != nil {
		if err := bad(damaged(fmt.Sprintf("an end of the log of %s, whose row is lost, too; entries there may be lost without being named", r.name), damage)); err != nil {
			return err
		}
	}
	if first == nil || last == nil {
		return nil
	}
	r.row.head, r.row.cut = uint64(*last&maxSeq), uint64(*first&maxSeq)-1
	if r.row.cut == 0 {
		return nil
	}
	var messages uint64
	err = s.QueryRowContext(ctx, "SELECT coalesce(sum(cut_messages), 0) FROM written WHERE room = ?", r.id).Scan(&messages)
	if err == nil || isDamage(err) { // a front names the damage
		r.row.cutMessages, err = min(messages, r.row.cut), nil
	}
	return err
}

// gapAt returns the places that are lost together with one.
func (s *salvage) gapAt(ctx context.Context, place int64) (span, error) {
	if err := s.seek(ctx); err != nil {
		return span{}, err
	}
	i := s.gapFrom(place)
	if i == len(s.gaps) || s.gaps[i].first > place {
		return span{place, place}, nil
	}
	return s.gaps[i], nil
}

// gapFrom returns the index of the first gap that does not end before a place.
func (s *salvage) gapFrom(place int64) int {
	i, _ := slices.BinarySearchFunc(s.gaps, place, func(gap span, place int64) int { return cmp.Compare(gap.last, place) })
	return i
}

// endsOf returns the first and the last place of entries among some, as far as they can be read; nil if there is none.
// damage says why SQLite could not.
func (s *salvage) endsOf(ctx context.Context, places span) (first, last *int64, damage, err error) {
	if first, damage, err = s.endOf(ctx, "SELECT min(place) FROM entries WHERE place BETWEEN ? AND ?", places, true); err != nil {
		return nil, nil, nil, err
	}
	last, atLast, err := s.endOf(ctx, "SELECT max(place) FROM entries WHERE place BETWEEN ? AND ?", places, false)
	return first, last, cmp.Or(damage, atLast), err
}

// endOf looks in and behind one gap after the other where SQLite cannot read on.
func (s *salvage) endOf(ctx context.Context, query string, places span, isFirst bool) (end *int64, damage, err error) {
	for places.isKnown() {
		err := s.QueryRowContext(ctx, query, places.first, places.last).Scan(&end)
		if !isDamage(err) {
			return end, damage, err
		}
		damage = err
		if err := s.seek(ctx); err != nil {
			return nil, nil, err
		}
		i := s.gapFrom(places.first)
		if !isFirst {
			if i = s.gapFrom(places.last); i == len(s.gaps) || s.gaps[i].first > places.last {
				i--
			}
		}
		if i < 0 || i == len(s.gaps) || s.gaps[i].last < places.first || s.gaps[i].first > places.last {
			return nil, damage, nil // it is no lost page
		}
		gap := s.gaps[i]
		if found, ok := s.detachedEnd(span{max(gap.first, places.first), min(gap.last, places.last)}, isFirst); ok {
			return &found, damage, nil
		}
		switch {
		case isFirst && gap.last < places.last:
			places.first = gap.last + 1
		case !isFirst && gap.first > places.first:
			places.last = gap.first - 1
		default: // there is nothing else
			return nil, damage, nil
		}
	}
	return nil, damage, nil
}

// detachedEnd returns the first or the last of some places that an entry has that no page leads to.
func (s *salvage) detachedEnd(places span, isFirst bool) (end int64, ok bool) {
	for _, of := range s.entries {
		part := span{max(of.place, places.first), min(of.place+int64(of.n)-1, places.last)}
		switch {
		case !part.isKnown():
		case isFirst && (!ok || part.first < end):
			end, ok = part.first, true
		case !isFirst && (!ok || part.last > end):
			end, ok = part.last, true
		}
	}
	return end, ok
}

// entry returns an entry that is below a damaged page, nil if there is none.
func (s *salvage) entry(ctx context.Context, authors *authors, place int64) (*store.Entry, error) {
	if err := s.seek(ctx); err != nil {
		return nil, err
	}
	end, _ := slices.BinarySearchFunc(s.entries, place+1, func(of stretch, place int64) int { return cmp.Compare(of.place, place) })
	begin := end
	for begin > 0 && place-s.entries[begin-1].place < s.longest {
		begin--
	}
	for _, of := range s.entries[begin:end] { // more than one if a copy of a page is left, or if one lies
		n := place - of.place
		if n >= int64(of.n) {
			continue
		}
		e, err := s.entryIn(ctx, authors, place, cell{of.page, int(of.cell) + int(n)})
		if e != nil || err != nil {
			return e, err
		}
	}
	return nil, nil
}

// seek finds, once, the entries that no page leads to.
func (s *salvage) seek(ctx context.Context) error {
	if s.isSought {
		return nil
	}
	s.gaps, s.entries, s.longest = nil, nil, 0
	err := s.run(ctx, "entries", "entries", false, btree{
		gap: func(places span) { s.gaps = append(s.gaps, places) },
		detached: func(of *node, page uint32) error {
			s.addStretches(of, page)
			return nil
		},
		lost: func(uint32, error) error { return nil },
	})
	if err != nil {
		return err
	}
	slices.SortStableFunc(s.entries, func(a, b stretch) int { return cmp.Compare(a.place, b.place) })
	s.isSought = true
	return nil
}

// addStretches adds the entries of a leaf, which may be one of another table.
func (s *salvage) addStretches(of *node, page uint32) {
	last := -1 // the stretch that the next cell may continue
	for i := range of.cells {
		at, err := s.pages.start(of, i)
		switch {
		case err != nil || at.id <= 0 || !at.isEntry():
			last = -1
			continue
		case last >= 0 && at.id == s.entries[last].place+int64(s.entries[last].n):
			s.entries[last].n++
		default:
			last = len(s.entries)
			s.entries = append(s.entries, stretch{place: at.id, page: page, cell: uint16(i), n: 1})
		}
		s.longest = max(s.longest, int64(s.entries[last].n))
	}
}

// isEntry reports whether a row has the columns of an entry, as entryOf names them.
func (s *start) isEntry() bool {
	kinds, _, err := kindsOf(s.rest[:min(s.size, s.local, len(s.rest))])
	return err == nil && len(kinds) >= 9 && isText(kinds[5]) && isText(kinds[6])
}

// entryIn returns the entry that is in a cell, nil if it is not that.
func (s *salvage) entryIn(ctx context.Context, authors *authors, place int64, at cell) (*store.Entry, error) {
	of, err := s.page(at.page)
	if err != nil {
		return nil, unlessLost(err)
	}
	r, err := s.pages.row(of, at.n)
	if err != nil {
		return nil, unlessLost(err)
	}
	return entryOf(ctx, authors, place, &r)
}

func unlessLost(err error) error {
	if errors.Is(err, errPage) {
		return nil
	}
	return err
}

// entryOf returns the entry that a row is, nil if it is none. Columns: place, time, kind, user, username, id,
// content, target, sum, files.
func entryOf(ctx context.Context, authors *authors, place int64, r *row) (*store.Entry, error) {
	e := &store.Entry{Seq: uint64(place & maxSeq)}
	numbers := make(map[int]int64)
	for _, i := range []int{1, 2, 3, 7, 8} {
		n, ok := r.number(i)
		if !ok {
			return nil, nil
		}
		numbers[i] = n
	}
	id, isID := r.text(5)
	content, isContent := r.text(6)
	if !isID || !isContent {
		return nil, nil
	}
	e.Time, e.Kind, e.ID, e.Content, e.Target = numbers[1], kaban.Kind(numbers[2]), id, content, uint64(numbers[7])
	e.Files, _ = r.text(9)
	by, err := authors.author(ctx, numbers[3])
	if err != nil || by.err != nil {
		return nil, err
	}
	e.Author, e.Username = by.key, by.name
	own, isOwn := r.text(4)
	if isOwn {
		e.Username = own
	}
	if !authors.matches(e, place, numbers[3], numbers[8], &by, isOwn) {
		return nil, nil
	}
	return e, nil
}
