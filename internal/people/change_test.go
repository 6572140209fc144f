package people

import (
	"errors"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"kaban"
	"kaban/internal/store"
)

func TestChangesComeBack(t *testing.T) {
	word := rapid.StringN(1, 40, -1)
	back := func(t *rapid.T, want any, body string, err error, got any, decodeErr error) {
		t.Helper()
		if err != nil || decodeErr != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v became %s (%v) and then %+v (%v)", want, body, err, got, decodeErr)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		member := MemberChange{
			Subject: word.Draw(t, "subject"), Change: word.Draw(t, "change"), Reason: rapid.String().Draw(t, "reason"),
			Role: kaban.RoomRole(rapid.IntRange(0, 3).Draw(t, "role")), Until: rapid.Int64().Draw(t, "until"),
		}
		body, err := EncodeChange(member)
		got, decodeErr := DecodeChange[MemberChange](body)
		back(t, member, body, err, got, decodeErr)

		topic := TopicChange{rapid.String().Draw(t, "topic")}
		body, err = EncodeChange(topic)
		again, decodeErr := DecodeChange[TopicChange](body)
		back(t, topic, body, err, again, decodeErr)

		room := RoomChange{
			Change: word.Draw(t, "change"), Kind: kaban.RoomKind(rapid.IntRange(0, 3).Draw(t, "kind")),
			History: rapid.SampledFrom([]History{"", HistoryAll, HistoryJoined}).Draw(t, "history"),
		}
		if rapid.Bool().Draw(t, "has flags") {
			flags := kaban.RoomFlags(rapid.IntRange(0, 7).Draw(t, "flags")).Texts()
			room.Flags = &flags
		}
		if rapid.Bool().Draw(t, "has archived") {
			archived := rapid.Bool().Draw(t, "archived")
			room.Archived = &archived
		}
		body, err = EncodeChange(room)
		third, decodeErr := DecodeChange[RoomChange](body)
		back(t, room, body, err, third, decodeErr)
	})
}

func TestBodiesThatAreNoChanges(t *testing.T) {
	for _, body := range []string{
		``, `null`, `[]`, `{`, `{}`, `"x"`, `{"subject":"ann"}`, `{"change":"kicked"}`, `{"subject":"","change":"kicked"}`,
		`{"subject":"ann","change":"kicked"} `, `{"subject":"ann","change":"kicked"}{}`, `{"change":"kicked","subject":"ann"}`,
		`{"subject":"ann","change":"kicked","later":1}`, `{"Subject":"ann","change":"kicked"}`,
		`{"subject":"ann","subject":"bob","change":"kicked"}`, `{"subject":"ann","change":"role","role":"king"}`,
		`{"subject":"ann","change":"role","role":3}`, "{\"subject\":\"\xff\",\"change\":\"kicked\"}",
	} {
		if got, err := DecodeChange[MemberChange](body); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("%s is the change %+v of a member, %v", body, got, err)
		}
	}
	for _, body := range []string{``, `{}`, `{"topic":1}`, `{"topic":null}`, `{"topic":"x","more":"y"}`, `just text`} {
		if got, err := DecodeChange[TopicChange](body); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("%s is the topic %+v, %v", body, got, err)
		}
	}
	for _, body := range []string{`{}`, `{"kind":"private"}`, `{"change":"set","kind":"secret"}`, `{"change":"set","flags":null}`, `{"change":"set","archived":1}`} {
		if got, err := DecodeChange[RoomChange](body); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("%s is the change %+v of a room, %v", body, got, err)
		}
	}
}
