package chat

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/dispatch"
	"kaban/internal/limit"
	"kaban/internal/markup"
	"kaban/internal/people"
	"kaban/internal/search"
	"kaban/internal/store"
)

// The limits of a search.
const (
	// MaxHits is the largest number of hits of a page.
	MaxHits     = 100
	defaultHits = 20
	// snippetLength is the longest snippet in code points.
	snippetLength = 200
	// searchTime is how long a search takes at most; then it gives what it has found.
	searchTime = 2 * time.Second
	// maxSeeking is how many searches and inboxes of an account, or of an address without one,
	// wait while one runs.
	maxSeeking = 4
	// maxZone is the longest name of a time zone in bytes.
	maxZone = 64
)

var (
	// ErrNoSearch says that the server has no search index.
	ErrNoSearch = errors.New("there is no search index")
	// ErrBadZone says that there is no such time zone.
	ErrBadZone = errors.New("no such time zone")
	// ErrBadPlace says that a page cannot begin where a search asks for it.
	ErrBadPlace = errors.New("not the next of a page of hits")
)

// QueryError says what is wrong with the query of a search, in a sentence.
type QueryError = search.Error

// Search asks for messages.
type Search struct {
	Query     string
	Room      kaban.RoomName // the only one in which to look; the zero value is all
	Before    uint64         // Hits.Next of the page before
	HasBefore bool
	Limit     int    // up to MaxHits; 0 is 20
	Zone      string // the IANA name of the time zone of dates; "" is UTC
}

// Hit is a message that a search has found, as it is now.
type Hit struct {
	Room    kaban.RoomName
	Entry   Entry
	Snippet search.Snippet // of its content; without marks if only the name of a file was found
	next    uint64         // Hits.Next of a page that ends with it
}

// Hits is a page of hits, newest first.
type Hits struct {
	Hits    []Hit
	More    bool
	Next    uint64 // asks for the next page, if there are more
	Partial bool   // there may be hits that were not looked at
}

// Cut leaves at most so many hits in the page, and at least one.
func (h *Hits) Cut(most int) {
	if n := max(most, 1); n < len(h.Hits) {
		h.Hits = h.Hits[:n]
		h.More, h.Next = true, h.Hits[n-1].next
	}
}

// SetIndex sets the index that searches use; without one there are none. It is called
// before the first search.
func (c *Chat) SetIndex(index search.Index) { c.index = index }

// Search returns a page of the messages that a query finds, among those that the user may
// read. It waits for its turn and then blocks while the index and the store are asked, two
// seconds at most. It returns a *QueryError, ErrBadZone, ErrBadPlace, ErrNoSearch, ErrNotFound
// if the user may not read the room that the request names, a *limit.ExceededError, and
// ErrAuthRequired.
// Rooms that only the query names are left out if the user may not read them.
func (u User) Search(ctx context.Context, s Search) (Hits, error) {
	found, err := u.search(ctx, s)
	if err != nil {
		return Hits{}, u.chat.count(err)
	}
	u.chat.counters.searches.Add(1)
	return found, nil
}

func (u User) search(ctx context.Context, s Search) (Hits, error) {
	zone, err := zoneOf(s.Zone)
	if err != nil {
		return Hits{}, err
	}
	query, err := search.Parse(s.Query, time.UnixMilli(u.chat.now()).In(zone))
	if err != nil {
		return Hits{}, err
	}
	index := u.chat.index
	if index == nil {
		return Hits{}, ErrNoSearch
	}
	r := searching{user: u, index: index, query: query, limit: limitOr(s.Limit, defaultHits)}
	if s.HasBefore {
		order, ok := index.Order(s.Before)
		if !ok {
			return Hits{}, ErrBadPlace
		}
		if order == 0 {
			return Hits{}, nil // nothing is before the first
		}
		r.ask.Before = order
	}
	if err := u.admitSearch(); err != nil {
		return Hits{}, err
	}
	leave, err := u.seek(ctx)
	if err != nil {
		return Hits{}, err
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, searchTime) // behind the wait, which makes no hits partial
	defer cancel()
	if err := r.choose(ctx, s.Room); err != nil {
		return Hits{}, err
	}
	return r.run(ctx)
}

