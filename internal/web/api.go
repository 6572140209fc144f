package web

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"kaban"
	"kaban/internal/chat"
	"kaban/wire"
)

const (
	// pageBytes bounds the content of a page of messages.
	pageBytes = 256 << 10
	// maxName bounds the name after which a page begins, in bytes.
	maxName = kaban.MaxRoomName * 4
	// postTimeout bounds the time until a message is stored.
	postTimeout = 20 * time.Second
)

// Room is a room in a list.
type Room struct {
	Room    string `json:"room" doc:"The room's name."`
	Head    uint64 `json:"head" doc:"The last seq; 0 if the room is empty."`
	Members int    `json:"members" doc:"Accounts that are members, connected or not, and connected visitors, each once."`
}

// RoomState is one room.
type RoomState struct {
	Room
	Epoch string `json:"epoch" doc:"Identifies the server's data. A seq is only meaningful together with its epoch."`
}

// RoomList is a page of rooms.
type RoomList struct {
	Rooms []Room `json:"rooms" nullable:"false" doc:"Sorted by name."`
	More  bool   `json:"more" doc:"There are more after the last one."`
}

// MemberList is a page of members.
type MemberList struct {
	Room      string   `json:"room" doc:"The room's name."`
	Usernames []string `json:"usernames" nullable:"false" doc:"Sorted, each name once."`
	More      bool     `json:"more" doc:"There are more after the last one."`
}

// MessageList is a page of messages.
type MessageList struct {
	Room     string    `json:"room" doc:"The room's name."`
	Epoch    string    `json:"epoch" doc:"Identifies the server's data."`
	Messages []Message `json:"messages" nullable:"false" doc:"Oldest first."`
	First    uint64    `json:"first,omitempty" minimum:"1" doc:"The first seq that the page covers. Absent if it covers none."`
	Last     uint64    `json:"last,omitempty" minimum:"1" doc:"The last seq that the page covers. Absent if it covers none."`
	More     bool      `json:"more" doc:"There are more in the requested direction."`
}

// Draft is a message to be sent.
type Draft struct {
	ID       string `json:"id" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9._:-]+$" doc:"Your id for this message. Use a new one for each message. Sending a message again with the same id stores nothing."`
	Username string `json:"username,omitempty" minLength:"1" doc:"The author's name. It must not be in use by a connection. With a credential it may be absent, and can only be the account's."`
	Content  string `json:"content" minLength:"1" doc:"The text."`
}

// Receipt says where and when a message was stored.
type Receipt struct {
	Room      string `json:"room" doc:"The room's name."`
	ID        string `json:"id" doc:"The id that was sent."`
	Seq       uint64 `json:"seq" minimum:"1" doc:"The number of the message in its room."`
	Time      string `json:"time" format:"date-time" doc:"When it was stored."`
	Duplicate bool   `json:"duplicate" doc:"The message was already stored; seq and time are those of the first request."`
}

// number is an optional parameter.
type number struct {
	Value uint64
	IsSet bool
}

// Schema implements huma.SchemaProvider.
func (number) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeInteger, Minimum: new(0.0), Maximum: new(float64(wire.MaxNumber))}
}

// Receiver implements huma.ParamWrapper.
func (n *number) Receiver() reflect.Value { return reflect.ValueOf(n).Elem().Field(0) }

// OnParamSet implements huma.ParamReactor.
func (n *number) OnParamSet(isSet bool, _ any) { n.IsSet = isSet }

// limitParam is how much a page may hold.
type limitParam struct{ number }

// Schema implements huma.SchemaProvider.
func (limitParam) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeInteger, Minimum: new(1.0), Maximum: new(float64(wire.MaxLimit))}
}

// Receiver implements huma.ParamWrapper.
func (l *limitParam) Receiver() reflect.Value { return reflect.ValueOf(&l.number).Elem().Field(0) }

// limit returns the limit, 0 if there is none.
func (l limitParam) limit() (int, error) {
	if !l.IsSet {
		return 0, nil
	}
	if l.Value < 1 || l.Value > wire.MaxLimit {
		p := problem(wire.CodeBadLimit, fmt.Sprintf("the limit must be 1 to %d, not %d", wire.MaxLimit, l.Value))
		p.Field, p.Max, p.Actual = "limit", new(wire.MaxLimit), new(int(min(l.Value, wire.MaxNumber)))
		return 0, p
	}
	return int(l.Value), nil
}

// NamePage is the part of a list of names that is asked for.
type NamePage struct {
	After string     `query:"after" doc:"Only names that sort after this, for rooms in whichever spelling."`
	Limit limitParam `query:"limit" doc:"The most names to return; 500 if absent."`
}

func (in *NamePage) check() (limit int, err error) {
	if len(in.After) > maxName {
		p := problem(wire.CodeBadField, fmt.Sprintf("after must have at most %d bytes", maxName))
		p.Field, p.Max, p.Actual = "after", new(maxName), new(len(in.After))
		return 0, p
	}
	return in.Limit.limit()
}

