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

// active waits until an emoji is the one that Enter chooses.
func (p *page) active(text string) {
	p.t.Helper()
	p.until(`((o) => o?.dataset.emoji === %s && document.activeElement.getAttribute('aria-activedescendant') === o.id)(document.querySelector('.emoji-picker [aria-selected=true]'))`, text)
}

// search types into the choice of emoji, in place of what it has.
func (p *page) search(text string) {
	p.t.Helper()
	p.text(`document.querySelector('.emoji-picker input').focus(), document.activeElement.select(), ''`)
	p.write(text)
}

// TestEmojiPicker chooses emoji for the field and for reactions, with the keyboard and
// with the mouse, in two languages.
func TestEmojiPicker(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	s.say("ben", "lobby", "what do you think?")
	p := newPage(t, desktop)
	p.join(s.url, "alice")
	// Nothing is loaded before it is needed.
	const loaded = `performance.getEntriesByType('resource').filter((e) => e.name.includes('/emoji')).length`
	if n := p.number(loaded); n != 0 {
		t.Errorf("%v files of emoji are loaded before they are needed", n)
	}
	p.run(chromedp.Focus("#input"))
	p.write("good  morning")
	for range len(" morning") {
		p.press(kb.ArrowLeft)
	}
	p.button("Insert an emoji")
	p.until(`document.activeElement.closest('.emoji-picker')`)
	p.search("sun behind cl")
	p.active("⛅")
	if n := p.number(loaded); n != 2 {
		t.Errorf("%v files of emoji are loaded, want the list and the words of one language", n)
	}
	p.press(kb.Enter)
	p.until(`!document.querySelector('dialog[open]') && document.activeElement.id === 'input' && document.querySelector('#input').value === 'good ⛅ morning'`)
	p.press(kb.Enter)
	p.stored("good ⛅ morning")

	// By the arrow keys: the used one comes first, and below the often used are all others.
	p.button("Insert an emoji")
	p.press(kb.ArrowRight)
	p.active("⛅")
	p.press(kb.ArrowDown)
	p.active("🙏")
	p.press(kb.ArrowDown)
	p.active("😀")
	p.press(kb.ArrowUp)
	p.press(kb.ArrowUp)
	p.active("⛅")
	p.press(kb.ArrowRight)
	p.active("👍")
	p.until(`document.querySelector('.emoji-about').innerText.includes(':thumbs_up:')`)
	// A word that is no beginning of a name, words in any order, and a name in colons.
	for asked, want := range map[string]string{"celebration": "🎉", "cat grin": "😺", ":tada:": "🎉", "Ok_Hand": "👌"} {
		p.search(asked)
		p.until(`[...document.querySelectorAll('.emoji-picker [role=option]')].some((o) => o.dataset.emoji === %s)`, want)
	}
	p.search("nothing like this")
	p.until(`document.querySelector('.emoji-picker [role=status]').innerText === 'No emoji found.'`)
	p.press(kb.Enter)
	p.press(kb.Escape)
	p.until(`!document.querySelector('dialog[open]') && document.querySelector('#input').value === ''`)

	// A skin tone is chosen once, and applies from then on.
	p.tool(1, "Add a reaction")
	p.until(`document.activeElement.closest('.emoji-picker')`)
	p.text(`document.querySelector('.emoji-tones input[aria-label="Medium-dark skin tone"]').click(), ''`)
	p.search("thumbs")
	p.active("👍🏾")
	p.press(kb.Enter)
	p.untilMarks(1, "what do you think? | mine 👍🏾 1 you")
	p.run(chromedp.Reload())
	p.online()
	p.react(1, "👌🏾")
	p.untilMarks(1, "what do you think? | mine 👍🏾 1 you | mine 👌🏾 1 you")

	// Enter chooses what was typed, not what is rendered still.
	p.tool(1, "Add a reaction")
	p.search("thumbs")
	p.active("👍🏾")
	p.fast("🦔")
	p.untilMarks(1, "what do you think? | mine 👍🏾 1 you | mine 👌🏾 1 you | mine 🦔 1 you")

	// Closing goes back to the button, and a click beside it closes.
	p.tool(1, "Add a reaction")
	p.press(kb.Escape)
	p.until(`document.activeElement.getAttribute('aria-label') === 'Add a reaction'`)
	p.tool(1, "Add a reaction")
	p.text(`document.querySelector('dialog[open]').click(), ''`)
	p.until(`!document.querySelector('dialog[open]')`)

	// In German, by German words.
	p.text(`localStorage.setItem('kaban.language', '"de"'), ''`)
	p.run(chromedp.Reload())
	p.online()
	p.button("Emoji einfügen")
	p.search("igel")
	p.active("🦔")
	p.press(kb.Enter)
	p.until(`document.querySelector('#input').value === '🦔'`)
}

