package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"

	"kaban/internal/config"
	faults "kaban/internal/failpoint/disk"
	"kaban/internal/files"
	"kaban/internal/files/disk"
	"kaban/internal/files/s3"
	"kaban/internal/people"
	"kaban/internal/store"
)

// placeName is the file of a data directory that says where its files are, for commands that have no
// configuration. Without it they are in the data directory.
const placeName = "files.toml"

// firstAnswer is how long a server that starts waits for the service with its files.
const firstAnswer = 10 * time.Second

// filePlace is where the files of a data directory are.
type filePlace struct {
	owner string  // the name of the data directory, or of the database, in buckets; "" if it never had one
	dir   string  // that nodes share; "": they are in S3 or in the data directory
	s3    s3Flags // not set: they are on a disk
}

// isSet reports whether files are elsewhere than in the data directory.
func (p *filePlace) isSet() bool { return p.dir != "" || p.s3.isSet() }

// location names the place. Two with the same location have the same files.
func (p *filePlace) location() string { return cmp.Or(p.dir, p.s3.location()) }

// placeKey is a key of the file.
type placeKey struct {
	name, help string
	value      *string
}

func (p *filePlace) keys() []placeKey {
	return []placeKey{
		{"owner", "The name of this data directory in the bucket, so that no other one removes its files.", &p.owner},
		{"directory", "The directory that nodes share; empty without one.", &p.dir},
		{"endpoint", "The service; empty if files are in the data directory.", &p.s3.S3Endpoint},
		{"bucket", "The bucket.", &p.s3.S3Bucket},
		{"prefix", "What paths of objects begin with.", &p.s3.S3Prefix},
		{"region", "The region of the bucket.", &p.s3.S3Region},
		{"addressing", "Where addresses of objects have the bucket.", &p.s3.S3Addressing},
		{"ca", "Certificates that the one of the service must lead to.", &p.s3.S3CA},
		{"access_key", "The id of the access key.", &p.s3.S3AccessKey},
		{"secret_key_file", "The file with its secret.", &p.s3.S3SecretFile},
	}
}

// placeIntro begins the file.
const placeIntro = "Where the files of messages are, for commands such as \"kaban backup\". \"kaban serve\" writes this from its configuration; to change it, change that."

// readPlace returns where the files of a data directory are.
func readPlace(data string) (p filePlace, err error) {
	path := filepath.Join(data, placeName)
	if _, err := os.Stat(path); err != nil {
		return p, ignore(err, fs.ErrNotExist)
	}
	var names []string
	for _, key := range p.keys() {
		names = append(names, key.name)
	}
	values, err := config.Load(path, names)
	if err != nil {
		return filePlace{}, fmt.Errorf("%s says where files are: %w", placeName, err)
	}
	for _, key := range p.keys() {
		if texts := values[key.name].Texts; len(texts) == 1 {
			*key.value = texts[0]
		}
	}
	return p, nil
}

// write writes where the files of a data directory are, durably.
func (p filePlace) write(data string) (err error) {
	var keys []config.Key
	for _, key := range p.keys() {
		keys = append(keys, config.Key{Name: key.name, Help: key.help, Kind: config.Text, Default: []string{*key.value}})
	}
	path := filepath.Join(data, placeName)
	draft := path + ".partial"
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("note where files are: %w", err), ignore(os.Remove(draft), fs.ErrNotExist))
		}
	}()
	f, err := os.OpenFile(draft, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(config.Write(placeIntro, nil, keys))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return errors.Join(faults.Rename(draft, path), faults.SyncDirectory(data))
}

// blobPlace is a store with blobs.
type blobPlace struct {
	name  string      // for people
	dir   string      // on a disk, where they are; otherwise ""
	ours  bool        // no other process keeps files there
	store files.Store // nil on a disk: opening that makes directories
}

// onDisk returns the blobs in a directory.
func onDisk(dir string) blobPlace { return blobPlace{name: dir, dir: dir, ours: true} }

// onSharedDisk returns the blobs in a directory that nodes share.
func onSharedDisk(dir string) blobPlace { return blobPlace{name: dir, dir: dir} }

// isShared reports whether they are in a directory that nodes share, which is another one where it is not mounted.
func (p *blobPlace) isShared() bool { return p.store == nil && !p.ours }

// blobsOfData returns where the blobs of a data directory are, to read them.
func blobsOfData(data string) (blobPlace, error) {
	p, err := readPlace(data)
	switch {
	case err != nil || !p.isSet():
		return onDisk(data), err
	case p.dir != "":
		return onSharedDisk(p.dir), nil
	}
	opened, _, err := p.s3.open("") // who reads owns nothing
	if err != nil {
		return blobPlace{}, fmt.Errorf("the files of %s are in S3: %w", data, err)
	}
	return blobPlace{name: opened.String(), store: opened}, nil
}

