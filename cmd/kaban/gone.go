package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"kaban/internal/store"
)

// goneInterval is how often a server looks whether its data directory is still there: it
// may acknowledge messages that long after somebody has removed it.
const goneInterval = 2 * time.Second

// watchData calls gone once if a data directory was removed, moved away or covered by another
// one, or its database was. The files stay open, so nothing else fails: the server would go on to
// acknowledge messages that end with it. An error that says nothing about this, such as one of a
// file system over the network, is ignored. watchData looks once more when ctx ends, before the
// store is closed, and returns.
// A store that can say so is asked about the other files that it writes to.
func watchData(ctx context.Context, dir string, kept store.Store, gone func(error)) {
	if dir == inMemory {
		return
	}
	files, _ := kept.(store.Displaceable)
	first, err := look(dir)
	if err != nil {
		gone(goneError(theDirectory+dir, err))
		return
	}
	ticker := time.NewTicker(goneInterval)
	defer ticker.Stop()
	for ended := false; !ended; {
		select {
		case <-ctx.Done():
			ended = true
		case <-ticker.C:
		}
		if err := first.compare(dir); err != nil {
			gone(goneError(theDirectory+dir, err))
			return
		}
		if files == nil {
			continue
		}
		if err := files.Displaced(); err != nil {
			gone(goneError("a file of the database", err))
			return
		}
	}
}

// place is a data directory with its database.
type place struct{ directory, database fs.FileInfo }

func look(dir string) (p place, err error) {
	if p.directory, err = os.Stat(dir); err == nil {
		p.database, err = os.Stat(databaseIn(dir))
	}
	return p, err
}

// compare returns an error if a path does not lead to the same directory and database any more.
func (p *place) compare(dir string) error {
	now, err := look(dir)
	missing := errors.Is(err, fs.ErrNotExist)
	switch {
	case now.directory == nil && missing:
		return errRemoved
	case now.directory == nil:
		return nil // it may be there
	case !os.SameFile(p.directory, now.directory):
		return errors.New("another directory is in its place")
	case missing:
		return errNoDatabase
	case err == nil && !os.SameFile(p.database, now.database):
		return errors.New("another database is in the place of its own")
	}
	return nil
}

// broken says why a server exits whose store failed. If the data is not where it was, the store may notice before
// watchData does, and to check the disk and start again would be the wrong advice then.
func (p *place) broken(dir string, err error) error {
	if p.database != nil {
		if reason := p.compare(dir); reason != nil {
			return goneError(theDirectory+dir, reason)
		}
		if _, missing := os.Stat(journalIn(dir)); errors.Is(err, fs.ErrNotExist) && errors.Is(missing, fs.ErrNotExist) {
			return goneError(theDirectory+dir, errNoJournal)
		}
	}
	if isOtherDatabase(err) {
		return fmt.Errorf("the database has another history now, after a failover or a restore, so the server exits: start it again, and clients read everything anew (%w)", err)
	}
	return fmt.Errorf("the store failed, so the server exits; acknowledged messages are safe: check the disk and start the server again (%w)", err)
}

var (
	errRemoved    = errors.New("it was removed or moved")
	errNoDatabase = errors.New("its database was removed or moved")
	errNoJournal  = errors.New("its journal was removed or moved")
)

// abandon has a store whose directory is gone accept nothing more, and touch nothing that is there
// instead, and reports why.
func abandon(s store.Store, failed chan<- error) func(error) {
	return func(reason error) {
		failed <- reason // before the alarm of the store
		if s, ok := s.(store.Breakable); ok {
			s.Break(reason)
		}
	}
}

const theDirectory = "the data directory "

// goneError says that something of the data is gone, and what to do.
func goneError(what string, err error) error {
	return fmt.Errorf("%s is gone (%w), so the server exits: messages could not be kept any more; put it back, or restore a backup, before you start the server again", what, err)
}
