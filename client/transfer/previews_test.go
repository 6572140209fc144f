package transfer

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"kaban"
	"kaban/client"
	"kaban/wire"
)

// Previews are those that the server has, with the credential and an escaped path.
func TestPreviews(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer T0KEN" {
			t.Errorf("the credentials are %q", r.Header.Get("Authorization"))
		}
		switch r.URL.EscapedPath() {
		case "/v1/rooms/caf%C3%A9/messages/43/previews":
			fmt.Fprint(w, `{"previews":[{"url":"https://a.example/","title":"A page","site":"Site"},{"url":"https://b.example/","title":"B","description":"About B"}]}`)
		case "/v1/rooms/caf%C3%A9/messages/44/previews":
			fmt.Fprint(w, `<html>`)
		default:
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"code":"not_found","detail":"there is no such message"}`)
		}
	}))
	defer server.Close()
	room, err := kaban.ParseRoomName("café")
	if err != nil {
		t.Fatal(err)
	}
	options := Options{Token: "T0KEN"}
	want := []Preview{{URL: "https://a.example/", Title: "A page", Site: "Site"}, {URL: "https://b.example/", Title: "B", Description: "About B"}}
	if got, err := Previews(t.Context(), server.URL, room, 43, options); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := Previews(t.Context(), server.URL, room, 44, options); err == nil {
		t.Errorf("what is no answer: %+v", got)
	}
	_, err = Previews(t.Context(), server.URL, room, 45, options)
	if refused, ok := errors.AsType[*client.Error](err); !ok || refused.Code != wire.CodeNotFound {
		t.Errorf("no such message: %v", err)
	}
	if _, err := Previews(t.Context(), "tcp://127.0.0.1:1", room, 43, options); !errors.Is(err, ErrNoWeb) {
		t.Errorf("without HTTP: %v", err)
	}
}
