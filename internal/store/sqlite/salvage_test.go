package sqlite

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/storetest"
)

// manyPages returns the data directory of a closed store whose tables have several levels of pages.
func manyPages(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	s := open(t, dir, Options{})
	for i := range 120 {
		bump(t, s, fmt.Sprintf("empty-%03d-%s", i, strings.Repeat("x", 30)))
	}
	for first := 0; first < 1200; first += 60 {
		var pairs []string
		for i := range 60 {
			size := 120
			if i == 7 {
				size = 9000 // with pages of its own
			}
			pairs = append(pairs, fmt.Sprintf("table.index/%04d", first+i), "value", fmt.Sprintf("table/%04d", first+i), strings.Repeat("v", size))
		}
		put(t, s, pairs...)
	}
	for i := range 250 {
		author := fmt.Sprintf("ann-%03d-%s", i, strings.Repeat("y", 20))
		if i%3 == 1 {
			author = strings.ToUpper(author[:1]) + author[1:]
		}
		storetest.Append(t, s, numbered(t, []string{"lobby", "kitchen"}[i%2], author, 0, 8)...)
	}
	mergeNow(t, s)
	closeStore(t, s)
	return dir
}

// page is one of a table or an index.
type page struct {
	table, kind string
	n           int
	cells       int
}

// pagesOf returns the pages of tables, without the overflow.
func pagesOf(t *testing.T, dir, tables string) (found []page) {
	t.Helper()
	c, err := connect(t.Context(), filepath.Join(dir, databaseName), "ro", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	rows, err := c.QueryContext(t.Context(), "SELECT name, pagetype, pageno, ncell FROM dbstat WHERE name IN ("+tables+") ORDER BY pageno")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var p page
		if err := rows.Scan(&p.table, &p.kind, &p.n, &p.cells); err != nil {
			t.Fatal(err)
		}
		found = append(found, p)
	}
	if err := closeRows(rows); err != nil || len(found) == 0 {
		t.Fatal(len(found), err)
	}
	return found
}

// destroy overwrites the page of a database.
func destroy(t *testing.T, dir string, n int, with []byte) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, databaseName), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(with, int64(n-1)*pageSize); err != nil {
		t.Fatal(err)
	}
}

// saved is what an export has of a directory.
type saved struct {
	documents, records map[string]string
	rooms              int
	damage             []error
	order              error // the first document or record out of order
	runs               int   // of entries, that SQLite was asked for
}