// zoneOf returns a time zone. The name goes into the path of a file, but for UTC.
func zoneOf(name string) (*time.Location, error) {
	if name == "" {
		return time.UTC, nil
	}
	if len(name) > maxZone || name == "Local" {
		return nil, ErrBadZone
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, ErrBadZone
	}
	return zone, nil
}

// admitSearch counts a search for the account, or for the address of somebody without one.
// This machine, and operators, are not limited. It returns a *limit.ExceededError.
func (u User) admitSearch() error {
	c := u.chat
	address := u.peer.Address
	if c.searches == nil || u.operator || !address.IsValid() || c.exempt != nil && c.exempt(address) {
		return nil
	}
	if account := u.account(); account != "" {
		return c.searches.Check(limit.NameKey(account), 1)
	}
	return c.searches.Check(limit.AddressKey(address), 1)
}

// seek waits until the user may search, or read its inbox, until leave is called. One such request of
// an account runs at a time, and a few of the server: they ask the store for so much that
// messages would wait for them. Of somebody without an account it is one for the address. This machine
// and operators wait only for the server. It returns a *limit.ExceededError.
func (u User) seek(ctx context.Context) (leave func(), err error) {
	c, address := u.chat, u.peer.Address
	key := limit.NameKey(u.account())
	if key == 0 && !u.operator && (c.exempt == nil || !c.exempt(address)) {
		key = limit.AddressKey(address)
	}
	return c.seeking.Enter(ctx, key)
}

// searching is a search in progress.
type searching struct {
	user  User
	index search.Index
	query *search.Query
	ask   search.Ask
	limit int
	found Hits
	last  uint64 // the order of the last hit
}

// run asks the index until the page is full or nothing is left.
func (s *searching) run(ctx context.Context) (Hits, error) {
	if !s.mentions() || !s.ask.All && len(s.ask.Rooms) == 0 {
		return Hits{}, nil
	}
	for candidates := minCandidates; ; candidates = min(2*candidates, maxCandidates) {
		s.ask.Limit = max(s.limit+1-len(s.found.Hits), candidates)
		places, err := s.index.Find(ctx, s.ask)
		if err != nil {
			return Hits{}, err
		}
		s.found.Partial = s.found.Partial || places.Partial
		if ctx.Err() != nil && len(places.List) == 0 && places.Next > 0 {
			s.ask.Before = places.Next // a page without hits must not begin there again
		}
		full, err := s.look(ctx, places.List)
		switch {
		case ctx.Err() != nil:
			return s.late(), nil
		case err != nil:
			return Hits{}, err
		case full:
			s.found.More, s.found.Next = true, s.index.Number(s.last)
			return s.found, nil
		case !places.More || places.Next == 0:
			return s.found, nil
		}
		s.ask.Before = places.Next
	}
}

// late returns what was found in time. The next page begins behind the last hit, or where
// the index had come to.
func (s *searching) late() Hits {
	s.found.Partial = true
	before := s.ask.Before
	if n := len(s.found.Hits); n > 0 {
		before = s.last
	}
	if before > 0 {
		s.found.More, s.found.Next = true, s.index.Number(before)
	}
	return s.found
}

// The index is asked for at least minCandidates places, and for more each time that too few
// of them were hits: a question costs more than a few places.
const (
	minCandidates = 32
	maxCandidates = 512
)

// mentions has the index look for what a message must have that mentions the user. It
// returns false if none can.
func (s *searching) mentions() bool {
	if s.query.Must&search.MentionsMe == 0 {
		return true
	}
	name := s.user.peer.Name().String()
	if name == "" {
		return false
	}
	for _, text := range append(markup.Everybody(), name) {
		if q, err := search.Parse(`"`+text+`"`, time.Time{}); err == nil {
			s.ask.Any = append(s.ask.Any, q.Texts...)
		}
	}
	return true
}

