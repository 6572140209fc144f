package browser

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"kaban/internal/emoji"
)

// seqOf waits for the row of a message with a content, and returns its seq.
func (p *page) seqOf(content string) int {
	p.t.Helper()
	find := fmt.Sprintf(`[...document.querySelectorAll('.row[data-seq]')].find((r) => r.querySelector('.content')?.innerText === %s)`, quote(content))
	p.until("((r) => r && (window.foundSeq = Number(r.dataset.seq)))(%s)", raw(find))
	return int(p.number("window.foundSeq"))
}

// tool points at a message and presses one of its tools.
func (p *page) tool(seq int, label string) {
	p.t.Helper()
	p.inRow(seq, `(r.dispatchEvent(new MouseEvent('mouseover', {bubbles: true})), r.querySelector('.tools'))`)
	p.inTools(seq, label)
}

// react adds a reaction of the choice of emoji.
func (p *page) react(seq int, text string) {
	p.t.Helper()
	p.tool(seq, "Add a reaction")
	p.pick(text)
}

// pick chooses an emoji.
func (p *page) pick(text string) {
	p.t.Helper()
	find := fmt.Sprintf(`document.querySelector('dialog[open] [data-emoji="%s"]')`, text)
	p.until("((b) => b && (b.click(), true))(%s)", raw(find))
	p.until(`!document.querySelector('dialog[open]')`)
}

// inTools presses a button among the tools of a message.
func (p *page) inTools(seq int, label string) {
	p.t.Helper()
	find := fmt.Sprintf(`[...r.querySelectorAll('.tools button')].find((b) => b.getAttribute('aria-label') === %[1]s || b.innerText.trim() === %[1]s)`, quote(label))
	p.inRow(seq, `((b) => b && (b.click(), true))(`+find+`)`)
}

// tools returns the names of the tools of a message.
func (p *page) tools(seq int) string {
	p.t.Helper()
	p.inRow(seq, `(r.dispatchEvent(new MouseEvent('mouseover', {bubbles: true})), window.foundTools = [...r.querySelectorAll('.tools button')].map((b) => b.getAttribute('aria-label') ?? b.innerText).join(', '))`)
	return p.text(`window.foundTools`)
}

// untilMarks waits until a row shows this of the changes of its message.
func (p *page) untilMarks(seq int, want string) {
	p.t.Helper()
	const marks = `[...r.querySelectorAll('.content, .deleted, .edited, .pin-mark, .pill, .replies-count')].map((e) => (e.classList.contains('mine') ? 'mine ' : '') + e.innerText.replaceAll(/\s+/g, ' ')).join(' | ')`
	p.until(`((r) => r && %s)(%s) === %s`, raw(marks), raw(row(seq)), want)
}

// settled waits until nothing of the user's own is on its way.
func (p *page) settled() {
	p.t.Helper()
	p.until(`!Object.keys(localStorage).some((k) => k.startsWith('kaban.pending.')) && !document.querySelector('.changing, .pill.waiting')`)
}

