package tui

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	tea "charm.land/bubbletea/v2"

	"kaban"
	"kaban/client"
	"kaban/internal/emoji"
	"kaban/wire"
)

// alteration is an own change of a message that is under way. It is shown at once, and
// firm with its receipt.
type alteration struct {
	number uint64
	change wire.Change
	base   uint64 // of an edit, as in client.Room.Edit
}

// alteredEvent is the outcome of an alteration.
type alteredEvent struct {
	room    string
	number  uint64
	receipt client.Receipt
	err     error
}

// alter posts a change of a message.
func (s *Session) alter(name string, a alteration) {
	s.mu.Lock()
	r := s.rooms[name]
	s.mu.Unlock()
	p, err := (*client.Pending)(nil), error(client.ErrParted)
	if s.unsent() >= maxUnsent { // else the calls below would wait
		err = errTooMuch
	} else if c := &a.change; r != nil {
		switch c.Type {
		case wire.TypeEdit:
			p, err = r.PostEdit(s.ctx, c.Target, c.Content, a.base)
		case wire.TypeDelete:
			p, err = r.PostDelete(s.ctx, c.Target, c.Reason)
		case wire.TypeReact:
			p, err = r.PostReact(s.ctx, c.Target, c.Emoji, c.On)
		case wire.TypePin:
			p, err = r.PostPin(s.ctx, c.Target, c.On)
		}
	}
	if err != nil {
		s.put(alteredEvent{room: name, number: a.number, err: err})
		return
	}
	s.group.Go(func() {
		receipt, err := p.Wait(s.ctx)
		s.put(alteredEvent{room: name, number: a.number, receipt: receipt, err: err})
	})
}

// alter shows and sends an own change of a message of the open room.
func (m *Model) alter(c wire.Change, base uint64) {
	r := m.active
	m.number++
	c.Username, c.Time = m.username, m.now()
	c.NoText = c.Type == wire.TypeEdit && c.Content == ""
	a := alteration{number: m.number, change: c, base: base}
	r.altering = append(r.altering, a)
	r.renew([]uint64{c.Target})
	m.alterThread(r, c.Target)
	m.backend.alter(r.name, a)
}

// takeAltered makes an own change firm, or takes it back and says why.
func (m *Model) takeAltered(e alteredEvent) {
	r := m.room(e.room)
	if r == nil {
		return
	}
	k := slices.IndexFunc(r.altering, func(a alteration) bool { return a.number == e.number })
	if k < 0 {
		return
	}
	c := r.altering[k].change
	r.altering = slices.Delete(r.altering, k, k+1)
	if e.err == nil {
		c.Seq, c.ID, c.Time = e.receipt.Seq, e.receipt.ID, e.receipt.Time
		// The receipt of what changed nothing has the seq of an entry of the past.
		if first := r.first(); c.Seq > r.head || first > 0 && c.Seq > first {
			r.add(&item{kind: itemUnknown, seq: c.Seq})
		}
		firm := client.Entry{Seq: c.Seq, Time: c.Time, Change: &c}
		m.fold(r, firm)
		m.followThread(r, firm)
		r.passUnknown()
	} else {
		m.refuseAlteration(m.front(r), &c, e.err)
	}
	r.renew([]uint64{c.Target})
	m.alterThread(r, c.Target)
}

// refuseAlteration says why an own change was refused. The text of an edit comes back into
// the input if there is space.
func (m *Model) refuseAlteration(r *room, c *wire.Change, err error) {
	what := map[wire.Type]string{wire.TypeEdit: "not edited", wire.TypeDelete: "not deleted", wire.TypeReact: "no reaction", wire.TypePin: "not pinned"}[c.Type]
	if c.Type == wire.TypePin && !c.On {
		what = "still pinned"
	}
	text := fmt.Sprintf("%s (#%d): %s", what, c.Target, reasonOf(err))
	_, answered := errors.AsType[*client.Error](err)
	if !answered && !errors.Is(err, client.ErrParted) && !errors.Is(err, errTooMuch) {
		text = fmt.Sprintf("%s (#%d)? It may or may not have been stored: %s", what, c.Target, reasonOf(err))
	}
	code := codeOf(err)
	isThere := code != wire.CodeGone && code != wire.CodeNotFound && code != wire.CodeForbidden
	if c.Type == wire.TypeEdit && isThere && r.editing == 0 && r.draft.text == "" {
		r.edit(c.Target, c.Content, 0)
		text += "; your text is in the input, Enter tries again"
		if code == wire.CodeEditConflict {
			text = fmt.Sprintf("not edited (#%d): it was edited elsewhere meanwhile; your text is in the input, Enter replaces the other", c.Target)
		}
	} else if c.Type == wire.TypeEdit {
		text += "; Up in the input brings your text back"
	}
	m.sayIn(r, text)
}

