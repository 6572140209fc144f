package tui

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"

	"kaban"
	"kaban/client"
	"kaban/wire"
)

// moderation returns the command for a change of somebody's place in the open room:
// NAME [REASON], and for a ban NAME [TIME] [REASON].
func moderation(change string, role kaban.RoomRole) func(*Model, string) tea.Cmd {
	return func(m *Model, rest string) tea.Cmd {
		name, reason, _ := strings.Cut(rest, " ")
		username, err := kaban.ParseUsername(strings.TrimPrefix(name, "@"))
		switch {
		case err != nil:
			m.say(fmt.Sprintf("%q is not a name: %v", name, err))
		case m.active == nil:
			m.say("no room is open; /join ROOM")
		default:
			c := wire.Change{Type: wire.TypeMember, Change: change, Username: m.username, Subject: username.String(), Role: role, Reason: strings.TrimSpace(reason)}
			if change == "banned" {
				if c.Until, c.Reason, err = splitTime(c.Reason, m.now(), maxBan); err != nil {
					m.say(fmt.Sprintf("nobody is banned: %v, or begin the reason with a word", err))
					return nil
				}
			}
			m.backend.change(m.active.name, c)
		}
		return nil
	}
}

// maxBan is the longest time of a ban that ends.
const maxBan = 10 * 365 * 24 * time.Hour

// signs are what people write before a number: ASCII, and the dashes and the minus of
// keyboards that correct them.
const signs = "+-.,~<>=\u2010\u2011\u2012\u2013\u2014\u2212"

// splitTime returns when the time ends that a text begins with, such as 30m, 12h or 7d,
// in milliseconds since 1970 UTC, and the rest of the text. Without a time that is 0 and
// the whole text. A first word that begins with a digit, also after a sign, and is no time
// of at most most is an error: as a part of the text, it would mean for good.
func splitTime(text string, now time.Time, most time.Duration) (until int64, rest string, err error) {
	first, rest, _ := strings.Cut(text, " ")
	if digits := strings.TrimLeft(first, signs); digits == "" || digits[0] < '0' || digits[0] > '9' {
		return 0, text, nil
	}
	length, err := time.ParseDuration(first)
	if days, ok := strings.CutSuffix(first, "d"); ok {
		n, bad := strconv.ParseUint(days, 10, 12)
		length, err = time.Duration(n)*24*time.Hour, bad
	}
	if err != nil || length <= 0 || length > most {
		return 0, "", fmt.Errorf("%q is not a time; write 30m, 12h or 7d, at most %dd", first, most/(24*time.Hour))
	}
	return now.Add(length).UnixMilli(), strings.TrimSpace(rest), nil
}

// topic shows the topic of the open room, changes it, or removes it.
func (m *Model) topic(rest string) tea.Cmd {
	state, ok := m.activeState()
	switch {
	case m.active == nil:
		m.say("no room is open; /join ROOM")
	case rest == "" && (!ok || state.Topic == ""):
		m.say("there is no topic")
	case rest == "":
		m.say("the topic is: " + state.Topic)
	case !m.may(topicRight):
		m.complain(topicRight.whose())
	default:
		if rest == "-" {
			rest = ""
		}
		m.backend.change(m.active.name, wire.Change{Type: wire.TypeTopic, Username: m.username, Topic: rest})
	}
	return nil
}

// create creates a room: NAME [private] [TOPIC].
func (m *Model) create(rest string) tea.Cmd {
	name, topic, _ := strings.Cut(rest, " ")
	topic = strings.TrimSpace(topic)
	room := client.NewRoom{Kind: kaban.RoomPublic}
	if first, others, _ := strings.Cut(topic, " "); first == "private" || first == "public" {
		room.Kind, _ = kaban.ParseRoomKind(first)
		topic = strings.TrimSpace(others)
	}
	parsed, err := kaban.ParseRoomName(strings.TrimPrefix(name, "#"))
	if err != nil {
		m.say(fmt.Sprintf("%q is not a room name: %v", name, err))
		return nil
	}
	room.Name, room.Topic = parsed.String(), topic
	m.backend.create(room)
	return nil
}

