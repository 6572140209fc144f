package torture

import (
	"fmt"
	"net/http"
	"slices"
	"sync"

	"kaban"
	"kaban/internal/people"
)

// tally counts the rows of one change that is made again and again.
type tally struct {
	row        Row
	sure, open int
}

func (t *tally) add(o outcome) {
	switch o {
	case acked:
		t.sure++
	case unknown:
		t.open++
	}
}

// check compares with the audit, and learns what became of the changes without an
// answer.
func (t *tally) check(s *State, report reporter) {
	n := s.Rows[t.row]
	if n < t.sure || n > t.sure+t.open {
		report("audit: %d rows of %v; %d were acknowledged and %d had no answer", n, t.row, t.sure, t.open)
	}
	t.sure, t.open = n, 0
}

// owners are two that give up their role at the same time. One of them must keep it.
type owners struct {
	pair    [2]*staff
	down    [2]tally
	up      [2]tally
	demoted int // the one that is admin; -1 is none
}

func (o *owners) prepare(*world) {
	for i, p := range o.pair {
		o.down[i].row, o.up[i].row = Row{"account.role", p.username, "admin"}, Row{"account.role", p.username, "owner"}
	}
	o.demoted = -1
}

func (o *owners) work(w *world) {
	for w.alive() {
		if i := o.demoted; i >= 0 {
			a := w.operate(http.MethodPut, "/v1/admin/users/"+o.pair[i].username+"/role", map[string]string{"role": "owner"})
			if o.up[i].add(a.outcome); a.outcome == unknown {
				return
			}
			o.demoted = -1
		}
		var answers [2]answer
		var group sync.WaitGroup
		for i, p := range o.pair {
			group.Go(func() {
				answers[i] = w.request(p.secret, http.MethodPut, "/v1/admin/users/"+p.username+"/role", map[string]string{"role": "admin"})
			})
		}
		group.Wait()
		lost := 0
		for i, a := range answers {
			if o.down[i].add(a.outcome); a.outcome == acked {
				o.demoted = i
			}
			if a.outcome == unknown {
				lost++
			}
			if a.outcome == refused && a.code != "last_owner" {
				w.violation("owners: %s gives up its role: %d %s", o.pair[i].username, a.status, a.body)
			}
		}
		if lost > 0 {
			return
		}
		if (answers[0].outcome == acked) == (answers[1].outcome == acked) {
			w.violation("owners: both or none gave up their roles: %s %s", answers[0].body, answers[1].body)
		}
	}
}

func (o *owners) check(s *State, report reporter) {
	o.demoted = -1
	for i, p := range o.pair {
		o.down[i].check(s, report)
		o.up[i].check(s, report)
		want := kaban.RoleOwner
		if o.down[i].sure > o.up[i].sure {
			want, o.demoted = kaban.RoleAdmin, i
		}
		if is := s.Accounts[p.username].Role; is != want {
			report("owners: %s is %s and, by the audit, %s", p.username, is, want)
		}
	}
}

func (o *owners) verify(w *world) {
	for i, p := range o.pair {
		want := "owner"
		if i == o.demoted {
			want = "admin"
		}
		a := w.operate(http.MethodGet, "/v1/admin/users/"+p.username, nil)
		if role := a.field("role"); a.outcome == acked && role != want {
			w.violation("owners: /v1/admin says that %s is %s, not %s", p.username, role, want)
		}
	}
}

// roles changes the role of an account, which itself may change nobody.
type roles struct {
	by, subject *staff
	to          [2]tally
	guest       bool
}

func (r *roles) prepare(*world) {
	r.to[0].row, r.to[1].row = Row{"account.role", r.subject.username, "member"}, Row{"account.role", r.subject.username, "guest"}
}

func (r *roles) work(w *world) {
	for w.alive() {
		next, role := 1, "guest"
		if r.guest {
			next, role = 0, "member"
		}
		a := w.request(r.by.secret, http.MethodPut, "/v1/admin/users/"+r.subject.username+"/role", map[string]string{"role": role})
		if r.to[next].add(a.outcome); a.outcome != acked {
			if a.outcome == refused {
				w.violation("roles: %d %s", a.status, a.body)
			}
			return
		}
		r.guest = !r.guest
		a = w.request(r.subject.secret, http.MethodPost, "/v1/admin/users/"+r.by.username+"/suspend", map[string]string{"reason": "refused"})
		if a.outcome == acked {
			w.violation("roles: %s suspended %s", r.subject.username, r.by.username)
		}
	}
}

func (r *roles) check(s *State, report reporter) {
	r.to[0].check(s, report)
	r.to[1].check(s, report)
	r.guest = r.to[1].sure > r.to[0].sure
	if is := s.Accounts[r.subject.username].Role == kaban.RoleGuest; is != r.guest {
		report("roles: %s is %s, and was made guest %d and member %d times", r.subject.username, s.Accounts[r.subject.username].Role, r.to[1].sure, r.to[0].sure)
	}
	if n := s.Rows[Row{"account.suspend", r.by.username, "refused"}]; n > 0 || s.Accounts[r.by.username].Status != people.StatusActive {
		report("roles: what was refused has %d rows", n)
	}
}

