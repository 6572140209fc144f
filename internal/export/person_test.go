package export

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"kaban"
	"kaban/internal/people"
	"kaban/internal/store"
)

// leftOut are the fields of a person's documents that an export of the person does not have,
// each with the reason. The keys are those of samples, and names in JSON.
var leftOut = map[string]string{
	"account.creator":         "whoever made the account is somebody else",
	"bot.bot":                 "it is the type of the line",
	"bot.creator":             "a bot is made by its owner or an admin, who is somebody else",
	"bot.groups":              "no provider knows bots",
	"bot.keywords":            "an export of the bot has it",
	"bot.quiet.from":          "an export of the bot has it",
	"bot.quiet.to":            "an export of the bot has it",
	"bot.quiet.zone":          "an export of the bot has it",
	"bot.quiet.days":          "an export of the bot has it",
	"bot.quiet.until":         "an export of the bot has it",
	"bot.level":               "an export of the bot has it",
	"bot.push_hint":           "a bot has no browser",
	"push.endpoint":           "the host of it is in the line, and the rest is a secret",
	"push.p256dh":             "it is a key",
	"push.auth":               "it is a secret",
	"bot.away.away":           "an export of the bot has it",
	"bot.away.text":           "an export of the bot has it",
	"bot.away.until":          "an export of the bot has it",
	"password.id":             "it is the id of the account",
	"password.data":           "it is the hash of the password",
	"passkey.id":              "it is a hash",
	"passkey.data":            "it is the key, and counters of the authenticator",
	"recovery.id":             "it is the hash of the code",
	"recovery.data":           "a recovery code has none",
	"email.id":                "it is a hash",
	"email.data":              "an address has none",
	"oidc.id":                 "it is a hash of what the line has",
	"identity.email":          "it is a hash",
	"device.hash":             "it is the hash of the secret",
	"token.hash":              "it is the hash of the secret",
	"invite.hash":             "it is the hash of the link's token",
	"link.hash":               "it is the hash of the link's token",
	"link.creator":            "whoever made a link into the account is somebody else",
	"hook.hash":               "it is the hash of the hook's key",
	"member.name":             "the room has it",
	"member.counted.messages": "it is computed from what was read",
	"member.counted.own":      "it is computed from what was read",
	"member.counted.epoch":    "it says for which log the counts hold",
	"room.flags":              "they are the room's",
	"room.topic":              "it is the room's",
	"room.history":            "it is the room's",
	"room.people":             "a membership has them",
	"room.members":            "it is the room's",
	"room.turnover":           "it is the room's",
	"restriction.along":       "they are networks and names that others may have, too",
	"restriction.by":          "whoever did it is somebody else",
	"was.along":               "they are networks and names that others may have, too",
	"was.by":                  "whoever did it is somebody else",
	"erasure.authors":         "they go when it is done",
	"erasure.until":           "it goes when it is done",
	"erasure.room":            "it is how far the server is with it",
	"erasure.deleted":         "it is how far the server is with it",
	"erasure.counted":         "it is how far the server is with it",
	"erasure.audited":         "it is how far the server is with it",
	"erasure.version":         "it is of the server, not of the person",
	"file.room_name":          "the room has it",
	"own.id":                  "it tells rows apart that have the same time",
	"about.id":                "it tells rows apart that have the same time",
	"about.name":              "whoever did it is somebody else",
	"about.actor":             "whoever did it is somebody else",
	"about.address":           "it is that of somebody else",
}

// impersonal are the types of documents that have nothing of a person.
var impersonal = map[string]string{
	"Ticket":    "it is of use for minutes, and not part of any export",
	"Task":      "it is done within seconds, and what it does are entries and memberships",
	"Setting":   "it is the server's",
	"Retention": "it is a room's",
	"Cut":       "it is a room's",
	"Clock":     "it is the server's",
	"Upgrade":   "it is the server's",
	"Blob":      "it is the bytes of files, which a line about a file names",
	"Usage":     "it is computed from files",
	"Node":      "it is a server",
	"Job":       "it is a server's",
	"Visit":     "it is gone with the connection of a visitor",
}

// writable is a transaction of a test.
type writable map[string][]byte

