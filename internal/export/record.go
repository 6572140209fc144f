// Package export is the format of an export: a line of JSON for each document and each
// record, in a text file that people and programs can read.
//
// A line is the message frame of kaban/1 wherever that says everything: a message by
// a visitor that refers to no other entry. Every other record is a line of type
// "entry" with the same fields and those that the frame lacks. A document is a line of
// type "document" with its key and its value: as text, or in base64 if it is no text or
// has control characters. A room whose log was cut has lines of type "front" before its
// records.
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

// Types of lines that are no frames.
const (
	typeEntry    = "entry"
	typeDocument = "document"
	typeFront    = "front"
)

// entryLine is a line of type "entry".
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
	// Files are those of a message: the list that kaban.Files has.
	Files json.RawMessage `json:"files,omitempty"`
	Time  string          `json:"time"`
}

// timeFormat is RFC 3339 with milliseconds, as in frames.
const timeFormat = "2006-01-02T15:04:05.000Z"

// Append appends a record as a line.
func Append(dst []byte, r *store.Record) ([]byte, error) {
	at, name := time.UnixMilli(r.Time).UTC(), r.Author.Name()
	if r.Kind == kaban.KindMessage && r.Target == 0 && r.Files.IsZero() && r.Author == kaban.Visitor(name) {
		return wire.AppendMessage(dst, r.Room.String(), wire.Message{
			Seq: r.Seq, ID: r.ID.String(), Username: name.String(), Content: r.Body, Time: at,
		}), nil
	}
	files := json.RawMessage(r.Files.String())
	line, err := json.Marshal(entryLine{
		Type: typeEntry, Room: r.Room.String(), Seq: r.Seq, Kind: r.Kind, ID: r.ID.String(), Author: r.Author.ID(),
		Username: name.String(), Target: r.Target, Content: r.Body, Files: files, Time: at.Format(timeFormat),
	})
	return append(append(dst, line...), '\n'), err
}

// parse parses a line, and checks it as a server checks a message.
func parse(line []byte) (Line, error) {
	source := wire.NewReader(bytes.NewReader(append(line[:len(line):len(line)], '\n')))
	defer source.Close()
	source.SetLimit(maxLine) // escapes may make a line longer than a frame
	var event wire.Event
	err := source.ReadEvent(&event)
	bad, isBad := errors.AsType[*wire.ReaderError](err)
	switch {
	case isBad && bad.Code == wire.CodeUnknownType, err == nil && event.Type == wire.TypeUnknown:
		return parseOther(line) // it is no frame of this version
	case err != nil:
		return Line{}, err
	case event.Type != wire.TypeMessage:
		return Line{}, fmt.Errorf("this is a frame of type %s and not a message; use the output of \"kaban export\"", event.Type)
	}
	r, author, err := parseCommon(event.Room, event.Username, event.ID, event.Content, event.Seq)
	if err != nil {
		return Line{}, err
	}
	if err := checkText(r.Body); err != nil {
		return Line{}, err
	}
	r.Author, r.Kind, r.Time = kaban.Visitor(author), kaban.KindMessage, event.Time.UnixMilli()
	return Line{Record: &r}, nil
}

// parseOther parses a line that is no frame of kaban/1.
func parseOther(line []byte) (Line, error) {
	var of struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(line, &of); err != nil {
		return Line{}, err
	}
	switch of.Type {
	case typeEntry:
		r, err := parseEntry(line)
		return Line{Record: &r}, err
	case typeDocument:
		d, err := parseDocument(line)
		return Line{Document: &d}, err
	case typeFront:
		f, err := parseFront(line)
		return Line{Front: f}, err
	}
	return Line{}, fmt.Errorf("unknown type %q; use the output of \"kaban export\"", of.Type)
}

// decode decodes a line, which is one object: wire has seen to that.
func decode(line []byte, to any) error {
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	return decoder.Decode(to)
}

// checkText checks the content of a message as a server does. It is empty once the message is
// deleted.
func checkText(content string) error {
	if content == "" {
		return nil
	}
	return kaban.CheckContent(content, kaban.MaxContentCeiling)
}

func parseEntry(line []byte) (store.Record, error) {
	var e entryLine
	if err := decode(line, &e); err != nil {
		return store.Record{}, err
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
		if err := checkText(r.Body); err != nil {
			return r, err
		}
		if r.Files, err = kaban.ParseFiles(string(e.Files)); err != nil {
			return r, err
		}
	case len(e.Files) > 0:
		return r, errors.New("files are of messages only")
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
