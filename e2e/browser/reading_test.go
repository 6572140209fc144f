package browser

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// position is the place of the first fully visible message on the screen.
type position struct {
	Seq int
	Top float64
}

const firstVisible = `(() => {
	const list = document.querySelector('#messages').getBoundingClientRect()
	const row = [...document.querySelectorAll('.row[data-seq]')].find((r) => r.getBoundingClientRect().top >= list.top)
	return {Seq: Number(row.dataset.seq), Top: row.getBoundingClientRect().top}
})()`

// topOf returns where a message begins on the screen.
func (p *page) topOf(seq int) float64 {
	p.t.Helper()
	return p.number(fmt.Sprintf(`document.querySelector('.row[data-seq="%d"]')?.getBoundingClientRect().top ?? NaN`, seq))
}

func TestReadingIsNotDisturbed(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	lines := numbered("n", 600)
	for i := range lines { // of different heights
		lines[i] += strings.Repeat("\nmore", i%7)
	}
	s.say("ben", "lobby", lines...)
	p := newPage(t, desktop)
	p.join(s.url, "alice")
	p.sees("n 600")
	p.text(`document.querySelector('#messages').scrollBy(0, -900), ''`)
	p.until(`document.querySelector('.jump')`)
	before := value[position](p, `new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(`+firstVisible+`))))`, awaited)
	s.say("ben", "lobby", numbered("later", 30)...)
	p.until(`document.querySelector('.jump').innerText.includes('30 new messages')`)
	p.until(`document.title.startsWith('(30) ')`)
	if top := p.topOf(before.Seq); top < before.Top-1 || top > before.Top+1 {
		t.Errorf("message %d was moved from %v to %v by new messages", before.Seq, before.Top, top)
	}
	// Loading older messages above does not move anything either.
	before = value[position](p, `new Promise((done) => {
		document.querySelector('#messages').scrollTop = 40
		requestAnimationFrame(() => requestAnimationFrame(() => done(`+firstVisible+`)))
	})`, awaited)
	p.until(`document.querySelector('#messages').scrollTop > 1000`) // a page has been put in above
	if top := p.topOf(before.Seq); top < before.Top-1 || top > before.Top+1 {
		t.Errorf("message %d was moved from %v to %v by older messages", before.Seq, before.Top, top)
	}
	// Up to the very first message; none is missing.
	p.until(`(() => { const l = document.querySelector('#messages'); l.scrollTop = 0; return l.innerText.includes('This is where lobby begins.') })()`)
	p.click(".jump")
	p.sees("later 30")
	p.until(`document.title === 'lobby · Kaban'`)
	want := append(slices.Clone(lines), numbered("later", 30)...)
	for seq, content := range p.readAll() {
		if content != want[seq-1] {
			t.Errorf("message %d is %q, want %q", seq, content, want[seq-1])
		}
	}
}

func TestUnreadAndDrafts(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	s.say("ben", "team", "hello team")
	p := newPage(t, desktop)
	p.join(s.url, "alice")
	p.visit("team")
	p.sees("hello team")
	p.write("a thought for the team")
	p.until(`document.querySelector('#input').value === 'a thought for the team'`)
	p.visit("lobby")
	p.until(`document.querySelector('#input').value === ''`)
	p.until(`document.querySelector('.drafted')`)
	s.say("ben", "team", "one", "two", "@alice three")
	p.until(`document.querySelector('.room.news .count')?.innerText.includes('@1')`)
	p.until(`document.title === '(3) lobby · Kaban'`)
	p.press(kb.ArrowDown, chromedp.KeyModifiers(kb.ModifierAlt))
	p.until(`document.querySelector('.head h1').innerText.includes('team')`)
	p.sees("three")
	p.until(`document.querySelector('#input').value === 'a thought for the team'`)
	p.until(`document.querySelector('#messages .unread')?.parentElement.innerText.includes('one')`)
	p.until(`!document.querySelector('.count')`)
	p.until(`document.querySelector('.mentioned')?.innerText.includes('three')`)
	// Read messages stay read over a reload; new ones are unread.
	p.open("about:blank")
	s.say("ben", "team", "four")
	p.open(s.url + "/r/lobby")
	p.online()
	p.until(`document.querySelector('.room.news .count')?.innerText.includes('1')`)
	p.visit("team")
	p.until(`document.querySelector('#messages .unread')?.parentElement.innerText.includes('four')`)
}

// TestHundredThousand reads a room of 100,000 messages from its end to its beginning.
// The document stays small.
func TestHundredThousand(t *testing.T) {
	t.Parallel()
	const many = 100_000
	s := startServer(t, ":memory:")
	s.say("ben", "lobby", numbered("n", many)...)
	p := newPage(t, screen{width: 600, height: 400}) // small: it is drawn a thousand times
	p.join(s.url, "alice")
	p.sees("n 100000")
	// A link into the middle.
	p.text(`location.hash = '#50000', ''`)
	p.until(`document.querySelector('.marked')?.innerText.includes('n 50000')`)
	p.click(".jump")
	p.sees("n 100000")
	// Scroll through all of it, as fast as possible.
	rows := 0.0
	for !p.truth(`document.querySelector('.begin').innerText.includes('This is where')`) {
		rows = max(rows, value[float64](p, `(async () => {
			const list = document.querySelector('#messages')
			let most = 0
			for (let i = 0; i < 50; i++) {
				list.scrollTop = 0
				await new Promise((done) => requestAnimationFrame(done))
				most = Math.max(most, list.querySelectorAll('.row').length)
			}
			return most
		})()`, awaited))
	}
	if rows > 200 {
		t.Errorf("%v rows were in the document at a time", rows)
	}
	// The last page may have come after the last step: then the list keeps its place.
	p.until(`(() => {
		const list = document.querySelector('#messages')
		list.scrollTop = 0
		return list.innerText.includes('n 1\n')
	})()`)
	// The scroll bar leads anywhere, and each row is where it belongs.
	for _, part := range []float64{0.1, 0.5, 0.9, 0.25} {
		p.text(fmt.Sprintf(`(() => { const l = document.querySelector('#messages'); l.scrollTop = l.scrollHeight * %v; return '' })()`, part))
		p.until(`document.elementFromPoint(300, 200).closest('.row')`)
		for seq, content := range value[map[int]string](p, `Object.fromEntries([...document.querySelectorAll('.row[data-seq]')].map((r) => [r.dataset.seq, r.querySelector('.content').innerText]))`) {
			if want := fmt.Sprintf("n %d", seq); content != want {
				t.Errorf("message %d is %q, want %q", seq, content, want)
			}
		}
	}
	// The room can be used like an empty one.
	s.say("ben", "lobby", "one more")
	p.until(`document.querySelector('.jump')?.innerText.includes('1 new message')`)
	p.text(`location.hash = '#77777', ''`)
	p.until(`document.querySelector('.marked')?.innerText.includes('n 77777')`)
	p.press(kb.Escape)
	p.say("here")
	p.stored("here")
}
