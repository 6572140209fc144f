// Package session knows who is connected under which name. Front ends share one
// Registry, so that a name belongs to one connection at a time whatever it
// speaks. It knows no protocol. All methods are safe for concurrent use.
package session

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"slices"
	"sync"

	"kaban"
)

// Facts that callers tell apart with errors.Is.
var (
	// ErrTaken says that somebody else uses the name, or one that looks like it.
	ErrTaken = errors.New("name is taken")
	// ErrReserved says that nobody may have the name.
	ErrReserved = errors.New("name is reserved")
)

// Owner is a connection that holds a name.
type Owner interface {
	// Replace says that another connection has taken the name over. It must not
	// block; anybody may call it.
	Replace()
}

// Session is one connection after its hello.
type Session struct {
	Identity kaban.Identity
	Secret   string // proves to be the same client; at least 128 bits

	owner Owner
	looks []string // of the name
	// earlier are the secrets that led here, oldest first, for as long as the
	// client has not shown that it got this session's. Guarded by Registry.mu.
	earlier []string
}

// maxEarlier bounds the secrets that a session keeps beside its own.
const maxEarlier = 8

// find returns which of the session's secrets this is, from the oldest on; -1
// for none. Its time does not depend on how much is right.
func (s *Session) find(secret string) int {
	at := -1
	for i, known := range s.secrets() {
		at = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare([]byte(known), []byte(secret)), i, at)
	}
	return at
}

func (s *Session) secrets() []string { return append(slices.Clip(s.earlier), s.Secret) }

// follow makes a session the next in the line of one whose secret at was shown.
// The client has that one, so it needs none before; it may have any behind. Of
// too many the one that was shown and the newest stay.
func (s *Session) follow(before *Session, at int) {
	kept := before.secrets()[at:]
	if excess := len(kept) - maxEarlier; excess > 0 {
		kept = slices.Delete(kept, 1, 1+excess)
	}
	s.earlier = kept
}

// Registry knows who speaks under which name: connections, which hold a name,
// and those without one, which borrow it for a message (Speak). The zero Registry
// has none.
type Registry struct {
	mu       sync.Mutex
	sessions map[string]*Session // by Username.Key
	speakers map[string]int      // by Username.Key
	looks    map[string]look     // by what Username.Looks returns
}

// look is who holds or borrows names with a certain look.
type look struct {
	key   string // of the names; those with the same key are the same name
	count int
}

// takeLocked notes that a name with these looks is in use, if no other name that
// looks like it is. The first look is its key.
func (r *Registry) takeLocked(looks []string) bool {
	key := looks[0]
	for _, l := range looks {
		if taken, ok := r.looks[l]; ok && taken.key != key {
			return false
		}
	}
	if r.looks == nil {
		r.looks = make(map[string]look)
	}
	for _, l := range looks {
		r.looks[l] = look{key, r.looks[l].count + 1}
	}
	return true
}

// giveLocked takes back what takeLocked noted.
func (r *Registry) giveLocked(looks []string) {
	for _, l := range looks {
		if taken := r.looks[l]; taken.count > 1 {
			r.looks[l] = look{taken.key, taken.count - 1}
		} else {
			delete(r.looks, l)
		}
	}
}

// reserved are the looks of names that would pass for the server or for everybody.
var reserved = reservedLooks("server", "system", "kaban", "everyone", "all", "here", "channel")

func reservedLooks(names ...string) map[string]bool {
	looks := make(map[string]bool)
	for _, name := range names {
		if u, err := kaban.ParseUsername(name); err == nil {
			for _, l := range u.Looks() {
				looks[l] = true
			}
		}
	}
	return looks
}

// IsReserved reports whether nobody may have a name, because it is or looks like
// one that would pass for the server or for everybody.
func IsReserved(name kaban.Username) bool { return areReserved(name.Looks()) }

func areReserved(looks []string) bool {
	return slices.ContainsFunc(looks, func(l string) bool { return reserved[l] })
}

// Claim gives a name to a connection. With the secret of the session that holds
// the name, or with one that led to it while that is not confirmed, it is taken
// over, and the one who loses it is told. So a client wins over what is left of
// its own earlier attempts, with the last secret that reached it. It returns
// ErrReserved and ErrTaken.
func (r *Registry) Claim(owner Owner, id kaban.Identity, resume string) (*Session, error) {
	looks := id.Name().Looks() // takes a while for some names, so no lock is held
	if areReserved(looks) {
		return nil, ErrReserved
	}
	s := &Session{Identity: id, Secret: rand.Text(), owner: owner, looks: looks}
	replaced, err := r.put(s, resume)
	if err != nil {
		return nil, err
	}
	if replaced != nil {
		replaced.owner.Replace()
	}
	return s, nil
}

func (r *Registry) put(s *Session, resume string) (replaced *Session, err error) {
	name := s.Identity.Name()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sessions == nil {
		r.sessions = make(map[string]*Session)
	}
	holder, at := r.sessions[name.Key()], -1
	if holder != nil {
		at = holder.find(resume)
	} else if resume != "" {
		// The session that it led to has ended before this attempt was taken. A later
		// attempt of the same client shows the same secret.
		s.earlier = []string{resume}
	}
	if holder != nil && at < 0 || r.speakers[name.Key()] > 0 || !r.takeLocked(s.looks) {
		return nil, ErrTaken
	}
	if holder != nil {
		s.follow(holder, at)
		r.giveLocked(holder.looks)
	}
	r.sessions[name.Key()] = s
	return holder, nil
}

// Confirm says that the session's secret has reached its client: those before it
// are worthless from now on.
func (r *Registry) Confirm(s *Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.earlier = nil
}

// Release gives a name free, unless it was taken over.
func (r *Registry) Release(s *Session) {
	name := s.Identity.Name()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sessions[name.Key()] == s {
		delete(r.sessions, name.Key())
		r.giveLocked(s.looks)
	}
}

// Speak lends a name to somebody without a connection until done is called, which
// must be once. Several may borrow the same name at a time; meanwhile no
// connection gets it. It returns ErrReserved and ErrTaken.
func (r *Registry) Speak(name kaban.Username) (done func(), err error) {
	looks := name.Looks()
	if areReserved(looks) {
		return nil, ErrReserved
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sessions[name.Key()] != nil || !r.takeLocked(looks) {
		return nil, ErrTaken
	}
	if r.speakers == nil {
		r.speakers = make(map[string]int)
	}
	r.speakers[name.Key()]++
	return func() { r.fallSilent(name, looks) }, nil
}

func (r *Registry) fallSilent(name kaban.Username, looks []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.giveLocked(looks)
	if r.speakers[name.Key()]--; r.speakers[name.Key()] == 0 {
		delete(r.speakers, name.Key())
	}
}
