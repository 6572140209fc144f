// Package session tracks which connection holds which name. Front ends share one
// Registry, so a name belongs to one connection at a time, whatever its protocol.
// All methods are safe for concurrent use.
package session

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"sync"

	"kaban"
)

// Errors of this package.
var (
	// ErrTaken means that the name, or one that looks like it, is in use.
	ErrTaken = errors.New("name is taken")
	// ErrReserved means that nobody may use the name.
	ErrReserved = errors.New("name is reserved")
)

// Credential is what a connection of an account depends on.
type Credential struct {
	ID string // of the device or token
	// Rooms are the keys of the only rooms in which it is valid. Nil is all.
	Rooms    []string
	ReadOnly bool
	// Device is set if a person signed in on a device, and not a program with a token.
	Device bool
	// Fresh is set if the person has proved themselves lately. It is for a request: a
	// connection would keep it.
	Fresh bool
	// Expires is when it expires, in Unix milliseconds; 0 is never.
	Expires int64
}

// equals reports whether two credentials are the same one, as it is now.
func (c *Credential) equals(other *Credential) bool {
	return c.ID == other.ID && c.ReadOnly == other.ReadOnly && c.Device == other.Device && c.Fresh == other.Fresh &&
		c.Expires == other.Expires && (c.Rooms == nil) == (other.Rooms == nil) && slices.Equal(c.Rooms, other.Rooms)
}

// Owner is a connection that holds a name, or one of an account.
type Owner interface {
	// Changed is called when the state of a room has changed for the account, or, with the zero
	// room, what the account wants to be notified of. It must not block and may be called from any goroutine.
	Changed(room kaban.RoomName)
	// Revoke is called when the account or its credential is not valid any more. It
	// must not block and may be called from any goroutine.
	Revoke()
	// Replace is called when another connection has taken over the name. It must
	// not block and may be called from any goroutine.
	Replace()
}

// Session is a connection after its hello. It belongs to the connection: what has one makes it
// a field of its own, so that a connection is one piece of memory, and Enter or Claim fills it in.
type Session struct {
	kaban.Peer
	// Credential is what an account signed in with; nil for visitors.
	Credential *Credential

	secret secret
	owner  Owner
	more   *more // nil for most; guarded by Registry.mu
}

// more is what few sessions have, apart from them so that an idle one is small.
type more struct {
	// looks are readings of a visitor's name beside its key.
	looks []string
	// earlier are the secrets of the sessions that this one resumes, hashed, oldest first.
	// They are valid until the client confirms that it has received Secret.
	earlier []string
}

// looks returns the readings of the name beside its key.
func (s *Session) looks() []string {
	if s.more == nil {
		return nil
	}
	return s.more.looks
}

// setEarlier sets the secrets that identify the client beside Secret.
func (s *Session) setEarlier(secrets []string) {
	switch {
	case s.more != nil:
		s.more.earlier = secrets
	case len(secrets) > 0:
		s.more = &more{earlier: secrets}
	}
}

// maxEarlier is the maximum number of earlier secrets of a session.
const maxEarlier = 8

// find returns the index of a secret, counting from the oldest, or -1. It takes
// constant time.
func (s *Session) find(secret string) int {
	at, hash := -1, HashOf(secret)
	for i, known := range s.hashes() {
		at = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare([]byte(known), []byte(hash)), i, at)
	}
	return at
}

// hashes returns the hashes of all secrets that identify the client, oldest first.
func (s *Session) hashes() []string {
	own := HashOf(s.Secret())
	if s.more == nil {
		return []string{own}
	}
	return append(slices.Clip(s.more.earlier), own)
}

// HashOf returns a secret as it is kept. It is random, so it needs no salt.
func HashOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// Secret returns what identifies the client when it resumes: 128 random bits.
func (s *Session) Secret() string { return s.secret.String() }

// secret is a secret that takes as little memory as it can.
type secret [16]byte

func newSecret() (s secret) {
	rand.Read(s[:]) // never fails
	return s
}

func (s secret) String() string {
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(s[:])
}

// follow makes s the successor of a session whose secret at was presented. The
// client knows that secret, so earlier ones are obsolete, but it may know any later
// one.
func (s *Session) follow(before *Session, at int) { s.setEarlier(From(before.hashes(), at)) }

// From returns those of the secrets of a session, oldest first, that stay valid when one of them is presented:
// that one and the later ones. If there are too many, those are it and the newest.
func From(secrets []string, at int) []string {
	kept := slices.Clone(secrets[at:])
	if excess := len(kept) - maxEarlier; excess > 0 {
		kept = slices.Delete(kept, 1, 1+excess)
	}
	return kept
}

// Registry tracks the names in use. Connections hold a name; authors without a
// connection borrow one for a message (Speak). The zero Registry is empty.
type Registry struct {
	mu       sync.Mutex
	sessions map[string]*Session   // by Username.Key
	speakers map[string]int        // by Username.Key
	looks    map[string]look       // by those of Username.Looks that are no keys
	accounts map[string][]*Session // by Identity.ID
	expiries *expiries             // nil without Expire
	onOnline func(identity string, online bool)
}

