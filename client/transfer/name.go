package transfer

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxCleanName bounds a name in bytes, so that every file system takes it, with something behind it.
const maxCleanName = 200

// reserved are names that mean devices on Windows, with any ending.
var reserved = map[string]bool{
	"con": true, "prn": true, "aux": true, "nul": true,
	"com1": true, "com2": true, "com3": true, "com4": true, "com5": true, "com6": true, "com7": true, "com8": true, "com9": true,
	"lpt1": true, "lpt2": true, "lpt3": true, "lpt4": true, "lpt5": true, "lpt6": true, "lpt7": true, "lpt8": true, "lpt9": true,
}

// CleanName returns a name under which a file can be saved in a directory: what is after the last
// slash or backslash, without characters that control a terminal or the direction of text, or that
// a file system does not take, and without dots at its beginning, which hide files. If nothing is
// left it returns the fallback.
func CleanName(name, fallback string) string {
	if at := strings.LastIndexAny(name, `/\`); at >= 0 {
		name = name[at+1:]
	}
	name = strings.Map(func(c rune) rune {
		switch {
		case c == utf8.RuneError, unicode.In(c, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co):
			return -1
		case strings.ContainsRune(`<>:"|?*`, c):
			return '_'
		case unicode.IsSpace(c):
			return ' '
		}
		return c
	}, name)
	name = strings.TrimRight(strings.TrimLeft(name, ". "), ". ")
	stem, _, _ := strings.Cut(name, ".")
	if reserved[strings.ToLower(strings.TrimSpace(stem))] {
		name = "_" + name
	}
	if name = shorten(name); name == "" {
		return fallback
	}
	return name
}

// shorten cuts a name in front of its ending.
func shorten(name string) string {
	if len(name) <= maxCleanName {
		return name
	}
	ending := ""
	if at := strings.LastIndexByte(name, '.'); at > 0 && len(name)-at <= 20 {
		name, ending = name[:at], name[at:]
	}
	name = name[:maxCleanName-len(ending)]
	for !utf8.ValidString(name) {
		name = name[:len(name)-1]
	}
	return strings.TrimRight(name, ". ") + ending
}
