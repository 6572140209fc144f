package tui

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"kaban"
	"kaban/client"
)

// mode is what the keys are for.
type mode uint8

const (
	chatting  mode = iota
	greeting       // the first start: asks for server and name
	switching      // to a room
	searching
	helping
	asking // a question
)

// fold is whether a panel is shown.
type panel uint8

const (
	byWidth panel = iota // where there is space
	shown
	hidden
)

func (p panel) toggle(isShown bool) panel {
	if isShown {
		return hidden
	}
	return shown
}

// Model is the state of the client. All methods are for one goroutine, that of
// Bubble Tea.
type Model struct {
	backend  backend
	config   Config
	options  Options
	bindings bindings
	now      func() time.Time
	zone     *time.Location

	width, height int
	meter         meter
	theme         *theme
	darkTerminal  bool
	looks         lookCache
	focused       bool
	roomsPanel    panel
	membersPanel  panel

	mode      mode
	form      form
	switcher  switcher
	finder    finder
	helpTop   int
	question  question
	editor    editor
	loose     draft     // what is typed while there is no room
	quitAsked time.Time // when Ctrl-C has said that once more quits; zero: it has not
	quitting  int       // seconds for which the end still waits

	completing completing
	hint       string // below the conversation, until the next key
	alarm      bool   // the hint is a complaint

	status   status
	username string
	limit    int // of a content, in code points
	number   uint64
	searches uint64 // that the session was asked for

	rooms     []*room
	active    *room
	previous  *room
	elsewhere []string // rooms of the server
	places    places
	restored  bool
	rang      bool // about what came with the present batch
}

// status is how the connection is doing.
type status struct {
	link    link
	err     error
	retryAt time.Time
	server  string // what it calls itself
	latency time.Duration
	// ever says that there has been a connection.
	ever bool
}

// question is something that has to be answered first.
type question struct {
	text string
	yes  func(*Model) tea.Cmd
}

// ticked says that a second is over.
type ticked time.Time

// pinging is how often the server is asked how long an answer takes.
const pinging = 15 * time.Second

// newModel returns the state at the start.
func newModel(b backend, o Options) *Model {
	m := &Model{
		backend: b, options: o, config: o.Config, bindings: bind(o.Config.Keys),
		now: time.Now, zone: time.Local, darkTerminal: true, focused: true,
		username: o.Config.Username, limit: kaban.DefaultMaxContent,
		width: 80, height: 24,
	}
	m.editor.meter = m.meter
	m.loose.column = -1
	m.applyTheme()
	if o.Config.Server == "" {
		m.greet("")
	} else {
		m.start()
	}
	return m
}

// start connects.
func (m *Model) start() {
	m.mode = chatting
	if m.options.Keep {
		m.places = placesOf(m.config.Server, m.config.Username)
	}
	if !m.restored {
		m.restore()
	}
	names := m.options.Names
	if m.config.Username != "" {
		names = []string{m.config.Username}
	}
	m.backend.connect(m.config.Server, names)
}

// restore opens the rooms that were open before, and the one that is asked for.
func (m *Model) restore() {
	m.restored = true
	for _, p := range m.places.load() {
		r := m.sit(p.room)
		r.epoch, r.read = p.cursor.Epoch, p.cursor.Seq
	}
	first := m.options.Room
	switch {
	case first == "" && len(m.rooms) > 0:
		m.enter(m.rooms[0])
		return
	case first == "":
		first = "lobby"
	}
	name, err := kaban.ParseRoomName(first)
	if err != nil {
		m.complain(fmt.Sprintf("%q is no name of a room: %v", first, err))
		return
	}
	m.open(name.String())
}

// Init implements tea.Model.
func (m *Model) Init() tea.Cmd { return tea.Batch(tea.RequestBackgroundColor, tick()) }

func tick() tea.Cmd { return tea.Tick(time.Second, func(t time.Time) tea.Msg { return ticked(t) }) }

