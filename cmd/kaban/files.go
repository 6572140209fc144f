package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"

	service "kaban/internal/chat" // chat is a command here
	"kaban/internal/files"
	"kaban/internal/files/keep"
	"kaban/internal/files/upload"
	"kaban/internal/picture"
)

// uploadsDir is the directory of uploads that are on their way, in the data directory.
const uploadsDir = "uploads"

// maxPictures is how many uploads wait for their picture at most. Package web lets in fewer.
const maxPictures = 1000

// keptFiles are the files of a data directory.
type keptFiles struct {
	keeper   *keep.Keeper
	pictures *picture.Worker
	log      *slog.Logger
}

// openFiles opens the files of a data directory, which are in a store. There are none in memory.
func openFiles(data string, store files.Store, log *slog.Logger) (*keptFiles, error) {
	if data == inMemory {
		return nil, nil
	}
	// The settings bound one file, and what an account has.
	limits := upload.DefaultLimits()
	limits.Size = 0
	staging, err := upload.Open(upload.Config{Dir: filepath.Join(data, uploadsDir), Limits: limits, Log: log})
	if err != nil {
		return nil, ofData(data, err)
	}
	f := &keptFiles{pictures: picture.NewWorker(pictureProcess, maxPictures), log: log}
	f.keeper = keep.New(keep.Config{Staging: staging, Store: store, Pictures: f.pictures, Log: log})
	return f, nil
}

// kept returns what a front end needs; nil without files.
func (f *keptFiles) kept() *keep.Keeper {
	if f == nil {
		return nil
	}
	return f.keeper
}

// tend lets go of files until ctx ends.
func (f *keptFiles) tend(ctx context.Context, rooms *service.Chat) {
	var both sync.WaitGroup
	both.Go(func() { f.keeper.Tend(ctx, rooms.SweepBlob) })
	both.Go(func() {
		rooms.SweepFiles(ctx, func(err error) {
			f.log.Warn("files that nothing has any more could not be removed; that is tried again in a minute", "error", fmt.Errorf("sweep files: %w", err))
		})
	})
	both.Wait()
}

// close ends the process that makes a picture, if there is one.
func (f *keptFiles) close() {
	f.keeper.Close()
	f.pictures.Close()
}
