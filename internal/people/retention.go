package people

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"kaban/internal/store"
)

// SettingRetention is the key of the setting that says how long messages are kept.
const SettingRetention = "retention"

// Forever is the retention that keeps everything.
const Forever = "forever"

// MaxRetention is the longest retention but for ever, in days: a hundred years.
const MaxRetention = 36_500

// ParseRetention returns a retention in days, 0 for Forever. Its errors are for people.
func ParseRetention(s string) (days int64, err error) {
	if s == Forever {
		return 0, nil
	}
	text, isDays := strings.CutSuffix(s, "d")
	days, err = strconv.ParseInt(text, 10, 32)
	if !isDays || err != nil || days < 1 || days > MaxRetention || strconv.FormatInt(days, 10) != text {
		return 0, fmt.Errorf("%.100q is no retention; write forever, or days such as 90d, from 1d to %dd", s, MaxRetention)
	}
	return days, nil
}

// Retention is how long the messages of a room are kept, where it differs from the server.
type Retention struct {
	Room  string `json:"room"` // the key
	Value string `json:"value"`
}

// Retentions has those of all rooms that have their own.
var Retentions = retentions{Table[Retention]{
	name: "retention",
	key:  func(r *Retention) []string { return []string{r.Room} },
}}

type retentions struct{ Table[Retention] }

// Of returns the retention of a room as it was set, "" if it has that of the server.
func (t *retentions) Of(tx store.Tx, room string) (string, error) {
	own, err := t.Get(tx, room)
	if errors.Is(err, ErrNotFound) {
		return "", nil
	}
	return own.Value, err
}

// Days returns the retention of a room in days, 0 if everything is kept.
func (t *retentions) Days(tx store.Tx, room string) (int64, error) {
	value, err := t.Of(tx, room)
	if err == nil && value == "" {
		var server Setting
		server, err = Settings.Get(tx, SettingRetention)
		if errors.Is(err, ErrNotFound) {
			return 0, nil
		}
		value = server.Value
	}
	if err != nil {
		return 0, err
	}
	return ParseRetention(value)
}

// Cut is how far the search index has forgotten the front of a room's log: that of one node at least.
type Cut struct {
	Room string `json:"room"` // the key
	Seq  uint64 `json:"seq"`
}

// Cuts has those of all rooms that were cut.
var Cuts = cuts{Table[Cut]{
	name: "cut",
	key:  func(c *Cut) []string { return []string{c.Room} },
}}

type cuts struct{ Table[Cut] }

// FindAll returns the cuts of some rooms, in their order: the zero value where there is none, or one that is damaged.
func (t *cuts) FindAll(tx store.Tx, rooms []string) ([]Cut, error) {
	return t.readable(tx, keysOf(rooms))
}

// How far a clock may jump, and how long a jump must last to be believed, in milliseconds.
const (
	clockSlack = 60 * 60 * 1000
	clockDoubt = 24 * 60 * 60 * 1000
)

// Clock is the time of day as far as it is believed, so that a clock that is set wrong for a
// while deletes nothing. The zero value believes the first time that it hears.
type Clock struct {
	Name string `json:"name"`
	Time int64  `json:"time"` // in milliseconds since 1970 UTC
	// Doubted is for how long the server has run with a clock that is ahead of Time, in
	// milliseconds.
	Doubted int64 `json:"doubted,omitempty"`
}

// Advance hears what the clock of the machine says, some time after the last call, in
// milliseconds; 0 for the first call of a process. A clock that has jumped forward by more than
// an hour is believed when the server has run with it for a day. Until then time goes on as it
// did. A clock that was set back is believed at once, because then less is old.
func (c *Clock) Advance(now, elapsed int64) {
	switch expected := c.Time + elapsed; {
	case c.Time == 0, now <= expected+clockSlack, c.Doubted+elapsed >= clockDoubt:
		c.Time, c.Doubted = now, 0
	default:
		c.Time, c.Doubted = expected, c.Doubted+elapsed
	}
}

// Clocks has the clock that retention goes by, and that of mentions, by their names.
var Clocks = Table[Clock]{
	name: "clock",
	key:  func(c *Clock) []string { return []string{c.Name} },
}
