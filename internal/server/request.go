package server

import (
	"unicode/utf8"

	"kaban"
	"kaban/internal/conn"
	"kaban/wire"
)

// request is how the server treats a type of request.
type request struct {
	need conn.Need // to carry it out
	// cost is how much work it is, in units of about a microsecond, so that each
	// connection gets its share of a round. A list adds its length, which is less
	// work than that, but only sends gain by being many.
	cost func(c *client, r *wire.Request) int
	do   func(c *client, r *wire.Request)
}

// requests is the table of all requests: a new one is a line here and a method.
var requests = [...]request{
	wire.TypeHello:   {conn.NeedReply, (*client).listCost, (*client).hello},
	wire.TypeJoin:    {conn.NeedReply, (*client).memberCost, (*client).join},
	wire.TypeSend:    {conn.NeedSend, (*client).roomCost, (*client).send},
	wire.TypeEdit:    {conn.NeedSend, (*client).roomCost, (*client).change},
	wire.TypeDelete:  {conn.NeedSend, (*client).roomCost, (*client).change},
	wire.TypeReact:   {conn.NeedSend, (*client).roomCost, (*client).change},
	wire.TypePin:     {conn.NeedSend, (*client).roomCost, (*client).change},
	wire.TypeHistory: {conn.NeedReply, (*client).listCost, (*client).history},
	wire.TypeSearch:  {conn.NeedReply, (*client).listCost, (*client).search},
	wire.TypePart:    {conn.NeedReceipts, (*client).memberCost, (*client).part}, // sends before it are acknowledged first
	wire.TypeRooms:   {conn.NeedReply, (*client).listCost, (*client).listRooms},
	wire.TypeMembers: {conn.NeedReply, (*client).listCost, (*client).listMembers},
	wire.TypeMe:      {conn.NeedReply, (*client).listCost, (*client).me},
	wire.TypeCreate:  {conn.NeedReply, (*client).memberCost, (*client).create},
	wire.TypeDirect:  {conn.NeedReply, (*client).memberCost, (*client).direct},
	wire.TypeInvite:  {conn.NeedSend, (*client).memberCost, (*client).act},
	wire.TypeKick:    {conn.NeedSend, (*client).memberCost, (*client).act},
	wire.TypeBan:     {conn.NeedSend, (*client).memberCost, (*client).act},
	wire.TypeUnban:   {conn.NeedSend, (*client).memberCost, (*client).act},
	wire.TypeMute:    {conn.NeedSend, (*client).memberCost, (*client).act},
	wire.TypeUnmute:  {conn.NeedSend, (*client).memberCost, (*client).act},
	wire.TypeRole:    {conn.NeedSend, (*client).memberCost, (*client).act},
	wire.TypeTopic:   {conn.NeedSend, (*client).memberCost, (*client).act},
	wire.TypeSet:     {conn.NeedSend, (*client).memberCost, (*client).act},
	wire.TypeRead:    {conn.NeedReply, (*client).listCost, (*client).read},
	wire.TypeUnread:  {conn.NeedReply, (*client).listCost, (*client).unread},
	wire.TypeNotify:  {conn.NeedReply, (*client).listCost, (*client).notify},
	wire.TypeWatch:   {conn.NeedReply, (*client).memberCost, (*client).watch},
	wire.TypeUnwatch: {conn.NeedReply, (*client).memberCost, (*client).unwatch},
	wire.TypeAway:    {conn.NeedReply, (*client).listCost, (*client).away},
	wire.TypeInbox:   {conn.NeedReply, (*client).listCost, (*client).inbox},
	wire.TypeTyping:  {conn.NeedReply, (*client).roomCost, (*client).typing},
	wire.TypePing:    {conn.NeedReply, (*client).listCost, (*client).ping},
	wire.TypePong:    {conn.NeedReply, (*client).listCost, (*client).pong},
}

// requestOf returns the row of a type that a wire.Reader gives.
func requestOf(t wire.Type) *request { return &requests[t] }

const (
	// memberChange is the cost of a change of members.
	memberChange = 8
	// roomsPerUnit is the number of rooms of a connection that one unit searches.
	roomsPerUnit = 64
)

// roomCost is for a request about a room that the client is in.
func (c *client) roomCost(r *wire.Request) int {
	return 1 + len(c.handler.Subscriptions())/roomsPerUnit + nameCost(r.Room)
}

func (c *client) memberCost(r *wire.Request) int { return memberChange + c.roomCost(r) }

func (c *client) listCost(r *wire.Request) int { return 1 + nameCost(r.Room) }

// nameCost is for reading the name of a room. A name beyond ASCII takes up to two
// microseconds for each code point.
func nameCost(room kaban.RoomName) int {
	name := room.String()
	for i := range len(name) {
		if name[i] >= utf8.RuneSelf {
			return len(name)
		}
	}
	return 0
}

func (c *client) ping(r *wire.Request) { c.reply(answer(wire.TypePong, r.Ref)) }

func (c *client) pong(*wire.Request) {}