// RoomPath is the room that a path names. (Parameters are found in exported
// structs only.)
type RoomPath struct {
	Room string `path:"room" doc:"The room's name."`
}

type messagesInput struct {
	RoomPath
	Before number     `query:"before" doc:"Return the newest messages with a smaller seq. Without before and after: the newest of all."`
	After  number     `query:"after" doc:"Return the oldest messages with a greater seq."`
	Limit  limitParam `query:"limit" doc:"The most messages to return; 50 if absent. A page with long messages ends earlier, after at least one."`
}

type postInput struct {
	RoomPath
	ContentType string `header:"Content-Type" hidden:"true"`
	RawBody     []byte
}

type output[T any] struct{ Body T }

type postOutput struct {
	Status int
	Body   Receipt
}

// newAPI registers the operations and returns their document.
func (s *Server) newAPI(mux *http.ServeMux) *huma.OpenAPI {
	config := huma.DefaultConfig("Kaban", "1")
	config.Info.Description = "The HTTP interface of a Kaban server, for programs that do not stay connected. Clients that stay connected speak kaban/1 over TCP or WebSocket (/v1/socket) instead. Errors are problem details (RFC 9457) with the codes of kaban/1."
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "", "", "" // the document is served by us, and nothing else
	config.AllowAdditionalPropertiesByDefault = true                     // fields are added, and unknown ones ignored
	config.Transformers = append(config.Transformers, func(_ huma.Context, _ string, v any) (any, error) {
		if p, ok := v.(*Problem); ok {
			s.countProblem(p)
		}
		return v, nil
	})
	config.CreateHooks = nil // which would add links to every answer
	config.Components.SecuritySchemes = securitySchemes()
	api := humago.New(mux, config)
	operation := func(id, method, path, summary string, errors ...int) huma.Operation {
		return huma.Operation{
			OperationID: id, Method: method, Path: path, Summary: summary, Errors: errors,
			MaxBodyBytes: maxBody, BodyReadTimeout: bodyTimeout,
			SkipValidateParams: true, SkipValidateBody: true, // what the handlers say is more precise
		}
	}
	register(s, api, toReaders, operation("list-rooms", http.MethodGet, "/v1/rooms", "List the rooms", 400, 503), s.listRooms)
	register(s, api, toReaders, operation("get-room", http.MethodGet, "/v1/rooms/{room}", "Get the state of a room", 400, 404, 503), s.getRoom)
	register(s, api, toReaders, operation("list-members", http.MethodGet, "/v1/rooms/{room}/members", "List the members of a room", 400, 404, 503), s.listMembers)
	register(s, api, toReaders, operation("list-messages", http.MethodGet, "/v1/rooms/{room}/messages", "Read a page of a room's log", 400, 404, 500, 503), s.listMessages)
	post := operation("post-message", http.MethodPost, "/v1/rooms/{room}/messages", "Send a message to a room", 400, 403, 404, 409, 413, 415, 500, 503, 507)
	post.Description = "Safe to repeat: the same id from the same author is stored once. The response comes after the message is stored."
	draft := api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[Draft](), true, "Draft")
	post.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{jsonType: {Schema: draft}}}
	receipt := api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[Receipt](), true, "Receipt")
	post.Responses = map[string]*huma.Response{
		"200": {Description: "The message was already stored.", Content: map[string]*huma.MediaType{jsonType: {Schema: receipt}}},
		"201": {Description: "The message is stored.", Content: map[string]*huma.MediaType{jsonType: {Schema: receipt}}},
	}
	post.DefaultStatus = http.StatusCreated
	register(s, api, toReaders, post, s.postMessage)
	s.registerSessions(api, operation)
	s.registerDevices(api, operation)
	register(s, api, toAnybody, operation("get-server", http.MethodGet, "/v1/server", "See how one comes in"), s.getServer)
	s.registerPeople(api)
	return api.OpenAPI()
}

const jsonType = "application/json"

// parseRoom returns the room that a path names.
func (s *Server) parseRoom(in RoomPath) (kaban.RoomName, error) {
	name, err := kaban.ParseAnyRoom(in.Room)
	if err != nil {
		p := s.problemOf(err)
		p.Field = "room"
		return name, p
	}
	return name, nil
}

func (s *Server) listRooms(ctx context.Context, in *NamePage) (*output[RoomList], error) {
	limit, err := in.check()
	if err != nil {
		return nil, err
	}
	infos, more, err := whoOf(ctx).user().Rooms(ctx, in.After, limit)
	if err != nil {
		return nil, s.problemOf(err)
	}
	list := RoomList{Rooms: make([]Room, len(infos)), More: more}
	for i, info := range infos {
		list.Rooms[i] = Room{Room: info.Name.String(), Head: info.Head, Members: info.Members}
	}
	return &output[RoomList]{list}, nil
}

