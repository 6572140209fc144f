package account

import (
	"strconv"
	"strings"

	"kaban"
	"kaban/internal/people"
	"kaban/internal/store"
)

// maxNumbered is the greatest number that makes a name free.
const maxNumbered = 99

// freeName returns a username for a new account from what a provider claims: the part
// before the first "@", with "-" for whatever a username must not have, and "member" if
// nothing is left. If an account has that name, or one that looks like it, or nobody may
// have it, "-2" to "-99" is added, and then random letters.
func freeName(tx store.Tx, claimed string) (kaban.Username, error) {
	base := validName(claimed)
	for n := 1; ; n++ {
		suffix := ""
		switch {
		case n > maxNumbered:
			suffix = "-" + newID()[:8]
		case n > 1:
			suffix = "-" + strconv.Itoa(n)
		}
		name, err := kaban.ParseUsername(cutName(base, kaban.MaxUsername-len(suffix)) + suffix)
		if err != nil {
			return name, err
		}
		if kaban.IsReserved(name) {
			continue
		}
		alike, err := people.Accounts.Like(tx, name, 1)
		if err != nil || len(alike) == 0 {
			return name, err
		}
	}
}

// validName returns a valid username that is as close to a text as the rule of freeName
// permits.
func validName(s string) string {
	s, _, _ = strings.Cut(s, "@")
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n == kaban.MaxUsername {
			break
		}
		if _, err := kaban.ParseUsername("a" + string(r) + "a"); err != nil {
			r = '-'
		}
		b.WriteRune(r)
		n++
	}
	name := strings.Trim(b.String(), "-.")
	if parsed, err := kaban.ParseUsername(name); err == nil {
		return parsed.String()
	}
	return "member"
}

// cutName returns at most n code points of a name, so that something can be added.
func cutName(name string, n int) string {
	runes := []rune(name)
	if len(runes) > n {
		runes = runes[:n]
	}
	return strings.TrimRight(string(runes), "-.")
}