func (r *roles) verify(w *world) {
	a := w.request(r.subject.secret, http.MethodGet, "/v1/session", nil)
	var session struct{ Account struct{ Role string } }
	if decode(w, a, &session); a.outcome == acked && (session.Account.Role == "guest") != r.guest {
		w.violation("roles: the session says %s (guest: %t)", a.body, r.guest)
	}
}

// passwords changes a password, which ends all other devices.
type passwords struct {
	who              *staff
	n                int
	set              tally
	current, pending string
	old              string
	doomed           []string // secrets of other devices
	dead             []string
}

func (p *passwords) prepare(w *world) {
	p.current, p.set.row = p.who.password, Row{"password.set", p.who.username, ""}
}

func (p *passwords) work(w *world) {
	for w.alive() {
		p.n++
		next := fmt.Sprintf("password number %d", p.n)
		a := w.request(p.who.secret, http.MethodPut, "/v1/account/password", map[string]string{"password": next})
		switch p.set.add(a.outcome); a.outcome {
		case unknown:
			p.pending = next
			return
		case refused:
			w.violation("password: %d %s", a.status, a.body)
			return
		}
		p.changed(next)
		if a := w.signIn(p.who.username, next); a.outcome == acked {
			p.doomed = append(p.doomed, a.cookie)
		} else if a.outcome == refused {
			w.violation("password: the new one does not work: %d %s", a.status, a.body)
		}
	}
}

func (p *passwords) changed(to string) {
	p.old, p.current = p.current, to
	p.dead, p.doomed = append(p.dead, p.doomed...), nil
}

func (p *passwords) check(s *State, report reporter) {
	before := p.set.sure
	if p.set.check(s, report); p.pending != "" && p.set.sure > before {
		p.changed(p.pending)
	}
	p.pending = ""
	for _, secret := range p.dead {
		if _, ok := s.Secrets[hash(secret)]; ok {
			report("password: a device outlived the change")
		}
	}
	for _, secret := range append(p.doomed, p.who.secret) {
		if _, ok := s.Secrets[hash(secret)]; !ok {
			report("password: a device is gone")
		}
	}
}

func (p *passwords) verify(w *world) {
	if a := w.signIn(p.who.username, p.old); p.old != "" && a.outcome == acked {
		w.violation("password: the old one works")
	}
	switch a := w.signIn(p.who.username, p.current); a.outcome {
	case acked:
		p.doomed = append(p.doomed, a.cookie)
	case refused:
		w.violation("password: the one that was set last does not work: %d %s", a.status, a.body)
	}
	deadSecrets(w, p.dead)
}

// deadSecrets asks the server with secrets that must not work, the latest ones.
func deadSecrets(w *world, secrets []string) {
	for _, secret := range secrets[max(0, len(secrets)-10):] {
		if a := w.request(secret, http.MethodGet, "/v1/session", nil); a.outcome == acked {
			w.violation("a secret works that was revoked: %s", a.body)
		}
	}
}

// tokens makes and revokes the tokens and devices of an account.
type tokens struct {
	who *staff
	n   int
	all []*token
}

type token struct {
	kind, id, secret string
	asked            bool // to be revoked
	revoked          outcome
}

func (*tokens) prepare(*world) {}

func (t *tokens) work(w *world) {
	for w.alive() {
		t.n++
		made, ok := t.make(w)
		if !ok {
			return
		}
		t.all = append(t.all, made)
		if a := w.request(made.secret, http.MethodGet, "/v1/session", nil); a.outcome == refused {
			w.violation("token: a new %s does not work: %d %s", made.kind, a.status, a.body)
		}
		made.asked = true
		a := w.request(t.who.secret, http.MethodDelete, "/v1/"+made.kind+"s/"+made.id, nil)
		if made.revoked = a.outcome; a.outcome != acked {
			if a.outcome == refused {
				w.violation("token: %s %s cannot be revoked: %d %s", made.kind, made.id, a.status, a.body)
			}
			return
		}
		if a := w.request(made.secret, http.MethodGet, "/v1/session", nil); a.outcome == acked {
			w.violation("token: the revoked %s %s works", made.kind, made.id)
		}
	}
}

func (t *tokens) make(w *world) (*token, bool) {
	if t.n%3 == 0 {
		a := w.signIn(t.who.username, t.who.password)
		var session struct{ Device struct{ ID string } }
		decode(w, a, &session)
		return &token{kind: "device", id: session.Device.ID, secret: a.cookie}, a.outcome == acked
	}
	a := w.request(t.who.secret, http.MethodPost, "/v1/tokens", map[string]string{"name": fmt.Sprint("token ", t.n)})
	if a.outcome == refused {
		w.violation("token: it cannot be made: %d %s", a.status, a.body)
	}
	return &token{kind: "token", id: a.field("id"), secret: a.field("token")}, a.outcome == acked
}

