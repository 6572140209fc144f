package storetest

import (
	"context"
	"fmt"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"kaban"
	"kaban/internal/store"
)

// accountDraft returns the draft of an entry by an account.
func accountDraft(t testing.TB, room, account, id string, kind kaban.Kind, target uint64, body string) kaban.Draft {
	d := Draft(t, room, "someone", id, "x")
	d.Author, d.Kind, d.Target, d.Body = kaban.Account(account, Username(t, account)), kind, target, body
	return d
}

// appendWrite stores one write or fails the test.
func appendWrite(t testing.TB, s store.Store, d kaban.Draft, m *store.Mentions) store.Result {
	t.Helper()
	results := make([]store.Result, 1)
	if err := s.Append(context.Background(), []store.Write{{Draft: d, Mentions: m}}, results); err != nil || results[0].Err != nil {
		t.Fatalf("Append of %s: %v, %v", d.ID, err, results[0].Err)
	}
	return results[0]
}

func testMentions(t *testing.T, s store.Store) {
	room := RoomName(t, "lobby")
	one := appendWrite(t, s, accountDraft(t, "lobby", "ann", "1", kaban.KindMessage, 0, "@bob @cid"), &store.Mentions{Accounts: []string{"bob", "cid"}})
	two := appendWrite(t, s, accountDraft(t, "lobby", "bob", "2", kaban.KindMessage, 0, "@everyone @ann"), &store.Mentions{Accounts: []string{"ann"}, Everyone: true})
	three := appendWrite(t, s, accountDraft(t, "lobby", "ann", "3", kaban.KindMessage, 0, "@here"), &store.Mentions{Here: true, Online: []string{"ann", "bob"}})
	appendWrite(t, s, accountDraft(t, "lobby", "ann", "4", kaban.KindMessage, 0, "nobody"), nil)
	appendWrite(t, s, accountDraft(t, "attic", "ann", "1", kaban.KindMessage, 0, "@bob"), &store.Mentions{Accounts: []string{"bob"}})
	check := func(when, account string, after, last uint64, want ...store.Mention) {
		t.Helper()
		got, err := s.Mentions(t.Context(), room, account, after, last)
		if diff := gocmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: the mentions of %s in (%d, %d]: %v\n%s", when, account, after, last, err, diff)
		}
		may, err := s.MayMention(t.Context(), account, []store.Run{{Room: room}, {Room: room, After: after, Last: last}, {Room: RoomName(t, "nowhere"), Last: 9}})
		if err != nil || len(may) != 3 || may[0] || may[2] || !may[1] && len(want) > 0 {
			t.Errorf("%s: %s may be mentioned in (%d, %d]: %v, %v", when, account, after, last, may, err)
		}
	}
	byName := func(r store.Result) store.Mention {
		return store.Mention{Seq: r.Seq, Time: r.Time, Cause: store.CauseName}
	}
	here := store.Mention{Seq: three.Seq, Time: three.Time, Cause: store.CauseHere}
	everyone := store.Mention{Seq: two.Seq, Time: two.Time, Cause: store.CauseEveryone}
	check("appended", "bob", 0, 9, byName(one), here)
	check("appended", "cid", 0, 9, byName(one), everyone)
	check("appended", "ann", 0, 9, byName(two))
	check("appended", "dan", 0, 9, everyone)
	check("behind the first", "bob", 1, 9, here)
	check("up to the second", "bob", 0, 2, byName(one))
	check("behind all", "bob", 3, 9)
	check("nothing", "bob", 3, 3)
	check("backwards", "bob", 3, 1)

	edit := appendWrite(t, s, accountDraft(t, "lobby", "ann", "5", kaban.KindEdit, one.Seq, "@cid @dan"), &store.Mentions{Accounts: []string{"cid", "dan"}})
	check("taken out", "bob", 0, 9, here)
	check("still there", "cid", 0, 9, byName(one), everyone)
	check("brought in", "dan", 0, 9, store.Mention{Seq: one.Seq, Time: edit.Time, Cause: store.CauseName}, everyone)
	check("behind the edited one", "dan", 1, 9, everyone)
	appendWrite(t, s, accountDraft(t, "lobby", "ann", "6", kaban.KindEdit, three.Seq, "@here again"), &store.Mentions{Here: true, Online: []string{"cid"}})
	check("those that were online first count", "bob", 2, 9, here)
	check("those that were online first count", "cid", 2, 9)
	appendWrite(t, s, accountDraft(t, "lobby", "ann", "7", kaban.KindEdit, one.Seq, "nobody"), nil)
	check("all taken out", "dan", 0, 9, everyone)
	appendWrite(t, s, accountDraft(t, "lobby", "bob", "8", kaban.KindDelete, two.Seq, ""), nil)
	check("deleted", "ann", 0, 9)
	check("deleted", "dan", 0, 9)
	appendWrite(t, s, accountDraft(t, "lobby", "ann", "9", kaban.KindEdit, 4, "@dan"), &store.Mentions{Accounts: []string{"dan"}})
	if got, err := s.Mentions(t.Context(), room, "dan", 0, 9); err != nil || len(got) != 1 || got[0].Seq != 4 {
		t.Errorf("after an edit of a message that mentioned nobody: %+v, %v; want 4", got, err)
	}
	if got, err := s.Mentions(t.Context(), RoomName(t, "nowhere"), "dan", 0, 9); err != nil || got != nil {
		t.Errorf("in no room: %+v, %v; want nothing", got, err)
	}
}

