package slack

import (
	"strconv"
	"strings"

	"kaban/internal/markup"
)

// blocksOf converts a layout.
func blocksOf(v any) string {
	var all []string
	for _, item := range list(v) {
		all = append(all, blockOf(item))
	}
	return lines(all...)
}

func blockOf(v any) string {
	b, ok := v.(object)
	if !ok {
		return mrkdwn(str(v))
	}
	switch str(b.get("type")) {
	case "divider":
		return ""
	case "header", "section", "":
		parts := []string{textOf(b.get("text"))}
		for _, f := range list(b.get("fields")) {
			parts = append(parts, textOf(f))
		}
		for _, e := range list(b.get("elements")) {
			parts = append(parts, elementOf(e))
		}
		return lines(append(parts, elementOf(b.get("accessory")))...)
	case "context", "actions", "context_actions":
		var parts []string
		for _, e := range list(b.get("elements")) {
			text := elementOf(e)
			if o, ok := e.(object); ok && str(o.get("type")) == "image" && str(o.get("alt_text")) != "" { // an icon
				text = plain(str(o.get("alt_text")))
			}
			if text != "" {
				parts = append(parts, text)
			}
		}
		return strings.Join(parts, " ")
	case "rich_text":
		return richText(b.get("elements"))
	case "markdown":
		return strings.Trim(str(b.get("text")), "\n")
	case "table":
		return tableOf(b.get("rows"))
	}
	return elementOf(b)
}

// elementOf converts an element of a layout: an image, a button, a text.
func elementOf(v any) string {
	e, ok := v.(object)
	if !ok {
		return mrkdwn(str(v))
	}
	switch str(e.get("type")) {
	case "plain_text", "mrkdwn", "raw_text", "raw_number", "":
		return textOf(v)
	case "button", "workflow_button":
		return linked(textOf(e.get("text")), address(e.get("url")))
	case "image":
		source := address(e.get("image_url"))
		if file, ok := e.get("slack_file").(object); ok && source == "" {
			source = address(file.get("url"))
		}
		return lines(textOf(e.get("title")), linked(plain(str(e.get("alt_text"))), source))
	case "video":
		source := firstOf(address(e.get("title_url")), address(e.get("video_url")))
		return lines(linked(textOf(e.get("title")), source), textOf(e.get("description")))
	case "rich_text":
		return richText(e.get("elements"))
	case "rich_text_section", "rich_text_list", "rich_text_preformatted", "rich_text_quote":
		return richPart(e)
	}
	return lines(anyText(e)...)
}

// tableOf converts a table. Its first row is the header.
func tableOf(v any) string {
	var rows []string
	for n, row := range list(v) {
		cells := list(row)
		texts := make([]string, len(cells))
		for i, cell := range cells {
			text := strings.Join(strings.Fields(textOf(cell)), " ")
			texts[i] = strings.ReplaceAll(text, "|", `\|`)
		}
		if len(cells) == 0 {
			continue
		}
		rows = append(rows, "| "+strings.Join(texts, " | ")+" |")
		if n == 0 {
			rows = append(rows, "|"+strings.Repeat("---|", len(cells)))
		}
	}
	return lines(rows...)
}

// richText converts rich text.
func richText(v any) string {
	var parts []string
	for _, item := range list(v) {
		if o, ok := item.(object); ok {
			parts = append(parts, richPart(o))
		} else {
			parts = append(parts, str(item))
		}
	}
	return lines(parts...)
}

// maxIndent is the maximum nesting of lists.
const maxIndent = 8

// richPart converts a paragraph, a list, a quote or a block of code.
func richPart(o object) string {
	switch str(o.get("type")) {
	case "rich_text_preformatted":
		code := strings.Trim(richLine(o.get("elements"), false), "\n")
		if strings.TrimSpace(code) == "" {
			return ""
		}
		fence := markup.FenceFor(code, 3)
		return fence + "\n" + code + "\n" + fence
	case "rich_text_quote":
		var quoted []string
		for l := range strings.SplitSeq(strings.Trim(richLine(o.get("elements"), true), "\n"), "\n") {
			quoted = append(quoted, strings.TrimRight("> "+l, " "))
		}
		return strings.Join(quoted, "\n")
	case "rich_text_list":
		return richList(o)
	}
	return strings.Trim(richLine(o.get("elements"), true), "\n")
}

func richList(o object) string {
	indent := strings.Repeat("  ", min(number(o.get("indent")), maxIndent))
	at := number(o.get("offset"))
	var items []string
	for _, item := range list(o.get("elements")) {
		part, ok := item.(object)
		if !ok {
			part = object{{"elements", []any{item}}}
		}
		if str(part.get("type")) == "rich_text_list" {
			items = append(items, richPart(part))
			continue
		}
		bullet := "• "
		if at++; str(o.get("style")) == "ordered" {
			bullet = strconv.Itoa(at) + ". "
		}
		items = append(items, indent+bullet+richPart(part))
	}
	return lines(items...)
}

// richLine joins elements. If styled is false it ignores styles.
func richLine(v any, styled bool) string {
	elements := list(v)
	texts := make([]string, len(elements))
	for i, e := range elements {
		texts[i] = richElement(e)
	}
	var b strings.Builder
	for i, e := range elements {
		o, _ := e.(object)
		style, _ := o.get("style").(object)
		if !styled || style == nil {
			b.WriteString(texts[i])
			continue
		}
		after := ""
		for j := i + 1; j < len(texts) && after == ""; j++ {
			after = texts[j]
		}
		b.WriteString(emphasised(b.String(), texts[i], after, style))
	}
	return b.String()
}

// emphasised adds delimiters to a text if they are recognized at that position.
func emphasised(before, text, after string, style object) string {
	is := func(name string) bool { return str(style.get(name)) == "true" }
	if is("code") {
		return markup.Emphasise(before, text, after, markup.Code)
	}
	var s markup.Style
	for _, known := range []struct {
		name  string
		style markup.Style
	}{{"bold", markup.Bold}, {"italic", markup.Italic}, {"strike", markup.Struck}, {"strikethrough", markup.Struck}} {
		if is(known.name) {
			s |= known.style
		}
	}
	return markup.Emphasise(before, text, after, s)
}

// richElement converts an element of a line.
func richElement(v any) string {
	e, ok := v.(object)
	if !ok {
		return str(v)
	}
	switch str(e.get("type")) {
	case "link":
		return linked(str(e.get("text")), str(e.get("url")))
	case "user":
		return "@" + str(e.get("user_id"))
	case "usergroup":
		return "@" + str(e.get("usergroup_id"))
	case "team":
		return "@" + str(e.get("team_id"))
	case "channel":
		return "#" + str(e.get("channel_id"))
	case "broadcast":
		return "@" + str(e.get("range"))
	case "color":
		return str(e.get("value"))
	case "emoji":
		return emoji(str(e.get("name")), str(e.get("unicode")))
	case "date":
		return firstOf(str(e.get("fallback")), moment(str(e.get("timestamp"))))
	case "rich_text_section":
		return richLine(e.get("elements"), true)
	}
	if text := str(e.get("text")); text != "" {
		return text
	}
	return lines(anyText(e)...)
}