// where says where they are, after the number of them.
func (p *blobPlace) where() string {
	if p.store == nil {
		return "on the disk"
	}
	return "in " + p.name
}

// open opens a blob.
func (p *blobPlace) open(ctx context.Context, key files.Key) (io.ReadSeekCloser, files.Info, error) {
	if p.store != nil {
		return p.store.Open(ctx, key)
	}
	f, err := os.Open(filepath.Join(p.dir, filepath.FromSlash(key.Path())))
	if err != nil {
		return nil, files.Info{}, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, files.Info{}, errors.Join(err, f.Close())
	}
	return f, files.Info{Key: key, Size: info.Size(), Time: info.ModTime()}, nil
}

// opened returns the store. On a disk it makes the directories.
func (p *blobPlace) opened() (files.Store, error) {
	if p.store != nil {
		return p.store, nil
	}
	if !p.ours {
		return disk.OpenShared(p.dir)
	}
	return disk.Open(p.dir)
}

// storeOfData opens the store with the files of a server, to change them. A database whose files nobody has
// told this machine about has none here; its nodes remove what is to go.
func storeOfData(at home, log *slog.Logger) (files.Store, error) {
	p, err := readPlace(at.dir())
	if err != nil || at.isDatabase() && !p.isSet() {
		return nil, err
	}
	to, err := p.openTo(at.dir(), log)
	if err != nil {
		return nil, err
	}
	return to.opened()
}

// sizes returns the lengths of all blobs of a kind in a service, in bytes. It takes 100 bytes of memory for each.
func (p *blobPlace) sizes(ctx context.Context, kind files.Kind) (map[files.Hash]int64, error) {
	all := make(map[files.Hash]int64)
	for info, err := range p.store.All(ctx, kind) {
		if err != nil {
			return nil, err
		}
		all[info.Key.Hash] = info.Size
	}
	return all, nil
}

// contents returns a function that returns how long a content is, in bytes, and false without it. It makes
// no directories.
func (p *blobPlace) contents(ctx context.Context) (func(b blob) (size int64, there bool, err error), error) {
	if p.store != nil {
		all, err := p.sizes(ctx, files.Content)
		return func(b blob) (int64, bool, error) {
			size, ok := all[b.hash]
			return size, ok, nil
		}, err
	}
	return func(b blob) (int64, bool, error) {
		info, err := os.Stat(b.pathOf(p.dir, files.Content))
		if err != nil {
			return 0, false, ignore(err, fs.ErrNotExist)
		}
		return info.Size(), true, nil
	}, nil
}

// takePlace opens the store of files that the configuration of a server names, and notes it in the data
// directory. Another store than before must have the files that messages have.
func takePlace(ctx context.Context, data string, chosen filePlace, needs func() ([]blob, error), log *slog.Logger) (files.Store, error) {
	before, err := readPlace(data)
	if err != nil {
		return nil, err
	}
	next, err := before.changed(chosen)
	if err != nil {
		return nil, err
	}
	to, err := next.openTo(data, log)
	if err != nil {
		return nil, err
	}
	if err := before.name(data, next.owner); err != nil {
		return nil, err
	}
	if next.dir != "" {
		if err := checkShared(next.dir, next.owner, next.dir == before.dir); err != nil {
			return nil, err
		}
	}
	err = to.ready(ctx)
	switch failed, ok := errors.AsType[*files.UnreachableError](err); {
	case next.location() != before.location():
		if err == nil {
			err = checkMove(ctx, before, to, data, needs)
		}
		if err != nil {
			return nil, err
		}
		log.Info("files are kept here from now on", "place", to.name)
	case ok && failed.Final:
		return nil, err
	case err != nil: // it may be away for a moment
		log.Warn("files can be neither uploaded nor read until their store can be reached; messages are not affected", "error", err)
	}
	if err := next.note(data, before); err != nil {
		return nil, err
	}
	return to.opened()
}

// changed returns the place after another choice.
func (p filePlace) changed(chosen filePlace) (next filePlace, err error) {
	next.owner, next.dir = cmp.Or(chosen.owner, p.owner), chosen.dir
	if !chosen.s3.isSet() {
		return next, nil
	}
	if next.owner == "" {
		next.owner = strings.ToLower(rand.Text())
	}
	next.s3, err = chosen.s3.absolute()
	return next, err
}

// name notes the name of a data directory that had none, before a bucket has it: a bucket of a name that
// nobody knows would be nobody's.
func (p *filePlace) name(data, owner string) error {
	if p.owner == owner {
		return nil
	}
	p.owner = owner
	return p.write(data)
}

// note writes where files are, unless it is what is written.
func (p filePlace) note(data string, before filePlace) error {
	if p == before {
		return nil
	}
	return p.write(data)
}

