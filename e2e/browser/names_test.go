package browser

import (
	"strings"
	"testing"

	"kaban/internal/account"
)

// hebrew is a name that is written from right to left.
const hebrew = "יעל"

// TestNamesStandInLine checks names that are long, that are of several people, and that are written
// from right to left: usernames are whole, and all begin at the same edge.
func TestNamesStandInLine(t *testing.T) {
	t.Parallel()
	data := ownedData(t, "invite", "ben", "carla", hebrew)
	prepare(t, data, func(accounts *account.Service) {
		for _, name := range []string{"olga", "ben", "carla"} {
			if err := accounts.SetName(t.Context(), account.Operator(), name, strings.Repeat("Wilhelmine ", 5)); err != nil {
				t.Fatal(err)
			}
		}
	})
	s := startServer(t, data)
	p := newPage(t, desktop)
	p.expectBreaks()
	p.signIn(s.url, "olga")
	p.until(`document.querySelectorAll('.member-list .called').length === 3`)
	if cut := p.text(`[...document.querySelectorAll('.member')].filter((e) => e.scrollWidth > e.clientWidth).map((e) => e.innerText).join()`); cut != "" {
		t.Errorf("the usernames %s are cut off, and their display names are beside them", cut)
	}
	p.until(`[...document.querySelectorAll('.change')].some((e) => e.innerText.includes(%s))`, hebrew)
	oneEdge := func(texts string) {
		t.Helper()
		if edges := p.text(`[...new Set([...document.querySelectorAll(` + quote(texts) + `)].map((e) => {
			const text = document.createRange()
			text.selectNodeContents(e)
			return Math.round(text.getBoundingClientRect().left)
		}))].join()`); strings.Contains(edges, ",") {
			t.Errorf("%s: texts begin at %s, want all at one edge", texts, edges)
		}
	}
	oneEdge(".change")
	p.create(hebrew, "public")
	p.create("plain", "public")
	oneEdge(".room .room-name")
	p.button("New direct message")
	p.until(`document.activeElement?.role === 'combobox'`)
	p.choose("Name of a person", "ben")
	p.choose("Name of a person", "carla")
	p.button("Start the conversation")
	p.until(`document.querySelector('h1 bdi')?.innerText === 'ben, carla'`)
	if letters := p.text(`document.querySelector('h1 .avatar').dataset.letters`); letters != "BC" {
		t.Errorf("the face of ben and carla has the letters %q, want BC", letters)
	}
	p.say("while the server is there")
	p.stored("while the server is there")
	s.kill()
	p.say("while it is away")
	p.until(`document.querySelector('.pending')`)
	if between := p.text(`document.querySelector('.pending .time').previousSibling.textContent`); between != " " {
		t.Errorf("%q is between the name of the author and the time, want a space", between)
	}
}

// TestLeavingIsBesideNames checks a touch screen, where the button that leaves a room is always shown.
func TestLeavingIsBesideNames(t *testing.T) {
	t.Parallel()
	s := owned(t, "invite")
	p := newPage(t, phone)
	p.expectBreaks()
	p.signIn(s.url, "olga")
	name := strings.Repeat("long-", 12)
	for _, room := range []string{name + "name", hebrew} {
		p.button("Show rooms")
		p.create(room, "public")
	}
	p.button("Show rooms")
	p.until(`document.querySelectorAll('.room .leave').length === 3`)
	if covered := p.text(`[...document.querySelectorAll('.room')].filter((room) => {
		const text = document.createRange()
		text.selectNodeContents(room.querySelector('.room-name'))
		const name = room.querySelector('.room-name').getBoundingClientRect()
		return Math.min(name.right, text.getBoundingClientRect().right) > room.querySelector('.leave').getBoundingClientRect().left
	}).map((e) => e.innerText).join()`); covered != "" {
		t.Errorf("the button that leaves covers the names of %s", covered)
	}
}
