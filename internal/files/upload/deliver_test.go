package upload

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kaban/internal/files"
)

// What is delivered stays until it is settled, however long that takes. The answer is kept, also
// through a restart, and nothing is delivered twice.
func TestDeliver(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := opened(t, dir, Limits{Idle: time.Minute})
		id, answer := created(t, s, "ann", 3), map[string]string{"Kaban-File": "f"}
		nothing := func(Info, files.Staged) (map[string]string, error) {
			t.Error("it is delivered")
			return nil, nil
		}
		if _, err := s.Deliver(t.Context(), id, nothing); !errors.Is(err, ErrIncomplete) {
			t.Errorf("without its bytes: %v", err)
		}
		appended(t, s, id, 0, []byte("abc"))
		refused := errors.New("no quota")
		deliver := func(fails error) error {
			info, err := s.Deliver(t.Context(), id, func(info Info, staged files.Staged) (map[string]string, error) {
				time.Sleep(10 * time.Minute)
				if n, err := s.Expire(); n != 0 || err != nil {
					t.Errorf("%d expire, %v", n, err)
				}
				if err := s.Remove(id); !errors.Is(err, ErrBusy) {
					t.Errorf("Remove: %v", err)
				}
				if data, err := os.ReadFile(staged.Path); string(data) != "abc" || err != nil || !info.Complete() || info.Settled {
					t.Errorf("%q is there, %v, of %+v", data, err, info)
				}
				return answer, fails
			})
			if err == nil && (!info.Settled || !maps.Equal(info.Answer, answer)) {
				t.Errorf("it is %+v", info)
			}
			return err
		}
		if err := deliver(refused); !errors.Is(err, refused) {
			t.Errorf("got %v", err)
		}
		finished(t, s, id, []byte("abc"))
		if err := deliver(nil); err != nil {
			t.Error(err)
		}
		for range 2 {
			info, err := s.Deliver(t.Context(), id, nothing)
			if err != nil || !info.Settled || !info.Complete() || !maps.Equal(info.Answer, answer) {
				t.Errorf("again: %+v, %v", info, err)
			}
			if names := left(t, dir); !slices.Equal(names, []string{id + doneSuffix}) {
				t.Errorf("left are %v", names)
			}
			s = opened(t, dir, Limits{Idle: time.Minute})
		}
	})
}

// A crash between the two records leaves both. The upload is done.
func TestTwoRecords(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir, DefaultLimits())
	id := created(t, s, "ann", 3)
	appended(t, s, id, 0, []byte("abc"))
	old, err := os.ReadFile(s.path(id, infoSuffix))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Settle(id, map[string]string{"Kaban-File": "f"}); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string][]byte{s.path(id, infoSuffix): old, s.path(id, dataSuffix): []byte("abc"), s.path(id, draftSuffix): old} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s = opened(t, dir, DefaultLimits())
	known(t, s, "with both", id)
	if info, err := s.Info(id); err != nil || !info.Settled || info.Answer["Kaban-File"] != "f" || s.unsettled != 0 || s.settledIn != 1 {
		t.Errorf("it is %+v, %v; %d are not settled, %d are", info, err, s.unsettled, s.settledIn)
	}
}

// An answer has bounds.
func TestLongAnswer(t *testing.T) {
	s := opened(t, t.TempDir(), DefaultLimits())
	id := created(t, s, "ann", 0)
	if err := s.Settle(id, map[string]string{"k": strings.Repeat("x", MaxMetaBytes)}); !errors.Is(err, ErrMeta) {
		t.Errorf("got %v, want ErrMeta", err)
	}
	if err := s.Settle(id, map[string]string{"k": strings.Repeat("x", MaxMetaBytes-1)}); err != nil {
		t.Error(err)
	}
}

// No error and no line of the log has an id, which is as good as a link.
func TestNoIDs(t *testing.T) {
	dir := t.TempDir()
	var log bytes.Buffer
	open := func() *Staging {
		s, err := Open(Config{Dir: dir, Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	var names []string
	check := func(what, id string, err error) {
		t.Helper()
		if err == nil || strings.Contains(err.Error(), id) || !strings.Contains(err.Error(), "….") {
			t.Errorf("%s: %v", what, err)
		}
		if _, ok := errors.AsType[*fs.PathError](err); !ok && what != "Settle" {
			t.Errorf("%s: %v is no *fs.PathError", what, err)
		}
	}
	for _, what := range []string{"Append", "Finish", "Settle"} {
		id := created(t, s, "ann", 0)
		names = append(names, id)
		path := s.path(id, map[string]string{"Append": dataSuffix, "Finish": dataSuffix, "Settle": doneSuffix}[what])
		if what == "Settle" { // a directory cannot be replaced by a file
			if err := os.MkdirAll(path+"/x", 0o700); err != nil {
				t.Fatal(err)
			}
		} else if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		var err error
		switch what {
		case "Append":
			_, err = s.Append(t.Context(), id, 0, strings.NewReader("x"))
		case "Finish":
			_, err = s.Finish(context.Background(), id)
		default:
			err = s.Settle(id, nil)
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
		}
		check(what, id, err)
	}
	damaged := created(t, s, "ann", 5)
	if err := os.WriteFile(s.path(damaged, infoSuffix), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	open()
	if strings.Count(log.String(), "level=ERROR") != 3 {
		t.Errorf("the log is:\n%s", log.String())
	}
	for _, id := range append(names, damaged) {
		if strings.Contains(log.String(), id) {
			t.Errorf("the log has %s:\n%s", id, log.String())
		}
	}
	if err := WithoutID(fs.ErrClosed); err != fs.ErrClosed || WithoutID(nil) != nil {
		t.Errorf("without an id it is %v", err)
	}
}
