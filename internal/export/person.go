package export

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"

	"kaban"
	"kaban/internal/people"
	"kaban/internal/store"
)

// Person is somebody whose data are exported: the account with everything that the server
// keeps about it, the rows of the audit that concern it, and the entries that it has
// written. Secrets and their hashes are not among them: they are the server's.
//
// The lines of an account that others decide about do not say who decided. Bots have lines
// of their own only where their owner has a say; what they write is in their own export.
type Person struct {
	account people.Account
	self    string // the key of the username
	// authors are the ids of the identities that the person is, each with the time until
	// which it is the person, in milliseconds since 1970 UTC.
	authors map[string]int64
	// names are the keys of the usernames of the account and its bots, each with the time
	// since which it is theirs. AppendAudit follows in it whose the bots were.
	names    map[string]int64
	subjects map[string]bool // ids of what is the person's: devices, tokens, hooks …
	lines    []byte
}

// NewPerson returns what documents have of the account with a username, the audit left out.
// The error is people.ErrNotFound if there is none.
func NewPerson(tx store.Tx, name kaban.Username) (*Person, error) {
	a, err := people.Accounts.Named(tx, name)
	if err != nil {
		return nil, err
	}
	identity, err := a.Identity()
	if err != nil {
		return nil, err
	}
	p := &Person{
		account: a, self: name.Key(), authors: map[string]int64{identity.ID(): math.MaxInt64},
		names: map[string]int64{name.Key(): a.Created}, subjects: make(map[string]bool),
	}
	for _, add := range []func(store.Tx) error{
		p.addAccount, p.addVisitors, p.addCredentials, p.addSecrets, p.addPushes, p.addInvites, p.addBots, p.addHooks,
		p.addMemberships, p.addRooms, p.addRestrictions, p.addBlocks, p.addFiles, p.addErasure,
	} {
		if err := add(tx); err != nil {
			return nil, fmt.Errorf("the data of %s: %w", a.Username, err)
		}
	}
	return p, nil
}

// Lines returns the lines before those of the audit and the entries, each an object with a
// type.
func (p *Person) Lines() []byte { return p.lines }

// Owns reports whether the person has uploaded a file.
func (p *Person) Owns(f *people.File) bool { return f.Owner == p.account.ID }

// Wrote reports whether the person is the author of a record. Ask after AppendAudit has got
// all of the audit, which names hooks that are gone.
func (p *Person) Wrote(r *store.Record) bool { return r.Time < p.authors[r.Author.ID()] }

// moment is a time in milliseconds since 1970 UTC. A line leaves out the time 0.
type moment int64

// MarshalJSON implements json.Marshaler.
func (m moment) MarshalJSON() ([]byte, error) {
	return json.Marshal(time.UnixMilli(int64(m)).UTC().Format(timeFormat))
}

