package sqlite

import (
	"os"
	"sync/atomic"

	"kaban/internal/store"
)

// shown are the sizes of the journal after the last COMMIT, for readers that do not
// wait for the writer.
type shown struct{ entries, weight, bytes atomic.Int64 }

func (d *database) show() {
	d.shown.entries.Store(int64(len(d.unmerged.keys)))
	d.shown.weight.Store(int64(d.unmerged.weight))
	d.shown.bytes.Store(int64(d.unmerged.bytes))
}

// files are the suffixes of the names of a database's files.
var files = map[string]string{"database": "", "wal": "-wal"}

// Size implements store.Watched. A file that is not there has no bytes.
func (s *Store) Size() store.Size {
	size := store.Size{
		JournalEntries: s.shown.entries.Load(), JournalBytes: s.shown.bytes.Load(),
		Files: make(map[string]int64, len(files)+1),
	}
	size.Files["journal"] = s.journal.Size()
	for name, suffix := range files {
		size.Files[name] = 0
		if info, err := os.Stat(s.path + suffix); err == nil {
			size.Files[name] = info.Size()
		}
	}
	return size
}
