package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/charmbracelet/x/ansi"
	"pgregory.net/rapid"
)

func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, end := context.WithCancel(t.Context())
		defer end()
		var n atomic.Int64
		r := newRate(n.Load)
		go r.sample(ctx)
		expect := func(second float64, minute, total int64) { // within 2 %
			t.Helper()
			got := r.report()
			if math.Abs(got.PerSecond-second) > second/50 || math.Abs(float64(got.PerMinute-minute)) > float64(minute)/50 || got.Total != total {
				t.Errorf("after %d: got %+v, want %v, %v and %v", n.Load(), got, second, minute, total)
			}
		}
		expect(0, 0, 0)
		n.Store(3)
		time.Sleep(500 * time.Millisecond)
		expect(6, 3, 3)
		for range 1200 { // ten a second
			time.Sleep(99 * time.Millisecond) // never at the moment of a sample
			n.Add(1)
			time.Sleep(time.Millisecond)
		}
		synctest.Wait()
		expect(10, 600, 1203)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		expect(0, 300, 1203)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		expect(0, 0, 1203)
		if len(r.samples) > int(rateLong/rateEvery)+2 {
			t.Errorf("it keeps %d samples", len(r.samples))
		}
	})
}

func TestStatusLines(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	at := func(d time.Duration) *time.Time { t := now.Add(d); return &t }
	r := &statusReport{
		Version: "1.2.3", Process: 42, Data: "/srv/\x1b[31mkaban", Uptime: 3*86400 + 7200, Listeners: []string{"tcp://a:1", "http://b:2"},
		Connections: connectionReport{1234, 10000, 1200, 0, 34, 12, 1}, Messages: messageReport{1234.5, 60000, 7654321}, Rooms: 1200,
		Journal: journalReport{1, 4 << 20, 5 << 20}, Disk: diskReport{3 << 30, 4 << 30, 10 << 30, 40 << 30}, Certificate: at(50 * time.Hour),
		Backup:   &backupReport{Every: 86400, Keep: 7, Dir: "/mnt/b", Count: 7, Bytes: 7 << 30, Last: at(-25 * time.Hour), LastSize: 1 << 30, Next: at(4 * time.Minute), Remarks: []string{"dated in the future: x"}, Failures: 2, Error: "no room"},
		Problems: map[string]string{"rooms": "the store is broken"},
		Refused:  &refusedReport{*at(-2 * time.Hour), diskIsFull},
		Search:   searchReport{Behind: 1200, Lag: 1234, Bytes: 5 << 20},
	}
	got := strings.Join(statusLines(r, now), "\n")
	for _, want := range []string{
		"kaban 1.2.3, up 3d 2h, process 42\n",
		"  Listening     tcp://a:1\n                http://b:2\n",
		"  Clients       1,234 of at most 10,000: 1,200 over TCP, 0 over TLS, 34 over WebSocket\n",
		"  HTTP          12 connections, 1 stream of events\n",
		"  Search        1,200 entries behind, 1.23s, 5.0 MiB\n",
		"  Messages      1,234.5/s, 60,000 in the last minute, 7,654,321 since the start\n",
		", 2h ago: the disk is full\n",
		"  Journal       1 entry to merge, 4.0 MiB of files, 5.0 MiB of WAL\n",
		"  Database      3.0 GiB\n",
		"  Disk          4.0 GiB used by the data, 10.0 GiB of 40.0 GiB free (25 %)\n",
		"  Certificate   ends ", ", in 2d 2h\n",
		"  Backups       every 1d, 7 of at most 7 with 7.0 GiB in /mnt/b\n",
		", 1d 1h ago, with 1.0 GiB; next in 4m\n",
		"                dated in the future: x\n",
		"                FAILED 2 times: no room\n",
		"  Unknown       rooms: the store is broken",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	if strings.Contains(got, "\x1b") {
		t.Errorf("a control sequence reaches the terminal: %q", got)
	}
	if strings.Contains(got, "1,200\n") {
		t.Errorf("rooms that are unknown are counted: %s", got)
	}
	r.Certificate, r.Backup, r.Problems, r.Refused = nil, nil, nil, nil
	got = strings.Join(statusLines(r, now), "\n")
	if !strings.Contains(got, "  Rooms         1,200\n") {
		t.Errorf("no rooms: %s", got)
	}
	if strings.Contains(got, "REFUSED") {
		t.Errorf("messages are refused: %s", got)
	}
	if strings.Contains(got, "Certificate") || !strings.Contains(got, "none on a schedule") {
		t.Errorf("without certificate and backups: %s", got)
	}
}

// A status says of certificates when the first ends, when ACME is asked next, and what is
// wrong with each.
func TestCertLines(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	at := func(d time.Duration) *time.Time { t := now.Add(d); return &t }
	const day = 24 * time.Hour
	many := make([]certReport, 100)
	for i := range many {
		many[i] = certReport{Host: fmt.Sprintf("%d.example.org", i), Asking: true}
	}
	for name, c := range map[string]struct {
		end   *time.Time
		certs []certReport
		want  []string // one a line, what it ends with
	}{
		"no TLS":           {nil, nil, nil},
		"files":            {at(50 * time.Hour), []certReport{{NotAfter: at(50 * time.Hour)}}, []string{", in 2d 2h"}},
		"files have ended": {at(-2 * day), []certReport{{NotAfter: at(-2 * day)}}, []string{", 2d ago: clients refuse it"}},
		"files do not fit": {at(2 * day), []certReport{{NotAfter: at(2 * day), Error: "key.pem: no"}}, []string{", in 2d", "NOT REPLACED, the old one is in use: key.pem: no"}},
		"ACME":             {at(80 * day), []certReport{{Host: "a.example.org", NotAfter: at(80 * day), Next: at(50 * day)}}, []string{", in 80d; renewal in 50d"}},
		"ACME has not begun": {
			nil,
			[]certReport{{Host: "a.example.org"}},
			[]string{"  Certificate   none yet, so nobody can connect over TLS", "a.example.org: no certificate yet; it is not asked for yet"},
		},
		"ACME refuses": {
			at(8 * day),
			[]certReport{{Host: "a.example.org", NotAfter: at(8 * day), Next: at(3 * time.Hour), Failures: 7, Error: "the DNS has no such name"}, {Host: "b.example.org", NotAfter: at(9 * day), Next: at(day)}},
			[]string{", in 8d, the first of 2 by ACME", "a.example.org: FAILED 7 times: the DNS has no such name; next attempt in 3h"},
		},
		"one of two has none": {
			at(8 * day),
			[]certReport{{Host: "a.example.org", NotAfter: at(8 * day), Next: at(day)}, {Host: "b.example.org", Failures: 1, Error: "no", Asking: true}},
			[]string{", the first of 2 by ACME", "b.example.org: no certificate yet; FAILED 1 time: no; it is being asked for"},
		},
		"not stored": {
			at(80 * day),
			[]certReport{{Host: "a.example.org", NotAfter: at(80 * day), Next: at(50 * day), Error: "cannot be stored"}},
			[]string{", in 80d", "a.example.org: cannot be stored; next attempt in 50d"},
		},
		"many": {nil, many, []string{"none yet, so nobody can connect over TLS", "0.example.org: no certificate yet; it is being asked for", "", "", "", "", "and 95 more hosts with a problem (--json has them all)"}},
	} {
		got := certLines(&statusReport{Certificate: c.end, Certs: c.certs}, now)
		if len(got) != len(c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
			continue
		}
		for i, line := range got {
			if !strings.HasSuffix(line, c.want[i]) {
				t.Errorf("%s: %q, want %q", name, line, c.want[i])
			}
		}
	}
}

// On a terminal no state has more lines, or longer ones, than can be overwritten.
func TestFitted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.SliceOf(rapid.StringMatching(`[a-zé漢 ]{0,40}`)).Draw(t, "lines")
		width, height := rapid.IntRange(3, 60).Draw(t, "width"), rapid.IntRange(1, 30).Draw(t, "height")
		got := fitted(slices.Clone(lines), width, height)
		if len(got) > max(height-1, 1) {
			t.Errorf("%d lines for a height of %d", len(got), height)
		}
		for _, line := range got {
			if w := ansi.StringWidth(line); w >= width {
				t.Errorf("%q takes %d of %d", line, w, width)
			}
		}
	})
}

