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
	// ErrTaken says that somebody else is connected under the name.
	ErrTaken = errors.New("name is taken")
	// ErrReserved says that nobody may have the name.
	ErrReserved = errors.New("name is reserved")
)

// Identity is who a session speaks for. Until there are accounts everybody is a
// guest, and a name belongs to whoever is connected under it.
type Identity struct {
	Username kaban.Username
}

// Owner is a connection that holds a name.
type Owner interface {
	// Replace says that another connection has taken the name over. It must not
	// block; anybody may call it.
	Replace()
}

// Session is one connection after its hello.
type Session struct {
	Identity Identity
	Secret   string // proves to be the same client; at least 128 bits

	owner Owner
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

// Registry knows which connection holds which name. The zero Registry has none.
type Registry struct {
	mu       sync.Mutex
	sessions map[string]*Session // by Username.Key
}

// reserved are names that would pass for the server or for everybody.
var reserved = reservedKeys("server", "system", "kaban", "everyone", "all", "here", "channel")

func reservedKeys(names ...string) map[string]bool {
	keys := make(map[string]bool)
	for _, name := range names {
		if u, err := kaban.ParseUsername(name); err == nil {
			keys[u.Key()] = true
		}
	}
	return keys
}

// Claim gives a name to a connection. With the secret of the session that holds
// the name, or with one that led to it while that is not confirmed, it is taken
// over, and the one who loses it is told. So a client wins over what is left of
// its own earlier attempts, with the last secret that reached it. It returns
// ErrReserved and ErrTaken.
func (r *Registry) Claim(owner Owner, id Identity, resume string) (*Session, error) {
	key := id.Username.Key()
	if reserved[key] {
		return nil, ErrReserved
	}
	s := &Session{Identity: id, Secret: rand.Text(), owner: owner}
	replaced, err := r.put(key, s, resume)
	if err != nil {
		return nil, err
	}
	if replaced != nil {
		replaced.owner.Replace()
	}
	return s, nil
}

func (r *Registry) put(key string, s *Session, resume string) (replaced *Session, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sessions == nil {
		r.sessions = make(map[string]*Session)
	}
	holder := r.sessions[key]
	if holder != nil {
		at := holder.find(resume)
		if at < 0 {
			return nil, ErrTaken
		}
		s.follow(holder, at)
	} else if resume != "" {
		// The session that it led to has ended before this attempt was taken. A later
		// attempt of the same client shows the same secret.
		s.earlier = []string{resume}
	}
	r.sessions[key] = s
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
	key := s.Identity.Username.Key()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sessions[key] == s {
		delete(r.sessions, key)
	}
}

// Check reports whether somebody without a connection may speak under a name at
// this moment. It returns ErrReserved and ErrTaken.
func (r *Registry) Check(name kaban.Username) error {
	if reserved[name.Key()] {
		return ErrReserved
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sessions[name.Key()] != nil {
		return ErrTaken
	}
	return nil
}