// overlay makes a message as it will be when an own change is stored.
func overlay(to *wire.Message, c *wire.Change) {
	if to.Deleted {
		return
	}
	switch c.Type {
	case wire.TypeEdit:
		to.Content, to.Edited.Seq = c.Content, max(to.Edited.Seq, 1)
	case wire.TypeDelete:
		to.Content, to.Files, to.Deleted, to.Pinned, to.Reactions = "", kaban.Files{}, true, false, nil
	case wire.TypePin:
		to.Pinned = c.On
	case wire.TypeReact:
		to.Reactions = slices.Clone(to.Reactions)
		k := slices.IndexFunc(to.Reactions, func(r wire.Reaction) bool { return r.Emoji == c.Emoji })
		switch {
		case k < 0 && c.On:
			to.Reactions = append(to.Reactions, wire.Reaction{Emoji: c.Emoji, Count: 1, Me: true})
		case k < 0 || to.Reactions[k].Me == c.On:
		case c.On:
			to.Reactions[k].Me = true
			to.Reactions[k].Count++
		case to.Reactions[k].Count <= 1:
			to.Reactions = slices.Delete(to.Reactions, k, k+1)
		default:
			to.Reactions[k].Me = false
			to.Reactions[k].Count--
		}
	}
}

// edit puts the text of a message into the input, and keeps the draft for later.
func (r *room) edit(seq uint64, content string, base uint64) {
	if r.editing == 0 {
		r.kept = r.draft
	}
	r.draft = draft{column: -1}
	r.draft.set(content)
	r.editing, r.base = seq, base
}

// endEdit brings the draft back that was there before an edit.
func (r *room) endEdit() { r.draft, r.kept, r.editing = r.kept, draft{column: -1}, 0 }

// endWriting ends an edit or an answer whose message is not there any more. It returns what
// to say about it, or "".
func (r *room) endWriting() string {
	switch {
	case r.editing > 0:
		r.remember(r.draft.text)
		r.endEdit()
		return "the message that you were editing is gone; Up in the input brings your text back"
	case r.replying > 0:
		r.replying = 0
		return "the message that you were answering is gone; what you write is no answer any more"
	}
	return ""
}

// startEdit edits an own message in the input.
func (m *Model) startEdit(i *item) {
	r := m.here()
	if !i.own {
		m.complain("you can edit only your own messages")
		return
	}
	base := i.seq
	if now, ok := r.fold.Message(i.seq); ok {
		base = max(base, now.Edited.Seq)
	}
	if slices.ContainsFunc(r.altering, func(a alteration) bool { return a.change.Target == i.seq }) {
		base = 0 // an own edit is under way, and its seq not known yet
	}
	r.edit(i.seq, i.content, base)
	m.hint = "Enter stores the message, Esc leaves it as it was"
}

// sendEdit stores the edit that is in the input.
func (m *Model) sendEdit() {
	r := m.here()
	content, target, base := r.draft.text, r.editing, r.base
	i := r.message(target)
	if strings.TrimSpace(content) == "" && i != nil && !i.files.IsZero() {
		content = "" // the files stay
	} else if err := kaban.CheckContent(content, m.limit); err != nil {
		m.complain("not edited: " + err.Error() + "; Esc leaves the message as it was, /delete deletes one")
		return
	}
	r.endEdit()
	if i != nil && i.content == content {
		m.hint = "nothing has changed"
		return
	}
	if content != "" {
		m.active.remember(content)
	}
	m.alter(wire.Change{Type: wire.TypeEdit, Target: target, Content: content}, base)
}

// startReply makes the next message an answer.
func (m *Model) startReply(i *item) {
	r := m.here()
	if r.editing > 0 {
		r.endEdit()
	}
	if r.of != nil {
		m.hint = "what you send here answers the first message of the thread"
		return
	}
	r.replying = i.seq
	m.hint = "Enter sends the answer, Esc makes it no answer"
}

