package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kaban"
	"kaban/internal/people"
	"kaban/internal/store"
	"kaban/internal/store/storetest"
)

// inhabited returns the data directory of a closed store with accounts that are members of a room and have written.
func inhabited(t *testing.T, accounts int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	s, err := openImporter(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	room := people.Room{Key: "ops", Name: "ops", Kind: kaban.RoomPrivate}
	var records []store.Record
	for i := range accounts {
		a := people.Account{ID: fmt.Sprintf("id%03d", i), Username: fmt.Sprintf("Ann%d", i), Role: kaban.RoleMember, Status: people.StatusActive}
		err := s.Update(t.Context(), func(tx store.Tx) error {
			if err := people.Accounts.Put(tx, &a); err != nil {
				return err
			}
			if err := people.Credentials.Put(tx, &people.Credential{Kind: people.CredentialPassword, ID: a.ID, Account: a.ID}); err != nil {
				return err
			}
			return people.Enter(tx, "epoch", &room, &people.Member{Room: "ops", Account: a.ID, Role: kaban.RoomRoleMember})
		})
		if err != nil {
			t.Fatal(err)
		}
		by, err := a.Identity()
		if err != nil {
			t.Fatal(err)
		}
		d := storetest.Draft(t, "ops", "x", fmt.Sprint("m", i), strings.Repeat("text ", 20))
		d.Author = by
		records = append(records, store.Record{Draft: d, Seq: uint64(i + 1), Time: int64(1000 + i)})
	}
	if _, err := s.Import(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// zeroPages overwrites the pages of a database of a type that have a text, and returns how many.
func zeroPages(t *testing.T, dir string, kind byte, text string) (n int) {
	t.Helper()
	const size = 4096
	path := filepath.Join(dir, "kaban.db")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := size; at < len(content); at += size {
		if p := content[at : at+size]; p[0] == kind && bytes.Contains(p, []byte(text)) {
			clear(p)
			n++
		}
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return n
}

// An export of a database with damaged pages names them, and an import makes good what it lacks: a check says that the
// result is sound, accounts are there with their passwords and memberships, and the room stays private.
func TestSavingDamagedPages(t *testing.T) {
	const accounts = 120
	for name, c := range map[string]struct {
		kind      byte
		text      string
		want, not string // of the import
	}{
		"accounts": {kind: 10, text: "account/id007", want: "made anew with name and role"},
		"names":    {kind: 10, text: "account.name/annlo", want: "can be found again"},
		"members":  {kind: 10, text: "member/ops/id010", want: "left out because of what is missing"},
		"rooms":    {kind: 10, text: "room/ops", want: "private rooms or direct ones: ops"},
		"authors":  {kind: 13, text: "account:id010", not: "lacks"},
		"the log":  {kind: 13, text: "opsops", not: "lacks"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, file, to := inhabited(t, accounts), filepath.Join(t.TempDir(), "all.jsonl"), filepath.Join(t.TempDir(), "new")
			if n := zeroPages(t, dir, c.kind, c.text); n == 0 {
				t.Fatalf("no page of type %d has %q", c.kind, c.text)
			}
			var out, complaints bytes.Buffer
			code := run([]string{"export", "--no-audit", "--data", dir}, streams{in: strings.NewReader(""), out: &out, err: &complaints})
			if n := strings.Count(out.String(), `"type":"entry"`); n != accounts {
				t.Errorf("%d of %d messages are exported", n, accounts)
			}
			lost := c.kind == 10 || name == "the log"
			if (code == exitFailed) != lost || lost && !strings.Contains(complaints.String(), "everything else is exported") {
				t.Errorf("exit code %d, and it says\n%s", code, &complaints)
			}
			if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
			complaints.Reset()
			code = run([]string{"import", "--fill-gaps", "--data", to, file}, streams{in: strings.NewReader(""), out: &out, err: &complaints})
			if code != exitDone || !strings.Contains(complaints.String(), c.want) || c.not != "" && strings.Contains(complaints.String(), c.not) {
				t.Errorf("the import ends with %d, and says\n%s", code, &complaints)
			}
			wantRun(t, exitDone, []string{"all is sound"}, "check", "--data", to)
			wantInhabited(t, to, accounts, name == "members" || name == "rooms")
		})
	}
}

// wantInhabited fails unless a directory has the accounts of inhabited, perhaps without memberships.
func wantInhabited(t *testing.T, dir string, accounts int, fewer bool) {
	t.Helper()
	s, err := openImporter(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err = s.View(t.Context(), func(tx store.Tx) error {
		found, _, err := people.Accounts.InOrder(tx, "", 2*accounts)
		if err != nil || len(found) != accounts {
			return fmt.Errorf("%d of %d accounts: %w", len(found), accounts, err)
		}
		for i := range found {
			if kept, _, err := people.Credentials.Of(tx, found[i].ID, people.CredentialPassword, 2); err != nil || len(kept) != 1 || !strings.HasPrefix(found[i].Username, "Ann") {
				t.Errorf("%s has %d passwords, %v", found[i].Username, len(kept), err)
			}
		}
		r, stored, err := people.Rooms.Known(tx, storetest.RoomName(t, "ops"))
		if err != nil || !stored || r.Kind != kaban.RoomPrivate || r.Members != accounts && !fewer {
			t.Errorf("the room is %+v, %v", r, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// A check names what refers to an account that is missing, and what an import filled in.
func TestACheckNamesWhatIsMissing(t *testing.T) {
	dir := inhabited(t, 3)
	s, err := openImporter(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.Delete("account/id001") }); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantRun(t, exitFailed, []string{`the document "account.name/annl" refers to "account/id001", which is missing`, `"member/ops/id001" belongs to "account/id001"`, "5 documents of", "--fill-gaps"}, "check", "--data", dir)
	to := filepath.Join(t.TempDir(), "data")
	wantRun(t, exitDone, nil, "import", "--data", to, "--fill-gaps", gapped(t, 3, 4))
	wantRun(t, exitDone, []string{"complete, but for 2 entries lost before and void since an import", "3 messages in 1 room"}, "check", "--data", to)
}

// An import that has mended something and is repeated says that it cannot be, and what to do.
func TestAMendedImportIsNotRepeated(t *testing.T) {
	dir, to, file := inhabited(t, 3), filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "all.jsonl")
	s, err := openImporter(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.Delete("member/ops/id001") }); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var out, complaints bytes.Buffer
	if code := run([]string{"export", "--no-audit", "--data", dir}, streams{in: strings.NewReader(""), out: &out, err: &complaints}); code != exitDone {
		t.Fatalf("the export ends with %d: %s", code, &complaints)
	}
	if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	wantRun(t, exitDone, []string{"left out because of what is missing"}, "import", "--data", to, "--fill-gaps", file)
	code, said := ran("import", "--data", to, "--fill-gaps", file)
	if code != exitFailed || !strings.Contains(said, "was mended or changed since, import it into an empty directory") || strings.Contains(said, "again is safe") {
		t.Errorf("once more: exit code %d: %s", code, said)
	}
	wantRun(t, exitDone, []string{"all is sound"}, "check", "--data", to)
}

// An export and an import without --files say what they do not carry.
func TestExportAndImportNameFilesLeftBehind(t *testing.T) {
	dir, to, lines := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "lines")
	s, err := openImporter(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	d := storetest.Draft(t, "lobby", "ann", "m", "look")
	d.Files = storetest.Files(t, "a.png", "b.png")
	if _, err := s.Import(t.Context(), []store.Record{{Draft: d, Seq: 1, Time: 1}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var out, complaints bytes.Buffer
	run([]string{"export", "--data", dir}, streams{in: strings.NewReader(""), out: &out, err: &complaints})
	if want := `the messages have 2 files, which are not in an export; "kaban export --files DIR"`; !strings.Contains(complaints.String(), want) {
		t.Errorf("the export says %q, want %q", &complaints, want)
	}
	if err := os.WriteFile(lines, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	wantRun(t, exitDone, []string{`the messages have 2 files, which are not imported; "kaban import --files DIR"`}, "import", "--data", to, lines)
}

// An error of a download names the file that was meant, and not a draft.
func TestSaveFileNamesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nowhere", "cat.png")
	err := saveFile(path, false, func(io.Writer) error { return nil })
	if err == nil || !strings.Contains(err.Error(), path+" cannot be written") || strings.Contains(err.Error(), ".part") || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// Who signs in is not guessed where nothing says it.
func TestLoginNameIsNotGuessed(t *testing.T) {
	t.Setenv("USER", "")
	t.Setenv("LOGNAME", "")
	if name := loginName(); name != "" {
		t.Errorf("the login name is %q", name)
	}
	c := loginCommand{}
	if _, _, err := c.byPassword(t.Context(), "tcp://127.0.0.1:1", streams{}); err == nil || !strings.Contains(err.Error(), "--username NAME") {
		t.Errorf("got %v", err)
	}
	if names := ownNames(); names[0] != "guest" {
		t.Errorf("a visitor is %q", names)
	}
}
