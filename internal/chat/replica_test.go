package chat

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/people"
	"kaban/internal/store"
)

// This file is the model of TestEverybodyReadsWhatTheTableGives: people, rooms and logs
// without a store, and what a reader makes of the entries that it is given.

// shown is an entry as a reader sees it.
type shown struct {
	Room    string
	Seq     uint64
	Kind    kaban.Kind
	By      string
	Target  uint64
	Content string
	Edited  uint64 // the version that Content is of, if it is not the first
	Deleted bool
}

func show(room string, e *store.Entry) shown {
	s := shown{Room: room, Seq: e.Seq, Kind: e.Kind, By: e.Username, Target: e.Target, Content: e.Content, Deleted: e.IsDeleted()}
	if e.State != nil {
		s.Edited = e.State.Edited.Seq
	}
	return s
}

// loud is a Format that shows all of an entry, one line each.
type loud struct{ plain }

func (loud) AppendEntry(dst []byte, room string, e *store.Entry) []byte {
	line, err := json.Marshal(show(room, e))
	if err != nil {
		panic(err)
	}
	return append(append(dst, line...), '\n')
}

// text is a message as a reader knows it.
type text struct {
	By, Content     string
	Edited          uint64
	Deleted, Pinned bool
	Replies         uint64
	Reactions       map[string]bool // an emoji and a username each

	asOf uint64 // what comes up to here is in it
}

// texts are messages by seq.
type texts map[uint64]*text

// take folds an entry in.
func (all texts) take(e *shown) {
	if t := all[e.Target]; t != nil && e.Seq > t.asOf {
		t.change(e)
	}
	if e.Kind == kaban.KindMessage && all[e.Seq] == nil {
		all[e.Seq] = &text{By: e.By, Content: e.Content, Edited: e.Edited, Deleted: e.Deleted, Reactions: map[string]bool{}}
	}
}

func (t *text) change(e *shown) {
	if e.Kind == kaban.KindMessage {
		t.Replies++
	}
	if t.Deleted {
		return
	}
	switch on, what := kaban.ParseSwitch(e.Content); e.Kind {
	case kaban.KindEdit:
		t.Edited, t.Content = e.Seq, cmp.Or(e.Content, t.Content)
	case kaban.KindDelete:
		t.Deleted, t.Pinned, t.Content, t.Reactions = true, false, "", map[string]bool{}
	case kaban.KindPin:
		t.Pinned = on
	case kaban.KindReact:
		if key := what + " " + e.By; on {
			t.Reactions[key] = true
		} else {
			delete(t.Reactions, key)
		}
	}
}

// equals compares what is known of a message in the end. Of a deleted one nobody asks which
// version it was.
func (t *text) equals(other *text) bool {
	a, b := *t, *other
	if a.asOf, b.asOf = 0, 0; a.Deleted && b.Deleted {
		a.Edited, b.Edited = 0, 0
	}
	return reflect.DeepEqual(a, b)
}

// folded returns a message of a page.
func folded(e *store.Entry, asOf uint64) *text {
	t := &text{By: e.Username, Content: e.Content, Deleted: e.IsDeleted(), Reactions: map[string]bool{}, asOf: asOf}
	if s := e.State; s != nil {
		t.Edited, t.Pinned, t.Replies = s.Edited.Seq, s.Pinned != store.Change{}, s.Replies
		for _, r := range s.Reactions {
			for _, p := range r.People {
				t.Reactions[r.Emoji+" "+p.Username] = true
			}
		}
	}
	return t
}

// view is what the log says of a room.
type view struct {
	Kind    kaban.RoomKind
	Flags   kaban.RoomFlags
	History people.History
	Topic   string
	// People are the members with their roles. Those of a public room come and go without
	// entries, so it has nil.
	People map[string]kaban.RoomRole
}

// take changes a view by an entry that is no message and no change of one.
func (v *view) take(e *shown) error {
	switch e.Kind {
	case kaban.KindTopic:
		c, err := people.DecodeChange[people.TopicChange](e.Content)
		v.Topic = c.Topic
		return err
	case kaban.KindRoom:
		c, err := people.DecodeChange[people.RoomChange](e.Content)
		if err != nil {
			return err
		}
		if v.set(&c); c.Change == people.ChangeCreated && c.Kind == kaban.RoomPrivate {
			v.People = map[string]kaban.RoomRole{e.By: kaban.RoomRoleOp}
		}
	case kaban.KindMember:
		c, err := people.DecodeChange[people.MemberChange](e.Content)
		if err != nil || v.People == nil {
			return err
		}
		_, in := v.People[c.Subject]
		switch c.Change {
		case people.ChangeInvited:
			if !in {
				v.People[c.Subject] = kaban.RoomRoleMember
			}
		case people.ChangeLeft, people.ChangeKicked, people.ChangeBanned:
			delete(v.People, c.Subject)
		case people.ChangeRole:
			v.People[c.Subject] = c.Role
		}
	}
	return nil
}

