package browser

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// set changes a setting of the server.
func (s *server) set(key, value string) {
	s.t.Helper()
	if out, err := exec.Command(binary, "settings", "set", "--data", s.data, key, value).CombinedOutput(); err != nil {
		s.t.Fatalf("set %s: %v\n%s", key, err, out)
	}
}

// makeMedia is JavaScript that makes a sound of a quarter of a second and a film.
const makeMedia = `
window.sound = () => {
	const rate = 8000, samples = rate / 4
	const view = new DataView(new ArrayBuffer(44 + samples))
	const text = (at, of) => [...of].forEach((c, i) => view.setUint8(at + i, c.charCodeAt(0)))
	text(0, 'RIFF'), view.setUint32(4, 36 + samples, true), text(8, 'WAVEfmt '), view.setUint32(16, 16, true)
	view.setUint16(20, 1, true), view.setUint16(22, 1, true), view.setUint32(24, rate, true), view.setUint32(28, rate, true)
	view.setUint16(32, 1, true), view.setUint16(34, 8, true), text(36, 'data'), view.setUint32(40, samples, true)
	for (let i = 0; i < samples; i++) view.setUint8(44 + i, 128 + 60 * Math.sin(i / 3))
	return new File([view], 'beep.wav', { type: 'audio/wav' })
}
window.film = async () => {
	const canvas = Object.assign(document.createElement('canvas'), { width: 64, height: 48 })
	const c = canvas.getContext('2d')
	const recorder = new MediaRecorder(canvas.captureStream(25), { mimeType: 'video/webm;codecs=vp8' })
	const parts = []
	recorder.ondataavailable = (event) => parts.push(event.data)
	const ended = new Promise((done) => (recorder.onstop = done))
	recorder.start()
	for (let i = 0; i < 12; i++) {
		c.fillStyle = 'hsl(' + i * 30 + ' 80% 50%)'
		c.fillRect(0, 0, 64, 48)
		await new Promise((done) => setTimeout(done, 40))
	}
	recorder.stop()
	await ended
	return new File(parts, 'film.webm', { type: 'video/webm' })
}
`

// Audio and video play in the conversation, from where the reader wants.
func TestPlayers(t *testing.T) {
	t.Parallel()
	_, olga, ben := fileServer(t, desktop)
	olga.text(makeMedia + `; ''`)
	olga.does(`choose([sound(), await film()])`)
	olga.attachedFiles(2)
	olga.say("listen and look")
	ben.sees("listen and look")
	ben.until(`document.querySelector('.row[data-seq] audio') && document.querySelector('.row[data-seq] video')`)
	ben.until(`document.querySelectorAll('.row[data-seq] .file').length === 2`)
	if ben.truth(`performance.getEntriesByType('resource').some((e) => e.name.includes('/v1/files/'))`) {
		t.Error("media are loaded before anybody wants to hear or see them")
	}
	for _, kind := range []string{"audio", "video"} {
		ben.does(`{
			const m = document.querySelector('.row[data-seq] %s')
			m.muted = true // without a click a browser plays nothing that is loud
			await m.play()
			await new Promise((done) => (m.ended ? done() : (m.onended = done)))
		}`, kind)
		if ben.truth(fmt.Sprintf(`document.querySelector('.row[data-seq] %s').currentTime === 0`, kind)) {
			t.Errorf("the %s has not played", kind)
		}
	}
	ben.until(`document.querySelector('.row[data-seq] video').videoWidth === 64`)
	ben.does(`{
		const m = document.querySelector('.row[data-seq] audio')
		m.currentTime = 0.1
		await new Promise((done) => (m.onseeked = done))
	}`)
}

