package upload

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"kaban/internal/failpoint"
	"kaban/internal/failpoint/disk"
)

// A record begins with two slots, each with an offset and its checksum. They are written in
// turn: if one is torn, the other has an earlier offset. Offsets only grow, and
// the bytes before one are durable before it is written, so the greater of the good ones counts.
const (
	slotSize = 32
	slots    = 2
)

// newID returns 128 random bits as 26 characters.
func newID() string { return strings.ToLower(rand.Text()) }

// ours matches the names of files of uploads, and finds the id.
var ours = regexp.MustCompile(`^([a-z2-7]{26})\.[a-z]+$`)

func slotOf(offset int64) []byte {
	text := fmt.Sprintf("%022d ", offset)
	return fmt.Appendf(nil, "%s%08x\n", text, crc32.ChecksumIEEE([]byte(text)))
}

// offsetOf returns the offset in a slot, or below zero.
func offsetOf(slot []byte) int64 {
	var offset int64
	if _, err := fmt.Sscanf(string(slot), "%d", &offset); err != nil || offset < 0 || string(slotOf(offset)) != string(slot) {
		return -1
	}
	return offset
}

// saved is the constant part of a record.
type saved struct {
	Owner  string            `json:"owner"`
	Length int64             `json:"length"`
	Name   string            `json:"name"`
	Meta   map[string]string `json:"meta,omitempty"`
	Begun  time.Time         `json:"begun"`
	Answer map[string]string `json:"answer,omitempty"`
}

// make creates the files of an upload. The record comes last and whole: without it there is
// no upload.
func (s *Staging) make(e *entry) (err error) {
	id := e.info.ID
	defer func() {
		if err != nil {
			err = errors.Join(err, s.removeRest(id, ""))
		}
	}()
	data, err := disk.OpenFile(s.path(id, dataSuffix), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := data.Close(); err != nil {
		return err
	}
	failpoint.Point("upload.data-made")
	draft := s.path(id, draftSuffix)
	if err := s.writeRecord(draft, e.info); err != nil {
		return err
	}
	failpoint.Point("upload.record-written")
	if err := disk.Rename(draft, s.path(id, infoSuffix)); err != nil {
		return err
	}
	failpoint.Point("upload.record-renamed")
	return disk.SyncDirectory(s.dir)
}

// writeRecord makes a record of an upload without bytes, which is durable once its name is.
func (s *Staging) writeRecord(path string, i Info) error {
	constant, err := json.Marshal(saved{i.Owner, i.Length, i.Name, i.Meta, i.Begun, i.Answer})
	if err != nil {
		return err
	}
	f, err := disk.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(append(append(slotOf(0), slotOf(0)...), constant...), 0)
	return errors.Join(err, f.Sync(), f.Close())
}

// record notes durably that an upload has so many durable bytes.
func (s *Staging) record(e *entry, offset int64) error {
	f, err := disk.OpenFile(s.path(e.info.ID, infoSuffix), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(slotOf(offset), int64(e.slot*slotSize))
	failpoint.Point("upload.offset-written")
	if err := errors.Join(err, f.SyncData(), f.Close()); err != nil {
		return err
	}
	e.slot = (e.slot + 1) % slots
	return nil
}

// load reads the directory.
func (s *Staging) load() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	removed := false
	for _, entry := range entries {
		id := strings.TrimSuffix(entry.Name(), filepath.Ext(entry.Name()))
		suffix := filepath.Ext(entry.Name())
		if !ours.MatchString(entry.Name()) || suffix != infoSuffix && suffix != doneSuffix {
			continue
		}
		if _, ok := s.all[id]; ok { // settled: ID.done comes before ID.info
			continue
		}
		e, err := s.read(id, suffix)
		if err != nil {
			return err
		}
		if e != nil {
			s.keep(e)
		}
	}
	for _, entry := range entries {
		match := ours.FindStringSubmatch(entry.Name())
		if match == nil {
			continue
		}
		suffix := filepath.Ext(entry.Name())
		if !slices.Contains(suffixes, suffix) {
			continue
		}
		if e, ok := s.all[match[1]]; ok && (e.info.Settled && suffix == doneSuffix || !e.info.Settled && (suffix == dataSuffix || suffix == infoSuffix)) {
			continue
		}
		if err := ignoreMissing(disk.Remove(filepath.Join(s.dir, entry.Name()))); err != nil {
			return err
		}
		removed = true
	}
	if removed {
		return disk.SyncDirectory(s.dir)
	}
	return nil
}

// read returns the upload with a record, or nil if there is nothing to go on with.
func (s *Staging) read(id, suffix string) (*entry, error) {
	path := s.path(id, suffix)
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	// The time of day counts once, here. It may have jumped back.
	age := max(s.began.Sub(info.ModTime()), 1)
	e := &entry{info: Info{ID: id, Settled: suffix == doneSuffix}, touched: s.began.Add(-age)}
	var constant saved
	if len(text) < slots*slotSize || json.Unmarshal(text[slots*slotSize:], &constant) != nil {
		s.log.Error("the record of an upload is damaged, so the upload is removed", "changed", info.ModTime())
		return nil, nil
	}
	e.info.Draft = Draft{constant.Owner, constant.Length, constant.Name, constant.Meta}
	e.info.Answer = constant.Answer
	e.info.Begun, e.reserved = constant.Begun, max(constant.Length, 0)
	if e.info.Settled {
		e.info.Offset = e.info.Length
		return e, nil
	}
	if e.info.Length == Unknown {
		return nil, nil
	}
	for slot := range slots {
		if offset := offsetOf(text[slot*slotSize : (slot+1)*slotSize]); offset > e.info.Offset {
			e.info.Offset, e.slot = offset, (slot+1)%slots
		}
	}
	return s.cut(e)
}

// cut brings the data of an upload to its offset.
func (s *Staging) cut(e *entry) (*entry, error) {
	f, err := disk.OpenFile(s.path(e.info.ID, dataSuffix), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		s.log.Error("the bytes of an upload are gone, so the upload is removed", "begun", e.info.Begun)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Size() > e.info.Offset {
		err = errors.Join(f.Truncate(e.info.Offset), f.SyncData())
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if info.Size() < e.info.Offset || e.info.Offset > e.info.Length {
		s.log.Error("an upload has not the bytes that its record says, so it is removed", "begun", e.info.Begun, "bytes", info.Size(), "recorded", e.info.Offset)
		return nil, nil
	}
	return e, nil
}
