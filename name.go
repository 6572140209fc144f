package kaban

import (
	"cmp"
	"crypto/rand"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ergochat/confusables"
	"golang.org/x/text/cases"
	"golang.org/x/text/secure/precis"
	"golang.org/x/text/unicode/norm"
)

// Username is the name of a person. The zero value is not a valid name.
type Username struct{ name, key string }

// ParseUsername enforces RFC 8265 (PRECIS UsernameCasePreserved: full-width
// forms become narrow, composition NFC, the bidi rule) and then allows only
// letters, marks, decimal digits and "_", "-", ".". A name has 1 to MaxUsername
// code points and at least one letter or digit. It does not start with a mark or
// end with a dot. The error is a *MessageError.
func ParseUsername(s string) (Username, error) {
	name, err := usernameRules.enforce(s)
	if err != nil {
		return Username{}, err
	}
	return Username{name: name, key: fold(name)}, nil
}

// String returns the enforced form, which other people see.
func (u Username) String() string { return u.name }

// Key returns the name with confusable characters, width and case folded. Two
// names with equal keys are the same name.
func (u Username) Key() string { return u.key }

// Looks returns the folded readings of the name: its key first, then the distinct
// readings of its other spellings. Two names look alike if they share a look, such
// as aIice (with a capital i) and alice. Unlike equality of keys, looking alike is
// not transitive, so a look does not identify a user.
func (u Username) Looks() []string { return looks(u.key, u.name, u.name) }

// IsZero reports whether u is the zero value.
func (u Username) IsZero() bool { return u.name == "" }

// RoomName is the name of a room. The zero value is not a valid name. Compare two
// by Key, not with ==: a value remembers the spelling it was parsed from.
type RoomName struct {
	name, key string
	typed     string // the parsed spelling, if it differs from name
}

// ParseRoomName applies the rules of ParseUsername with a limit of MaxRoomName
// code points and maps upper case to lower (PRECIS UsernameCaseMapped). The error
// is a *MessageError.
func ParseRoomName(s string) (RoomName, error) {
	name, err := roomRules.enforce(s)
	if err != nil {
		return RoomName{}, err
	}
	r := RoomName{name: name, key: fold(name)}
	if s != name {
		r.typed = strings.Clone(s)
	}
	return r, nil
}

// directName is the length of the name of a direct room: "@" and 26 characters of
// base32 (RFC 4648, section 6).
const directName = 1 + 26

// ParseAnyRoom is ParseRoomName that also accepts the name of a direct room, as
// NewDirectRoom returns it. Nobody can create a room with such a name.
func ParseAnyRoom(s string) (RoomName, error) {
	if !strings.HasPrefix(s, "@") {
		return ParseRoomName(s)
	}
	if len(s) != directName {
		return RoomName{}, invalidAt(InvalidCharsRoom, 0, '@')
	}
	for i, c := range []byte(s[1:]) {
		if (c < 'a' || c > 'z') && (c < '2' || c > '7') {
			r, _ := utf8.DecodeRuneInString(s[1+i:])
			return RoomName{}, invalidAt(InvalidCharsRoom, 1+i, r)
		}
	}
	return RoomName{name: s, key: s}, nil
}

// NewDirectRoom returns a new name for a direct room: "@" and 128 random bits. It
// says nothing about the people in the room.
func NewDirectRoom() RoomName {
	s := "@" + strings.ToLower(rand.Text())
	return RoomName{name: s, key: s}
}

// IsDirect reports whether this is the name of a direct room.
func (r RoomName) IsDirect() bool { return strings.HasPrefix(r.name, "@") }

// String returns the enforced form.
func (r RoomName) String() string { return r.name }

// Key returns the folded form: two names with equal keys are the same room.
func (r RoomName) Key() string { return r.key }

// Looks returns the folded readings of the name; see Username.Looks. It includes
// readings of the parsed spelling: Iobby (with a capital i) looks like lobby.
func (r RoomName) Looks() []string {
	if r.IsDirect() {
		return []string{r.key}
	}
	return looks(r.key, r.name, cmp.Or(r.typed, r.name))
}

// IsZero reports whether r is the zero value.
func (r RoomName) IsZero() bool { return r.name == "" }

