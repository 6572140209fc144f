// Package session knows who is connected under which name. Front ends share one
// Registry, so that a name belongs to one connection at a time whatever it
// speaks. It knows no protocol. All methods are safe for concurrent use.
package session

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
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
// the name it is taken over, and the one who loses it is told. It returns
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
	if holder != nil && subtle.ConstantTimeCompare([]byte(holder.Secret), []byte(resume)) != 1 {
		return nil, ErrTaken
	}
	r.sessions[key] = s
	return holder, nil
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
