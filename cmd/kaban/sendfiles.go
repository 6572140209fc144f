package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"kaban"
	"kaban/client"
	"kaban/client/dial"
	"kaban/client/transfer"
	"kaban/internal/display"
	"kaban/wire"
)

// sentFiles are the flags of files that a message has.
type sentFiles struct {
	File []string `placeholder:"PATH" sep:"none" help:"Send a file with the message, which then needs no text; may be repeated, up to 10 times. - is standard input and needs --name."`
	Name string   `placeholder:"NAME" help:"The name of the file for others, if there is one. Default: that of the path."`
	Alt  []string `placeholder:"TEXT" sep:"none" help:"Describe a picture to people that do not see it, in one line of up to 500 characters; repeated, the first is for the first file, and so on."`
}

// check returns what is wrong with the flags.
func (c *sentFiles) check(words []string, tokenFile string) error {
	input := 0
	for _, path := range c.File {
		if path == "-" {
			input++
		}
	}
	switch {
	case len(c.File) == 0 && (c.Name != "" || len(c.Alt) > 0):
		return usagef("--name and --alt are of files; give --file, too")
	case len(c.File) > kaban.MaxFiles:
		return usagef("--file: a message has up to %d files, not %d", kaban.MaxFiles, len(c.File))
	case len(c.Alt) > len(c.File):
		return usagef("--alt: there are %d, for %s", len(c.Alt), display.Count(len(c.File), "file"))
	case c.Name != "" && len(c.File) > 1:
		return usagef("--name names one file, and there are %d", len(c.File))
	case input > 1, input > 0 && len(words) == 1 && words[0] == "-":
		return usagef("standard input, -, can be one thing only")
	case input > 0 && c.Name == "":
		return usagef("--file - has no name; give one with --name")
	case len(c.File) > 0 && tokenFile == "-":
		return usagef("--token-file - does not go with --file; put the token into a file")
	}
	return nil
}

// source is a file to send.
type source struct {
	io.Reader
	io.Closer
	draft transfer.Draft
}

// open opens all files before any of them is sent.
func (c *sentFiles) open(stdin io.Reader) (all []source, err error) {
	defer func() {
		if err != nil {
			closeSources(all)
		}
	}()
	for i, path := range c.File {
		s, err := openSource(path, stdin)
		if err != nil {
			return all, fmt.Errorf("--file: %w", err)
		}
		s.draft.Name = cmp.Or(c.Name, filepath.Base(path))
		if i < len(c.Alt) {
			s.draft.Alt = c.Alt[i]
		}
		all = append(all, s)
	}
	return all, nil
}

func closeSources(all []source) {
	for _, s := range all {
		s.Close()
	}
}

// openSource opens one file. Its size is not known if it is a pipe, or something like one.
func openSource(path string, stdin io.Reader) (source, error) {
	if path == "-" {
		return source{stdin, io.NopCloser(stdin), transfer.Draft{Size: -1}}, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return source{}, err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case info.IsDir():
		err = &fs.PathError{Op: "send", Path: path, Err: errors.New("it is a directory")}
	case info.Mode().IsRegular():
		return source{f, f, transfer.Draft{Size: info.Size()}}, nil
	default:
		return source{f, f, transfer.Draft{Size: -1}}, nil
	}
	f.Close()
	return source{}, err
}

// filesAt returns where the server takes and gives files, and how to talk to it.
func (f *connectFlags) filesAt(ctx context.Context, std streams) (web string, options transfer.Options, err error) {
	server, session, err := f.prepare(client.Options{}, ownNames(), std.in)
	if err != nil {
		return "", options, err
	}
	saved, _, err := savedCredentials().Of(server)
	if err != nil {
		return "", options, err
	}
	said := ""
	if session.Token != "" && webOf(server) == "" && saved.Web == "" { // only the server knows
		stop := saysWaiting(std.err, server)
		c, err := client.Dial(ctx, server, session)
		stop()
		if err != nil {
			return "", options, f.explain(server, session, err)
		}
		said = c.Welcome().Web
		c.Close()
	}
	return f.filesOf(server, session.Token, said)
}

// filesOf is filesAt of a server that has said the address of its page, or "".
func (f *connectFlags) filesOf(server string, token wire.Secret, said string) (web string, options transfer.Options, err error) {
	if token == "" {
		return "", options, fmt.Errorf("files take an account; sign in with \"kaban login --server %s\" (%s)", server, wire.CodeAuthRequired)
	}
	saved, _, err := savedCredentials().Of(server)
	if err != nil {
		return "", options, err
	}
	at, err := dial.Parse(server)
	if err != nil {
		return "", options, err
	}
	if web = cmp.Or(webOf(server), saved.Web, webSaidBy(server, said)); web == "" {
		return "", options, fmt.Errorf("files go over HTTP, and the server at %s has not said where its page is; name it by the address of its page, with --server https://…", server)
	}
	way, err := f.toWeb(server, web)
	// Whoever has chosen TLS for the token does not want it sent without.
	insecure := way.Insecure && !at.IsEncrypted()
	return web, transfer.Options{Token: token, Insecure: insecure, Trust: way.Trust}, err
}

// explainFiles explains why there is no way to where files go, and how to go another one. A token goes to no
// other address than that of the page, unless a person names it: what listens on this machine need not be the server.
func (f *connectFlags) explainFiles(web string, err error) error {
	why := explainWay(web, err)
	server, bad := f.address()
	if why == "" || bad != nil {
		return err
	}
	if webOf(server) != "" { // the person has named it
		return errors.New(why)
	}
	return fmt.Errorf("files go to %s, which is the page of the server at %s: %s; if this machine reaches the page at another address, name that, such as --server http://127.0.0.1:6480", web, server, why)
}

// upload sends files and returns their ids.
func (f *connectFlags) upload(ctx context.Context, all []source, std streams) (ids []string, err error) {
	web, options, err := f.filesAt(ctx, std)
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		bar := progress(std.err, s.draft.Size, display.Line(s.draft.Name), "B")
		options.Progress = func(sent int64) { bar.Set64(sent) } // an error is one of the display
		kept, err := transfer.Upload(ctx, web, s.Reader, s.draft, options)
		bar.Clear()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", display.Line(s.draft.Name), f.explainFiles(web, err))
		}
		ids = append(ids, kept.ID)
	}
	return ids, nil
}
