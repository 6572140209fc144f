package preview

import (
	"errors"
	"io"
	"net/url"
	"strings"
	"testing"

	"kaban/internal/limit"
)

// A page that makes the parser panic has no preview. The server goes on, also with the author
// and the host of that page, and the panic is counted.
func TestPanic(t *testing.T) {
	bubble(t, Options{}, titled, func(t *testing.T, f *Fetcher, s *site) {
		f.parse = func(r io.Reader, contentType string, base *url.URL) (Preview, error) {
			switch base.Path {
			case "/index":
				return Preview{Title: []string{"none"}[len(base.Path)]}, nil
			case "/long":
				panic(strings.Repeat("\xff\u00e9", 1<<20))
			}
			return Parse(r, contentType, base)
		}
		for n, path := range []string{"/index", "/long"} {
			for range 2 { // the second is from memory
				p, err := f.Fetch(t.Context(), 1, "https://bad.example"+path)
				e, ok := errors.AsType[*PanicError](err)
				if !ok || p != (Preview{}) || e.Value == "" || len(err.Error()) > maxError || !strings.Contains(e.Stack, "TestPanic") || len(e.Stack) > maxStack {
					t.Errorf("%s: %+v, %v", path, p, err)
				}
			}
			if f.Panics() != uint64(n+1) || s.times() != n+1 {
				t.Errorf("%s: %d panics are counted after %d reads", path, f.Panics(), s.times())
			}
		}
		for _, author := range []limit.Key{1, 2} {
			if p, err := f.Fetch(t.Context(), author, "https://bad.example/good"); err != nil || p.Title != "bad.example/good" {
				t.Errorf("author %d, then: %+v, %v", author, p, err)
			}
		}
		if f.cache.pending != 0 {
			t.Errorf("%d entries wait", f.cache.pending)
		}
	})
}