// rules are the differences between usernames and room names.
type rules struct {
	profile                   *precis.Profile
	lower                     bool
	limit                     int
	empty, tooLong, invalidAt MessageErrorKind
}

var (
	usernameRules = rules{precis.UsernameCasePreserved, false, MaxUsername, EmptyUsername, TooLongUsername, InvalidCharsUsername}
	roomRules     = rules{precis.UsernameCaseMapped, true, MaxRoomName, EmptyRoom, TooLongRoom, InvalidCharsRoom}
)

// enforce validates a name and returns the form that is stored and shown.
func (r *rules) enforce(s string) (string, error) {
	if s == "" {
		return "", empty(r.empty)
	}
	if isPlain(s, r.lower) {
		if len(s) > r.limit {
			return "", tooLong(r.tooLong, r.limit, len(s))
		}
		return s, nil
	}
	if n := utf8.RuneCountInString(norm.NFC.String(s)); n > r.limit {
		return "", tooLong(r.tooLong, r.limit, n)
	}
	name, err := r.profile.String(s)
	if err != nil || name == "" {
		position, offender := r.offender(s)
		return "", invalidAt(r.invalidAt, position, offender)
	}
	if n := utf8.RuneCountInString(name); n > r.limit {
		return "", tooLong(r.tooLong, r.limit, n)
	}
	if position, offender, ok := misfit(name); ok {
		return "", invalidAt(r.invalidAt, position, offender)
	}
	return name, nil
}

// isPlain reports whether a name is valid ASCII that enforcement does not change.
func isPlain(s string, lower bool) bool {
	word := false
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c >= 'A' && c <= 'Z' && !lower:
			word = true
		case c == '_', c == '-', c == '.':
		default:
			return false
		}
	}
	return word && s[len(s)-1] != '.'
}

// misfit returns the first code point that is not allowed at its position in an
// enforced name.
func misfit(name string) (position int, offender rune, found bool) {
	word := false
	var last rune
	for _, c := range name {
		switch {
		case unicode.IsLetter(c), unicode.Is(unicode.Nd, c):
			word = true
		case unicode.IsMark(c) && position > 0, c == '_', c == '-', c == '.':
		default:
			return position, c, true
		}
		position++
		last = c
	}
	if !word || last == '.' {
		return position - 1, last, true
	}
	return 0, 0, false
}

// offender finds the code point that makes the profile reject a name: the first
// that it rejects on its own, or else the first that is not ASCII. Only the bidi
// and context rules look at more than one code point.
func (r *rules) offender(s string) (position int, offender rune) {
	suspect, at := rune(-1), 0
	for _, c := range s {
		if c == utf8.RuneError {
			return position, c
		}
		if _, err := r.profile.String("a" + string(c)); err != nil {
			if _, err := r.profile.String(string(c)); err != nil {
				return position, c
			}
		}
		if suspect < 0 && c >= utf8.RuneSelf {
			suspect, at = c, position
		}
		position++
	}
	if suspect < 0 {
		suspect, at = firstRune(s), 0
	}
	return at, suspect
}

func firstRune(s string) rune {
	c, _ := utf8.DecodeRuneInString(s)
	return c
}

// asciiFolds maps each ASCII character allowed in names to its folded form, and
// all others to 0. Nearly all names are ASCII, which folds one character at a
// time.
var asciiFolds = func() (folds [256]byte) {
	for _, c := range []byte("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") {
		folds[c] = foldFully(string(rune(c)))[0]
	}
	return folds
}()

// fold maps names that people confuse with each other to the same string.
func fold(name string) string {
	folded := make([]byte, len(name))
	for i := range len(name) {
		if folded[i] = asciiFolds[name[i]]; folded[i] == 0 {
			return foldFully(name)
		}
	}
	if string(folded) == name { // many are, and a connection keeps its name for long
		return name
	}
	return string(folded)
}

// foldFully returns the case-folded skeleton of Unicode TR 39, without its mapping
// of "m" to "rn". The result of one pass may change in the next, so it repeats
// until the name is stable.
func foldFully(name string) string {
	for range 8 {
		next := norm.NFC.String(cases.Fold().String(confusables.SkeletonTweaked(cases.Fold().String(name))))
		if next == name {
			break
		}
		name = next
	}
	return name
}

