package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"unicode/utf8"
)

// slackMessage is what an incoming webhook of Slack takes, as far as there is
// something like it here. What it does not know is ignored.
type slackMessage struct {
	Text        string            `json:"text"`
	Username    string            `json:"username"`
	Attachments []slackAttachment `json:"attachments"`
	Blocks      []slackBlock      `json:"blocks"`
}

// slackAttachment is a part of a message that is set off from it.
type slackAttachment struct {
	Fallback  string       `json:"fallback"`
	Pretext   string       `json:"pretext"`
	Author    string       `json:"author_name"`
	Title     string       `json:"title"`
	TitleLink string       `json:"title_link"`
	Text      string       `json:"text"`
	Fields    []slackField `json:"fields"`
	ImageURL  string       `json:"image_url"`
	Footer    string       `json:"footer"`
}

type slackField struct {
	Title string `json:"title"`
	Value string `json:"value"`
}

// slackBlock is a piece of a layout, of which the texts are taken.
type slackBlock struct {
	Text   slackText   `json:"text"`
	Fields []slackText `json:"fields"`
}

// slackText is a text, or an object that has one.
type slackText string

// UnmarshalJSON implements json.Unmarshaler.
func (t *slackText) UnmarshalJSON(text []byte) error {
	if text[0] == '"' {
		return json.Unmarshal(text, (*string)(t))
	}
	var object struct {
		Text string `json:"text"`
	}
	if err := json.Unmarshal(text, &object); err != nil {
		return err
	}
	*t = slackText(object.Text)
	return nil
}

// parseSlack reads a body: JSON, or a form whose field payload is JSON.
func parseSlack(body []byte) (slackMessage, error) {
	var m slackMessage
	text := strings.TrimSpace(string(body))
	if !strings.HasPrefix(text, "{") { // curl says of JSON too that it is a form
		form, err := url.ParseQuery(text)
		if err != nil || !form.Has("payload") {
			return m, errors.New("send JSON such as {\"text\":\"…\"}, or a form with such JSON as payload")
		}
		text = form.Get("payload")
	}
	if !utf8.ValidString(text) {
		return m, errors.New("the message is not UTF-8")
	}
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return m, fmt.Errorf("not a message in Slack's format: %w", err)
	}
	return m, nil
}

// content flattens a message to what people read here.
func (m *slackMessage) content() string {
	var parts []string
	add := func(text string) {
		if text = plainSlack(text); text != "" {
			parts = append(parts, text)
		}
	}
	add(m.Text)
	if m.Text == "" { // which otherwise says what the blocks say
		for _, b := range m.Blocks {
			add(string(b.Text))
			for _, field := range b.Fields {
				add(string(field))
			}
		}
	}
	for _, a := range m.Attachments {
		before := len(parts)
		add(a.Pretext)
		add(a.Author)
		if a.TitleLink != "" {
			add(strings.TrimSpace(a.Title + " (" + a.TitleLink + ")"))
		} else {
			add(a.Title)
		}
		add(a.Text)
		for _, f := range a.Fields {
			switch {
			case f.Title == "" || f.Value == "":
				add(f.Title + f.Value)
			default:
				add(f.Title + ": " + f.Value)
			}
		}
		add(a.ImageURL)
		if len(parts) == before {
			add(a.Fallback)
		}
		add(a.Footer)
	}
	return strings.Join(parts, "\n")
}

// slackReference is what stands in angle brackets: a link, or somebody or
// something that is named, with a label or without.
var slackReference = regexp.MustCompile(`<([^<>|\s]+)(?:\|([^<>]*))?>`)

// plainSlack takes away the markup that only Slack knows. Asterisks and the like
// stay: they read well enough.
func plainSlack(text string) string {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	text = slackReference.ReplaceAllStringFunc(text, func(found string) string {
		parts := slackReference.FindStringSubmatch(found)
		target, label := strings.TrimPrefix(parts[1], "mailto:"), parts[2]
		switch parts[1][0] {
		case '@', '#', '!':
			sign := strings.Replace(target[:1], "!", "@", 1)
			if label != "" {
				return sign + strings.TrimLeft(label, "@#")
			}
			return sign + target[1:]
		}
		if label != "" && label != target {
			return label + " (" + target + ")"
		}
		return target
	})
	text = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&").Replace(text)
	return strings.TrimSpace(text)
}
