package bus

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kaban"
)

// messages are some of each kind.
func messages(t testing.TB) []Message {
	lobby := roomName(t, "lobby")
	return []Message{
		&News{Epoch: "E"},
		&Ask{Epoch: "E"},
		&Mention{Epoch: "E", Room: lobby, Everyone: true},
		&Mention{Epoch: "E", Room: lobby, Accounts: []string{"a", "b"}},
		&Typing{Epoch: "E", Room: lobby, Identity: "visitor:ann", Name: "Ann"},
		&Presence{Epoch: "E", Node: "N", Number: 1},
		&Presence{
			Epoch: "E", Node: "N", Number: 300, First: true, Last: true,
			Rooms: []Attendance{
				{Room: lobby, Visitors: 1000},
				{Room: roomName(t, "den"), Visitors: 1, Named: true, Names: []Attendant{{"Ann", true, false}, {"Bob", true, true}}},
				{Room: roomName(t, "empty"), Named: true},
			},
			Online: []Online{{"account:1", true}, {"bot:2", false}},
		},
	}
}

var sameRoom = cmp.Comparer(func(a, b kaban.RoomName) bool { return a.String() == b.String() })

func TestMessagesAreReadAsTheyWereWritten(t *testing.T) {
	for _, m := range messages(t) {
		encoded := m.Append([]byte("before"))[len("before"):]
		got, err := DecodeMessage(encoded)
		if err != nil {
			t.Errorf("%#v: %v", m, err)
		} else if diff := cmp.Diff(m, got, sameRoom); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		for cut := range encoded {
			if got, err := DecodeMessage(encoded[:cut]); err == nil {
				t.Errorf("the first %d bytes of %#v are read as %#v", cut, m, got)
			}
		}
		if _, err := DecodeMessage(append(bytes.Clone(encoded), 0)); err == nil {
			t.Errorf("a byte behind %#v is accepted", m)
		}
	}
}

func TestMalformedMessages(t *testing.T) {
	lobby := roomName(t, "lobby")
	long := make([]Attendant, MaxNames+1)
	for i := range long {
		long[i] = Attendant{Name: strings.Repeat("a", 1+i%20), Visitor: true}
	}
	accounts := make([]string, MaxAccounts+1)
	for i := range accounts {
		accounts[i] = "a"
	}
	attend := func(a Attendance) Message { return &Presence{Epoch: "E", Node: "N", Number: 1, Rooms: []Attendance{a}} }
	for _, c := range []struct {
		name, field string
		message     Message
	}{
		{"no epoch", "epoch", &News{}},
		{"no node", "node", &Presence{Epoch: "E", Number: 1}},
		{"no number", "number", &Presence{Epoch: "E", Node: "N"}},
		{"too many accounts", "accounts", &Mention{Epoch: "E", Room: lobby, Accounts: accounts}},
		{"no identity", "identity", &Typing{Epoch: "E", Room: lobby, Identity: "ann", Name: "Ann"}},
		{"no username", "username", &Typing{Epoch: "E", Room: lobby, Identity: "visitor:ann", Name: "a b"}},
		{"too many names", "names", attend(Attendance{Room: lobby, Named: true, Names: long})},
		{"names but not all", "names", attend(Attendance{Room: lobby, Names: long[:1]})},
		{"names out of order", "username", attend(Attendance{Room: lobby, Named: true, Names: []Attendant{{"b", true, false}, {"a", true, false}}})},
		{"nobody's name", "username", attend(Attendance{Room: lobby, Named: true, Names: []Attendant{{Name: "a"}}})},
		{"too many visitors", "visitors", attend(Attendance{Room: lobby, Visitors: maxMembers + 1})},
	} {
		_, err := DecodeMessage(c.message.Append(nil))
		if malformed, ok := errors.AsType[*MalformedError](err); !ok || malformed.Field != c.field {
			t.Errorf("%s: %v, want one about %s", c.name, err, c.field)
		}
	}
	for _, encoded := range [][]byte{{}, {1}, {0xff}, bytes.Repeat([]byte{newsMessage}, MaxMessage+1)} {
		if _, err := DecodeMessage(encoded); err == nil {
			t.Errorf("%.20x is accepted", encoded)
		}
	}
}

// A message has one text, and no text of bytes is anything but a message or an error.
func FuzzMessage(f *testing.F) {
	for _, m := range messages(f) {
		f.Add(m.Append(nil))
	}
	f.Fuzz(func(t *testing.T, encoded []byte) {
		m, err := DecodeMessage(encoded)
		if err != nil {
			if !errors.As(err, new(*MalformedError)) && !errors.As(err, new(*VersionError)) {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		if again := m.Append(nil); !bytes.Equal(again, encoded) {
			t.Errorf("got\n%x\nwant\n%x", again, encoded)
		}
	})
}
