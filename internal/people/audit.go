package people

import (
	"strings"

	"kaban/internal/store"
)

// Audit says who did what to whom. It has no secrets and no contents.
type Audit struct {
	Time    int64  `json:"time"`
	ID      string `json:"id"`              // unique, random
	Actor   string `json:"actor,omitempty"` // the id of an identity; empty is the operator
	Name    string `json:"name,omitempty"`  // of the actor, then
	Action  string `json:"action"`
	Subject string `json:"subject,omitempty"` // a username, or the id of an invite, a device …
	Room    string `json:"room,omitempty"`
	Address string `json:"address,omitempty"`
	Detail  string `json:"detail,omitempty"`
	Count   int    `json:"count,omitempty"` // of the same within an hour
}

// Audits has all rows of the audit, by time.
var Audits = audits{Table[Audit]{
	name: "audit",
	key:  func(a *Audit) []string { return []string{stamp(a.Time), a.ID} },
}}

type audits struct{ Table[Audit] }

// Since returns up to limit rows, the oldest first, from a time on or from behind
// a row.
func (t *audits) Since(tx store.Tx, time int64, after *Audit, limit int) (found []Audit, more bool, err error) {
	from := []string{stamp(time)}
	if after != nil {
		from = t.key(after)
	}
	return t.List(tx, nil, from, limit)
}

// Before returns up to limit rows, the newest first, that are not older than a time and come
// before a row, or before another time if that is not 0.
func (t *audits) Before(tx store.Tx, time, to int64, before *Audit, limit int) (found []Audit, more bool, err error) {
	end := ""
	switch {
	case before != nil:
		end = t.document(t.key(before))
	case to != 0:
		end = t.document([]string{stamp(to)})
	}
	list, more, err := scanBack(tx, t.document(nil), t.document([]string{stamp(time)}), end, limit)
	if err != nil {
		return nil, false, err
	}
	found, err = t.decodeAll(list)
	return found, more, err
}

// At returns the row with a time and an id.
func (t *audits) At(tx store.Tx, time int64, id string) (Audit, error) {
	return t.Get(tx, stamp(time), id)
}

// Remove removes a row, if there is one.
func (t *audits) Remove(tx store.Tx, row *Audit) error {
	return t.Delete(tx, t.key(row)...)
}

// IsAudit reports whether the document with a key is a row of the audit.
func IsAudit(key string) bool {
	table, _, _ := strings.Cut(key, "/")
	return table == Audits.name
}

// ParseAudit returns the row that a document is for which IsAudit reports true.
func ParseAudit(d *store.Document) (Audit, error) { return Audits.decode(d.Value) }

// Setting is a setting of the server that its owner can change while it runs.
type Setting struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// The keys of settings that decide who may do what. Package account has their values
// and defaults.
const (
	SettingAccess        = "access"
	SettingCreateRooms   = "create_rooms"
	SettingInviteMembers = "invite_members"
	SettingAutoJoin      = "auto_join"
)

// Settings has all settings that are not at their defaults.
var Settings = Table[Setting]{
	name: "setting",
	key:  func(s *Setting) []string { return []string{s.Key} },
}
