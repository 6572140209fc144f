package tui

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"kaban"
	"kaban/client"
	"kaban/wire"
)

// mode decides what keys do.
type mode uint8

const (
	chatting  mode = iota
	greeting       // the first start: asks for server and name
	switching      // to a room
	searching
	helping
	asking    // a question
	selecting // a message
	reacting  // asks for an emoji
	listingHits
	viewing // a picture
)

// panel is whether a side panel is shown.
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

// Model is the state of the client. Only the goroutine of Bubble Tea may call its
// methods.
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
	listing   listing
	helpTop   int
	question  question
	selected  uint64 // the seq of the message that is selected in the open room
	reaction  draft  // the emoji that is asked for
	editor    editor
	loose     draft     // of the input while there is no room
	quitAsked time.Time // when Ctrl-C announced that another one quits; zero: it did not
	quitting  int       // seconds left to wait for acks before quitting

	completing completing
	hint       string // below the conversation, until the next key
	alarm      bool   // the hint is a complaint

	status   status
	username string
	limit    int // of a content, in code points
	number   uint64
	searches uint64 // how many were started

	rooms     []*room
	active    *room
	thread    *room // the open thread of the active room, or nil; see openThread
	previous  *room
	elsewhere []string // rooms of the server
	places    places
	// remembered are the rooms of the last time that are opened if the account is
	// still in them.
	remembered []place
	account    *wire.Account             // nil for a visitor
	states     map[string]wire.RoomState // of the rooms that the account is in
	// notifications are what the account wants to be notified of.
	notifications client.Notifications
	restored      bool
	rang          bool // for an event of the present batch
	// uploads are under way, the first, or wait for it.
	uploads    []upload
	downloads  map[string]bool // ids of files that are asked for
	previewing bool            // previews are asked for

	graphics graphics
	canvas   painter // nil if there can be no pictures
	viewer   viewer
}

// status is the state of the connection.
type status struct {
	link    link
	err     error
	retryAt time.Time
	server  string // its name for itself
	latency time.Duration
	// ever is set once there has been a connection.
	ever bool
}

// question has to be answered before anything else.
type question struct {
	text string
	yes  func(*Model) tea.Cmd
	// choices, unless 0, is how many numbers answer it instead of yes and no.
	choices int
	choose  func(m *Model, at int) // at counts from 0
}

// ticked arrives every second.
type ticked time.Time

// pinging is the interval between measurements of the latency.
const pinging = 15 * time.Second

// newModel returns the initial state.
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

// restore opens the rooms of the last time and the one that was asked for.
func (m *Model) restore() {
	m.restored = true
	kept := m.places.load()
	if m.hasToken() { // joining might make the account a member again
		m.remembered, kept = kept, nil
		if m.options.Room == "" {
			return
		}
	}
	for _, p := range kept {
		r := m.addRoom(p.room)
		r.epoch, r.read = p.cursor.Epoch, p.cursor.Seq
	}
	first := m.options.Room
	switch {
	case first == "" && len(m.rooms) > 0:
		m.enter(m.rooms[max(slices.IndexFunc(kept, func(p place) bool { return p.last }), 0)])
		return
	case first == "":
		first = "lobby"
	}
	name, err := kaban.ParseRoomName(first)
	if err != nil {
		m.complain(fmt.Sprintf("%q is not a room name: %v", first, err))
		return
	}
	m.open(name.String())
}

// Init implements tea.Model.
func (m *Model) Init() tea.Cmd {
	return tea.Batch(tea.RequestBackgroundColor, m.askPictures(), tick())
}

func tick() tea.Cmd { return tea.Tick(time.Second, func(t time.Time) tea.Msg { return ticked(t) }) }

// Update implements tea.Model.
func (m *Model) Update(message tea.Msg) (tea.Model, tea.Cmd) {
	cmd := m.update(message)
	return m, tea.Batch(cmd, m.fitPicture())
}

func (m *Model) update(message tea.Msg) tea.Cmd {
	switch msg := message.(type) {
	case batch:
		return m.takeAll(msg)
	case tea.KeyPressMsg:
		defer m.reportTyping(m.writing())
		return m.press(tea.Key(msg))
	case tea.PasteMsg:
		defer m.reportTyping(m.writing())
		return m.paste(msg.Content)
	case tea.WindowSizeMsg:
		m.width, m.height = max(msg.Width, 1), max(msg.Height, 1)
	case drawnMsg:
		m.takeDrawn(msg)
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
		return m.wheel(tea.Mouse(msg))
	case tea.MouseClickMsg:
		return m.click(tea.Mouse(msg))
	case tea.ResumeMsg:
		return tea.RequestBackgroundColor
	case ticked:
		if m.status.link == online && time.Time(msg).Unix()%int64(pinging/time.Second) == 0 {
			m.backend.ping()
		}
		m.report()
		m.reloadStale()
		m.forgetQuit()
		return tea.Batch(tick(), m.goOnQuitting(true))
	default:
		m.takeAnswer(msg)
	}
	return nil
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

// save writes settings to the configuration file.
func (m *Model) save(names ...string) tea.Cmd {
	if err := m.config.save(names...); err != nil {
		m.complain("the configuration could not be saved: " + err.Error())
	}
	return nil
}

// saved returns the places to keep for the next start.
func (m *Model) saved() (all []place) {
	for _, r := range m.rooms {
		if r.failed == "" && r.epoch != "" {
			all = append(all, place{r.name, client.Cursor{Epoch: r.epoch, Seq: r.read}, r == m.active})
		}
	}
	return all
}

// say shows a notice in the open room.
func (m *Model) say(text string) {
	if m.active == nil {
		m.hint = text
		return
	}
	m.sayIn(m.active, text)
}

// sayIn shows a notice in a room, or in its thread if that is open.
func (m *Model) sayIn(r *room, text string) {
	m.front(r).notice(&item{kind: itemNotice, content: text, time: m.now()})
}

// complain shows what is wrong with the last action. If the status line has no
// space for it, it becomes a notice in the room.
func (m *Model) complain(text string) {
	m.hint, m.alarm = text, true
	if m.active != nil && m.statusNeeds() > m.shows().statusRows {
		m.sayIn(m.active, text)
	}
}

// codeOf returns the code of the server's refusal, or "".
func codeOf(err error) wire.Code {
	if refused, ok := errors.AsType[*client.Error](err); ok {
		return refused.Code
	}
	return ""
}

// reasonOf explains a failure to people.
func reasonOf(err error) string {
	if refused, ok := errors.AsType[*client.Error](err); ok {
		return refused.Text
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "the server does not answer in time"
	}
	return err.Error()
}
