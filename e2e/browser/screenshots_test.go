package browser

import (
	"testing"
)

// TestScreenshots makes the pictures of the documentation: a team's conversation, on a
// desktop and on a phone, light and dark. scripts/screenshots-web runs it.
func TestScreenshots(t *testing.T) {
	if *screenshots == "" {
		t.Skip("only with -screenshots")
	}
	s := startServer(t, ":memory:")
	for _, said := range conversation {
		s.say(said.who, said.room, said.what)
	}
	for _, who := range []string{"ben", "priya", "emil", "yusuf", "jun", "sofia"} {
		s.terminal(who, "lobby")
	}
	for _, shot := range []struct {
		name string
		how  screen
	}{
		{"web-desktop-light", screen{width: 1200, height: 750}},
		{"web-desktop-dark", screen{width: 1200, height: 750, dark: true}},
		{"web-phone-light", screen{width: 390, height: 780, mobile: true}},
		{"web-phone-dark", screen{width: 390, height: 780, mobile: true, dark: true}},
	} {
		p := newPage(t, shot.how)
		p.script(morning)
		p.open(s.url)
		// A returning user, with rooms, some of them unread.
		p.text(`localStorage.setItem('kaban.rooms', JSON.stringify(['lobby', 'deploys', 'design', 'incidents', 'random'])), localStorage.setItem('kaban.starred', '["lobby", "design"]'), ''`)
		p.open(s.url)
		p.join(s.url, "alice")
		p.until(`document.querySelectorAll('.room').length === 5`)
		p.until(`document.querySelectorAll('.member-list li').length === 7`)
		s.say("deploy-bot", "deploys", "v0.4.2 is live in `eu-1`", "v0.4.2 is live in `us-1`")
		s.say("lena", "design", "@alice the new icons are in, have a look")
		p.until(`document.querySelectorAll('.count').length === 2`)
		p.text(`document.activeElement.blur(), ''`)
		p.shoot(shot.name)
		p.close() // so that the next page can have its name
	}
}

// morning spreads the messages, which are all sent within a moment, over a morning.
const morning = `
	const parse = JSON.parse
	JSON.parse = (text) => {
		const value = parse(text)
		value?.messages?.forEach((m, i) => {
			const time = new Date()
			time.setHours(9, 4 + Math.floor(i * i / 2) + (i > 3 ? 11 : 0), 0, 0)
			m.time = time.toISOString()
		})
		return value
	}
`

var conversation = []struct{ who, room, what string }{
	{"priya", "incidents", "All clear since 04:10, writing it up"},
	{"jun", "random", "Who took the good coffee?"},
	{"lena", "design", "First draft of the empty states is up"},
	{"ben", "deploys", "Deploying 0.4.1"},
	{"ben", "lobby", "Morning! The nightly restore test went through: 41 minutes, everything there."},
	{"priya", "lobby", "Nice, that is half of what it was last week."},
	{"priya", "lobby", "Was it the new batch size?"},
	{"ben", "lobby", "Mostly. This is all that changed:\n```go\n// One transaction for as many rows as are waiting.\nconst maxBatch = 1024\n```"},
	{"yusuf", "lobby", "I would like to understand the numbers before we call it done. Two things:\n- the first run had a *cold* cache, did the second?\n- what does `p99` look like while it restores?"},
	{"ben", "lobby", "Both cold. p99 stays under **12 ms**, graphs are at https://grafana.example.org/d/restore"},
	{"emil", "lobby", "> Was it the new batch size?\n\nAnd the disk. We are on the new ones since Tuesday."},
	{"yusuf", "lobby", "Convinced 👍"},
	{"jun", "lobby", "Reminder: the office is closed on Friday, and the 10:30 moves to Thursday."},
	{"lena", "lobby", "Thanks @jun. @alice, could you take the release notes this time?"},
}
