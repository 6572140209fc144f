package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"kaban"
	"kaban/internal/bus"
	"kaban/internal/dispatch"
	"kaban/internal/failpoint/disk"
	"kaban/internal/people"
	"kaban/internal/push"
	"kaban/internal/store"
	"kaban/internal/telemetry"
)

// What does for a database what a command does for a data directory.
const (
	databaseBackups = "back it up with what is made for PostgreSQL, such as pgBackRest, or pg_dump while it is small (docs/cluster.md)"
	databaseLines   = "import into a new data directory, and take that to an empty database with \"kaban migrate\" (docs/migrate.md)"
)

// Secrets that nodes have in common.
const (
	commonPush  = "push"  // the key of notifications
	commonFiles = "files" // the name in buckets, and in the directory that they share
)

// checkDatabase refuses what does not go with a database, or only with one.
func (c *serveCommand) checkDatabase() error {
	switch is := isDatabase(c.Data); {
	case c.nodeFlags.alone(c.Data):
		return c.noDatabase(c.named("state"))
	case !is && c.Files != "":
		return usagef("%s: files are in the data directory; only nodes on one database need another one for them; leave this out, and KABAN_FILES", c.named("files"))
	case is && c.Files != "" && c.s3Flags.isSet():
		return usagef("%s: files are in S3 already (--s3-endpoint); name one place for them", c.named("files"))
	case is && len(c.acme.Hosts) > 0:
		return usagef("%s: several nodes cannot ask for one certificate by ACME, because the answer may come to another node; name files with --tls-cert and --tls-key, or encrypt in the proxy in front of the nodes", c.acmeAt("hosts"))
	}
	return nil
}

// How long a node that starts waits for its database, and how often it tries. Whoever has started it, such as
// systemd, starts it again afterwards.
const (
	databaseWait  = time.Minute
	databasePause = time.Second
)

// open opens the store of a server. It waits for a database that is away, until a signal ends that with errStartEnded.
func (c *serveCommand) open(ends <-chan os.Signal, log *slog.Logger) (store.Store, error) {
	at := c.home()
	if !at.isDatabase() {
		return openStore(at, c.erased, log)
	}
	if _, warning, _ := at.url(); warning != "" {
		log.Warn(warning)
	}
	var kept store.Store
	err := awaitDatabase(ends, log, func(ctx context.Context) (err error) {
		kept, err = openDatabase(ctx, at, log)
		return err
	})
	return kept, err
}

// awaitDatabase tries something until the database is there for it, or a signal ends that with errStartEnded.
func awaitDatabase(ends <-chan os.Signal, log *slog.Logger, try func(ctx context.Context) error) error {
	// The signal also goes to the channel of takeSignals, for a start that is further by then.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	said := false
	for deadline := time.Now().Add(databaseWait); ; {
		err := try(ctx)
		switch {
		case err != nil && ctx.Err() != nil:
			return errStartEnded
		case err == nil || !isAway(err) || time.Now().After(deadline):
			return err
		}
		if !said {
			log.Warn("waiting for the database", "at_most", databaseWait, "error", err)
			said = true
		}
		select {
		case <-ends:
			return errStartEnded
		case <-time.After(databasePause):
		}
	}
}

// How the database of a node is watched.
const (
	databaseEvery    = 2 * time.Second
	databasePatience = 3 * time.Second
)

// line is what a node has to do with its database and with other nodes. The methods of a nil *line
// do nothing, for a server with data of its own.
type line struct {
	bus  bus.Bus
	kept store.Store
	kind string // --bus, without addresses
	log  *slog.Logger

	mu       sync.Mutex // guards all below
	database telemetry.Database
	away     bool
}

// connect connects a node to the others. The caller closes the line before the dispatcher.
func (c *serveCommand) connect(kept store.Store, d *dispatch.Dispatcher, log *slog.Logger) (*line, error) {
	b, err := c.openBus(kept, log)
	if b == nil || err != nil {
		return nil, err
	}
	if err := d.Connect(b, timelineOf(kept)); err != nil {
		return nil, errors.Join(fmt.Errorf("connect to other nodes: %w", err), b.Close())
	}
	l := &line{bus: b, kept: kept, kind: c.busKind(), log: log}
	l.database.Epoch = kept.Epoch()
	return l, nil
}

// busKind says what kind of bus there is.
func (c *serveCommand) busKind() string {
	if c.Bus == busLocal || c.Bus == busEmbedded {
		return c.Bus
	}
	return "nats"
}

func (l *line) close(log *slog.Logger) {
	if l == nil {
		return
	}
	if err := l.bus.Close(); err != nil {
		log.Warn("the bus was not closed properly", "error", err)
	}
}