func (v *view) set(c *people.RoomChange) {
	if c.Kind != 0 {
		v.Kind = c.Kind
	}
	if c.Flags != nil {
		flags, _ := kaban.ParseRoomFlags(*c.Flags)
		v.Flags = flags | v.Flags&kaban.FlagArchived
	}
	if c.Archived != nil {
		if v.Flags &^= kaban.FlagArchived; *c.Archived {
			v.Flags |= kaban.FlagArchived
		}
	}
	v.History = cmp.Or(c.History, v.History)
}

// seat is a membership.
type seat struct {
	role kaban.RoomRole
	from uint64 // the first entry that the account may see
}

// den is a room of the model.
type den struct {
	name          kaban.RoomName
	view                          // but for the people
	seats         map[string]seat // of accounts
	banned, muted map[string]bool // also names of visitors
	log           []shown
	texts         texts
	oldest        uint64
}

func (d *den) head() uint64 { return uint64(len(d.log)) }

// add appends an entry. The text of a message is that of its first version.
func (d *den) add(kind kaban.Kind, by string, target uint64, content string) {
	e := shown{Room: d.name.String(), Seq: d.head() + 1, Kind: kind, By: by, Target: target, Content: content}
	d.log = append(d.log, e)
	d.texts.take(&e)
}

// seen returns what a reader knows that asks for it.
func (d *den) seen() view {
	v := d.view
	if d.Kind != kaban.RoomPublic {
		v.People = map[string]kaban.RoomRole{}
		for name, s := range d.seats {
			v.People[name] = s.role
		}
	}
	return v
}

// target returns a message that an entry can be about, or nil.
func (d *den) target(seq, from uint64) *text {
	if seq < max(from, d.oldest) {
		return nil
	}
	return d.texts[seq]
}

// citizen is somebody with an account.
type citizen struct {
	role      kaban.Role
	suspended bool
	owner     string // of a bot
}

// paper is a file of the model.
type paper struct {
	id, owner string
	den       *den   // nil while no message has it
	seq       uint64 // of the message
}

// mayFetch reports whether somebody may have a file.
func (c *city) mayFetch(name string, p *paper) bool {
	if p.den == nil {
		return p.owner == name && c.facts(name, new(den), false).Who.Active
	}
	t := p.den.target(p.seq, c.from(name, p.den))
	return t != nil && !t.Deleted && access.Can(access.Read, c.facts(name, p.den, false)) == access.Allowed
}

// city is what the model knows of everybody. Whoever has no account is a visitor; "" is an
// anonymous reader.
type city struct {
	people    map[string]*citizen
	dens      []*den
	papers    []*paper
	admission access.Admission
}

// facts returns those about somebody in a room. visits is set for a visitor that is in it.
func (c *city) facts(name string, d *den, visits bool) access.Facts {
	f := c.own(name, d, visits)
	if p := c.people[name]; p != nil && p.owner != "" {
		f = access.Limit(f, c.own(p.owner, d, false))
	}
	return f
}

// own are the facts about somebody alone.
func (c *city) own(name string, d *den, visits bool) access.Facts {
	p := c.people[name]
	f := access.Facts{
		Server: access.Server{Claim: access.Claimed, Local: true, Admission: c.admission, MembersCreate: true, MembersInvite: true},
		Who: access.Identity{
			Active: true, Named: name != "", Person: true, InPerson: true, Fresh: p != nil, Reach: access.ReachServer, Writes: true,
		},
		Room:       access.NewRoom(d.Kind, d.Flags, c.hasOtherOp(name, d)),
		Membership: access.Membership{Role: d.seats[name].role, Standing: access.Good},
		Target:     access.Target{Reachable: true},
	}
	if d.muted[name] {
		f.Membership.Standing = access.Muted
	}
	if d.banned[name] {
		f.Membership.Standing = access.Banned
	}
	if visits && p == nil {
		f.Membership.Role = kaban.RoomRoleMember
	}
	if p != nil {
		f.Who.Role, f.Who.Active = p.role, !p.suspended
		if p.owner != "" {
			f.Who.Person, f.Who.InPerson, f.Who.Fresh = false, false, false
		}
	}
	return f
}

func (c *city) hasOtherOp(name string, d *den) bool {
	for other, s := range d.seats {
		if p := c.people[other]; other != name && s.role == kaban.RoomRoleOp && !p.suspended && p.owner == "" {
			return true
		}
	}
	return false
}

// from returns the first entry that somebody may see who may read.
func (c *city) from(name string, d *den) uint64 {
	from := d.seats[name].from
	if p := c.people[name]; p != nil && p.owner != "" {
		from = max(from, d.seats[p.owner].from)
	}
	return max(from, 1)
}

