package browser

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/color/palette"
	"image/gif"
	"image/jpeg"
	"image/png"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// attack is script that shows that it ran, wherever it did, and takes what it can reach.
const attack = `self.pwned = 1; try { top.pwned = 1 } catch {} try { parent.postMessage('pwned', '*') } catch {} try { opener.pwned = 1 } catch {} try { alert(document.domain) } catch {}`

// hostileFile is a file that tries to become script.
type hostileFile struct{ name, content string }

// hostileFiles are real attacks: in formats that can hold script, in two formats at once, and in names.
func hostileFiles(t *testing.T) (all []hostileFile) {
	t.Helper()
	script := "<script>" + attack + "</script>"
	markup := `<img src=x onerror="` + attack + `">` + script
	picture := image.NewPaletted(image.Rect(0, 0, 40, 30), palette.Plan9)
	var asPNG, asJPEG, asGIF bytes.Buffer
	for _, err := range []error{png.Encode(&asPNG, picture), jpeg.Encode(&asJPEG, picture, nil), gif.Encode(&asGIF, picture, nil)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	pdf := "%PDF-1.7\n1 0 obj<</Type/Catalog/Pages 2 0 R/OpenAction<</S/JavaScript/JS(app.alert(1);" + attack + ")>>>>endobj\n" +
		"2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj 3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF"
	return []hostileFile{
		{"picture.svg", `<svg xmlns="http://www.w3.org/2000/svg" onload="` + attack + `" width="9" height="9"><script>` + attack + `</script><foreignObject>` + markup + `</foreignObject></svg>`},
		{"page.html", "<!DOCTYPE html><title>x</title>" + markup},
		{"page.xhtml", `<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><body onload="` + attack + `"><script>` + attack + `</script></body></html>`},
		{"style.xml", `<?xml version="1.0"?><?xml-stylesheet type="text/xsl" href="#x"?><x xmlns:h="http://www.w3.org/1999/xhtml"><h:script>` + attack + `</h:script></x>`},
		{"paper.pdf", pdf},
		{"archive.mhtml", "MIME-Version: 1.0\r\nContent-Type: multipart/related; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n" + script + "\r\n--b--"},
		{"program.js", attack},
		{"style.css", "body { background: red; display: none } @import url(javascript:" + attack + ");"},
		{"both.png", asPNG.String() + script},
		{"both.jpg", asJPEG.String() + script},
		{"both.gif", asGIF.String() + script},
		{"page.png", "<!DOCTYPE html>" + markup},
		{"page.txt", markup + strings.Repeat("\n"+markup, 30)},
		{"sound.wav", "RIFF\x00\x10\x00\x00WAVEfmt \x10\x00\x00\x00" + script},
		{"film.webm", "\x1aE\xdf\xa3\x84\x42\x82webm" + script},
		{"script.gif", "GIF89a/*" + strings.Repeat("\x00", 20) + "*/=1;" + attack},
		{`"><img src=x onerror=self.pwned=1>.html`, script},
		{"javascript:self.pwned=1//.txt", "x"},
		{"photo\u202Egnp.html", script},
		{"\r\nContent-Type: text/html\r\n\r\n" + script, script},
	}
}

// uploadHostile makes a message of each hostile file that the server takes, over a form, and returns their ids.
func (p *page) uploadHostile(all []hostileFile) (ids []string, taken []hostileFile) {
	p.t.Helper()
	for i, f := range all {
		id := value[string](p, fmt.Sprintf(`(async () => {
			const form = new FormData()
			const name = %s
			form.append('file', new File([Uint8Array.from(atob(%s), (c) => c.charCodeAt(0))], name, { type: 'text/html' }))
			const sent = await fetch('/v1/files', { method: 'POST', body: form })
			const file = await sent.json()
			if (!sent.ok) return sent.status === 415 ? '' : 'status ' + sent.status + ' ' + file.detail
			const posted = await fetch('/v1/rooms/lobby/messages', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ id: 'hostile-%d', files: [file.file] }) })
			return posted.ok ? file.file : 'posted ' + posted.status
		})()`, quote(f.name), quote(base64.StdEncoding.EncodeToString([]byte(f.content))), i), awaited)
		if strings.Contains(id, " ") {
			p.t.Fatalf("%q: %s", f.name, id)
		}
		if id != "" {
			ids, taken = append(ids, id), append(taken, f)
		}
	}
	if len(taken) < len(all)-5 {
		p.t.Fatalf("only %d of %d files were taken", len(taken), len(all))
	}
	return ids, taken
}

// fileTraces looks for what a file or its name has become beside text and pictures.
const fileTraces = `(() => {
	const found = []
	for (const e of document.querySelectorAll('*')) {
		for (const a of e.attributes) if (/^on/i.test(a.name) || a.name !== 'title' && /^\s*javascript:/i.test(a.value)) found.push(e.tagName + ' ' + a.name + '=' + a.value)
		if (['IFRAME', 'OBJECT', 'EMBED', 'BASE', 'FRAME'].includes(e.tagName) || ['SCRIPT', 'STYLE', 'LINK', 'META'].includes(e.tagName) && !e.closest('head')) found.push('<' + e.tagName + '>')
		if (e.tagName === 'IMG' && !e.src.startsWith(location.origin + '/v1/files/') && !e.src.startsWith('blob:')) found.push('<img src=' + e.src + '>')
	}
	if (window.pwned !== undefined) found.push('pwned is set')
	return found
})()`

func (p *page) wantNoTraces(where string) {
	p.t.Helper()
	for _, trace := range value[[]string](p, fileTraces) {
		p.t.Errorf("%s: %s", where, trace)
	}
}

// Whatever people upload runs nowhere on the page: in what is about to be sent, in messages of others, in the lightbox, in downloads.
// A page that fails its policy, opens a dialog or throws fails the test anyway.
func TestAttacksInFiles(t *testing.T) {
	t.Parallel()
	s, olga, ben := fileServer(t, desktop)
	_, taken := olga.uploadHostile(hostileFiles(t))
	for at := 0; at < len(taken); at += 10 { // and again as people do it, with a description
		part := taken[at:min(at+10, len(taken))]
		var list []string
		for _, f := range part {
			list = append(list, fmt.Sprintf(`new File([Uint8Array.from(atob(%s), (c) => c.charCodeAt(0))], %s)`, quote(base64.StdEncoding.EncodeToString([]byte(f.content))), quote(f.name)))
		}
		olga.does(`choose([%s])`, strings.Join(list, ", "))
		olga.attachedFiles(len(part))
		olga.wantNoTraces("above the field")
		if olga.truth(`document.querySelector('.attachment button[aria-label^=Describe]')`) {
			olga.text(`document.querySelector('.attachment button[aria-label^=Describe]').click(), ''`)
			olga.until(`document.activeElement?.id === 'input-alt'`)
			olga.write(`"><img src=x onerror=self.pwned=1>`)
			olga.press(kb.Enter)
			olga.attachedFiles(len(part))
		}
		olga.until(`document.activeElement?.id === 'input'`)
		olga.press(kb.Enter)
		olga.until(`!document.querySelector('.attachment') && !document.querySelector('.pending')`)
	}
	for _, p := range []*page{olga, ben} {
		p.until(`document.querySelectorAll('.row[data-seq]').length >= 1`)
		p.wantNoTraces("the newest messages")
		p.everyRow(func() { p.wantNoTraces("messages") })
	}
	ben.lookAtPictures()
	// Downloads save what they get, and lead nowhere.
	here := ben.text(`location.href`)
	ben.text(`document.querySelectorAll('a[download]').forEach((a) => a.click()), ''`)
	ben.pause(500)
	ben.wantNoTraces("downloads")
	if got := ben.text(`location.href`); got != here || !strings.HasPrefix(here, s.url) {
		t.Errorf("a download has led from %s to %s", here, got)
	}
}

// everyRow scrolls from the beginning of the room to its end.
func (p *page) everyRow(look func()) {
	p.t.Helper()
	p.until(`(() => { const l = document.querySelector('#messages'); l.scrollTop = 0; return l.querySelector('.begin').innerText.includes('This is where') })()`)
	for end := false; !end; {
		look()
		end = p.later(`new Promise((done) => {
			const l = document.querySelector('#messages')
			l.scrollTop += 400
			requestAnimationFrame(() => requestAnimationFrame(() => done(l.scrollTop + l.clientHeight >= l.scrollHeight - 1 ? 1 : 0)))
		})`) == 1
	}
}

// lookAtPictures opens each picture of the room.
func (p *page) lookAtPictures() {
	p.t.Helper()
	p.until(`document.querySelector('[data-picture]')`)
	p.text(`document.querySelector('[data-picture]').click(), ''`)
	const name = `(document.querySelector('.lightbox[open] .lightbox-name bdi')?.innerText ?? '')`
	p.until(name + ` !== '' && document.querySelector('.stage img').naturalWidth > 0`)
	for range 12 {
		p.wantNoTraces("the lightbox")
		p.press(kb.ArrowRight)
		p.pause(30)
	}
	p.press(kb.Escape)
	p.until(`!document.querySelector('.lightbox[open]')`)
}

// TestFilesAreNoDocuments goes to each file as to a page of its own, has other pages embed it with the cookie of
// its reader, and has a page that is already in the hands of an attacker load it as script.
func TestFilesAreNoDocuments(t *testing.T) {
	t.Parallel()
	s, olga, ben := fileServer(t, desktop)
	ids, taken := olga.uploadHostile(hostileFiles(t))
	shown := 0
	for i, id := range ids {
		for _, path := range []string{"/v1/files/" + id, "/v1/files/" + id + "/thumbnail"} {
			if ben.goesTo(s.url+path, taken[i].name) {
				shown++
			}
		}
	}
	if shown != 6 { // three pictures, and their thumbnails
		t.Errorf("%d files are shown as documents of their own, want the pictures", shown)
	}
	elsewhere := embedding(t, s.url, ids)
	for name, path := range map[string]string{"of the same site": elsewhere, "of another site": strings.Replace(elsewhere, "127.0.0.1", "localhost", 1)} {
		p := ben.tab()
		p.expectBreaks() // what is refused
		p.open(path)
		p.until(`window.settled === true`)
		p.pause(500)
		if ran := p.text(`window.ran.join()`); ran != "" || p.truth(`window.pwned`) {
			t.Errorf("a page %s has run %s", name, ran)
		}
		if loaded := value[[]string](p, `window.loaded`); len(loaded) > 0 {
			t.Errorf("a page %s has loaded %v", name, loaded)
		}
		p.onlyDialogs()
		p.close()
	}
	ben.loadsAsScript(s.url, ids)
}

// goesTo goes to an address, and reports whether a picture is shown there. Anything else has to be saved.
func (p *page) goesTo(url, name string) (shown bool) {
	p.t.Helper()
	tab := p.tab()
	tab.expectBreaks() // thumbnails that do not exist
	tab.open(strings.Split(url, "/v1/")[0] + "/healthz")
	ctx, cancel := context.WithTimeout(tab.ctx, patience) // a dialog that is open would keep it for ever
	defer cancel()
	_, err := chromedp.Run(ctx, chromedp.Navigate(url))
	switch {
	case err != nil && strings.Contains(err.Error(), "ERR_ABORTED"): // saved
	case err != nil:
		tab.check()
		p.t.Fatalf("%s of %q: %v", url, name, err)
	default:
		kind := tab.text(`document.contentType`)
		if shown = strings.HasPrefix(kind, "image/") && kind != "image/svg+xml"; !shown && kind != "application/problem+json" {
			p.t.Errorf("%s of %q is shown as %s", url, name, kind)
		}
		if shown && tab.text(`String(self.origin)`) != "null" {
			p.t.Errorf("%s of %q has the origin of the page", url, name)
		}
	}
	if tab.truth(`self.pwned`) {
		p.t.Errorf("%s of %q has run", url, name)
	}
	tab.onlyDialogs()
	tab.close()
	return shown
}

// onlyDialogs forgets the problems of a page that are none for an attacker.
func (p *page) onlyDialogs() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.problems = slices.DeleteFunc(p.problems, func(problem string) bool { return !strings.HasPrefix(problem, "a dialog") })
}

