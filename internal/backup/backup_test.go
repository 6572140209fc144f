package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// fixture is a service whose backups are small files and whose clock can be set.
type fixture struct {
	dir   string
	log   bytes.Buffer
	ahead time.Duration // of the clock that names backups
	made  []time.Time   // by the monotonic clock
	fail  error         // what Make and Room return
	full  error
	leave []string // ends of the names of files that Make leaves when it fails
	takes time.Duration
}

func (f *fixture) service(every time.Duration, keep int) *Service {
	return New(Config{
		Every: every, Keep: keep, Dir: f.dir, Log: slog.New(slog.NewTextHandler(&f.log, nil)),
		Now:  func() time.Time { return time.Now().Add(f.ahead) },
		Room: func() error { return f.full },
		Make: func(ctx context.Context, file string) error {
			f.made = append(f.made, time.Now())
			if f.takes > 0 {
				select {
				case <-time.After(f.takes):
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			if f.fail != nil {
				for _, end := range f.leave {
					if err := os.WriteFile(file+end, []byte("part"), 0o600); err != nil {
						return err
					}
				}
				return f.fail
			}
			return os.WriteFile(file, []byte("backup"), 0o600)
		},
	})
}

// run runs a service for a time.
func run(s *Service, length time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), length)
	defer cancel()
	s.Run(ctx)
}

func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// stay is a bit less than a number of hours: what is due then does not happen any more.
func stay(hours int) time.Duration { return time.Duration(hours)*time.Hour - time.Second }

func TestSchedule(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "of", "backups")
	synctest.Test(t, func(t *testing.T) {
		f := &fixture{dir: dir, takes: time.Minute}
		s := f.service(time.Hour, 3)
		run(s, stay(5))
		if len(f.made) != 5 {
			t.Fatalf("made %d backups in 5 hours, want one each hour", len(f.made))
		}
		// synctest begins at midnight of the first of January 2000.
		want := []string{"kaban-20000101T020000Z.db", "kaban-20000101T030000Z.db", "kaban-20000101T040000Z.db"}
		if got := names(t, dir); !slices.Equal(got, want) {
			t.Errorf("kept %q, want %q", got, want)
		}
		got := s.Status()
		if got.Count != 3 || got.Bytes != 18 || got.Err != nil || filepath.Base(got.Last.Path) != want[2] || !got.Next.Equal(time.Date(2000, 1, 1, 5, 0, 0, 0, time.UTC)) {
			t.Errorf("status %+v", got)
		}
	})
}

// What belongs to old backups is removed after they are, and not after a backup that failed.
func TestTidy(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := &fixture{dir: dir}
		s := f.service(time.Hour, 2)
		var counts []int
		s.config.Tidy = func(context.Context) error {
			counts = append(counts, len(names(t, dir)))
			return errors.New("a file stays")
		}
		run(s, stay(4))
		if !slices.Equal(counts, []int{1, 2, 2, 2}) || s.Status().Err != nil || !strings.Contains(f.log.String(), "a file stays") {
			t.Errorf("with %v backups, %v: %s", counts, s.Status().Err, &f.log)
		}
		f.fail = errors.New("no room")
		run(s, 2*time.Hour)
		if len(counts) != 4 {
			t.Errorf("tidied %d times, want 4", len(counts))
		}
	})
}

// A restart makes no backup of its own, and one that was due meanwhile is made at once.
func TestRestarts(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := &fixture{dir: dir}
		for range 20 {
			run(f.service(time.Hour, 100), 7*time.Minute) // never ends when one is due
		}
		if len(f.made) != 3 {
			t.Errorf("made %d backups in 140 minutes with a restart every 7, want 3", len(f.made))
		}
		time.Sleep(30 * time.Hour)
		before := time.Now()
		run(f.service(time.Hour, 100), time.Second)
		if len(f.made) != 4 || !f.made[3].Equal(before) {
			t.Errorf("the first backup after a day was made at %v, want %v", f.made, before)
		}
	})
}

