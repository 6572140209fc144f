package torture

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"kaban"
	"kaban/internal/people"
	"kaban/internal/store"
)

// Row is what the audit says of a change.
type Row struct{ Action, Subject, Detail string }

// State is everything in a database, read without a server.
type State struct {
	Documents map[string][]byte
	Accounts  map[string]people.Account // by username
	ByID      map[string]people.Account
	Secrets   map[string]people.Secret // by hash
	Passwords map[string]bool          // accounts that have one
	Invites   map[string]people.Invite // by hash
	Tickets   map[string]people.Ticket
	Settings  map[string]string
	Rooms     map[string]people.Room              // by key
	Members   map[string]map[string]people.Member // by room and account
	Tasks     []people.Task
	Rows      map[Row]int
	Entries   map[string][]store.Record // of each room, by key
}

// ReadState reads everything that is stored. All of it must be sound.
func ReadState(ctx context.Context, archive store.Archive) (*State, error) {
	report, err := archive.Check(ctx)
	if err == nil {
		err = report.Err()
	}
	if err != nil {
		return nil, err
	}
	s := &State{Documents: make(map[string][]byte), Entries: make(map[string][]store.Record)}
	err = archive.Export(ctx, nil, store.Receiver{
		Document: func(d *store.Document) error {
			s.Documents[d.Key] = slices.Clone(d.Value)
			return nil
		},
		Record: func(r *store.Record) error {
			s.Entries[r.Room.Key()] = append(s.Entries[r.Room.Key()], *r)
			return nil
		},
		Damaged: func(err error) error { return err },
	})
	if err != nil {
		return nil, err
	}
	return s, s.decode()
}

