//go:build unix

package keep

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"kaban/internal/childtest"
	"kaban/internal/files"
	"kaban/internal/files/upload"
	"kaban/internal/people"
	"kaban/internal/store"
	"kaban/internal/store/sqlite"
)

// killedVariable makes TestKilledChild keep files in the directory that it names.
const killedVariable = "KEEP_TEST_KILLED"

// killedBytes are those of the nth upload. Every third has the bytes of the one before.
func killedBytes(n int) []byte { return fmt.Appendf(nil, "upload %d", (n+2)/3*3) }

// openDisk opens a world over a directory that one before may have used.
func openDisk(t *testing.T, dir string) *world {
	t.Helper()
	documents, err := sqlite.Open(t.Context(), dir, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := open(t, dir, documents, nil)
	var found *people.Account
	err = documents.View(t.Context(), func(tx store.Tx) error {
		list, _, err := people.Accounts.InOrder(tx, "", 1)
		if err == nil && len(list) > 0 {
			found = &list[0]
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if found == nil {
		w.claim()
	} else {
		w.be(found)
	}
	return w
}

// TestKilledChild uploads files one after the other, as the handler of tus does.
func TestKilledChild(t *testing.T) {
	dir := os.Getenv(killedVariable)
	if dir == "" {
		t.Skip("not a child")
	}
	w := openDisk(t, dir)
	for n := range 20 {
		data := killedBytes(n)
		info, err := w.staging.Create(upload.Draft{Owner: w.ownerID, Length: int64(len(data)), Name: fmt.Sprint(n)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.staging.Append(t.Context(), info.ID, 0, bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
		fmt.Println("uploaded", info.ID)
		w.deliver(info.ID)
	}
}

// deliver has an upload kept and settled.
func (w *world) deliver(id string) (f people.File) {
	w.Helper()
	_, err := w.staging.Deliver(w.Context(), id, func(info upload.Info, staged files.Staged) (_ map[string]string, err error) {
		f, err = w.keeper.Keep(w.Context(), w.owner, info, staged)
		return map[string]string{"Kaban-File": f.ID}, err
	})
	if err != nil {
		w.Fatal(err)
	}
	return f
}

// Whenever the process is killed, every file has its bytes. The client that comes back gets one
// file for its upload; if it does not, nothing is left of the bytes.
func TestKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds a program")
	}
	fragile := childtest.NewFragile(t)
	for _, point := range []string{"keep.prepared:3", "blob.linked:3", "blob.filled:3", "blob.renamed:2", "keep.added:3", "keep.registered:3", "upload.settling:3"} {
		for _, back := range []bool{true, false} {
			t.Run(fmt.Sprint(point, " and the client is back: ", back), func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "data")
				if err := os.Mkdir(dir, 0o700); err != nil {
					t.Fatal(err)
				}
				fragile.Killed(t, "TestKilledChild", killedVariable+"="+dir, point)
				w := openDisk(t, dir)
				w.check("after the kill", false)
				uploads := w.staging.All()
				for _, info := range uploads {
					switch {
					case back && !info.Settled:
						first := w.deliver(info.ID)
						if string(w.kept(&first)) != string(killedBytes(len(uploads)-1)) {
							t.Errorf("the file of the upload has other bytes")
						}
					case !info.Settled:
						if err := w.staging.Remove(info.ID); err != nil {
							t.Fatal(err)
						}
					}
				}
				if err := w.keeper.Sweep(t.Context(), w.chat.SweepBlob); err != nil {
					t.Fatal(err)
				}
				w.check("after the sweep", true)
				settled := 0
				for _, info := range w.staging.All() {
					if info.Settled {
						settled++
					}
				}
				if u := w.used(w.ownerID); back && int(u.Files) != len(uploads) || int(u.Files) < settled {
					t.Errorf("the account has %+v of %d uploads", u, len(uploads))
				}
			})
		}
	}
}

// check compares files and blobs: every file has good bytes, and if all is said to be swept, all
// bytes have a file.
func (w *world) check(when string, swept bool) {
	w.Helper()
	hashes := make(map[string]bool)
	err := w.store.View(w.Context(), func(tx store.Tx) error {
		return people.Files.All(tx, func(f *people.File) bool {
			hashes[f.Hash] = true
			hash, err := files.ParseHash(f.Hash)
			if err != nil {
				w.Fatal(err)
			}
			state, err := files.Check(w.Context(), w.blobs, files.Key{Hash: hash}, f.Size)
			if err != nil || state != files.Good {
				w.Errorf("%s: the bytes of %s are %s, %v", when, f.Name, state, err)
			}
			return true
		})
	})
	if err != nil {
		w.Fatal(err)
	}
	if got := len(w.all()); swept && got != len(hashes) {
		w.Errorf("%s there are %d blobs for %d hashes", when, got, len(hashes))
	}
}