// TestEditAndDelete edits and deletes a message, seen by a second browser.
func TestEditAndDelete(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	alice, ben := newPage(t, desktop), newPage(t, desktop)
	alice.join(s.url, "alice")
	ben.join(s.url, "ben")
	alice.say("a first thougt")
	alice.stored("a first thougt")
	seq := ben.seqOf("a first thougt")
	ben.say("something else")
	ben.stored("something else")
	alice.sees("something else")

	// Escape ends an edit, and the draft is as before.
	alice.press(kb.ArrowUp)
	alice.until(`document.querySelector('#composing')?.innerText.includes('Editing your message') && document.querySelector('#input').value === 'a first thougt'`)
	alice.write(" or two")
	alice.press(kb.Escape)
	alice.until(`!document.querySelector('#composing') && document.querySelector('#input').value === '' && document.activeElement.id === 'input'`)

	alice.press(kb.ArrowUp)
	alice.press(kb.Backspace)
	alice.write("ht of **mine**")
	alice.press(kb.Enter)
	for _, p := range []*page{alice, ben} {
		p.untilMarks(seq, "a first thought of mine | edited")
		p.inRow(seq, `r.querySelector('.edited').title !== '' && r.querySelector('strong').innerText === 'mine'`)
	}
	alice.settled()

	// By the tools, with a draft that stays.
	alice.write("a draft")
	alice.tool(seq, "Edit")
	alice.until(`document.querySelector('#input').value === 'a first thought of **mine**' && document.activeElement.id === 'input'`)
	alice.text(`document.querySelector('#input').select(), ''`)
	alice.write("a second thought")
	alice.press(kb.Enter)
	alice.until(`document.querySelector('#input').value === 'a draft'`)
	ben.untilMarks(seq, "a second thought | edited")

	// Ben may not change what alice has said, and is offered only what he may do.
	if got, want := ben.tools(seq), "Add a reaction, Reply, Open thread, Copy text, Copy link to this message"; got != want {
		t.Errorf("ben is offered %s, want %s", got, want)
	}
	if got, want := alice.tools(seq), "Add a reaction, Reply, Open thread, Edit, Copy text, Copy link to this message, Delete"; got != want {
		t.Errorf("alice is offered %s, want %s", got, want)
	}

	// Deleting asks once, in place.
	alice.tool(seq, "Delete")
	alice.inRow(seq, `r.querySelector('.asking').innerText.includes('Delete this message?') && document.activeElement === r.querySelector('.asking .harsh')`)
	alice.press(kb.Escape)
	alice.inRow(seq, `!r.querySelector('.asking')`)
	ben.untilMarks(seq, "a second thought | edited")
	alice.tool(seq, "Delete")
	alice.inTools(seq, "Delete")
	for _, p := range []*page{alice, ben} {
		p.untilMarks(seq, "This message was deleted.")
		p.inRow(seq, `r.querySelector('.author').innerText === 'alice' && r.querySelector('.time')`)
	}
	alice.settled()
	ben.run(chromedp.Reload())
	ben.online()
	ben.untilMarks(seq, "This message was deleted.")
	ben.until(`document.title === 'lobby · Kaban'`)
}

// TestReactions has two people react, and take it back.
func TestReactions(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	s.say("carol", "lobby", "what do you think?")
	alice, ben := newPage(t, desktop), newPage(t, desktop)
	alice.join(s.url, "alice")
	ben.join(s.url, "ben")
	const seq = 1
	alice.react(seq, "❤️")
	alice.untilMarks(seq, "what do you think? | mine ❤️ 1 you")
	ben.untilMarks(seq, "what do you think? | ❤️ 1 alice")
	ben.click(".reaction")
	ben.untilMarks(seq, "what do you think? | mine ❤️ 2 alice and you")
	alice.untilMarks(seq, "what do you think? | mine ❤️ 2 ben and you")
	ben.until(`document.querySelector('.reaction').getAttribute('aria-pressed') === 'true' && document.querySelector('.reaction').title === 'alice and you'`)

	// Another emoji, by its text.
	ben.tool(seq, "Add a reaction")
	ben.until(`document.activeElement.closest('.emoji-picker')`)
	ben.write("🦔")
	ben.press(kb.Enter)
	ben.untilMarks(seq, "what do you think? | mine ❤️ 2 alice and you | mine 🦔 1 you")
	alice.untilMarks(seq, "what do you think? | mine ❤️ 2 ben and you | 🦔 1 ben")

	alice.click(".reaction")
	alice.untilMarks(seq, "what do you think? | ❤️ 1 ben | 🦔 1 ben")
	ben.untilMarks(seq, "what do you think? | mine ❤️ 1 you | mine 🦔 1 you")
	for _, p := range []*page{alice, ben} {
		p.settled()
		p.run(chromedp.Reload())
		p.online()
	}
	alice.untilMarks(seq, "what do you think? | ❤️ 1 ben | 🦔 1 ben")
	ben.untilMarks(seq, "what do you think? | mine ❤️ 1 you | mine 🦔 1 you")
}

