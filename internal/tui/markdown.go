package tui

import (
	"regexp"
	"strings"

	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	extast "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

// urlPattern is what becomes a link by itself. It is ASCII, so that an address
// cannot look like another one.
var urlPattern = regexp.MustCompile(`^https?://[-a-zA-Z0-9@:%._+~#=\[\]]{1,256}(?:[/#?][-a-zA-Z0-9@:%_+.~#$!?&/=();,'"*]*)?`)

// inline parses what Markdown has within a line: emphasis, code, links. There
// are no headings, lists, images or HTML, since people write "# 3" and "1." and
// mean it.
var inline = parser.NewParser(
	parser.WithBlockParsers(util.Prioritized(parser.NewParagraphParser(), 1000)),
	parser.WithInlineParsers(
		util.Prioritized(parser.NewCodeSpanParser(), 100),
		util.Prioritized(parser.NewLinkParser(), 200),
		util.Prioritized(extension.NewLinkifyParser(extension.WithLinkifyURLRegexp(urlPattern)), 300),
		util.Prioritized(parser.NewEmphasisParser(), 500),
		util.Prioritized(extension.NewStrikethroughParser(), 500),
	),
)

const fence = "```"

// markdown makes spans of the clean lines of a message. Emphasis, code and
// strikethrough lose their marks; everything else that was written stays as it
// was, and where a link leads is always shown.
func markdown(lines []string, base look) []line {
	out := make([]line, 0, len(lines))
	fenced := false
	for i, l := range lines {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(l), fence); ok && !strings.Contains(rest, "`") {
			if fenced || closes(lines[i+1:]) {
				fenced = !fenced
				continue
			}
		}
		if fenced {
			out = append(out, line{{text: l, look: base.as(roleCode)}})
			continue
		}
		out = append(out, inlineMarkdown(l, base))
	}
	if len(out) == 0 { // nothing but fences
		for _, l := range lines {
			out = append(out, plain(l, base))
		}
	}
	return out
}

// closes reports whether a block of code that was begun ends.
func closes(lines []string) bool {
	for _, l := range lines {
		if strings.TrimSpace(l) == fence {
			return true
		}
	}
	return false
}

// as gives a look another role, unless it is one that must stay visible.
func (l look) as(r role) look { l.role = r; return l }

// What is longer, or has more brackets, is no prose; it is shown as it is, since
// to parse it could take a second.
const maxMarkdown, maxBrackets = 8 << 10, 50

func inlineMarkdown(s string, base look) line {
	if len(s) > maxMarkdown || strings.Count(s, "[") > maxBrackets {
		return plain(s, base)
	}
	if !strings.ContainsAny(s, "*_`~[") && !strings.Contains(s, "://") && !strings.Contains(s, "www.") && !strings.Contains(s, "@") {
		return plain(s, base)
	}
	trimmed := strings.TrimLeft(s, " ")
	source := []byte(trimmed)
	document := inline.Parse(text.NewReader(source))
	var l line
	if indent := s[:len(s)-len(trimmed)]; indent != "" {
		l = append(l, span{text: indent, look: base})
	}
	for block := document.FirstChild(); block != nil; block = block.NextSibling() {
		l = appendInline(l, block, source, base)
	}
	if l.text() == "" {
		return plain(s, base)
	}
	return l
}

// appendInline adds what is in a node.
func appendInline(l line, parent ast.Node, source []byte, base look) line {
	for node := parent.FirstChild(); node != nil; node = node.NextSibling() {
		switch n := node.(type) {
		case *ast.Text:
			l = append(l, span{text: string(n.Segment.Value(source)), look: base})
		case *ast.CodeSpan:
			l = appendInline(l, n, source, base.as(roleCode))
		case *ast.Emphasis:
			how := italic
			if n.Level > 1 {
				how = bold
			}
			l = appendInline(l, n, source, base.with(how))
		case *extast.Strikethrough:
			l = appendInline(l, n, source, base.with(struck))
		case *ast.AutoLink:
			label := string(n.Label(source))
			l = append(l, span{text: label, look: base.as(roleLink).with(underlined), link: target(string(n.URL(source)))})
		case *ast.Link:
			l = appendLink(l, n, string(n.Destination), source, base)
		case *ast.Image:
			l = appendLink(l, n, string(n.Destination), source, base)
		default:
			l = appendInline(l, node, source, base)
		}
	}
	return l
}

// appendLink shows a link's text and, unless that is the same, where it leads.
func appendLink(l line, n ast.Node, destination string, source []byte, base look) line {
	before := len(l)
	l = appendInline(l, n, source, base)
	if label := l[before:].text(); label != destination {
		l = append(l, span{text: " (", look: base}, span{text: destination, look: base.as(roleLink).with(underlined), link: target(destination)}, span{text: ")", look: base})
	}
	return l
}

// target returns an address that a terminal may open, "" for all others.
func target(address string) string {
	for _, scheme := range []string{"http://", "https://", "mailto:"} {
		if strings.HasPrefix(address, scheme) && isPrintable(address) && !strings.Contains(address, " ") {
			return address
		}
	}
	return ""
}
