package web

import (
	"context"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"kaban"
	"kaban/internal/chat"
	"kaban/wire"
)

// postTimeout bounds the time until an entry is stored.
const postTimeout = 20 * time.Second

// Draft is a message to be sent.
type Draft struct {
	ID       string   `json:"id" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9._:-]+$" doc:"Your id for this message. Use a new one for each message. Sending a message again with the same id stores nothing."`
	Username string   `json:"username,omitempty" minLength:"1" doc:"The author's name. It must not be in use by a connection. With a credential it may be absent, and can only be the account's."`
	Content  string   `json:"content,omitempty" doc:"The text. It may be empty or absent if there are files."`
	ReplyTo  uint64   `json:"reply_to,omitempty" minimum:"1" doc:"The seq of the message in this room that it answers."`
	Files    []string `json:"files,omitempty" nullable:"false" maxItems:"10" doc:"The ids of its files, in the order in which it shows them: files of this account that no message has yet."`
}

// Edit is what becomes of a message.
type Edit struct {
	ID       string `json:"id" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9._:-]+$" doc:"Your id for this edit. Use a new one for each message and each change. Repeating an edit with the same id stores nothing."`
	Username string `json:"username,omitempty" minLength:"1" doc:"The author's name, as in a message."`
	Content  string `json:"content" doc:"The new text, all of it. It may be empty if the message has files."`
	Base     uint64 `json:"base,omitempty" minimum:"1" doc:"The seq of the text that is replaced: that of its last edit, or of the message. If it was edited since, the answer is 409 edit_conflict. If it is absent, any text is replaced."`
}

// Receipt says where and when an entry was stored.
type Receipt struct {
	Room      string `json:"room" doc:"The room's name."`
	ID        string `json:"id" doc:"The id that was sent."`
	Seq       uint64 `json:"seq" minimum:"1" doc:"The number of the entry in its room."`
	Time      string `json:"time" format:"date-time" doc:"When it was stored."`
	Duplicate bool   `json:"duplicate" doc:"It was stored before, or there was nothing to change; seq and time are those of the entry that is the reason."`
}

// MessagePath is the message that a path names. (Parameters are found in exported structs
// only.)
type MessagePath struct {
	RoomPath
	Seq seqParam `path:"seq" doc:"The seq of the message."`
}

// EmojiPath is the reaction that a path names.
type EmojiPath struct {
	MessagePath
	Emoji string `path:"emoji" doc:"The emoji."`
}

// By is what a body would have, for requests without one.
type By struct {
	ID       string `query:"id" required:"true" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9._:-]+$" doc:"Your id for this change. Use a new one for each message and each change. Repeating it with the same id stores nothing."`
	Username string `query:"username" minLength:"1" doc:"The name of whoever makes the change, as in a message."`
}

// TextBody is a body with a content.
type TextBody struct {
	ContentType string `header:"Content-Type" hidden:"true"`
	RawBody     []byte
}

type postInput struct {
	RoomPath
	TextBody
}

type editInput struct {
	MessagePath
	TextBody
}

type deleteInput struct {
	MessagePath
	By
	Reason string `query:"reason" maxLength:"256" doc:"Why, for people: one line."`
}

type reactInput struct {
	EmojiPath
	By
}

type pinInput struct {
	MessagePath
	By
}

type receiptOutput struct {
	Status int
	Body   Receipt
}