// TestReply answers a message, and jumps to it from far away.
func TestReply(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	alice, ben := newPage(t, desktop), newPage(t, desktop)
	alice.join(s.url, "alice")
	ben.join(s.url, "ben")
	alice.say("**who** is in?")
	seq := ben.seqOf("who is in?")
	ben.tool(seq, "Reply")
	ben.until(`document.querySelector('#composing')?.innerText.includes('Reply to alice') && document.querySelector('#composing').innerText.includes('who is in?') && document.activeElement.id === 'input'`)
	ben.press(kb.Escape)
	ben.until(`!document.querySelector('#composing')`)
	ben.tool(seq, "Reply")
	ben.write("me")
	ben.press(kb.Enter)
	ben.stored("me")
	ben.until(`!document.querySelector('#composing')`)
	answer := alice.seqOf("me")
	for _, p := range []*page{alice, ben} {
		p.inRow(answer, `r.querySelector('.quote').innerText.replaceAll(/\s+/g, ' ').includes('alice') && r.querySelector('.quote-text').innerText === 'who is in?'`)
		p.untilMarks(seq, "who is in? | 1 reply")
	}
	// What is quoted follows its message.
	alice.press(kb.ArrowUp)
	alice.write(" Tonight")
	alice.press(kb.Enter)
	ben.inRow(answer, `r.querySelector('.quote-text').innerText === 'who is in? Tonight'`)

	// An answer from far away. What it quotes is loaded, and follows its message there too.
	ben.tool(seq, "Reply")
	s.say("carol", "lobby", numbered("meanwhile", 400)...)
	ben.write("and I am not")
	ben.press(kb.Enter)
	ben.stored("and I am not")
	last := ben.seqOf("and I am not")
	ben.run(chromedp.Reload())
	ben.online()
	ben.inRow(last, `r.querySelector('.quote-text').innerText === 'who is in? Tonight'`)
	alice.text(fmt.Sprintf(`location.hash = '#%d', ''`, seq))
	alice.inRow(seq, `r.querySelector('.marked')`)
	alice.tool(seq, "Edit")
	alice.write(" or tomorrow")
	alice.press(kb.Enter)
	ben.inRow(last, `r.querySelector('.quote-text').innerText === 'who is in? Tonight or tomorrow'`)
	ben.text(row(last) + `.querySelector('.quote').click(), ''`)
	ben.inRow(seq, `r.querySelector('.marked')`)
	ben.untilMarks(seq, "who is in? Tonight or tomorrow | edited | 2 replies")
}

// TestPin pins a message as an op, and takes it back; who may not is not offered it.
func TestPin(t *testing.T) {
	t.Parallel()
	s := owned(t, "invite", "ben")
	olga, ben := newPage(t, desktop), newPage(t, desktop)
	for name, p := range map[string]*page{"olga": olga, "ben": ben} {
		p.expectBreaks()
		p.signIn(s.url, name)
	}
	ben.say("read this")
	seq := olga.seqOf("read this")
	olga.tool(seq, "Pin")
	for _, p := range []*page{olga, ben} {
		p.untilMarks(seq, "Pinned | read this")
	}
	olga.settled()
	olga.run(chromedp.Reload())
	olga.online()
	olga.untilMarks(seq, "Pinned | read this")
	olga.tool(seq, "Unpin")
	for _, p := range []*page{olga, ben} {
		p.untilMarks(seq, "read this")
	}
	// An op deletes what others have said, and edits only what is her own.
	if got, want := olga.tools(seq), "Add a reaction, Reply, Open thread, Pin, Copy text, Copy link to this message, Mark as unread from here, Delete"; got != want {
		t.Errorf("olga is offered %s, want %s", got, want)
	}
	olga.tool(seq, "Delete")
	olga.inTools(seq, "Delete")
	ben.untilMarks(seq, "This message was deleted.")
}

