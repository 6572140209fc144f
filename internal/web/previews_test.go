package web_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"kaban/internal/account"
	"kaban/internal/chat"
	"kaban/internal/limit"
	"kaban/internal/web"
)

// onePage is a chat.Previewer that has one preview for every text.
type onePage struct{ asked int }

func (p *onePage) Previews(context.Context, limit.Key, string) []chat.Preview {
	p.asked++
	return []chat.Preview{{URL: "https://a.example/", Title: "A <page>"}}
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