// askDelete asks before a message is deleted.
func (m *Model) askDelete(i *item, reason string) {
	if !i.own && !m.may(ops) {
		m.complain("you can delete only your own messages")
		return
	}
	r, target := m.here(), i.seq
	m.ask("Delete "+m.meter.cut(m.firstWords(i), maxAsked)+"?", func(m *Model) tea.Cmd {
		if m.here() == r {
			if r.editing == target {
				r.endEdit()
			}
			m.alter(wire.Change{Type: wire.TypeDelete, Target: target, Reason: reason}, 0)
		}
		return nil
	})
}

// maxAsked is how much of a message a question shows, in columns.
const maxAsked = 50

// react adds an own reaction, or takes it back if it is there.
func (m *Model) react(i *item, picture string) {
	on := !slices.ContainsFunc(i.reactions, func(r wire.Reaction) bool { return r.Emoji == picture && r.Me })
	m.alter(wire.Change{Type: wire.TypeReact, Target: i.seq, Emoji: picture, On: on}, 0)
}

// pin pins a message, or takes that back.
func (m *Model) pin(i *item) {
	if !m.may(pinRight) {
		m.complain(pinRight.whose())
		return
	}
	m.alter(wire.Change{Type: wire.TypePin, Target: i.seq, On: !i.pinned}, 0)
}

// emojiOf returns the emoji that a person means: it, or its name.
func emojiOf(text string) (string, error) {
	if found, ok := emoji.ByName(text); ok {
		return found, nil
	}
	return emoji.Normalize(text)
}

// isTarget reports whether something can be done with a message.
func (m *Model) isTarget(i *item) bool {
	return i.kind == itemMessage && i.sending == stored && !i.deleted && !m.ignores(i)
}

// target returns the message that a command is about, and the rest of its arguments: the
// one with the number at the beginning, such as #41, or else the newest that fits.
func (m *Model) target(rest string, fits func(*item) bool) (i *item, others string) {
	r := m.here()
	if r == nil {
		m.complain("no room is open; /join ROOM")
		return nil, ""
	}
	first, others, _ := strings.Cut(rest, " ")
	if digits, ok := strings.CutPrefix(first, "#"); ok {
		if seq, err := strconv.ParseUint(digits, 10, 64); err == nil {
			if i = r.message(seq); i == nil || !m.isTarget(i) {
				m.complain("there is no message " + first + " among those that are loaded; scroll to it")
				return nil, ""
			}
			return i, strings.TrimSpace(others)
		}
	}
	for _, i := range slices.Backward(r.items) {
		if m.isTarget(i) && fits(i) {
			return i, rest
		}
	}
	m.complain("there is no such message here; " + m.keyOf("select") + " selects one")
	return nil, ""
}

func isOwn(i *item) bool      { return i.own }
func isAnothers(i *item) bool { return !i.own }

// editCommand is /edit.
func (m *Model) editCommand(rest string) tea.Cmd {
	i, text := m.target(rest, isOwn)
	if i == nil {
		return nil
	}
	m.startEdit(i)
	if text != "" && m.here().editing == i.seq {
		m.hint = ""
		m.here().draft.set(text)
		m.sendEdit()
	}
	return nil
}

// deleteCommand is /delete.
func (m *Model) deleteCommand(rest string) tea.Cmd {
	if i, reason := m.target(rest, isOwn); i != nil {
		m.askDelete(i, reason)
	}
	return nil
}

// replyCommand is /reply.
func (m *Model) replyCommand(rest string) tea.Cmd {
	i, text := m.target(rest, isAnothers)
	if i == nil {
		return nil
	}
	m.startReply(i)
	if text != "" {
		m.hint = ""
		m.post(text)
	}
	return nil
}

// reactCommand is /react.
func (m *Model) reactCommand(rest string) tea.Cmd {
	i, text := m.target(rest, isAnothers)
	if i == nil {
		return nil
	}
	picture, err := emojiOf(text)
	if err != nil {
		m.complain(err.Error())
		return nil
	}
	m.react(i, picture)
	return nil
}

// pinCommand is /pin.
func (m *Model) pinCommand(rest string) tea.Cmd {
	if i, _ := m.target(rest, func(*item) bool { return true }); i != nil {
		m.pin(i)
	}
	return nil
}