// Fingers, the wheel and a double click enlarge a picture of the lightbox, and what is enlarged is moved about.
func TestZoomOfTheLightbox(t *testing.T) {
	t.Parallel()
	_, olga, _ := fileServer(t, desktop)
	olga.does(`choose([await picture('hills.png', 1600, 1000)])`)
	olga.attachedFiles(1)
	olga.press(kb.Enter)
	olga.until(`document.querySelector('.row[data-seq] .picture img')?.naturalWidth > 0`)
	olga.click(`.row[data-seq] .picture`)
	olga.until(`document.querySelector('.stage img')?.naturalWidth === 1600`)
	olga.text(`
		window.stage = document.querySelector('.stage')
		window.middle = ((b) => ({ x: b.left + b.width / 2, y: b.top + b.height / 2 }))(stage.getBoundingClientRect())
		window.touch = (type, id, x, y) => stage.dispatchEvent(new PointerEvent(type, { pointerId: id, pointerType: 'touch', bubbles: true, button: type === 'pointermove' ? -1 : 0, clientX: middle.x + x, clientY: middle.y + y }))
		window.view = () => (/translate\((.*)px, (.*)px\) scale\((.*)\)/.exec(document.querySelector('.stage img').style.transform) ?? [0, 0, 0, 1]).slice(1).map(Number)
		; ''`)
	scale := func(want string) {
		t.Helper()
		olga.until(`Math.abs(view()[2] - %s) < 0.01`, raw(want))
	}
	// Two fingers that end up three times as far apart as they were.
	olga.text(`touch('pointerdown', 1, -50, 0), touch('pointerdown', 2, 50, 0), touch('pointermove', 1, -150, 0), touch('pointermove', 2, 150, 0), ''`)
	scale("3")
	olga.text(`touch('pointerup', 2, 150, 0), ''`)
	// One finger moves it, as far as its edge.
	olga.text(`window.before = view(), touch('pointermove', 1, -110, 30), ''`)
	olga.until(`Math.abs(view()[0] - before[0] - 40) < 1 && Math.abs(view()[1] - before[1] - 30) < 1`)
	olga.text(`touch('pointermove', 1, 90000, 0), ''`)
	olga.until(`Math.abs(view()[0] - stage.clientWidth) < 1`)
	olga.text(`touch('pointerup', 1, 90000, 0), ''`)
	olga.text(`stage.click(), ''`) // the end of a move is no click that closes it
	olga.until(`document.querySelector('.lightbox[open]')`)
	// Together again.
	olga.text(`touch('pointerdown', 1, -150, 0), touch('pointerdown', 2, 150, 0), touch('pointermove', 1, -10, 0), touch('pointermove', 2, 10, 0), touch('pointerup', 1, -10, 0), touch('pointerup', 2, 10, 0), ''`)
	scale("1")
	olga.text(`stage.dispatchEvent(new MouseEvent('dblclick', { bubbles: true, clientX: middle.x + 100, clientY: middle.y })), ''`)
	scale("2.5")
	olga.until(`Math.abs(view()[0] + 150) < 1`) // what was under the pointer still is
	olga.text(`stage.dispatchEvent(new MouseEvent('dblclick', { bubbles: true })), ''`)
	scale("1")
	for range 3 {
		olga.text(`stage.dispatchEvent(new WheelEvent('wheel', { bubbles: true, cancelable: true, deltaY: -200, clientX: middle.x, clientY: middle.y })), ''`)
	}
	scale("3.32")
	olga.text(`stage.dispatchEvent(new WheelEvent('wheel', { bubbles: true, cancelable: true, deltaY: -90000, clientX: middle.x, clientY: middle.y })), ''`)
	scale("12")
}