// OnOnline sets a function that is called when an identity of an account gets its first connection,
// and when it loses its last. It must only take a note. It is set before the first Enter.
func (r *Registry) OnOnline(call func(identity string, online bool)) { r.onOnline = call }

// Enter fills in the session of a connection of an account, which may have many. It must not be one
// that goes on. Revoke is called when the credential expires; see Expire. The credential must not
// change afterwards.
func (r *Registry) Enter(s *Session, owner Owner, id kaban.Identity, address netip.Addr, credential *Credential) {
	*s = Session{Peer: kaban.Peer{Identity: id, Address: address}, Credential: credential, owner: owner}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.accounts == nil {
		r.accounts = make(map[string][]*Session)
	}
	others := r.accounts[id.ID()]
	if len(others) > 0 {
		s.share(others[len(others)-1])
	} else if r.onOnline != nil {
		r.onOnline(s.ID(), true)
	}
	r.accounts[s.ID()] = append(others, s)
	r.expiries.addLocked(s, credential.Expires)
}

// share has s use what it has in common with another session of the account: a program may
// have many connections with one token.
func (s *Session) share(other *Session) {
	if s.Identity == other.Identity {
		s.Identity = other.Identity // the same texts, but their memory is shared
	}
	if s.Credential.equals(other.Credential) {
		s.Credential = other.Credential
	}
}

// hasLocked reports whether a session of an account goes on.
func (r *Registry) hasLocked(s *Session) bool { return slices.Contains(r.accounts[s.ID()], s) }

// Revoke has the connections of an account ended whose credentials are selected.
// It returns how many they are.
func (r *Registry) Revoke(identity string, selected func(*Credential) bool) int {
	r.mu.Lock()
	var owners []Owner
	for _, s := range r.accounts[identity] {
		if selected(s.Credential) {
			owners = append(owners, s.owner)
		}
	}
	r.mu.Unlock()
	for _, owner := range owners {
		owner.Revoke()
	}
	return len(owners)
}

// Credentials returns the ids of the credentials that an account's connections depend on, each once.
func (r *Registry) Credentials(identity string) (ids []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.accounts[identity] {
		if !slices.Contains(ids, s.Credential.ID) {
			ids = append(ids, s.Credential.ID)
		}
	}
	return ids
}

// Dropper is an Owner that can end without a reason that its client could do anything about.
type Dropper interface {
	// Drop is called when the server cannot go on with the session, and the client may come back.
	// It must not block and may be called from any goroutine.
	Drop()
}

// DropVisitors has the connections of all visitors ended, which may come back: by Drop, or by Revoke
// where there is none.
func (r *Registry) DropVisitors() {
	for _, owner := range r.visitors() {
		if d, ok := owner.(Dropper); ok {
			d.Drop()
		} else {
			owner.Revoke()
		}
	}
}

// visitors returns the connections of all visitors.
func (r *Registry) visitors() []Owner {
	r.mu.Lock()
	defer r.mu.Unlock()
	owners := make([]Owner, 0, len(r.sessions))
	for _, s := range r.sessions {
		owners = append(owners, s.owner)
	}
	return owners
}

// Visitors returns the names of all visitors that have a connection.
func (r *Registry) Visitors() []kaban.Username {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := make([]kaban.Username, 0, len(r.sessions))
	for _, s := range r.sessions {
		names = append(names, s.Identity.Name())
	}
	return names
}

// Holds reports whether a session has the name of its visitor.
func (r *Registry) Holds(s *Session) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sessions[s.Identity.Name().Key()] == s
}

// Secrets returns the secret of a visitor's session, and those that it resumes, which are valid
// until it is confirmed. All are hashed.
func (r *Registry) Secrets(s *Session) (own string, earlier []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.more != nil {
		earlier = slices.Clone(s.more.earlier)
	}
	return HashOf(s.Secret()), earlier
}

// Follow makes a visitor's session, which is not confirmed yet, the successor of one elsewhere, whose hashed
// secrets stay valid.
func (r *Registry) Follow(s *Session, earlier []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.setEarlier(earlier)
}

// ReplaceVisitor frees the name with a key, and calls Replace for the connection that has it, if its secret is selected.
func (r *Registry) ReplaceVisitor(key string, selected func(secret string) bool) {
	r.mu.Lock()
	s := r.sessions[key]
	if s == nil || !selected(s.Secret()) {
		r.mu.Unlock()
		return
	}
	delete(r.sessions, key)
	r.giveLocked(s.looks())
	r.mu.Unlock()
	s.owner.Replace()
}

