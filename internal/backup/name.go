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

// Listing is what a directory has of backups.
type Listing struct {
	// Files are the backups, the oldest first. Those that are ahead count as older than
	// all others: they were made before the clock was set right.
	Files []File
	Ahead int // how many of Files, the first ones, are dated in the future
	// Skipped are names of backups at which there is no file but a link or a directory.
	// They are no backups of this server: they are neither counted, restored nor removed.
	Skipped []string
}

// List returns the backups in a directory, as of a time. Other files are left out.
func List(dir string, now time.Time) (found Listing, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return Listing{}, err
	}
	for _, entry := range entries {
		t, ok := timeOf(entry.Name())
		if !ok {
			continue
		}
		if !entry.Type().IsRegular() {
			found.Skipped = append(found.Skipped, entry.Name())
			continue
		}
		info, err := entry.Info()
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return Listing{}, err
		}
		f := File{filepath.Join(dir, entry.Name()), t, info.Size()}
		if found.Files = append(found.Files, f); isAhead(f, now) {
			found.Ahead++
		}
	}
	slices.SortFunc(found.Files, func(a, b File) int {
		if ahead := isAhead(a, now); ahead != isAhead(b, now) {
			if ahead {
				return -1
			}
			return 1
		}
		return a.Time.Compare(b.Time)
	})
	return found, nil
}

// dated returns the backups whose dates are right, the oldest first.
func (l *Listing) dated() []File { return l.Files[l.Ahead:] }

// Newest returns the newest of the backups that are not younger than a time; the zero Time
// is no bound. One that is dated in the future is taken only without a bound, and if there
// is no other. If there is none, the error is an ErrNone.
func (l *Listing) Newest(dir string, at time.Time) (File, error) {
	switch {
	case len(l.Files) == 0:
		return File{}, fmt.Errorf("%w in %s: those on a schedule have names like %s; name the file of any other", ErrNone, dir, nameOf(time.Date(2026, 11, 26, 15, 30, 0, 0, time.UTC)))
	case at.IsZero():
		return l.Files[len(l.Files)-1], nil
	}
	for _, f := range slices.Backward(l.dated()) {
		if !f.Time.After(at) {
			return f, nil
		}
	}
	if len(l.dated()) == 0 {
		return File{}, fmt.Errorf("%w in %s has a date that is right: all are dated in the future, so name one of these files, such as %s", ErrNone, dir, l.Files[len(l.Files)-1].Path)
	}
	return File{}, fmt.Errorf("%w in %s is as old as %s: the oldest is %s", ErrNone, dir, at.Format("2006-01-02 15:04:05"), filepath.Base(l.dated()[0].Path))
}

// Usual returns the usual pause between the backups, the median. It is 0 if there are fewer
// than two whose dates are right.
func (l *Listing) Usual() time.Duration {
	files := l.dated()
	if len(files) < 2 {
		return 0
	}
	pauses := make([]time.Duration, len(files)-1)
	for i := range pauses {
		pauses[i] = files[i+1].Time.Sub(files[i].Time)
	}
	slices.Sort(pauses)
	return pauses[len(pauses)/2]
}

// Remarks returns what people should know of the listing, one sentence each.
func (l *Listing) Remarks() (remarks []string) {
	if l.Ahead > 0 {
		remarks = append(remarks, fmt.Sprintf("dated in the future, so made by a clock that was wrong, and taken for the oldest: %s", bases(l.Files[:l.Ahead])))
	}
	if len(l.Skipped) > 0 {
		remarks = append(remarks, fmt.Sprintf("links or directories, so neither counted, restored nor removed: %s", some(l.Skipped)))
	}
	return remarks
}

func bases(files []File) string {
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = filepath.Base(f.Path)
	}
	return some(names)
}

// mostNames is how many names a sentence has.
const mostNames = 3

func some(names []string) string {
	if len(names) > mostNames {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:mostNames], ", "), len(names)-mostNames)
	}
	return strings.Join(names, ", ")
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
