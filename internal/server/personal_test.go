package server_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// personal are the fields of frames that are for one person or one connection only.
var personal = []string{"ref", "session", "token", "address", "read", "unread", "unread_from", "mentions", "notify", "keywords", "place", "quiet", "notifications"}

// What one person does, of every kind that others hear of, comes to the others without
// anything that is only that person's, in a public, a private and a direct room. What it
// sets for itself comes to them not at all.
func TestOthersGetNothingPersonal(t *testing.T) {
	w := newTown(t)
	ann, bob := w.enter("ann"), w.enter("bob")
	ann.say(`{"type":"direct","usernames":["bob"]}`)
	direct := ann.expect("created")["room"].(string)
	ann.say(`{"type":"create","room":"den","kind":"private"}`)
	ann.expect("created")
	ann.say(`{"type":"join","room":"den"}`)
	ann.expect("joined")
	ann.say(`{"type":"invite","room":"den","id":"come","username":"bob"}`)
	ann.expect("ack")
	ann.say(`{"type":"create","room":"hall","kind":"public"}`)
	ann.expect("created")
	heard, n := make(map[string]bool), 0
	for _, room := range []string{"hall", "den", direct} {
		for _, p := range []*peer{ann, bob} {
			p.say(`{"type":"join","room":%q,"ref":"in"}`, room)
			for f := frame(nil); f["ref"] != "in"; {
				var err error
				if f, err = p.next(); err != nil {
					t.Fatal(err)
				}
			}
		}
		said := func() uint64 {
			n++
			ann.say(`{"type":"send","room":%q,"id":"s%d","content":"hello","ref":"MINE-ref"}`, room, n)
			for {
				f, err := ann.next()
				if err != nil {
					t.Fatal(err)
				}
				if f["type"] == "ack" && f["id"] == fmt.Sprint("s", n) {
					seq, _ := f["seq"].(json.Number).Int64()
					return uint64(seq)
				}
			}
		}
		seq := said()
		for _, request := range []string{
			`"type":"send","id":"%s","content":"an answer","reply_to":%[2]d`,
			`"type":"edit","id":"%s","target":%[2]d,"content":"hello, edited"`,
			`"type":"react","id":"%s","target":%[2]d,"emoji":"👍","on":true`,
			`"type":"pin","id":"%s","target":%[2]d,"on":true`,
			`"type":"read","seq":%[2]d`,
			`"type":"unread","seq":%[2]d`,
			`"type":"notify","level":"mute"`,
			`"type":"topic","id":"%s","topic":"what we talk about"`,
			`"type":"role","id":"%s","username":"bob","role":"speaker"`,
			`"type":"mute","id":"%s","username":"bob"`,
			`"type":"unmute","id":"%s","username":"bob"`,
			`"type":"delete","id":"%s","target":%[2]d`,
		} {
			n++
			text := request
			if strings.Contains(request, "%") {
				text = strings.ReplaceAll(strings.ReplaceAll(request, "%s", fmt.Sprint("d", n)), "%[2]d", fmt.Sprint(seq))
			}
			ann.say(`{%s,"room":%q,"ref":"MINE-ref"}`, text, room)
		}
		end := said()
		for {
			f, err := bob.next()
			if err != nil {
				t.Fatal(err)
			}
			if f["type"] == "state" { // bob's own
				continue
			}
			kind, _ := f["type"].(string)
			heard[kind] = true
			for _, name := range personal {
				if _, has := f[name]; has {
					t.Errorf("in %s bob gets %s of ann's in %v", room, name, f)
				}
			}
			if text := fmt.Sprint(f); strings.Contains(text, "MINE") || strings.Contains(text, "127.0.0.1") || strings.Contains(text, w.tokens["ann"]) {
				t.Errorf("in %s bob gets %s", room, text)
			}
			if f["seq"] == json.Number(fmt.Sprint(end)) {
				break
			}
		}
	}
	for _, kind := range []string{"message", "edit", "react", "pin", "delete", "member", "topic"} {
		if !heard[kind] {
			t.Errorf("bob has heard %v, and no %s", slices.Sorted(maps.Keys(heard)), kind)
		}
	}
}
