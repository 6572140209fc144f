package display

import "fmt"

type number interface{ ~int | ~int64 | ~uint64 }

// Count writes a number of things: "1 room", "2 rooms".
func Count[T number](n T, one string, many ...string) string {
	return fmt.Sprintf("%d %s", n, Noun(n, one, many...))
}

// Noun returns the words for n things. Without those for many, an s makes them of those for
// one.
func Noun[T number](n T, one string, many ...string) string {
	switch {
	case n == 1:
		return one
	case len(many) > 0:
		return many[0]
	}
	return one + "s"
}
