package torture

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"sync"

	"kaban"
)

// claims is how several people fight for a server without an owner, at each start
// again, until one of them has it.
type claims struct {
	made  int
	tries []claimTry
	links []string
	owner string // once it is known
	over  bool   // owners may change their role from now on
}

type claimTry struct {
	username string
	outcome
	secret string // of the device
}

// claimants is the number of people with the link.
const claimants = 4

var claimLink = regexp.MustCompile(`/claim#(\S+)`)

func claimPassword(username string) string { return "password of " + username }

// work claims the server with the link of its log, and with an old one.
func (c *claims) work(w *world) {
	found := claimLink.FindStringSubmatch(w.log.String())
	if found == nil {
		return
	}
	c.links = append(c.links, found[1])
	link := found[1]
	tries := make([]claimTry, claimants)
	var group sync.WaitGroup
	for i := range tries {
		c.made++
		tries[i].username = fmt.Sprintf("boss-%d", c.made)
		secret := link
		if i == 1 && len(c.links) > 1 {
			secret = c.links[len(c.links)-2]
		}
		group.Go(func() {
			a := w.request("", http.MethodPost, "/v1/claim", map[string]string{
				"claim": secret, "username": tries[i].username, "password": claimPassword(tries[i].username),
			})
			tries[i].outcome, tries[i].secret = a.outcome, a.cookie
			if secret != link && a.outcome == acked {
				w.violation("claim: %s claimed the server with an old link", tries[i].username)
			}
		})
	}
	group.Wait()
	c.tries = append(c.tries, tries...)
}

// check compares the owner with the answers.
func (c *claims) check(s *State, report reporter) {
	for i := range c.tries {
		try := &c.tries[i]
		a, there := s.Accounts[try.username]
		switch {
		case there && c.owner != "" && c.owner != try.username:
			report("claim: %s became owner after %s", try.username, c.owner)
		case there && try.outcome == refused:
			report("claim: %s was refused and is there", try.username)
		case !there && try.outcome == acked:
			report("claim: %s was acknowledged and is not there", try.username)
		case !there:
			continue
		}
		c.owner = try.username
		if a.Role != kaban.RoleOwner && !c.over {
			report("claim: %s is %s", try.username, a.Role)
		}
		if x, ok := s.Secrets[hash(try.secret)]; try.outcome == acked && (!ok || x.Account != a.ID) {
			report("claim: the device of %s is not there", try.username)
		}
		if n := s.RowsOf("recovery.set", a.Username); n > 1 {
			report("claim: %d rows of recovery codes", n)
		}
	}
}

// verify asks a server that runs again.
func (c *claims) verify(w *world) {
	claimed := c.owner != ""
	for _, try := range c.tries {
		a := w.signIn(try.username, claimPassword(try.username))
		if is := try.username == c.owner; (a.outcome == acked) != is {
			w.violation("claim: %s signs in with %d, and the owner is %q", try.username, a.status, c.owner)
		}
	}
	for _, link := range slices.Compact(c.links) {
		if a := w.request("", http.MethodPost, "/v1/claim/look", map[string]string{"claim": link}); a.outcome == acked {
			w.violation("claim: an old link is good (claimed: %t)", claimed)
		}
	}
	var server struct{ Claimed bool }
	a := w.request("", http.MethodGet, "/v1/server", nil)
	if decode(w, a, &server); server.Claimed != claimed {
		w.violation("claim: /v1/server says %s, and the owner is %q", a.body, c.owner)
	}
}
