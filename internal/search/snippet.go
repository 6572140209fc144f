package search

import (
	"slices"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/clipperhouse/uax29/v2/graphemes"
)

// Snippet is the part of a content to show for a hit.
type Snippet struct {
	// Text is the part, with "…" where it leaves something out.
	Text string
	// Marks are the bytes of Text to highlight, in order and apart from each other.
	Marks []Range
}

// Range is a range of bytes.
type Range struct{ Start, End int }

const ellipsis = "…"

// maxPull is the number of graphemes that a snippet gives up to begin and end between
// words.
const maxPull = 16

// Snippet returns the part of a content that has the most different texts of the query, of
// the parts with equally many the one with the most occurrences, and of those the first. It has
// at most limit code points, and whole graphemes (UAX #29), as do its marks. White space at a
// cut is left out; the rest is as in the content. A content without any of the texts gives
// its beginning.
func (q *Query) Snippet(content string, limit int) Snippet {
	if limit < 1 {
		return Snippet{}
	}
	g := graphemesOf(content)
	hits := q.hits(content)
	for i := range hits {
		hits[i].start, hits[i].end = g.before(hits[i].start), g.after(hits[i].end)
	}
	from, to := 0, len(g.bytes)-1
	if g.runes[to] > limit {
		from, to = g.window(hits, max(limit-2*utf8.RuneCountInString(ellipsis), 0))
	}
	s := Snippet{Text: content[g.bytes[from]:g.bytes[to]]}
	shift := -g.bytes[from]
	if from > 0 {
		s.Text = ellipsis + s.Text
		shift += len(ellipsis)
	}
	if to < len(g.bytes)-1 && (from == 0 || from < to) {
		s.Text += ellipsis
	}
	for _, h := range hits {
		start, end := max(h.start, from), min(h.end, to)
		if start >= end {
			continue
		}
		mark := Range{g.bytes[start] + shift, g.bytes[end] + shift}
		if last := len(s.Marks) - 1; last >= 0 && mark.Start <= s.Marks[last].End {
			s.Marks[last].End = max(s.Marks[last].End, mark.End)
		} else {
			s.Marks = append(s.Marks, mark)
		}
	}
	return s
}

// boundaries are the boundaries of the graphemes of a text, both ends included: their
// bytes, and how many code points are in front of them.
type boundaries struct {
	text  string
	bytes []int
	runes []int
}

func graphemesOf(text string) boundaries {
	b := boundaries{text: text, bytes: make([]int, 1, len(text)+1), runes: make([]int, 1, len(text)+1)}
	each := graphemes.FromString(text)
	for each.Next() {
		b.bytes = append(b.bytes, each.End())
		b.runes = append(b.runes, b.runes[len(b.runes)-1]+utf8.RuneCountInString(each.Value()))
	}
	return b
}

// before returns the last boundary up to a byte, after the first boundary from it on.
func (b *boundaries) before(at int) int {
	i, found := slices.BinarySearch(b.bytes, at)
	if !found {
		i--
	}
	return i
}

func (b *boundaries) after(at int) int {
	i, _ := slices.BinarySearch(b.bytes, at)
	return i
}

// window returns the boundaries of the best part of at most limit code points.
func (b *boundaries) window(hits []hit, limit int) (from, to int) {
	from, to = b.best(hits, limit)
	focusFrom, focusTo := from, to
	// A third of the room that is left goes in front, and what one side does not need goes
	// to the other.
	room := limit - (b.runes[to] - b.runes[from])
	behind := b.runes[len(b.runes)-1] - b.runes[to]
	from = b.back(from, max(room/3, room-behind))
	to = b.forth(to, limit-(b.runes[to]-b.runes[from]))
	return b.pull(from, to, focusFrom, focusTo)
}

// best returns the shortest part with the best hits; if even one hit is too long, its
// beginning; and without hits, the beginning of the text.
func (b *boundaries) best(hits []hit, limit int) (from, to int) {
	var (
		inside           = make(map[int]int) // the hits from i to j of each text
		bestTexts, count int
	)
	for i, j := 0, 0; i < len(hits); i++ {
		for j < len(hits) && b.runes[hits[j].end]-b.runes[hits[i].start] <= limit {
			inside[hits[j].text]++
			j++
		}
		if len(inside) > bestTexts || len(inside) == bestTexts && j-i > count {
			bestTexts, count = len(inside), j-i
			from, to = hits[i].start, hits[i].end
			for _, h := range hits[i:j] {
				to = max(to, h.end)
			}
		}
		if j <= i {
			j = i + 1
			continue
		}
		if inside[hits[i].text]--; inside[hits[i].text] == 0 {
			delete(inside, hits[i].text)
		}
	}
	if bestTexts == 0 && len(hits) > 0 {
		return hits[0].start, b.forth(hits[0].start, limit)
	}
	return from, to
}

// back returns the boundary up to n code points in front of another one.
func (b *boundaries) back(at, n int) int {
	least := b.runes[at] - n
	return sort.Search(at, func(i int) bool { return b.runes[i] >= least })
}

// forth returns the boundary up to n code points behind another one.
func (b *boundaries) forth(at, n int) int {
	most := b.runes[at] + n
	return at + sort.Search(len(b.runes)-1-at, func(i int) bool { return b.runes[at+i+1] > most })
}

// pull moves the ends of a part to places between words, if there are any near, but not
// into its focus. It leaves out white space there.
func (b *boundaries) pull(from, to, focusFrom, focusTo int) (int, int) {
	if from > 0 {
		for at := from; at <= min(from+maxPull, focusFrom); at++ {
			if b.isSpace(at - 1) {
				from = at
				break
			}
		}
		for from < focusFrom && b.isSpace(from) {
			from++
		}
	}
	if last := len(b.bytes) - 1; to < last {
		for at := to; at >= max(to-maxPull, focusTo); at-- {
			if b.isSpace(at) {
				to = at
				break
			}
		}
		for to > focusTo && b.isSpace(to-1) {
			to--
		}
	}
	return from, to
}

// isSpace reports whether the grapheme after a boundary is white space.
func (b *boundaries) isSpace(at int) bool {
	return strings.TrimFunc(b.text[b.bytes[at]:b.bytes[at+1]], unicode.IsSpace) == ""
}
