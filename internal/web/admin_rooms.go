package web

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"kaban"
	"kaban/internal/chat"
	"kaban/internal/people"
	"kaban/wire"
)

// roomOperations are those of admins on rooms. They read none.
func (s *Server) roomOperations(api huma.API) {
	asks(s, api, toActors, aboutPeople("list-all-rooms", http.MethodGet, "/v1/admin/rooms", "List all public and private rooms"), s.listAllRooms)
	does(s, api, toActors, aboutPeople("create-room", http.MethodPost, "/v1/admin/rooms", "Create a room, as a command in the data directory"), s.createRoom)
	does(s, api, toActors, aboutPeople("appoint-op", http.MethodPut, "/v1/admin/rooms/{room}/op", "Make a member of a room op; the room sees it"), s.appointOp)
	asks(s, api, toActors, aboutPeople("too-old", http.MethodGet, "/v1/admin/retention", "How many messages a retention would delete"), s.tooOld)
	does(s, api, toActors, aboutPeople("set-retention", http.MethodPut, "/v1/admin/rooms/{room}/retention", "Change how long the messages of a room are kept; what is older is deleted for good"), s.setRetention)
}

// KnownRoom is a room as admins know it.
type KnownRoom struct {
	Room      string   `json:"room" doc:"The room's name."`
	Kind      string   `json:"kind" enum:"public,private"`
	Flags     []string `json:"flags" nullable:"false" doc:"Of announce, locked and archived."`
	Head      uint64   `json:"head" doc:"The last seq; 0 if the room is empty."`
	Members   int      `json:"members" doc:"The number of members: accounts, and in a public room connected visitors."`
	Retention string   `json:"retention,omitempty" doc:"How long its messages are kept, such as 90d or forever. Absent: as long as the setting retention says."`
	Created   string   `json:"created,omitempty" format:"date-time" doc:"When it was created. Absent if nobody noted it."`
}

// KnownRoomList is a page of rooms as admins know them.
type KnownRoomList struct {
	Rooms []KnownRoom `json:"rooms" nullable:"false" doc:"Sorted by name."`
	More  bool        `json:"more" doc:"There are more after the last one."`
}

// moderator returns whoever acts in rooms without being in them.
func (w *who) moderator() chat.User {
	if w.proof == operatorProof {
		return w.server.chat.Operator()
	}
	return w.user()
}

func (s *Server) listAllRooms(ctx context.Context, by *who, in *NamePage) (KnownRoomList, error) {
	limit, err := in.check()
	if err != nil {
		return KnownRoomList{}, err
	}
	rooms, more, err := by.moderator().RoomsOfServer(ctx, in.After, limit)
	list := KnownRoomList{Rooms: make([]KnownRoom, len(rooms)), More: more}
	for i, r := range rooms {
		list.Rooms[i] = KnownRoom{
			Room: r.Name.String(), Kind: r.Kind.String(), Flags: r.Flags.Texts(), Head: r.Head, Members: r.Members,
			Created: timeOrNone(r.Created), Retention: r.Retention,
		}
	}
	return list, err
}

type newRoomBody struct {
	Room  string   `json:"room" doc:"The name of the room."`
	Kind  string   `json:"kind,omitempty" enum:"public,private" doc:"Default: public."`
	Flags []string `json:"flags,omitempty" nullable:"false" doc:"Of announce, locked and archived."`
	Op    string   `json:"op,omitempty" doc:"The username of its op, in whose name it is made. Default: the owner of the server."`
}

func (s *Server) createRoom(ctx context.Context, by *who, in *JSON[newRoomBody]) error {
	body, err := in.read(s)
	if err != nil {
		return err
	}
	name, err := kaban.ParseRoomName(body.Room)
	if err != nil {
		return err
	}
	room := chat.NewRoom{Kind: kaban.RoomPublic}
	if body.Kind != "" {
		if room.Kind, err = kaban.ParseRoomKind(body.Kind); err != nil || room.Kind == kaban.RoomDirect {
			return fieldProblem(wire.CodeBadField, "kind", "kind: public or private")
		}
	}
	if room.Flags, err = kaban.ParseRoomFlags(body.Flags); err != nil {
		return fieldProblem(wire.CodeBadField, "flags", "flags: "+err.Error())
	}
	return by.moderator().CreateFor(ctx, body.Op, name, room)
}

// TooOld is what a retention would delete.
type TooOld struct {
	Messages uint64 `json:"messages" doc:"The number of messages, counted now. Other entries go with them."`
	Rooms    int    `json:"rooms" doc:"The number of rooms with any of them."`
}

func (s *Server) tooOld(ctx context.Context, by *who, in *struct {
	Room  string `query:"room" doc:"A room. Without one: all rooms that have no retention of their own."`
	Value string `query:"value" required:"true" doc:"The retention: forever, or days such as 90d."`
},
) (TooOld, error) {
	if err := s.config.Accounts.MayRetain(ctx, by.actor(), in.Room, in.Value); err != nil {
		return TooOld{}, err
	}
	days, err := people.ParseRetention(in.Value)
	if err != nil {
		return TooOld{}, err
	}
	var room kaban.RoomName
	if in.Room != "" {
		if room, err = s.parseRoom(RoomPath{in.Room}); err != nil {
			return TooOld{}, err
		}
	}
	messages, rooms, err := s.chat.TooOld(ctx, room, days)
	return TooOld{messages, rooms}, err
}

type retentionBody struct {
	Value string `json:"value" doc:"How long messages are kept: forever, or days such as 90d. Empty: as long as the setting retention says."`
}

func (s *Server) setRetention(ctx context.Context, by *who, in *struct {
	RoomPath
	JSON[retentionBody]
},
) error {
	body, err := in.read(s)
	if err != nil {
		return err
	}
	return s.config.Accounts.SetRetention(ctx, by.actor(), in.Room, body.Value)
}

type opBody struct {
	Username string `json:"username" doc:"A member of the room."`
}

func (s *Server) appointOp(ctx context.Context, by *who, in *struct {
	RoomPath
	JSON[opBody]
},
) error {
	room, err := s.parseRoom(in.RoomPath)
	if err != nil {
		return err
	}
	body, err := in.read(s)
	if err != nil {
		return err
	}
	member, err := kaban.ParseUsername(body.Username)
	if err != nil {
		return err
	}
	err = by.moderator().Appoint(ctx, room, member)
	if errors.Is(err, chat.ErrNotFound) {
		return by.noMember(ctx, room, member)
	}
	return err
}

// noMember says which of both there is not: the room, or the member. Whoever lists all
// rooms may know; nobody else does.
func (w *who) noMember(ctx context.Context, room kaban.RoomName, member kaban.Username) error {
	err := w.moderator().CheckRoom(ctx, room)
	switch {
	case err == nil:
		return problem(wire.CodeNotFound, member.String()+" is not a member of "+room.String())
	case errors.Is(err, chat.ErrNotFound):
		return problem(wire.CodeNotFound, "there is no room "+room.String()+"; \"kaban room list\" shows all")
	}
	return problem(wire.CodeNotFound, "there is no such room, or no such member in it")
}
