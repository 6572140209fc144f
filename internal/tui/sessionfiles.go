package tui

import (
	"context"
	"time"

	"kaban"
)

// upload sends a file. Uploads that the Model starts follow one another.
func (s *Session) upload(server string, number uint64, path string) {
	ctx, cancel := context.WithCancel(s.ctx)
	s.mu.Lock()
	s.endUpload = cancel
	s.mu.Unlock()
	s.group.Go(func() {
		defer cancel()
		web := s.client.Welcome().Web
		e := uploadEvent{number: number}
		e.file, e.err = s.options.Upload(ctx, server, web, path, func(sent, size int64) {
			s.putUpload(uploadEvent{number: number, sent: sent, size: size})
		})
		if e.err != nil && ctx.Err() != nil {
			e.err = ctx.Err()
		}
		e.done = true
		s.putUpload(e)
	})
}

func (s *Session) cancelUpload() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.endUpload != nil {
		s.endUpload()
	}
}

// putUpload queues a report about an upload: only the last one of its progress, which may change
// thousands of times a second, and always its end.
func (s *Session) putUpload(e uploadEvent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.progress = &e; e.done {
		s.progress = nil
		s.putLocked(e)
		return
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// download gets a file. Those that are asked for meanwhile wait.
func (s *Session) download(server, room string, f kaban.File) {
	s.group.Go(func() {
		s.downloading.Lock()
		defer s.downloading.Unlock()
		e := downloadEvent{room: room, file: f, err: s.ctx.Err()}
		if e.err == nil {
			e.text, e.err = s.options.Download(s.ctx, server, s.client.Welcome().Web, f)
		}
		s.put(e)
	})
}

// thumbnailPatience is how long a thumbnail may take.
const thumbnailPatience = 30 * time.Second

// thumbnail gets and decodes a small picture of a file, in place of the one that was asked for before.
func (s *Session) thumbnail(server string, number uint64, f kaban.File) {
	wanted, end := context.WithCancel(s.ctx)
	s.mu.Lock()
	if s.endViewing != nil {
		s.endViewing()
	}
	s.endViewing = end
	s.mu.Unlock()
	s.group.Go(func() {
		defer end()
		s.viewing.Lock()
		defer s.viewing.Unlock()
		if wanted.Err() != nil {
			return
		}
		ctx, cancel := context.WithTimeout(wanted, thumbnailPatience)
		defer cancel()
		e := thumbnailEvent{number: number}
		var data []byte
		if data, e.err = s.options.Thumbnail(ctx, server, s.client.Welcome().Web, f, maxThumbnail+1); e.err == nil {
			e.img, e.err = decodeThumbnail(data)
		}
		s.put(e)
	})
}

// maxPreviews is how long the server may take for previews.
const maxPreviews = 20 * time.Second

// previews asks what the pages are about that a message links to.
func (s *Session) previews(server, room string, seq uint64) {
	s.group.Go(func() {
		ctx, cancel := context.WithTimeout(s.ctx, maxPreviews)
		defer cancel()
		e := previewsEvent{room: room}
		e.lines, e.err = s.options.Previews(ctx, server, s.client.Welcome().Web, room, seq)
		s.put(e)
	})
}
