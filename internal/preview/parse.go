package preview

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"kaban/internal/guard"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
	"golang.org/x/net/html/charset"
)

// ErrNoTitle means that a page has no title, so that there is nothing to show.
var ErrNoTitle = errors.New("the page has no title")

// Bounds of a token of a page, in bytes. A program or a style in the head is one token, often
// large, and stands before what is looked for. A tag is smaller: attributes of a few bytes take
// more than 100 bytes of memory each.
const (
	maxToken = 64 << 10
	maxRaw   = maxBody
)

// Parse reads the head of a web page and returns its preview. It reads up to the end of the
// head, the end of r, or 1 MiB, and what it has read by then counts. base is where the page comes from, and contentType its header of
// that name; what that does not say of the encoding, the page does: a byte order mark first,
// then a meta element (WHATWG HTML, 13.2.3.2).
//
// A page that ends with a *guard.BodyError counts up to there, too. Parse returns ErrNoTitle,
// or the error of r. Time grows linearly with what is read, memory is up to about 8 MiB.
func Parse(r io.Reader, contentType string, base *url.URL) (Preview, error) {
	return parse(r, contentType, base, maxBody)
}

// parse is Parse with another limit of bytes.
func parse(r io.Reader, contentType string, base *url.URL, most int64) (Preview, error) {
	u := webURL(base, "")
	if u == "" {
		return Preview{}, &URLError{"the page has no address that can be shown"}
	}
	var p page
	if err := p.read(io.LimitReader(r, most), contentType); err != nil {
		return Preview{}, fmt.Errorf("read a page: %w", err)
	}
	if b := webURL(base, p.base); p.base != "" && b != "" {
		base, _ = url.Parse(b) // it was a URL before
	}
	preview := Preview{
		URL:         u,
		Title:       first(MaxTitle, p.found["og:title"], p.found["twitter:title"], p.title),
		Description: first(MaxDescription, p.found["og:description"], p.found["twitter:description"], p.found["description"]),
		Site:        first(MaxSite, p.found["og:site_name"], p.found["application-name"]),
	}
	if preview.Title == "" {
		return Preview{}, ErrNoTitle
	}
	for _, name := range pictures {
		if p.found[name] == "" {
			continue // a reference to the page itself
		}
		if preview.Picture = webURL(base, p.found[name]); preview.Picture != "" {
			break
		}
	}
	return preview, nil
}

// pictures are the names of the picture, the best first.
var pictures = []string{"og:image:secure_url", "og:image", "og:image:url", "twitter:image", "twitter:image:src", "image_src"}

// wanted are the names of meta elements that are looked for, by Open Graph, by Twitter's
// cards and by HTML.
var wanted = map[string]bool{
	"og:title": true, "og:description": true, "og:site_name": true,
	"og:image": true, "og:image:url": true, "og:image:secure_url": true,
	"twitter:title": true, "twitter:description": true, "twitter:image": true, "twitter:image:src": true,
	"description": true, "application-name": true,
}

// first returns the first text with something in it, cleaned.
func first(most int, texts ...string) string {
	for _, s := range texts {
		if s = clean(s, most); s != "" {
			return s
		}
	}
	return ""
}

// webURL resolves a reference, and returns it if it is a URL of the web that can be shown, or
// else "".
func webURL(base *url.URL, reference string) string {
	u, err := base.Parse(strings.TrimSpace(reference))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
		return ""
	}
	u.Fragment, u.RawFragment = "", ""
	u.Host = canonicalHost(u.Scheme, asciiHost(u), u.Port())
	s := u.String()
	if len(s) > MaxURL || strings.ContainsFunc(s, isUnsafe) {
		return ""
	}
	return s
}

// page is what was found in a page. The first of each counts.
type page struct {
	title string
	base  string            // of a base element
	found map[string]string // by name, of those that are wanted and of image_src
}

// read reads a page up to the end of its head.
func (p *page) read(r io.Reader, contentType string) error {
	p.found = make(map[string]string)
	text, err := charset.NewReader(r, contentType)
	if errors.Is(err, io.EOF) {
		return nil // an empty page
	}
	if err != nil {
		return err
	}
	z := html.NewTokenizer(text)
	inert := 0 // depth of templates, whose content is no part of the page
	for most := maxToken; ; {
		z.SetMaxBuf(most)
		most = maxToken
		switch z.Next() {
		case html.ErrorToken:
			return endOfPage(z.Err())
		case html.StartTagToken, html.SelfClosingTagToken:
			name, hasAttr := z.TagName()
			a := atom.Lookup(name)
			if a == atom.Body || a == atom.Frameset {
				return nil
			}
			switch a {
			case atom.Template:
				inert++
			case atom.Script, atom.Style, atom.Noscript:
				most = maxRaw
			}
			if inert == 0 {
				p.element(z, a, hasAttr)
			}
		case html.EndTagToken:
			switch name, _ := z.TagName(); atom.Lookup(name) {
			case atom.Head, atom.Html:
				return nil
			case atom.Template:
				inert = max(0, inert-1)
			}
		}
	}
}

// endOfPage returns the error of a page that ended, or nil if what was read of it counts.
func endOfPage(err error) error {
	if _, ok := errors.AsType[*guard.BodyError](err); ok || errors.Is(err, io.EOF) || errors.Is(err, html.ErrBufferExceeded) {
		return nil
	}
	return err
}

// element takes what it can from an element of the head.
func (p *page) element(z *html.Tokenizer, a atom.Atom, hasAttr bool) {
	switch a {
	case atom.Title:
		if p.title == "" && z.Next() == html.TextToken {
			p.title = bounded(z.Text())
		}
	case atom.Base:
		if attr := attributes(z, hasAttr, names{"href"}); p.base == "" {
			p.base = strings.TrimSpace(attr[0])
		}
	case atom.Link:
		attr := attributes(z, hasAttr, names{"rel", "href"})
		if strings.EqualFold(strings.TrimSpace(attr[0]), "image_src") {
			p.take("image_src", attr[1])
		}
	case atom.Meta:
		attr := attributes(z, hasAttr, names{"property", "name", "content"})
		for _, name := range attr[:2] { // pages confuse them
			if name = strings.ToLower(strings.TrimSpace(name)); wanted[name] {
				p.take(name, attr[2])
			}
		}
	}
}

func (p *page) take(name, value string) {
	if p.found[name] == "" {
		p.found[name] = strings.TrimSpace(value)
	}
}

// names are those of attributes; "" is none.
type names [3]string

// attributes returns the values of those attributes of a tag that have the names; the first of
// each counts.
func attributes(z *html.Tokenizer, hasAttr bool, wanted names) (values names) {
	var seen [len(wanted)]bool
	for hasAttr {
		var key, value []byte
		key, value, hasAttr = z.TagAttr()
		for i, name := range wanted {
			if !seen[i] && name != "" && string(key) == name {
				seen[i], values[i] = true, bounded(value)
			}
		}
	}
	return values
}

// maxText bounds what is taken of an attribute or title before it is cleaned, in bytes: more
// than any result has, so that the rest is not copied.
const maxText = 8 << 10

func bounded(text []byte) string {
	return strings.ToValidUTF8(string(text[:min(len(text), maxText)]), "\ufffd")
}
