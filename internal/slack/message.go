package slack

import (
	"encoding/json"
	"strings"
	"unicode"
)

// messageOf converts a message. A list is several messages in one.
func messageOf(root any) (m Message) {
	switch root := root.(type) {
	case string:
		return Message{Content: mrkdwn(clean(root))}
	case []any:
		var parts []string
		for _, item := range root {
			one := messageOf(item)
			parts = append(parts, one.Content)
			if m.Username == "" {
				m.Username = one.Username
			}
		}
		m.Content = lines(parts...)
		return m
	case object:
		m.Username = str(root.get("username"))
		m.Content = contentOf(root)
	}
	return m
}

func contentOf(o object) string {
	if o.get("@type") != nil { // a MessageCard, whose text is only part of it
		if words := lines(anyText(o)...); words != "" {
			return words
		}
	}
	text := textOf(o.get("text"))
	if o.get("mrkdwn") == false {
		text = plain(str(o.get("text")))
	}
	blocks := blocksOf(o.get("blocks"))
	if says(blocks, text) { // Slack shows the text only if it cannot show the blocks
		text = ""
	}
	parts := []string{text, blocks}
	for _, a := range list(o.get("attachments")) {
		parts = append(parts, attachmentOf(a))
	}
	if content := lines(parts...); strings.TrimSpace(content) != "" {
		return content
	}
	if words := lines(anyText(o)...); strings.TrimSpace(words) != "" {
		return words
	}
	return anything(o)
}

// everything returns all strings in a value of an unknown kind, with the names of
// their fields: a clumsy message is better than a lost one. If values is set it
// also returns numbers and booleans. Each name appears at most once, so the result
// is about as large as the input.
func everything(name string, v any, values bool) (all []string) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			found := everything(name, item, values)
			if all = append(all, found...); len(found) > 0 {
				name = ""
			}
		}
	case object:
		for _, f := range v {
			if !wordless(f) {
				all = append(all, everything(clean(f.name), f.value, values)...)
			}
		}
	case string:
		if text := clean(v); strings.TrimSpace(text) != "" {
			all = append(all, titled(name, text))
		}
	case json.Number, bool:
		if values {
			all = append(all, titled(name, str(v)))
		}
	}
	return all
}

// noWords are the names of fields without text for people, in lower case.
var noWords = map[string]bool{
	"username": true, "channel": true, "color": true, "themecolor": true, "id": true, "ts": true,
	"emoji": true, "verbatim": true, "mrkdwn": true, "mrkdwn_in": true, "@type": true, "@context": true, "$schema": true,
}

// kinds are the types of the parts of a Slack message.
var kinds = map[string]bool{
	"mrkdwn": true, "plain_text": true, "raw_text": true, "raw_number": true, "section": true, "header": true,
	"context": true, "actions": true, "divider": true, "image": true, "button": true, "rich_text": true, "markdown": true,
}

// wordless reports whether a field clearly has no text for people.
func wordless(f field) bool {
	name := strings.ToLower(f.name)
	kind, _ := f.value.(string)
	return noWords[name] || name == "type" && kinds[kind] ||
		strings.HasSuffix(name, "_id") || strings.HasPrefix(name, "icon") || strings.HasSuffix(name, "_icon")
}

// anything returns the texts of a value without any known field.
func anything(v any) string { return mrkdwn(lines(everything("", v, false)...)) }

// says reports whether a text contains all the words of another, in order.
func says(text, words string) bool {
	plain := func(s string) string {
		return " " + strings.Join(strings.FieldsFunc(strings.ToLower(s), func(r rune) bool {
			return !unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.So)
		}), " ") + " "
	}
	return text != "" && strings.Contains(plain(text), plain(words))
}

// textOf converts a text object. Without a type it uses Slack's markup.
func textOf(v any) string {
	if o, ok := v.(object); ok {
		switch str(o.get("type")) {
		case "plain_text", "raw_text", "raw_number":
			return strings.TrimSpace(unescape(firstOf(str(o.get("text")), str(o.get("value")))))
		case "", "mrkdwn":
		default:
			return elementOf(o)
		}
	}
	return mrkdwn(str(v))
}

func firstOf(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}

// attachmentOf converts an attachment.
func attachmentOf(v any) string {
	a, ok := v.(object)
	if !ok {
		return mrkdwn(str(v))
	}
	parts := []string{
		textOf(a.get("pretext")),
		linked(plain(str(a.get("author_name"))), address(a.get("author_link"))),
		linked(plain(str(a.get("title"))), address(a.get("title_link"))),
		textOf(a.get("text")),
		fieldsOf(a.get("fields")),
		blocksOf(a.get("blocks")),
		blocksOf(a.get("message_blocks")),
		address(a.get("image_url")),
	}
	for _, action := range list(a.get("actions")) {
		parts = append(parts, elementOf(action))
	}
	if lines(parts...) == "" {
		parts = append(parts, textOf(a.get("fallback")))
	}
	if lines(parts...) == "" && a.get("footer") == nil {
		parts = append(parts, anyText(a)...)
		if lines(parts...) == "" {
			parts = append(parts, anything(a))
		}
	}
	return lines(append(parts, plain(str(a.get("footer"))))...)
}

// fieldsOf converts the fields of an attachment. They may also be an object of
// titles and values.
func fieldsOf(v any) string {
	if o, ok := v.(object); ok && o.get("title") == nil && o.get("value") == nil {
		var all []string
		for _, f := range o {
			all = append(all, titled(plain(clean(f.name)), textOf(f.value)))
		}
		return lines(all...)
	}
	var all []string
	for _, item := range list(v) {
		if f, ok := item.(object); ok {
			all = append(all, titled(plain(str(f.get("title"))), textOf(f.get("value"))))
		} else {
			all = append(all, textOf(item))
		}
	}
	return lines(all...)
}

// titled puts a title before a text. If the text must begin a line, the title gets
// its own line.
func titled(title, text string) string {
	switch {
	case title == "" || text == "":
		return title + text
	case strings.HasPrefix(text, "```") || strings.HasPrefix(text, "> ") || strings.HasPrefix(text, "|"):
		return title + ":\n" + text
	}
	return title + ": " + text
}

// texts are the names of fields with text for people, in lower case.
var texts = map[string]bool{
	"text": true, "fallback": true, "title": true, "value": true, "pretext": true, "alt_text": true, "author_name": true, "footer": true,
	"activitytitle": true, "activitysubtitle": true, "activitytext": true, // of a MessageCard
	"content": true, "message": true, "summary": true, "description": true, "body": true, "subject": true, "details": true, "label": true,
}

// anyText returns the texts in the known fields of a value of an unknown kind.
func anyText(v any) (all []string) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			all = append(all, anyText(item)...)
		}
	case object:
		name := str(v.get("name"))
		fact := name != "" && v.get("value") != nil
		if fact {
			all = append(all, titled(plain(name), mrkdwn(str(v.get("value")))))
		}
		for _, f := range v {
			if !fact || f.name != "value" {
				all = append(all, fieldText(texts[strings.ToLower(f.name)], f.value)...)
			}
		}
	}
	return all
}

// fieldText returns the texts in a field. isText is set if the field's name is in
// texts.
func fieldText(isText bool, v any) (all []string) {
	if items, ok := v.([]any); ok {
		for _, item := range items {
			all = append(all, fieldText(isText, item)...)
		}
		return all
	}
	if o, ok := v.(object); ok {
		all = anyText(o)
	}
	if isText && lines(all...) == "" {
		all = []string{mrkdwn(str(v))}
	}
	return all
}
