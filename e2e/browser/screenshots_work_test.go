package browser

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"kaban/client"
)

// shoot writes a picture of the documentation.
func (p *page) shoot(name string) {
	p.t.Helper()
	p.until(`document.fonts.status === 'loaded'`)
	picture := result(p, "screenshot", chromedp.CaptureScreenshot())
	if err := os.WriteFile(filepath.Join(*screenshots, name+".png"), picture, 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// team are people with accounts that talk and react.
type team struct {
	t   *testing.T
	ctx context.Context
	s   *server
	in  map[string]*client.Room // by name and room
}

func (m *team) room(who, name string) *client.Room {
	m.t.Helper()
	key := who + " " + name
	if m.in[key] == nil {
		c, err := client.Dial(m.ctx, m.s.tcp, client.Options{}.WithPassword(who, password))
		if err != nil {
			m.t.Fatal(err)
		}
		m.t.Cleanup(func() { c.Close() })
		if m.in[key], err = c.Join(m.ctx, name, client.From{}); err != nil {
			m.t.Fatal(err)
		}
	}
	return m.in[key]
}

func (m *team) stored(r client.Receipt, err error) uint64 {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
	return r.Seq
}

// say says something in a room, as an answer to a message if to is not 0.
func (m *team) say(who, room string, to uint64, content string) uint64 {
	m.t.Helper()
	if to == 0 {
		return m.stored(m.room(who, room).Send(m.ctx, content))
	}
	return m.stored(m.room(who, room).Reply(m.ctx, to, content))
}

func (m *team) react(room string, to uint64, emoji string, who ...string) {
	m.t.Helper()
	for _, name := range who {
		m.stored(m.room(name, room).React(m.ctx, to, emoji, true))
	}
}

// TestScreenshotsOfWork makes the pictures of a team with accounts at work: threads, pins, the
// search, catching up, emoji, members, settings. scripts/screenshots-web runs it.
func TestScreenshotsOfWork(t *testing.T) {
	if *screenshots == "" {
		t.Skip("only with -screenshots")
	}
	s := owned(t, "invite", "priya", "ben", "lena", "yusuf", "emil", "jun", "maximiliane_von-der-heide")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	m := &team{t: t, ctx: ctx, s: s, in: make(map[string]*client.Room)}
	for _, name := range []string{"priya", "lena", "yusuf", "emil", "jun", "maximiliane_von-der-heide"} {
		m.room(name, "lobby")
	}
	for _, name := range []string{"design", "deploys", "incidents", "weekly-planning-of-the-platform-team"} {
		m.stored(m.room("priya", name).Send(ctx, "Welcome"))
		m.room("ben", name)
	}
	m.say("priya", "lobby", 0, "Morning! The restore test went through: **41 minutes**, everything there.")
	plan := m.say("yusuf", "lobby", 0, "Release plan for 0.5:\n1. freeze on Wednesday\n2. release notes by Thursday noon\n3. ship on Friday, and nobody deploys after lunch")
	m.react("lobby", plan, "👍", "lena", "emil", "jun")
	m.react("lobby", plan, "🚀", "jun", "ben")
	ask := m.say("lena", "lobby", 0, "Do we want the new empty states in this release, or in the next one?")
	m.say("emil", "lobby", ask, "This one. They are tiny, and people ask every week.")
	m.say("jun", "lobby", ask, "If the German texts fit. \"Benachrichtigungseinstellungen\" broke the last layout…")
	fit := m.say("lena", "lobby", ask, "They fit now, down to 320 pixels. Pictures in #design.")
	m.react("lobby", fit, "🎉", "emil", "jun", "priya")
	m.say("maximiliane_von-der-heide", "lobby", 0, "The on-call rota is at https://wiki.example.org/teams/platform/on-call/2026/winter?view=calendar – please check your weeks.")
	m.say("jun", "lobby", 0, "The office is closed on Friday, and the 10:30 moves to Thursday.")
	notes := m.say("priya", "lobby", 0, "@ben, could you take the release notes this time?")
	m.stored(m.room("olga", "lobby").Pin(ctx, ask, true))
	m.stored(m.room("olga", "lobby").Pin(ctx, plan, true))
	m.say("lena", "design", 0, "@ben the new icons are in, have a look")
	m.say("yusuf", "deploys", 0, "v0.4.2 is live in `eu-1`")
	m.say("yusuf", "deploys", 0, "v0.4.2 is live in `us-1`")
	m.say("emil", "incidents", 0, "@ben the disk of `db-3` is at 80 percent, no hurry")

	enter := func(who string, how screen) *page {
		t.Helper()
		p := newPage(t, how)
		p.expectBreaks()
		p.signIn(s.url, who)
		p.until(`document.querySelectorAll('.member-list li').length >= 8`)
		if who != "ben" || !how.mobile { // whoever catches up has not read it yet
			p.until("%s", raw(fmt.Sprintf(`(document.querySelector('#messages').scrollTop = 1e6, document.querySelector('.row[data-seq="%d"]'))`, notes)))
		}
		return p
	}
	wide, narrow := screen{width: 1200, height: 750}, screen{width: 390, height: 780, mobile: true}
	dark := func(how screen) screen { how.dark = true; return how }

	p := newPage(t, narrow)
	p.expectBreaks()
	p.open(s.url)
	p.heading("Sign in to Kaban")
	p.shoot("web-sign-in")
	p.close()

	p = enter("ben", dark(narrow))
	p.press("u", chromedp.KeyModifiers(kb.ModifierAlt))
	p.until(`document.querySelectorAll('#inbox .results a').length >= 4`)
	p.text(`document.activeElement.blur(), ''`)
	p.shoot("web-catch-up")
	p.close()

	p = enter("ben", wide)
	p.open(fmt.Sprintf("%s/r/lobby#thread/%d", s.url, ask))
	p.online()
	p.until(`document.querySelectorAll('#thread .row').length === 4`)
	p.shoot("web-thread")
	p.press("f", chromedp.KeyModifiers(kb.ModifierCtrl))
	p.until(`document.activeElement.id === 'search'`)
	p.write("release")
	p.press(kb.Enter)
	p.until(`document.querySelectorAll('.search .results li').length >= 2`)
	p.shoot("web-search")
	p.press(kb.Escape)
	p.press(kb.Escape)
	p.until(`!document.querySelector('#panel')`)
	p.tool(int(fit), "Add a reaction")
	p.until(`document.querySelectorAll('dialog[open] [data-emoji]').length > 20`)
	p.shoot("web-emoji")
	p.press(kb.Escape)
	p.until(`!document.querySelector('dialog[open]')`)
	p.close()

	p = enter("olga", dark(wide))
	p.click(`.head button[aria-label="Pinned messages"]`)
	p.until(`document.querySelectorAll('.pin').length === 2`)
	p.shoot("web-pins")
	p.press(kb.Escape)
	p.text(`[...document.querySelectorAll('.member-list button')].find((b) => b.innerText.includes('maximiliane')).click(), ''`)
	p.until(`document.querySelector('dialog[open] .actions')`)
	p.shoot("web-member")
	p.press(kb.Escape)
	p.part("People")
	p.until(`document.querySelectorAll('.part .item').length === 8`)
	p.shoot("web-admin")
	p.close()

	p = enter("priya", narrow)
	p.click("#input")
	p.tool(int(notes), "Edit")
	p.write(" Thanks!")
	p.shoot("web-edit")
	p.press(kb.Escape)
	p.close()

	p = enter("ben", wide)
	p.part("Notifications")
	p.fill("keyword", "on call")
	p.press(kb.Enter)
	p.fill("keyword", "db-3")
	p.press(kb.Enter)
	p.text(`document.getElementById('quiet-hours').click(), ''`)
	p.until(`document.getElementById('quiet-from')`)
	p.shoot("web-notifications")
	p.speak("de")
	p.shoot("web-notifications-de")
	p.press(kb.Escape)
	p.until(`!document.querySelector('dialog[open]')`)
	p.open(fmt.Sprintf("%s/r/lobby#search/release", s.url))
	p.until(`document.querySelectorAll('.search .results li').length >= 2`)
	p.shoot("web-german")
	p.speak("en")
	p.close()
}
