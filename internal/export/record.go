// Package export is the format of an export: a line of JSON for each record, in a
// text file that people and programs can read.
//
// A line is the message frame of kaban/1 wherever that says everything: a message by
// a visitor that refers to no other entry. Every other record is a line of type
// "entry" with the same fields and those that the frame lacks.
package export

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"kaban"
	"kaban/internal/store"
	"kaban/wire"
)

// typeEntry is the type of lines that are no frames.
const typeEntry = "entry"

// entryLine is such a line.
type entryLine struct {
	Type     string     `json:"type"`
	Room     string     `json:"room"`
	Seq      uint64     `json:"seq"`
	Kind     kaban.Kind `json:"kind"`
	ID       string     `json:"id"`
	Author   string     `json:"author"` // kaban.Identity.ID
	Username string     `json:"username"`
	Target   uint64     `json:"target,omitempty"`
	Content  string     `json:"content"`
	Time     string     `json:"time"`
}

// timeFormat is RFC 3339 with milliseconds, as in frames.
const timeFormat = "2006-01-02T15:04:05.000Z"

// Append appends a record as a line.
func Append(dst []byte, r *store.Record) ([]byte, error) {
	at, name := time.UnixMilli(r.Time).UTC(), r.Author.Name()
	if r.Kind == kaban.KindMessage && r.Target == 0 && r.Author == kaban.Visitor(name) {
		return wire.AppendMessage(dst, r.Room.String(), wire.Message{
			Seq: r.Seq, ID: r.ID.String(), Username: name.String(), Content: r.Body, Time: at,
		}), nil
	}
	line, err := json.Marshal(entryLine{
		Type: typeEntry, Room: r.Room.String(), Seq: r.Seq, Kind: r.Kind, ID: r.ID.String(), Author: r.Author.ID(),
		Username: name.String(), Target: r.Target, Content: r.Body, Time: at.Format(timeFormat),
	})
	return append(append(dst, line...), '\n'), err
}

// parseRecord parses a line, and checks it as a server checks a message.
func parseRecord(line []byte) (store.Record, error) {
	source := wire.NewReader(bytes.NewReader(append(line[:len(line):len(line)], '\n')))
	defer source.Close()
	source.SetLimit(maxLine) // escapes may make a line longer than a frame
	var event wire.Event
	err := source.ReadEvent(&event)
	bad, isBad := errors.AsType[*wire.ReaderError](err)
	switch {
	case isBad && bad.Code == wire.CodeUnknownType, err == nil && event.Type == wire.TypeUnknown:
		return parseEntry(line) // it is no frame of this version
	case err != nil:
		return store.Record{}, err
	case event.Type != wire.TypeMessage:
		return store.Record{}, fmt.Errorf("this is a frame of type %s and not a message; use the output of \"kaban export\"", event.Type)
	}
	r, author, err := parseCommon(event.Room, event.Username, event.ID, event.Content, event.Seq)
	if err != nil {
		return r, err
	}
	if err := kaban.CheckContent(r.Body, kaban.MaxContentCeiling); err != nil {
		return r, err
	}
	r.Author, r.Kind, r.Time = kaban.Visitor(author), kaban.KindMessage, event.Time.UnixMilli()
	return r, nil
}

// parseEntry parses a line that is no frame of kaban/1.
func parseEntry(line []byte) (store.Record, error) {
	var e entryLine
	decoder := json.NewDecoder(bytes.NewReader(line)) // of one object: wire has seen to that
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&e); err != nil {
		return store.Record{}, err
	}
	if e.Type != typeEntry {
		return store.Record{}, fmt.Errorf("unknown type %q; use the output of \"kaban export\"", e.Type)
	}
	r, author, err := parseCommon(e.Room, e.Username, e.ID, e.Content, e.Seq)
	if err != nil {
		return r, err
	}
	if r.Author, err = kaban.ParseIdentity(e.Author, author); err != nil {
		return r, fmt.Errorf("author: %w", err)
	}
	at, err := time.Parse(timeFormat, e.Time)
	if err != nil {
		return r, fmt.Errorf("time: %w", err)
	}
	switch {
	case e.Kind == 0:
		return r, errors.New("kind is missing")
	case e.Kind == kaban.KindMessage:
		if err := kaban.CheckContent(r.Body, kaban.MaxContentCeiling); err != nil {
			return r, err
		}
	}
	r.Kind, r.Target, r.Time = e.Kind, e.Target, at.UnixMilli()
	return r, nil
}

// parseCommon parses the fields that all lines have.
func parseCommon(room, username, id, content string, seq uint64) (r store.Record, author kaban.Username, err error) {
	if r.Room, err = kaban.ParseAnyRoom(room); err != nil {
		return r, author, fmt.Errorf("room: %w", err)
	}
	if author, err = kaban.ParseUsername(username); err != nil {
		return r, author, err
	}
	if r.ID, err = kaban.ParseMessageID(id); err != nil {
		return r, author, err
	}
	if seq == 0 {
		return r, author, errors.New("seq is 0, but the first message of a room is 1")
	}
	r.Seq, r.Body = seq, content
	return r, author, nil
}