// choose sets the rooms in which to look.
func (s *searching) choose(ctx context.Context, only kaban.RoomName) (err error) {
	s.ask.Query = s.query
	switch q := s.query; {
	case !only.IsZero():
		if err := s.user.mayRead(ctx, only); err != nil {
			return err
		}
		if len(q.In) == 0 || slices.ContainsFunc(q.In, func(in kaban.RoomName) bool { return in.Key() == only.Key() }) {
			s.ask.Rooms = []kaban.RoomName{only}
		}
	case len(q.In) > 0:
		for _, name := range q.In {
			switch err := s.user.mayRead(ctx, name); {
			case err == nil:
				s.ask.Rooms = append(s.ask.Rooms, name)
			case !isRefusal(err):
				return err
			}
		}
	default:
		s.ask.Rooms, s.ask.All, err = s.user.readable(ctx)
	}
	return err
}

// mayRead returns nil if the user may read a room.
func (u User) mayRead(ctx context.Context, name kaban.RoomName) error {
	_, _, err := u.lookUp(ctx, access.Read, name)
	return err
}

// isRefusal reports whether an error means that the user may not read a room, as opposed to
// a failure.
func isRefusal(err error) bool {
	for _, refusal := range []error{ErrNotFound, ErrForbidden, ErrAuthRequired, ErrNotJoined} {
		if errors.Is(err, refusal) {
			return true
		}
	}
	return false
}

// readable returns the rooms that the user may read, and perhaps others, about which is
// decided for each hit: the public ones, and those that it is in. If these are all rooms of
// the server it returns true instead.
func (u User) readable(ctx context.Context) (rooms []kaban.RoomName, all bool, err error) {
	public := false
	err = u.chat.dispatcher.View(ctx, func(tx store.Tx) error {
		rooms, public = nil, false
		self, err := u.scene(tx, kaban.RoomName{}, false, false)
		if err != nil {
			return err
		}
		if u.credential != nil && u.credential.Rooms != nil {
			for _, key := range u.credential.Rooms {
				if name, err := kaban.ParseAnyRoom(key); err == nil {
					rooms = append(rooms, name)
				}
			}
			return nil
		}
		facts := self.Facts
		facts.Room, facts.Membership = access.NewRoom(kaban.RoomPublic, 0, false), access.Membership{Standing: access.Good}
		switch err := refusalOf(access.Can(access.Read, facts), access.Read); {
		case err == nil:
			public = true
		case !errors.Is(err, ErrNotFound):
			return err
		}
		if u.account() != "" {
			rooms, err = memberships(tx, u.account())
		}
		return err
	})
	if err != nil || !public {
		return rooms, false, err
	}
	if u.chat.dispatcher.ListsAll() {
		return nil, true, nil
	}
	for after, more := "", true; more; {
		var page []Room
		page, more = u.chat.dispatcher.Rooms(after, roomsPerPage)
		for i := range page {
			after = page[i].Name.String()
			rooms = append(rooms, page[i].Name)
		}
	}
	return rooms, false, nil
}

// roomsPerPage is how many rooms are read at a time.
const roomsPerPage = 500

// memberships returns the rooms that an account is in.
func memberships(tx store.Tx, account string) (rooms []kaban.RoomName, err error) {
	for after, more := "", true; more; {
		var members []people.Member
		if members, more, err = people.Members.Of(tx, account, after, roomsPerPage); err != nil {
			return nil, err
		}
		for i := range members {
			after = members[i].Name
			name, err := kaban.ParseAnyRoom(after)
			if err != nil {
				return nil, fmt.Errorf("name of a room: %w", err)
			}
			rooms = append(rooms, name)
		}
	}
	return rooms, nil
}

// look adds the hits at places to the page, in their order. It returns true once there is
// one more than the page takes, which is left out. It reads as many messages as could fill the
// page, and twice as many each time that they did not.
func (s *searching) look(ctx context.Context, places []search.Place) (full bool, err error) {
	for batch := s.limit + 1 - len(s.found.Hits); len(places) > 0; batch *= 2 {
		n := min(batch, len(places))
		if full, err = s.lookAt(ctx, places[:n]); full || err != nil {
			return full, err
		}
		places = places[n:]
	}
	return false, nil
}

