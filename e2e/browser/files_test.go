package browser

import (
	"fmt"
	"testing"

	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// makeFiles is JavaScript that makes files: picture draws one, and given is what a clipboard, a
// drag or a chooser has.
const makeFiles = `
window.picture = async (name, width, height, hue = 210) => {
	const canvas = Object.assign(document.createElement('canvas'), { width, height })
	const c = canvas.getContext('2d')
	const sky = c.createLinearGradient(0, 0, 0, height)
	sky.addColorStop(0, 'hsl(' + hue + ' 60% 70%)')
	sky.addColorStop(1, 'hsl(' + (hue + 40) + ' 70% 88%)')
	c.fillStyle = sky
	c.fillRect(0, 0, width, height)
	c.fillStyle = 'hsl(' + (hue - 80) + ' 35% 42%)'
	c.beginPath()
	c.moveTo(0, height)
	c.lineTo(width * 0.35, height * 0.4)
	c.lineTo(width * 0.6, height * 0.75)
	c.lineTo(width * 0.8, height * 0.55)
	c.lineTo(width, height)
	c.fill()
	return new File([await new Promise((done) => canvas.toBlob(done, 'image/png'))], name, { type: 'image/png' })
}
window.given = (files) => {
	const data = new DataTransfer()
	for (const file of files) data.items.add(file)
	return data
}
window.paste = (files) => document.getElementById('input').dispatchEvent(new ClipboardEvent('paste', { clipboardData: given(files), bubbles: true, cancelable: true }))
window.drag = (name, files) => document.getElementById('messages').dispatchEvent(new DragEvent(name, { dataTransfer: given(files), bubbles: true, cancelable: true }))
window.choose = (files) => {
	const chooser = document.querySelector('.composer input[type=file]')
	chooser.files = given(files).files
	chooser.dispatchEvent(new Event('change', { bubbles: true }))
}
`

// does runs JavaScript that may wait.
func (p *page) does(script string, args ...any) {
	p.t.Helper()
	p.later(`(async () => {` + fmt.Sprintf(script, args...) + `; return 0 })()`)
}

// attachedFiles waits until so many files are above the field, and the server has them.
func (p *page) attachedFiles(n int) {
	p.t.Helper()
	p.until(`document.querySelectorAll('.attachment').length === %s && !document.querySelector('.attachment progress')`, n)
}

// fileServer starts a server with the people olga and ben, and their pages.
func fileServer(t *testing.T, how screen) (s *server, olga, ben *page) {
	t.Helper()
	s = owned(t, "invite", "ben")
	olga, ben = newPage(t, how), newPage(t, desktop)
	for name, p := range map[string]*page{"olga": olga, "ben": ben} {
		p.expectBreaks() // the sign-in asks who is signed in
		p.script(makeFiles)
		p.signIn(s.url, name)
	}
	return s, olga, ben
}

// Pictures are pasted, dropped and chosen, described, sent without a text, and shown in a place that
// is kept for them.
func TestPicturesAreShared(t *testing.T) {
	t.Parallel()
	_, olga, ben := fileServer(t, desktop)
	olga.does(`paste([await picture('hills.png', 1600, 1000)])`)
	olga.attachedFiles(1)
	olga.button("Describe hills.png")
	olga.until(`document.activeElement?.id === 'input-alt'`)
	olga.write("Green hills")
	olga.press(kb.Enter)
	olga.attachedFiles(1)
	olga.until(`document.activeElement?.id === 'input' && document.querySelector('.attachment').innerText.includes('Green hills')`)
	olga.press(kb.Enter)
	for _, p := range []*page{olga, ben} {
		p.until(`document.querySelector('.row[data-seq] .picture img')?.naturalWidth > 0 && !document.querySelector('.pending')`)
		if got := p.text(`((i) => [i.alt, i.width, i.height, i.getAttribute('loading')].join())(document.querySelector('.picture img'))`); got != "Green hills,360,225,lazy" {
			t.Errorf("the picture is shown as %q, want Green hills,360,225,lazy", got)
		}
	}
	if olga.truth(`document.querySelector('.attachment')`) {
		t.Error("what was sent is still above the field")
	}

	// Several at once, with a text.
	olga.does(`drag('dragover', [await picture('a.png', 10, 10)])`)
	olga.until(`document.querySelector('.dropping')`)
	olga.does(`drag('drop', [await picture('one.png', 600, 900, 20), await picture('two.png', 900, 600, 100), await picture('three.png', 500, 500, 300)])`)
	olga.until(`!document.querySelector('.dropping')`)
	olga.say("three more")
	olga.stored("three more")
	ben.until(`document.querySelectorAll('.pictures .tile img').length === 3 && [...document.querySelectorAll('.tile img')].every((i) => i.naturalWidth > 0)`)
}

// The lightbox goes through the pictures of the room by keys, zooms, keeps the focus and gives it back.
func TestLightbox(t *testing.T) {
	t.Parallel()
	_, olga, _ := fileServer(t, desktop)
	olga.does(`choose([await picture('first.png', 1600, 1000), await picture('second.png', 400, 900, 20)])`)
	olga.attachedFiles(2)
	olga.press(kb.Enter)
	olga.until(`document.querySelectorAll('.row[data-seq] .tile').length === 2`)
	olga.click(`.tile`)
	const name = `document.querySelector('.lightbox[open] .lightbox-name bdi')?.innerText`
	olga.until(name + ` === 'first.png' && document.querySelector('.stage img').naturalWidth === 1600`)
	olga.press(kb.ArrowRight)
	olga.until(name + ` === 'second.png'`)
	olga.press(kb.ArrowRight) // there is no further one
	olga.press(kb.ArrowLeft)
	olga.until(name + ` === 'first.png'`)
	olga.write("+")
	olga.until(`document.querySelector('.stage img').style.transform.includes('scale(1.4)')`)
	olga.write("0")
	olga.until(`document.querySelector('.stage img').style.transform === ''`)
	for range 8 {
		olga.press(kb.Tab)
		if !olga.truth(`document.activeElement === document.body || document.activeElement.closest('.lightbox')`) {
			t.Error("the focus has left the lightbox")
		}
	}
	olga.press(kb.Escape)
	olga.until(`!document.querySelector('.lightbox[open]') && document.activeElement?.dataset.picture`)
}

// Texts show their beginning as text, whatever is in them; everything else says what it is.
func TestOtherFiles(t *testing.T) {
	t.Parallel()
	_, olga, ben := fileServer(t, desktop)
	olga.does(`choose([
		new File(['<script>document.title = "run"</script>\n' + 'line\n'.repeat(40)], 'page.html', { type: 'text/html' }),
		new File([new Uint8Array(70000)], 'data.bin'),
	])`)
	olga.attachedFiles(2)
	olga.say("two files")
	ben.sees("two files")
	ben.until(`document.querySelector('.text code')?.textContent.startsWith('<script>') && document.querySelectorAll('.file').length === 2`)
	if got := ben.text(`[...document.querySelectorAll('.file-text')].map((e) => e.innerText.replace(/\s+/g, ' ')).join('; ')`); got != "page.html HTML · 240 bytes; data.bin BIN · 70 kB" {
		t.Errorf("the files are shown as %q", got)
	}
	before := ben.number(`document.querySelector('.text').offsetHeight`)
	ben.button("Show more: page.html")
	ben.until(`document.querySelector('.text').offsetHeight > %s + 100`, raw(fmt.Sprint(before)))
	// What was deleted has no files any more.
	seq := int(olga.number(`Number(document.querySelector('.file').closest('.row').dataset.seq)`))
	olga.tool(seq, "Delete")
	olga.inTools(seq, "Delete")
	ben.until(`document.querySelector('.deleted') && !document.querySelector('.file')`)
}

// An upload that breaks goes on where it stopped; a message waits for its files, and Escape stops that.
func TestUploadGoesOn(t *testing.T) {
	t.Parallel()
	_, olga, ben := fileServer(t, desktop)
	// The first part arrives by half, and then the network is gone.
	olga.text(`((send, header) => {
		window.offsets = []
		XMLHttpRequest.prototype.setRequestHeader = function (name, value) {
			if (name === 'Upload-Offset') (this.at = value), offsets.push(value)
			return header.call(this, name, value)
		}
		XMLHttpRequest.prototype.send = function (body) {
			const go = () => {
				if (!body || this.at !== '0') return send.call(this, body)
				this.onload = () => this.onerror()
				return send.call(this, body.slice(0, 400000))
			}
			if (window.held && body) held.push(go)
			else go()
		}
		window.held = []
		return ''
	})(XMLHttpRequest.prototype.send, XMLHttpRequest.prototype.setRequestHeader)`)
	olga.does(`choose([new File([new Uint8Array(1000000)], 'long.bin')])`)
	olga.until(`held.length === 1`)
	olga.say("with a file")
	olga.until(`document.querySelector('.send').getAttribute('aria-label') === 'Sent once the files are there'`)
	if got := olga.text(`document.getElementById('input').value`); got != "with a file" {
		t.Errorf("while it waits the field has %q", got)
	}
	olga.text(`((all) => { window.held = undefined; all.forEach((go) => go()); return '' })(held)`)
	olga.stored("with a file")
	ben.until(`document.querySelector('.file')?.innerText.includes('1 MB')`)
	if got := olga.text(`offsets.join()`); got != "0,400000" {
		t.Errorf("the parts began at %s, want 0,400000", got)
	}
}

// A file that is taken out before the server has said where its upload is is taken back when it does: nothing is
// left of it, and no byte is sent.
func TestUploadIsTakenBack(t *testing.T) {
	t.Parallel()
	_, olga, _ := fileServer(t, desktop)
	olga.text(`((send, fetched) => {
		window.answers = []
		window.sent = []
		window.deleted = []
		XMLHttpRequest.prototype.send = function (body) {
			const load = this.onload
			if (!body) this.onload = (event) => answers.push(() => load.call(this, event))
			else sent.push(body.size)
			return send.call(this, body)
		}
		window.fetch = (url, how) => fetched(url, how).then((answer) => {
			if (how?.method === 'DELETE') deleted.push(answer.status)
			return answer
		})
		return ''
	})(XMLHttpRequest.prototype.send, window.fetch)`)
	olga.does(`choose([new File([new Uint8Array(1000)], 'regretted.bin')])`)
	olga.until(`answers.length === 1`) // the server has begun the upload
	olga.click(`[aria-label="Remove regretted.bin"]`)
	olga.until(`!document.querySelector('.attachment')`)
	olga.text(`(answers.forEach((answer) => answer()), '')`)
	olga.until(`deleted.join() === '204'`)
	if got := olga.text(`sent.join()`); got != "" {
		t.Errorf("parts of %s bytes were sent", got)
	}
}

// Files stay with their room's draft, also over a reload, and a message has ten at most.
func TestFilesOfDrafts(t *testing.T) {
	t.Parallel()
	_, olga, _ := fileServer(t, desktop)
	olga.does(`choose(Array.from({ length: 12 }, (_, i) => new File(['text ' + i], 'f' + i + '.txt')))`)
	olga.attachedFiles(10)
	olga.until(`document.querySelector('.attached-note').innerText.includes('at most 10 files')`)
	olga.button("Remove f3.txt")
	olga.attachedFiles(9)
	olga.run(chromedp.Reload())
	olga.online()
	olga.attachedFiles(9)
	olga.press(kb.Enter)
	olga.until(`document.querySelectorAll('.row[data-seq] .file').length === 9`)
}

// TestAxeFiles runs axe-core on everything that has files.
func TestAxeFiles(t *testing.T) {
	t.Parallel()
	axe := axeCore(t)
	for _, how := range []screen{desktop, {width: 390, height: 780, mobile: true, dark: true}} {
		_, p, _ := fileServer(t, how)
		command(p, cdppage.SetBypassCSP, cdppage.SetBypassCSPParams{Enabled: true})
		p.run(chromedp.Reload())
		p.online()
		const some = `choose([await picture('hills.png', 1600, 1000), await picture('tall.png', 500, 900, 20), new File(['package main\n\nfunc main() {\n\tprintln("hello")\n}\n'.repeat(9)], 'main.go'), new File([new Uint8Array(3210000)], 'archive.bin')])`
		p.does(some)
		p.attachedFiles(4)
		p.keepPicture("files-draft", how)
		p.accessible(axe, how, "files above the field")
		p.text(`document.querySelector('.send').click(), ''`)
		p.until(`document.querySelectorAll('.row[data-seq] .file').length === 2 && document.querySelector('.text code').innerText !== '' && [...document.querySelectorAll('.tile img')].every((i) => i.naturalWidth > 0)`)
		p.does(`choose([await picture('harbour.png', 1200, 800, 180)])`)
		p.attachedFiles(1)
		p.text(`document.querySelector('.send').click(), ''`)
		p.until(`document.querySelector('.row[data-seq] .picture:not(.tile) img')?.naturalWidth > 0`)
		p.keepPicture("files", how)
		p.accessible(axe, how, "messages with files")
		p.text(`document.querySelector('.tile').click(), ''`)
		p.until(`document.querySelector('.lightbox[open] .stage img')?.naturalWidth > 0`)
		p.keepPicture("files-lightbox", how)
		p.accessible(axe, how, "the lightbox")
		p.close()
	}
}

// keepPicture writes a picture of the documentation, if some are wanted.
func (p *page) keepPicture(name string, how screen) {
	p.t.Helper()
	switch {
	case *screenshots == "" || how.dark && name != "files":
		return
	case how.dark:
		name += "-phone-dark"
	}
	p.shoot("web-" + name)
}