// A clock that is set while a server runs or between two starts leads to as many
// backups as one that is not, and the newest are kept.
func TestClockIsSet(t *testing.T) {
	for _, jump := range []time.Duration{-10 * 365 * 24 * time.Hour, -30 * time.Minute, 30 * time.Minute, 10 * 365 * 24 * time.Hour} {
		t.Run(jump.String(), func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				f := &fixture{dir: dir}
				s := f.service(time.Hour, 2)
				run(s, stay(3))
				f.ahead = jump
				run(s, stay(3))
				if len(f.made) < 5 || len(f.made) > 7 {
					t.Errorf("made %d backups in 6 hours", len(f.made))
				}
				f.made = nil
				f.ahead = 0
				for range 6 {
					run(f.service(time.Hour, 2), stay(1))
				}
				if len(f.made) < 5 || len(f.made) > 7 {
					t.Errorf("made %d backups in 6 hours after the clock was set right", len(f.made))
				}
				newest := nameOf(f.made[len(f.made)-1])
				if got := names(t, dir); len(got) != 2 || !slices.Contains(got, newest) {
					t.Errorf("kept %q, want 2 with %s", got, newest)
				}
			})
		})
	}
}

// Whatever the clock does and however often the server restarts, backups are never
// closer than the interval unless one was due, and never more than twice as far apart.
func TestClockProperty(t *testing.T) {
	root := t.TempDir()
	trial := 0
	rapid.Check(t, func(r *rapid.T) {
		trial++
		dir := filepath.Join(root, fmt.Sprint(trial))
		jumps := rapid.SliceOfN(rapid.Int64Range(-300, 300), 1, 8).Draw(r, "minutes of jumps")
		synctest.Test(t, func(t *testing.T) {
			f := &fixture{dir: dir}
			for _, minutes := range jumps {
				s := f.service(time.Hour, 3)
				run(s, stay(2))
				f.ahead += time.Duration(minutes) * time.Minute
				run(s, stay(2))
			}
			if most, least := 4*len(jumps)+len(jumps), 2*len(jumps); len(f.made) > most || len(f.made) < least {
				r.Errorf("made %d backups in %d hours, want %d to %d", len(f.made), 4*len(jumps), least, most)
			}
			for i := 1; i < len(f.made); i++ {
				if pause := f.made[i].Sub(f.made[i-1]); pause > 2*time.Hour {
					r.Errorf("no backup for %v", pause)
				}
			}
			if got := names(t, dir); len(got) > 3 {
				r.Errorf("kept %q, want 3", got)
			}
		})
	})
}

// A backup that fails is tried again, ever later, ends nothing and removes nothing.
func TestFailure(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := &fixture{dir: dir}
		s := f.service(24*time.Hour, 1)
		run(s, time.Second)
		kept := names(t, dir)
		f.fail = errors.New("the disk is on fire")
		f.made = nil
		run(s, 24*time.Hour+10*time.Minute)
		// After 0, 1, 3 and 7 minutes.
		if len(f.made) != 4 {
			t.Errorf("%d attempts in 10 minutes, want 4", len(f.made))
		}
		if got := s.Status(); got.Failures != 4 || !errors.Is(got.Err, f.fail) || got.Count != 1 {
			t.Errorf("status %+v", got)
		}
		if got := names(t, dir); !slices.Equal(got, kept) {
			t.Errorf("kept %q, want %q", got, kept)
		}
		if n := strings.Count(f.log.String(), "level=ERROR"); n != 4 || !strings.Contains(f.log.String(), "on fire") {
			t.Errorf("%d errors in the log, want 4:\n%s", n, f.log.String())
		}
		f.made = nil
		run(s, 24*time.Hour)
		if n := len(f.made); n < 24 || n > 28 {
			t.Errorf("%d attempts in a day, want one each hour", n)
		}
		f.fail = nil
		run(s, time.Hour)
		if got := s.Status(); got.Failures != 0 || got.Err != nil || got.Count != 1 || got.Last.Path == filepath.Join(dir, kept[0]) {
			t.Errorf("after the failure: status %+v", got)
		}
	})
}

// Without room nothing is begun.
func TestNoRoom(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := &fixture{dir: dir, full: errors.New("no room")}
		s := f.service(time.Hour, 1)
		run(s, time.Second)
		if got := s.Status(); len(f.made) > 0 || !errors.Is(got.Err, f.full) {
			t.Errorf("made %v, status %+v", f.made, got)
		}
	})
}

// A directory that cannot be used is no reason not to start, and is looked at again.
func TestDirectoryInTheWay(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "backups")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		f := &fixture{dir: dir}
		s := f.service(time.Hour, 1)
		run(s, time.Second)
		if got := s.Status(); got.Err == nil || !strings.Contains(got.Err.Error(), "name a directory") {
			t.Errorf("status %+v", got)
		}
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
		run(s, time.Minute)
		if got := s.Status(); got.Err != nil || got.Count != 1 {
			t.Errorf("status %+v", got)
		}
	})
}

