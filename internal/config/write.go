package config

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"
)

// column is where comments are wrapped.
const column = 92

// Kind is how a value is written.
type Kind int

// The kinds of values.
const (
	Text Kind = iota // a string
	Bare             // a number or a boolean
	List             // strings
)

// Key describes a key for Write.
type Key struct {
	Name    string // with a dot if it is one of a table
	Help    string
	Kind    Kind
	Default []string // one, or the elements of a list
}

// table is the name of the key's table, or "".
func (k *Key) table() string {
	i := strings.LastIndexByte(k.Name, '.')
	return k.Name[:max(i, 0)]
}

// Write returns the text of a file that has all keys with their defaults, each below
// its help. Tables keep the order of their first keys, and the keys theirs; the keys of
// no table come first. The intro begins the file; tables has what is said of a table.
func Write(intro string, tables map[string]string, keys []Key) []byte {
	var order []string
	of := make(map[string][]Key)
	for _, k := range keys {
		name := k.table()
		if of[name] == nil && name != "" {
			order = append(order, name)
		}
		of[name] = append(of[name], k)
	}
	var out bytes.Buffer
	comment(&out, intro)
	for _, name := range append([]string{""}, order...) {
		if name != "" {
			out.WriteByte('\n')
			comment(&out, tables[name])
			out.WriteString("[" + name + "]\n")
		}
		for _, k := range of[name] {
			out.WriteByte('\n')
			comment(&out, k.Help)
			out.WriteString(strings.TrimPrefix(k.Name, name+".") + " = " + k.value() + "\n")
		}
	}
	return out.Bytes()
}

// value is the default as TOML.
func (k *Key) value() string {
	quoted := make([]string, len(k.Default))
	for i, text := range k.Default {
		quoted[i] = quote(text)
	}
	switch {
	case k.Kind == List:
		return "[" + strings.Join(quoted, ", ") + "]"
	case len(k.Default) == 0:
		return `""`
	case k.Kind == Bare:
		return k.Default[0]
	}
	return quoted[0]
}

// quote writes a string. TOML has those escapes of Go that are not of single bytes.
func quote(text string) string { return strconv.Quote(strings.ToValidUTF8(text, "\ufffd")) }

// comment writes text as lines of at most column characters, if the words allow.
func comment(out *bytes.Buffer, text string) {
	for paragraph := range strings.SplitSeq(text, "\n") {
		length := 0
		for word := range strings.FieldsSeq(paragraph) {
			n := 1 + utf8.RuneCountInString(word)
			switch {
			case length == 0:
				out.WriteByte('#')
				length = 1
			case length+n > column:
				out.WriteString("\n#")
				length = 1
			}
			out.WriteByte(' ')
			out.WriteString(word)
			length += n
		}
		switch {
		case length > 0:
			out.WriteByte('\n')
		case text != "":
			out.WriteString("#\n")
		}
	}
}