// writeOperations are those that add an entry to a room's log.
func (s *Server) writeOperations(api huma.API, operation func(id, method, path, summary string, errors ...int) huma.Operation) {
	receipt := map[string]*huma.MediaType{jsonType: {Schema: schemaOf[Receipt](api)}}
	writes := func(id, method, path, summary, stored, duplicate string) huma.Operation {
		op := operation(id, method, path, summary, 400, 403, 404, 409, 410, 429, 500, 503, 507)
		op.Description = "Safe to repeat: the same id from the same author is stored once. The response comes after it is stored."
		op.DefaultStatus = http.StatusCreated
		op.Responses = map[string]*huma.Response{
			"200": {Description: duplicate, Content: receipt},
			"201": {Description: stored, Content: receipt},
		}
		return op
	}
	withBody := func(op huma.Operation, body reflect.Type) huma.Operation {
		schema := api.OpenAPI().Components.Schemas.Schema(body, true, body.Name())
		op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{jsonType: {Schema: schema}}}
		op.Errors = append(op.Errors, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
		return op
	}
	const (
		messages = "/v1/rooms/{room}/messages"
		message  = messages + "/{seq}"
		reaction = message + "/reactions/{emoji}"
		pin      = message + "/pin"
	)
	register(s, api, toReaders, withBody(writes("post-message", http.MethodPost, messages, "Send a message to a room",
		"The message is stored.", "The message was already stored."), reflect.TypeFor[Draft]()), s.postMessage)
	register(s, api, toReaders, withBody(writes("edit-message", http.MethodPatch, message, "Edit a message of yours",
		"The edit is stored.", "The edit was already stored."), reflect.TypeFor[Edit]()), s.editMessage)
	register(s, api, toReaders, writes("delete-message", http.MethodDelete, message, "Delete a message: its text is gone, its seq stays",
		"The message is deleted.", "The same request has deleted it."), s.deleteMessage)
	register(s, api, toReaders, writes("react", http.MethodPut, reaction, "React to a message",
		"The reaction is stored.", "It was there already."), s.reactAs(true))
	register(s, api, toReaders, writes("unreact", http.MethodDelete, reaction, "Take a reaction of yours back",
		"It is taken back.", "There was none."), s.reactAs(false))
	register(s, api, toReaders, writes("pin", http.MethodPut, pin, "Pin a message",
		"It is pinned.", "It was pinned already."), s.pinAs(true))
	register(s, api, toReaders, writes("unpin", http.MethodDelete, pin, "Unpin a message",
		"It is not pinned any more.", "It was not pinned."), s.pinAs(false))
}

func (s *Server) postMessage(ctx context.Context, in *postInput) (*receiptOutput, error) {
	return s.writeText(ctx, in.RoomPath, &in.TextBody, wire.DecodePost, func(ctx context.Context, author chat.User, room kaban.RoomName, p *wire.Post) (chat.Receipt, kaban.RoomName, error) {
		return author.PostFiles(ctx, room, p.ID, p.Message.Content(), p.ReplyTo, p.Files)
	})
}

func (s *Server) editMessage(ctx context.Context, in *editInput) (*receiptOutput, error) {
	if err := in.Seq.check("seq"); err != nil {
		return nil, err
	}
	return s.writeText(ctx, in.RoomPath, &in.TextBody, wire.DecodeEdit, func(ctx context.Context, author chat.User, room kaban.RoomName, p *wire.Post) (chat.Receipt, kaban.RoomName, error) {
		return author.Change(ctx, room, p.ID, chat.Change{Kind: kaban.KindEdit, Target: in.Seq.Value, Content: p.Message.Content(), Base: p.Base})
	})
}

// writeText stores what a body says.
func (s *Server) writeText(
	ctx context.Context, path RoomPath, in *TextBody,
	decode func(body []byte, maxContent int, sender kaban.Username) (wire.Post, error),
	write func(context.Context, chat.User, kaban.RoomName, *wire.Post) (chat.Receipt, kaban.RoomName, error),
) (*receiptOutput, error) {
	if !isJSON(in.ContentType) {
		return nil, unsupportedType(jsonType)
	}
	room, err := s.parseRoom(path)
	if err != nil {
		return nil, err
	}
	by := whoOf(ctx)
	if err := by.renew(ctx); err != nil { // the body may have taken minutes
		return nil, s.problemOf(err)
	}
	post, err := decode(in.RawBody, s.chat.MaxContent(), by.name())
	if err != nil {
		return nil, s.problemOf(err)
	}
	return s.write(ctx, by, post.Author, func(ctx context.Context, author chat.User) (chat.Receipt, kaban.RoomName, error) {
		return write(ctx, author, room, &post)
	})
}

