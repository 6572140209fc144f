package account

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"sort"
	"strings"

	"golang.org/x/text/cases"
)

// commonest has the fingerprints of the 20,000 commonest passwords of at least
// MinPassword bytes, in lower case, ascending. See TestCommonest for where they come
// from. Fingerprints suffice, are smaller than the words, and keep other people's
// passwords out of the source.
//
//go:embed commonest.bin
var commonest []byte

// fingerprintSize is the length of a fingerprint: the first bytes of the SHA-256. One
// password in 50 million is taken for a common one by mistake.
const fingerprintSize = 5

func fingerprint(password string) []byte {
	sum := sha256.Sum256([]byte(strings.ToLower(password)))
	return sum[:fingerprintSize]
}

// isCommon reports whether a password is one of the commonest, in upper or lower
// case.
func isCommon(password string) bool {
	want := fingerprint(password)
	at := func(i int) []byte { return commonest[i*fingerprintSize : (i+1)*fingerprintSize] }
	n := len(commonest) / fingerprintSize
	i := sort.Search(n, func(i int) bool { return bytes.Compare(at(i), want) >= 0 })
	return i < n && bytes.Equal(at(i), want)
}

// minDistinct is the least number of different characters in a password.
const minDistinct = 5

// checkPassword returns a new password in the form in which it is hashed, or a
// *WeakPasswordError. It asks for no kinds of characters, as NIST SP 800-63B
// recommends.
func checkPassword(username, password string) (prepared string, err error) {
	switch prepared, ok := prepare(password); {
	case len(password) > MaxPassword || ok && len(prepared) > MaxPassword:
		return "", &WeakPasswordError{"it has more than 1,024 bytes"}
	case !ok && password != "":
		return "", &WeakPasswordError{"it has a character that no keyboard types the same way everywhere"}
	case len(prepared) < MinPassword:
		return "", &WeakPasswordError{"it has fewer than 10 bytes"}
	case isCommon(prepared):
		return "", &WeakPasswordError{"it is one of the commonest"}
	case isRegular(prepared):
		return "", &WeakPasswordError{"it repeats itself, or follows the alphabet or the keyboard"}
	case isName(username, prepared):
		return "", &WeakPasswordError{"it is the username with a few characters more"}
	default:
		return prepared, nil
	}
}

// runs are the orders in which people type characters without thinking.
var runs = []string{
	"abcdefghijklmnopqrstuvwxyz", "01234567890123456789", "qwertyuiopasdfghjklzxcvbnm",
	"qwertzuiopasdfghjklyxcvbnm", "azertyuiopqsdfghjklmwxcvbn",
}

// isRegular reports whether a password has few different characters, repeats a short
// part, or follows a run, forward or backward.
func isRegular(password string) bool {
	lower := strings.ToLower(password)
	distinct := make(map[rune]bool)
	for _, c := range lower {
		distinct[c] = true
	}
	if len(distinct) < minDistinct {
		return true
	}
	for period := 1; period <= len(lower)/2; period++ {
		if strings.HasPrefix(lower[period:]+lower[:period], lower[:len(lower)-period]) &&
			strings.Repeat(lower[:period], len(lower)/period+1)[:len(lower)] == lower {
			return true
		}
	}
	for _, run := range runs {
		if strings.Contains(run+run, lower) || strings.Contains(reversed(run+run), lower) {
			return true
		}
	}
	return false
}

func reversed(s string) string {
	b := []byte(s)
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
	return string(b)
}

// maxBesideName is how many characters beside the username are too few.
const maxBesideName = 4

// isName reports whether a password is little more than the username.
func isName(username, password string) bool {
	fold := cases.Fold()
	name, folded := fold.String(username), fold.String(password)
	if len(name) < 3 {
		return false
	}
	rest := strings.ReplaceAll(folded, name, "")
	return len(rest) < len(folded) && len(rest) <= maxBesideName
}
