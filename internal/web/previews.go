package web

import (
	"context"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"kaban/wire"
)

// maxPreviewsOfOne is for how many messages somebody may wait at once to see previews: an
// account, or visitors at an address; loopback is exempt. Each may wait for pages that do not
// answer, and holds one of Config.MaxRequests.
const maxPreviewsOfOne = 32

// Preview is what a web page says of itself.
type Preview struct {
	URL         string `json:"url" format:"uri" doc:"The address of the page, after redirects: https or http. Show its host: a page may say that it is another one."`
	Title       string `json:"title" doc:"Its title, in one line of up to 200 characters. Treat it as untrusted, as the following."`
	Description string `json:"description,omitempty" doc:"What it is about, in one line of up to 400 characters."`
	Site        string `json:"site,omitempty" doc:"The name of its site, up to 60 characters."`
}

// PreviewList is the previews of a message.
type PreviewList struct {
	Previews []Preview `json:"previews" nullable:"false" doc:"Up to three, in the order of the links. Links without one are left out."`
}

func (s *Server) previewOperation(api huma.API, operation func(id, method, path, summary string, errors ...int) huma.Operation) {
	op := operation("list-previews", http.MethodGet, "/v1/rooms/{room}/messages/{seq}/previews", "See what the pages are about that a message links to", 400, 404, 429, 500, 503)
	op.Description = "If the setting previews is on, and for whoever may read the message. The server reads the pages, through a guard that reaches public addresses only, when somebody asks first, which may take 10 seconds; it remembers them for an hour. Links in code, in quotes and in angle brackets have no preview. The list is empty if previews are off; GET /v1/server says whether they are on."
	register(s, api, toReaders, op, s.listPreviews)
}

func (s *Server) listPreviews(ctx context.Context, in *MessagePath) (*output[PreviewList], error) {
	name, err := s.parseRoom(in.RoomPath)
	if err != nil {
		return nil, err
	}
	if err := in.Seq.check("seq"); err != nil {
		return nil, err
	}
	by := whoOf(ctx)
	place, err := s.previews.Enter(by.transferKey())
	if err != nil {
		return nil, laterOn(wire.CodeRateLimited, fmt.Sprintf("no more than %d messages with previews at a time; wait for one of them", maxPreviewsOfOne))
	}
	defer place.Leave()
	found, err := by.user().Previews(ctx, name, in.Seq.Value)
	if err != nil {
		return nil, s.problemOf(err)
	}
	list := PreviewList{Previews: make([]Preview, len(found))}
	for i, p := range found {
		list.Previews[i] = Preview(p)
	}
	return &output[PreviewList]{list}, nil
}