func (s *Server) getRoom(ctx context.Context, in *RoomPath) (*output[RoomState], error) {
	name, err := s.parseRoom(*in)
	if err != nil {
		return nil, err
	}
	room, err := whoOf(ctx).user().Room(ctx, name)
	if err != nil {
		return nil, s.problemOf(err)
	}
	return &output[RoomState]{RoomState{
		Room:  Room{Room: room.Name.String(), Head: room.Head, Members: room.Members},
		Epoch: s.chat.Epoch(),
	}}, nil
}

func (s *Server) listMembers(ctx context.Context, in *struct {
	RoomPath
	NamePage
},
) (*output[MemberList], error) {
	name, err := s.parseRoom(in.RoomPath)
	if err != nil {
		return nil, err
	}
	limit, err := in.check()
	if err != nil {
		return nil, err
	}
	members, err := whoOf(ctx).user().Members(ctx, name, in.After, limit)
	if err != nil {
		return nil, s.problemOf(err)
	}
	list := MemberList{Room: members.Room.String(), Usernames: members.Usernames, More: members.More}
	if list.Usernames == nil {
		list.Usernames = []string{}
	}
	return &output[MemberList]{list}, nil
}

func (s *Server) listMessages(ctx context.Context, in *messagesInput) (*output[MessageList], error) {
	name, err := s.parseRoom(in.RoomPath)
	if err != nil {
		return nil, err
	}
	query, err := in.query()
	if err != nil {
		return nil, err
	}
	page, err := whoOf(ctx).user().History(ctx, name, query)
	if err != nil {
		return nil, s.problemOf(err)
	}
	bytes := 0
	for i := range page.Entries {
		bytes += len(page.Entries[i].Content)
	}
	if hold(ctx, bytes) != nil {
		return nil, heldProblem()
	}
	list := MessageList{Room: page.Room.String(), Epoch: s.chat.Epoch(), Messages: make([]Message, len(page.Entries)), More: page.More}
	for i := range page.Entries {
		list.Messages[i] = messageOf(&page.Entries[i])
	}
	list.First, list.Last = page.First, page.Last
	return &output[MessageList]{list}, nil
}

// query returns the page that the parameters ask for.
func (in *messagesInput) query() (chat.Query, error) {
	limit, err := in.Limit.limit()
	if err != nil {
		return chat.Query{}, err
	}
	refuse := func(field, text string) (chat.Query, error) {
		p := problem(wire.CodeBadField, text)
		p.Field = field
		return chat.Query{}, p
	}
	switch {
	case in.Before.IsSet && in.After.IsSet:
		return refuse("before", "before and after exclude each other")
	case in.Before.Value > wire.MaxNumber:
		return refuse("before", fmt.Sprintf("before must not exceed %d", wire.MaxNumber))
	case in.After.Value > wire.MaxNumber:
		return refuse("after", fmt.Sprintf("after must not exceed %d", wire.MaxNumber))
	}
	return chat.Query{
		After: in.After.Value, HasAfter: in.After.IsSet, Before: in.Before.Value, HasBefore: in.Before.IsSet,
		Limit: limit, Bytes: pageBytes,
	}, nil
}

func (s *Server) postMessage(ctx context.Context, in *postInput) (*postOutput, error) {
	if !isJSON(in.ContentType) {
		status := http.StatusUnsupportedMediaType
		return nil, &Problem{Title: http.StatusText(status), Status: status, Detail: "send the message as application/json"}
	}
	name, err := s.parseRoom(in.RoomPath)
	if err != nil {
		return nil, err
	}
	by := whoOf(ctx)
	if err := by.renew(ctx); err != nil { // the body may have taken minutes
		return nil, s.problemOf(err)
	}
	post, err := wire.DecodePost(in.RawBody, s.chat.MaxContent(), by.name())
	if err != nil {
		return nil, s.problemOf(err)
	}
	author := by.user()
	switch username := post.Message.Username(); {
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
	receipt, room, err := author.Post(ctx, name, post.ID, post.Message.Content(), 0)
	if err != nil {
		return nil, s.problemOf(err)
	}
	out := &postOutput{Status: http.StatusCreated, Body: receiptOf(room, receipt)}
	if receipt.Duplicate {
		out.Status = http.StatusOK
	}
	return out, nil
}

func receiptOf(room kaban.RoomName, r chat.Receipt) Receipt {
	return Receipt{Room: room.String(), ID: r.ID, Seq: r.Seq, Time: formatTime(r.Time), Duplicate: r.Duplicate}
}

// formatTime writes milliseconds since 1970 as kaban/1 does. Earlier versions have stored
// bans that end after chat.MaxUntil, which RFC 3339 cannot write.
func formatTime(milliseconds int64) string {
	return time.UnixMilli(min(milliseconds, chat.MaxUntil)).UTC().Format("2006-01-02T15:04:05.000Z")
}