func (t *tokens) check(s *State, report reporter) {
	for _, x := range t.all {
		_, there := s.Secrets[hash(x.secret)]
		rows := s.RowsOf(x.kind+".revoke", x.id)
		if (rows == 0) != there || rows > 1 {
			report("token: %s %s (there: %t) has %d rows that revoke it", x.kind, x.id, there, rows)
		}
		if x.asked && x.revoked == acked && there {
			report("token: the revoked %s %s is there", x.kind, x.id)
		}
		if !x.asked && !there {
			report("token: %s %s is lost", x.kind, x.id)
		}
		if x.asked && !there {
			x.revoked = acked
		}
	}
}

func (t *tokens) verify(w *world) {
	var dead []string
	for _, x := range t.all {
		if x.asked && x.revoked == acked {
			dead = append(dead, x.secret)
		} else if a := w.request(x.secret, http.MethodGet, "/v1/session", nil); a.outcome == refused {
			w.violation("token: the %s %s does not work: %d %s", x.kind, x.id, a.status, a.body)
		}
	}
	deadSecrets(w, dead)
}

// invites makes invites with few uses, for which many people compete.
type invites struct {
	by      *staff
	all     []*invite
	pending int // without an answer
}

type invite struct {
	n      int
	secret string
	tries  []*acceptance
}

type acceptance struct {
	username string
	outcome
	secret string // of the device
}

// inviteUses is how many accounts an invite makes; inviteTries is how many people have it.
const (
	inviteUses  = 3
	inviteTries = 6
)

func (i *invites) prepare(w *world) {
	l, err := w.dial(i.by.secret)
	if err != nil {
		w.t.Fatal(err)
	}
	defer l.conn.Close()
	w.tell(l, map[string]any{"type": "create", "room": "cell", "kind": "private"})
}

func (i *invites) work(w *world) {
	for n := len(i.all); w.alive(); n++ {
		a := w.request(i.by.secret, http.MethodPost, "/v1/invites", map[string]any{"uses": inviteUses, "rooms": []string{"cell"}})
		if a.outcome != acked {
			if i.pending++; a.outcome == refused {
				w.violation("invite: it cannot be made: %d %s", a.status, a.body)
			}
			return
		}
		one := &invite{n: n, secret: secretOf(a.field("link"))}
		i.all = append(i.all, one)
		one.accept(w)
	}
}

// accept has many people use an invite at once.
func (i *invite) accept(w *world) {
	var group sync.WaitGroup
	for range inviteTries {
		try := &acceptance{username: fmt.Sprintf("inv-%d-%d", i.n, len(i.tries))}
		i.tries = append(i.tries, try)
		group.Go(func() {
			a := w.request("", http.MethodPost, "/v1/invite/accept", map[string]string{
				"invite": i.secret, "username": try.username, "password": "password of " + try.username,
			})
			try.outcome, try.secret = a.outcome, a.cookie
		})
	}
	group.Wait()
}

func (i *invites) check(s *State, report reporter) {
	i.pending = 0
	for _, one := range i.all {
		one.check(s, report)
	}
}

func (i *invite) check(s *State, report reporter) {
	made := 0
	for _, try := range i.tries {
		a, there := s.Accounts[try.username]
		switch {
		case there && try.outcome == refused:
			report("invite: %s was refused and is there", try.username)
		case !there && try.outcome == acked:
			report("invite: %s was acknowledged and is not there", try.username)
		case there:
			made++
			i.whole(s, &a, try, report)
			try.outcome = acked
		default:
			try.outcome = refused
		}
	}
	if left := s.Invites[hash(i.secret)].Uses; made+left != inviteUses {
		report("invite: %d has made %d accounts and %d uses are left, of %d", i.n, made, left, inviteUses)
	}
}

// whole: an account has everything that it was made with, and joins its rooms now or
// later.
func (i *invite) whole(s *State, a *people.Account, try *acceptance, report reporter) {
	device := 0
	for _, x := range s.Secrets {
		if x.Account == a.ID {
			device++
		}
	}
	if device == 0 {
		report("invite: %s has no device", a.Username)
	}
	if _, ok := s.Secrets[hash(try.secret)]; try.secret != "" && !ok {
		report("invite: the device of %s is not there", a.Username)
	}
	for _, room := range []string{"lobby", "cell"} {
		if _, in := s.Members[room][a.ID]; !in && !s.Task(a.ID, people.TaskJoin) {
			report("invite: %s is not in %s, and will not be", a.Username, room)
		}
	}
}

func (i *invites) verify(w *world) {
	for _, one := range i.all[max(0, len(i.all)-2):] {
		for _, try := range slices.Backward(one.tries) {
			if a := w.signIn(try.username, "password of "+try.username); (a.outcome == acked) != (try.outcome == acked) && a.outcome != unknown {
				w.violation("invite: %s signs in with %d, but its outcome is %d", try.username, a.status, try.outcome)
			}
		}
		one.accept(w) // those uses that are left
	}
}
