package slack

import (
	"fmt"
	"strconv"
	"strings"
)

// richText returns the text of a block of rich text, which says by structure
// what mrkdwn says by signs.
func richText(elements []node) string {
	var l lines
	for _, e := range elements {
		switch e.get("type").string() {
		case "rich_text_section":
			l.add(spans(e))
		case "rich_text_list":
			l.add(richList(e))
		case "rich_text_preformatted":
			l.add(fence + "\n" + strings.Trim(bare(e), "\n") + "\n" + fence)
		case "rich_text_quote":
			l.add(quote(spans(e)))
		default:
			collect(&l, e, false)
		}
	}
	return l.String()
}

// maxIndent is how deep lists are indented; Slack has 8 levels.
const maxIndent = 8

// richList returns the items of a list, each on a line of its own.
func richList(list node) string {
	number := func(name string) int {
		n, err := strconv.Atoi(list.get(name).string())
		if err != nil || n < 0 {
			return 0
		}
		return n
	}
	indent := strings.Repeat("  ", min(number("indent"), maxIndent))
	ordered, offset := list.get("style").string() == "ordered", number("offset")
	var l lines
	for i, item := range list.get("elements").list() {
		mark := "- "
		if ordered {
			mark = fmt.Sprintf("%d. ", offset+i+1)
		}
		l.add(indent + mark + strings.ReplaceAll(spans(item), "\n", "\n"+indent+"  "))
	}
	return l.String()
}

// spans returns the text of a section with its styles as markup.
func spans(section node) string {
	var b strings.Builder
	for _, e := range section.get("elements").list() {
		b.WriteString(styled(span(e), e.get("style")))
	}
	return b.String()
}

// bare returns the text of a section without its styles.
func bare(section node) string {
	var b strings.Builder
	for _, e := range section.get("elements").list() {
		b.WriteString(span(e))
	}
	return b.String()
}

// span returns the text of a piece of a section.
func span(e node) string {
	switch e.get("type").string() {
	case "link":
		return withAddress(e.get("text").string(), e.get("url").string())
	case "user":
		return "@" + e.get("user_id").string()
	case "usergroup":
		return "@" + e.get("usergroup_id").string()
	case "channel":
		return "#" + e.get("channel_id").string()
	case "broadcast":
		return "@" + e.get("range").string()
	case "emoji":
		return emoji(e)
	case "date":
		return e.get("fallback").string()
	case "color":
		return e.get("value").string()
	}
	return e.string()
}

// emoji returns the character of an emoji if the message has it, else its name.
func emoji(e node) string {
	var b strings.Builder
	for point := range strings.SplitSeq(e.get("unicode").string(), "-") {
		c, err := strconv.ParseUint(point, 16, 21)
		if err != nil {
			return ":" + e.get("name").string() + ":"
		}
		b.WriteRune(rune(c))
	}
	return b.String()
}

// styled puts a text between the signs of its styles. White space stays outside,
// where signs would not count as markup; the signs of each line are its own.
func styled(text string, style node) string {
	marks := ""
	for _, s := range []struct{ name, mark string }{{"bold", bold}, {"italic", italic}, {"strike", strike}, {"code", "`"}} {
		if style.get(s.name).text == "true" {
			marks += s.mark
		}
	}
	if marks == "" {
		return text
	}
	all := strings.Split(text, "\n")
	for i, line := range all {
		if core := strings.TrimSpace(line); core != "" {
			before, after, _ := strings.Cut(line, core)
			all[i] = before + marks + core + reversed(marks) + after
		}
	}
	return strings.Join(all, "\n")
}

// reversed returns marks in the order in which they close.
func reversed(marks string) string {
	b := []byte(marks)
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
	return string(b)
}
