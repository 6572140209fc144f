package frame

import (
	"unicode/utf8"

	"kaban"
	"kaban/internal/chat"
	"kaban/internal/search"
	"kaban/wire"
)

// Found puts a page of hits into the answer to a search.
func Found(answer *wire.Event, page *chat.Hits) {
	answer.Hits, answer.More, answer.Next, answer.Partial = make([]wire.Hit, len(page.Hits)), page.More, page.Next, page.Partial
	for i := range page.Hits {
		h := &page.Hits[i]
		account, bot := kaban.AuthorOf(h.Entry.Author)
		answer.Hits[i] = wire.Hit{
			Room: h.Room.String(), Seq: h.Entry.Seq, ID: h.Entry.ID, Username: h.Entry.Username, Account: account, Bot: bot,
			Time: timeOf(h.Entry.Time), Snippet: h.Snippet.Text, Marks: marks(&h.Snippet),
		}
		if h.Entry.Files != "" {
			answer.Hits[i].Files = files(&h.Entry)
		}
	}
}

// marks returns the marks of a snippet in code points.
func marks(s *search.Snippet) []wire.Mark {
	all := make([]wire.Mark, len(s.Marks))
	bytes, points := 0, 0
	for i, m := range s.Marks {
		points += utf8.RuneCountInString(s.Text[bytes:m.Start])
		length := utf8.RuneCountInString(s.Text[m.Start:m.End])
		all[i] = wire.Mark{Start: points, Length: length}
		bytes, points = m.End, points+length
	}
	return all
}
