// Package page serves the web page of Kaban. Its files are built from src (see
// ../generate.go) and embedded, so that a server needs no files besides its binary.
//
// The files are the same for everyone and contain no secrets. The page itself speaks
// kaban/1 over a WebSocket; this package knows nothing about that.
package page

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

//go:embed dist
var dist embed.FS

// contentPolicy lets the page load files from this server only. The HTML has no inline
// script or style; pictures of blob: are previews of files that are being uploaded; and text never
// becomes script: the one Trusted Types policy is for
// the URL of the service worker.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self'; font-src 'self'; " +
	"connect-src 'self'; manifest-src 'self'; worker-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'; trusted-types kaban"

// permissionsPolicy turns off features that a chat page does not need.
const permissionsPolicy = "accelerometer=(), autoplay=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), " +
	"magnetometer=(), microphone=(), midi=(), payment=(), screen-wake-lock=(), usb=()"

// Caching: the name of an asset changes with its content, so it never expires. Everything
// else is revalidated each time, mostly with a 304.
const (
	cacheForever = "public, max-age=31536000, immutable"
	cacheNever   = "no-cache"
)

// contentTypes does not use package mime, which depends on the machine.
var contentTypes = map[string]string{
	".html":        "text/html; charset=utf-8",
	".js":          "text/javascript; charset=utf-8",
	".css":         "text/css; charset=utf-8",
	".svg":         "image/svg+xml",
	".png":         "image/png",
	".woff2":       "font/woff2",
	".txt":         "text/plain; charset=utf-8",
	".webmanifest": "application/manifest+json",
}

// file is an embedded file in each encoding that it is served in.
type file struct {
	contentType string
	cache       string
	tag         string // of the plain content, without quotes
	plain       []byte
	brotli      []byte        // nil if there is none
	gzip        func() []byte // nil if there is none; made when first asked for
}

// Handler serves the page for GET and HEAD: "/", "/r/{room}", "/claim", "/sign-in", "/invite" and
// "/device" (the same document, the script reads the path), "/assets/", "/manifest.webmanifest" and "/sw.js". Anything
// else is not found. Files refer to each other by relative paths, so that a proxy can
// serve them below a path that it strips. It reads the files at the first request. It is
// safe for concurrent use.
func Handler() http.Handler { return newHandler(dist) }

// newHandler is Handler for files from elsewhere.
func newHandler(from fs.FS) http.Handler {
	made := sync.OnceValue(func() *http.ServeMux { return newMux(from) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mux := made()
		if _, pattern := mux.Handler(r); pattern == "" && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
			http.Error(w, notHere, http.StatusNotFound)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// newMux reads the files.
func newMux(from fs.FS) *http.ServeMux {
	files, err := load(from)
	mux := http.NewServeMux()
	if err != nil { // cannot happen: the files are in the binary, and a test loads them
		mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "the page is not in this binary: "+err.Error(), http.StatusInternalServerError)
		})
		return mux
	}
	for name, f := range files {
		if name == "index.html" {
			mux.Handle("GET /{$}", f)
			mux.Handle("GET /r/{room}", f.oneDown())
			for _, outside := range []string{"claim", "sign-in", "invite", "device"} { // as in src/route.ts
				mux.Handle("GET /"+outside, f)
			}
			continue
		}
		mux.Handle("GET /"+name, f)
	}
	return mux
}

// notHere is the answer for a path that the page does not have.
const notHere = "There is nothing here. If a proxy serves this server below a path, it must take that path away before it passes a request on."

// reference matches a reference to another file in the HTML.
var reference = regexp.MustCompile(`(href|src)="`)

// oneDown returns the document for an address one level further down.
func (f *file) oneDown() *file {
	plain := reference.ReplaceAll(f.plain, []byte(`$0../`))
	return &file{contentType: f.contentType, cache: f.cache, tag: tagOf(plain), plain: plain, gzip: sync.OnceValue(func() []byte { return gzipped(plain) })}
}

func tagOf(plain []byte) string {
	sum := sha256.Sum256(plain)
	return hex.EncodeToString(sum[:12])
}

// load reads the embedded files.
func load(from fs.FS) (map[string]*file, error) {
	files := make(map[string]*file)
	err := fs.WalkDir(from, "dist", func(at string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || path.Ext(at) == ".br" {
			return err
		}
		plain, err := fs.ReadFile(from, at)
		if err != nil {
			return err
		}
		kind, ok := contentTypes[path.Ext(at)]
		if !ok {
			return fmt.Errorf("%s: a file of unknown type", at)
		}
		f := &file{contentType: kind, cache: cacheNever, tag: tagOf(plain), plain: plain}
		name := strings.TrimPrefix(at, "dist/")
		if strings.HasPrefix(name, "assets/") {
			f.cache = cacheForever
		}
		if compressed, err := fs.ReadFile(from, at+".br"); err == nil {
			f.brotli = compressed
			f.gzip = sync.OnceValue(func() []byte { return gzipped(plain) })
		}
		files[name] = f
		return nil
	})
	if err != nil {
		return nil, err
	}
	if files["index.html"] == nil {
		return nil, fmt.Errorf("index.html is missing")
	}
	return files, nil
}

func gzipped(data []byte) []byte {
	var out bytes.Buffer
	// It is done once, and read often. The level is valid, and writing into memory does not fail.
	w, _ := gzip.NewWriterLevel(&out, gzip.BestCompression)
	_, _ = w.Write(data)
	_ = w.Close()
	return out.Bytes()
}

// ServeHTTP answers with the smallest encoding that the browser accepts.
func (f *file) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, encoding := f.plain, ""
	accepted := r.Header.Get("Accept-Encoding")
	switch {
	case f.brotli != nil && accepts(accepted, "br"):
		body, encoding = f.brotli, "br"
	case f.gzip != nil && accepts(accepted, "gzip"):
		body, encoding = f.gzip(), "gzip"
	}
	tag := `"` + f.tag + `"`
	if encoding != "" {
		tag = `"` + f.tag + "-" + encoding + `"`
	}
	h := w.Header()
	h.Set("Cache-Control", f.cache)
	h.Set("ETag", tag)
	h.Set("Vary", "Accept-Encoding")
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("Permissions-Policy", permissionsPolicy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	if matches(r.Header.Get("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", f.contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if encoding != "" {
		h.Set("Content-Encoding", encoding)
	}
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // an error means that the browser has gone
	}
}

// accepts reports whether an Accept-Encoding field (RFC 9110, 12.5.3) names the coding
// with a weight other than 0. Preferences do not matter: the smallest accepted
// encoding is the best.
func accepts(field, coding string) bool {
	for item := range strings.SplitSeq(field, ",") {
		name, parameters, _ := strings.Cut(item, ";")
		if !strings.EqualFold(strings.TrimSpace(name), coding) {
			continue
		}
		weight, ok := strings.CutPrefix(strings.ToLower(strings.ReplaceAll(parameters, " ", "")), "q=")
		if !ok {
			return true
		}
		q, err := strconv.ParseFloat(weight, 64)
		return err == nil && q > 0
	}
	return false
}

// matches reports whether an If-None-Match field (RFC 9110, 13.1.2) names the tag.
func matches(field, tag string) bool {
	for item := range strings.SplitSeq(field, ",") {
		item = strings.TrimPrefix(strings.TrimSpace(item), "W/")
		if item == tag || item == "*" {
			return true
		}
	}
	return false
}
