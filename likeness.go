package kaban

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ergochat/confusables"
	"golang.org/x/text/cases"
	"golang.org/x/text/language"
	"golang.org/x/text/unicode/norm"
)

// Likenesses returns the readings of a name, 1 to 6 strings. Two names conflict if
// they have a reading in common: equal names do, and so do names that people take
// for one another. The readings are the skeleton (Unicode TR 39) of each spelling
// (as it is, lower, upper and folded case), the key, and the folded form of what
// the name looks like as it is spelled.
//
// Keys alone do not find all conflicts, since folding case comes first there: a
// capital I looks like a small l, but folded it is an i. Conflicting is symmetric
// and not transitive, so no single key could stand for it: aIice conflicts with
// alice by its look and with aiice by its letters, and those two are different
// names.
func (u Username) Likenesses() []string {
	name := u.name
	looks := skeleton(name)
	readings := []string{u.key}
	add := func(reading string) {
		for _, known := range readings {
			if known == reading {
				return
			}
		}
		readings = append(readings, reading)
	}
	add(looks)
	if !isCapitals(name, looks) {
		add(fold(looks))
	}
	add(skeleton(toLower(name)))
	add(skeleton(toUpper(name)))
	if !isASCII(name) { // otherwise it is the lower case
		add(skeleton(cases.Fold().String(name)))
	}
	return readings
}

// Likeness returns the reading of a room's name in capitals. A room cannot be made
// if there is one of another key and the same likeness. The small forms need no
// reading of their own: rooms have no capitals, so they conflict by key.
func (r RoomName) Likeness() string { return skeleton(toUpper(r.name)) }

// isCapitals reports whether a name is read as a word in capitals. There an I is
// read as such and not as a small l: NEIL is not taken for Nell. But AII is, for
// All, because it looks like one capital in front.
func isCapitals(name, looks string) bool {
	if strings.ContainsFunc(name, unicode.IsLower) {
		return false
	}
	_, first := utf8.DecodeRuneInString(looks)
	return strings.ContainsFunc(looks[first:], unicode.IsUpper)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func toLower(name string) string {
	if isASCII(name) {
		return strings.ToLower(name)
	}
	return cases.Lower(language.Und).String(name)
}

func toUpper(name string) string {
	if isASCII(name) {
		return strings.ToUpper(name)
	}
	return cases.Upper(language.Und).String(name)
}

// smallCapitals are letters that look like capitals and are lower case without an
// upper one. TR 39 has them as prototypes of their own, even of Cyrillic letters.
var smallCapitals = strings.NewReplacer(
	"ᴀ", "A", "ʙ", "B", "ᴄ", "C", "ᴅ", "D", "ᴇ", "E", "ꜰ", "F", "ɢ", "G", "ʜ", "H", "ᴊ", "J", "ᴋ", "K", "ĸ", "K", "ʟ", "L",
	"ᴍ", "M", "ɴ", "N", "ᴏ", "O", "ᴘ", "P", "ꞯ", "Q", "ʀ", "R", "ꜱ", "S", "ᴛ", "T", "ᴜ", "U", "ᴠ", "V", "ᴡ", "W", "ʏ", "Y", "ᴢ", "Z",
)

// asciiSkeletons holds the skeleton of each ASCII character that a name can have.
// It is one of them.
var asciiSkeletons = func() (skeletons [utf8.RuneSelf]byte) {
	for c := range skeletons {
		skeletons[c] = skeletonFully(string(rune(c)))[0]
	}
	return skeletons
}()

// skeleton returns the skeleton of TR 39 (without its "m" as "rn") in the case
// that it comes in.
func skeleton(name string) string {
	if !isASCII(name) {
		return skeletonFully(name)
	}
	looks := []byte(name)
	for i, c := range looks {
		looks[i] = asciiSkeletons[c]
	}
	return string(looks)
}

// skeletonFully goes on until nothing changes, as one pass may make what the next
// would change again.
func skeletonFully(name string) string {
	for range 8 {
		next := norm.NFC.String(smallCapitals.Replace(confusables.SkeletonTweaked(name)))
		if next == name {
			break
		}
		name = next
	}
	return name
}