// The lines of a person, as docs/administration.md describes them. Type is the first field
// of each.
type (
	accountLine struct {
		Type     string            `json:"type"`
		ID       string            `json:"id"`
		Username string            `json:"username"`
		Name     string            `json:"name,omitempty"`
		Role     kaban.Role        `json:"role"`
		Status   people.Status     `json:"status"`
		Reason   string            `json:"reason,omitempty"`
		Bot      bool              `json:"bot,omitempty"`
		Owner    string            `json:"owner,omitempty"` // a username
		Created  moment            `json:"created,omitzero"`
		Groups   []string          `json:"groups,omitempty"`
		Keywords []string          `json:"keywords,omitempty"`
		Quiet    *quietPart        `json:"quiet,omitempty"`
		Notify   kaban.NotifyLevel `json:"notify"`
		PushHint bool              `json:"push_hint,omitempty"`
		Away     *awayPart         `json:"away,omitempty"`
	}
	quietPart struct {
		From  string   `json:"from,omitempty"`
		To    string   `json:"to,omitempty"`
		Zone  string   `json:"zone,omitempty"`
		Days  []string `json:"days,omitempty"`
		Until moment   `json:"until,omitzero"`
	}
	awayPart struct {
		Away  bool   `json:"away"`
		Text  string `json:"text,omitempty"`
		Until moment `json:"until,omitzero"`
	}
	visitorLine struct {
		Type  string `json:"type"`
		ID    string `json:"id"`
		Since moment `json:"since,omitzero"`
	}
	credentialLine struct {
		Type    string                `json:"type"`
		Kind    people.CredentialKind `json:"kind"`
		Name    string                `json:"name,omitempty"`
		Created moment                `json:"created,omitzero"`
		Used    moment                `json:"used,omitzero"`
		// Of an identity at an OpenID provider.
		Issuer  string     `json:"issuer,omitempty"`
		Subject string     `json:"subject,omitempty"`
		Claim   string     `json:"claim,omitempty"`
		Made    bool       `json:"made,omitempty"`
		Given   kaban.Role `json:"given,omitzero"`
		Before  kaban.Role `json:"before,omitzero"`
	}
	secretLine struct {
		Type     string   `json:"type"` // "device" or "token"
		ID       string   `json:"id"`
		Name     string   `json:"name"`
		Created  moment   `json:"created,omitzero"`
		Used     moment   `json:"used,omitzero"`
		Fresh    moment   `json:"fresh,omitzero"`
		Expires  moment   `json:"expires,omitzero"`
		Address  string   `json:"address,omitempty"`
		Issuer   string   `json:"issuer,omitempty"`
		Rooms    []string `json:"rooms,omitempty"`
		ReadOnly bool     `json:"read_only,omitempty"`
	}
	pushLine struct {
		Type         string `json:"type"`
		ID           string `json:"id"`
		Device       string `json:"device"`
		Service      string `json:"service"` // the host of the push service
		Created      moment `json:"created,omitzero"`
		FailingSince moment `json:"failing_since,omitzero"`
	}
	inviteLine struct {
		Type     string     `json:"type"`
		ID       string     `json:"id"`
		Username string     `json:"username,omitempty"` // that a sign-in link is for
		Role     kaban.Role `json:"role,omitzero"`
		Rooms    []string   `json:"rooms,omitempty"`
		Uses     int        `json:"uses"`
		Created  moment     `json:"created,omitzero"`
		Expires  moment     `json:"expires,omitzero"`
	}
	botLine struct {
		Type     string        `json:"type"`
		ID       string        `json:"id"`
		Username string        `json:"username"`
		Name     string        `json:"name,omitempty"`
		Role     kaban.Role    `json:"role"`
		Status   people.Status `json:"status"`
		Reason   string        `json:"reason,omitempty"`
		Created  moment        `json:"created,omitzero"`
	}
	hookLine struct {
		Type     string `json:"type"`
		ID       string `json:"id"`
		Room     string `json:"room"`
		Username string `json:"username"`
		Speaker  bool   `json:"speaker,omitempty"`
		Created  moment `json:"created,omitzero"`
	}
	membershipLine struct {
		Type       string            `json:"type"`
		Room       string            `json:"room"`
		Kind       kaban.RoomKind    `json:"kind"`
		People     []string          `json:"people,omitempty"` // usernames in a direct room
		Role       kaban.RoomRole    `json:"role"`
		Since      moment            `json:"since,omitzero"`
		From       uint64            `json:"from"`
		Read       uint64            `json:"read"`
		UnreadFrom uint64            `json:"unread_from,omitempty"`
		Hidden     uint64            `json:"hidden,omitempty"`
		Notify     kaban.NotifyLevel `json:"notify,omitzero"`
		Group      string            `json:"group,omitempty"`
	}
	roomLine struct {
		Type    string         `json:"type"`
		Room    string         `json:"room"`
		Kind    kaban.RoomKind `json:"kind"`
		Created moment         `json:"created,omitzero"`
	}
	restrictionLine struct {
		Type    string `json:"type"`
		Room    string `json:"room"`
		Visitor string `json:"visitor,omitempty"` // the id, if it is not about the account
		Ban     bool   `json:"ban,omitempty"`
		Mute    bool   `json:"mute,omitempty"`
		Until   moment `json:"until,omitzero"`
		Reason  string `json:"reason,omitempty"`
		Since   moment `json:"since,omitzero"`
	}
	blockLine struct {
		Type     string `json:"type"`
		Username string `json:"username"`
		Since    moment `json:"since,omitzero"`
	}
	fileLine struct {
		Type   string `json:"type"`
		ID     string `json:"id"`
		Name   string `json:"name"`
		Size   int64  `json:"size"`
		Media  string `json:"media"`
		Width  int    `json:"width,omitempty"`
		Height int    `json:"height,omitempty"`
		Alt    string `json:"alt,omitempty"`
		SHA256 string `json:"sha256"`
		Time   moment `json:"time,omitzero"`
		// Of the message that has it.
		Room string `json:"room,omitempty"`
		Seq  uint64 `json:"seq,omitempty"`
	}
	erasureLine struct {
		Type      string `json:"type"`
		Since     moment `json:"since,omitzero"`
		Done      moment `json:"done,omitzero"`
		Messages  int64  `json:"messages"`
		Reactions int64  `json:"reactions"`
		Texts     int64  `json:"texts"`
		Rooms     int64  `json:"rooms"`
		Bots      int    `json:"bots"`
		Hooks     int    `json:"hooks"`
	}
	auditLine struct {
		Type    string `json:"type"`
		Time    moment `json:"time"`
		By      string `json:"by,omitempty"` // only if it was the person
		Action  string `json:"action"`
		Subject string `json:"subject,omitempty"`
		Room    string `json:"room,omitempty"`
		Detail  string `json:"detail,omitempty"`
		Address string `json:"address,omitempty"` // only if it was the person
		Count   int    `json:"count,omitempty"`
	}
)

