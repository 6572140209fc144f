package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"kaban/internal/account"
)

// passwordFlags are those of commands that set a password. It never is on the command
// line, which other users of the machine can read.
type passwordFlags struct {
	PasswordFile string `placeholder:"FILE" help:"File with the password, which may end with a line break; - is standard input."`
}

// read returns the password of the file; without one, it is false.
func (f *passwordFlags) read(std streams) (password string, ok bool, err error) {
	if f.PasswordFile == "" {
		return "", false, nil
	}
	source := std.in
	if f.PasswordFile != "-" {
		file, err := os.Open(f.PasswordFile)
		if err != nil {
			return "", false, usagef("--password-file: %w", err)
		}
		defer file.Close()
		source = file
	}
	// Two more are a line break.
	text, err := io.ReadAll(io.LimitReader(source, account.MaxPassword+3))
	if err != nil {
		return "", false, fmt.Errorf("--password-file %s: %w", f.PasswordFile, err)
	}
	password = strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	switch {
	case password == "":
		return "", false, usagef("--password-file %s: there is no password in it", f.PasswordFile)
	case len(password) > account.MaxPassword:
		return "", false, usagef("--password-file %s: a password has at most %d bytes", f.PasswordFile, account.MaxPassword)
	case strings.ContainsAny(password, "\r\n"):
		return "", false, usagef("--password-file %s: it has several lines; a password is one", f.PasswordFile)
	}
	return password, true, nil
}

// ask asks for a new password, twice, if the command is used at a terminal. An empty
// one is none.
func ask(std streams, prompt string) (password string, err error) {
	in, ok := std.in.(*os.File)
	if !ok || !isTerminal(std.in) || !isTerminal(std.err) {
		return "", nil
	}
	read := func(prompt string) (string, error) {
		fmt.Fprint(std.err, prompt)
		text, err := term.ReadPassword(int(in.Fd()))
		fmt.Fprintln(std.err)
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return string(text), err
	}
	first, err := read(prompt)
	if err != nil || first == "" {
		return "", err
	}
	again, err := read("The same again: ")
	if err != nil {
		return "", err
	}
	if first != again {
		return "", errors.New("the two passwords differ; nothing was changed")
	}
	return first, nil
}