// Update implements tea.Model.
func (m *Model) Update(message tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := message.(type) {
	case batch:
		return m, m.takeAll(msg)
	case tea.KeyPressMsg:
		return m, m.press(tea.Key(msg))
	case tea.PasteMsg:
		return m, m.paste(msg.Content)
	case tea.WindowSizeMsg:
		m.width, m.height = max(msg.Width, 1), max(msg.Height, 1)
	case tea.BackgroundColorMsg:
		m.darkTerminal = msg.IsDark()
		m.applyTheme()
	case tea.ModeReportMsg:
		if msg.Mode == ansi.ModeUnicodeCore && (msg.Value == ansi.ModeReset || msg.Value == ansi.ModeSet || msg.Value == ansi.ModePermanentlySet) {
			m.meter.method = ansi.GraphemeWidth
			m.editor.meter = m.meter
		}
	case tea.FocusMsg:
		m.focused = true
		m.look()
	case tea.BlurMsg:
		m.focused = false
	case tea.MouseWheelMsg:
		return m, m.wheel(tea.Mouse(msg))
	case tea.MouseClickMsg:
		return m, m.click(tea.Mouse(msg))
	case tea.ResumeMsg:
		return m, tea.RequestBackgroundColor
	case ticked:
		if m.status.link == online && time.Time(msg).Unix()%int64(pinging/time.Second) == 0 {
			m.backend.ping()
		}
		m.forgetQuit()
		return m, tea.Batch(tick(), m.goOnQuitting(true))
	}
	return m, nil
}

func (m *Model) applyTheme() {
	dark := m.darkTerminal
	switch m.config.Theme {
	case "dark":
		dark = true
	case "light":
		dark = false
	}
	if m.theme == nil || m.theme.dark != dark {
		m.theme = newTheme(dark)
	}
}

// save keeps settings.
func (m *Model) save(names ...string) tea.Cmd {
	if err := m.config.save(names...); err != nil {
		m.complain("the configuration could not be kept: " + err.Error())
	}
	return nil
}

// draft returns what is being typed.
func (m *Model) draft() *draft {
	switch {
	case m.mode == greeting:
		return &m.form.fields[m.form.at]
	case m.mode == switching:
		return &m.switcher.query
	case m.mode == searching:
		return &m.finder.query
	case m.active != nil:
		return &m.active.draft
	}
	return &m.loose
}

// press takes a key.
func (m *Model) press(key tea.Key) tea.Cmd {
	m.hint, m.alarm, m.quitting = "", false, 0
	stroke := key.Keystroke()
	if key.Text != "" && key.Mod&^tea.ModShift == 0 {
		stroke = key.Text
	}
	if a := m.bindings.action(stroke); a != "quit" && a != "delete" {
		m.quitAsked = time.Time{}
	}
	switch m.mode {
	case greeting:
		return m.pressForm(stroke, key.Text)
	case switching:
		return m.pressSwitcher(stroke, key.Text)
	case searching:
		return m.pressSearch(stroke, key.Text)
	case helping:
		return m.pressHelp(stroke)
	case asking:
		return m.pressQuestion(stroke)
	}
	if a, ok := m.bindings[stroke]; ok && (!isTextKey(stroke) || m.draft().text == "") {
		return a.do(m)
	}
	m.insertKey(key.Text)
	return nil
}

// insertKey types a character.
func (m *Model) insertKey(text string) {
	text, _ = fit(text)
	if text == "" {
		return
	}
	d := m.draft()
	d.recalled = 0
	m.editor.insert(d, text)
	if text == ":" && m.mode == chatting {
		nameToEmoji(d)
	}
}

// pressLine edits a draft of one line; false if the key is for something else.
func (m *Model) pressLine(stroke, text string) bool {
	a, ok := m.bindings[stroke]
	switch {
	case ok && a.group == groupWriting && !slices.Contains([]string{"send", "newline", "complete", "complete_back", "up", "down"}, a.name):
		a.do(m)
		return true
	case !ok && text != "", ok && isTextKey(stroke):
		m.insertKey(text)
		return true
	}
	return false
}

func (m *Model) ask(text string, yes func(*Model) tea.Cmd) {
	m.mode, m.question = asking, question{text, yes}
}

func (m *Model) pressQuestion(stroke string) tea.Cmd {
	switch strings.ToLower(stroke) {
	case "y", "enter":
		m.mode = chatting
		return m.question.yes(m)
	case "n", "esc", "ctrl+c":
		m.mode = chatting
	}
	return nil
}