// What a crash has left is removed, and nothing else.
func TestLeftovers(t *testing.T) {
	dir := t.TempDir()
	ours := []string{"kaban-20000101T000000Z.db.partial", "kaban-20000101T000000Z.db.partial-journal"}
	others := []string{"kaban-20000101T000000Z.db", "kaban-2000.db", "kaban-20000101T000000Z.db.bak", "notes.partial", "other.db.partial"}
	for _, name := range slices.Concat(ours, others) {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		f := &fixture{dir: dir}
		run(f.service(time.Hour, 1), time.Second)
		slices.Sort(others)
		if got := names(t, dir); !slices.Equal(got, others) {
			t.Errorf("left %q, want %q", got, others)
		}
		if len(f.made) > 0 {
			t.Error("there was a new backup already")
		}
	})
}

// What attempts that fail have left is removed after each: it would fill the disk, and
// count as a backup.
func TestLeftoversOfFailures(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := &fixture{dir: dir}
		s := f.service(time.Hour, 7)
		run(s, stay(1))
		good := names(t, dir)
		f.fail, f.leave = errors.New("the database is damaged"), []string{"", ".partial", ".partial-journal"}
		run(s, stay(12))
		if got := s.Status(); got.Failures < 5 || got.Count != 1 {
			t.Fatalf("status %+v", got)
		}
		if got := names(t, dir); !slices.Equal(got, good) {
			t.Errorf("after %d failures the directory has %q, want %q", s.Status().Failures, got, good)
		}
	})
}

// What is wrong fits into a line, also if what a failed backup has left cannot be removed.
func TestLeftoversThatStay(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := &fixture{dir: dir, fail: errors.New("the database is damaged")}
		s := f.service(time.Hour, 7)
		s.config.Make = func(_ context.Context, file string) error {
			return errors.Join(f.fail, os.MkdirAll(filepath.Join(file, "in it"), 0o700))
		}
		run(s, time.Second)
		text := fmt.Sprint(s.Status().Err)
		if !errors.Is(s.Status().Err, f.fail) || !strings.Contains(text, "is damaged; remove ") || strings.Contains(text, "\n") {
			t.Errorf("the failure is %q", text)
		}
	})
}

// A server that ends in the middle of a backup does not wait for it, and reports no failure.
func TestInterrupted(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := &fixture{dir: dir, takes: time.Hour}
		s := f.service(time.Hour, 1)
		begun := time.Now()
		run(s, time.Minute)
		if took := time.Since(begun); took != time.Minute {
			t.Errorf("it ended after %v", took)
		}
		if got := s.Status(); got.Failures > 0 || got.Count > 0 || !got.Next.IsZero() || strings.Contains(f.log.String(), "ERROR") {
			t.Errorf("status %+v, log %s", got, f.log.String())
		}
	})
}

func TestUsual(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		hour int
		want time.Duration
	}{{1, 0}, {3, 2 * time.Hour}, {5, 2 * time.Hour}, {23, 2 * time.Hour}, {22, 2 * time.Hour}, {21, 2 * time.Hour}} {
		if err := os.WriteFile(filepath.Join(dir, nameOf(time.Date(2026, 11, 26, c.hour, 0, 0, 0, time.UTC))), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		found, err := List(dir, time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC))
		if got := found.Usual(); err != nil || got != c.want {
			t.Errorf("with one at %d: got %v, %v, want %v", c.hour, got, err, c.want)
		}
	}
	if _, err := List(filepath.Join(dir, "nowhere"), time.Time{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
}

func TestNewest(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 11, 26, 23, 30, 0, 0, time.UTC)
	newest := func(at time.Time) (File, error) {
		t.Helper()
		found, err := List(dir, now)
		if err != nil {
			t.Fatal(err)
		}
		return found.Newest(dir, at)
	}
	if _, err := newest(time.Time{}); !errors.Is(err, ErrNone) || !strings.Contains(err.Error(), "name the file of any other") {
		t.Errorf("an empty directory: %v", err)
	}
	at := func(hour, minute int) time.Time { return time.Date(2026, 11, 26, hour, minute, 0, 0, time.UTC) }
	for _, h := range []int{9, 10, 11} {
		if err := os.WriteFile(filepath.Join(dir, nameOf(at(h, 0))), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ at, want time.Time }{
		{time.Time{}, at(11, 0)},
		{at(23, 0), at(11, 0)},
		{at(10, 59), at(10, 0)},
		{at(10, 0), at(10, 0)},
		{at(9, 59), at(9, 0)},
	} {
		if got, err := newest(c.at); err != nil || !got.Time.Equal(c.want) {
			t.Errorf("at %v: got %v, %v, want %v", c.at, got.Time, err, c.want)
		}
	}
	if _, err := newest(at(8, 0)); !errors.Is(err, ErrNone) || !strings.Contains(err.Error(), nameOf(at(9, 0))) {
		t.Errorf("too early: %v", err)
	}
}

// Names sort as their times do.
func TestNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		second := rapid.Int64Range(0, 253402300799) // to the year 9999
		a, b := time.Unix(second.Draw(t, "a"), 0), time.Unix(second.Draw(t, "b"), 0)
		if got, want := strings.Compare(nameOf(a), nameOf(b)), a.Compare(b); got != want {
			t.Errorf("%s and %s compare as %d, want %d", nameOf(a), nameOf(b), got, want)
		}
		if got, ok := timeOf(nameOf(a)); !ok || !got.Equal(a) {
			t.Errorf("%s is of %v", nameOf(a), got)
		}
	})
	for _, name := range []string{"", "kaban-.db", "kaban-20261126T153000Z", "20261126T153000Z.db", "kaban-20261399T153000Z.db", "kaban-20261126T153000Z.db.partial"} {
		if got, ok := timeOf(name); ok {
			t.Errorf("%q is of %v", name, got)
		}
	}
}