// embedding serves a page of somebody else that embeds files in every way, and returns its address. Pictures
// that it gets to see are in window.loaded, and what runs is in window.ran.
func embedding(t *testing.T, server string, ids []string) string {
	t.Helper()
	list, err := json.Marshal(ids)
	if err != nil {
		t.Fatal(err)
	}
	page := `<!DOCTYPE html><title>x</title><body><script>
		window.ran = []; window.loaded = []
		addEventListener('message', (e) => e.data === 'pwned' && ran.push(e.origin))
		const waits = []
		const add = (tag, set) => waits.push(new Promise((done) => {
			const e = document.createElement(tag)
			e.onload = e.onloadedmetadata = () => { if (!['IFRAME', 'OBJECT', 'EMBED'].includes(e.tagName)) loaded.push(tag + ' ' + set.address); done() }
			e.onerror = done
			setTimeout(done, 1500)
			set(e)
			document.body.append(e)
		}))
		for (const id of ` + string(list) + `) for (const path of ['', '/thumbnail']) {
			const address = '` + server + `/v1/files/' + id + path
			const to = (key, more = {}) => Object.assign((e) => Object.assign(e, { [key]: address }, more), { address })
			add('iframe', to('src')); add('object', to('data')); add('object', to('data', { type: 'image/svg+xml' })); add('embed', to('src')); add('embed', to('src', { type: 'application/pdf' }))
			add('script', to('src')); add('img', to('src')); add('video', to('src')); add('link', to('href', { rel: 'stylesheet' }))
			waits.push(import(address).then(() => loaded.push('import ' + address), () => {}))
			waits.push(fetch(address, { credentials: 'include' }).then((r) => loaded.push('fetch ' + address), () => {}))
		}
		Promise.all(waits).then(() => window.settled = true)
	</script>`
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, page)
	}))
	t.Cleanup(other.Close)
	return other.URL
}