// looks returns the key of a name, followed by the readings of the spelling that
// was typed and of the name in upper case. The upper case matters because the
// table of Unicode TR 39 maps the Cyrillic В to B but has no such entry for в.
func looks(key, name, typed string) []string {
	all := []string{key}
	add := func(look string) {
		if look = foldFully(look); !slices.Contains(all, look) {
			all = append(all, look)
		}
	}
	shown := confusables.SkeletonTweaked(typed)
	foreign := strings.ContainsFunc(typed, func(c rune) bool { return c >= utf8.RuneSelf })
	capitals := isCapitals(strings.ReplaceAll(typed, "l", ""), shown)
	if foreign || strings.Contains(typed, "I") && !capitals {
		add(shown)
	}
	if capitals && strings.Contains(shown, "l") { // an I, a 1 or a small l between capitals
		add(strings.NewReplacer("l", "i", "1", "i").Replace(typed))
		all = append(all, shown) // not folded: it matches only in the same case
	}
	if foreign {
		for _, reading := range readings(norm.NFC.String(name)) {
			add(reading)
		}
		add(confusables.SkeletonTweaked(strings.ToUpper(name)))
	}
	return all
}

// maxReadings bounds the readings of a name. A name has more only if several of
// its letters are ambiguous, which does not happen in real languages.
const maxReadings = 16

// readings returns the ASCII words that a name can be read as. Each letter outside
// ASCII counts as the letter it resembles in lower case and the one it resembles in
// upper case. They may differ: ν resembles v, and N in upper case; ӏ is i in the
// table and l to the eye. Beyond maxReadings only the first of the two counts.
func readings(name string) []string {
	all := []string{""}
	for _, c := range name {
		alternatives := []rune{preferLower(c)}
		if c >= utf8.RuneSelf {
			if upper := asciiLook(unicode.ToUpper(c)); upper != 0 && unicode.ToLower(upper) != alternatives[0] {
				alternatives = append(alternatives, unicode.ToLower(upper))
			}
		}
		if len(all)*len(alternatives) > maxReadings {
			alternatives = alternatives[:1]
		}
		var next []string
		for _, begun := range all {
			for _, alternative := range alternatives {
				next = append(next, begun+string(alternative))
			}
		}
		all = next
	}
	return all
}

// isCapitals reports whether a name with a certain look reads as a word in
// capitals. In such a word an I is not an l: NEIL does not look like Nell, nor ALI
// like all. AII does look like All, which has only its first letter in upper case.
func isCapitals(name, look string) bool {
	if strings.ContainsFunc(name, unicode.IsLower) {
		return false
	}
	_, first := utf8.DecodeRuneInString(look)
	return strings.ContainsFunc(look[first:], unicode.IsUpper)
}

// preferLower returns the ASCII letter that c resembles in lower case, or else in
// upper case, or else c itself.
func preferLower(c rune) rune {
	if lower := asciiLook(unicode.ToLower(c)); lower != 0 {
		return lower
	}
	if upper := asciiLook(unicode.ToUpper(c)); upper != 0 {
		return unicode.ToLower(upper)
	}
	return c
}

// smallCapitals maps the small capitals that TR 39 distinguishes from capitals.
var smallCapitals = map[rune]rune{
	'ᴀ': 'A', 'ʙ': 'B', 'ᴅ': 'D', 'ᴇ': 'E', 'ꜰ': 'F', 'ɢ': 'G', 'ʜ': 'H', 'ᴊ': 'J', 'ᴋ': 'K', 'ʟ': 'L', 'ᴍ': 'M',
	'ɴ': 'N', 'ᴘ': 'P', 'ꞯ': 'Q', 'ʀ': 'R', 'ᴛ': 'T', 'ʏ': 'Y',
}

// asciiLook returns the ASCII letter that a character resembles, or 0.
func asciiLook(c rune) rune {
	if capital := smallCapitals[c]; capital != 0 {
		return capital
	}
	look := confusables.SkeletonTweaked(string(c))
	if len(look) != 1 || look[0] >= utf8.RuneSelf {
		return 0
	}
	return rune(look[0])
}