// add adds a line.
func (p *Person) add(line any) error {
	text, err := json.Marshal(line)
	p.lines = append(append(p.lines, text...), '\n')
	return err
}

// each calls visit for every value of a table until it returns an error.
func each[T any](tx store.Tx, table *people.Table[T], visit func(*T) error) (err error) {
	failed := table.All(tx, func(v *T) bool {
		err = visit(v)
		return err == nil
	})
	return errors.Join(failed, err)
}

// usernameOf returns the username of an account, "" if there is none.
func usernameOf(tx store.Tx, id string) (string, error) {
	a, err := people.Accounts.Get(tx, id)
	if errors.Is(err, people.ErrNotFound) {
		err = nil
	}
	return a.Username, err
}

// roomOf returns what is known about the room with a key.
func roomOf(tx store.Tx, key string) (people.Room, error) {
	r, err := people.Rooms.Get(tx, key)
	if errors.Is(err, people.ErrNotFound) {
		return people.Room{Key: key, Name: key, Kind: kaban.RoomPublic}, nil
	}
	return r, err
}

func (p *Person) addAccount(tx store.Tx) error {
	a := &p.account
	owner, err := usernameOf(tx, a.Owner)
	if err != nil {
		return err
	}
	line := accountLine{
		Type: "account", ID: a.ID, Username: a.Username, Name: a.Name, Role: a.Role, Status: a.Status, Reason: a.Reason,
		Bot: a.Bot, Owner: owner, Created: moment(a.Created), Groups: a.Groups, Keywords: a.Keywords, Notify: a.DefaultLevel(), PushHint: a.PushHint,
	}
	if q := a.Quiet; q != nil {
		line.Quiet = &quietPart{q.From, q.To, q.Zone, q.Days, moment(q.Until)}
	}
	if w := a.Away; w != nil {
		line.Away = &awayPart{w.Away, w.Text, moment(w.Until)}
	}
	return p.add(line)
}

// addVisitors adds the names under which the person wrote without an account.
func (p *Person) addVisitors(tx store.Tx) error {
	return each(tx, &people.Links.Table, func(l *people.Link) error {
		if l.Account != p.account.ID {
			return nil
		}
		p.authors[l.Visitor] = l.Since
		return p.add(visitorLine{"visitor", l.Visitor, moment(l.Since)})
	})
}

