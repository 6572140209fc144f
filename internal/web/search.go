package web

import (
	"context"
	"fmt"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"kaban/internal/chat"
	"kaban/internal/frame"
	"kaban/wire"
)

// hitsParam is how many hits a page may hold.
type hitsParam struct{ number }

// Schema implements huma.SchemaProvider.
func (hitsParam) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeInteger, Minimum: new(1.0), Maximum: new(float64(wire.MaxHits))}
}

// Receiver implements huma.ParamWrapper.
func (l *hitsParam) Receiver() reflect.Value { return reflect.ValueOf(&l.number).Elem().Field(0) }

type searchInput struct {
	Query  string    `query:"query" required:"true" doc:"What to look for: words, word*, \"phrases\", and from:, in:, has:link, mentions:me, is:pinned, before:, after:, on:. A - in front excludes."`
	Room   string    `query:"room" doc:"The only room in which to look; all that the caller may read if absent."`
	Before number    `query:"before" doc:"The next of the page before."`
	Limit  hitsParam `query:"limit" doc:"The most hits to return; 20 if absent."`
	Zone   string    `query:"zone" doc:"The time zone of dates in the query, an IANA name such as Europe/Berlin; UTC if absent."`
}

// HitList is a page of hits.
type HitList struct {
	Hits    []hit  `json:"hits" nullable:"false" doc:"Newest first."`
	More    bool   `json:"more" doc:"There are more."`
	Next    uint64 `json:"next,omitempty" doc:"The value of before for the next page. It is opaque and no time. Absent if there are no more."`
	Partial bool   `json:"partial" doc:"There may be more hits that the server did not look at in time, or that are not in its index yet."`
}

// hit is a hit as kaban/1 has it.
type hit struct{ wire.Hit }

// MarshalJSON implements json.Marshaler.
func (h hit) MarshalJSON() ([]byte, error) { return h.Append(nil), nil }

// Schema implements huma.SchemaProvider.
func (hit) Schema(r huma.Registry) *huma.Schema { return r.Schema(reflect.TypeFor[Hit](), true, "Hit") }

// Hit describes a hit in the document.
type Hit struct {
	Room     string   `json:"room" doc:"The room of the message."`
	Seq      uint64   `json:"seq" minimum:"1" doc:"Its number in the room."`
	ID       string   `json:"id" doc:"The author's id for it."`
	Username string   `json:"username" doc:"The author."`
	Account  string   `json:"account,omitempty" doc:"The id of the author's account. Absent for visitors and hooks."`
	Bot      bool     `json:"bot,omitempty" doc:"The author is a program."`
	Time     string   `json:"time" format:"date-time" doc:"When the server stored it: UTC, with milliseconds."`
	Snippet  string   `json:"snippet" doc:"The part of the text that shows what was found, at most 200 code points, with … where it leaves something out. Treat it as untrusted."`
	Marks    [][2]int `json:"marks" nullable:"false" doc:"What to highlight: the start and the length of each part of the snippet, in code points, in order."`
	Files    []File   `json:"files,omitempty" nullable:"false" maxItems:"10" doc:"The files of the message. Their bytes are at /v1/files/{id}."`
}

func (s *Server) searchMessages(ctx context.Context, in *searchInput) (*output[HitList], error) {
	asked := chat.Search{Query: in.Query, Before: in.Before.Value, HasBefore: in.Before.IsSet, Zone: in.Zone, Limit: int(min(in.Limit.Value, wire.MaxHits))}
	switch {
	case in.Query == "":
		return nil, fieldProblem(wire.CodeMissingField, "query", "the parameter query is missing: say what to look for")
	case in.Before.Value > wire.MaxNumber:
		return nil, fieldProblem(wire.CodeBadField, "before", fmt.Sprintf("before must not exceed %d", wire.MaxNumber))
	case in.Limit.IsSet && (in.Limit.Value < 1 || in.Limit.Value > wire.MaxHits):
		p := problem(wire.CodeBadLimit, fmt.Sprintf("the limit must be 1 to %d, not %d", wire.MaxHits, in.Limit.Value))
		p.Field, p.Max, p.Actual = "limit", new(wire.MaxHits), new(int(min(in.Limit.Value, wire.MaxNumber)))
		return nil, p
	}
	if in.Room != "" {
		var err error
		if asked.Room, err = s.parseRoom(RoomPath{in.Room}); err != nil {
			return nil, err
		}
	}
	found, err := whoOf(ctx).user().Search(ctx, asked)
	if err != nil {
		return nil, s.problemOf(err)
	}
	fit, bytes := 0, 0
	for i := range found.Hits {
		h := &found.Hits[i]
		if bytes += len(h.Snippet.Text) + len(h.Entry.Files); bytes > pageBytes && fit > 0 {
			break
		}
		fit++
	}
	found.Cut(fit)
	var e wire.Event
	frame.Found(&e, &found)
	list := HitList{Hits: make([]hit, len(e.Hits)), More: e.More, Next: e.Next, Partial: e.Partial}
	for i := range e.Hits {
		list.Hits[i] = hit{e.Hits[i]}
	}
	if hold(ctx, bytes) != nil {
		return nil, heldProblem()
	}
	return &output[HitList]{list}, nil
}