// TestOfflineChanges edits, reacts and deletes without a connection. Each arrives once.
func TestOfflineChanges(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	between := startLink(t, s.url)
	alice, ben := newPage(t, desktop), newPage(t, desktop)
	alice.expectBreaks()
	alice.join(between.url(), "alice")
	ben.join(s.url, "ben")
	alice.say("one")
	alice.stored("one")
	alice.say("two")
	alice.stored("two")
	one, two := ben.seqOf("one"), ben.seqOf("two")

	between.set(cut)
	alice.until(`document.querySelector('[data-status]').dataset.status === 'waiting'`)
	alice.press(kb.ArrowUp)
	alice.write(" and a half")
	alice.press(kb.Enter)
	alice.untilMarks(two, "two and a half | edited")
	alice.press(kb.ArrowUp) // an edit of what is not stored yet
	alice.write(", offline")
	alice.press(kb.Enter)
	alice.untilMarks(two, "two and a half, offline | edited")
	alice.react(two, "🎉")
	alice.untilMarks(two, "two and a half, offline | edited | mine 🎉 1 you")
	alice.tool(one, "Delete")
	alice.inTools(one, "Delete")
	alice.untilMarks(one, "This message was deleted.")
	ben.untilMarks(two, "two")

	between.set(whole)
	for _, p := range []*page{alice, ben} {
		p.untilMarks(one, "This message was deleted.")
	}
	alice.untilMarks(two, "two and a half, offline | edited | mine 🎉 1 you")
	ben.untilMarks(two, "two and a half, offline | edited | 🎉 1 alice")
	alice.settled()
	ben.say("the end")
	ben.stored("the end")
	// Two messages, two edits, a reaction, a deletion, and the last message.
	if got := ben.seqOf("the end"); got != 7 {
		t.Errorf("the last entry is %d, want 7: each change arrives once", got)
	}
}

// TestEditConflict edits the same message on two devices.
func TestEditConflict(t *testing.T) {
	t.Parallel()
	s := owned(t, "invite", "ben")
	between := startLink(t, s.url)
	here, there := newPage(t, desktop), newPage(t, desktop)
	here.expectBreaks()
	there.expectBreaks()
	here.signIn(between.url(), "ben")
	there.signIn(s.url, "ben")
	here.say("as it was")
	here.stored("as it was")
	seq := there.seqOf("as it was")
	conflict(here, there, between, seq, "theirs", "mine")
	here.button("Keep the text above")
	here.until(`!document.querySelector('.fate')`)
	here.untilMarks(seq, "theirs | edited")

	conflict(here, there, between, seq, "theirs again", "mine again")
	here.button("Use your text")
	here.untilMarks(seq, "mine again | edited")
	there.untilMarks(seq, "mine again | edited")

	conflict(here, there, between, seq, "theirs at last", "mine at last")
	here.button("Edit your text")
	here.until(`document.querySelector('#input').value === 'mine at last' && !document.querySelector('.fate')`)
	here.write(" and theirs")
	here.press(kb.Enter)
	there.untilMarks(seq, "mine at last and theirs | edited")
	here.settled()
}

