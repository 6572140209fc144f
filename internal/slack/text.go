package slack

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"kaban/internal/markup"
)

// str returns a value as text, cleaned: for an object, its text or else all that
// it contains.
func str(v any) string {
	switch v := v.(type) {
	case string:
		return clean(v)
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	case object:
		if text := str(v.get("text")); text != "" {
			return text
		}
		rest := slices.DeleteFunc(slices.Clone(v), func(f field) bool { return f.name == "text" }) // already searched
		return lines(everything("", rest, true)...)
	case []any:
		var all []string
		for _, item := range v {
			all = append(all, str(item))
		}
		return lines(all...)
	}
	return ""
}

// list returns the items of a list, or a single value as a list. Some programs
// send a list as JSON in a string.
func list(v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		return v
	case string:
		if begin := strings.TrimSpace(v); strings.HasPrefix(begin, "[") || strings.HasPrefix(begin, "{") {
			switch inner, err := parseJSON([]byte(begin)); inner := inner.(type) {
			case []any, object:
				if err == nil {
					return list(inner)
				}
			}
		}
	}
	return []any{v}
}

// lines joins the non-empty texts.
func lines(texts ...string) string {
	var kept []string
	for _, text := range texts {
		if strings.TrimSpace(text) != "" {
			kept = append(kept, text)
		}
	}
	return strings.Join(kept, "\n")
}

// control matches terminal sequences.
var control = regexp.MustCompile("(?:\x1b\\[|\u009b)[0-?]*[ -/]*[@-~]|\x1b\\][^\x07\x1b\n]*(?:\x07|\x1b\\\\)|\x1b[ -/]*[0-Z\\\\^-~]")

// clean removes characters that are not allowed in contents.
func clean(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) && r != '\n' && r != '\t' || r == '\u2028' || r == '\u2029'
	}) {
		return s
	}
	s = strings.ReplaceAll(control.ReplaceAllString(s, ""), "\r\n", "\n")
	return strings.Map(func(r rune) rune {
		switch {
		case strings.ContainsRune("\r\v\f\u0085\u2028\u2029", r): // line endings
			return '\n'
		case unicode.IsControl(r) && r != '\n' && r != '\t':
			return -1
		}
		return r
	}, s)
}

// mrkdwn converts a text in Slack's markup.
func mrkdwn(s string) string { return strings.Trim(markup.FromSlack(unescape(dereference(s))), "\n") }

// plain converts a text with references but without markup.
func plain(s string) string { return strings.TrimSpace(unescape(dereference(s))) }

// address returns an address; some programs escape it like a text.
func address(v any) string { return unescape(str(v)) }

var entities = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&")

func unescape(s string) string { return entities.Replace(s) }

// reference is an expression in angle brackets: a user, a channel, a command, or
// an address, with or without a label.
var reference = regexp.MustCompile(`<(!date\^[^<>|\n]+|[@#!][^<>|\s]+|(?:mailto:|tel:|[A-Za-z][A-Za-z0-9+.-]*://)[^<>|\s]+)(?:\|([^<>\n]*))?>`)

// dereference replaces references with text for people.
func dereference(s string) string {
	return reference.ReplaceAllStringFunc(s, func(found string) string {
		parts := reference.FindStringSubmatch(found)
		target, label := parts[1], strings.TrimSpace(parts[2])
		switch target[0] {
		case '@', '#':
			if label != "" {
				return target[:1] + strings.TrimLeft(label, "@#")
			}
			return target
		case '!':
			return command(found, target[1:], label)
		}
		return linked(label, target)
	})
}

// command converts a reference to everyone, a group or a time.
func command(found, name, label string) string {
	switch {
	case name == "here", name == "channel", name == "everyone":
		return "@" + name
	case strings.HasPrefix(name, "subteam^"):
		if label == "" {
			label = strings.TrimPrefix(name, "subteam^")
		}
		return "@" + strings.TrimLeft(label, "@")
	case label != "":
		return label
	case strings.HasPrefix(name, "date^"):
		seconds, _, _ := strings.Cut(strings.TrimPrefix(name, "date^"), "^")
		if at := moment(seconds); at != "" {
			return at
		}
	}
	return found
}

// moment formats a time in seconds since 1970, or returns "".
func moment(seconds string) string {
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil || n < 0 || n > 253402300799 { // the year 9999
		return ""
	}
	return time.Unix(n, 0).UTC().Format("2006-01-02 15:04 UTC")
}

// linked joins a text and its address. The address is always visible.
func linked(label, address string) string {
	shown := strings.TrimPrefix(strings.TrimPrefix(address, "mailto:"), "tel:")
	switch {
	case label == "" || label == shown || label == address:
		return shown
	case address == "":
		return label
	}
	return label + " (" + shown + ")"
}

// mark ends a truncated content.
const mark = "… [cut]"

// Cut truncates a content to at most limit code points, including a mark at the
// end. It closes an open block of code.
func Cut(content string, limit int) (kept string, cut bool) {
	if utf8.RuneCountInString(content) <= limit {
		return content, false
	}
	first := func(n int) string {
		at := 0
		for range max(n, 0) {
			_, size := utf8.DecodeRuneInString(content[at:])
			at += size
		}
		return content[:at]
	}
	kept = first(limit - utf8.RuneCountInString(mark))
	if fence := openFence(kept); fence != "" {
		end := "\n" + fence + "\n" + mark
		kept = strings.TrimRight(first(limit-utf8.RuneCountInString(end)), "`\n") + end
	} else {
		kept += mark
	}
	if utf8.RuneCountInString(kept) > limit { // no room for the mark
		kept = first(limit)
	}
	return kept, true
}

// openFence returns the fence that closes an open block of code, or "".
func openFence(content string) (fence string) {
	for l := range strings.Lines(content) {
		l = strings.TrimSpace(l)
		n := len(l) - len(strings.TrimLeft(l, "`"))
		switch {
		case n < 3 || strings.Contains(l[n:], "`"):
		case fence == "":
			fence = l[:n]
		case n == len(l) && n >= len(fence):
			fence = ""
		}
	}
	return fence
}
