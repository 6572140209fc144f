package browser

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// conflict has a message of ben's edited on two devices, the second of which has no
// connection. It returns when the server has refused that edit.
func conflict(here, there *page, between *link, seq int, theirs, ours string) {
	here.t.Helper()
	between.set(cut)
	here.until(`document.querySelector('[data-status]').dataset.status === 'waiting'`)
	here.rewrite(seq, ours)
	there.rewrite(seq, theirs)
	there.untilMarks(seq, theirs+" | edited")
	there.settled()
	between.set(whole)
	here.inRow(seq, `r.querySelector('.fate.error')?.innerText.includes('was edited elsewhere')`)
	here.untilMarks(seq, theirs+" | edited")
	here.inRow(seq, fmt.Sprintf(`r.querySelector('.yours').innerText === %s`, quote(ours)))
}

// rewrite edits a message.
func (p *page) rewrite(seq int, text string) {
	p.t.Helper()
	p.tool(seq, "Edit")
	p.text(`document.querySelector('#input').select(), ''`)
	p.write(text)
	p.press(kb.Enter)
}

// writes waits until the field has a text, and the bar above it another one; "" is no bar.
func (p *page) writes(text, bar string) {
	p.t.Helper()
	p.until(`document.querySelector('#input').value === %s && (document.querySelector('#composing')?.innerText ?? '').replaceAll(/\s+/g, ' ').trim() === %s`, text, bar)
}

// TestConflictOutOfSight decides about a refused edit of a message that is not loaded.
func TestConflictOutOfSight(t *testing.T) {
	t.Parallel()
	s := owned(t, "open", "ben")
	between := startLink(t, s.url)
	here, there := newPage(t, desktop), newPage(t, desktop)
	here.expectBreaks()
	there.expectBreaks()
	here.signIn(between.url()+"/sign-in", "ben")
	there.signIn(s.url+"/sign-in", "ben")
	here.say("as it was")
	here.stored("as it was")
	seq := there.seqOf("as it was")
	conflict(here, there, between, seq, "theirs", "mine")
	s.say("carol", "lobby", numbered("meanwhile", 400)...)
	// Without a link a page opens near the message if it has not read all of them yet.
	here.text(fmt.Sprintf(`location.hash = '#%d', ''`, seq+1+400))
	here.until(`document.querySelector('.marked')?.innerText.includes('meanwhile 400')`)
	here.run(chromedp.Reload())
	here.online()
	// The text that the server has stands there, too.
	const refused = `document.querySelector('.row[data-id]')`
	here.until(refused + `?.querySelector('.quote-text').innerText === 'theirs'`)
	if here.truth(row(seq)) {
		t.Fatal("the message is loaded")
	}
	here.button("Use your text")
	there.text(fmt.Sprintf(`location.hash = '#%d', ''`, seq))
	there.untilMarks(seq, "mine | edited")
	here.until(`!document.querySelector('.fate')`)

	// The other choice is there, too.
	here.text(fmt.Sprintf(`location.hash = '#%d', ''`, seq))
	here.untilMarks(seq, "mine | edited")
	conflict(here, there, between, seq, "theirs again", "mine again")
	here.run(chromedp.Navigate(between.url() + "/r/lobby"))
	here.online()
	here.until(refused + `?.querySelector('.quote-text').innerText === 'theirs again'`)
	here.button("Edit your text")
	here.writes("mine again", "Editing your message theirs again")
	here.write(" and theirs")
	here.press(kb.Enter)
	there.untilMarks(seq, "mine again and theirs | edited")
	here.settled()
}

// TestConflictWhileEditing takes the refused text while the message is edited again.
func TestConflictWhileEditing(t *testing.T) {
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
	here.tool(seq, "Edit")
	here.writes("theirs", "Editing your message theirs")
	here.button("Edit your text")
	here.writes("mine", "Editing your message theirs")
	here.press(kb.Enter)
	there.untilMarks(seq, "mine | edited")
}

// TestDraftOfReply keeps what a draft answers, in other rooms and over a reload.
func TestDraftOfReply(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	s.say("ben", "lobby", "who is in?")
	s.say("ben", "plans", "nothing yet")
	p := newPage(t, desktop)
	p.join(s.url, "alice")
	p.tool(1, "Reply")
	p.write("I a")
	p.visit("plans")
	p.writes("", "")
	p.tool(1, "Reply")
	p.writes("", "Reply to ben nothing yet")
	p.visit("lobby")
	p.writes("I a", "Reply to ben who is in?")
	s.say("carol", "lobby", numbered("meanwhile", 400)...)
	p.run(chromedp.Reload())
	p.online()
	// The message is not loaded, and is fetched.
	p.writes("I a", "Reply to ben who is in?")
	p.run(chromedp.Focus("#input"))
	p.write("m")
	p.press(kb.Enter)
	p.writes("", "")
	p.stored("I am")
	p.inRow(p.seqOf("I am"), `r.querySelector('.quote-text').innerText === 'who is in?'`)
	p.visit("plans")
	p.writes("", "Reply to ben nothing yet")
	// One that is given up stays so.
	p.press(kb.Escape)
	p.writes("", "")
	p.run(chromedp.Reload())
	p.online()
	p.writes("", "")

	// An edit goes on, too.
	p.say("a first thougt")
	p.stored("a first thougt")
	seq := p.seqOf("a first thougt")
	p.press(kb.ArrowUp)
	p.press(kb.Backspace)
	p.write("ht")
	p.run(chromedp.Reload())
	p.online()
	p.writes("a first thought", "Editing your message a first thougt")
	p.run(chromedp.Focus("#input"))
	p.press(kb.Enter)
	p.untilMarks(seq, "a first thought | edited")
	p.writes("", "")
}