func (p *Person) addCredentials(tx store.Tx) error {
	return each(tx, &people.Credentials.Table, func(c *people.Credential) error {
		if c.Account != p.account.ID {
			return nil
		}
		line := credentialLine{Type: "credential", Kind: c.Kind, Name: c.Name, Created: moment(c.Created), Used: moment(c.Used)}
		switch c.Kind {
		case people.CredentialPasskey:
			p.subjects[c.ID] = true
		case people.CredentialOIDC:
			who, err := c.Identity()
			if err != nil {
				return err
			}
			line.Issuer, line.Subject, line.Claim = who.Issuer, who.Subject, who.Claim
			line.Made, line.Given, line.Before = who.Made, who.Given, who.Before
		}
		return p.add(line)
	})
}

func (p *Person) addSecrets(tx store.Tx) error {
	return each(tx, &people.Secrets.Table, func(s *people.Secret) error {
		if s.Account != p.account.ID {
			return nil
		}
		p.subjects[s.ID] = true
		rooms, err := roomNames(tx, s.Rooms)
		if err != nil {
			return err
		}
		return p.add(secretLine{
			Type: string(s.Kind), ID: s.ID, Name: s.Name, Created: moment(s.Created), Used: moment(s.Used), Fresh: moment(s.Fresh),
			Expires: moment(s.Expires), Address: s.Address, Issuer: s.Issuer, Rooms: rooms, ReadOnly: s.ReadOnly,
		})
	})
}

// addPushes adds the browsers that are notified while the page is closed.
func (p *Person) addPushes(tx store.Tx) error {
	return each(tx, &people.Pushes.Table, func(b *people.Push) error {
		if b.Account != p.account.ID {
			return nil
		}
		service := ""
		if u, err := url.Parse(b.Endpoint); err == nil { // the rest of it is a secret
			service = u.Host
		}
		return p.add(pushLine{"push", b.ID, b.Device, service, moment(b.Created), moment(b.FailingSince)})
	})
}

// roomNames returns the names of the rooms with some keys.
func roomNames(tx store.Tx, keys []string) (names []string, err error) {
	for _, key := range keys {
		r, err := roomOf(tx, key)
		if err != nil {
			return nil, err
		}
		names = append(names, r.Name)
	}
	return names, nil
}

// addInvites adds the links that the person has made, and those into the account.
func (p *Person) addInvites(tx store.Tx) error {
	return each(tx, &people.Invites.Table, func(i *people.Invite) error {
		if i.Creator != p.account.ID && i.Account != p.account.ID {
			return nil
		}
		p.subjects[i.ID] = true
		whose, err := usernameOf(tx, i.Account)
		if err != nil {
			return err
		}
		return p.add(inviteLine{
			Type: "invite", ID: i.ID, Username: whose, Role: i.Role, Rooms: i.Rooms, Uses: i.Uses,
			Created: moment(i.Created), Expires: moment(i.Expires),
		})
	})
}

func (p *Person) addBots(tx store.Tx) error {
	return each(tx, &people.Accounts.Table, func(a *people.Account) error {
		if a.Owner != p.account.ID {
			return nil
		}
		name, err := kaban.ParseUsername(a.Username)
		if err != nil {
			return err
		}
		p.names[name.Key()] = a.Created
		return p.add(botLine{
			Type: "bot", ID: a.ID, Username: a.Username, Name: a.Name, Role: a.Role, Status: a.Status, Reason: a.Reason,
			Created: moment(a.Created),
		})
	})
}

func (p *Person) addHooks(tx store.Tx) error {
	return each(tx, &people.Hooks.Table, func(h *people.Hook) error {
		if h.Creator != p.account.ID {
			return nil
		}
		p.made(h.ID)
		r, err := roomOf(tx, h.Room)
		if err != nil {
			return err
		}
		return p.add(hookLine{
			Type: "hook", ID: h.ID, Room: r.Name, Username: h.Username, Speaker: h.Speaker, Created: moment(h.Created),
		})
	})
}

