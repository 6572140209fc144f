package search

import (
	"database/sql"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	_ "modernc.org/sqlite"
)

// expression returns what FTS5 is asked for the texts of a query.
func expression(q *Query) string {
	phrase := func(t Text) string {
		p := `"` + strings.Join(t.Terms, " ") + `"`
		if t.Prefix {
			p += " *"
		}
		return p
	}
	var must, not []string
	for _, t := range q.Texts {
		if t.Not {
			not = append(not, phrase(t))
		} else {
			must = append(must, phrase(t))
		}
	}
	all := "(" + strings.Join(must, " AND ") + ")"
	for _, n := range not {
		all += " NOT " + n
	}
	return all
}

// TestIndex compares Matches with a real full-text index of the terms.
func TestIndex(t *testing.T) {
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "index.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("CREATE VIRTUAL TABLE f USING fts5(terms, content='', tokenize='ascii')"); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	pieces := []string{"foo", "bar", "Foobar", "fo", "東", "京都", "カナ", "서버", "ทย", "1", "v2", "é", " ", " ", " ", "_", ".", "、", "\n"}
	text := func(most int) string {
		var b strings.Builder
		for range 1 + random.IntN(most) {
			b.WriteString(pieces[random.IntN(len(pieces))])
		}
		return b.String()
	}
	contents := make([]string, 300)
	for i := range contents {
		contents[i] = text(12)
		if _, err := db.Exec("INSERT INTO f(rowid, terms) VALUES (?, ?)", i, strings.Join(Terms(contents[i]), " ")); err != nil {
			t.Fatal(err)
		}
	}
	found, tried := 0, 0
	for range 500 {
		var parts []string
		for range 1 + random.IntN(3) {
			part := `"` + text(4) + `"` + []string{"", "", "*"}[random.IntN(3)]
			if len(parts) > 0 && random.IntN(3) == 0 {
				part = "-" + part
			}
			parts = append(parts, part)
		}
		q, err := Parse(strings.Join(parts, " "), now(t))
		if err != nil {
			continue // no terms, or a prefix that is too short
		}
		tried++
		var want, got []int
		for i, content := range contents {
			if q.Matches(content) {
				want = append(want, i)
			}
		}
		rows, err := db.Query("SELECT rowid FROM f WHERE f MATCH ? ORDER BY rowid", expression(q))
		if err != nil {
			t.Fatalf("%s: %v", q, err)
		}
		for rows.Next() {
			var i int
			if err := rows.Scan(&i); err != nil {
				t.Fatal(err)
			}
			got = append(got, i)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		found += len(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: the index finds %v, Matches %v", q, got, want)
		}
	}
	if tried < 200 || found < 1000 {
		t.Errorf("%d queries found %d contents: too few to compare", tried, found)
	}
}