func savedIn(t *testing.T, dir string) saved {
	t.Helper()
	a := archive(t, dir)
	s := saved{documents: make(map[string]string), records: make(map[string]string)}
	last, lastSeq := "", map[string]uint64{}
	err := a.Export(t.Context(), nil, store.Receiver{
		Document: func(d *store.Document) error {
			if d.Key <= last {
				s.order = fmt.Errorf("document %q after %q", d.Key, last)
			}
			last, s.documents[d.Key] = d.Key, string(d.Value)
			return nil
		},
		Record: func(r *store.Record) error {
			key := r.Room.String()
			if r.Seq <= lastSeq[key] {
				s.order = fmt.Errorf("%s %d after %d", key, r.Seq, lastSeq[key])
			}
			lastSeq[key], s.records[fmt.Sprint(r.Room, r.Seq)] = r.Seq, fmt.Sprintf("%+v", *r)
			return nil
		},
		Damaged: func(err error) error {
			if !errors.Is(err, store.ErrDamaged) {
				t.Errorf("the damage %v is no ErrDamaged", err)
			}
			s.damage = append(s.damage, err)
			return nil
		},
	})
	if err != nil {
		t.Fatalf("export: %v", err)
	}
	rooms, err := a.Rooms(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.rooms, s.runs = len(rooms), a.runs
	return s
}

// lost counts what another export has and this one has not, and fails if anything differs.
func (s *saved) lost(t *testing.T, of, got map[string]string) (n int) {
	t.Helper()
	for key, value := range of {
		switch found, ok := got[key]; {
		case !ok:
			n++
		case found != value:
			t.Errorf("%s is %.100q, want %.100q", key, found, value)
		}
	}
	for key := range got {
		if _, ok := of[key]; !ok {
			t.Errorf("%s comes from nowhere", key)
		}
	}
	return n
}

// A page that is damaged costs an export the rows in it and no others, whichever it is and whatever is
// in it now, and the export names the damage.
func TestADamagedPageCostsItsRowsOnly(t *testing.T) {
	dir := manyPages(t)
	whole := savedIn(t, dir)
	if len(whole.documents) != 2400 || len(whole.records) != 2000 || len(whole.damage) > 0 || whole.order != nil {
		t.Fatalf("%d documents, %d records, %v, %v", len(whole.documents), len(whole.records), whole.damage, whole.order)
	}
	junk := bytes.Repeat([]byte{0xa5, 0x17, 0x00, 0xff}, pageSize/4)
	for i, p := range pagesOf(t, dir, "'documents', 'entries', 'users', 'rooms', 'sqlite_autoindex_users_1', 'sqlite_autoindex_rooms_1'") {
		leafy := p.kind == "leaf" && (p.table == "documents" || p.table == "entries")
		if p.kind == "overflow" && i%10 != 0 || leafy && i%11 != 0 {
			continue // they are many, and alike
		}
		with := [][]byte{make([]byte, pageSize), junk, {p.header(), 0, 0, 0xff, 0xff, 0, 0, 0}}
		for n := range with {
			if p.kind != "internal" && n != i%3 {
				continue
			}
			t.Run(fmt.Sprintf("%s %s %d %d", p.table, p.kind, p.n, n), func(t *testing.T) {
				damaged := copyFiles(t, dir)
				destroy(t, damaged, p.n, with[n])
				got := savedIn(t, damaged)
				documents, records := got.lost(t, whole.documents, got.documents), got.lost(t, whole.records, got.records)
				wantDocuments, wantRecords := 0, 0
				switch {
				case p.table == "documents" && p.kind == "overflow":
					wantDocuments = 1
				case p.table == "documents":
					wantDocuments = p.cells
				case p.table == "entries" && p.kind == "leaf":
					wantRecords = p.cells
				}
				if documents > wantDocuments || records > wantRecords || got.rooms != whole.rooms || got.order != nil {
					t.Errorf("%d documents and %d records are lost, want %d and %d; %d of %d rooms; %v; damage %.300v", documents, records, wantDocuments, wantRecords, got.rooms, whole.rooms, got.order, got.damage)
				}
				for _, err := range got.damage {
					if of, ok := errors.AsType[*pageError](err); ok && !errors.Is(of, errPage) {
						t.Errorf("%v does not say why", err)
					}
				}
				if got.runs > whole.runs+4 && p.kind != "overflow" { // before and behind it, in two rooms
					t.Errorf("SQLite was asked for %d runs of entries, and for %d before", got.runs, whole.runs)
				}
				if documents+records > 0 && len(got.damage) == 0 {
					t.Errorf("%d documents and %d records are lost in silence", documents, records)
				}
			})
		}
	}
}

// header is the type of the page, with damage behind it.
func (p *page) header() byte {
	table := p.table == "entries" || p.table == "users" || p.table == "rooms"
	switch {
	case p.kind == "leaf" && table:
		return pageOfTableLeaf
	case p.kind == "leaf":
		return pageOfIndexLeaf
	case table:
		return pageOfTableInner
	}
	return pageOfIndexInner
}

// A document that is damaged beside a damaged page is named once, and one that no store takes is not passed on.
func TestADamagedPageBehindDamagedDocuments(t *testing.T) {
	dir := manyPages(t)
	whole := savedIn(t, dir)
	var leaf page // one in the middle
	for _, p := range pagesOf(t, dir, "'documents'") {
		if p.kind == "leaf" {
			damaged := copyFiles(t, dir)
			destroy(t, damaged, p.n, make([]byte, pageSize))
			if got := savedIn(t, damaged); got.documents["table.index/0000"] != "" && got.documents["table/1199"] != "" {
				leaf = p
				break
			}
		}
	}
	damaged := copyFiles(t, dir)
	destroy(t, damaged, leaf.n, make([]byte, pageSize))
	got := savedIn(t, damaged)
	before := ""
	for _, key := range slices.Sorted(maps.Keys(whole.documents)) {
		if _, ok := got.documents[key]; !ok {
			break
		}
		before = key
	}
	early, behind := "table.index/0000", "table/1199"
	const odd = "zz\x00"
	corrupt(t, filepath.Join(dir, databaseName),
		fmt.Sprintf("UPDATE documents SET sum = sum + 1 WHERE key IN ('%s', '%s', '%s')", early, before, behind),
		fmt.Sprintf("INSERT INTO documents VALUES ('zz' || char(0), x'31', %d)", new(summer).document(odd, []byte("1"))))
	for _, hasGap := range []bool{false, true} {
		if hasGap {
			destroy(t, dir, leaf.n, make([]byte, pageSize))
		}
		got := savedIn(t, dir)
		named := make(map[string]int)
		for _, err := range got.damage {
			if bad, ok := errors.AsType[*store.DocumentError](err); ok {
				named[bad.Key]++
			}
		}
		if want := map[string]int{early: 1, before: 1, behind: 1, odd: 1}; !maps.Equal(named, want) {
			t.Errorf("with a gap: %v; named are %v, want %v", hasGap, named, want)
		}
		if _, ok := got.documents[odd]; ok {
			t.Errorf("with a gap: %v; %q is passed on", hasGap, odd)
		}
	}
}

// Where rooms and entries are damaged, an export says that there may be rooms that it does not know of.
func TestADamagedPageOfRoomsAndOneOfEntries(t *testing.T) {
	dir := manyPages(t)
	for _, p := range pagesOf(t, dir, "'rooms', 'entries'") {
		if p.kind == "internal" || p.table == "rooms" {
			destroy(t, dir, p.n, make([]byte, pageSize))
		}
	}
	got := savedIn(t, dir)
	text := fmt.Sprint(got.damage)
	if !strings.Contains(text, "whose names are lost are not listed") {
		t.Errorf("the damage is %.500s", text)
	}
}

// Where the rows of rooms are lost, an export finds the ends of their logs, also beside and below a lost page, and says
// what that hides.
func TestADamagedPageAtTheEndOfALogWithoutARoom(t *testing.T) {
	dir := manyPages(t)
	whole := savedIn(t, dir)
	var sought []page
	for _, p := range pagesOf(t, dir, "'rooms', 'entries'") {
		switch {
		case p.table == "rooms":
			destroy(t, dir, p.n, make([]byte, pageSize))
		case p.kind != "overflow":
			sought = append(sought, p)
		}
	}
	const named = "an end of the log of "
	if got := savedIn(t, dir); got.lost(t, whole.records, got.records) > 0 || strings.Contains(fmt.Sprint(got.damage), named) {
		t.Fatalf("without the rooms there are %d records", len(got.records))
	}
	said := 0
	for _, p := range sought {
		damaged := copyFiles(t, dir)
		destroy(t, damaged, p.n, make([]byte, pageSize))
		got, want := savedIn(t, damaged), p.cells
		if p.kind == "internal" {
			want = 0
		}
		text := fmt.Sprint(got.damage)
		if lost := got.lost(t, whole.records, got.records); lost > want || lost > 0 && len(got.damage) == 0 {
			t.Errorf("%s page %d: %d records are lost, want %d; damage %.300s", p.kind, p.n, lost, want, text)
		}
		if strings.Contains(text, named) {
			said++
		}
	}
	if said < 3 { // the page above, the first one and the last one
		t.Errorf("the damage of %d ends is named", said)
	}
}

// Where the counts of what was cut are damaged, that is named, and an export has the rest.
func TestADamagedPageOfCounts(t *testing.T) {
	dir := t.TempDir()
	s := still(t, dir, Options{})
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 30)...)
	mergeNow(t, s)
	if n := cut(t, s, "lobby", ever, 10); n != 10 {
		t.Fatalf("%d entries were cut", n)
	}
	closeStore(t, s)
	for _, p := range pagesOf(t, dir, "'written'") {
		destroy(t, dir, p.n, make([]byte, pageSize))
	}
	var fronts []store.Front
	records, named := 0, 0
	err := archive(t, dir).Export(t.Context(), nil, store.Receiver{
		Record: func(*store.Record) error { records++; return nil },
		Front:  func(f *store.Front) error { fronts = append(fronts, *f); return nil },
		Damaged: func(err error) error {
			if strings.Contains(err.Error(), "the counts of lobby") {
				named++
			}
			return nil
		},
	})
	if err != nil || records != 20 || named != 1 || len(fronts) != 1 || fronts[0].Seq != 10 || len(fronts[0].Written) != 0 {
		t.Errorf("%d records, the damage is named %d times, the front is %+v, %v", records, named, fronts, err)
	}
}