func (m *Model) vertical(direction int) tea.Cmd {
	d := m.draft()
	if !m.editor.vertical(d, direction) && m.active != nil {
		d.recall(m.active.history, -direction)
	}
	return nil
}

func (m *Model) deleteOrQuit() tea.Cmd {
	d := m.draft()
	if d.text == "" && m.mode == chatting {
		return m.quit()
	}
	m.editor.remove(d, d.at, m.editor.next(d, d.at))
	return nil
}

// interrupt clears what was typed, or quits when it is pressed twice.
func (m *Model) interrupt() tea.Cmd {
	if d := m.draft(); d.text != "" {
		if m.active != nil && m.mode == chatting {
			m.active.remember(d.text)
		}
		*d = draft{column: -1}
		m.hint = "cleared; Up brings it back"
		return nil
	}
	if !m.quitAsked.IsZero() {
		return m.quit()
	}
	m.quitAsked = m.now()
	m.hint = "press " + m.keyOf("quit") + " again to quit"
	return nil
}

// quitMemory is for how long a first Ctrl-C counts.
const quitMemory = 5 * time.Second

// forgetQuit takes back that once more quits.
func (m *Model) forgetQuit() {
	if !m.quitAsked.IsZero() && m.now().Sub(m.quitAsked) >= quitMemory {
		m.quitAsked, m.hint = time.Time{}, ""
	}
}

// quitPatience is how many seconds the end waits for acks that are on their way.
const quitPatience = 3

// quit ends, but waits a moment for acks, and asks if something would be lost.
func (m *Model) quit() tea.Cmd {
	switch n := m.backend.unsent(); {
	case n == 0:
		return tea.Quit
	case m.status.link == online && m.quitting == 0:
		m.quitting = quitPatience
		m.hint = "ending when everything is sent"
	default:
		m.quitting = 0
		m.ask(fmt.Sprintf("%s not sent yet. Quit nevertheless?", count(n, "message is", "messages are")), func(*Model) tea.Cmd { return tea.Quit })
	}
	return nil
}