func testForgetMentions(t *testing.T, s store.Store) {
	var last store.Result
	for i := range 5 {
		last = appendWrite(t, s, accountDraft(t, "lobby", "ann", fmt.Sprint(i), kaban.KindMessage, 0, "@bob"), &store.Mentions{Accounts: []string{"bob"}, Everyone: i == 0})
	}
	forget := func(before int64, limit, want, left int) {
		t.Helper()
		if n, err := s.ForgetMentions(t.Context(), before, limit); err != nil || n != want {
			t.Errorf("ForgetMentions: %d, %v; want %d", n, err, want)
		}
		if got, err := s.Mentions(t.Context(), RoomName(t, "lobby"), "bob", 0, 9); err != nil || len(got) != left {
			t.Errorf("then bob has %d mentions, %v; want %d", len(got), err, left)
		}
	}
	forget(0, 10, 0, 5)
	if n, err := s.ForgetMentions(t.Context(), last.Time+1, 4); err != nil || n != 4 {
		t.Errorf("ForgetMentions: %d, %v; want 4", n, err)
	}
	forget(last.Time+1, 10, 2, 0)
	forget(last.Time+1, 10, 0, 0)
	if entries, err := s.Read(t.Context(), RoomName(t, "lobby"), store.Page{Limit: 9}); err != nil || len(entries) != 5 {
		t.Errorf("there are %d messages, %v; want 5", len(entries), err)
	}
}

// mentionsOf returns what Mentions must return.
func (r *roomModel) mentionsOf(account string, after, last uint64) (found []store.Mention) {
	type thing struct {
		cause   store.Cause
		account string
	}
	for seq := max(after, r.cut) + 1; seq <= min(last, uint64(len(r.log))); seq++ {
		since, online := make(map[thing]int64), []string(nil)
		for i, e := range r.log {
			if e.Kind == kaban.KindDelete && e.Target == seq {
				clear(since)
			}
			if e.Seq != seq && (e.Kind != kaban.KindEdit || e.Target != seq) {
				continue
			}
			told := r.told[i]
			if told == nil {
				told = new(store.Mentions)
			}
			before := since
			since = make(map[thing]int64)
			note := func(what thing) {
				if since[what] = e.Time; before[what] != 0 {
					since[what] = before[what]
				}
			}
			for _, id := range told.Accounts {
				note(thing{store.CauseName, id})
			}
			if told.Everyone {
				note(thing{cause: store.CauseEveryone})
			}
			if here := (thing{cause: store.CauseHere}); told.Here {
				if note(here); before[here] == 0 {
					online = told.Online
				}
			}
		}
		if by, _ := kaban.AuthorOf(r.log[seq-1].Author); by == account || !r.isMessage(seq) {
			continue
		}
		if !slices.Contains(online, account) {
			delete(since, thing{cause: store.CauseHere})
		}
		for _, what := range []thing{{store.CauseName, account}, {cause: store.CauseEveryone}, {cause: store.CauseHere}} {
			if time := since[what]; time != 0 {
				found = append(found, store.Mention{Seq: seq, Time: time, Cause: what.cause})
				break
			}
		}
	}
	return found
}

// mentionsDrawn draws whom an entry mentions.
func mentionsDrawn(rt *rapid.T) *store.Mentions {
	ids := rapid.SampledFrom([][]string{nil, {"17"}, {"9"}, {"17", "9"}, {"other"}})
	m := store.Mentions{Accounts: ids.Draw(rt, "accounts"), Everyone: rapid.IntRange(0, 3).Draw(rt, "everyone") == 3, Here: rapid.IntRange(0, 2).Draw(rt, "here") == 2}
	if m.Here {
		m.Online = ids.Draw(rt, "online")
	}
	if len(m.Accounts) == 0 && !m.Everyone && !m.Here {
		return nil
	}
	return &m
}

// compareMentions compares the mentions of some accounts in a room.
func (c *changes) compareMentions(rt *rapid.T, s store.Store, r *roomModel) {
	for _, account := range []string{"17", "9", "other"} {
		after, last := uint64(0), uint64(len(r.log))
		if rapid.Bool().Draw(rt, "some") {
			after, last = rapid.Uint64Range(0, last+1).Draw(rt, "after"), rapid.Uint64Range(0, last+1).Draw(rt, "last")
		}
		got, err := s.Mentions(c.t.Context(), r.name, account, after, last)
		if diff := difference(r.mentionsOf(account, after, last), got); diff != "" || err != nil {
			rt.Fatalf("Mentions of %s in %s, %d to %d: %v (-want +got):\n%s", account, r.name, after, last, err, diff)
		}
	}
}