// TestEmojiChosenWhileLoading keeps what an arrow key chose when the other emoji arrive.
func TestEmojiChosenWhileLoading(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	s.say("ben", "lobby", "slowly")
	p := newPage(t, desktop)
	p.join(s.url, "alice")
	p.sees("slowly")
	p.text(`(() => {
		const real = fetch
		const wait = new Promise((arrive) => (window.arrive = arrive))
		window.fetch = async (address, options) => {
			if (String(address).includes('emoji')) await wait
			return real(address, options)
		}
	})(), ''`)
	p.tool(1, "Add a reaction")
	p.until(`document.activeElement.closest('.emoji-picker')`)
	p.press(kb.ArrowRight)
	p.active("👍")
	p.press(kb.ArrowRight)
	p.active("❤️")
	p.text(`window.arrive(), ''`)
	p.until(`document.querySelector('[data-group="8"] [role=option]')`)
	p.active("❤️")
	p.press(kb.Enter)
	p.untilMarks(1, "slowly | mine ❤️ 1 you")
}

// TestEmojiOffline opens the choice without a network: at once with those that are used
// often, with the reason why there are no others, and with all of them if they were loaded
// at an earlier visit.
func TestEmojiOffline(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	between := startLink(t, s.url)
	p := newPage(t, desktop)
	p.expectBreaks()
	p.join(between.url(), "alice")
	p.until(`navigator.serviceWorker.controller`)
	between.set(cut)
	p.button("Insert an emoji")
	p.until(`document.querySelector('.emoji-picker [role=alert]')?.innerText.includes('could not be loaded')`)
	p.text(`document.querySelector('.emoji-picker [data-emoji="🎉"]').click(), ''`)
	p.until(`document.querySelector('#input').value === '🎉'`)
	between.set(whole)
	p.button("Insert an emoji")
	p.until(`document.querySelector('.emoji-picker [data-emoji="🏁"]')`)
	p.press(kb.Escape)
	p.until(`(async () => { for (const name of await caches.keys()) window.kept = (await (await caches.open(name)).keys()).filter((r) => r.url.includes('/emoji')).length })(), window.kept === 2`)
	// The browser's own cache does not help.
	between.set(cut)
	p.run(chromedp.Reload())
	p.button("Insert an emoji")
	p.until(`document.querySelector('.emoji-picker [data-emoji="🏁"]')`)
}

// TestEmojiAreTheServers compares the page's list with the server's: each emoji, under each
// name, in each tone.
func TestEmojiAreTheServers(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.FromSlash("../../internal/emoji/list.txt"))
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(text), "\n--\n")
	s := startServer(t, "")
	p := newPage(t, desktop)
	p.join(s.url, "alice")
	p.button("Insert an emoji")
	for tone, sign := range []string{"", "🏻", "🏼", "🏽", "🏾", "🏿"} {
		p.text(fmt.Sprintf(`document.querySelectorAll('.emoji-tones input')[%d].click(), ''`, tone))
		var want []string
		for line := range strings.Lines(list) {
			fields := strings.Fields(line)
			one := fields[0]
			if sign != "" && len(fields) > 2 {
				one = strings.ReplaceAll(fields[2], "1", sign)
			}
			if got, err := emoji.Normalize(one); err != nil || got != one {
				t.Fatalf("%q is %q: %v", one, got, err)
			}
			want = append(want, one)
		}
		const shown = `[...document.querySelectorAll('.emoji-picker [data-group] [data-emoji]')].map((e) => e.dataset.emoji)`
		p.until(shown+`.length === %s && `+shown+`.join(' ') === %s`, raw(fmt.Sprint(len(want))), strings.Join(want, " "))
	}
}