func (w writable) documents() (all Documents) {
	for _, key := range slices.Sorted(maps.Keys(w)) {
		all = append(all, store.Document{Key: key, Value: w[key]})
	}
	return all
}

func (w writable) Get(key string) ([]byte, error)         { return w[key], nil }
func (w writable) GetAll(keys []string) ([][]byte, error) { return w.documents().GetAll(keys) }

func (w writable) Put(key string, value []byte) error      { w[key] = slices.Clone(value); return nil }
func (w writable) Delete(key string) error                 { delete(w, key); return nil }
func (w writable) Bump(kaban.RoomName) error               { return nil }
func (w writable) Head(kaban.RoomName) (uint64, error)     { return 0, errNoLog }
func (w writable) Revision(kaban.RoomName) (uint64, error) { return 0, errNoLog }
func (w writable) Counts(kaban.RoomName, string) (store.Counts, error) {
	return store.Counts{}, errNoLog
}

func (w writable) Scan(from, to string, limit int) ([]store.Document, error) {
	return w.documents().Scan(from, to, limit)
}

func (w writable) ScanBack(from, to string, limit int) ([]store.Document, error) {
	return w.documents().ScanBack(from, to, limit)
}

// Ids of accounts, and of what they have.
const (
	annID, bobID, botID = "ANN", "BOB", "BOT"
	annsVisitor         = "visitor:annie"
)

// sample is a document of ann: a pointer to a value with every field set, and how it is
// stored.
type sample struct {
	value any
	put   func(tx store.Tx) error
}

