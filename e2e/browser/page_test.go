package browser

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	cdplog "github.com/chromedp/cdproto/log"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// page is one tab of one user's browser.
type page struct {
	t     testing.TB
	ctx   context.Context
	close func()     // looks for problems and closes the tab, once
	mu    sync.Mutex // guards all below
	// problems are exceptions, errors, violations and dialogs, which fail the test.
	problems []string
	// cutOff is set if network errors are expected.
	cutOff bool
}

// screen describes the device that a page is shown on.
type screen struct {
	width, height int64
	mobile, dark  bool
	reducedMotion bool
}

var desktop = screen{width: 1280, height: 800}

// watch collects violations of the content security policy.
const watch = `
window.violations = [];
document.addEventListener('securitypolicyviolation', (e) =>
	window.violations.push(e.effectiveDirective + ' ' + e.blockedURI + ' ' + e.sample));
`

// newPage opens an empty tab in a profile of its own.
func newPage(t testing.TB, how screen) *page {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	return preparePage(t, ctx, cancel, how)
}

// tab opens another tab in the profile of a page.
func (p *page) tab() *page {
	p.t.Helper()
	ctx, cancel := chromedp.NewContext(p.ctx)
	return preparePage(p.t, ctx, cancel, desktop)
}

func preparePage(t testing.TB, ctx context.Context, cancel func(), how screen) *page {
	t.Helper()
	p := &page{t: t, ctx: ctx}
	p.close = sync.OnceFunc(func() {
		p.check()
		cancel()
	})
	t.Cleanup(p.close)
	scheme, motion := "light", "no-preference"
	if how.dark {
		scheme = "dark"
	}
	if how.reducedMotion {
		motion = "reduce"
	}
	factor := 1.0
	if *screenshots != "" {
		factor = 2
	}
	// The tab lives as long as the context of its first use, so that context has no
	// deadline of its own.
	within(t, "opening a tab", func() {
		if err := chromedp.Do(ctx); err != nil {
			t.Error(err)
		}
	})
	if err := chromedp.Listen(ctx, p.notice); err != nil {
		t.Fatal(err)
	}
	command(p, cdplog.Enable, cdp.Empty{})
	command(p, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: how.width, Height: how.height, DeviceScaleFactor: factor, Mobile: how.mobile,
	})
	command(p, emulation.SetTouchEmulationEnabled, emulation.SetTouchEmulationEnabledParams{Enabled: how.mobile})
	command(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme},
		{Name: "prefers-reduced-motion", Value: motion},
	}})
	// A background tab counts as looked at too.
	command(p, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
	p.script(watch)
	return p
}

// check fails the test for every problem in the page.
func (p *page) check() {
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	violations, err := chromedp.Run(ctx, chromedp.Evaluate[[]string](`window.violations ?? []`))
	if err != nil {
		p.t.Errorf("the page is gone: %v", err)
	}
	for _, violation := range violations {
		p.t.Errorf("a violation of the content security policy: %s", violation)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, problem := range p.problems {
		p.t.Errorf("in the page: %s", problem)
	}
}

// notice collects problems.
func (p *page) notice(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		problem := e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			problem += " " + e.ExceptionDetails.Exception.Description
		}
		p.problems = append(p.problems, problem)
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			p.problems = append(p.problems, fmt.Sprintf("console: %s %s", e.Args[0].Value, e.Args[0].Description))
		}
	case *cdplog.EventEntryAdded:
		network := e.Entry.Source == cdplog.EntrySourceNetwork || strings.Contains(e.Entry.Text, "WebSocket connection")
		if e.Entry.Level == cdplog.EntryLevelError && !(p.cutOff && network) {
			p.problems = append(p.problems, fmt.Sprintf("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL))
		}
	case *cdppage.EventJavascriptDialogOpening:
		p.problems = append(p.problems, "a dialog: "+e.Message)
	}
}

// expectBreaks allows network errors from now on.
func (p *page) expectBreaks() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cutOff = true
}

// command sends a command of the debugging protocol.
func command[P, R any](p *page, cmd cdp.Command[P, R], params P) R {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	result, err := chromedp.Call(ctx, cmd, params)
	if err != nil {
		p.t.Fatalf("%T: %v", params, err)
	}
	return result
}

func (p *page) run(action chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	result(p, "an action", action)
}

// result runs an action with a result. If it fails, the test says what it was about.
func result[T any](p *page, about string, action chromedp.Action[T]) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, action)
	if err != nil {
		p.t.Fatalf("%s: %v", about, err)
	}
	return value
}

func (p *page) open(url string) {
	p.t.Helper()
	result(p, "open "+url, chromedp.Navigate(url))
}

// value evaluates JavaScript.
func value[T any](p *page, script string, options ...chromedp.EvaluateOption) T {
	p.t.Helper()
	return result(p, script, chromedp.Evaluate[T](script, options...))
}

// awaited makes value wait for the promise of its script.
var awaited = chromedp.EvalAwaitPromise

func (p *page) number(script string) float64 { p.t.Helper(); return value[float64](p, script) }

// later returns the number that a promise resolves to.
func (p *page) later(script string) float64 {
	p.t.Helper()
	return value[float64](p, script, awaited)
}

// pause lets a number of milliseconds pass in the page.
func (p *page) pause(milliseconds int) {
	p.t.Helper()
	p.later(fmt.Sprintf(`new Promise((done) => setTimeout(() => done(0), %d))`, milliseconds))
}

func (p *page) text(script string) string { p.t.Helper(); return value[string](p, script) }
func (p *page) truth(script string) bool {
	p.t.Helper()
	return value[bool](p, "Boolean("+script+")")
}

