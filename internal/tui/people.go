package tui

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"kaban"
	"kaban/client"
	"kaban/wire"
)

// me asks for the account's rooms.
func (s *Session) me() {
	s.ask(func(ctx context.Context) {
		me, err := s.client.Me(ctx)
		s.put(meEvent{me: me, err: err})
	})
}

// markRead reports what was read. A failure is not worth a message: the next report says
// more.
func (s *Session) markRead(room string, seq uint64) {
	s.ask(func(ctx context.Context) { s.client.Read(ctx, room, seq) })
}

func (s *Session) notify(room string, level kaban.NotifyLevel) {
	s.ask(func(ctx context.Context) {
		err := s.client.Notify(ctx, room, level)
		s.put(noticeEvent{room: room, text: "notifications: " + level.String(), err: err})
	})
}

func (s *Session) setAway(away client.Away) {
	s.ask(func(ctx context.Context) {
		s.put(noticeEvent{text: describeAway(away), err: s.client.SetAway(ctx, away)})
	})
}

// describeAway returns what an account says of itself, in words.
func describeAway(away client.Away) string {
	switch {
	case !away.Away:
		return "you are back"
	case away.Until.IsZero():
		return "you are away until you say /back"
	}
	return "you are away until " + away.Until.Local().Format("2 Jan 2006 15:04") + " or until you say /back"
}

func (s *Session) create(room client.NewRoom) {
	s.ask(func(ctx context.Context) {
		name, err := s.client.Create(ctx, room)
		s.put(openedEvent{room: name, what: "create " + room.Name, err: err})
	})
}

func (s *Session) direct(username, text string) {
	s.ask(func(ctx context.Context) {
		name, err := s.client.Direct(ctx, username)
		s.put(openedEvent{room: name, what: "talk to " + username, text: text, err: err})
	})
}

// change asks for a change of a room, which a Change describes.
func (s *Session) change(room string, c wire.Change) {
	s.ask(func(ctx context.Context) {
		receipt, err := s.request(ctx, room, &c)
		c.Seq, c.ID, c.Time = receipt.Seq, receipt.ID, receipt.Time
		s.put(actedEvent{room: room, change: c, err: err})
	})
}

func (s *Session) request(ctx context.Context, room string, c *wire.Change) (client.Receipt, error) {
	if c.Type == wire.TypeTopic {
		return s.client.SetTopic(ctx, room, c.Topic)
	}
	if c.Type == wire.TypeRoom {
		return s.client.SetRoom(ctx, room, settingsOf(c))
	}
	who := client.Moderation{Room: room, Username: c.Subject, Reason: c.Reason}
	switch c.Change {
	case "invited":
		return s.client.Invite(ctx, who)
	case "kicked":
		return s.client.Kick(ctx, who)
	case "banned":
		var until time.Time
		if c.Until != 0 {
			until = time.UnixMilli(c.Until)
		}
		return s.client.Ban(ctx, who, until)
	case "unbanned":
		return s.client.Unban(ctx, who)
	case "muted":
		return s.client.Mute(ctx, who)
	case "unmuted":
		return s.client.Unmute(ctx, who)
	case "role":
		return s.client.SetRole(ctx, who, c.Role)
	}
	return client.Receipt{}, fmt.Errorf("this client cannot do %q", c.Change)
}

// settingsOf returns the settings that a change of a room asks for.
func settingsOf(c *wire.Change) client.Settings {
	set := client.Settings{Kind: c.Kind, History: c.History}
	if c.HasFlags {
		set.Flags = &c.Flags
	}
	if c.HasArchived {
		set.Archived = &c.Archived
	}
	return set
}

// whois looks for somebody among the members of a room, if one is given, and then among the
// accounts of the server.
func (s *Session) whois(server, room, name string) {
	s.ask(func(ctx context.Context) {
		e := whoisEvent{room: room, name: name}
		for after := ""; room != "" && e.member == nil; {
			page, more, err := s.client.Members(ctx, room, after, wire.MaxLimit)
			for i := range page {
				if nameKey(page[i].Username) == nameKey(name) {
					e.member = &page[i]
				}
			}
			if e.err = err; err != nil || !more || len(page) == 0 {
				break
			}
			after = page[len(page)-1].Username
		}
		e.absent = room != "" && e.member == nil && e.err == nil
		if _, hasAccount := s.client.Account(); e.member == nil && e.err == nil && hasAccount {
			e.person, e.err = s.person(ctx, server, name)
		}
		s.put(e)
	})
}

// person returns the account with a name, or nil if there is none.
func (s *Session) person(ctx context.Context, server, name string) (*Person, error) {
	if s.options.Person == nil {
		return nil, errNoPage
	}
	found, ok, err := s.options.Person(ctx, server, name)
	if err != nil || !ok {
		return nil, err
	}
	return &found, nil
}

// devices asks for the devices of the account.
func (s *Session) devices(server string) {
	s.ask(func(ctx context.Context) {
		if s.options.Devices == nil {
			s.put(noticeEvent{err: errNoPage})
			return
		}
		lines, err := s.options.Devices(ctx, server)
		s.put(noticeEvent{text: strings.Join(append([]string{"your devices:"}, lines...), "\n  "), err: err})
	})
}

// setName changes the name to display of the account.
func (s *Session) setName(server, name string) {
	s.ask(func(ctx context.Context) {
		if s.options.SetName == nil {
			s.put(noticeEvent{err: errNoPage})
			return
		}
		s.put(noticeEvent{text: "others see you as " + name, err: s.options.SetName(ctx, server, name)})
	})
}

// errNoPage means that the session knows no way to the server's page.
var errNoPage = errors.New("this needs the server's page")