// TestChangesByKeyboard reaches all tools with the keyboard alone.
func TestChangesByKeyboard(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	s.say("ben", "lobby", "reach me")
	p := newPage(t, desktop)
	p.join(s.url, "alice")
	p.sees("reach me")
	at := func(label string) {
		t.Helper()
		p.until(`(document.activeElement.getAttribute('aria-label') ?? document.activeElement.innerText) === %s`, label)
	}
	p.text(`document.querySelector('#messages').focus(), ''`)
	p.press(kb.Tab)
	p.until(`document.activeElement.matches('.time') && document.querySelector('.tools')`)
	p.press(kb.Tab)
	at("Add a reaction")
	p.enter()
	at("Search emoji")
	p.press(kb.Escape)
	at("Add a reaction")
	p.enter()
	at("Search emoji")
	const chosen = `document.activeElement.getAttribute('aria-activedescendant')`
	for range 8 { // where it begins depends on what has been loaded
		before := p.text(chosen + ` ?? ''`)
		p.press(kb.ArrowRight)
		p.until(`(`+chosen+` ?? '') !== %s`, before)
		if strings.Contains(p.text(`document.getElementById(`+chosen+`)?.outerHTML ?? ''`), "❤️") {
			break
		}
	}
	p.enter()
	p.untilMarks(1, "reach me | mine ❤️ 1 you")
	at("Add a reaction")

	// The tools are one stop of the Tab key, and the arrow keys lead through them.
	p.press(kb.ArrowRight)
	at("Reply")
	p.press(kb.ArrowLeft)
	p.press(kb.ArrowLeft)
	at("Copy link to this message")
	p.press(kb.Home)
	at("Add a reaction")
	p.press(kb.End)
	at("Copy link to this message")
	p.press(kb.Tab)
	p.until(`!document.querySelector('.tools')`) // they go with the focus
	p.press(kb.Tab, chromedp.KeyModifiers(kb.ModifierShift))
	p.until(`document.activeElement.matches('.reaction') && document.querySelector('.tools')`)
	p.press(kb.Tab)
	at("Add a reaction")
	p.press(kb.ArrowRight)
	at("Reply")
	p.enter()
	p.until(`document.activeElement.id === 'input'`)
	p.write("reached")
	p.press(kb.Enter)
	p.stored("reached")
	mine := p.seqOf("reached")
	// From the field back to the own message, which is deleted.
	p.text(row(mine) + `.querySelector('.time').focus(), ''`)
	p.inRow(mine, `r.querySelector('.tools')`)
	p.press(kb.Tab)
	p.until(`document.activeElement.matches('.quote')`)
	p.press(kb.Tab)
	at("Add a reaction")
	p.press(kb.End)
	at("Delete")
	p.enter()
	at("Delete")
	p.enter()
	p.untilMarks(mine, "This message was deleted.")
	p.until(`document.activeElement.closest('.row')?.dataset.seq === %s`, fmt.Sprint(mine))
}

// TestLongPress shows the tools of a message under a finger, each large enough.
func TestLongPress(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	s.say("ben", "lobby", "on top", "press me")
	p := newPage(t, phone)
	p.join(s.url, "alice")
	p.sees("press me")
	down := `((e) => (e.dispatchEvent(new PointerEvent('pointerdown', {bubbles: true, pointerType: 'touch'})), ''))(document.querySelector('.row[data-seq="2"] .content'))`
	// A finger that scrolls shows nothing.
	p.text(down)
	p.text(`document.querySelector('.row[data-seq="2"] .content').dispatchEvent(new PointerEvent('pointercancel', {bubbles: true, pointerType: 'touch'})), ''`)
	p.pause(700)
	if p.truth(`document.querySelector('.tools')`) {
		t.Error("a finger that scrolls shows the tools")
	}
	p.text(down)
	p.inRow(2, `r.querySelector('.tools')`)
	small := func(where string) {
		t.Helper()
		for _, found := range value[[]string](p, `[...document.querySelectorAll('.row button, .row input, .row a:not(.time), #composing button, .emoji-picker :is(button, input)')].flatMap((e) => {
			const box = e.getBoundingClientRect()
			return box.width < 43.5 || box.height < 43.5 || !e.closest('.emoji-groups') && (box.left < 0 || box.right > innerWidth) ? [e.outerHTML.slice(0, 100) + ' ' + box.width + 'x' + box.height + ' at ' + box.left] : []
		})`) {
			t.Errorf("%s: too small for a finger, or beside the screen: %s", where, found)
		}
	}
	small("the tools")
	p.inTools(2, "Add a reaction")
	p.until(`document.querySelector('.emoji-picker [data-emoji="🏁"]')`)
	small("the emoji")
	p.pick("👍")
	p.untilMarks(2, "press me | mine 👍 1 you")
	p.until(`!document.querySelector('.tools')`)
	small("a reaction")
	p.text(down)
	p.inRow(2, `r.querySelector('.tools')`)
	p.inTools(2, "Reply")
	p.until(`document.querySelector('#composing')`)
	small("an answer")
	p.until(`document.documentElement.scrollWidth <= innerWidth`)
}

