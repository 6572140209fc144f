package web_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"kaban"
	"kaban/internal/account"
	"kaban/internal/chat"
	"kaban/internal/nodetest"
	"kaban/internal/web"
)

// onePage is a chat.Previewer that has one preview for every text.
type onePage struct{ asked int }

func (p *onePage) Previews(context.Context, chat.Linking) []chat.Preview {
	p.asked++
	return []chat.Preview{{URL: "https://a.example/", Title: "A <page>"}}
}

func (p *onePage) Forget(kaban.RoomName, uint64, uint64) {}

// slowPage is a chat.Previewer whose pages answer when the test has them do so.
type slowPage struct{ asked, answer chan struct{} }

func (p slowPage) Previews(context.Context, chat.Linking) []chat.Preview {
	p.asked <- struct{}{}
	<-p.answer
	return nil
}

func (slowPage) Forget(kaban.RoomName, uint64, uint64) {}

// Whoever waits for many pages is told to come back, and others are not.
func TestPreviewsOfOneAreBounded(t *testing.T) {
	nodetest.One(t, "a bound of a node")
	pages := slowPage{make(chan struct{}), make(chan struct{})}
	f := start(t, web.Config{}, nil, chat.Options{Previewer: pages})
	owner := f.claim("open")
	if err := f.accounts.Set(t.Context(), account.Operator(), "previews", "on"); err != nil {
		t.Fatal(err)
	}
	path := fmt.Sprintf("/v1/rooms/lobby/messages/%v/previews", f.say("lobby", "1", "ann", "https://a.example").json["seq"])
	const most = 32
	answers := make(chan *answer, most)
	for range most {
		go func() { answers <- f.get(path, bearer(owner)...) }()
		<-pages.asked
	}
	if got := f.get(path, bearer(owner)...); got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") == "" {
		t.Errorf("one more: status %d, %s", got.status, got.body)
	}
	go func() { answers <- f.get(path) }() // somebody else
	<-pages.asked
	close(pages.answer)
	for range most + 1 {
		if got := <-answers; got.status != http.StatusOK {
			t.Errorf("of those before: status %d, %s", got.status, got.body)
		}
	}
}

// Previews are those of a message, for those that may read it, once the setting is on.
func TestPreviews(t *testing.T) {
	pages := new(onePage)
	f := start(t, web.Config{}, nil, chat.Options{Previewer: pages})
	f.claim("open")
	said := f.say("lobby", "1", "ann", "https://a.example")
	previews := func(want int, seq string) string {
		t.Helper()
		got := f.get("/v1/rooms/lobby/messages/" + seq + "/previews")
		if got.status != want {
			t.Errorf("message %s: status %d, want %d", seq, got.status, want)
		}
		return got.body
	}
	seq := fmt.Sprint(said.json["seq"])
	if text := previews(http.StatusOK, seq); strings.TrimSpace(text) != `{"previews":[]}` || pages.asked != 0 {
		t.Errorf("off: %s after %d questions", text, pages.asked)
	}
	if err := f.accounts.Set(t.Context(), account.Operator(), "previews", "on"); err != nil {
		t.Fatal(err)
	}
	if text := previews(http.StatusOK, seq); !strings.Contains(text, `{"url":"https://a.example/","title":"A `) || strings.Contains(text, "description") {
		t.Errorf("on: %s", text)
	}
	previews(http.StatusNotFound, "1000")
	previews(http.StatusBadRequest, "x")
	if text := f.get("/v1/server").body; !strings.Contains(text, `"previews":true`) {
		t.Errorf("the server says %s", text)
	}
}
