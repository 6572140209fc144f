// Package slack reads messages in the format of Slack's incoming webhooks and
// turns them into Kaban's text.
//
// The programs that send them cannot be changed, so it takes whatever has a
// text: numbers and booleans become text, unknown fields are ignored, control
// characters and terminal colors are removed, and layouts become lines. It
// refuses only what cannot be read in one way: broken JSON, duplicate names,
// lone surrogates and bytes that are not UTF-8.
//
// Format: https://api.slack.com/messaging/webhooks and
// https://api.slack.com/reference/surfaces/formatting.
package slack

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Message is what a webhook says.
type Message struct {
	// Username is the name that the sender asks for, "" if it does not. It may be
	// any text.
	Username string
	// Text is the whole message with Kaban's markup. It may be longer than a
	// message can be; see Cut. It is "" if the message has no text at all.
	Text string
}

// errFormat is the answer to a body that is no message.
var errFormat = errors.New(`send JSON such as {"text":"…"}, or a form with such JSON in the field payload`)

// Parse reads the body of a request with the given Content-Type, which may be
// missing or wrong: the body counts. The error says what to send instead.
func Parse(contentType string, body []byte) (Message, error) {
	kind, params, _ := mime.ParseMediaType(contentType)
	body = bytes.TrimSpace(bytes.TrimPrefix(bytes.TrimSpace(body), []byte("\ufeff")))
	switch {
	case len(body) == 0:
		return Message{}, errFormat
	case body[0] == '{': // curl says of JSON too that it is a form
		return parseJSON(body)
	case strings.HasPrefix(kind, "multipart/"):
		form, err := parseMultipart(body, params["boundary"])
		if err != nil {
			return Message{}, err
		}
		return parseForm(form)
	case kind == "text/plain":
		if !utf8.Valid(body) {
			return Message{}, errUTF8
		}
		return Message{Text: fromMrkdwn(clean(string(body)))}, nil
	case strings.HasSuffix(kind, "json"):
		return parseJSON(body)
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return Message{}, errFormat
	}
	return parseForm(form)
}

var errUTF8 = errors.New("the message is not UTF-8; send it as UTF-8")

// parseMultipart returns the fields of a form. Files count as fields.
func parseMultipart(body []byte, boundary string) (url.Values, error) {
	form := make(url.Values)
	if boundary == "" {
		return nil, errors.New("the multipart form has no boundary in its Content-Type")
	}
	reader := multipart.NewReader(bytes.NewReader(body), boundary)
	for {
		part, err := reader.NextPart()
		if errors.Is(err, io.EOF) {
			return form, nil
		}
		if err != nil {
			return nil, fmt.Errorf("the multipart form cannot be read: %w", err)
		}
		value, err := io.ReadAll(part)
		if err != nil {
			return nil, fmt.Errorf("the multipart form cannot be read: %w", err)
		}
		form.Add(part.FormName(), string(value))
	}
}

// parseForm reads a form: the whole message in payload, as a webhook has it, or
// its fields one by one, as Slack's chat.postMessage has them.
func parseForm(form url.Values) (Message, error) {
	if form.Has("payload") {
		return parseJSON(bytes.TrimSpace([]byte(form.Get("payload"))))
	}
	message := node{kind: object}
	for _, name := range []string{"text", "username", "attachments", "blocks"} {
		if form.Has(name) {
			value := form.Get(name)
			if !utf8.ValidString(value) {
				return Message{}, errUTF8
			}
			message.names = append(message.names, name)
			message.items = append(message.items, node{kind: text, text: clean(value)})
		}
	}
	if len(message.names) == 0 {
		return Message{}, errFormat
	}
	return read(message), nil
}

func parseJSON(body []byte) (Message, error) {
	message, err := decode(body)
	if err != nil {
		return Message{}, fmt.Errorf("not a message in Slack's format: %w", err)
	}
	if message.kind != object {
		return Message{}, errFormat
	}
	return read(message), nil
}

// read makes a message of its fields.
func read(message node) Message {
	plain := message.get("mrkdwn").text == "false"
	lead := message.get("text").string()
	if plain {
		lead = unescape(lead)
	} else {
		lead = fromMrkdwn(lead)
	}
	lines := joined(lead, blocks(message.get("blocks").list()))
	for _, a := range message.get("attachments").list() {
		lines.add(attachment(a))
	}
	if lines.isEmpty() {
		collect(&lines, message, false)
	}
	return Message{
		Username: strings.TrimSpace(message.get("username").string()),
		Text:     strings.TrimSpace(lines.String()),
	}
}

// joined puts a text and the blocks below it together. Slack shows the blocks
// alone and uses the text for notifications, so mostly they say the same; then
// the longer of the two is enough.
func joined(lead string, below lines) lines {
	said, shown := words(lead), words(below.String())
	var all lines
	if below.isEmpty() || !strings.Contains(shown, said) {
		all.add(lead)
	}
	if len(all.parts) == 0 || !strings.Contains(said, shown) {
		all.add(below.String())
	}
	return all
}

// words returns the words of a text with a space on either side of each, to
// compare what it says and not how it is set.
func words(text string) string {
	return " " + strings.Join(strings.FieldsFunc(strings.ToLower(text), func(c rune) bool {
		return !unicode.In(c, unicode.L, unicode.M, unicode.N, unicode.So)
	}), " ") + " "
}

// Cut shortens a text to at most limit code points, which must be positive. What
// it leaves ends with a mark that says how much there was. It returns the length
// of the whole text in code points, 0 if nothing was cut.
func Cut(whole string, limit int) (short string, length int) {
	length = utf8.RuneCountInString(whole)
	if length <= limit {
		return whole, 0
	}
	mark := fmt.Sprintf("\n… [cut, %d characters in all]", length)
	keep := limit - utf8.RuneCountInString(mark)
	if keep <= 0 {
		return firstRunes(whole, limit-1) + "…", length
	}
	short = firstRunes(whole, keep)
	const closing = "\n" + fence // of a code block that is cut
	if isFenceOpen(short) {
		if short = firstRunes(whole, keep-len(closing)); isFenceOpen(short) {
			mark = closing + mark
		}
	}
	return strings.TrimRightFunc(short, unicode.IsSpace) + mark, length
}

func isFenceOpen(s string) bool { return strings.Count(s, fence)%2 == 1 }

// firstRunes returns the first n code points of a text.
func firstRunes(s string, n int) string {
	for i := range s {
		if n <= 0 {
			return s[:i]
		}
		n--
	}
	return s
}

// lines are the parts of a text, one below the other.
type lines struct{ parts []string }

// add adds a part, unless it is blank.
func (l *lines) add(part string) {
	if part = strings.Trim(part, "\n"); strings.TrimSpace(part) != "" {
		l.parts = append(l.parts, part)
	}
}

func (l *lines) isEmpty() bool  { return len(l.parts) == 0 }
func (l *lines) String() string { return strings.Join(l.parts, "\n") }
