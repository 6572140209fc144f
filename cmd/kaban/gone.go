package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// goneInterval is how often a server looks whether its data directory is still there: it
// may acknowledge messages that long after somebody has removed it.
const goneInterval = 2 * time.Second

// watchData reports once that a data directory was removed, moved away or covered by
// another one, or that its database was removed. The files stay open, so nothing else
// fails: the server would go on to acknowledge messages that end with it. An error that
// says nothing about this, such as one of a file system over the network, is ignored.
// watchData returns when ctx ends.
func watchData(ctx context.Context, dir string, failed chan<- error) {
	if dir == inMemory {
		return
	}
	first, err := os.Stat(dir)
	if err != nil {
		failed <- goneError(dir, err)
		return
	}
	ticker := time.NewTicker(goneInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := lookForData(dir, first); err != nil {
			failed <- goneError(dir, err)
			return
		}
	}
}

// lookForData returns an error if a directory is not the one that it was, or has no database.
func lookForData(dir string, first fs.FileInfo) error {
	now, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("it was removed or moved")
	case err != nil:
		return nil // it may be there
	case !os.SameFile(first, now):
		return errors.New("another directory is in its place")
	}
	if there, err := hasStore(dir); err == nil && !there {
		return errors.New("its database was removed or moved")
	}
	return nil
}

func goneError(dir string, err error) error {
	return fmt.Errorf("the data directory %s is gone (%w), so the server exits: messages could not be kept any more; put it back, or restore a backup, before you start the server again", dir, err)
}