// offers waits until these are offered for the word before the caret, the first of them to
// be taken; none closes the list.
func (p *page) offers(want ...string) {
	p.t.Helper()
	p.until(`[...document.querySelectorAll('.offers li')].map((li) => li.querySelector('bdi').innerText).join(' ') === %s`, strings.Join(want, " "))
	if len(want) > 0 {
		p.until(`((li) => li?.querySelector('bdi').innerText === %s && document.activeElement.getAttribute('aria-activedescendant') === li.id)(document.querySelector('.offers [aria-selected=true]'))`, want[0])
	}
}

// input waits until the field has a text.
func (p *page) input(want string) {
	p.t.Helper()
	p.until(`document.querySelector('#input').value === %s`, want)
}

// TestCompletion completes names, rooms and emoji in the field.
func TestCompletion(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	for _, name := range []string{"ben", "benjamin", "hedwig"} {
		s.hold(name)
	}
	s.say("carol", "plans", "nothing yet")
	for _, name := range []string{"ben", "benjamin", "hedwig"} {
		s.terminal(name+"-t", "lobby")
	}
	p := newPage(t, desktop)
	p.join(s.url, "alice")
	p.until(`document.querySelectorAll('.member-list li').length === 4`)
	p.run(chromedp.Focus("#input"))

	p.write("@")
	p.offers("ben-t", "benjamin-t", "hedwig-t", "alice", "everyone", "here")
	p.write("he")
	p.offers("hedwig-t", "here")
	p.press(kb.ArrowDown)
	p.press(kb.Enter)
	p.input("@here ")
	p.offers()
	p.write("and (@BEN")
	p.offers("ben-t", "benjamin-t")
	p.press(kb.Tab)
	p.input("@here and (@ben-t ")
	// Escape keeps the word as it is, and Enter sends it then.
	p.write(") @benj")
	p.offers("benjamin-t")
	p.press(kb.Escape)
	p.offers()
	p.write("a")
	p.offers()
	p.press(kb.Enter)
	p.stored("@here and (@ben-t ) @benja")
	// What is written out is sent, too, and so is a lone sign.
	p.write("thanks @ben-t")
	p.offers("ben-t")
	p.press(kb.Enter)
	p.stored("thanks @ben-t")
	p.write("C#, a@b, see you @")
	p.press(kb.Enter)
	p.stored("C#, a@b, see you @")

	p.write("see #pl")
	p.offers("plans")
	p.press(kb.Enter)
	p.input("see #plans ")
	p.write(":")
	p.offers()
	p.write("hedge")
	p.offers(":hedgehog:")
	p.press(kb.Enter)
	p.input("see #plans 🦔 ")
	// With both colons at once, and by the mouse.
	p.write(":tada:")
	p.input("see #plans 🦔 🎉")
	p.write(" :hedgeh")
	p.offers(":hedgehog:")
	p.run(chromedp.Click(".offers li"))
	p.input("see #plans 🦔 🎉 🦔 ")
	p.until(`document.activeElement.id === 'input'`)
	// The list goes when the caret does.
	p.write("@al")
	p.offers("alice")
	p.press(kb.Home)
	p.offers()
	p.press(kb.End)
	p.offers("alice")
	p.text(`document.querySelector('#messages').focus(), ''`)
	p.offers()
}

// TestAxeCompletion runs axe-core with the list of completion open.
func TestAxeCompletion(t *testing.T) {
	t.Parallel()
	axe := axeCore(t)
	s := startServer(t, "")
	s.say("ben", "lobby", "hello")
	for i, how := range []screen{desktop, {width: 390, height: 780, mobile: true, dark: true}} {
		p := newPage(t, how)
		command(p, cdppage.SetBypassCSP, cdppage.SetBypassCSPParams{Enabled: true})
		p.join(s.url, fmt.Sprint("alice-", i))
		p.run(chromedp.Focus("#input"))
		for _, word := range []string{"@", "#lo", ":thu"} {
			p.text(`document.querySelector('#input').select(), ''`)
			p.write(word)
			p.until(`document.querySelector('.offers')`)
			p.picture(fmt.Sprintf("offers-%d-%s", i, strings.Trim(word, "@#:")))
			p.accessible(axe, how, "completion of "+word)
		}
		p.until(`document.documentElement.scrollWidth <= innerWidth`)
	}
}
