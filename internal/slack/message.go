package slack

import (
	"strings"
	"unicode"
)

// messageOf reads a message. A list is several of them in one.
func messageOf(root any) (m Message) {
	switch root := root.(type) {
	case string:
		return Message{Content: mrkdwn(clean(root))}
	case []any:
		for _, item := range root {
			one := messageOf(item)
			m.Content = lines(m.Content, one.Content)
			if m.Username == "" {
				m.Username = one.Username
			}
		}
		return m
	case object:
		m.Username = str(root.get("username"))
		m.Content = contentOf(root)
	}
	return m
}

func contentOf(o object) string {
	text := textOf(o.get("text"))
	if o.get("mrkdwn") == false {
		text = plain(str(o.get("text")))
	}
	blocks := blocksOf(o.get("blocks"))
	if says(blocks, text) { // Slack shows the text only where it cannot show blocks
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
	return lines(everything("", o)...)
}

// everything returns all strings of a value with the names of their fields: what no
// field is known of is better shown clumsily than lost.
func everything(name string, v any) (all []string) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			all = append(all, everything(name, item)...)
		}
	case object:
		for _, f := range v {
			if f.name != "username" && f.name != "channel" && !strings.HasPrefix(f.name, "icon") {
				all = append(all, everything(clean(f.name), f.value)...)
			}
		}
	case string:
		if text := mrkdwn(clean(v)); strings.TrimSpace(text) != "" {
			all = append(all, titled(plain(name), text))
		}
	}
	return all
}

// says reports whether a text has all the words of another, one after the other.
func says(text, words string) bool {
	plain := func(s string) string {
		return " " + strings.Join(strings.FieldsFunc(strings.ToLower(s), func(r rune) bool {
			return !unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.So)
		}), " ") + " "
	}
	return text != "" && strings.Contains(plain(text), plain(words))
}

// textOf returns a text in Slack's markup, or what the type of an object says
// that it is.
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

// attachmentOf reads a part of a message that is set off from it.
func attachmentOf(v any) string {
	a, ok := v.(object)
	if !ok {
		return mrkdwn(str(v))
	}
	parts := []string{
		textOf(a.get("pretext")),
		linked(plain(str(a.get("author_name"))), unescape(str(a.get("author_link")))),
		linked(plain(str(a.get("title"))), unescape(str(a.get("title_link")))),
		textOf(a.get("text")),
		fieldsOf(a.get("fields")),
		blocksOf(a.get("blocks")),
		blocksOf(a.get("message_blocks")),
		str(a.get("image_url")),
	}
	for _, action := range list(a.get("actions")) {
		parts = append(parts, elementOf(action))
	}
	if lines(parts...) == "" {
		parts = append(parts, textOf(a.get("fallback")))
	}
	if lines(parts...) == "" && a.get("footer") == nil {
		parts = append(parts, anyText(a)...)
	}
	return lines(append(parts, plain(str(a.get("footer"))))...)
}

// fieldsOf reads the fields of an attachment, also such that are an object of
// their titles and values.
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

// titled puts a title before a text; before one that must begin a line, into a
// line of its own.
func titled(title, text string) string {
	switch {
	case title == "" || text == "":
		return title + text
	case strings.HasPrefix(text, "```") || strings.HasPrefix(text, "> ") || strings.HasPrefix(text, "|"):
		return title + ":\n" + text
	}
	return title + ": " + text
}

// texts are the names of fields that have words for people, in lower case.
var texts = map[string]bool{
	"text": true, "fallback": true, "title": true, "value": true, "pretext": true, "alt_text": true, "author_name": true, "footer": true,
	"activitytitle": true, "activitysubtitle": true, "activitytext": true, // of a MessageCard
	"content": true, "message": true, "summary": true, "description": true, "body": true, "subject": true, "details": true, "label": true,
}

// anyText returns what a value of an unknown kind says.
func anyText(v any) (all []string) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			all = append(all, anyText(item)...)
		}
	case object:
		if name, value := str(v.get("name")), str(v.get("value")); name != "" && value != "" {
			return []string{titled(plain(name), mrkdwn(value))} // a fact
		}
		for _, f := range v {
			isText := texts[strings.ToLower(f.name)]
			switch f.value.(type) {
			case object, []any:
				all = append(all, anyText(f.value)...)
				if items, ok := f.value.([]any); ok && isText {
					for _, item := range items {
						if s, ok := item.(string); ok {
							all = append(all, mrkdwn(clean(s)))
						}
					}
				}
			default:
				if isText {
					all = append(all, mrkdwn(str(f.value)))
				}
			}
		}
	}
	return all
}
