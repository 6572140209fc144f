package slack

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// number returns the non-negative integer in a value, or 0.
func number(v any) int {
	n, err := strconv.Atoi(str(v))
	if err != nil || n < 0 || n > 1_000_000 {
		return 0
	}
	return n
}

// emoji converts code points such as "1f44b-1f3fb" to an emoji. Without them it
// returns the name between colons.
func emoji(name, unicode string) string {
	var b strings.Builder
	for part := range strings.SplitSeq(unicode, "-") {
		r, err := strconv.ParseUint(part, 16, 21)
		if err != nil || !utf8.ValidRune(rune(r)) {
			return ":" + name + ":"
		}
		b.WriteRune(rune(r))
	}
	return clean(b.String())
}
