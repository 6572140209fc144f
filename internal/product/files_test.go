package product

import (
	"bytes"
	"context"
	"encoding/json"
	"mime/multipart"
	"net/http"
	"os"
	"strings"
	"testing"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/dispatch"
	"kaban/internal/people"
	"kaban/internal/picture"
	"kaban/internal/store"
)

// What files of the tests have in them. Pictures are not encoded here; see copies.
const (
	wholePicture = "\x89PNG\r\n\x1a\nall of the picture"
	smallPicture = "\x89PNG\r\n\x1a\na small one"
)

// copies is for picture.Worker. It takes every picture as it is, with the same thumbnail.
type copies struct{}

// Make is that of keep.Pictures.
func (copies) Make(_ context.Context, job picture.Job) (made picture.Made, err error) {
	whole, err := os.ReadFile(job.Source)
	if err != nil {
		return made, err
	}
	if err := os.WriteFile(job.Picture, whole, 0o600); err != nil {
		return made, err
	}
	made.Picture = picture.Rendition{Type: picture.PNG, Width: 900, Height: 600, Size: int64(len(whole))}
	made.Thumbnail = picture.Rendition{Type: picture.PNG, Width: 720, Height: 480, Size: int64(len(smallPicture))}
	return made, os.WriteFile(job.Thumbnail, []byte(smallPicture), 0o600)
}

// upload has somebody upload a picture, which no message has yet.
func (w *world) upload(username string) (id string) {
	w.t.Helper()
	var form bytes.Buffer
	parts := multipart.NewWriter(&form)
	part, err := parts.CreateFormFile("file", "a.png")
	if err == nil {
		_, err = part.Write([]byte(wholePicture))
	}
	if err != nil || parts.Close() != nil {
		w.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.url+"/v1/files", &form)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header = api{}.credential(w, username)
	r.Header.Set("Content-Type", parts.FormDataContentType())
	a, err := w.http.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer a.Body.Close()
	var made struct{ File string }
	if err := json.NewDecoder(a.Body).Decode(&made); err != nil || made.File == "" {
		w.t.Fatalf("%d: %+v, %v", a.StatusCode, made, err)
	}
	return made.File
}

// attach adds a message with a file to a room, whatever its owner may do there.
func (w *world) attach(room, author, id string) {
	w.t.Helper()
	var f people.File
	get := func(tx store.Tx) (err error) {
		f, err = people.Files.Get(tx, id)
		return err
	}
	err := w.store.View(w.t.Context(), get)
	draft := w.draft(room, author, "look")
	if err == nil {
		draft.Files, err = kaban.NewFiles(f.OfMessage())
	}
	if err != nil {
		w.t.Fatal(err)
	}
	f.Room, f.RoomName, f.Seq = draft.Room.Key(), draft.Room.String(), w.post(draft)
	if err := w.store.Update(w.t.Context(), func(tx store.Tx) error { return people.Files.Put(tx, &f) }); err != nil {
		w.t.Fatal(err)
	}
}

// asksForFile has somebody ask for a file and its thumbnail, over the API. Whoever may not gets
// nothing of it, and the answer that there is no such file.
func (w *world) asksForFile(front api, s *scenario, ask, when, id string, may bool) {
	w.t.Helper()
	for path, content := range map[string]string{"": wholePicture, "/thumbnail": smallPicture} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			w.count++
			got := w.request(front.credential(w, ask), method, "/v1/files/"+id+path, nil)
			var said struct{ Code string }
			json.Unmarshal(got.body, &said) // a picture is none
			switch {
			case may && (got.status != http.StatusOK || method == http.MethodGet && string(got.body) != content):
				w.t.Errorf("%v: %s: %s of a file%s: %d %.100q, want it", s, when, method, path, got.status, got.body)
			case !may && (got.status != http.StatusNotFound || strings.Contains(string(got.body), "picture") || method == http.MethodGet && said.Code != "not_found" || got.header.Get("ETag") != ""):
				w.t.Errorf("%v: %s: %s of a file%s: %d %.100q, want not_found", s, when, method, path, got.status, got.body)
			}
		}
	}
}

// TestFilesAgree has everybody in every place in a room ask for the file of a message, before it is sent,
// while it is there, and when it is deleted: whoever may read the message may have it.
func TestFilesAgree(t *testing.T) {
	for _, f := range fronts {
		front, ok := f.front.(api)
		if !ok {
			continue // kaban/1 has no requests for them
		}
		t.Run(f.name, func(t *testing.T) {
			tried, w := sample(t, f.rarity), newWorld(t, front)
			for c := device; c < endOfCredentials; c++ {
				each(c, func(s *scenario) {
					if !front.has(s) || !tried() || c != device && !tried() {
						return
					}
					room, ask, leave := w.stage(s)
					defer leave()
					f := s.facts()
					front.sees(s, &f, "history")
					may := access.Can(access.Read, f) == access.Allowed
					id := w.upload("opal")
					w.asksForFile(front, s, ask, "loose", id, false)
					w.attach(room, "opal", id)
					w.asksForFile(front, s, ask, "sent", id, may)
					w.remove(room, id)
					w.asksForFile(front, s, ask, "deleted", id, false)
				})
			}
			t.Logf("%d requests", w.count)
		})
	}
}

// remove deletes the message of a file, whatever anybody may do there.
func (w *world) remove(room, id string) {
	w.t.Helper()
	var f people.File
	err := w.store.View(w.t.Context(), func(tx store.Tx) (err error) {
		f, err = people.Files.Get(tx, id)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	draft := w.draft(room, "opal", "")
	draft.Kind, draft.Target = kaban.KindDelete, f.Seq
	w.post(draft)
}

// post adds an entry to a room, whatever its author may do there, and returns its seq.
func (w *world) post(draft kaban.Draft) uint64 {
	w.t.Helper()
	send := dispatch.Send{Draft: draft, Terms: &dispatch.Terms{Unlisted: draft.Room.IsDirect()}}
	receipt, err := w.dispatcher.Post(w.t.Context(), send, func() {})
	if err != nil {
		w.t.Fatal(err)
	}
	return receipt.Seq
}

// TestOwnFilesAgree has everybody that may upload ask for a file of their own that no message has: with a
// device or a token of the whole server, and not with one of some rooms.
func TestOwnFilesAgree(t *testing.T) {
	w := newWorld(t, api{})
	for c := device; c < endOfCredentials; c++ {
		for role := kaban.RoleGuest; role <= kaban.RoleOwner; role++ {
			s := &scenario{role: role, kind: kaban.RoomPublic, standing: access.Good, credential: c}
			if !s.possible() {
				continue
			}
			_, ask, leave := w.stage(s)
			id := w.upload(s.name())
			w.asksForFile(api{}, s, ask, "one's own", id, s.facts().Who.Reach == access.ReachServer)
			leave()
		}
	}
}
