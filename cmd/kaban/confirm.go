package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"kaban/internal/display"
)

// confirmFlags are those of commands that end something nobody can bring back: an account
// or messages. A link, a token or a hook is made anew by one command, so ending one asks
// nothing.
type confirmFlags struct {
	Yes bool `help:"Do not ask. Needed where there is nobody to ask, such as in a script."`
}

// errNotAgreed means that the person has said no.
var errNotAgreed = errors.New("nothing is changed")

// confirm returns nil if --yes is given, or if the person at the terminal types a word in
// answer to a question. Without a terminal it returns a usage error with what would be
// lost. question is called only to ask.
func (f *confirmFlags) confirm(std streams, lost, word string, question func() (string, error)) error {
	if f.Yes {
		return nil
	}
	if !isTerminal(std.in) || !isTerminal(std.err) {
		return usagef("nothing is changed: %s; add --yes if that is wanted", lost)
	}
	text, err := question()
	if err != nil {
		return err
	}
	fmt.Fprintf(std.err, "kaban: %s; type %s to go on: ", display.Line(text), word)
	typed, err := bufio.NewReader(std.in).ReadString('\n')
	if strings.TrimSpace(typed) == word {
		return nil
	}
	if errors.Is(err, io.EOF) {
		fmt.Fprintln(std.err)
	}
	return errNotAgreed
}
