package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"kaban/internal/files"
	"kaban/internal/files/disk"
	"kaban/internal/people"
	"kaban/internal/push"
	"kaban/internal/store"
)

// directory returns the side of a migration that is a data directory.
func (m *moving) directory() string {
	if m.from.isDatabase() {
		return m.to.data
	}
	return m.from.data
}

// moveFiles copies the files of messages, if it is to, and says where they are.
func (m *moving) moveFiles(ctx context.Context, from store.Documents) (about string, err error) {
	needs, err := blobsIn(ctx, from)
	if err != nil || len(needs) == 0 {
		return "", err
	}
	place, err := readPlace(m.directory())
	switch {
	case err != nil:
		return "", err
	case place.s3.isSet():
		return fmt.Sprintf("%s stay in %s; name it in the configuration of the nodes", blobCount(needs), place.s3.location()), nil
	case m.files == "" && m.from.isDatabase():
		return fmt.Sprintf("%s %s where the nodes have kept them: in S3, which the configuration of the server must name, or in a directory, which --files copies from, also afterwards", blobCount(needs), areOf(needs)), nil
	case m.files == "":
		return fmt.Sprintf("%s %s still in %s: let the nodes have them there, with kaban serve --files %s, or copy the folders %s and %s to S3", blobCount(needs), areOf(needs), m.from.data, shellWord(m.from.data), files.Content.Folder(), files.Thumbnail.Folder()), nil
	}
	return m.copyFiles(ctx, needs)
}

// copyFiles copies files between the data directory and the directory that nodes share.
func (m *moving) copyFiles(ctx context.Context, needs []blob) (about string, err error) {
	dir, err := filepath.Abs(m.files)
	if err != nil {
		return "", err
	}
	from, target, open := m.from.data, dir, disk.OpenShared
	if m.from.isDatabase() {
		from, target, open = dir, m.to.data, disk.Open
	}
	to, err := open(target)
	if err != nil {
		return "", fmt.Errorf("--files: %w", err)
	}
	bar := progress(m.said, -1, "copying files", " files")
	missing, err := copyBlobs(ctx, onDisk(from), to, needs, bar)
	bar.Finish()
	switch {
	case err != nil:
		return "", fmt.Errorf("copy files: %w", err)
	case len(missing) > 0:
		return "", fmt.Errorf("%s of %s %s not in %s, such as %s; \"kaban check --files\" names them all. Without --files everything else is migrated", blobCount(missing), blobCount(needs), areOf(missing), from, missing[0].hash)
	}
	return fmt.Sprintf("%s %s in %s, too, each compared with its hash", blobCount(needs), areOf(needs), target), nil
}

// last carries what a data directory has in files of its own and a database in documents: the key
// of notifications, and the name in buckets.
func (m *moving) last(ctx context.Context, to store.Documents) error {
	dir := m.directory()
	if m.to.isDatabase() {
		return errors.Join(shareKey(ctx, to, dir), shareOwner(ctx, to, dir))
	}
	return errors.Join(ownKey(ctx, to, dir), ownOwner(ctx, to, dir))
}

// shareKey gives nodes the key of a data directory.
func shareKey(ctx context.Context, to store.Documents, dir string) error {
	key, err := push.ReadKey(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		_, err = people.Common(ctx, to, commonPush, key.PEM)
	}
	return err
}

func shareOwner(ctx context.Context, to store.Documents, dir string) error {
	place, err := readPlace(dir)
	if err != nil || place.owner == "" {
		return err
	}
	_, err = people.Common(ctx, to, commonFiles, func() ([]byte, error) { return []byte(place.owner), nil })
	return err
}

// errNone ends a look for a secret that nodes do not have.
var errNone = errors.New("there is none")

// common returns a secret that nodes have had in common, nil if there is none.
func common(ctx context.Context, in store.Documents, name string) ([]byte, error) {
	value, err := people.Common(ctx, in, name, func() ([]byte, error) { return nil, errNone })
	return value, ignore(err, errNone)
}

// ownKey gives a data directory the key of nodes.
func ownKey(ctx context.Context, to store.Documents, dir string) error {
	text, err := common(ctx, to, commonPush)
	if err != nil || text == nil {
		return err
	}
	key, err := push.ParseKey(text)
	if err == nil {
		err = ignore(key.Write(dir), fs.ErrExist)
	}
	return err
}

func ownOwner(ctx context.Context, to store.Documents, dir string) error {
	owner, err := common(ctx, to, commonFiles)
	if err != nil || owner == nil {
		return err
	}
	place, err := readPlace(dir)
	if err != nil {
		return err
	}
	return place.name(dir, string(owner))
}
