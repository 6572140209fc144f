package files

import (
	"net/http"
	"slices"
)

// media are the types that an element of a page may play. The names of codecs are up to
// the browser.
var media = []string{
	"audio/mpeg", "audio/mp4", "audio/aac", "audio/ogg", "audio/flac", "audio/wav",
	"video/mp4", "video/webm", "video/ogg",
}

// texts are the types of text that a page may fetch to show a part of it.
var texts = []string{"text/plain", "text/plain; charset=utf-8", "text/plain; charset=utf-16le", "text/plain; charset=utf-16be"}

// Treatment is what a browser may do with a file.
type Treatment uint8

// The treatments.
const (
	Save Treatment = iota // save it
	Play                  // save it, or play it in an audio or video element
	Show                  // show it by itself, or in an img element
)

// TreatmentOf returns what a browser may do with a file of a type that TypeOf has
// returned. Only a picture that this server has encoded itself may be shown: its bytes are those of an
// encoder, not of whoever sent it.
//
// Audio and video are saved when somebody navigates to them, and play in elements all the
// same, because an element ignores Content-Disposition. So a file whose bytes are something
// else as well is never a document, and what plays it takes it for nothing but media.
func TreatmentOf(contentType string, encoded bool) Treatment {
	switch {
	case encoded && IsPicture(contentType):
		return Show
	case slices.Contains(media, contentType):
		return Play
	}
	return Save
}

// Served is a file as it is served.
type Served struct {
	Key     Key
	Name    string // of the file; it is cleaned
	Type    string // from TypeOf; of a thumbnail, its own
	Encoded bool   // this server has encoded the bytes as a picture
	// OtherOrigin means that files have an origin of their own, so that the page which shows
	// them is of the same site and not of the same origin.
	OtherOrigin bool
}

// Headers sets the headers of an answer with a file, before http.ServeContent. Give that
// the zero time: without Last-Modified nobody learns when the same bytes were first
// uploaded, and the ETag is enough.
//
// The Content-Type is the file's only if it is a picture to show, media to play or plain text,
// otherwise application/octet-stream: with nosniff a browser runs nothing of it, not even as a
// script, style or object of a page. The policy takes from a document that is shown in
// spite of that its scripts, its origin and all other sources. Any cache must ask again
// each time, because rights change.
func Headers(h http.Header, f Served) {
	treatment := TreatmentOf(f.Type, f.Encoded)
	switch {
	case treatment != Save, slices.Contains(texts, f.Type):
		h.Set("Content-Type", f.Type)
	default:
		h.Set("Content-Type", octets)
	}
	h.Set("Content-Disposition", Disposition(treatment == Show, f.Name))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	if f.OtherOrigin {
		h.Set("Cross-Origin-Resource-Policy", "same-site")
	}
	h.Set("Cache-Control", "private, no-cache")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("ETag", `"`+f.Key.Kind.Folder()+"-"+f.Key.Hash.String()+`"`)
	h.Del("Content-Encoding")
}
