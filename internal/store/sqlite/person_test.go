package sqlite

import "testing"

// exportedColumns says of every column of the database how an export has what is in it, of
// everything and of one person. A column that says something about somebody, and is in no
// record and no document, would be missing in both.
var exportedColumns = map[string]string{
	"store.id": server, "store.epoch": server, "store.created": server, "store.sum": sums,

	"documents.key": "store.Document", "documents.value": "store.Document", "documents.sum": sums,

	"rooms.id": numbers, "rooms.key": numbers, "rooms.name": "store.Record", "rooms.head": computed, "rooms.sum": sums, "rooms.revision": server,
	"rooms.messages": computed, "rooms.cut": "store.Front", "rooms.cut_messages": "store.Front",
	"users.id": numbers, "users.key": "store.Record", "users.name": "store.Record", "users.sum": sums,

	"entries.place": "store.Record", "entries.time": "store.Record", "entries.kind": "store.Record", "entries.user": "store.Record",
	"entries.username": "store.Record", "entries.id": "store.Record", "entries.content": "store.Record", "entries.target": "store.Record", "entries.files": "store.Record", "entries.sum": sums,
	"unmerged.batch": numbers, "unmerged.time": "store.Record", "unmerged.entries": "store.Record", "unmerged.sum": sums,

	"states.place": computed, "states.edited": computed, "states.edited_time": computed, "states.deleted": computed, "states.deleted_time": computed,
	"states.pinned": computed, "states.pinned_time": computed, "states.replies": computed, "states.sum": sums,
	"reactions.place": computed, "reactions.emoji": computed, "reactions.first": computed, "reactions.people": computed, "reactions.sum": sums,
	"originals.place": originals, "originals.hash": originals, "originals.older": originals, "originals.sum": sums,
	"noops.room": noops, "noops.user": noops, "noops.id": noops, "noops.seq": noops, "noops.time": noops, "noops.kind": noops, "noops.target": noops,
	"noops.content": noops, "noops.sum": sums,

	"written.room": computed, "written.user": computed, "written.messages": computed, "written.last": computed, "written.sum": sums,
	"written.cut_messages": "store.Front, and not that of one person: it counts what is gone", "written.cut": "store.Front",

	"mentions.account": mentions, "mentions.place": mentions, "mentions.cause": mentions, "mentions.user": mentions, "mentions.time": mentions,
	"mentions.online": mentions, "mentions.sum": sums,

	"progress.id": server, "progress.salt": server, "progress.closed": server, "progress.merged": server, "progress.batch": server,
	"progress.last": server, "progress.sum": sums,
	"erasing.id": server, "erasing.due": server, "erasing.done": server, "erasing.swept": server, "erasing.sum": sums,
	"runs.place": numbers, "runs.last": numbers, "runs.sum": sums,
	"unledgered.place": server, "unledgered.sum": sums,
}

const (
	server    = "it is about the file, not about anybody"
	numbers   = "it refers from one table to another one"
	sums      = "it is a checksum of the row"
	computed  = "it is computed from records"
	originals = "it is a hash of a text that somebody has replaced, and only compared"
	noops     = "it says which id somebody used for what was so already, and is only compared"
	mentions  = "it says which messages of others name an account; they are those of others, and it is forgotten after 90 days"
)

func TestEveryColumnIsExportedOrNotAPersons(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	columns, err := lines(t.Context(), s.writer, "SELECT m.name || '.' || c.name FROM sqlite_schema m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'")
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]bool)
	for _, column := range columns {
		if found[column] = true; exportedColumns[column] == "" {
			t.Errorf("does an export have what is in %s, and one of a person what is theirs?", column)
		}
	}
	for column := range exportedColumns {
		if !found[column] {
			t.Errorf("there is no column %s", column)
		}
	}
}
