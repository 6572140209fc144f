package browser

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/childtest"
)

// actionsOfPage are the actions that the page knows, by the names it has for them.
var actionsOfPage = map[string]access.Action{
	"react": access.React, "edit": access.Edit, "delete": access.Delete, "deleteOther": access.Delete, "pin": access.Pin,
	"send": access.Send, "join": access.Join, "topic": access.SetTopic, "invite": access.Invite, "kick": access.Kick,
	"ban": access.Ban, "mute": access.Mute, "role": access.SetRoomRole, "flags": access.SetFlags, "history": access.SetHistory,
	"private": access.MakePrivate, "archive": access.Archive, "unarchive": access.Unarchive,
}

// TestRightsOfPage compares what the page offers with what the server allows, for each
// action in each place: the page has a table of its own (rights.ts).
func TestRightsOfPage(t *testing.T) {
	t.Parallel()
	build := childtest.Go("run", ".", "-script", "src/rights.ts")
	build.Dir = filepath.FromSlash("../../internal/web/page/build")
	script, err := build.Output()
	if err != nil {
		t.Fatal(err)
	}
	p := newPage(t, desktop)
	p.text(string(script) + ";globalThis.source = source; ''")
	type question struct {
		Action string   `json:"action"`
		Server string   `json:"server,omitempty"` // "": a visitor
		Kind   string   `json:"kind"`
		Member bool     `json:"member"`
		Role   string   `json:"role"`
		Flags  []string `json:"flags"`
		want   bool
	}
	var all []question
	for action, of := range actionsOfPage {
		for server := kaban.RoleVisitor; server <= kaban.RoleOwner; server++ {
			for _, kind := range []kaban.RoomKind{kaban.RoomPublic, kaban.RoomPrivate, kaban.RoomDirect} {
				for _, role := range []kaban.RoomRole{0, kaban.RoomRoleMember, kaban.RoomRoleSpeaker, kaban.RoomRoleOp} {
					for flags := range kaban.RoomFlags(8) {
						if visits := server == kaban.RoleVisitor; visits && (kind != kaban.RoomPublic || role > kaban.RoomRoleMember) || kind == kaban.RoomDirect && role > kaban.RoomRoleMember {
							continue // there is no such thing
						}
						q := question{Action: action, Kind: kind.String(), Member: role != 0, Role: kaban.RoomRoleMember.String(), Flags: append([]string{}, flags.Texts()...)}
						if server != kaban.RoleVisitor {
							q.Server = server.String()
						}
						if role != 0 {
							q.Role = role.String()
						}
						facts := access.Facts{
							Server:     access.Server{Claim: access.Claimed, Local: true, Admission: access.Open, MembersCreate: true, MembersInvite: true},
							Who:        access.Identity{Role: server, Active: true, Named: true, Person: true, InPerson: true, Fresh: true, Reach: access.ReachServer, Writes: true},
							Room:       access.NewRoom(kind, flags, true),
							Membership: access.Membership{Role: role, Standing: access.Good},
							Target:     access.Target{Whom: access.Other, Role: kaban.RoleMember, RoomRole: kaban.RoomRoleMember, Standing: access.Good, NewRoomRole: kaban.RoomRoleOp, SharesRoom: true, Reachable: true},
						}
						facts.Target.Author = action == "edit" || action == "delete"
						if of == access.Invite {
							facts.Target.RoomRole = 0
						}
						q.want = access.Can(of, facts) == access.Allowed
						switch {
						case of == access.Join && role != 0: // a member subscribes
							q.want = false
						case of == access.Unarchive && !flags.Has(kaban.FlagArchived): // there is nothing to do
							q.want = false
						case of == access.SetHistory && kind == kaban.RoomPublic: // it means nothing there
							q.want = false
						}
						all = append(all, q)
					}
				}
			}
		}
	}
	got := p.text(fmt.Sprintf(`%s.map((q) => source.may(q.action, q) ? '1' : '0').join('')`, asJSON(t, all)))
	if len(got) != len(all) {
		t.Fatalf("%d answers to %d questions", len(got), len(all))
	}
	for i, q := range all {
		if offered := got[i] == '1'; offered != q.want {
			t.Errorf("%s as %q in a %s room, member %t, %s, flags [%s]: the page says %t, the server %t", q.Action, q.Server, q.Kind, q.Member, q.Role, strings.Join(q.Flags, " "), offered, q.want)
		}
	}
	t.Logf("%d questions", len(all))
	rightsToCreate(t, p)
}

// rightsToCreate compares who is offered to make rooms with who may.
func rightsToCreate(t *testing.T, p *page) {
	for server := kaban.RoleVisitor; server <= kaban.RoleOwner; server++ {
		for kind, action := range map[string]access.Action{"public": access.Create, "private": access.CreatePrivate} {
			for entry, admission := range map[string]access.Admission{"open": access.Open, "invite": access.InviteOnly} {
				for least, members := range map[string]bool{"member": true, "admin": false} {
					want := access.Can(action, access.Facts{
						Server: access.Server{Claim: access.Claimed, Local: true, Admission: admission, MembersCreate: members},
						Who:    access.Identity{Role: server, Active: true, Named: true, Person: true, InPerson: true, Fresh: true, Reach: access.ReachServer, Writes: true},
					}) == access.Allowed
					role := "undefined"
					if server != kaban.RoleVisitor {
						role = quote(server.String())
					}
					if got := p.truth(fmt.Sprintf(`source.mayCreate(%s, %s, {access: %s, create_rooms: %s})`, role, quote(kind), quote(entry), quote(least))); got != want {
						t.Errorf("a %v makes a %s room with access %s and create_rooms %s: the page says %t, the server %t", server, kind, entry, least, got, want)
					}
				}
			}
		}
	}
}