// made notes a hook of the person. It is the only one that knows its key, so what the hook
// writes counts as the person's, as it does for erasing.
func (p *Person) made(hook string) {
	p.subjects[hook] = true
	p.authors[kaban.Hook(hook, kaban.Username{}).ID()] = math.MaxInt64
}

func (p *Person) addMemberships(tx store.Tx) error {
	return each(tx, &people.Members.Table, func(m *people.Member) error {
		if m.Account != p.account.ID {
			return nil
		}
		r, err := roomOf(tx, m.Room)
		if err != nil {
			return err
		}
		line := membershipLine{
			Type: "membership", Room: r.Name, Kind: r.Kind, Role: m.Role, Since: moment(m.Since), From: m.From, Read: m.Read,
			UnreadFrom: m.UnreadFrom, Hidden: m.Hidden, Notify: m.Notify, Group: m.Group,
		}
		for _, id := range r.People {
			name, err := usernameOf(tx, id)
			if err != nil {
				return err
			}
			line.People = append(line.People, name)
		}
		return p.add(line)
	})
}

// addRooms adds the rooms that the person has created.
func (p *Person) addRooms(tx store.Tx) error {
	return each(tx, &people.Rooms.Table, func(r *people.Room) error {
		if r.Creator != p.account.ID {
			return nil
		}
		return p.add(roomLine{"room", r.Name, r.Kind, moment(r.Created)})
	})
}

// addRestrictions adds bans and mutes, also those of the visitors that the person was.
func (p *Person) addRestrictions(tx store.Tx) error {
	self, err := p.account.Identity()
	if err != nil {
		return err
	}
	return each(tx, &people.Restrictions, func(r *people.Restriction) error {
		visitor := r.Subject
		switch {
		case r.Subject == self.ID():
			visitor = ""
		case r.Since >= p.authors[r.Subject]:
			return nil
		}
		room, err := roomOf(tx, r.Room)
		if err != nil {
			return err
		}
		return p.add(restrictionLine{
			Type: "restriction", Room: room.Name, Visitor: visitor, Ban: r.Ban, Mute: r.Mute, Until: moment(r.Until),
			Reason: r.Reason, Since: moment(r.Since),
		})
	})
}

func (p *Person) addBlocks(tx store.Tx) error {
	return each(tx, &people.Blocks, func(b *people.Block) error {
		if b.Account != p.account.ID {
			return nil
		}
		name, err := usernameOf(tx, b.Blocked)
		if err != nil {
			return err
		}
		return p.add(blockLine{"block", name, moment(b.Since)})
	})
}

// filesPage is how many files are read at a time.
const filesPage = 1000

// addFiles adds what the person has uploaded, but not the bytes.
func (p *Person) addFiles(tx store.Tx) error {
	for after, more := "", true; more; {
		var page []people.File
		var err error
		if page, more, err = people.Files.Of(tx, p.account.ID, after, filesPage); err != nil {
			return err
		}
		for i := range page {
			f := &page[i]
			line := fileLine{
				Type: "file", ID: f.ID, Name: f.Name, Size: f.Size, Media: f.Type, Width: f.Width, Height: f.Height, Alt: f.Alt,
				SHA256: f.Hash, Time: moment(f.Time), Seq: f.Seq,
			}
			if !f.IsLoose() {
				r, err := roomOf(tx, f.Room)
				if err != nil {
					return err
				}
				line.Room = r.Name
			}
			if err := p.add(line); err != nil {
				return err
			}
			after = f.ID
		}
	}
	return nil
}

// addErasure adds the report of an account that was erased.
func (p *Person) addErasure(tx store.Tx) error {
	e, err := people.Erasures.Get(tx, p.account.ID)
	switch {
	case errors.Is(err, people.ErrNotFound):
		return nil
	case err != nil:
		return err
	}
	return p.add(erasureLine{
		Type: "erasure", Since: moment(e.Since), Done: moment(e.Done), Messages: e.Messages, Reactions: e.Reactions, Texts: e.Texts, Rooms: e.Rooms,
		Bots: e.Bots, Hooks: e.Hooks,
	})
}