// message opens the direct room with somebody, and says something there.
func (m *Model) message(rest string) tea.Cmd {
	name, text, _ := strings.Cut(rest, " ")
	username, err := kaban.ParseUsername(strings.TrimPrefix(name, "@"))
	if err != nil {
		m.say(fmt.Sprintf("%q is not a name: %v", name, err))
		return nil
	}
	m.backend.direct(username.String(), strings.TrimSpace(text))
	return nil
}

// setNotify sets which messages of the open room ring.
func (m *Model) setNotify(rest string) tea.Cmd {
	level, err := kaban.ParseNotifyLevel(rest)
	switch {
	case m.active == nil:
		m.say("no room is open; /join ROOM")
	case err != nil:
		m.say(err.Error())
	default:
		m.backend.notify(m.active.name, level)
	}
	return nil
}

// maxAway is the longest time that somebody is away before that ends by itself.
const maxAway = 365 * 24 * time.Hour

// away says that the account is away: [TIME] [TEXT].
func (m *Model) away(rest string) tea.Cmd {
	until, text, err := splitTime(rest, m.now(), maxAway)
	if err != nil {
		m.complain(err.Error() + ", or begin the text with a word")
		return nil
	}
	if n := utf8.RuneCountInString(text); n > wire.MaxStatus {
		m.complain(fmt.Sprintf("the text has %d characters, at most %d are allowed", n, wire.MaxStatus))
		return nil
	}
	away := client.Away{Away: true, Text: text}
	if until > 0 {
		away.Until = time.UnixMilli(until)
	}
	m.backend.setAway(away)
	return nil
}

// back says that the account is there again.
func (m *Model) back(string) tea.Cmd {
	m.backend.setAway(client.Away{})
	return nil
}

// whois asks for what the open room, or the server, knows of somebody.
func (m *Model) whois(rest string) tea.Cmd {
	username, err := kaban.ParseUsername(strings.TrimPrefix(rest, "@"))
	switch {
	case err != nil:
		m.say(fmt.Sprintf("%q is not a name: %v", rest, err))
	case m.active == nil:
		m.backend.whois(m.config.Server, "", username.String())
	default:
		m.backend.whois(m.config.Server, m.active.name, username.String())
	}
	return nil
}

func (m *Model) takeWhois(e whoisEvent) {
	outside := ""
	if e.absent {
		outside = ", not in " + m.labelOf(e.room)
	}
	switch {
	case e.member != nil:
		m.say(describePerson(e.member) + " in " + m.labelOf(e.room))
	case e.person != nil:
		m.say(describeAccount(e.person) + outside)
	case e.err != nil:
		m.say(e.name + " cannot be looked up" + outside + ": " + reasonOf(e.err))
	case m.account == nil:
		m.say(e.name + " cannot be looked up" + outside + ": only with an account can you look up people of other rooms")
	default:
		m.say("there is no account " + e.name + " that you may know of" + strings.Replace(outside, "not", "and nobody of that name", 1))
	}
}

// describeAccount returns an account in words.
func describeAccount(p *Person) string {
	text := describePerson(&wire.Member{Username: p.Username, Name: p.Name, Account: p.Username, Bot: p.Bot, Online: p.Online})
	if p.Role != 0 && p.Role != kaban.RoleMember {
		text += ", " + withArticle(p.Role.String()) + " of the server"
	}
	return text
}

// describePerson returns a member in words.
func describePerson(p *wire.Member) string {
	text := p.Username
	if p.Name != "" && p.Name != p.Username {
		text += " (" + p.Name + ")"
	}
	kind := "an account"
	switch {
	case p.Bot:
		kind = "a bot"
	case p.Account == "":
		kind = "a visitor"
	}
	online := "offline"
	if p.Online {
		online = "online"
	}
	text += ": " + kind + ", " + online
	if p.Role != 0 {
		text += ", " + withArticle(p.Role.String())
	}
	return text
}

func (m *Model) listDevices(string) tea.Cmd {
	m.backend.devices(m.config.Server)
	return nil
}
