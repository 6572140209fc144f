package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"kaban"
	service "kaban/internal/chat" // chat is a command here
	"kaban/internal/guard"
	"kaban/internal/preview"
)

// previewGuard are the options of the guard that pages are read through. How long a preview takes to
// fail is seen by whoever sends links and asks for their previews, so addresses that are blocked, unknown
// or silent take the same time. Tests change them, in the program of the tests only.
var previewGuard = guard.Options{DialTimeout: 3 * time.Second, FailAfter: 3 * time.Second}

// previews reads the pages that messages link to. Until somebody asks, it does nothing.
type previews struct {
	fetcher *preview.Fetcher
	log     *slog.Logger
}

func newPreviews(log *slog.Logger) (*previews, error) {
	fetcher, err := preview.New(preview.Options{Guard: previewGuard})
	if err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	return &previews{fetcher, log}, nil
}

// Previews is that of chat.Previewer. Why a page has none is nobody's business but the operator's.
func (p *previews) Previews(ctx context.Context, m service.Linking) []service.Preview {
	links, of := preview.Links(m.Content), preview.Message{Room: m.Room.Key(), Seq: m.Seq}
	pages := make([]preview.Preview, len(links))
	var reads sync.WaitGroup
	for i, link := range links {
		reads.Go(func() {
			var err error
			pages[i], err = p.fetcher.FetchFor(ctx, of, m.Author, link)
			p.note(err)
		})
	}
	reads.Wait()
	var found []service.Preview
	for _, page := range pages {
		if page.Title != "" {
			found = append(found, service.Preview{URL: page.URL, Title: page.Title, Description: page.Description, Site: page.Site})
		}
	}
	return found
}

// Forget is that of chat.Previewer.
func (p *previews) Forget(room kaban.RoomName, first, last uint64) {
	p.fetcher.Forget(room.Key(), first, last)
}

// note logs a page that has made its reader panic. Everything else that goes wrong is usual.
func (p *previews) note(err error) {
	if bad, ok := errors.AsType[*preview.PanicError](err); ok {
		p.log.Error("a page that a message links to could not be read; this is a defect of Kaban", "error", bad, "stack", bad.Stack)
	} else if err != nil {
		p.log.Debug("a link has no preview", "error", err)
	}
}

func (p *previews) close() { p.fetcher.Close() }
