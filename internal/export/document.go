package export

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"kaban/internal/store"
)

// documentLine is a line of type "document". Exactly one of the last two is there.
type documentLine struct {
	Type   string  `json:"type"`
	Key    string  `json:"key"`
	Value  *string `json:"value,omitempty"`
	Base64 *[]byte `json:"base64,omitempty"`
}

// AppendDocument appends a document as a line.
func AppendDocument(dst []byte, d *store.Document) ([]byte, error) {
	line := documentLine{Type: typeDocument, Key: d.Key}
	if isText(d.Value) {
		text := string(d.Value)
		line.Value = &text
	} else {
		line.Base64 = &d.Value
	}
	out := bytes.NewBuffer(dst)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false) // six bytes for one
	err := encoder.Encode(line)
	return out.Bytes(), err
}

// isText reports whether a value is UTF-8 without control characters of one byte. Their
// escapes have six, so that a line of the largest value would be longer than maxLine;
// those of all other characters have at most three times their bytes.
func isText(value []byte) bool {
	return utf8.Valid(value) && !bytes.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f })
}

func parseDocument(line []byte) (store.Document, error) {
	var parsed documentLine
	if err := decode(line, &parsed); err != nil {
		return store.Document{}, err
	}
	if (parsed.Value == nil) == (parsed.Base64 == nil) {
		return store.Document{}, errors.New("a document has either a value or its base64")
	}
	d := store.Document{Key: parsed.Key}
	if parsed.Value != nil {
		d.Value = []byte(*parsed.Value)
	} else {
		d.Value = *parsed.Base64
	}
	if err := d.Check(); err != nil {
		return store.Document{}, fmt.Errorf("document: %w", err)
	}
	return d, nil
}