func (s *searching) lookAt(ctx context.Context, places []search.Place) (full bool, err error) {
	entries := make([]*Entry, len(places)) // nil: no hit
	inRoom := make(map[string][]int)
	for i := range places {
		key := places[i].Room.Key()
		inRoom[key] = append(inRoom[key], i)
	}
	for _, indexes := range inRoom {
		if err := s.read(ctx, places, indexes, entries); err != nil {
			return false, err
		}
	}
	for i, e := range entries {
		if e == nil {
			continue
		}
		if len(s.found.Hits) == s.limit {
			return true, nil
		}
		s.last = places[i].Order
		s.found.Hits = append(s.found.Hits, Hit{
			Room: places[i].Room, Entry: *e, Snippet: s.query.Snippet(e.Content, snippetLength), next: s.index.Number(s.last),
		})
	}
	return false, nil
}

// read reads the messages at some of the places, all of one room, as far as the user may
// read them and they are hits.
func (s *searching) read(ctx context.Context, places []search.Place, indexes []int, entries []*Entry) error {
	name := places[indexes[0]].Room
	err := s.user.whileAllowed(ctx, access.Read, name, func(_ *dispatch.Room, found ruling) error {
		for _, i := range indexes {
			entries[i] = nil
			seq := places[i].Seq
			if seq < found.from || seq == 0 {
				continue
			}
			page, err := s.user.chat.dispatcher.History(ctx, name, store.Page{After: seq - 1, Before: seq + 1, Limit: 1})
			if _, damaged := errors.AsType[*store.DamagedError](err); damaged {
				continue
			}
			if err != nil {
				return err
			}
			if len(page.Entries) == 1 && page.Entries[0].Seq == seq && s.isHit(name, &page.Entries[0]) {
				entries[i] = &page.Entries[0]
			}
		}
		return nil
	})
	if err != nil && isRefusal(err) {
		for _, i := range indexes {
			entries[i] = nil
		}
		return nil
	}
	return err
}

// isHit decides about a message as it is now.
func (s *searching) isHit(room kaban.RoomName, e *Entry) bool {
	q := s.query
	if e.Kind != kaban.KindMessage || e.IsDeleted() || !q.Matches(search.TextOf(e.Content, e.Files)) {
		return false
	}
	at := time.UnixMilli(e.Time)
	if !q.Since.IsZero() && at.Before(q.Since) || !q.Until.IsZero() && !at.Before(q.Until) {
		return false
	}
	if slices.ContainsFunc(q.NotIn, func(in kaban.RoomName) bool { return in.Key() == room.Key() }) {
		return false
	}
	if len(q.From)+len(q.NotFrom) > 0 {
		author, err := kaban.ParseUsername(e.Username)
		is := func(name kaban.Username) bool { return err == nil && name.Key() == author.Key() }
		if len(q.From) > 0 && !slices.ContainsFunc(q.From, is) || slices.ContainsFunc(q.NotFrom, is) {
			return false
		}
	}
	has := s.properties(e, q.Must|q.MustNot)
	return q.Must&^has == 0 && q.MustNot&has == 0
}

// properties returns which of some properties a message has.
func (s *searching) properties(e *Entry, asked search.Property) (has search.Property) {
	if asked&search.HasFile != 0 && e.Files != "" {
		has |= search.HasFile
	}
	if asked&search.HasLink != 0 && markup.HasAddress(e.Content) {
		has |= search.HasLink
	}
	if name := s.user.peer.Name().String(); asked&search.MentionsMe != 0 && name != "" && markup.Mentions(e.Content, name) {
		has |= search.MentionsMe
	}
	if asked&search.IsPinned != 0 && e.State != nil && e.State.Pinned != (store.Change{}) {
		has |= search.IsPinned
	}
	return has
}