// Alike returns the keys of the names of visitors that have a connection and look like a name, its own included.
func (r *Registry) Alike(name kaban.Username) (keys []string) {
	looks := name.Looks()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range looks {
		if key := r.nameLocked(l); r.sessions[key] != nil && !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	return keys
}

// RevokeVisitors has the connections of all visitors ended.
func (r *Registry) RevokeVisitors() {
	for _, owner := range r.visitors() {
		owner.Revoke()
	}
}

// RevokeLike has the connections of visitors ended whose names look like a name.
func (r *Registry) RevokeLike(name kaban.Username) {
	var owners []Owner
	keys := r.Alike(name)
	r.mu.Lock()
	for _, key := range keys {
		if s := r.sessions[key]; s != nil {
			owners = append(owners, s.owner)
		}
	}
	r.mu.Unlock()
	for _, owner := range owners {
		owner.Revoke()
	}
}

// Tell calls Changed for the connections of an account. It returns how many they are.
func (r *Registry) Tell(identity string, room kaban.RoomName) int {
	r.mu.Lock()
	owners := make([]Owner, len(r.accounts[identity]))
	for i, s := range r.accounts[identity] {
		owners[i] = s.owner
	}
	r.mu.Unlock()
	for _, owner := range owners {
		owner.Changed(room)
	}
	return len(owners)
}

// Online returns the ids of all identities of accounts that have a connection.
func (r *Registry) Online() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.accounts))
}

// IsOnline reports whether an account has a connection.
func (r *Registry) IsOnline(identity string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.accounts[identity]) > 0
}

// Visiting returns the address of the connection that holds a name, and whether there
// is one.
func (r *Registry) Visiting(name kaban.Username) (netip.Addr, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.sessions[name.Key()]; s != nil {
		return s.Address, true
	}
	return netip.Addr{}, false
}

// look is a reading shared by the uses of one name.
type look struct {
	key   string // of the name
	count int    // uses of the name
}

// nameLocked returns the key of the name in use that has a reading, or "".
func (r *Registry) nameLocked(reading string) string {
	if r.sessions[reading] != nil || r.speakers[reading] > 0 {
		return reading
	}
	return r.looks[reading].key
}

// takeLocked records that a name is in use that has these readings beside its key. It
// returns false if a different name with one of them is.
func (r *Registry) takeLocked(key string, looks []string) bool {
	free := func(reading string) bool {
		taken := r.nameLocked(reading)
		return taken == "" || taken == key
	}
	if !free(key) {
		return false
	}
	for _, l := range looks {
		if !free(l) {
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

// giveLocked undoes takeLocked.
func (r *Registry) giveLocked(looks []string) {
	for _, l := range looks {
		if taken := r.looks[l]; taken.count > 1 {
			r.looks[l] = look{taken.key, taken.count - 1}
		} else {
			delete(r.looks, l)
		}
	}
}

// Claim gives a name to a connection. If another session holds the name, resume
// must be its secret or, as long as that is unconfirmed, a secret that it resumed.
// Claim then replaces that session and calls Replace on its owner. So a client that
// presents the last secret it received replaces the remnants of its own attempts.
// Claim fills in the session, which must not be one that goes on. It may return ErrReserved or ErrTaken.
func (r *Registry) Claim(s *Session, owner Owner, id kaban.Identity, address netip.Addr, resume string) error {
	looks := id.Name().Looks() // slow for some names, so not under the lock
	if kaban.IsReserved(id.Name()) {
		return ErrReserved
	}
	*s = Session{Peer: kaban.Peer{Identity: id, Address: address}, secret: newSecret(), owner: owner}
	if len(looks) > 1 {
		s.more = &more{looks: looks[1:]}
	}
	replaced, err := r.put(s, resume)
	if err != nil {
		*s = Session{} // with its secret
		return err
	}
	if replaced != nil {
		replaced.owner.Replace()
	}
	return nil
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
		// The session it belongs to has ended in the meantime. A later attempt of the
		// same client presents the same secret.
		s.setEarlier([]string{HashOf(resume)})
	}
	if holder != nil && at < 0 || r.speakers[name.Key()] > 0 || !r.takeLocked(name.Key(), s.looks()) {
		return nil, ErrTaken
	}
	if holder != nil {
		s.follow(holder, at)
		r.giveLocked(holder.looks())
	}
	r.sessions[name.Key()] = s
	return holder, nil
}

// Confirm records that the client has received the session's secret. It invalidates
// the earlier ones.
func (r *Registry) Confirm(s *Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.setEarlier(nil)
}

// Release frees the session's name, unless another session has replaced it, or takes
// the session out of its account's.
func (r *Registry) Release(s *Session) {
	name := s.Identity.Name()
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.Credential != nil {
		r.expiries.removeLocked(s)
		rest := slices.DeleteFunc(r.accounts[s.Identity.ID()], func(other *Session) bool { return other == s })
		if r.accounts[s.Identity.ID()] = rest; len(rest) == 0 {
			delete(r.accounts, s.Identity.ID())
			if r.onOnline != nil {
				r.onOnline(s.Identity.ID(), false)
			}
		}
		return
	}
	if r.sessions[name.Key()] == s {
		delete(r.sessions, name.Key())
		r.giveLocked(s.looks())
	}
}

// Speak lends a name to an author without a connection. The caller must call done
// once. Several callers may borrow the same name at a time; no connection can claim
// it meanwhile. Speak may return ErrReserved or ErrTaken.
func (r *Registry) Speak(name kaban.Username) (done func(), err error) {
	looks := name.Looks()[1:] // the first is the key
	if kaban.IsReserved(name) {
		return nil, ErrReserved
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sessions[name.Key()] != nil || !r.takeLocked(name.Key(), looks) {
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