// What the server refuses is said in words, at the file; the others stay. A file can be taken out while it is on its way.
func TestRefusedFiles(t *testing.T) {
	t.Parallel()
	s, olga, _ := fileServer(t, desktop)
	s.set("file_size", "100KB")
	s.set("file_quota", "150KB")
	olga.does(`choose([new File([new Uint8Array(100001)], 'large.bin'), new File([new Uint8Array(90000)], 'good.bin')])`)
	const states = `[...document.querySelectorAll('.attachment')].map((a) => a.querySelector('.attachment-name').innerText + ': ' + a.querySelector('.attachment-state').innerText).join('; ')`
	olga.until(states+` === %s`, "large.bin: too large: the limit is 100 kB; good.bin: BIN · 90 kB")
	olga.until(`document.querySelector('.attachment.refused [role=alert]')`)
	olga.does(`choose([new File([new Uint8Array(80000)], 'more.bin')])`)
	olga.until(states+`.endsWith(%s)`, "more.bin: no room: your files may have 150 kB in all")
	// Nothing is sent without them, until the user has decided.
	olga.press(kb.Enter)
	olga.pause(100)
	if olga.truth(`document.querySelector('.row[data-seq] .file')`) {
		t.Error("the message was sent without what was refused")
	}
	s.set("file_quota", "1MB")
	olga.text(`[...document.querySelectorAll('.attachment')].find((a) => a.innerText.includes('more.bin')).querySelector('.plain').click(), ''`)
	olga.until(states+`.endsWith(%s)`, "more.bin: BIN · 80 kB")
	olga.button("Remove large.bin")
	olga.attachedFiles(2)
	olga.press(kb.Enter)
	olga.until(`document.querySelectorAll('.row[data-seq] .file').length === 2`)
}

// A file that is taken out while it is on its way is forgotten by the server at once.
func TestUploadsAreCancelled(t *testing.T) {
	t.Parallel()
	_, olga, _ := fileServer(t, desktop)
	olga.text(`((send) => {
		window.asked = []
		window.began = false
		XMLHttpRequest.prototype.send = function (body) {
			// The bytes never arrive.
			if (!body) return send.call(this, body)
			window.began = true
		}
		const go = window.fetch
		window.fetch = (url, how) => go(url, how).then((answer) => (how?.method === 'DELETE' && asked.push(answer.status), answer))
		return ''
	})(XMLHttpRequest.prototype.send)`)
	olga.does(`choose([new File([new Uint8Array(1000000)], 'long.bin')])`)
	olga.until(`document.querySelector('.attachment progress') && began`)
	olga.say("with a file")
	olga.until(`document.querySelector('.send').getAttribute('aria-label') === 'Sent once the files are there'`)
	olga.press(kb.Escape)
	olga.until(`document.querySelector('.send').getAttribute('aria-label') === 'Send' && document.getElementById('input').value === 'with a file'`)
	olga.button("Remove long.bin")
	olga.until(`!document.querySelector('.attachment') && asked.join() === '204'`)
	olga.press(kb.Enter)
	olga.stored("with a file")
}

// A description is told to the server, which has the picture already; one that is refused can be tried again.
func TestDescriptionsUploadNothingAgain(t *testing.T) {
	t.Parallel()
	_, olga, ben := fileServer(t, desktop)
	olga.does(`choose([await picture('hills.png', 400, 300)])`)
	olga.attachedFiles(1)
	describe := func(button, text string) {
		t.Helper()
		olga.button(button)
		olga.until(`document.activeElement?.id === 'input-alt'`)
		olga.text(`document.activeElement.select(), ''`)
		olga.write(text)
		olga.press(kb.Enter)
	}
	describe("Describe hills.png", "Green hills")
	olga.until(`document.querySelector('.attachment').innerText.includes('Description: Green hills')`)
	olga.run(chromedp.Reload())
	olga.online()
	olga.attachedFiles(1) // also that of an earlier visit
	olga.text(`window.uploads = 0, ((open) => (XMLHttpRequest.prototype.open = function (...all) { uploads++; return open.apply(this, all) }))(XMLHttpRequest.prototype.open), ''`)
	olga.until(`document.querySelector('.attachment .plain')?.innerText === 'Description: Green hills'`)
	olga.text(`document.querySelector('.attachment .plain').click(), ''`)
	olga.until(`document.activeElement?.id === 'input-alt'`)
	olga.text(`document.activeElement.select(), ''`)
	olga.write("Blue hills")
	olga.press(kb.Enter)
	olga.press(kb.Enter) // at once
	ben.until(`document.querySelector('.row[data-seq] .picture img')?.alt === 'Blue hills'`)
	if n := olga.number(`uploads`); n != 0 {
		t.Errorf("describing a picture makes %v uploads", n)
	}
}