// samples returns a document of every kind that ann may have, by the names of leftOut.
func samples() map[string]sample {
	quiet := func() *people.Quiet {
		return &people.Quiet{From: "22:00", To: "07:00", Zone: "Europe/Prague", Days: []string{"mon"}, Until: 1_790_000_000_001}
	}
	away := func() *people.Away { return &people.Away{Away: true, Text: "lunch", Until: 1_790_000_000_002} }
	all := make(map[string]sample)
	accountOf := func(name string, a people.Account) {
		a.Role, a.Status, a.Reason, a.Name = kaban.RoleMember, people.StatusActive, "a reason", "A Name"
		a.Created, a.Creator, a.Groups = 1_780_000_000_000, bobID, []string{"staff"}
		a.Notifications = people.Notifications{Keywords: []string{"lunch"}, Quiet: quiet(), Level: kaban.NotifyAll}
		a.PushHint, a.Away = true, away()
		all[name] = sample{&a, func(tx store.Tx) error { return people.Accounts.Put(tx, &a) }}
	}
	accountOf("account", people.Account{ID: annID, Username: "ann", Owner: "", Bot: false})
	accountOf("bot", people.Account{ID: botID, Username: "ci", Owner: annID, Bot: true})
	for _, kind := range []people.CredentialKind{people.CredentialPassword, people.CredentialPasskey, people.CredentialRecovery, people.CredentialEmail, people.CredentialOIDC} {
		c := people.Credential{
			Kind: kind, ID: "id of " + string(kind), Account: annID, Name: "my " + string(kind), Data: json.RawMessage(`{"secret":"argon2"}`),
			Created: 1_781_000_000_000, Used: 1_781_000_000_001,
		}
		if kind == people.CredentialOIDC {
			who := people.ProviderIdentity{
				Issuer: "https://id.example.org", Subject: "4711", Claim: "sub", Made: true, Given: kaban.RoleAdmin, Before: kaban.RoleGuest, Email: "a hash",
			}
			put := func(tx store.Tx) error {
				if err := c.SetIdentity(who); err != nil {
					return err
				}
				return people.Credentials.Put(tx, &c)
			}
			all["identity"] = sample{&who, put}
			all["oidc"] = sample{&c, put}
			continue
		}
		all[string(kind)] = sample{&c, func(tx store.Tx) error { return people.Credentials.Put(tx, &c) }}
	}
	for _, kind := range []people.SecretKind{people.SecretDevice, people.SecretToken} {
		s := people.Secret{
			Hash: "hash of " + string(kind), ID: "id of " + string(kind), Account: annID, Kind: kind, Name: "my " + string(kind), Created: 1_782_000_000_000,
			Expires: 1_782_000_000_001, Used: 1_782_000_000_002, Address: "192.0.2.1", Fresh: 1_782_000_000_003, Issuer: "https://id.example.org",
			Rooms: []string{"plans"}, ReadOnly: true,
		}
		all[string(kind)] = sample{&s, func(tx store.Tx) error { return people.Secrets.Put(tx, &s) }}
	}
	push := people.Push{
		ID: "id of a push", Account: annID, Device: "id of device", Endpoint: "https://push.example/hash", P256DH: "hash of a key", Auth: "hash of a secret",
		Created: 1_782_500_000_000, FailingSince: 1_782_500_000_001,
	}
	all["push"] = sample{&push, func(tx store.Tx) error { return people.Pushes.Put(tx, &push) }}
	invite := people.Invite{
		Hash: "hash of an invite", ID: "id of an invite", Account: bobID, Role: kaban.RoleGuest, Rooms: []string{"plans"}, Uses: 3,
		Expires: 1_783_000_000_000, Created: 1_783_000_000_001, Creator: annID,
	}
	all["invite"] = sample{&invite, func(tx store.Tx) error { return people.Invites.Put(tx, &invite) }}
	link := people.Invite{
		Hash: "hash of a link", ID: "id of a link", Account: annID, Role: kaban.RoleGuest, Rooms: []string{"plans"}, Uses: 1,
		Expires: 1_783_000_000_002, Created: 1_783_000_000_003, Creator: bobID,
	}
	all["link"] = sample{&link, func(tx store.Tx) error { return people.Invites.Put(tx, &link) }}
	file := people.File{
		ID: "id of a file", Owner: annID, Name: "a.png", Size: 9, Type: "image/png", Width: 2, Height: 3, Alt: "a cat", Hash: "cafe",
		Time: 1_784_500_000_000, Room: "plans", RoomName: "Plans", Seq: 17,
	}
	all["file"] = sample{&file, func(tx store.Tx) error { return people.Files.Add(tx, &file) }}
	hook := people.Hook{Hash: "hash of a hook", ID: "id of a hook", Room: "plans", Username: "builds", Speaker: true, Created: 1_784_000_000_000, Creator: annID}
	all["hook"] = sample{&hook, func(tx store.Tx) error { return people.Hooks.Put(tx, &hook) }}
	member := people.Member{
		Room: "@direct", Name: "@direct", Account: annID, Role: kaban.RoomRoleSpeaker, From: 3, Since: 1_785_000_000_000, Hidden: 4, Read: 5,
		Counted: &people.Counted{Counts: store.Counts{Messages: 6, Own: 7}, Epoch: "e"}, UnreadFrom: 8, Notify: kaban.NotifyAll, Group: "staff",
	}
	all["member"] = sample{&member, func(tx store.Tx) error { return people.Members.Put(tx, &member) }}
	room := people.Room{
		Key: "plans", Name: "Plans", Kind: kaban.RoomPrivate, Flags: kaban.FlagLocked, Topic: "a topic", History: people.HistoryJoined, Creator: annID,
		Created: 1_786_000_000_000, Members: 2, Turnover: 3, People: []string{"nobody"},
	}
	all["room"] = sample{&room, func(tx store.Tx) error { return people.Rooms.Put(tx, &room) }}
	restrictionOf := func(name, subject string) {
		r := people.Restriction{
			Room: "plans", Subject: subject, Ban: true, Mute: true, Until: 1_787_000_000_000, Along: []string{"address:192.0.2.0/24"},
			Reason: "because " + name, By: "account:" + bobID, Since: 1_787_000_000_001,
		}
		all[name] = sample{&r, func(tx store.Tx) error { return people.Restrictions.Put(tx, &r) }}
	}
	restrictionOf("restriction", "account:"+annID)
	restrictionOf("was", annsVisitor)
	block := people.Block{Account: annID, Blocked: bobID, Since: 1_788_000_000_000}
	all["block"] = sample{&block, func(tx store.Tx) error { return people.Blocks.Put(tx, &block) }}
	visitor := people.Link{Visitor: annsVisitor, Account: annID, Since: 1_789_000_000_000}
	all["visitor"] = sample{&visitor, func(tx store.Tx) error { return people.Links.Put(tx, &visitor) }}
	erasure := people.Erasure{
		Account: annID, Authors: []string{"account:" + annID}, Until: map[string]int64{annsVisitor: 1_789_000_000_000}, Since: 1_789_000_000_001, Done: 1_789_000_000_002, Room: "plans", Deleted: true,
		Version: 7, Audited: true, Counted: "counted", Bots: 1, Hooks: 2, Messages: 3, Reactions: 4, Texts: 6, Rooms: 5,
	}
	all["erasure"] = sample{&erasure, func(tx store.Tx) error { return people.Erasures.Put(tx, &erasure) }}
	own := people.Audit{
		Time: 1_789_100_000_000, ID: "1", Actor: "account:" + annID, Name: "ann", Action: "room.kick", Subject: "bob", Room: "Plans", Address: "192.0.2.2",
		Detail: "a detail", Count: 2,
	}
	all["own"] = sample{&own, func(tx store.Tx) error { return people.Audits.Put(tx, &own) }}
	about := people.Audit{
		Time: 1_789_100_000_001, ID: "2", Actor: "account:" + bobID, Name: "bob", Action: "account.role", Subject: "ann", Room: "Plans", Address: "192.0.2.3",
		Detail: "a detail", Count: 2,
	}
	all["about"] = sample{&about, func(tx store.Tx) error { return people.Audits.Put(tx, &about) }}
	return all
}