// Backups that are dated in the future count as the oldest, whoever looks: for restoring,
// for the usual pause, for the state, and for removing. One remark names them.
func TestDatedInTheFuture(t *testing.T) {
	at := func(day, hour int) time.Time { return time.Date(2026, 11, day, hour, 0, 0, 0, time.UTC) }
	now := at(26, 12)
	for _, test := range []struct {
		name   string
		files  []time.Time
		at     time.Time
		want   time.Time // the zero Time: none
		usual  time.Duration
		remark bool
	}{
		{"the newest", []time.Time{at(26, 9), at(26, 11), at(29, 0)}, time.Time{}, at(26, 11), 2 * time.Hour, true},
		{"before a time that is still to come", []time.Time{at(26, 9), at(26, 11), at(29, 0)}, at(30, 0), at(26, 11), 2 * time.Hour, true},
		{"nothing else", []time.Time{at(28, 0), at(29, 0)}, time.Time{}, at(29, 0), 0, true},
		{"nothing else, before a time that is still to come", []time.Time{at(28, 0), at(29, 0)}, at(30, 0), time.Time{}, 0, true},
		{"within the slack", []time.Time{now.Add(slack)}, time.Time{}, now.Add(slack), 0, false},
	} {
		dir := t.TempDir()
		for _, f := range test.files {
			if err := os.WriteFile(filepath.Join(dir, nameOf(f)), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		found, err := List(dir, now)
		if err != nil {
			t.Fatal(err)
		}
		got, err := found.Newest(dir, test.at)
		if !got.Time.Equal(test.want) || errors.Is(err, ErrNone) != test.want.IsZero() {
			t.Errorf("%s: got %v, %v, want %v", test.name, got.Time, err, test.want)
		}
		if usual := found.Usual(); usual != test.usual {
			t.Errorf("%s: the usual pause is %v, want %v", test.name, usual, test.usual)
		}
		if remarks := strings.Join(found.Remarks(), "; "); strings.Contains(remarks, "dated in the future") != test.remark {
			t.Errorf("%s: the remarks are %q", test.name, remarks)
		}
	}
}

// A link at the name of a backup is not counted, restored or removed, and both the log and
// the state name it, the log once.
func TestLinksInThePlaceOfBackups(t *testing.T) {
	dir := t.TempDir()
	const link = "kaban-19990101T000000Z.db"
	if err := os.Symlink(filepath.Join(dir, "elsewhere"), filepath.Join(dir, link)); err != nil {
		t.Skip("this system makes no links: ", err)
	}
	synctest.Test(t, func(t *testing.T) {
		f := &fixture{dir: dir}
		s := f.service(time.Hour, 1)
		run(s, stay(4))
		if got := names(t, dir); len(got) != 2 || !slices.Contains(got, link) {
			t.Errorf("left %q, want the link and one backup", got)
		}
		if got := s.Status(); got.Count != 1 || !strings.Contains(strings.Join(got.Remarks, "; "), link) {
			t.Errorf("the state is %+v", got)
		}
		if n := strings.Count(f.log.String(), link); n != 1 {
			t.Errorf("the log names it %d times\n%s", n, &f.log)
		}
	})
}