// TestAxeChanges runs axe-core on a room with all that can become of messages, in both
// languages.
func TestAxeChanges(t *testing.T) {
	t.Parallel()
	axe := axeCore(t)
	s := owned(t, "invite", "ben")
	ben := newPage(t, desktop)
	ben.expectBreaks()
	ben.signIn(s.url, "ben")
	for _, text := range []string{"edited", "deleted", "pinned", "answered", "reacted"} {
		ben.say(text)
		ben.stored(text)
	}
	for i, how := range []screen{desktop, {width: 390, height: 780, mobile: true, dark: true}} {
		p := newPage(t, how)
		p.expectBreaks()
		command(p, cdppage.SetBypassCSP, cdppage.SetBypassCSPParams{Enabled: true})
		p.signIn(s.url, "olga")
		if i == 0 {
			edited, deleted := ben.seqOf("edited"), ben.seqOf("deleted")
			ben.tool(edited, "Edit")
			ben.write(" since")
			ben.press(kb.Enter)
			ben.tool(deleted, "Delete")
			ben.inTools(deleted, "Delete")
			ben.react(ben.seqOf("reacted"), "👍")
			p.tool(p.seqOf("pinned"), "Pin")
			p.tool(p.seqOf("answered"), "Reply")
			p.until(`document.activeElement.id === 'input'`)
			p.write("an answer")
			p.press(kb.Enter)
			p.stored("an answer")
		}
		reacted := p.seqOf("reacted")
		p.until(`document.querySelector('.edited') && document.querySelector('.deleted') && document.querySelector('.pill') && document.querySelector('.pin-mark') && document.querySelector('.quote')`)
		look := func(where string) {
			t.Helper()
			p.picture(fmt.Sprintf("changes-%d-%s", i, where))
			p.accessible(axe, how, where)
		}
		look("a room")
		p.tool(reacted, "Add a reaction")
		p.until(`document.querySelector('.emoji-picker [data-emoji="🏁"]')`)
		look("the emoji")
		if i == 0 {
			p.write("thumbs")
			p.until(`document.querySelector('.emoji-picker [aria-selected=true]')?.dataset.emoji === '👍'`)
			look("found emoji")
		}
		p.press(kb.Escape)
		p.until(`!document.querySelector('dialog[open]')`)
		p.tool(reacted, "Delete")
		look("a question")
		p.press(kb.Escape)
		p.tool(reacted, "Reply")
		look("an answer")
		p.press(kb.Escape)
		p.tools(reacted)
		look("the tools")
		p.close()
	}
}

// TestNormalEmoji compares the page's normal form of an emoji with the server's, for
// every emoji of the list, with and without tones and selectors.
func TestNormalEmoji(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.FromSlash("../../internal/emoji/list.txt"))
	if err != nil {
		t.Fatal(err)
	}
	_, list, ok := strings.Cut(string(text), "\n--\n")
	if !ok {
		t.Fatal("the list has no beginning")
	}
	tones := strings.NewReplacer("1", "🏻", "2", "🏿")
	var all []string
	for line := range strings.Lines(list) {
		fields := strings.Fields(line)
		all = append(all, fields[0])
		for _, template := range fields[2:] {
			all = append(all, tones.Replace(template))
		}
	}
	bare := strings.NewReplacer("\ufe0f", "", "\ufe0e", "")
	var asked []string
	for _, e := range all {
		asked = append(asked, e, bare.Replace(e))
	}
	p := withSource(t, "src/emoji.ts")
	got := value[[]string](p, asJSON(t, asked)+`.map((e) => source.isEmoji(e) ? source.normal(e) : 'none')`)
	for i, e := range asked {
		want, err := emoji.Normalize(e)
		if err != nil {
			t.Fatal(err)
		}
		if got[i] != want {
			t.Errorf("the page makes %+q of %+q, the server %+q", got[i], e, want)
		}
	}
	t.Logf("%d emoji", len(asked))
}
