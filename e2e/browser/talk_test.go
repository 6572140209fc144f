package browser

import (
	"testing"
)

func TestFirstVisit(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	p := newPage(t, desktop)
	p.join(s.url, "alice")
	p.sees("No messages yet")
	p.say("hello **world**")
	p.stored("hello world")
	p.until(`document.title === 'lobby · Kaban'`)
	p.until(`location.pathname === '/r/lobby'`)
	if got := p.text(`document.querySelector('.row strong').innerText`); got != "world" {
		t.Errorf("got %q in bold, want world", got)
	}
}

func TestTalk(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	alice, ben := newPage(t, desktop), newPage(t, desktop)
	carol := s.terminal("carol", "lobby")
	alice.join(s.url, "alice")
	ben.join(s.url, "ben")
	for _, p := range []*page{alice, ben} {
		p.until(`document.querySelector('#members').innerText.includes('carol')`)
		p.until(`document.querySelectorAll('.member-list li').length === 3`)
	}
	alice.say("from alice")
	ben.sees("from alice")
	carol.see("alice:> from alice")
	carol.say("from carol")
	alice.sees("from carol")
	ben.sees("from carol")
	ben.say("from ben")
	alice.sees("from ben")
	carol.see("ben:> from ben")
	want := []string{"from alice", "from carol", "from ben"}
	for _, p := range []*page{alice, ben} {
		p.stored("from ben")
		if got := p.shown(); len(got) != 3 || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