// What has become of messages is in a table of its own, whose rows have the same places and begin with numbers, too.
// It is not taken for the messages where the page above them is lost.
func TestADamagedPageAboveChangedMessages(t *testing.T) {
	const messages = 400 // the rows about them take several pages behind those of the messages
	dir := t.TempDir()
	s := still(t, dir, Options{})
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, messages)...)
	mergeNow(t, s)
	var changes []kaban.Draft
	for i := range messages {
		d := storetest.Draft(t, "lobby", "ann", fmt.Sprint("change-", i), "x")
		d.Target = uint64(i + 1)
		switch i % 4 {
		case 0:
			d.Kind, d.Body = kaban.KindEdit, fmt.Sprint("edited ", i)
		case 1:
			d.Kind, d.Body = kaban.KindPin, kaban.Switch(true, "")
		case 2:
			d.Kind, d.Body = kaban.KindDelete, ""
		default:
			d.Kind, d.Body = kaban.KindMessage, "an answer"
		}
		changes = append(changes, d)
	}
	storetest.Append(t, s, changes...)
	mergeNow(t, s)
	closeStore(t, s)
	whole := savedIn(t, dir)
	above, first, last := 0, 0, 0 // the page above the messages, the first of these, and the last one about them
	leaves := 0
	for _, p := range pagesOf(t, dir, "'entries', 'states'") {
		switch {
		case p.table == "states":
			last = p.n
		case p.kind == "internal":
			above = p.n
		case p.kind == "leaf":
			first, leaves = cmp.Or(first, p.n), leaves+1
		}
	}
	if len(whole.records) != 2*messages || len(whole.damage) > 0 || above == 0 || first == 0 || last < first {
		t.Fatalf("%d records, %v, pages %d, %d and %d: the test proves nothing", len(whole.records), whole.damage, above, first, last)
	}
	destroy(t, dir, above, make([]byte, pageSize))
	got := savedIn(t, dir)
	if lost := got.lost(t, whole.records, got.records); lost > 0 || got.order != nil {
		t.Errorf("%d of %d records are lost, %v; damage %.300v", lost, len(whole.records), got.order, got.damage)
	}
	if got.runs != whole.runs {
		t.Errorf("SQLite was asked for %d runs of entries, and for %d before", got.runs, whole.runs)
	}
	if n := stretchesIn(t, dir); n != leaves {
		t.Errorf("what is known of %d leaves takes %d stretches", leaves, n)
	}
	// One that is damaged does not hide a copy that is not.
	content, err := os.ReadFile(filepath.Join(dir, databaseName))
	if err != nil {
		t.Fatal(err)
	}
	page := content[(first-1)*pageSize : first*pageSize]
	destroy(t, dir, last, page)
	page[pageSize-1] ^= 1
	destroy(t, dir, first, page)
	got = savedIn(t, dir)
	if lost := got.lost(t, whole.records, got.records); lost > 0 || got.order != nil {
		t.Errorf("beside a copy %d of %d records are lost, %v; damage %.300v", lost, len(whole.records), got.order, got.damage)
	}
}

