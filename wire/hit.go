package wire

import (
	"strconv"
	"time"

	"kaban"
)

// Hit is a message that a search has found.
type Hit struct {
	Room     string
	Seq      uint64
	ID       string
	Username string
	Account  string    // as in Message
	Bot      bool      // as in Message
	Time     time.Time // UTC; sent with milliseconds
	// Snippet is the part of the content to show, with "…" where it leaves something out.
	Snippet string
	// Marks are the parts of the snippet to highlight, in order and apart from each other.
	Marks []Mark
	Files kaban.Files // as in Message
}

// Mark is a part of a snippet, in code points.
type Mark struct{ Start, Length int }

// appendFound appends the fields of a page of hits.
func (e *Event) appendFound(dst []byte) []byte {
	dst = appendList(dst, fHits, e.Hits, (*Hit).Append)
	dst = appendMore(dst, e.More)
	dst = appendPositive(dst, fNext, e.Next)
	return appendBool(dst, fPartial, e.Partial)
}

// Append appends the hit as a JSON object.
func (h *Hit) Append(dst []byte) []byte {
	dst = append(dst, `{"room":`...)
	dst = appendString(dst, h.Room)
	dst = appendCount(dst, fSeq, h.Seq)
	dst = appendText(dst, fID, h.ID)
	dst = appendText(dst, fUsername, h.Username)
	dst = appendNonEmpty(dst, fAccount, h.Account)
	if h.Bot {
		dst = appendBool(dst, fBot, true)
	}
	dst = appendTime(appendField(dst, fTime), h.Time)
	dst = appendText(dst, fSnippet, h.Snippet)
	dst = append(appendField(dst, fMarks), '[')
	for i, m := range h.Marks {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendInt(append(dst, '['), int64(m.Start), 10)
		dst = strconv.AppendInt(append(dst, ','), int64(m.Length), 10)
		dst = append(dst, ']')
	}
	dst = appendFiles(append(dst, ']'), h.Files)
	return append(dst, '}')
}

func (d *decoder) found(e *Event) {
	e.More, e.Next, e.Partial = d.boolean(fMore), d.count(fNext, false), d.boolean(fPartial)
	d.objects(fHits, true, func(d *decoder) {
		e.Hits = append(e.Hits, Hit{
			Room: d.str(fRoom, true), Seq: d.positive(fSeq, true), ID: d.str(fID, true), Username: d.str(fUsername, true),
			Account: d.str(fAccount, false), Bot: d.boolean(fBot), Time: d.time(), Snippet: d.str(fSnippet, true), Marks: d.marks(),
			Files: d.filesOfMessage(),
		})
	})
}

// marks decodes pairs of a start and a length.
func (d *decoder) marks() (marks []Mark) {
	d.elements(fMarks, false, func(v value) {
		var pair []int64
		if v.kind == kindArray {
			d.values(v.bytes, func(v value) {
				if v.kind == kindNumber && v.number >= 0 {
					pair = append(pair, v.number)
				}
			})
		}
		if len(pair) != 2 {
			d.badField(fMarks, "its elements must be pairs of a start and a length")
			return
		}
		marks = append(marks, Mark{int(pair[0]), int(pair[1])})
	})
	return marks
}
