// Package search defines what a full-text search finds, independent of any database:
// the terms of a text, the query that a person types, and the part of a hit to show.
//
// A text is folded first: NFKC, then case and accents, so that "Ｃａｆé" is "cafe". Its terms
// are the runs of letters, digits and combining marks; everything else separates. They are
// words as in UAX #29, with one difference: its connectors, such as those in foo_bar, v1.2.3
// and can't, separate too. A word of a query that has several terms is therefore a
// phrase: issue-123 finds issue and 123 next to each other, and 123 alone finds it too.
// Markup, addresses and code need no rules of their own.
//
// Scripts without blanks between words, and Korean, whose words carry their particles, are
// indexed as overlapping pairs of characters, and each run ends with its last character
// alone: 東京都 is 東京, 京都, 都. So a text of two or more characters is found as a phrase
// of its pairs, and one character as the prefix of a term. Other scripts find whole words,
// or prefixes with word*. Nothing finds emoji or punctuation.
//
// An index that keeps the terms in order, and can look up phrases with an open end, finds
// exactly what Query.Matches reports.
//
// All functions are pure, accept any string, and take time linear in a text. Queries are
// immutable once parsed: any number of goroutines may use one.
package search

// The limits, which bound the work and the index.
const (
	// MaxTerm is the longest term in bytes. The rest of a longer word is ignored, in
	// texts and in queries, so that it is still found: a SHA-512 in hexadecimal fits.
	MaxTerm = 128
	// MaxTerms is the number of terms of a text; later ones are not found. A content
	// of the default maximum length never has more, unless it expands in NFKC.
	MaxTerms = 10_000
	// MaxQuery is the longest query in bytes.
	MaxQuery = 1024
	// MaxParts is the number of words, phrases and operators of a query.
	MaxParts = 32
	// MinPrefix is the number of code points that word* must have before its star.
	MinPrefix = 2
)