func TestNumbers(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{thousands(0), "0"},
		{thousands(999), "999"},
		{thousands(1000), "1,000"},
		{thousands(int64(1234567)), "1,234,567"},
		{thousands(-1234), "-1,234"},
		{decimal(0), "0.0"},
		{decimal(9.96), "10.0"},
		{decimal(12345.67), "12,345.7"},
		{counted(1, "room"), "1 room"},
		{counted(2000, "entry", "entries"), "2,000 entries"},
		{byteSize(0), "0 B"},
		{byteSize(1023), "1023 B"},
		{byteSize(1024), "1.0 KiB"},
		{byteSize(102350), "100 KiB"},
		{byteSize(1<<20 - 1), "1.0 MiB"},
		{byteSize(5 << 40), "5.0 TiB"},
		{duration(-time.Second), "0s"},
		{duration(59 * time.Second), "59s"},
		{duration(time.Hour), "1h"},
		{duration(61 * time.Minute), "1h 1m"},
		{duration(2000 * 24 * time.Hour), "2,000d"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

// A restore from a directory says which backup it takes, and warns of one that is older
// than the pauses between backups explain.
func TestRestoreSaysWhich(t *testing.T) {
	dir, now := t.TempDir(), time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	backupOf := func(day, hour int) string {
		return filepath.Join(dir, fmt.Sprintf("kaban-202611%02dT%02d0000Z.db", day, hour))
	}
	for _, path := range []string{backupOf(20, 3), backupOf(21, 3), backupOf(22, 3), backupOf(25, 3), backupOf(26, 3)} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		at, want, time, warning string
	}{
		{"", backupOf(26, 3), "2026-11-26 03:00:00", ""},
		{"1h", backupOf(26, 3), "2026-11-26 03:00:00", ""},
		{"2026-11-26", backupOf(26, 3), "2026-11-26 03:00:00", ""}, // today
		{"2026-11-27", backupOf(26, 3), "2026-11-26 03:00:00", "--at 2026-11-27 is still to come, so this is the newest backup"},
		{"2027-01-01T10:00", backupOf(26, 3), "2026-11-26 03:00:00", "--at 2027-01-01T10:00 is still to come"},
		{"2026-11-23T12:00", backupOf(22, 3), "2026-11-22 03:00:00", ""}, // one is skipped
		{"2026-11-24T23:00", backupOf(22, 3), "2026-11-22 03:00:00", "it is 2d 20h older than --at, and backups here are 1d apart"},
		{"2026-11-24", backupOf(22, 3), "2026-11-22 03:00:00", "it is 2d 20h older than --at"},
	} {
		command := restoreCommand{File: dir, At: &c.at}
		if c.at == "" {
			command.At = nil
		}
		path, choice, err := command.file(now)
		said := strings.Join(choice, "\n")
		if err != nil || path != c.want || !strings.Contains(said, "restoring "+c.want+", the backup of "+c.time) {
			t.Errorf("--at %q: %s, %q, %v", c.at, path, said, err)
		}
		if !strings.Contains(said, c.warning) || strings.Contains(said, "warning") != (c.warning != "") {
			t.Errorf("--at %q: %q, want %q", c.at, said, c.warning)
		}
	}
	path, choice, err := (&restoreCommand{File: backupOf(20, 3)}).file(now)
	if path != backupOf(20, 3) || choice != nil || err != nil {
		t.Errorf("a file: %s, %q, %v", path, choice, err)
	}
	for _, later := range []string{backupOf(21, 3), backupOf(22, 3), backupOf(25, 3), backupOf(26, 3)} {
		if err := os.Remove(later); err != nil {
			t.Fatal(err)
		}
	}
	if _, choice, err := (&restoreCommand{File: dir, At: new("1h")}).file(now); len(choice) != 1 || err != nil {
		t.Errorf("one backup has no usual pause: %q, %v", choice, err)
	}
}

// A date alone means the whole day.
func TestParseAt(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"12h":              now.Add(-12 * time.Hour),
		"7d":               now.AddDate(0, 0, -7),
		"2026-11-25":       time.Date(2026, 11, 25, 23, 59, 59, 0, time.UTC),
		"2026-11-25T14:30": time.Date(2026, 11, 25, 14, 30, 0, 0, time.UTC),
	} {
		if got, err := parseAt(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: got %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "soon", "120", "-1h"} {
		if _, err := parseAt(text, now); err == nil || !strings.Contains(err.Error(), "--at") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