// until waits until a JavaScript expression is true. Until then it may ask for what is not there
// yet: the expression may throw as for a property of null, or find no document.
func (p *page) until(expression string, args ...any) {
	p.t.Helper()
	for i, arg := range args {
		if script, ok := arg.(raw); ok {
			args[i] = script.String()
			continue
		}
		quoted, err := json.Marshal(arg)
		if err != nil {
			p.t.Fatal(err)
		}
		args[i] = string(quoted)
	}
	expression = fmt.Sprintf(expression, args...)
	end := time.Now().Add(patience)
	for why := p.why(expression); why != ""; why = p.why(expression) {
		if time.Now().After(end) {
			p.t.Fatalf("waited in vain for: %s\nwhich is %s\nthe page ends with:\n%s", expression, why, p.text(`document.body.innerText.slice(-700)`))
		}
	}
}

// why waits for an expression to become true, in the page, which costs less than to ask for it
// again and again. After a moment it returns why the expression is not true, "" if it is.
func (p *page) why(expression string) string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	why, err := chromedp.Run(ctx, chromedp.Evaluate[string](`(async () => {
		for (let left = 10; ; left--) {
			let why = 'false'
			try {
				if (`+expression+`) return ''
			} catch (e) {
				if (!(e instanceof TypeError)) throw e
				why = String(e)
			}
			if (left == 0) return why
			await new Promise((again) => setTimeout(again, 20))
		}
	})()`, awaited))
	if lost, ok := errors.AsType[*cdproto.Error](err); ok && lost.Code == betweenDocuments {
		return lost.Error()
	}
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return why
}

// betweenDocuments is the code of a browser's error if the page has left its document and the next
// one is not there yet. It stands for other things too, but not where a script is evaluated.
const betweenDocuments = -32000

// sees waits until the messages of the room include a text.
func (p *page) sees(text string) {
	p.t.Helper()
	p.until(`document.querySelector('#messages')?.innerText.includes(%s)`, text)
}

// click clicks on the middle of an element as a mouse would, once it is enabled: a
// click on a disabled button is lost.
func (p *page) click(selector string) {
	p.t.Helper()
	p.until(`document.querySelector(%s)?.matches(':not(:disabled)')`, selector)
	result(p, "click on "+selector, chromedp.Click(selector))
}

// press presses a key, with modifiers.
func (p *page) press(key string, modifiers ...chromedp.KeyOption) {
	p.t.Helper()
	if key == kb.Enter && len(modifiers) == 0 {
		p.enter()
		return
	}
	p.run(chromedp.KeyEvent(key, modifiers...))
}

// enter presses Enter.
func (p *page) enter() {
	p.t.Helper()
	p.stroke("Enter", "\r", 13)
}

// stroke presses a key as a keyboard does: if the page prevents keydown, there is no
// text.
func (p *page) stroke(key, text string, code int64) {
	p.t.Helper()
	event := input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyDown, Key: key, Text: text, WindowsVirtualKeyCode: code}
	command(p, input.DispatchKeyEvent, event)
	event.Type, event.Text = input.DispatchKeyEventTypeKeyUp, ""
	command(p, input.DispatchKeyEvent, event)
}

// write types text into the focused element.
func (p *page) write(text string) {
	p.t.Helper()
	p.run(chromedp.KeyEvent(text))
}

// fast has a text and Enter arrive in the focused field before the page can render the text.
func (p *page) fast(text string) {
	p.t.Helper()
	p.text(`((field) => {
		field.value = ` + quote(text) + `
		field.dispatchEvent(new InputEvent('input', { bubbles: true }))
		field.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', bubbles: true, cancelable: true }))
		return ''
	})(document.activeElement)`)
}

// say types a message and sends it. It returns before the message is shown or
// stored: pending and stored wait for that.
func (p *page) say(text string) {
	p.t.Helper()
	p.run(chromedp.Focus("#input"))
	p.write(text)
	p.press(kb.Enter)
}

// written is JavaScript for whether the document has a message with a content, in
// a row that a selector picks.
const written = `[...document.querySelectorAll('#messages ' + %s)].some((e) => e.innerText === %s)`

// pending waits until a message of the user's own is shown as not yet acknowledged.
func (p *page) pending(content string) {
	p.t.Helper()
	p.until(written, ".pending .content", content)
}

// stored waits until the page shows a message in its place in the log, and none
// that is still on its way. That nothing is pending is not enough: it is also
// true before the message has been rendered.
func (p *page) stored(content string) {
	p.t.Helper()
	p.until(written+` && !document.querySelector('.pending:not(.failed)')`, ".row[data-seq] .content", content)
}

// join opens the page and enters a name.
func (p *page) join(url, username string) {
	p.t.Helper()
	p.open(url)
	p.until(`document.activeElement?.id === 'name'`)
	p.write(username)
	p.press(kb.Enter)
	p.online()
}

// online waits until the page is connected and has the room it shows, or says that
// there is none.
func (p *page) online() {
	p.t.Helper()
	p.until(`document.querySelector('[data-status]')?.dataset.status === 'open' && (() => {
		const begin = document.querySelector('#messages .begin')
		return document.querySelector('.row, .missing') || begin && begin.innerText !== 'Loading …'
	})()`)
}

// shown returns the contents of the messages that are in the document.
func (p *page) shown() []string {
	p.t.Helper()
	return value[[]string](p, `[...document.querySelectorAll('#messages .row .content')].map((e) => e.innerText)`)
}