// AppendAudit appends a row of the audit as a line if the person did it or it is about them,
// and else nothing. The rows must come in the order of the audit. A row of somebody else
// says neither who that was nor from where.
func (p *Person) AppendAudit(dst []byte, row *people.Audit) ([]byte, error) {
	by := row.Actor != "" && row.Time < p.authors[row.Actor]
	before := row.Action != people.AuditBotAdd.String() && p.isSubject(row)
	p.followBot(row)
	if !by && !before && !p.isSubject(row) {
		return dst, nil
	}
	p.learn(row, by)
	line := auditLine{
		Type: "audit", Time: moment(row.Time), Action: row.Action, Subject: row.Subject, Room: row.Room, Detail: row.Detail, Count: row.Count,
	}
	if by {
		line.By, line.Address = row.Name, row.Address
	}
	text, err := json.Marshal(line)
	return append(append(dst, text...), '\n'), err
}

// followBot notes whether a bot is the person's from a row on, if that gives it an owner: what
// was done to it before or after is about somebody else.
func (p *Person) followBot(row *people.Audit) {
	if row.Action != people.AuditBotAdd.String() && row.Action != people.AuditBotGive.String() {
		return
	}
	bot, owner := keyOf(row.Subject), keyOf(strings.TrimPrefix(row.Detail, "owner "))
	switch {
	case bot == p.self: // the bot is the person
	case owner == p.self:
		p.names[bot] = row.Time
	default:
		delete(p.names, bot)
	}
}

// keyOf returns the key of a username, "" if it is none.
func keyOf(username string) string {
	name, err := kaban.ParseUsername(username)
	if err != nil {
		return ""
	}
	return name.Key()
}

// learn notes what later rows name by its id only, and what may be gone by now.
func (p *Person) learn(row *people.Audit, by bool) {
	switch row.Action {
	case people.AuditHookAdd.String():
		if by {
			p.made(row.Subject)
		}
	case people.AuditDeviceAdd.String(), people.AuditInviteAdd.String(), people.AuditPasskeyAdd.String():
		p.subjects[row.Subject] = true
	case people.AuditTokenAdd.String():
		id, _, _ := strings.Cut(row.Detail, " ")
		p.subjects[id] = true
	}
}

// isSubject reports whether a row is about the person, or something that is theirs.
func (p *Person) isSubject(row *people.Audit) bool {
	begins := func(prefix string) bool { return strings.HasPrefix(row.Action, prefix) }
	if slices.ContainsFunc([]string{"device.", "hook.", "invite.", "passkey.", "token.revoke"}, begins) {
		return p.subjects[row.Subject] // it is an id
	}
	if slices.ContainsFunc([]string{"grant.", "room.retention", "room.set", "setting."}, begins) {
		return false // it is no username
	}
	name, err := kaban.ParseUsername(row.Subject)
	if err != nil {
		return false
	}
	end := row.Time
	if row.Count > 0 { // within an hour, and Time is its beginning
		end += time.Hour.Milliseconds()
	}
	if since, ok := p.names[name.Key()]; ok && end >= since {
		return true
	}
	return row.Time < p.authors[kaban.Visitor(name).ID()]
}

// Hidden returns the names of those rooms in a list that not everybody may read; of
// all rooms if the list is empty.
func Hidden(tx store.Tx, only []kaban.RoomName) (names []string, err error) {
	err = people.Rooms.All(tx, func(r *people.Room) bool {
		wanted := len(only) == 0 || slices.ContainsFunc(only, func(name kaban.RoomName) bool { return name.Key() == r.Key })
		if wanted && r.Kind != kaban.RoomPublic {
			names = append(names, r.Name)
		}
		return true
	})
	return names, err
}