// decode reads the documents of all tables.
func (s *State) decode() error {
	s.Accounts, s.ByID = make(map[string]people.Account), make(map[string]people.Account)
	s.Secrets, s.Passwords = make(map[string]people.Secret), make(map[string]bool)
	s.Invites, s.Tickets = make(map[string]people.Invite), make(map[string]people.Ticket)
	s.Settings, s.Rooms = make(map[string]string), make(map[string]people.Room)
	s.Members, s.Rows, s.Tasks = make(map[string]map[string]people.Member), make(map[Row]int), nil
	return firstOf(
		each(s, "account", func(a people.Account) { s.Accounts[a.Username], s.ByID[a.ID] = a, a }),
		each(s, "secret", func(x people.Secret) { s.Secrets[x.Hash] = x }),
		each(s, "credential", func(c people.Credential) {
			if c.Kind == people.CredentialPassword {
				s.Passwords[c.Account] = true
			}
		}),
		each(s, "invite", func(i people.Invite) { s.Invites[i.Hash] = i }),
		each(s, "ticket", func(t people.Ticket) { s.Tickets[t.Hash] = t }),
		each(s, "setting", func(x people.Setting) { s.Settings[x.Key] = x.Value }),
		each(s, "room", func(r people.Room) { s.Rooms[r.Key] = r }),
		each(s, "task", func(t people.Task) { s.Tasks = append(s.Tasks, t) }),
		each(s, "audit", func(a people.Audit) { s.Rows[Row{a.Action, a.Subject, a.Detail}]++ }),
		each(s, "member", func(m people.Member) {
			if s.Members[m.Room] == nil {
				s.Members[m.Room] = make(map[string]people.Member)
			}
			s.Members[m.Room][m.Account] = m
		}),
	)
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// each decodes the documents of a table, in no order.
func each[T any](s *State, table string, visit func(T)) error {
	for key, value := range s.Documents {
		if !strings.HasPrefix(key, table+"/") {
			continue
		}
		var v T
		if err := json.Unmarshal(value, &v); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		visit(v)
	}
	return nil
}

// RowsOf returns how many rows have an action and a subject, whatever their detail.
func (s *State) RowsOf(action, subject string) (n int) {
	for row, count := range s.Rows {
		if row.Action == action && row.Subject == subject {
			n += count
		}
	}
	return n
}

// Task reports whether something is left to be done for an account.
func (s *State) Task(account string, kind people.TaskKind) bool {
	return slices.ContainsFunc(s.Tasks, func(t people.Task) bool { return t.Account == account && t.Kind == kind })
}

// Check returns what no moment of any server may show.
func (s *State) Check() (problems []string) {
	report := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	s.checkIndexes(report)
	s.checkOwners(report)
	s.checkAccounts(report)
	for _, key := range slices.Sorted(maps.Keys(s.Rooms)) {
		room := s.Rooms[key]
		s.checkRoom(&room, report)
	}
	return problems
}

type reporter func(format string, args ...any)

// checkIndexes compares the indexes with those that the values would have.
func (s *State) checkIndexes(report reporter) {
	again := memory{}
	err := firstOf(
		rebuild(s, again, "account", people.Accounts.Put),
		rebuild(s, again, "credential", people.Credentials.Put),
		rebuild(s, again, "secret", people.Secrets.Put),
		rebuild(s, again, "invite", people.Invites.Put),
		rebuild(s, again, "ticket", people.Tickets.Put),
		rebuild(s, again, "room", people.Rooms.Put),
		rebuild(s, again, "member", people.Members.Put),
		rebuild(s, again, "task", people.Tasks.Put),
	)
	if err != nil {
		report("index: %v", err)
		return
	}
	for key, value := range again {
		if stored, ok := s.Documents[key]; !ok || string(stored) != string(value) {
			report("index: %s is %.200q, not %.200q", key, stored, value)
		}
	}
	for key := range s.Documents {
		table, _, _ := strings.Cut(key, "/")
		table, _, isIndex := strings.Cut(table, ".")
		if _, ok := again[key]; !ok && isIndex && table != "hook" {
			report("index: %s leads to nothing", key)
		}
	}
}

func rebuild[T any](s *State, into memory, table string, put func(store.Tx, *T) error) (err error) {
	failed := each(s, table, func(v T) {
		if err == nil {
			err = put(into, &v)
		}
	})
	return firstOf(failed, err)
}

// memory is a transaction that only stores documents.
type memory map[string][]byte

func (m memory) Get(key string) ([]byte, error)     { return m[key], nil }
func (m memory) Put(key string, value []byte) error { m[key] = value; return nil }
func (m memory) Delete(key string) error            { delete(m, key); return nil }
func (memory) Bump(kaban.RoomName) error            { return store.ErrReadOnly }
func (memory) Head(kaban.RoomName) (uint64, error)  { return 0, store.ErrReadOnly }
func (memory) Counts(kaban.RoomName, string) (store.Counts, error) {
	return store.Counts{}, store.ErrReadOnly
}
func (memory) Revision(kaban.RoomName) (uint64, error) { return 0, store.ErrReadOnly }
func (memory) ScanBack(string, string, int) ([]store.Document, error) {
	return nil, store.ErrReadOnly
}

func (memory) Scan(string, string, int) ([]store.Document, error) {
	return nil, store.ErrReadOnly
}

// checkOwners: a server with accounts has an owner, and access was decided with the
// claim, which is used up.
func (s *State) checkOwners(report reporter) {
	owners := 0
	for _, a := range s.Accounts {
		if a.Role == kaban.RoleOwner && a.Status == people.StatusActive {
			owners++
		}
	}
	claims := 0
	for _, t := range s.Tickets {
		if t.Kind == "claim" {
			claims++
		}
	}
	claimed := s.RowsOfAction("server.claim")
	switch {
	case claimed > 1:
		report("claim: it succeeded %d times", claimed)
	case (claimed == 1) != (owners > 0):
		report("claim: %d rows, %d owners", claimed, owners)
	case owners == 0 && len(s.Accounts)+len(s.Secrets)+len(s.Passwords) > 0:
		report("claim: nobody owns the server, which has %d accounts, %d secrets, %d passwords", len(s.Accounts), len(s.Secrets), len(s.Passwords))
	case owners > 0 && claims > 0:
		report("claim: the server has an owner, and the claim is still there")
	case (s.Settings[people.SettingAccess] == "invite") != (owners > 0):
		report("claim: access is %q, with %d owners", s.Settings[people.SettingAccess], owners)
	}
}

// RowsOfAction returns how many rows have an action.
func (s *State) RowsOfAction(action string) (n int) {
	for row, count := range s.Rows {
		if row.Action == action {
			n += count
		}
	}
	return n
}

// checkAccounts: each account, secret and invite is there once, whole, and with the row
// that says where it came from.
func (s *State) checkAccounts(report reporter) {
	for name, a := range s.Accounts {
		made := s.RowsOf("account.add", name) + s.RowsOf("server.claim", name)
		if made != 1 {
			report("account: %d rows say that %s was made", made, name)
		}
		if removed := a.Status == people.StatusRemoved; s.Passwords[a.ID] == removed { // all of these campaigns have one
			report("account: %s is %s, and has a password: %t", name, a.Status, removed)
		}
	}
	for row, n := range s.Rows {
		if _, ok := s.Accounts[row.Subject]; !ok && (row.Action == "account.add" || row.Action == "server.claim") {
			report("account: %d rows say that %s was made, and there is no such account", n, row.Subject)
		}
	}
	for _, x := range s.Secrets {
		if _, ok := s.ByID[x.Account]; !ok {
			report("secret: %s belongs to nobody", x.ID)
		}
		made := 0
		if x.Kind == people.SecretDevice {
			made = s.RowsOf("device.add", x.ID)
		} else {
			made = s.Rows[Row{"token.add", s.ByID[x.Account].Username, x.ID + " " + x.Name}]
		}
		if gone := s.RowsOf(string(x.Kind)+".revoke", x.ID); made != 1 || gone != 0 {
			report("secret: %d rows say that the %s %s was made, and %d that it was revoked", made, x.Kind, x.ID, gone)
		}
	}
	for _, i := range s.Invites {
		if n := s.RowsOf("invite.add", i.ID); n != 1 || i.Uses < 1 {
			report("invite: %d rows say that %s was made, which has %d uses", n, i.ID, i.Uses)
		}
	}
}

// checkRoom: its members are those that its log says, its count of them is right, and
// somebody can be op.
func (s *State) checkRoom(r *people.Room, report reporter) {
	members := s.Members[r.Key]
	if len(members) != r.Members {
		report("room: %s counts %d members and has %d", r.Name, r.Members, len(members))
	}
	if r.Kind == kaban.RoomPrivate {
		s.checkLog(r, report)
	}
	ops, pending, heirs := 0, false, 0
	for id, m := range members {
		a := s.ByID[id]
		if a.Status == people.StatusRemoved && !s.Task(id, people.TaskLeave) {
			report("room: %s was removed, is in %s, and will not leave it", a.Username, r.Name)
		}
		switch {
		case a.Status == people.StatusActive && m.Role == kaban.RoomRoleOp:
			ops++
		case m.Role == kaban.RoomRoleOp && s.Task(id, people.TaskSucceed):
			pending = true
		case a.Status == people.StatusActive && !a.Bot && a.Role > kaban.RoleGuest:
			heirs++
		}
	}
	if r.Creator != "" && ops == 0 && !pending && heirs > 0 {
		report("room: %s has %d members, and none of them is op or about to become it", r.Name, len(members))
	}
}

// checkLog replays the log of a private room: whoever writes is a member, and those
// that are members at the end are so in the documents. What an erasing takes back it takes back in the
// name of the server, or of an account that has left.
func (s *State) checkLog(r *people.Room, report reporter) {
	roles := make(map[string]kaban.RoomRole) // by account
	for _, e := range s.Entries[r.Key] {
		author, _ := kaban.AuthorOf(e.Author.ID())
		created := false
		switch e.Kind {
		case kaban.KindRoom:
			change, err := people.DecodeChange[people.RoomChange](e.Body)
			if err != nil {
				report("log: entry %d of %s: %v", e.Seq, r.Name, err)
			} else if created = change.Change == people.ChangeCreated; created {
				roles[author] = kaban.RoomRoleOp
			}
		case kaban.KindMember:
			change, err := people.DecodeChange[people.MemberChange](e.Body)
			if err != nil {
				report("log: entry %d of %s: %v", e.Seq, r.Name, err)
				continue
			}
			s.replay(r, &e, author, &change, roles, report)
		default:
			if roles[author] == 0 && !strings.HasPrefix(e.ID.String(), "erased-") {
				report("log: %s wrote entry %d of %s without being a member", e.Author.Name(), e.Seq, r.Name)
			}
		}
	}
	for id, m := range s.Members[r.Key] {
		if roles[id] != m.Role {
			report("log: %s is %s in %s, and %s by its log", s.ByID[id].Username, m.Role, r.Name, roles[id])
		}
	}
	for id, role := range roles {
		if _, in := s.Members[r.Key][id]; !in {
			report("log: %s is %s by the log of %s, and no member", s.ByID[id].Username, role, r.Name)
		}
	}
}

// replay applies an entry of kind member to the roles. Acts are those of ops.
func (s *State) replay(r *people.Room, e *store.Record, author string, change *people.MemberChange, roles map[string]kaban.RoomRole, report reporter) {
	subject := s.Accounts[change.Subject].ID
	if change.Change != people.ChangeLeft && change.Change != people.ChangeRole && roles[author] != kaban.RoomRoleOp {
		report("log: %s moderates %s in entry %d, and is no op", e.Author.Name(), r.Name, e.Seq)
	}
	switch change.Change {
	case people.ChangeInvited, people.ChangeJoined:
		if roles[subject] == 0 { // an invitation of a member changes nothing
			roles[subject] = kaban.RoomRoleMember
		}
	case people.ChangeRole:
		if roles[subject] == 0 {
			report("log: entry %d of %s gives %s a role, which is no member", e.Seq, r.Name, change.Subject)
		}
		roles[subject] = change.Role
	case people.ChangeKicked, people.ChangeBanned, people.ChangeLeft:
		if roles[subject] == 0 {
			report("log: entry %d of %s removes %s, which is no member", e.Seq, r.Name, change.Subject)
		}
		delete(roles, subject)
	}
}

func (m memory) GetAll(keys []string) ([][]byte, error) {
	values := make([][]byte, len(keys))
	for i, key := range keys {
		values[i] = m[key]
	}
	return values, nil
}
