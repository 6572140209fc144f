package server_test

import (
	"context"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

func TestWebSocketTalk(t *testing.T) {
	f := serve(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, _, err := websocket.Dial(ctx, "ws://"+f.webAddr(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	ann := f.join("ann")
	say := func(s string) {
		t.Helper()
		if err := c.Write(ctx, websocket.MessageText, []byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	hear := func(want string) {
		t.Helper()
		for {
			_, got, err := c.Read(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(got), `"presence"`) {
				continue
			}
			if !strings.Contains(string(got), want) {
				t.Fatalf("got %s, want %s", got, want)
			}
			return
		}
	}
	say(`{"type":"hello","version":1,"username":"bob"}`)
	hear(`{"type":"welcome"`)
	say("{\n\"type\":\"join\",\n\"room\":\"lobby\"}\n")
	hear(`{"type":"joined"`)
	say(`{"type":"send","room":"lobby","id":"b1","content":"hello"}`)
	hear(`{"type":"ack","room":"lobby","id":"b1","seq":1`)
	ann.expect("message", "id", "b1")
	ann.say(`{"type":"send","room":"lobby","id":"a1","content":%q}`, strings.Repeat("x", 4000))
	hear(`{"type":"message","room":"lobby","seq":2`)
	ann.expect("ack", "id", "a1")
}