// watch asks the database from time to time, until ctx ends.
func (l *line) watch(ctx context.Context) {
	if l == nil {
		return
	}
	ticker := time.NewTicker(databaseEvery)
	defer ticker.Stop()
	for {
		l.ask(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// ask asks the database for something small, and notes how long that takes.
func (l *line) ask(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, databasePatience)
	defer cancel()
	began := time.Now()
	lobby, err := kaban.ParseRoomName(kaban.Lobby)
	if err == nil {
		_, err = l.kept.Room(limited, lobby)
	}
	if ctx.Err() != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.away
	l.away = err != nil
	if err != nil {
		l.database.Failures++
	} else {
		l.database.Response = time.Since(began)
	}
	switch {
	case l.away && !was:
		l.log.Error("the database does not answer; messages are refused until it does, and nobody can sign in", "error", err)
	case was && !l.away:
		l.log.Info("the database answers again")
	}
}

// databaseNow returns the state of the database.
func (l *line) databaseNow() telemetry.Database {
	l.mu.Lock()
	now := l.database
	now.Up = !l.away
	l.mu.Unlock()
	if timeline := timelineOf(l.kept); timeline != nil {
		now.Timeline = timeline()
	}
	if connections := connectionsOf(l.kept); connections != nil {
		now.Open, now.Used, now.Most = connections()
	}
	return now
}

// databaseIsAway is why a node is not ready.
const databaseIsAway = "the database does not answer"

// isAway reports whether the database does not answer.
func (l *line) isAway() bool {
	if l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.away
}

// commonPushKey returns the key that pushes are signed with, which nodes have in common: browsers
// subscribe to that one key. The first node takes it from its directory, where it may have been put from a
// data directory, or makes one.
func commonPushKey(kept store.Documents, dir string) (*push.Key, error) {
	text, err := people.Common(context.Background(), kept, commonPush, func() ([]byte, error) {
		key, err := push.ReadKey(dir)
		if errors.Is(err, fs.ErrNotExist) {
			key, err = push.NewKey()
		}
		if err != nil {
			return nil, err
		}
		return key.PEM()
	})
	if err != nil {
		return nil, err
	}
	return push.ParseKey(text)
}

// chosenPlace returns where the files of messages are to be. Nodes have one name in common for a bucket or a
// directory, by which nobody else takes it.
func (c *serveCommand) chosenPlace(ctx context.Context, kept store.Documents) (chosen filePlace, err error) {
	chosen.s3 = c.s3Flags
	if !c.home().isDatabase() {
		return chosen, nil
	}
	if c.Files != "" {
		if chosen.dir, err = filepath.Abs(c.Files); err != nil {
			return chosen, err
		}
	}
	owner, err := people.Common(ctx, kept, commonFiles, func() ([]byte, error) { return []byte(strings.ToLower(rand.Text())), nil })
	chosen.owner = string(owner)
	return chosen, err
}

// The mark of a directory that nodes share says whose files it has. It is a file in a directory of its own, which comes into
// being with it: no file system renames a directory to one that is not empty, also if it has no hard links.
const (
	ownerFolder = "owner"
	ownerName   = "database"
)

// checkShared returns an error if a directory for files is not that of the database. One that is used for the first
// time is marked; without its mark, a directory that was used before is not mounted.
func checkShared(dir, owner string, before bool) error {
	path := filepath.Join(dir, ownerFolder, ownerName)
	text, err := os.ReadFile(path)
	switch found := strings.TrimSpace(string(text)); {
	case err == nil && found == owner:
		return nil
	case err == nil:
		return fmt.Errorf("the directory for files, %s, has the files of another database; name another one", dir)
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the directory for files: %w", err)
	case before:
		return fmt.Errorf("the directory for files, %s, is not the one that was used before: it has no file %q; is it mounted?", dir, filepath.Join(ownerFolder, ownerName))
	}
	if err = markShared(dir, owner); err == nil {
		return nil
	}
	if _, there := os.Stat(path); there == nil && errors.Is(err, errMarked) { // another node was first
		return checkShared(dir, owner, true)
	}
	return fmt.Errorf("mark the directory for files: %w", err)
}

// errMarked is that a mark could not be put in its place, perhaps because there is one.
var errMarked = errors.New("no place for the mark")

// markShared marks a directory for files, durably, unless it has a mark. It makes the directory.
func markShared(dir, owner string) (err error) {
	if err := disk.MakeDirectory(dir); err != nil {
		return err
	}
	draft, err := os.MkdirTemp(dir, ownerFolder+"-*.partial")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(draft)) }() // unless it was renamed
	f, err := os.OpenFile(filepath.Join(draft, ownerName), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(owner + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := disk.SyncDirectory(draft); err != nil {
		return err
	}
	if err := os.Rename(draft, filepath.Join(dir, ownerFolder)); err != nil {
		return fmt.Errorf("%w: %w", errMarked, err)
	}
	return disk.SyncDirectory(dir)
}
