package files

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/clipperhouse/uax29/v2/graphemes"
	"golang.org/x/text/unicode/norm"
)

// Limits of names, in bytes.
const (
	MaxName      = 255 // what common file systems take
	maxExtension = 32  // a longer one is cut like the rest of a name
)

// maxMarks is how many marks a character keeps. No language needs as many, and normalization
// separates 30 of them with an invisible character.
const maxMarks = 8

// noName is the name of a file without one.
const noName = "file"

// forbidden are characters that file systems of Windows do not take in a name.
const forbidden = `<>:"|?*`

// reserved are names of devices on Windows, whatever their extension.
var reserved = []string{"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "COM", "LPT"}

// CleanName makes a name that is safe to show, to put into a header and to give to a file,
// from one that somebody has sent, which may be any bytes. It is the last element of a
// path with / or \, in NFC, of at most MaxName bytes without a part of a character, and
// keeps its extension. It has no control, bidirectional, zero-width or other invisible
// characters, no more than 8 marks on a character, no space but U+0020, no dot or space at the beginning or end, none of
// <>:"|?*, and is no name of a device on Windows. If nothing is left, it is "file".
// A clean name stays as it is.
func CleanName(sent string) string {
	name := strings.ToValidUTF8(sent, "_")
	name = strings.TrimRight(name, `/\`)
	name = name[strings.LastIndexAny(name, `/\`)+1:]
	name = norm.NFC.String(fewMarks(strings.Map(cleanRune, name)))
	name = trimName(name)
	if isDevice(name) {
		name = "_" + name
	}
	name = cutName(name)
	if name == "" {
		return noName
	}
	return name
}

// fewMarks drops marks on a character beyond maxMarks.
func fewMarks(name string) string {
	marks := 0
	return strings.Map(func(r rune) rune {
		if marks++; !unicode.Is(unicode.M, r) {
			marks = 0
		}
		if marks > maxMarks {
			return -1
		}
		return r
	}, name)
}

// cleanRune returns what takes the place of a character in a name; below zero nothing.
func cleanRune(r rune) rune {
	switch {
	case strings.ContainsRune(forbidden, r):
		return '_'
	case r == ' ' || unicode.Is(unicode.Zs, r):
		return ' '
	case unicode.IsControl(r), unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co,
		unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector, unicode.Noncharacter_Code_Point):
		return -1
	case r == '\u2800', r == '\u034f': // the empty Braille pattern, the grapheme joiner
		return -1
	}
	return r
}

// trimName removes dots and spaces at both ends.
func trimName(name string) string { return strings.Trim(name, ". ") }

// isDevice reports whether Windows takes a name for that of a device.
func isDevice(name string) bool {
	stem, _, _ := strings.Cut(name, ".")
	stem = strings.ToUpper(strings.TrimRight(stem, " "))
	if slices.Contains(reserved[:6], stem) {
		return true
	}
	number, size := utf8.DecodeLastRuneInString(stem)
	return strings.ContainsRune("0123456789¹²³", number) && slices.Contains(reserved[6:], stem[:len(stem)-size])
}

// cutName cuts a name to MaxName bytes in front of its extension.
func cutName(name string) string {
	if len(name) <= MaxName {
		return name
	}
	extension := ""
	if dot := strings.LastIndexByte(name, '.'); dot > 0 && len(name)-dot <= maxExtension {
		extension = name[dot:]
	}
	stem := strings.TrimRight(cutText(name[:len(name)-len(extension)], MaxName-len(extension)), ". ")
	return trimName(stem + extension)
}

// cutText returns as many whole characters of a text as fit into some bytes, or whole code
// points if the first character does not fit.
func cutText(text string, size int) string {
	end := 0
	for g := graphemes.FromString(text); g.Next(); {
		if end+len(g.Value()) > size {
			break
		}
		end += len(g.Value())
	}
	if end > 0 {
		return text[:end]
	}
	for end = min(size, len(text)); end > 0 && !utf8.RuneStart(text[end]); end-- {
	}
	return text[:end]
}

// Disposition returns a Content-Disposition (RFC 6266) with a name, which it cleans:
// filename in ASCII, and filename* (RFC 8187) if that is not the whole name.
func Disposition(inline bool, name string) string {
	name = CleanName(name)
	var b strings.Builder
	b.WriteString("attachment")
	if inline {
		b.Reset()
		b.WriteString("inline")
	}
	b.WriteString(`; filename="`)
	plain := true
	for _, r := range name {
		// Some browsers decode %41 in a plain filename.
		if r >= utf8.RuneSelf || r == '%' || r == '\\' || r == '"' {
			plain, r = false, '_'
		}
		b.WriteRune(r)
	}
	b.WriteByte('"')
	if !plain {
		b.WriteString("; filename*=UTF-8''")
		for i := range len(name) {
			writeExtended(&b, name[i])
		}
	}
	return b.String()
}

// writeExtended writes a byte of an ext-value of RFC 8187, section 3.2.1.
func writeExtended(b *strings.Builder, c byte) {
	const digits = "0123456789ABCDEF"
	if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$&+-.^_`|~", c) >= 0 {
		b.WriteByte(c)
		return
	}
	b.WriteByte('%')
	b.WriteByte(digits[c>>4])
	b.WriteByte(digits[c&15])
}
