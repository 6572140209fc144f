package product

import (
	"fmt"

	"kaban"
	"kaban/internal/access"
)

// asker makes requests of somebody.
type asker struct {
	*world
	username string
}

// act returns a request about somebody in a room, with a new id.
func (w *world) act(what, room, subject string, more frame) frame {
	w.ids++
	f := frame{"type": what, "room": room, "id": fmt.Sprint("act.", w.ids), "username": subject}
	if subject == "" {
		delete(f, "username")
	}
	for k, v := range more {
		f[k] = v
	}
	return f
}

// step is an action as a request.
type step struct {
	action  access.Action
	request func(p asker, room string) frame
	facts   func(*access.Facts) // about the target
}

// member sets the facts about a member of the server and the room.
func member(f *access.Facts) {
	f.Target.Whom, f.Target.Role, f.Target.RoomRole, f.Target.Standing = access.Other, kaban.RoleMember, kaban.RoomRoleMember, access.Good
	f.Target.SharesRoom = true
}

func stranger(f *access.Facts) {
	member(f)
	f.Target.RoomRole, f.Target.SharesRoom = 0, false
}

func toMember(f *access.Facts) {
	member(f)
	f.Target.NewRoomRole = kaban.RoomRoleSpeaker
}

func acts(what, subject string, more frame) func(asker, string) frame {
	return func(p asker, room string) frame { return p.act(what, room, subject, more) }
}

func requests(what string, more frame) func(asker, string) frame {
	return func(_ asker, room string) frame {
		f := frame{"type": what, "room": room}
		for k, v := range more {
			f[k] = v
		}
		return f
	}
}

// steps are in an order in which none changes what a later one depends on.
var steps = []step{
	{access.Know, requests("state", nil), nil},
	{access.Read, requests("history", nil), nil},
	{access.Read, requests("members", nil), nil},
	{access.Mark, requests("read", frame{"seq": 1}), nil},
	{access.Mark, requests("unread", frame{"seq": 1}), nil},
	{access.Mark, requests("notify", frame{"level": "none"}), nil},
	{access.SetTopic, acts("topic", "", frame{"topic": "x"}), nil},
	{access.Invite, acts("invite", "invited", nil), stranger},
	{access.Kick, acts("kick", "kicked", nil), member},
	{access.Ban, acts("ban", "banned", nil), member},
	{access.Unban, acts("unban", "unbanned", nil), member},
	{access.Mute, acts("mute", "muted", nil), member},
	{access.Unmute, acts("unmute", "unmuted", nil), member},
	{access.SetRoomRole, acts("role", "risen", frame{"role": "speaker"}), toMember},
	{access.SetHistory, acts("set", "", frame{"history": "all"}), nil},
	{access.SetRoomRole, acts("role", "appointed", frame{"role": "op"}), func(f *access.Facts) {
		member(f)
		f.Target.NewRoomRole = kaban.RoomRoleOp
	}},
	{access.Create, requests("create", frame{"kind": "public"}), nil},
	{access.CreatePrivate, requests("create", frame{"kind": "private"}), nil},
	{access.SetFlags, requests("restricted", nil), nil}, // who is banned is for those that may unban
	{access.ChangeRetention, requests("retention", nil), nil},
	{access.ChangeRetention, requests("too old", nil), nil},
	{access.Appoint, requests("appoint", frame{"username": "raised"}), func(f *access.Facts) {
		member(f)
		f.Target.NewRoomRole = kaban.RoomRoleOp
	}},
}

// onlyHTTP are steps that kaban/1 has no command for.
var onlyHTTP = map[string]bool{"state": true, "restricted": true, "retention": true, "too old": true, "appoint": true}

// last are steps after which nothing else is asked, so each has a room of its own.
var last = []step{
	{access.Join, requests("join", nil), nil},
	{access.Part, requests("part", nil), nil},
	{access.MakePrivate, acts("set", "", frame{"kind": "private"}), nil},
	{access.SetFlags, acts("set", "", frame{"flags": []string{"locked"}}), nil},
	{access.Archive, acts("set", "", frame{"archived": true}), nil},
	{access.Unarchive, acts("set", "", frame{"archived": false}), nil},
	{access.SetRoomRole, func(p asker, room string) frame { return p.act("role", room, p.username, frame{"role": "member"}) }, func(f *access.Facts) {
		f.Target.Whom, f.Target.Role, f.Target.RoomRole, f.Target.Standing = access.Self, f.Who.Role, f.Membership.Role, f.Membership.Standing
		f.Target.NewRoomRole = kaban.RoomRoleMember
	}},
}

// code returns how an answer reports a verdict.
func code(v access.Verdict) string {
	if v == access.Allowed {
		return ""
	}
	return v.String()
}

// decides returns the action that a request is.
func (s step) decides(f *access.Facts) access.Action {
	if s.action == access.SetRoomRole && f.Target.NewRoomRole == kaban.RoomRoleOp && f.Who.Role >= kaban.RoleAdmin && f.Membership.Role == 0 {
		return access.Appoint
	}
	return s.action
}
