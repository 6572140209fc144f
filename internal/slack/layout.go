package slack

import "strings"

// attachment returns the lines of an attachment, a part of a message that is set
// off from the rest.
func attachment(a node) string {
	if a.kind == text {
		return fromMrkdwn(a.text)
	}
	var l lines
	l.add(fromMrkdwn(a.get("pretext").string()))
	l.add(withAddress(unescape(a.get("author_name").string()), a.get("author_link").string()))
	l.add(withAddress(fromReferences(a.get("title").string()), a.get("title_link").string()))
	l.add(fromMrkdwn(a.get("text").string()))
	for _, f := range a.get("fields").list() {
		l.add(field(f))
	}
	below := blocks(a.get("blocks").list())
	l.add(below.String())
	l.add(a.get("image_url").string())
	l.add(a.get("thumb_url").string())
	for _, action := range a.get("actions").list() {
		l.add(button(action))
	}
	if l.isEmpty() {
		l.add(fromMrkdwn(a.get("fallback").string()))
	}
	l.add(fromReferences(a.get("footer").string()))
	return l.String()
}

// field returns the line of a field of an attachment.
func field(f node) string {
	title, value := unescape(f.get("title").string()), fromMrkdwn(f.get("value").string())
	switch {
	case f.kind == text:
		return fromMrkdwn(f.text)
	case title == "" || value == "":
		return title + value
	case strings.Contains(value, "\n"):
		return title + ":\n" + value
	}
	return title + ": " + value
}

// blocks returns the texts of a layout of blocks.
func blocks(all []node) lines {
	var l lines
	for _, b := range all {
		l.add(block(b))
	}
	return l
}

// block returns the text of a block. An unknown kind of block gives whatever
// texts it has.
func block(b node) string {
	var l lines
	switch kind := b.get("type").string(); kind {
	case "divider":
	case "rich_text":
		return richText(b.get("elements").list())
	case "markdown":
		return b.get("text").string()
	case "image", "video":
		l.add(picture(b))
		l.add(textObject(b.get("description")))
	case "table":
		for i, row := range b.get("rows").list() {
			cells := tableCells(row)
			l.add("| " + strings.Join(cells, " | ") + " |")
			if i == 0 {
				l.add("|" + strings.Repeat("---|", len(cells)))
			}
		}
	case "context", "context_actions":
		return inline(b.get("elements").list())
	case "actions":
		for _, element := range b.get("elements").list() {
			l.add(button(element))
		}
	case "header", "section", "":
		l.add(textObject(b.get("text")))
		for _, f := range b.get("fields").list() {
			l.add(textObject(f))
		}
		l.add(element(b.get("accessory")))
	default:
		collect(&l, b, false)
	}
	return l.String()
}

// textObject returns the text of a string or of an object that says how its text
// is to be read.
func textObject(t node) string {
	if t.get("type").string() == "plain_text" {
		return unescape(t.string())
	}
	return fromMrkdwn(t.string())
}

// element returns the text of an element within a block.
func element(e node) string {
	switch kind := e.get("type").string(); {
	case kind == "image":
		return picture(e)
	case kind == "button", e.get("url").string() != "":
		return button(e)
	case kind == "mrkdwn", kind == "plain_text", e.kind == text:
		return textObject(e)
	}
	return ""
}

// inline returns elements in a row.
func inline(elements []node) string {
	var all []string
	for _, e := range elements {
		if s := element(e); s != "" {
			all = append(all, s)
		}
	}
	return strings.Join(all, " ")
}

// button returns the text of a button that leads somewhere. One that asks its
// sender to do something does nothing here.
func button(b node) string {
	address := b.get("url").string()
	if address == "" {
		return ""
	}
	return withAddress(textObject(b.get("text")), address)
}

// picture returns the words for a picture, and its address.
func picture(p node) string {
	title := textObject(p.get("title"))
	if title == "" {
		title = p.get("alt_text").string()
	}
	address := p.get("image_url").string()
	for _, other := range []string{"title_url", "video_url"} {
		if address == "" {
			address = p.get(other).string()
		}
	}
	if address == "" {
		address = p.get("slack_file").get("url").string()
	}
	return withAddress(title, address)
}

// tableCells returns the cells of a row, each in one line.
func tableCells(row node) []string {
	var cells []string
	for _, cell := range row.list() {
		content := cell.string()
		if cell.get("type").string() == "rich_text" {
			content = richText(cell.get("elements").list())
		}
		cells = append(cells, cellText.Replace(content))
	}
	return cells
}

var cellText = strings.NewReplacer("\n", " ", "|", "\\|")

// withAddress returns a label with the address that it stands for.
func withAddress(label, address string) string {
	switch {
	case address == "", label == address:
		return label
	case label == "":
		return address
	}
	return label + " (" + address + ")"
}

// wordy are the fields that hold words for people in whatever has them.
var wordy = map[string]bool{
	"text": true, "title": true, "value": true, "label": true, "fallback": true, "pretext": true, "alt_text": true,
	"message": true, "content": true, "description": true, "summary": true, "body": true, "subject": true,
	"name": true, "hint": true, "markdown_text": true, "subtitle": true,
}

// collect adds every text for people that a value has, in order: what no rule
// knows must not be lost. Scalars count if the field that they are in is wordy.
func collect(l *lines, n node, isWordy bool) {
	if n.kind == text && isWordy {
		l.add(fromMrkdwn(n.text))
	}
	for i, item := range n.items {
		collect(l, item, n.kind == array && isWordy || n.kind == object && wordy[strings.ToLower(n.names[i])])
	}
}
