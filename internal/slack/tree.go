package slack

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// object is a JSON object with its fields in order.
type object []field

type field struct {
	name  string
	value any // string, json.Number, bool, nil, []any or object
}

// get returns the value of a field, or nil.
func (o object) get(name string) any {
	for _, f := range o {
		if f.name == name {
			return f.value
		}
	}
	return nil
}

// maxDepth is the maximum nesting. Slack's layouts have a dozen levels. Deeper
// values count as null.
const maxDepth = 64

var errNotUTF8 = errors.New("the message is not UTF-8")

// parseJSON parses a value. It rejects input that encoding/json silently accepts:
// duplicate names in an object, bytes that are not UTF-8, lone surrogates.
func parseJSON(text []byte) (any, error) {
	if !utf8.Valid(text) {
		return nil, errNotUTF8
	}
	if !json.Valid(text) {
		var v json.RawMessage
		return nil, fmt.Errorf("not a message in Slack's format: %w", json.Unmarshal(text, &v))
	}
	if position, ok := loneSurrogate(text); ok {
		return nil, fmt.Errorf("not a message in Slack's format: half a surrogate pair at byte %d", position)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	return parseValue(decoder, 0)
}

func parseValue(decoder *json.Decoder, depth int) (any, error) {
	token, err := decoder.Token()
	if err != nil {
		return nil, fmt.Errorf("not a message in Slack's format: %w", err)
	}
	delim, ok := token.(json.Delim)
	if !ok {
		return token, nil
	}
	if depth++; depth > maxDepth {
		return nil, skip(decoder)
	}
	if delim == '{' {
		return parseObject(decoder, depth)
	}
	list := []any{}
	for decoder.More() {
		v, err := parseValue(decoder, depth)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	_, err = decoder.Token() // the end
	return list, err
}

// skip reads the rest of an open object or list.
func skip(decoder *json.Decoder) error {
	for open := 1; open > 0; {
		token, err := decoder.Token()
		if err != nil {
			return fmt.Errorf("not a message in Slack's format: %w", err)
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			open++
		case json.Delim('}'), json.Delim(']'):
			open--
		}
	}
	return nil
}

func parseObject(decoder *json.Decoder, depth int) (any, error) {
	o := object{}
	seen := make(map[string]bool)
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		name, _ := token.(string)
		if seen[name] {
			return nil, fmt.Errorf("not a message in Slack's format: %.40q is duplicated", name)
		}
		seen[name] = true
		v, err := parseValue(decoder, depth)
		if err != nil {
			return nil, err
		}
		o = append(o, field{name, v})
	}
	_, err := decoder.Token() // the end
	return o, err
}

// loneSurrogate finds an escaped lone surrogate in valid JSON.
func loneSurrogate(text []byte) (position int, found bool) {
	unit := func(i int) rune {
		if i+6 > len(text) || text[i] != '\\' || text[i+1] != 'u' {
			return 0
		}
		n, _ := strconv.ParseUint(string(text[i+2:i+6]), 16, 16)
		return rune(n)
	}
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		r := unit(i)
		switch {
		case r == 0: // another escape, or U+0000
			i++
		case !utf16.IsSurrogate(r):
			i += 5
		case utf16.DecodeRune(r, unit(i+6)) == utf8.RuneError:
			return i, true
		default:
			i += 11
		}
	}
	return 0, false
}
