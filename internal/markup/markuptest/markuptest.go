// Package markuptest has the tests that both implementations of the markup share:
// a table of cases, random contents, and a readable notation for the structure of
// a content. The page's tests are in e2e/browser.
package markuptest

import (
	_ "embed"
	"encoding/json"
	"math/rand/v2"
	"strings"

	"kaban/internal/markup"
)

// Table has the cases that both must pass.
type Table struct {
	Markup   []*Case       `json:"markup"`
	Mentions []MentionCase `json:"mentions"`
}

// Case is a content and its structure in the notation of Spell.
type Case struct {
	Name  string `json:"name"`
	In    string `json:"in"`
	Times int    `json:"times,omitempty"` // number of repetitions of In; 0 is one
	Out   string `json:"out"`
}

// Content returns the input of the parser.
func (c *Case) Content() string { return strings.Repeat(c.In, max(c.Times, 1)) }

// MentionCase is a case of whether a content mentions a name.
type MentionCase struct {
	In   string `json:"in"`
	Name string `json:"name"`
	Want bool   `json:"want"`
}

//go:embed cases.json
var cases []byte

// Cases returns the table.
func Cases() (all Table, err error) {
	err = json.Unmarshal(cases, &all)
	return all, err
}

// Spell writes lines in a readable notation: ⟦**⟧ is a mark, ⟨b:text⟩ is bold
// text, ⟪quote 1⟫ is the structure that a line is part of. The letters are b, i
// and s for emphasis, c for code, a for an address, m for a mention, l for a
// language.
func Spell(lines []markup.Line) string {
	var b strings.Builder
	for n, l := range lines {
		if n > 0 {
			b.WriteByte('\n')
		}
		if kind := [...]string{markup.Block: "block", markup.Head: "head", markup.Rule: "rule", markup.Row: "row"}[l.Kind]; kind != "" {
			b.WriteString("⟪" + kind + "⟫")
		}
		if l.Quote > 0 {
			b.WriteString("⟪quote " + string(rune('0'+l.Quote)) + "⟫")
		}
		for _, s := range l.Spans {
			flags := ""
			for bit, flag := range "biscaml" {
				if s.Style&(1<<bit) != 0 {
					flags += string(flag)
				}
			}
			switch {
			case s.Mark:
				b.WriteString("⟦" + s.Text + "⟧")
			case flags != "":
				b.WriteString("⟨" + flags + ":" + s.Text + "⟩")
			default:
				b.WriteString(s.Text)
			}
		}
	}
	return b.String()
}

// pieces are the building blocks of random contents.
var pieces = []string{
	"a", "b1", "ä", "你", "é", "\u0301", "🎉", " ", "  ", "\t", "\n", "\n\n", "*", "**", "***", "_", "__", "~~", "~", "`", "``", "```", "````",
	"> ", ">", "|", "|a|b|\n|-|-|\n", "|a| \n", ":-:", "@", "@ann", "@all", "https://x.example/a_b", "http://", "mailto:a@b.example", "(", ")", "[", "]",
	".", ",", "-", "\\", "/", "\u200b", "\u202e", "\"", "'", "：", "。",
}

// Random returns a content with a lot of possible markup.
func Random(random *rand.Rand) string {
	var content strings.Builder
	for range 1 + random.IntN(30) {
		content.WriteString(pieces[random.IntN(len(pieces))])
	}
	return content.String()
}

// Hard are texts that are slow for parsers with backtracking.
var Hard = []string{
	"*", "_a", "*a ", "*a_b ", "**a*", "`", "a`b``", "```\n", "```a\n", "``` ``` ", "````\n```\n", "> ", ">", ">\n", "[", "[](", "@", "@a-", "@_", "_@",
	"|", "|a|\n|-|\n", "| |", "|-|\n", "https://", "https://x)", "http://(", "mailto:", "~~a ", "\\|", "~~*_", "```x```\n", "a*_~~ ", "\u0301", "*\u0301", "h",
}
