package guard

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// boundBody bounds the body of a response, and decompresses it if it is compressed by gzip.
// The compressed bytes are bounded, too: endless ones may decompress to nothing.
func boundBody(resp *http.Response, limit int64) {
	if resp.Body == nil || resp.Body == http.NoBody {
		return
	}
	b := &body{Closer: resp.Body}
	b.Reader = &bounded{r: resp.Body, limit: limit}
	if strings.EqualFold(resp.Header.Get("Content-Encoding"), "gzip") {
		b.Reader = &bounded{r: &gunzip{compressed: b.Reader}, limit: limit}
		resp.Header.Del("Content-Encoding")
		resp.Header.Del("Content-Length")
		resp.ContentLength = -1
		resp.Uncompressed = true
	}
	resp.Body = b
}

type body struct {
	io.Reader
	io.Closer
}

// bounded reads up to limit bytes, and then returns a *BodyError unless the end is there.
type bounded struct {
	r     io.Reader
	limit int64
	read  int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.read > b.limit {
		return 0, &BodyError{Max: b.limit}
	}
	if most := b.limit - b.read + 1; int64(len(p)) > most {
		p = p[:most] // one more than the limit shows that there is more
	}
	n, err := b.r.Read(p)
	if b.read += int64(n); b.read > b.limit {
		return n - 1, &BodyError{Max: b.limit}
	}
	return n, err
}

// gunzip decompresses. It reads nothing before its first Read.
type gunzip struct {
	compressed io.Reader
	inner      *gzip.Reader
	err        error // of the header
}

func (g *gunzip) Read(p []byte) (int, error) {
	if g.inner == nil && g.err == nil {
		g.inner, g.err = gzip.NewReader(g.compressed)
		if g.err != nil {
			g.err = fmt.Errorf("decompress: %w", g.err)
		}
	}
	if g.err != nil {
		return 0, g.err
	}
	return g.inner.Read(p)
}
