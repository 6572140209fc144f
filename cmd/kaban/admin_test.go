package main

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kaban/internal/operator"
	"kaban/internal/store/sqlite"
)

// A command that loses the server in the middle says so, and what became of its change.
func TestServerEndsInTheMiddle(t *testing.T) {
	data, err := os.MkdirTemp("", "kaban") // with a short path, for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(data) })
	kept, err := sqlite.Open(t.Context(), data, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := kept.Close(); err != nil {
		t.Fatal(err)
	}
	var dies atomic.Value // the method and path at which the server ends
	var half atomic.Bool  // with a part of its answer
	dies.Store("")
	s, err := operator.Listen(data, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method+" "+r.URL.Path != dies.Load() {
			io.WriteString(w, "{}")
			return
		}
		if half.Load() {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "{")
		}
		panic(http.ErrAbortHandler)
	}), func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(t.Context()) })
	of := adminFlags{dataFlags: dataFlags{Data: data}}
	erase := &userErase{adminFlags: of, userArg: userArg{"ann"}}
	for name, c := range map[string]struct {
		command interface{ Run(streams) error }
		dies    string
		want    string
	}{
		"a look":           {&userShow{adminFlags: of, userArg: userArg{"ann"}}, "GET /v1/admin/users/ann", "the server ended before it answered ("},
		"a change":         {&userSuspend{adminFlags: of, userArg: userArg{"ann"}}, "POST /v1/admin/users/ann/suspend", "it may have done what it was asked for, or not"},
		"erasing begins":   {erase, "POST /v1/admin/users/ann/erase", "if the erasing of ann had begun, it goes on by itself once the server runs again; run this command again to begin it"},
		"erasing":          {erase, "GET /v1/admin/users/ann/erase", "that goes on by itself once the server runs again; run this command again to see how far it is"},
		"status":           {&statusCommand{dataFlags: dataFlags{Data: data}, Every: time.Second}, "GET " + statusPath, "the server ended before it answered ("},
		"the search index": {&reindexCommand{dataFlags: dataFlags{Data: data}}, "POST " + reindexPath, "it may have done what it was asked for, or not"},
	} {
		for _, partly := range []bool{false, true} {
			half.Store(partly)
			dies.Store(c.dies)
			var said bytes.Buffer
			err := c.command.Run(streams{strings.NewReader(""), &said, &said})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s, with half an answer: %t: %v; want %q", name, partly, err, c.want)
			}
			if isChange := strings.HasPrefix(c.dies, "POST"); err != nil && strings.Contains(err.Error(), "or not") && !isChange {
				t.Errorf("%s changes nothing: %v", name, err)
			}
		}
	}
}
