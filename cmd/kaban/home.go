package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"kaban/internal/secretfile"
	"kaban/internal/store"
)

// maxPassword is longer than any password of a role, in bytes.
const maxPassword = 4 << 10

// Where the data of a server and what belongs to a node are by default.
const (
	defaultData  = "./kaban-data"
	defaultState = "./kaban-node"
)

// isDatabase reports whether a --data names a database, and not a directory.
func isDatabase(data string) bool {
	return strings.HasPrefix(data, "postgres://") || strings.HasPrefix(data, "postgresql://")
}

// nodeFlags are about a --data that is a database, which several nodes may share.
type nodeFlags struct {
	State            string `placeholder:"DIR" env:"KABAN_STATE" default:"./kaban-node" help:"With a database: directory of what belongs to this node alone, such as its admin socket and its search index; created if it does not exist. Default: ${default}."`
	DataPasswordFile string `placeholder:"FILE" env:"KABAN_DATA_PASSWORD_FILE" help:"With a database: file with the password of its role, or credential:NAME for a credential of systemd. Without it the password is looked for in ~/.pgpass, as psql does."`

	password string // that the URL had; it is nowhere else
}

// dataFlags are the flags of the commands that work on the data of a server.
type dataFlags struct {
	Data string `placeholder:"DIR" env:"KABAN_DATA" default:"./kaban-data" help:"The server's data directory, or postgres://ROLE@HOST/NAME. The server may be running. Default: ${default}."`
	nodeFlags
}

// home is where the data of a server are.
type home struct {
	data string // a directory, the URL of a database without a password, or inMemory
	node nodeFlags
}

func (d *dataFlags) home() home { return home{d.Data, d.nodeFlags} }

// dir returns the directory of a process: the data directory, with a database that of the node, and otherwise
// inMemory.
func (d *dataFlags) dir() string { return d.home().dir() }

// check refuses what names no data. A database has its URL from then on without a password, so that
// nothing shows it.
func (d *dataFlags) check() error {
	if err := d.nodeFlags.settle("--data", &d.Data); err != nil || isDatabase(d.Data) {
		return err
	}
	if d.namesNode() {
		return d.noDatabase("--state")
	}
	return checkDirectory(d.Data)
}

// namesNode reports whether a node is named and no data. The variable of a node does not keep anybody from
// naming another data directory.
func (d *dataFlags) namesNode() bool { return d.nodeFlags.alone(d.Data) }

// alone reports whether there is a node, and no --data was given.
func (n *nodeFlags) alone(data string) bool {
	return data == defaultData && n.State != "" && n.State != defaultState
}

// noDatabase refuses a node without its database. flag is how --state is called where it was set.
func (n *nodeFlags) noDatabase(flag string) error {
	return usagef("%s %s: only a node has such a directory; name its database, too: --data postgres://ROLE@HOST/NAME, or KABAN_DATA", flag, n.State)
}

// checkIsDirectory is check for a command that works on files of a data directory. instead says what does that
// for a database.
func (d *dataFlags) checkIsDirectory(instead string) error {
	if err := d.check(); err != nil || !isDatabase(d.Data) {
		return err
	}
	return usagef("--data %s is a database: %s", d.Data, instead)
}

// open opens the data to read them. instead says what does so for a database.
func (d *dataFlags) open(ctx context.Context, instead string) (store.Archive, error) {
	if err := d.checkIsDirectory(instead); err != nil {
		return nil, err
	}
	return openArchive(ctx, d.Data)
}

func (h home) isDatabase() bool { return isDatabase(h.data) }

// isDirectory reports whether the data are in files of this machine.
func (h home) isDirectory() bool { return h.data != inMemory && !h.isDatabase() }

func (h home) dir() string {
	if h.isDatabase() {
		return h.node.State
	}
	return h.data
}

// settle takes the password out of the URL of a database, so that nothing shows it, and refuses
// what is none. flag is how --data is called where it was set.
func (n *nodeFlags) settle(flag string, data *string) error {
	if !isDatabase(*data) {
		return nil
	}
	u, err := url.Parse(*data)
	if err != nil { // its text has the URL
		return usagef("%s: the URL of the database cannot be read; write it like postgres://ROLE@HOST/NAME, and characters such as @ and / in a part of it as %%40 and %%2F", flag)
	}
	if password, ok := u.User.Password(); ok {
		n.password = password
		u.User = url.User(u.User.Username())
	}
	query := u.Query()
	if query.Has("password") {
		n.password = query.Get("password")
		query.Del("password")
		u.RawQuery = query.Encode()
	}
	if query.Has("sslpassword") {
		return usagef("%s: a password of a key must not be in the URL; use a key without one in a file that only the server can read", flag)
	}
	if n.State == "" {
		return usagef("--state: name a directory for what belongs to this node alone")
	}
	if n.password != "" && n.DataPasswordFile != "" {
		return usagef("%s: the URL has a password, and --data-password-file names one, too; take it out of the URL", flag)
	}
	*data = u.String()
	return nil
}

// url returns the URL of the database for its driver, and what is wrong with where its password is.
func (h home) url() (address, warning string, err error) {
	password := h.node.password
	switch {
	case h.node.DataPasswordFile != "":
		if password, warning, err = secretfile.Read(h.node.DataPasswordFile, maxPassword); err != nil {
			return "", "", fmt.Errorf("the password of the database: %w", err)
		}
	case password != "":
		warning = "the password of the database is in its URL, which other users of this machine may see; change it, and put the new one into a file that --data-password-file names"
	}
	u, err := url.Parse(h.data)
	if err != nil {
		return "", "", errors.New("the URL of the database cannot be read")
	}
	if password != "" {
		u.User = url.UserPassword(u.User.Username(), password)
	}
	return u.String(), warning, nil
}

// without returns an error without a password that its text may have.
func (h home) without(address string, err error) error {
	u, parsing := url.Parse(address)
	if err == nil || parsing != nil {
		return err
	}
	password, has := u.User.Password()
	if !has || password == "" {
		return err
	}
	text := err.Error()
	for _, secret := range []string{password, url.QueryEscape(password), url.PathEscape(password)} {
		text = strings.ReplaceAll(text, secret, "xxxxx")
	}
	if text == err.Error() {
		return err
	}
	return redacted{err, text}
}

// redacted is an error with another text, without what is secret.
type redacted struct {
	error
	text string
}

func (r redacted) Error() string { return r.text }

func (r redacted) Unwrap() error { return r.error }

// take makes the directory of the node and locks other processes out of it. With a data directory
// there is nothing to do: its store does so.
func (h home) take() (release func() error, err error) {
	if !h.isDatabase() {
		return func() error { return nil }, nil
	}
	if err := os.MkdirAll(h.node.State, 0o700); err != nil {
		return nil, ofState(h.node.State, err)
	}
	found, err := hasStore(h.node.State)
	if err == nil && found {
		err = errors.New("it is the data directory of another server; name an empty one")
	}
	if err == nil {
		release, err = lockDirectory(h.node.State)
	}
	if err != nil {
		return nil, ofState(h.node.State, err)
	}
	return release, nil
}

func ofState(dir string, err error) error { return fmt.Errorf("--state %s: %w", dir, err) }

// isMade reports whether there is a directory of a node, for a command without a server.
func (h home) isMade() bool {
	info, err := os.Stat(filepath.Clean(h.dir()))
	return err == nil && info.IsDir()
}
