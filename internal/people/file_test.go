package people

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"kaban/internal/store"
)

// countedFiles are what Blobs and Usages must have for some files, and blobs without any.
func countedFiles(files map[string]File, sizes map[string]int64) (references, bytes map[string]int64) {
	references, bytes = make(map[string]int64), make(map[string]int64)
	for hash, size := range sizes {
		references[hash] = 0
		bytes[ServerUsage] += size
	}
	for _, f := range files {
		references[f.Hash]++
		bytes[f.Owner] += f.Size
	}
	return references, bytes
}

// Whatever is added, claimed, removed and forgotten, references and bytes are those of the files
// that there are, and each index finds what it should.
func TestFilesAreCountedExactly(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tx := documents{}
		files, sizes := make(map[string]File), make(map[string]int64)
		ok := func(err error) {
			if err != nil {
				rt.Fatal(err)
			}
		}
		id := rapid.SampledFrom([]string{"a", "b", "c", "d", "e"})
		for range rapid.IntRange(1, 30).Draw(rt, "steps") {
			f, known := files[id.Draw(rt, "id")]
			switch rapid.IntRange(0, 4).Draw(rt, "do") {
			case 0, 1:
				f = File{ID: id.Draw(rt, "new"), Owner: rapid.SampledFrom([]string{"ann", "bob"}).Draw(rt, "owner"), Time: rapid.Int64Range(0, 20).Draw(rt, "time")}
				f.Hash = rapid.SampledFrom([]string{"x", "yy", "zzz"}).Draw(rt, "hash")
				f.Size = int64(len(f.Hash))
				err := Files.Add(tx, &f)
				if _, taken := files[f.ID]; taken {
					if !errors.Is(err, ErrExists) {
						rt.Fatalf("an id that is used: %v", err)
					}
					continue
				}
				ok(err)
				files[f.ID], sizes[f.Hash] = f, f.Size
			case 2:
				if known {
					f.Room, f.Seq = rapid.SampledFrom([]string{"lobby", "plans"}).Draw(rt, "room"), rapid.Uint64Range(1, 3).Draw(rt, "seq")
					ok(Files.Put(tx, &f))
					files[f.ID] = f
				}
			case 3:
				gone := id.Draw(rt, "gone")
				ok(Files.Remove(tx, gone))
				delete(files, gone)
			case 4:
				unused, _, err := Blobs.Unused(tx, "", 10)
				ok(err)
				for _, b := range unused {
					ok(Blobs.Forget(tx, b.Hash))
					delete(sizes, b.Hash)
				}
			}
			compareFiles(rt, tx, files, sizes)
		}
	})
}

func compareFiles(t *rapid.T, tx store.Tx, files map[string]File, sizes map[string]int64) {
	references, bytes := countedFiles(files, sizes)
	for _, hash := range []string{"x", "yy", "zzz"} {
		b, err := Blobs.Get(tx, hash)
		if n, known := references[hash]; known != (err == nil) || b.References != n {
			t.Fatalf("the blob %s is %+v, %v; want %d references", hash, b, err, n)
		}
		if found, _, err := Files.With(tx, hash, 10); err != nil || int64(len(found)) != references[hash] {
			t.Fatalf("with %s are %+v, %v", hash, found, err)
		}
		if err := Blobs.Forget(tx, hash); references[hash] > 0 && !errors.Is(err, ErrExists) {
			t.Fatalf("a blob that is used is forgotten: %v", err)
		} else if _, known := references[hash]; known && references[hash] == 0 { // put it back
			if err := errors.Join(err, Blobs.Put(tx, &b), Usages.add(tx, ServerUsage, b.Size, 1)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, account := range []string{"ann", "bob", ServerUsage} {
		if u, err := Usages.Of(tx, account); err != nil || u.Bytes != bytes[account] {
			t.Fatalf("%s has %+v, %v; want %d bytes", account, u, err, bytes[account])
		}
	}
	want := make(map[string][]string)
	for id, f := range files {
		names := []string{"of " + f.Owner, fmt.Sprint("of ", f.Room, " ", f.Seq)}
		if f.IsLoose() && f.Time < 10 {
			names[1] = "loose"
		}
		for _, name := range names {
			want[name] = append(want[name], id)
		}
	}
	find := func(name string, found []File, _ bool, err error) {
		var ids []string
		for _, f := range found {
			ids = append(ids, f.ID)
		}
		slices.Sort(ids)
		if slices.Sort(want[name]); err != nil || !slices.Equal(ids, want[name]) {
			t.Fatalf("%s are %v, %v; want %v", name, ids, err, want[name])
		}
	}
	for _, account := range []string{"ann", "bob"} {
		found, more, err := Files.Of(tx, account, "", 10)
		find("of "+account, found, more, err)
	}
	for _, room := range []string{"lobby", "plans"} {
		for seq := range uint64(3) {
			found, err := Files.OfMessage(tx, room, seq+1)
			find(fmt.Sprint("of ", room, " ", seq+1), found, false, err)
		}
	}
	found, more, err := Files.Loose(tx, 10, 10)
	find("loose", found, more, err)
}

func TestFilesOfAnAccountInPages(t *testing.T) {
	tx := documents{}
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		if err := Files.Add(tx, &File{ID: id, Owner: "ann", Hash: id, Size: 1}); err != nil {
			t.Fatal(err)
		}
	}
	var ids []string
	for after, more := "", true; more; {
		var page []File
		var err error
		if page, more, err = Files.Of(tx, "ann", after, 2); err != nil || len(page) == 0 || len(page) > 2 {
			t.Fatalf("%+v, %v", page, err)
		}
		for i := range page {
			ids, after = append(ids, page[i].ID), page[i].ID
		}
	}
	if !slices.Equal(ids, []string{"a", "b", "c", "d", "e"}) {
		t.Errorf("the pages have %v", ids)
	}
	if err := Files.Add(tx, &File{ID: "f", Owner: "ann", Hash: "a", Size: 2}); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("a blob with another size: %v, want %v", err, store.ErrDamaged)
	}
}

// Documents of files and blobs are found among others, entries of their indexes too.
func TestParseFilesAndBlobs(t *testing.T) {
	tx := documents{}
	if err := errors.Join(Files.Add(tx, &File{ID: "a", Owner: "ann", Hash: "x", Size: 3}), Settings.Put(tx, &Setting{Key: "k", Value: "v"})); err != nil {
		t.Fatal(err)
	}
	var files []File
	var blobs []Blob
	for key, value := range tx {
		d := store.Document{Key: key, Value: value}
		f, isFile, err := ParseFile(&d)
		b, isBlob, also := ParseBlob(&d)
		if err := errors.Join(err, also); err != nil {
			t.Errorf("%s: %v", key, err)
		}
		if isFile {
			files = append(files, f)
		}
		if isBlob {
			blobs = append(blobs, b)
		}
	}
	if len(files) != 1 || files[0].ID != "a" || len(blobs) != 1 || blobs[0] != (Blob{"x", 3, 1}) {
		t.Errorf("found %+v and %+v", files, blobs)
	}
	if _, ok, err := ParseBlob(&store.Document{Key: store.Key(Blobs.name, "y"), Value: []byte("{")}); !ok || !errors.Is(err, store.ErrDamaged) {
		t.Errorf("a damaged blob: %v, %v", ok, err)
	}
}