func (s *Server) deleteMessage(ctx context.Context, in *deleteInput) (*receiptOutput, error) {
	if err := wire.CheckReason(in.Reason); err != nil {
		return nil, s.problemOf(err)
	}
	return s.change(ctx, &in.MessagePath, &in.By, chat.Change{Kind: kaban.KindDelete, Reason: in.Reason})
}

func (s *Server) reactAs(on bool) func(context.Context, *reactInput) (*receiptOutput, error) {
	return func(ctx context.Context, in *reactInput) (*receiptOutput, error) {
		return s.change(ctx, &in.MessagePath, &in.By, chat.Change{Kind: kaban.KindReact, Emoji: in.Emoji, On: on})
	}
}

func (s *Server) pinAs(on bool) func(context.Context, *pinInput) (*receiptOutput, error) {
	return func(ctx context.Context, in *pinInput) (*receiptOutput, error) {
		return s.change(ctx, &in.MessagePath, &in.By, chat.Change{Kind: kaban.KindPin, On: on})
	}
}

// change stores a change of a message that has no body.
func (s *Server) change(ctx context.Context, path *MessagePath, in *By, change chat.Change) (*receiptOutput, error) {
	room, err := s.parseRoom(path.RoomPath)
	if err != nil {
		return nil, err
	}
	if err := path.Seq.check("seq"); err != nil {
		return nil, err
	}
	id, username, by, err := s.readBy(ctx, in)
	if err != nil {
		return nil, err
	}
	change.Target = path.Seq.Value
	return s.write(ctx, by, username, func(ctx context.Context, author chat.User) (chat.Receipt, kaban.RoomName, error) {
		return author.Change(ctx, room, id, change)
	})
}

// readBy returns what the parameters say, or a *Problem.
func (s *Server) readBy(ctx context.Context, in *By) (id kaban.MessageID, username kaban.Username, by *who, err error) {
	refuse := func(field string, err error) (kaban.MessageID, kaban.Username, *who, error) {
		p := s.problemOf(err)
		p.Field = field
		return id, username, by, p
	}
	by = whoOf(ctx)
	if in.ID == "" {
		return id, username, by, fieldProblem(wire.CodeMissingField, "id", "id: the parameter is missing")
	}
	if id, err = kaban.ParseMessageID(in.ID); err != nil {
		return refuse("id", err)
	}
	switch username = by.name(); {
	case in.Username != "":
		if username, err = kaban.ParseUsername(in.Username); err != nil {
			return refuse("username", err)
		}
	case username.IsZero():
		return id, username, by, fieldProblem(wire.CodeMissingField, "username", "username: the parameter is missing")
	}
	return id, username, by, nil
}

// write stores an entry by an author with a name, which is that of the account if there is
// one.
func (s *Server) write(
	ctx context.Context, by *who, username kaban.Username,
	store func(context.Context, chat.User) (chat.Receipt, kaban.RoomName, error),
) (*receiptOutput, error) {
	author := by.user()
	switch {
	case !by.isAccount():
		author = by.visitor(username)
	case username.Key() != by.name().Key():
		p := s.problemOf(chat.ErrForbidden)
		p.Field, p.Detail = "username", "the username is another one than that of the account; leave it out"
		return nil, p
	}
	if err := s.limitMessage(by); err != nil {
		return nil, s.problemOf(err)
	}
	ctx, cancel := context.WithTimeout(ctx, postTimeout)
	defer cancel()
	receipt, room, err := store(ctx, author)
	if err != nil {
		return nil, s.problemOf(err)
	}
	out := &receiptOutput{Status: http.StatusCreated, Body: Receipt{
		Room: room.String(), ID: receipt.ID, Seq: receipt.Seq, Time: formatTime(receipt.Time), Duplicate: receipt.Duplicate,
	}}
	if receipt.Duplicate {
		out.Status = http.StatusOK
	}
	return out, nil
}