// stretchesIn returns the number of stretches that the entries are in to which no page leads.
func stretchesIn(t *testing.T, dir string) int {
	t.Helper()
	c, err := connect(t.Context(), filepath.Join(dir, databaseName), "ro", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	s := &salvage{conn: c}
	err = s.seek(t.Context())
	if err := errors.Join(err, s.close()); err != nil {
		t.Fatal(err)
	}
	return len(s.entries)
}

// A record that claims more columns than any table has is refused before they take memory.
func TestPageOfARecordWithTooManyColumns(t *testing.T) {
	record := func(columns int) []byte { return append([]byte{byte(columns + 1)}, make([]byte, columns)...) }
	if values, err := parseRecord(record(maxColumns)); err != nil || len(values) != maxColumns {
		t.Errorf("%d values, %v, want %d", len(values), err, maxColumns)
	}
	if values, err := parseRecord(record(maxColumns + 1)); !errors.Is(err, errPage) {
		t.Errorf("%d values, %v, want errPage", len(values), err)
	}
}

// withCode is an error of SQLite with a result code.
type withCode int

func (c withCode) Error() string { return fmt.Sprint("result code ", int(c)) }
func (c withCode) Code() int     { return int(c) }

// Only what the file or the disk does not give is damage of a page. Any other error ends the search.
func TestPageThatCannotBeAskedFor(t *testing.T) {
	dir := t.TempDir()
	closeStore(t, open(t, dir, Options{}))
	c, err := connect(t.Context(), filepath.Join(dir, databaseName), "ro", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	p, err := c.newPages(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer p.stmt.Close()
	behind := p.count + 1
	for _, p.count = range []uint32{behind - 1, behind} { // SQLite does not know the last one either
		if _, err := p.read(behind); !errors.Is(err, errPage) {
			t.Errorf("a page behind the end: %v, want errPage", err)
		}
	}
	if err := p.stmt.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.node(1); err == nil || errors.Is(err, errPage) {
		t.Errorf("a query that fails: %v, want an error that is no errPage", err)
	}
	for code, want := range map[int]bool{codeIOError | 1<<8: true, codeIOErrorNoMem: false, codeIOErrorShmSize: false, codeNoMem: false, codeBusy: false} {
		if isOfDisk(withCode(code)) != want {
			t.Errorf("the code %d is of the disk: %v, want %v", code, !want, want)
		}
	}
}
