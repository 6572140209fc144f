package server

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"sync"

	"kaban"
)

// errTaken says that somebody else is connected under the name.
var errTaken = errors.New("name is taken")

// errReserved says that nobody may have the name.
var errReserved = errors.New("name is reserved")

// identity is who a session speaks for. Until there are accounts everybody is
// a guest, and a name belongs to whoever is connected under it.
type identity struct {
	username kaban.Username
}

// session is one connection after its hello.
type session struct {
	identity identity
	secret   string // proves to be the same client; at least 128 bits
	handler  *handler
}

// registry knows which connection holds which name.
type registry struct {
	mu       sync.Mutex
	sessions map[string]*session // by Username.Key
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

// claim gives a name to a handler. With the secret of the session that holds
// the name it is taken over and the handler that loses it is returned. It
// returns errReserved and errTaken.
func (r *registry) claim(h *handler, id identity, resume string) (s *session, replaced *handler, err error) {
	key := id.username.Key()
	if reserved[key] {
		return nil, nil, errReserved
	}
	s = &session{identity: id, secret: rand.Text(), handler: h}
	r.mu.Lock()
	defer r.mu.Unlock()
	if holder := r.sessions[key]; holder != nil {
		if subtle.ConstantTimeCompare([]byte(holder.secret), []byte(resume)) != 1 {
			return nil, nil, errTaken
		}
		replaced = holder.handler
	}
	r.sessions[key] = s
	return s, replaced, nil
}

// release gives a name free, unless it was taken over.
func (r *registry) release(s *session) {
	key := s.identity.username.Key()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sessions[key] == s {
		delete(r.sessions, key)
	}
}