// aim adds the facts about the person that something is done to. here is set for a visitor
// that is in the room.
func (c *city) aim(f *access.Facts, by, name string, d *den, here bool) {
	t := access.Target{Whom: access.Other, Reachable: true, Standing: access.Good, RoomRole: d.seats[name].role}
	if name == by {
		t.Whom = access.Self
	}
	if d.muted[name] {
		t.Standing = access.Muted
	}
	if d.banned[name] {
		t.Standing = access.Banned
	}
	p := c.people[name]
	if p == nil {
		if here {
			t.RoomRole = kaban.RoomRoleMember
		}
		if t.Whom == access.Other && !here && t.Standing == access.Good && (d.Kind != kaban.RoomPublic || c.admission != access.Open) {
			t.Whom = access.Nobody
		}
	} else {
		t.Role, t.SharesRoom = p.role, c.share(by, name)
		if a := c.people[by]; a != nil && a.owner != "" {
			t.SharesRoom = t.SharesRoom && (c.people[a.owner].role >= kaban.RoleMember || c.share(a.owner, name))
		}
	}
	f.Target = t
}

// share reports whether two accounts are in a room together.
func (c *city) share(a, b string) bool {
	return slices.ContainsFunc(c.dens, func(d *den) bool { return d.seats[a].role != 0 && d.seats[b].role != 0 })
}

// verdict decides about an act.
func (c *city) verdict(by string, d *den, a *Act, visits, here bool) bool {
	f := c.facts(by, d, visits)
	if !a.Subject.IsZero() {
		c.aim(&f, by, a.Subject.String(), d, here)
		f.Target.NewRoomRole = a.Role
	}
	var actions []access.Action
	switch {
	case a.Action == access.SetRoomRole && a.Role == kaban.RoomRoleOp && f.Who.Role >= kaban.RoleAdmin && f.Membership.Role == 0:
		actions = append(actions, access.Appoint)
	case a.Action != 0:
		actions = append(actions, a.Action)
	}
	if a.Change.Kind != 0 {
		actions = append(actions, access.MakePrivate)
	}
	if a.Change.Flags != nil {
		actions = append(actions, access.SetFlags)
	}
	if a.Change.History != "" {
		actions = append(actions, access.SetHistory)
	}
	if a.Change.Archived != nil {
		if *a.Change.Archived {
			actions = append(actions, access.Archive)
		} else {
			actions = append(actions, access.Unarchive)
		}
	}
	return !slices.ContainsFunc(actions, func(a access.Action) bool { return access.Can(a, f) != access.Allowed })
}

// body returns what the entry of an act says.
func body(a *Act) (kaban.Kind, string, error) {
	if a.Action == access.SetTopic {
		text, err := people.EncodeChange(people.TopicChange{Topic: a.Topic})
		return kaban.KindTopic, text, err
	}
	if a.Action == 0 {
		c := a.Change
		c.Change = people.ChangeSettings
		text, err := people.EncodeChange(c)
		return kaban.KindRoom, text, err
	}
	what := map[access.Action]string{
		access.Invite: people.ChangeInvited, access.Kick: people.ChangeKicked, access.Ban: people.ChangeBanned, access.Unban: people.ChangeUnbanned,
		access.Mute: people.ChangeMuted, access.Unmute: people.ChangeUnmuted, access.SetRoomRole: people.ChangeRole,
	}[a.Action]
	if what == "" {
		return 0, "", fmt.Errorf("no entry says %s", a.Action)
	}
	text, err := people.EncodeChange(people.MemberChange{Subject: a.Subject.String(), Change: what, Role: a.Role})
	return kaban.KindMember, text, err
}

// apply makes of a room what an act that is allowed makes of it, but for the entry, which
// has been added.
func (c *city) apply(d *den, a *Act) {
	name := a.Subject.String()
	switch a.Action {
	case access.SetTopic:
		d.Topic = a.Topic
	case access.Invite:
		if _, in := d.seats[name]; !in {
			d.seats[name] = seat{kaban.RoomRoleMember, d.firstOfNew()}
		}
	case access.Kick:
		delete(d.seats, name)
	case access.Ban:
		d.banned[name] = true
		delete(d.seats, name)
	case access.Unban:
		delete(d.banned, name)
	case access.Mute:
		d.muted[name] = true
	case access.Unmute:
		delete(d.muted, name)
	case access.SetRoomRole:
		if s, in := d.seats[name]; in {
			d.seats[name] = seat{a.Role, s.from}
		}
	default:
		d.set(&a.Change)
	}
}

// firstOfNew returns the first entry that somebody may see whose invitation is the last one.
func (d *den) firstOfNew() uint64 {
	if d.Kind == kaban.RoomPrivate && d.History == people.HistoryJoined {
		return d.head()
	}
	return 1
}

// usernames returns the members of a room and a visitor, if it is there, sorted.
func (d *den) usernames(visitor string) []string {
	all := slices.Collect(maps.Keys(d.seats))
	if visitor != "" {
		all = append(all, visitor)
	}
	slices.Sort(all)
	return all
}
