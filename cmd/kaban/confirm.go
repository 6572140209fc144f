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
	Yes bool `help:"Do not ask. Where there is no terminal, nothing is asked."`
}

// errNotAgreed means that the person has said no.
var errNotAgreed = errors.New("nothing is changed")

// confirm returns nil if --yes is given, if nobody types, as a script means what it
// says, or if the person at the terminal types a word in answer to a question. question is
// called only to ask; an empty one means that nothing is lost.
func (f *confirmFlags) confirm(std streams, word string, question func() (string, error)) error {
	if f.Yes || !isTerminal(std.in) {
		return nil
	}
	if !isTerminal(std.err) { // a person types, and would not see the question
		return usagef("nothing is changed, as standard error is no terminal to ask on; add --yes if you are sure")
	}
	text, err := question()
	if err != nil || text == "" {
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