// loadsAsScript has the page itself load files as script, style, worker and document: none has a type for that, and the
// policy of the page refuses the rest.
func (p *page) loadsAsScript(server string, ids []string) {
	p.t.Helper()
	tab := p.tab()
	tab.expectBreaks()
	tab.open(server)
	tab.online()
	list, err := json.Marshal(ids)
	if err != nil {
		p.t.Fatal(err)
	}
	done := value[[]string](tab, `(async () => {
		const done = [], waits = []
		const add = (tag, key, address, more = {}) => waits.push(new Promise((next) => {
			const e = Object.assign(document.createElement(tag), more)
			e.onload = () => { if (tag !== 'iframe') done.push(tag); next() }
			e.onerror = next
			setTimeout(next, 1500)
			try { e[key] = address } catch { return next() } // Trusted Types
			document.body.append(e)
		}))
		for (const id of `+string(list)+`) {
			const address = '/v1/files/' + id
			try { e = document.createElement('script'); e.setAttribute('src', address); document.body.append(e) } catch {}
			add('script', 'src', address); add('link', 'href', address, { rel: 'stylesheet' }); add('iframe', 'src', address); add('object', 'data', address); add('embed', 'src', address)
			waits.push(import(address).then(() => done.push('import'), () => {}))
			try { new Worker(address).onmessage = () => done.push('worker') } catch {}
			waits.push(navigator.serviceWorker.register(address, { scope: '/v1/files/' }).then(() => done.push('service worker'), () => {}))
		}
		await Promise.all(waits)
		return done
	})()`, awaited)
	if len(done) > 0 || tab.truth(`window.pwned !== undefined`) {
		p.t.Errorf("the page has loaded files as %v", done)
	}
	tab.text(`window.violations = [], ''`) // that is what they are for
	tab.onlyDialogs()
	tab.close()
}
