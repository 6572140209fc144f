package slack

import (
	"regexp"
	"strings"
	"unicode"

	"kaban/internal/markup"
)

// Kaban's markup.
const (
	bold   = "**"
	italic = "_"
	strike = "~~"
	fence  = "```"
)

// fromMrkdwn turns Slack's markup into Kaban's. What is no markup stays as it
// is.
func fromMrkdwn(s string) string {
	return strings.TrimSpace(markup.FromSlack(fromReferences(s)))
}

// quote sets a text off as a quote.
func quote(s string) string {
	return "> " + strings.ReplaceAll(s, "\n", "\n> ")
}

// reference matches what Slack puts in angle brackets: a person, a room, a group
// or an address, with a label or without. Other brackets are text, such as those
// of Map<String,List<Integer>> and <!-- a comment -->.
var reference = regexp.MustCompile(`<(?:[@#][\pL\pN._-]+|!(?:here|channel|everyone|(?:date|subteam)\^[^<>|\n]*)|` +
	`(?i:[a-z][a-z0-9+.-]*://|mailto:|tel:)[^<>|\s]+)(?:\|[^<>\n]*)?>`)

// fromReferences turns references, and Slack's three escapes.
func fromReferences(s string) string {
	var b strings.Builder
	end := 0
	for _, at := range reference.FindAllStringIndex(s, -1) {
		b.WriteString(unescape(s[end:at[0]]))
		b.WriteString(unescape(fromReference(s[at[0]+1 : at[1]-1])))
		end = at[1]
	}
	b.WriteString(unescape(s[end:]))
	return b.String()
}

func fromReference(inner string) string {
	target, label, _ := strings.Cut(inner, "|")
	switch sign := target[:1]; sign {
	case "@", "#":
		if label != "" {
			return sign + strings.TrimLeft(label, "@#")
		}
		return target
	case "!":
		name, _, isCommand := strings.Cut(target[1:], "^") // <!date^…|label>, <!subteam^…|@label>
		switch {
		case isCommand && label != "":
			return label
		case label != "":
			return "@" + strings.TrimLeft(label, "@#")
		}
		return "@" + name
	}
	for _, scheme := range []string{"mailto:", "tel:"} {
		target = strings.TrimPrefix(target, scheme)
	}
	return withAddress(label, target)
}

// unescape decodes the three characters that Slack escapes.
func unescape(s string) string {
	return escapes.Replace(s)
}

var escapes = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&")

// sequence matches the control sequences of terminals (ECMA-48): colors and
// cursor movements, titles and links, and short escapes. One that never ends
// loses its first two characters only, since text may follow.
var sequence = regexp.MustCompile("(?:\x1b\\[|\u009b)[0-?]*[ -/]*[@-~]" +
	"|(?:\x1b[\\]PX^_]|[\u0090\u0098\u009d-\u009f])[^\x07\x1b\u009c]*(?:\x07|\x1b\\\\|\u009c)" +
	"|\x1b[ -/]*[0-~]?")

// clean removes what no content may hold. A carriage return ends a line.
func clean(s string) string {
	s = sequence.ReplaceAllString(s, "")
	s = lineEnds.Replace(s)
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) && c != '\n' && c != '\t' {
			return -1
		}
		return c
	}, s)
}

var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n")