// replace gives the server other messages.
func (s *server) replace() {
	s.t.Helper()
	s.stop()
	kept, err := filepath.Glob(filepath.Join(s.data, "*"))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, path := range kept {
		if err := os.RemoveAll(path); err != nil {
			s.t.Fatal(err)
		}
	}
	s.start()
}

// TestAnotherEpoch replaces the messages while some of them are answered and edited. The
// texts stay, and nothing is done to the new message with the old one's number.
func TestAnotherEpoch(t *testing.T) {
	t.Parallel()
	const edited = "The message you were editing is gone: the server’s messages have been replaced. Your text is now a new message."
	const answered = "The message you were replying to is gone: the server’s messages have been replaced. Your text is now a new message."
	s := startServer(t, "")
	alice, ben := newPage(t, desktop), newPage(t, desktop)
	alice.expectBreaks()
	ben.expectBreaks()
	alice.join(s.url, "alice")
	ben.join(s.url, "ben")
	alice.say("as it was")
	alice.stored("as it was")
	ben.tool(ben.seqOf("as it was"), "Reply")
	ben.write("an answer")
	alice.write("a draft")
	alice.tool(1, "Edit")
	alice.write(", or so")
	alice.writes("as it was, or so", "Editing your message as it was")
	s.replace()
	alice.writes("as it was, or so\n\na draft", edited)
	ben.writes("an answer", answered)
	if role := ben.text(`document.querySelector('#composing').role`); role != "alert" {
		t.Errorf("the line has the role %q", role)
	}
	ben.press(kb.Enter)
	ben.stored("an answer")
	ben.writes("", "")
	ben.untilMarks(1, "an answer")
	alice.untilMarks(1, "an answer")
	alice.press(kb.Escape)
	alice.writes("as it was, or so\n\na draft", "")
	alice.press(kb.Enter)
	alice.untilMarks(2, "as it was, or so a draft")

	// The page was closed meanwhile.
	ben.tool(1, "Reply")
	ben.write("too late")
	ben.writes("too late", "Reply to ben an answer")
	ben.open("about:blank")
	s.replace()
	s.say("carol", "lobby", "somebody else")
	ben.open(s.url)
	ben.online()
	ben.writes("too late", answered)
}

// TestThreadOfAnotherEpoch replaces the messages while somebody writes in a thread, and while
// the draft of another one waits. The texts stay, in the room: the same numbers are other
// messages now.
func TestThreadOfAnotherEpoch(t *testing.T) {
	t.Parallel()
	const answered = "The message you were replying to is gone: the server’s messages have been replaced. Your text is now a new message."
	s := startServer(t, "")
	s.say("carol", "lobby", "who is in?", "who is out?")
	ben := newPage(t, desktop)
	ben.expectBreaks()
	ben.join(s.url, "ben")
	thread := func(seq int, draft string) {
		t.Helper()
		ben.tool(seq, "Open thread")
		ben.until(`location.hash === %s && document.activeElement.id === 'reply' && document.activeElement.value === %s`, fmt.Sprint("#thread/", seq), draft)
	}
	thread(1, "")
	ben.write("me")
	thread(2, "")
	ben.write("not me")
	// Within an epoch they stay where they are.
	ben.run(chromedp.Reload())
	ben.online()
	ben.until(`document.querySelector('#reply')?.value === 'not me'`)
	s.replace()
	ben.writes("me\n\nnot me", answered)
	s.say("carol", "lobby", "something else", "and more")
	ben.sees("and more")
	for seq := 1; seq <= 2; seq++ {
		thread(seq, "")
	}
	ben.write("in the new one")
	ben.open("about:blank")
	s.replace()
	s.say("carol", "lobby", "wholly different", "indeed")
	// The address names the thread: a message with the same number is there.
	ben.open(s.url + "/r/lobby#thread/2")
	ben.online()
	ben.writes("me\n\nnot me\n\nin the new one", answered)
	ben.until(`document.querySelector('#reply')?.value === '' && %s === 'indeed'`, raw(inThread))
	ben.run(chromedp.Reload())
	ben.online()
	ben.writes("me\n\nnot me\n\nin the new one", answered)
}

// TestChangeOfAnotherEpoch refuses what waits to be sent about a message that was
// replaced while the page was closed.
func TestChangeOfAnotherEpoch(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	between := startLink(t, s.url)
	ben := newPage(t, desktop)
	ben.expectBreaks()
	ben.join(between.url(), "ben")
	ben.say("as it was")
	ben.stored("as it was")
	between.set(cut)
	ben.until(`document.querySelector('[data-status]').dataset.status === 'waiting'`)
	ben.rewrite(1, "as it is")
	ben.untilMarks(1, "as it is | edited")
	ben.tool(1, "Reply")
	ben.write("an answer")
	ben.press(kb.Enter)
	ben.pending("an answer")
	ben.open("about:blank")
	s.replace()
	s.say("ben", "lobby", "something else")
	between.set(whole)
	ben.open(between.url())
	ben.online()
	ben.inRow(1, `r.querySelector('.fate.error')?.innerText.includes('There is no such message') && r.querySelector('.yours').innerText === 'as it is'`)
	ben.untilMarks(1, "something else")
	ben.until(`document.querySelector('.row[data-id] .fate.error')?.innerText.includes('There is no such message')`)
	// What answers nothing any more may be said all the same.
	ben.button("Try again")
	ben.stored("an answer")
	ben.inRow(ben.seqOf("an answer"), `!r.querySelector('.quote')`)
}