// A message with only a picture is recognised where it is quoted, found and listed, and an edit may take its text away.
func TestFilesEverywhere(t *testing.T) {
	t.Parallel()
	s, olga, ben := fileServer(t, desktop)
	ben.create("garden", "public")
	olga.does(`choose([await picture('hills.png', 400, 300)])`)
	olga.attachedFiles(1)
	olga.say("look at this, @ben")
	olga.stored("look at this, @ben")
	seq := olga.seqOf("look at this, @ben")
	// Catch up has small pictures.
	ben.text(`document.querySelector('.catch-up').click(), ''`)
	ben.until(`document.querySelector('.inbox .file-marks img')?.naturalWidth > 0 && document.querySelector('.inbox .file-marks').innerText.includes('hills.png')`)
	ben.open(s.url + "/r/lobby")
	ben.online()
	// The text goes, the picture stays.
	olga.tool(seq, "Edit")
	olga.until(`document.querySelector('#input').value === 'look at this, @ben'`)
	olga.text(`document.querySelector('#input').select(), ''`)
	olga.press(kb.Backspace)
	olga.until(`!document.querySelector('.send').disabled`)
	olga.press(kb.Enter)
	for _, p := range []*page{olga, ben} {
		p.inRow(seq, `r.querySelector('.picture img') && r.querySelector('.edited') && !r.innerText.includes('look at this')`)
	}
	ben.run(chromedp.Reload())
	ben.online()
	ben.inRow(seq, `r.querySelector('.picture img') && !r.innerText.includes('look at this')`)
	// Quoted by its name, and found by it.
	ben.tool(seq, "Reply")
	ben.until(`document.querySelector('.composing')?.innerText.includes('hills.png')`)
	ben.say("nice hills")
	ben.stored("nice hills")
	olga.until(`[...document.querySelectorAll('.quote-text')].some((e) => e.innerText === 'hills.png')`)
	ben.press("f", chromedp.KeyModifiers(kb.ModifierCtrl))
	ben.until(`document.activeElement.id === 'search'`)
	for _, query := range []string{"has:file", "hills.png"} {
		ben.ask(query)
		ben.until(`(document.querySelector('.results .file-marks')?.innerText.includes('hills.png') && document.querySelector('.results .file-marks img')?.naturalWidth > 0) || (%s !== 'Searching …' && (document.querySelector('.search-form').requestSubmit(), false))`, raw(searchStatus))
	}
}

// A name of an emoji that is written before the list is there is an emoji when it is sent, and holds up nothing else.
func TestEmojiBeforeTheirList(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	p := newPage(t, desktop)
	p.join(s.url, "alice")
	p.text(`((go) => {
		const later = setTimeout
		window.setTimeout = (f, ms, ...rest) => later(f, ms === 3000 ? 1e6 : ms, ...rest) // a busy machine takes longer than the page waits
		window.let = new Promise((done) => (window.arrive = done))
		window.fetch = (url, how) => (String(url).includes('/emoji') ? let.then(() => go(url, how)) : go(url, how))
		return ''
	})(window.fetch)`)
	p.say("12:30 is fine")
	p.stored("12:30 is fine")
	p.write("done :tada:")
	if got := p.text(`document.querySelector('#input').value`); got != "done :tada:" {
		t.Fatalf("without the list the field has %q", got)
	}
	p.press(kb.Enter)
	p.until(`document.querySelector('#input').value === '' && document.querySelector('.pending')`)
	p.say("and after it")
	p.text(`arrive(), ''`)
	p.stored("and after it")
	if got := strings.Join(p.shown(), " | "); !strings.Contains(got, "done 🎉") || strings.Index(got, "done 🎉") > strings.Index(got, "and after it") {
		t.Errorf("the room has %s", got)
	}
}