// exportOf returns the lines of ann's export, without entries.
func exportOf(t *testing.T, tx writable) string {
	t.Helper()
	ann, err := kaban.ParseUsername("ann")
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewPerson(tx.documents(), ann)
	if err != nil {
		t.Fatal(err)
	}
	lines := p.Lines()
	for _, d := range tx.documents() {
		if !people.IsAudit(d.Key) {
			continue
		}
		row, err := people.ParseAudit(&d)
		if err != nil {
			t.Fatal(err)
		}
		if lines, err = p.AppendAudit(lines, &row); err != nil {
			t.Fatal(err)
		}
	}
	return string(lines)
}

// worldOf returns documents: those of ann, and what they refer to.
func worldOf(t *testing.T, all map[string]sample) writable {
	t.Helper()
	tx := make(writable)
	bob := people.Account{ID: bobID, Username: "bob", Role: kaban.RoleMember, Status: people.StatusActive, Created: 1_780_000_000_000}
	direct := people.Room{Key: "@direct", Name: "@direct", Kind: kaban.RoomDirect, People: []string{annID, bobID}, Created: 1}
	if err := people.Accounts.Put(tx, &bob); err != nil {
		t.Fatal(err)
	}
	if err := people.Rooms.Put(tx, &direct); err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if err := all[name].put(tx); err != nil {
			t.Fatal(name, err)
		}
	}
	return tx
}

// fields calls visit for every field of a value that holds one, with its name in JSON.
func fields(name string, v reflect.Value, visit func(name string, field reflect.Value)) {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		visit(name, v)
		return
	}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous:
			fields(name, v.Field(i), visit)
		case tag == "":
			fields(name+"."+strings.ToLower(f.Name), v.Field(i), visit)
		default:
			fields(name+"."+tag, v.Field(i), visit)
		}
	}
}

// change gives a field another value that is valid.
func change(t *testing.T, name string, f reflect.Value) {
	t.Helper()
	switch f.Kind() {
	case reflect.String:
		if name == "account.owner" { // it must be that of an account
			f.SetString(bobID)
			return
		}
		f.SetString(f.String() + "x")
	case reflect.Bool:
		f.SetBool(!f.Bool())
	case reflect.Int, reflect.Int64:
		f.SetInt(f.Int() + 1)
	case reflect.Uint64:
		f.SetUint(f.Uint() + 1)
	case reflect.Uint8: // an enumeration, or a set of flags
		f.SetUint(f.Uint()%2 + 1)
	case reflect.Slice:
		if f.Type() == reflect.TypeFor[json.RawMessage]() {
			f.Set(reflect.ValueOf(json.RawMessage(`{"other":1}`)))
			return
		}
		f.Set(reflect.Append(f, reflect.ValueOf("x")))
	case reflect.Map:
		other := reflect.MakeMap(f.Type())
		other.SetMapIndex(reflect.ValueOf("x"), reflect.Zero(f.Type().Elem()))
		f.Set(other)
	default:
		t.Fatalf("%s is of a kind that this test does not know: %s", name, f.Type())
	}
}