// openTo opens where files are to be kept. It asks no service yet.
func (p *filePlace) openTo(data string, log *slog.Logger) (blobPlace, error) {
	switch {
	case !p.isSet():
		return onDisk(data), nil
	case p.dir != "":
		return onSharedDisk(p.dir), nil
	}
	opened, warning, err := p.s3.open(p.owner)
	if err != nil {
		return blobPlace{}, err
	}
	if warning != "" {
		log.Warn(warning)
	}
	if p.s3.isClear() {
		log.Warn("files go to S3 through a network in the clear; use an https:// address", "endpoint", p.s3.S3Endpoint)
	}
	return blobPlace{name: opened.String(), store: opened}, nil
}

// ready asks a service whether it can keep files, and whose files it has.
func (p *blobPlace) ready(ctx context.Context) error {
	service, ok := p.store.(*s3.Store)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, firstAnswer, fmt.Errorf("%s has not answered for %v", p.name, firstAnswer))
	defer cancel()
	return service.Ready(ctx)
}

// checkMove returns an error if the place where files are to be kept from now on does not have those that
// there are.
func checkMove(ctx context.Context, before filePlace, to blobPlace, data string, needs func() ([]blob, error)) error {
	wanted, err := needs()
	if err != nil || len(wanted) == 0 {
		return err
	}
	missing, err := absent(ctx, to, wanted)
	if err != nil || len(missing) == 0 {
		return err
	}
	from := cmp.Or(before.location(), data)
	return fmt.Errorf("%s of %s are not in %s, such as %s; until now they were kept in %s: copy the folders %s and %s from there with a tool for S3, or configure that place again",
		blobCount(missing), blobCount(wanted), to.name, missing[0].key(files.Content), from, files.Content.Folder(), files.Thumbnail.Folder())
}

// blobsIn returns the blobs that files of a running store have.
func blobsIn(ctx context.Context, kept store.Documents) (found []blob, err error) {
	err = kept.View(ctx, func(tx store.Tx) error {
		var bad error
		err := people.Blobs.All(tx, func(b *people.Blob) bool {
			if b.References == 0 {
				return true
			}
			var hash files.Hash
			if hash, bad = files.ParseHash(b.Hash); bad != nil {
				return false
			}
			found = append(found, blob{hash, b.Size})
			return true
		})
		return errors.Join(err, bad)
	})
	return found, err
}

// placeFlags are those of commands that bring files to a data directory.
type placeFlags struct {
	s3Flags    `embed:"" group:"Files in S3 (default: where the server of the data directory keeps them):"`
	S3TakeOver bool `name:"s3-take-over" group:"Files in S3 (default: where the server of the data directory keeps them):" help:"Take the files in the bucket over from another data directory, which is gone for good: a server that still used it would lose them."`
}

func (f *placeFlags) check() error {
	return f.s3Flags.check(func(flag string) string { return "--" + flag })
}

// move is a place of files that a data directory gets, beside the one that it has.
type move struct {
	data         string
	before, next filePlace
	to           blobPlace
}

// isElsewhere reports whether the places differ.
func (m *move) isElsewhere() bool { return m.next.location() != m.before.location() }

// rest copies what the place still lacks from the one that the data directory has, and returns what neither has. Of
// two services none is asked: then what is lacking remains lacking. A bar counts what is copied.
func (m *move) rest(ctx context.Context, store files.Store, lacking []blob, bar *progressbar.ProgressBar) ([]blob, error) {
	if len(lacking) == 0 || !m.isElsewhere() || m.before.s3.isSet() && m.next.s3.isSet() {
		return lacking, nil
	}
	old, err := blobsOfData(m.data)
	if err != nil {
		return lacking, err
	}
	return copyBlobs(ctx, old, store, lacking, bar)
}

// note writes where the files are from now on, once they are there. What is lacking may still be in another service:
// then the data directory keeps that.
func (m *move) note(lacking []blob) error {
	if len(lacking) > 0 && m.isElsewhere() && m.before.s3.isSet() {
		return nil
	}
	return m.next.note(m.data, m.before)
}

// open opens where the files of a data directory are to be kept. The caller notes that when they are there.
func (f *placeFlags) open(ctx context.Context, data string) (*move, error) {
	before, err := readPlace(data)
	if err != nil {
		return nil, err
	}
	next := before
	if f.s3Flags.isSet() {
		if next, err = before.changed(filePlace{s3: f.s3Flags}); err != nil {
			return nil, err
		}
	}
	to, err := next.openTo(data, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	if err := before.name(data, next.owner); err != nil {
		return nil, err
	}
	service, ok := to.store.(*s3.Store)
	switch {
	case f.S3TakeOver && !ok:
		err = usagef("--s3-take-over: the files of %s are not in S3; name the bucket with --s3-endpoint and the flags beside it", data)
	case f.S3TakeOver:
		err = service.TakeOver(ctx)
	default:
		err = to.ready(ctx)
	}
	if err != nil {
		return nil, err
	}
	return &move{data, before, next, to}, nil
}
