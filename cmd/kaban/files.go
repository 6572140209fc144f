package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"

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

// openFiles opens the files of a server, which are in a store that other nodes may share; none without one.
func openFiles(data string, store files.Store, isShared bool, log *slog.Logger) (*keptFiles, error) {
	if store == nil {
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
	f.keeper = keep.New(keep.Config{Staging: staging, Store: store, Pictures: f.pictures, Log: log, Shared: isShared})
	return f, nil
}

// kept returns what a front end needs; nil without files.
func (f *keptFiles) kept() *keep.Keeper {
	if f == nil {
		return nil
	}
	return f.keeper
}

// tend removes what uploads have left until ctx ends.
func (f *keptFiles) tend(ctx context.Context, rooms *service.Chat) {
	f.keeper.Tend(ctx, rooms.SweepBlob)
}

// sweep lets go of files until ctx ends. Of several nodes one does so.
func (f *keptFiles) sweep(ctx context.Context, rooms *service.Chat) {
	rooms.SweepFiles(ctx, func(err error) {
		f.log.Warn("files that nothing has any more could not be removed; that is tried again in a minute", "error", fmt.Errorf("sweep files: %w", err))
	})
}

// close ends the process that makes a picture, if there is one.
func (f *keptFiles) close() {
	f.keeper.Close()
	f.pictures.Close()
}