// Whatever the server keeps about a person is in the export of the person, or is on the list
// above with the reason why it is not. So a new field, or a new type of document, needs a
// decision.
func TestAPersonHasEveryField(t *testing.T) {
	want := exportOf(t, worldOf(t, samples()))
	seen := make(map[string]bool)
	for name, s := range samples() {
		fields(name, reflect.ValueOf(s.value), func(field string, v reflect.Value) {
			seen[field] = true
			if v.IsZero() && field != "account.bot" && field != "account.owner" {
				t.Errorf("the sample has no %s, so nobody knows whether an export has it", field)
				return
			}
			all := samples()
			fields(name, reflect.ValueOf(all[name].value), func(other string, v reflect.Value) {
				if other == field {
					change(t, field, v)
				}
			})
			switch field {
			case "oidc.data": // it is the sample identity
				return
			case "account.username", "account.id": // what an account is found by
				return
			}
			_, left := leftOut[field]
			if got := exportOf(t, worldOf(t, all)); (got == want) != left {
				t.Errorf("the export of a person has %s: %v; on the list of what is left out: %v", field, got != want, left)
			}
		})
	}
	for field := range leftOut {
		if !seen[field] {
			t.Errorf("there is no %s that could be left out", field)
		}
	}
	for _, secret := range []string{"hash", "argon2", "id of password", "id of passkey", "id of recovery", "id of oidc"} {
		if strings.Contains(want, secret) {
			t.Errorf("the export has %q:\n%s", secret, want)
		}
	}
}

// Every type of document is one that an export of a person has, or has nothing of a person.
func TestAPersonHasEveryTable(t *testing.T) {
	known := maps.Clone(impersonal)
	for _, s := range samples() {
		known[reflect.TypeOf(s.value).Elem().Name()] = "it is a sample"
	}
	files, err := filepath.Glob("../people/*.go")
	if err != nil {
		t.Fatal(err)
	}
	tables := 0
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			literal, ok := n.(*ast.CompositeLit)
			if !ok {
				return true
			}
			index, ok := literal.Type.(*ast.IndexExpr)
			if !ok || fmt.Sprint(index.X) != "Table" {
				return true
			}
			tables++
			if of := fmt.Sprint(index.Index); known[of] == "" {
				t.Errorf("%s has a table of %s: has it anything of a person? Then samples needs one, and else impersonal needs a reason", path, of)
			}
			return true
		})
	}
	if tables < len(impersonal) {
		t.Errorf("%d tables are found", tables)
	}
}

