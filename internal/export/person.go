package export

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"kaban"
	"kaban/internal/people"
	"kaban/internal/store"
)

// maxOfPerson bounds what an account has of one kind, such as devices or credentials.
// It is above the limits that package account sets.
const maxOfPerson = 10_000

// Person is somebody whose data are exported: the account, with all that the server
// keeps about it, and the entries of which it is the author. Secrets and their hashes
// are not among them: they are the server's.
type Person struct {
	account people.Account
	author  string           // the id of the identity that the entries have
	visited map[string]int64 // until when it was which visitors, by the ids of these
	lines   []byte
}

// NewPerson returns what documents have of the account with a username. The error is
// people.ErrNotFound if there is none.
func NewPerson(tx store.Tx, name kaban.Username) (*Person, error) {
	a, err := people.Accounts.Named(tx, name)
	if err != nil {
		return nil, err
	}
	identity, err := a.Identity()
	if err != nil {
		return nil, err
	}
	p := &Person{account: a, author: identity.ID(), visited: make(map[string]int64)}
	for _, add := range []func(store.Tx) error{p.addAccount, p.addVisitors, p.addMemberships, p.addSecrets, p.addCredentials, p.addBlocks} {
		if err := add(tx); err != nil {
			return nil, fmt.Errorf("the data of %s: %w", a.Username, err)
		}
	}
	return p, nil
}

// Lines returns the lines before the entries, each an object with a type.
func (p *Person) Lines() []byte { return p.lines }

// Wrote reports whether the person is the author of a record.
func (p *Person) Wrote(r *store.Record) bool {
	author := r.Author.ID()
	return author == p.author || r.Time < p.visited[author]
}

// add adds a line.
func (p *Person) add(line map[string]any) error {
	for key, value := range line {
		switch v := value.(type) {
		case int64:
			if line[key] = time.UnixMilli(v).UTC().Format(timeFormat); v == 0 {
				delete(line, key)
			}
		case string:
			if v == "" {
				delete(line, key)
			}
		}
	}
	text, err := json.Marshal(line)
	p.lines = append(append(p.lines, text...), '\n')
	return err
}

func (p *Person) addAccount(store.Tx) error {
	a := &p.account
	return p.add(map[string]any{
		"type": "account", "username": a.Username, "name": a.Name, "role": a.Role.String(), "status": string(a.Status),
		"reason": a.Reason, "bot": a.Bot, "created": a.Created, "groups": a.Groups,
	})
}

// addVisitors adds the names under which the person wrote without an account.
func (p *Person) addVisitors(tx store.Tx) error {
	for after := []string(nil); ; {
		links, more, err := people.Links.List(tx, nil, after, maxOfPerson)
		if err != nil {
			return err
		}
		for _, l := range links {
			after = []string{l.Visitor}
			if l.Account != p.account.ID {
				continue
			}
			p.visited[l.Visitor] = l.Since
			if err := p.add(map[string]any{"type": "visitor", "id": l.Visitor, "since": l.Since}); err != nil {
				return err
			}
		}
		if !more {
			return nil
		}
	}
}

func (p *Person) addMemberships(tx store.Tx) (err error) {
	var failed error
	err = people.Members.AllOf(tx, p.account.ID, func(m *people.Member) bool {
		name := m.Room
		if r, err := people.Rooms.Get(tx, m.Room); err == nil {
			name = r.Name
		}
		failed = p.add(map[string]any{
			"type": "membership", "room": name, "role": m.Role.String(), "since": m.Since, "from": m.From, "read": m.Read,
		})
		return failed == nil
	})
	if err == nil {
		err = failed
	}
	return err
}

func (p *Person) addSecrets(tx store.Tx) error {
	secrets, _, err := people.Secrets.Of(tx, p.account.ID, "", maxOfPerson)
	if err != nil {
		return err
	}
	for _, s := range secrets {
		if err := p.add(map[string]any{
			"type": string(s.Kind), "id": s.ID, "name": s.Name, "created": s.Created, "used": s.Used, "expires": s.Expires, "address": s.Address,
		}); err != nil {
			return err
		}
	}
	return nil
}

func (p *Person) addCredentials(tx store.Tx) error {
	credentials, _, err := people.Credentials.Of(tx, p.account.ID, "", maxOfPerson)
	if err != nil {
		return err
	}
	for _, c := range credentials {
		if err := p.add(map[string]any{
			"type": "credential", "kind": string(c.Kind), "name": c.Name, "created": c.Created, "used": c.Used,
		}); err != nil {
			return err
		}
	}
	return nil
}

func (p *Person) addBlocks(tx store.Tx) error {
	blocks, _, err := people.Blocks.List(tx, []string{p.account.ID}, nil, maxOfPerson)
	if err != nil {
		return err
	}
	for _, b := range blocks {
		other, err := people.Accounts.Get(tx, b.Blocked)
		if err != nil {
			continue // it is erased
		}
		if err := p.add(map[string]any{"type": "block", "username": other.Username, "since": b.Since}); err != nil {
			return err
		}
	}
	return nil
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
