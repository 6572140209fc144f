package wire

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// chars are the types that can be appended as JSON strings.
type chars interface{ string | []byte }

func appendType(dst []byte, t Type) []byte {
	dst = append(dst, `{"type":"`...)
	dst = append(dst, t.String()...)
	return append(dst, '"')
}

func appendRoom(dst []byte, room string) []byte {
	dst = append(dst, `,"room":`...)
	return appendString(dst, room)
}

// appendField appends a comma, the name of a field and a colon.
func appendField(dst []byte, f field) []byte {
	dst = append(dst, ',', '"')
	dst = append(dst, fieldNames[f]...)
	return append(dst, '"', ':')
}

func appendText(dst []byte, f field, s string) []byte {
	return appendString(appendField(dst, f), s)
}

// appendNonEmpty appends a field that is absent if its value is empty.
func appendNonEmpty(dst []byte, f field, s string) []byte {
	if s == "" {
		return dst
	}
	return appendText(dst, f, s)
}

func appendTexts(dst []byte, f field, list []string) []byte {
	return appendStrings(appendField(dst, f), list)
}

func appendCount(dst []byte, f field, n uint64) []byte {
	return strconv.AppendUint(appendField(dst, f), n, 10)
}

// appendPositive appends a field that is absent if its value is 0.
func appendPositive(dst []byte, f field, n uint64) []byte {
	if n == 0 {
		return dst
	}
	return appendCount(dst, f, n)
}

func appendBool(dst []byte, f field, b bool) []byte {
	return strconv.AppendBool(appendField(dst, f), b)
}

func appendMore(dst []byte, more bool) []byte { return appendBool(dst, fMore, more) }

func appendStrings(dst []byte, list []string) []byte {
	dst = append(dst, '[')
	for i, s := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, s)
	}
	return append(dst, ']')
}

// appendEnd appends the ref, which is the last field of every frame, and the end.
func appendEnd[S chars](dst []byte, ref S, hasRef bool) []byte {
	if hasRef {
		dst = append(dst, `,"ref":`...)
		dst = appendString(dst, ref)
	}
	return append(dst, '}', '\n')
}

// appendString appends a JSON string. It escapes only quotes, backslashes and
// control characters (RFC 8259, section 7). It replaces invalid UTF-8 with U+FFFD,
// so the line is always valid.
func appendString[S chars](dst []byte, s S) []byte {
	start := len(dst)
	dst = append(dst, '"')
	plain := 0 // s[plain:i] needs no escapes
	ascii := true
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= utf8.RuneSelf {
			ascii = false
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[plain:i]...)
		dst = appendEscape(dst, c)
		plain = i + 1
	}
	if !ascii && !isUTF8(s) {
		return appendString(dst[:start], strings.ToValidUTF8(string(s), "\ufffd"))
	}
	dst = append(dst, s[plain:]...)
	return append(dst, '"')
}

func isUTF8[S chars](s S) bool {
	for i := 0; i < len(s); {
		if s[i] < utf8.RuneSelf {
			i++
			continue
		}
		return utf8.ValidString(string(s[i:]))
	}
	return true
}

func appendEscape(dst []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\t':
		return append(dst, '\\', 't')
	case '\r':
		return append(dst, '\\', 'r')
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	}
	return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}

// appendTime appends a time as a JSON string: RFC 3339, UTC, milliseconds. It
// clamps years to the range of the format, 0 to 9999.
func appendTime(dst []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	year = min(max(year, 0), 9999)
	hour, minute, second := t.Clock()
	dst = append(dst, '"')
	dst = appendDigits(dst, year, 4)
	dst = append(dst, '-')
	dst = appendDigits(dst, int(month), 2)
	dst = append(dst, '-')
	dst = appendDigits(dst, day, 2)
	dst = append(dst, 'T')
	dst = appendDigits(dst, hour, 2)
	dst = append(dst, ':')
	dst = appendDigits(dst, minute, 2)
	dst = append(dst, ':')
	dst = appendDigits(dst, second, 2)
	dst = append(dst, '.')
	dst = appendDigits(dst, t.Nanosecond()/1e6, 3)
	return append(dst, 'Z', '"')
}

func appendDigits(dst []byte, n, width int) []byte {
	var digits [4]byte
	for i := width - 1; i >= 0; i-- {
		digits[i] = byte('0' + n%10)
		n /= 10
	}
	return append(dst, digits[:width]...)
}