// What others have is not in the export, and neither is what the audit says about others.
func TestAPersonHasNothingOfOthers(t *testing.T) {
	want := exportOf(t, worldOf(t, samples()))
	tx := worldOf(t, samples())
	for _, err := range []error{
		people.Credentials.Put(tx, &people.Credential{Kind: people.CredentialPassword, ID: bobID, Account: bobID}),
		people.Secrets.Put(tx, &people.Secret{Hash: "h", ID: "bobs", Account: bobID, Kind: people.SecretDevice}),
		people.Invites.Put(tx, &people.Invite{Hash: "h", ID: "bobs", Creator: bobID}),
		people.Hooks.Put(tx, &people.Hook{Hash: "h", ID: "bobs", Room: "plans", Username: "x", Creator: bobID}),
		people.Accounts.Put(tx, &people.Account{ID: "C", Username: "bobsbot", Owner: bobID, Bot: true}),
		people.Members.Put(tx, &people.Member{Room: "plans", Name: "plans", Account: bobID}),
		people.Restrictions.Put(tx, &people.Restriction{Room: "plans", Subject: "account:" + bobID, By: "account:" + annID, Ban: true}),
		people.Restrictions.Put(tx, &people.Restriction{Room: "lobby", Subject: annsVisitor, Ban: true, Since: 1_789_000_000_000}), // somebody else by then
		people.Blocks.Put(tx, &people.Block{Account: bobID, Blocked: annID}),
		people.Links.Put(tx, &people.Link{Visitor: "visitor:bobby", Account: bobID, Since: 1}),
		people.Erasures.Put(tx, &people.Erasure{Account: bobID}),
		people.Files.Add(tx, &people.File{ID: "bobs", Owner: bobID, Name: "x", Hash: "cafe", Size: 9}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for i, row := range []people.Audit{
		{Actor: "account:" + bobID, Action: "account.role", Subject: "carol"},
		{Actor: "account:" + bobID, Action: "setting.set", Subject: "ann"}, // a setting of this name
		{Actor: "account:" + bobID, Action: "device.add", Subject: "id of bobs"},
		{Actor: annsVisitor, Action: "room.kick", Subject: "carol"}, // somebody else by then
		{Action: "room.kick", Subject: "annie"},
		{Action: "export.rooms"},
	} {
		row.Time, row.ID = 1_789_200_000_000, fmt.Sprint(i)
		if err := people.Audits.Put(tx, &row); err != nil {
			t.Fatal(err)
		}
	}
	// A visitor of the name, before there was the account.
	if err := people.Audits.Put(tx, &people.Audit{Time: 1_779_000_000_000, ID: "x", Action: "room.kick", Subject: "ann"}); err != nil {
		t.Fatal(err)
	}
	if got := exportOf(t, tx); got != want {
		t.Errorf("the export has something of others:\n%s\nwant:\n%s", got, want)
	}
}

// The audit knows what a person had that is gone.
func TestRowsAboutWhatAPersonHad(t *testing.T) {
	tx := worldOf(t, samples())
	before := strings.Count(exportOf(t, tx), "\n")
	rows := []people.Audit{
		{Actor: "account:" + annID, Action: "hook.add", Subject: "H"},
		{Actor: "account:" + bobID, Action: "hook.remove", Subject: "H"},
		{Actor: "account:" + annID, Action: "invite.add", Subject: "I"},
		{Action: "invite.revoke", Subject: "I"},
		{Actor: "account:" + annID, Action: "device.add", Subject: "D"},
		{Action: "device.revoke", Subject: "D"},
		{Action: "token.add", Subject: "ci", Detail: "T a name"},
		{Action: "token.revoke", Subject: "T"},
		{Action: "device.revoke", Subject: "id of device"},
		{Action: "bot.give", Subject: "CI"},
		{Action: "sign_in.failed", Subject: "ann", Count: 3, Address: "192.0.2.66"},
		{Actor: annsVisitor, Time: 1_788_000_000_000, Action: "room.set"},
		{Action: "room.mute", Subject: "Annie", Time: 1_788_000_000_000},
	}
	for i, row := range rows {
		if row.Time == 0 {
			row.Time = 1_789_200_000_000 + int64(i)
		}
		row.ID = fmt.Sprint(i)
		if err := people.Audits.Put(tx, &row); err != nil {
			t.Fatal(err)
		}
	}
	got := exportOf(t, tx)
	if n := strings.Count(got, "\n") - before; n != len(rows) {
		t.Errorf("%d of %d rows are in the export:\n%s", n, len(rows), got)
	}
	if strings.Contains(got, "192.0.2.66") {
		t.Errorf("the export has an address of somebody else:\n%s", got)
	}
}

// The rows about a bot are the person's while the bot is.
func TestRowsAboutBotsOfOthers(t *testing.T) {
	tx := worldOf(t, samples())
	before := exportOf(t, tx)
	rows := []struct {
		people.Audit
		theirs bool
	}{
		{people.Audit{Action: "bot.add", Subject: "ci", Detail: "owner bob"}, false},
		{people.Audit{Action: "token.add", Subject: "ci", Detail: "T1 a name of bob's"}, false},
		{people.Audit{Action: "bot.add", Subject: "passed", Detail: "owner ann"}, true},
		{people.Audit{Action: "room.kick", Subject: "passed"}, true},
		{people.Audit{Action: "bot.give", Subject: "passed", Detail: "bob"}, true},
		{people.Audit{Action: "room.mute", Subject: "passed"}, false},
		{people.Audit{Action: "bot.give", Subject: "ci", Detail: "ann"}, true},
		{people.Audit{Action: "token.add", Subject: "CI", Detail: "T2 x"}, true},
		{people.Audit{Action: "token.revoke", Subject: "T1"}, false},
		{people.Audit{Action: "token.revoke", Subject: "T2"}, true},
	}
	for i, row := range rows {
		row.Time, row.ID = 1_789_200_000_000+int64(i), fmt.Sprint(i)
		if err := people.Audits.Put(tx, &row.Audit); err != nil {
			t.Fatal(err)
		}
	}
	got := exportOf(t, tx)
	for _, row := range rows {
		text := fmt.Sprintf(`"action":%q,"subject":%q`, row.Action, row.Subject)
		if has := strings.Contains(got, text) && !strings.Contains(before, text); has != row.theirs {
			t.Errorf("%s: in the export is %t, want %t:\n%s", text, has, row.theirs, got)
		}
	}
}

// An entry is the person's if the account wrote it, a visitor that the person was, or a hook
// that the person has made, even if it is gone.
func TestWhatAPersonWrote(t *testing.T) {
	tx := worldOf(t, samples())
	ann, err := kaban.ParseUsername("ann")
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewPerson(tx.documents(), ann)
	if err != nil {
		t.Fatal(err)
	}
	if !p.Owns(&people.File{Owner: annID}) || p.Owns(&people.File{Owner: bobID}) {
		t.Error("files of others are the person's, or none of the person's own")
	}
	for _, row := range []people.Audit{
		{Time: 1, Actor: "account:" + annID, Action: "hook.add", Subject: "gone"},
		{Time: 1, Actor: "account:" + bobID, Action: "hook.add", Subject: "bobs"},
	} {
		if _, err := p.AppendAudit(nil, &row); err != nil {
			t.Fatal(err)
		}
	}
	annie, err := kaban.ParseUsername("Annie")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		author kaban.Identity
		time   int64
		want   bool
	}{
		{kaban.Account(annID, ann), 1_789_500_000_000, true},
		{kaban.Account(bobID, ann), 1, false},
		{kaban.Visitor(annie), 1_788_999_999_999, true},
		{kaban.Visitor(annie), 1_789_000_000_000, false},
		{kaban.Visitor(ann), 1, false},
		{kaban.Hook("id of a hook", ann), 1_789_500_000_000, true},
		{kaban.Hook("gone", ann), 2, true},
		{kaban.Hook("bobs", ann), 2, false},
		{kaban.Bot(botID, ann), 2, false},
	} {
		if got := p.Wrote(&store.Record{Draft: kaban.Draft{Author: test.author}, Time: test.time}); got != test.want {
			t.Errorf("of an entry by %s at %d ann is the author: %v", test.author.ID(), test.time, got)
		}
	}
}

// The lines are described where people look for them.
func TestLinesAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/administration.md")
	if err != nil {
		t.Fatal(err)
	}
	for kind, line := range map[string]any{
		"account": accountLine{}, "visitor": visitorLine{}, "credential": credentialLine{}, "device": secretLine{}, "token": secretLine{}, "push": pushLine{},
		"invite": inviteLine{}, "bot": botLine{}, "hook": hookLine{}, "membership": membershipLine{}, "room": roomLine{},
		"restriction": restrictionLine{}, "block": blockLine{}, "erasure": erasureLine{}, "audit": auditLine{},
	} {
		row := ""
		for s := range strings.Lines(string(text)) {
			if first, _, _ := strings.Cut(s, " | "); strings.HasPrefix(s, "| ") && strings.Contains(first, "`"+kind+"`") {
				row = s
			}
		}
		of := reflect.TypeOf(line)
		for i := range of.NumField() {
			name, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
			if name != "type" && !strings.Contains(row, "`"+name+"`") {
				t.Errorf("docs/administration.md does not describe %s of a line of type %s", name, kind)
			}
		}
	}
}
