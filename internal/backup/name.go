package backup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A backup is called kaban-20261126T153000Z.db: the time in UTC, so that names sort by
// time.
const (
	namePrefix = "kaban-"
	nameSuffix = ".db"
	nameTime   = "20060102T150405Z"
)

// ErrNone means that a directory has no backup, or none that is old enough.
var ErrNone = errors.New("no backup")

// File is a backup in a directory of them.
type File struct {
	Path  string
	Time  time.Time // when it was begun, by its name
	Bytes int64
}

func nameOf(t time.Time) string { return namePrefix + t.UTC().Format(nameTime) + nameSuffix }

// timeOf returns the time of a name, if it is one of a backup.
func timeOf(name string) (time.Time, bool) {
	text, ok := strings.CutPrefix(name, namePrefix)
	text, also := strings.CutSuffix(text, nameSuffix)
	t, err := time.Parse(nameTime, text)
	return t, ok && also && err == nil && nameOf(t) == name
}

// List returns the backups in a directory, the oldest first. Other files are left out.
func List(dir string) ([]File, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var files []File
	for _, entry := range entries {
		t, ok := timeOf(entry.Name())
		if !ok || !entry.Type().IsRegular() {
			continue
		}
		info, err := entry.Info()
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return nil, err
		}
		files = append(files, File{filepath.Join(dir, entry.Name()), t, info.Size()})
	}
	slices.SortFunc(files, func(a, b File) int { return a.Time.Compare(b.Time) })
	return files, nil
}

// Newest returns the newest backup in a directory that is not younger than a time; the
// zero Time is no bound. If there is none, the error is an ErrNone.
func Newest(dir string, at time.Time) (File, error) {
	files, err := List(dir)
	if err != nil {
		return File{}, err
	}
	switch {
	case len(files) == 0:
		return File{}, fmt.Errorf("%w in %s: the names of backups are like %s", ErrNone, dir, nameOf(time.Date(2026, 11, 26, 15, 30, 0, 0, time.UTC)))
	case at.IsZero():
		now := time.Now()
		for _, f := range slices.Backward(files) {
			if !isAhead(f, now) {
				return f, nil
			}
		}
		return files[len(files)-1], nil // all were made by a clock that was ahead
	}
	for _, f := range slices.Backward(files) {
		if !f.Time.After(at) {
			return f, nil
		}
	}
	return File{}, fmt.Errorf("%w in %s is as old as %s: the oldest is %s", ErrNone, dir, at.Format("2006-01-02 15:04:05"), filepath.Base(files[0].Path))
}

// Usual returns the usual pause between the backups in a directory, the median. It is 0 if
// there are fewer than two.
func Usual(dir string) (time.Duration, error) {
	files, err := List(dir)
	if err != nil || len(files) < 2 {
		return 0, err
	}
	pauses := make([]time.Duration, len(files)-1)
	for i := range pauses {
		pauses[i] = files[i+1].Time.Sub(files[i].Time)
	}
	slices.Sort(pauses)
	return pauses[len(pauses)/2], nil
}

// clean removes what an interrupted backup has left.
func clean(dir string) (removed int, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	for _, entry := range entries {
		name, rest, ok := strings.Cut(entry.Name(), nameSuffix+".partial")
		if _, ours := timeOf(name + nameSuffix); !ok || !ours || !slices.Contains([]string{"", "-journal", "-wal", "-shm"}, rest) {
			continue
		}
		if err := os.Remove(filepath.Join(dir, entry.Name())); err != nil {
			return removed, err
		}
		removed++
	}
	return removed, nil
}