// goOnQuitting ends when everything is sent, or asks when it takes too long.
func (m *Model) goOnQuitting(second bool) tea.Cmd {
	switch {
	case m.quitting == 0:
	case m.backend.unsent() == 0:
		return tea.Quit
	case second:
		if m.quitting--; m.quitting == 0 {
			m.quitting = -1 // waited already
			return m.quit()
		}
	}
	return nil
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// send takes what was typed: a command, or a message.
func (m *Model) send() tea.Cmd {
	text := m.draft().text
	switch {
	case strings.TrimSpace(text) == "":
		return nil
	case strings.HasPrefix(text, "//"):
		m.post(text[1:])
	case strings.HasPrefix(text, "/"):
		return m.run(text)
	default:
		m.post(text)
	}
	return nil
}

// accept takes what was typed out of the input.
func (m *Model) accept(text string) {
	if m.active != nil {
		m.active.remember(text)
	}
	d := m.draft()
	d.recalled = 0
	d.set("")
}

// post sends a message to the room. What cannot be one stays in the input.
func (m *Model) post(content string) {
	r := m.active
	if r == nil {
		m.complain("there is no room here; /join ROOM")
		return
	}
	if err := kaban.CheckContent(content, m.limit); err != nil {
		m.complain("not sent: " + err.Error())
		return
	}
	typed := m.draft().text
	if typed != "" {
		m.accept(typed)
	}
	m.number++
	r.post(&item{username: m.username, content: content, time: m.now(), number: m.number})
	m.backend.post(r.name, m.number, content)
	m.toBottom()
}

// say tells the person something, in the room that is open.
func (m *Model) say(text string) {
	if m.active == nil {
		m.hint = text
		return
	}
	m.sayIn(m.active, text)
}

func (m *Model) sayIn(r *room, text string) {
	r.notice(&item{kind: itemNotice, content: text, time: m.now()})
}

// complain tells what is wrong with what was just done. Where the status line
// has no space for it, it can be read in the room.
func (m *Model) complain(text string) {
	m.hint, m.alarm = text, true
	if m.active != nil && m.statusNeeds() > m.shows().statusRows {
		m.sayIn(m.active, text)
	}
}

// escape closes what is open, or goes to the newest message.
func (m *Model) escape() tea.Cmd {
	m.toBottom()
	return nil
}

// look notes what the person sees.
func (m *Model) look() {
	if r := m.active; r != nil && r.following && m.focused {
		r.see()
	}
}

// room returns a room by the name it was asked for.
func (m *Model) room(name string) *room {
	for _, r := range m.rooms {
		if r.name == name {
			return r
		}
	}
	return nil
}

// open goes to a room and joins it if need be.
func (m *Model) open(name string) {
	r := m.room(name)
	if r == nil {
		r = m.sit(name)
	} else if r.failed != "" {
		r.failed = ""
		m.backend.join(name)
	}
	m.enter(r)
}

// sit takes a place in a room without going there.
func (m *Model) sit(name string) *room {
	r := newRoom(name)
	r.draft.column = -1
	m.rooms = append(m.rooms, r)
	m.backend.join(name)
	return r
}

// enter goes to a room.
func (m *Model) enter(r *room) {
	if old := m.active; old != nil && old != r {
		if old.unread() == 0 {
			old.marked = false
		}
		m.previous = old
	}
	if m.active != r {
		m.closeSearch()
	}
	m.active = r
	m.completing = completing{}
	m.look()
}

// remove takes a room from the list.
func (m *Model) remove(r *room) {
	at := slices.Index(m.rooms, r)
	m.rooms = slices.Delete(m.rooms, at, at+1)
	if m.previous == r {
		m.previous = nil
	}
	if m.active != r {
		return
	}
	m.closeSearch()
	m.active = nil
	if next := min(at, len(m.rooms)-1); m.previous != nil {
		m.enter(m.previous)
	} else if next >= 0 {
		m.enter(m.rooms[next])
	}
	m.previous = nil
}

func (m *Model) step(direction int) tea.Cmd {
	if n := len(m.rooms); n > 0 {
		at := slices.Index(m.rooms, m.active)
		m.enter(m.rooms[(at+direction+n)%n])
	}
	return nil
}

func (m *Model) goTo(n int) tea.Cmd {
	if n < len(m.rooms) {
		m.enter(m.rooms[n])
	}
	return nil
}

func (m *Model) lastRoom() tea.Cmd {
	if m.previous != nil {
		m.enter(m.previous)
	}
	return nil
}

// nextActive goes to the next room with something new; mentions come first.
func (m *Model) nextActive() tea.Cmd {
	at := slices.Index(m.rooms, m.active)
	for _, wanted := range []func(*room) bool{
		func(r *room) bool { return r.mention > 0 },
		func(r *room) bool { return r.unread() > 0 },
	} {
		for k := 1; k < len(m.rooms); k++ {
			if r := m.rooms[(at+k+len(m.rooms))%len(m.rooms)]; wanted(r) {
				m.enter(r)
				return nil
			}
		}
	}
	m.hint = "nothing new elsewhere"
	return nil
}

// toDate is /date.
func (m *Model) toDate(rest string) tea.Cmd {
	for _, layout := range []string{"2006-01-02 15:04", "2006-01-02"} {
		if moment, err := time.ParseInLocation(layout, rest, m.zone); err == nil {
			if r := m.active; r != nil && r.joined {
				r.loading = true
				m.backend.find(r.name, moment)
			}
			return nil
		}
	}
	m.complain(fmt.Sprintf("%q is no date such as %s", rest, m.now().In(m.zone).Format("2006-01-02 15:04")))
	return nil
}

func (m *Model) askDate() tea.Cmd {
	if d := m.draft(); d.text == "" {
		d.set("/date " + m.now().In(m.zone).Format("2006-01-02"))
		m.hint = "change the date and press Enter"
	} else {
		m.hint = "type /date YYYY-MM-DD when what you are typing is sent"
	}
	return nil
}

// saved returns the rooms and how far they were read, to be kept.
func (m *Model) saved() (all []place) {
	for _, r := range m.rooms {
		if r.failed == "" && r.epoch != "" {
			all = append(all, place{r.name, client.Cursor{Epoch: r.epoch, Seq: r.read}})
		}
	}
	return all
}

// reasonOf says why something failed, to people.
func reasonOf(err error) string {
	if refused, ok := errors.AsType[*client.Error](err); ok {
		return refused.Text
	}
	return err.Error()
}
