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
	"kaban/internal/frame"
	"kaban/wire"
)

const (
	// pageBytes bounds the content of a page of messages.
	pageBytes = 256 << 10
	// maxName bounds the name after which a page begins, in bytes.
	maxName = kaban.MaxRoomName * 4
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
	Room     string             `json:"room" doc:"The room's name."`
	Epoch    string             `json:"epoch" doc:"Identifies the server's data."`
	Messages []written[Message] `json:"messages" nullable:"false" doc:"Oldest first. Edits, deletions, reactions and pins are in the messages that they change, and no elements."`
	First    uint64             `json:"first,omitempty" minimum:"1" doc:"The first seq that the page covers, which may be that of a change of a message. Absent if it covers none."`
	Last     uint64             `json:"last,omitempty" minimum:"1" doc:"The last seq that the page covers. Absent if it covers none."`
	AsOf     uint64             `json:"as_of,omitempty" minimum:"1" doc:"The messages are as the entries up to this seq have left them. Absent if the room is empty."`
	More     bool               `json:"more" doc:"There are more in the requested direction."`
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

// seqParam is the seq of an entry.
type seqParam struct{ number }

// Schema implements huma.SchemaProvider.
func (seqParam) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeInteger, Minimum: new(1.0), Maximum: new(float64(wire.MaxNumber))}
}

// Receiver implements huma.ParamWrapper.
func (n *seqParam) Receiver() reflect.Value { return reflect.ValueOf(&n.number).Elem().Field(0) }

// check returns a *Problem if the seq is set and cannot be that of an entry.
func (n seqParam) check(name string) error {
	if n.IsSet && (n.Value < 1 || n.Value > wire.MaxNumber) {
		return fieldProblem(wire.CodeBadField, name, fmt.Sprintf("%s must be 1 to %d", name, wire.MaxNumber))
	}
	return nil
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
	Before    number     `query:"before" doc:"Return the newest messages with a smaller seq. Without before and after: the newest of all."`
	After     number     `query:"after" doc:"Return the oldest messages with a greater seq."`
	RepliesTo seqParam   `query:"replies_to" doc:"Return only messages that answer the one with this seq: its thread."`
	Limit     limitParam `query:"limit" doc:"The most messages to return; 50 if absent. A page with long messages ends earlier, after at least one."`
}

type output[T any] struct{ Body T }

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
	register(s, api, toReaders, operation("list-messages", http.MethodGet, "/v1/rooms/{room}/messages", "Read a page of a room's history", 400, 404, 500, 503), s.listMessages)
	register(s, api, toReaders, operation("search-messages", http.MethodGet, "/v1/search", "Search messages", 400, 404, 429, 503), s.searchMessages)
	s.previewOperation(api, operation)
	s.writeOperations(api, operation)
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
	by := whoOf(ctx).identity.ID()
	bytes, fit := 0, 0
	for i := range page.Entries {
		if page.Newest {
			i = len(page.Entries) - 1 - i
		}
		if bytes += frame.Size(&page.Entries[i], by); bytes > pageBytes && fit > 0 {
			break
		}
		fit++
	}
	page.Cut(fit)
	if hold(ctx, bytes) != nil {
		return nil, heldProblem()
	}
	elements := wire.Event{AsOf: page.AsOf}
	frame.Page(&elements, page.Entries, by)
	list := MessageList{
		Room: page.Room.String(), Epoch: s.chat.Epoch(), Messages: make([]written[Message], len(elements.Entries)),
		First: page.First, Last: page.Last, AsOf: page.AsOf, More: page.More,
	}
	for i := range elements.Entries {
		list.Messages[i] = written[Message]{&elements.Entries[i]}
	}
	return &output[MessageList]{list}, nil
}

// query returns the page that the parameters ask for.
func (in *messagesInput) query() (chat.Query, error) {
	limit, err := in.Limit.limit()
	if err != nil {
		return chat.Query{}, err
	}
	if err := in.RepliesTo.check("replies_to"); err != nil {
		return chat.Query{}, err
	}
	refuse := func(field, text string) (chat.Query, error) {
		return chat.Query{}, fieldProblem(wire.CodeBadField, field, text)
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
		RepliesTo: in.RepliesTo.Value, Limit: limit, Bytes: pageBytes,
	}, nil
}

// formatTime writes milliseconds since 1970 as kaban/1 does. Earlier versions have stored
// bans that end after chat.MaxUntil, which RFC 3339 cannot write.
func formatTime(milliseconds int64) string {
	return time.UnixMilli(min(milliseconds, chat.MaxUntil)).UTC().Format("2006-01-02T15:04:05.000Z")
}
