package web_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"kaban"
	"kaban/internal/account"
	"kaban/internal/people"
	"kaban/internal/web"
	"kaban/wire"
)

// textsOf returns all values of a type with texts, other than some.
func textsOf[T interface {
	~uint8
	fmt.Stringer
}](but ...T,
) (texts []string) {
	for v := range T(255) {
		text := v.String()
		if text != "" && !strings.ContainsAny(text, "(0123456789") && !slices.Contains(but, v) {
			texts = append(texts, text)
		}
	}
	return texts
}

// Each enum of the document has all values that its type in the code has, but for those
// that cannot be there. A new value, or a new enum, needs a row here.
func TestEnumsOfTheDocument(t *testing.T) {
	statuses := []string{string(people.StatusActive), string(people.StatusSuspended), string(people.StatusUnclaimed), string(people.StatusRemoved)}
	roles := textsOf(kaban.RoleVisitor) // that of no account
	members := textsOf(kaban.RoleVisitor, kaban.RoleAdmin, kaban.RoleOwner)
	admission := []string{"open", "signup", "invite", "closed"}
	links := []string{"invite", "sign_in"}
	ways := []string{string(account.WayPasskey), string(account.WayPassword), string(account.WayOIDC)}
	enums := map[string][]string{
		"Account.role": roles, "Account.status": statuses, "Person.role": roles, "Person.status": statuses,
		"User.role": roles, "User.status": statuses, "User.stopped": statuses[1:], // an owner that is active stops no bot
		"MadeUser.role": roles, "MadeUser.status": statuses, "MadeUser.stopped": statuses[1:],
		"NewUserBody.role": roles, "RoleBody.role": roles, "NewBotBody.role": textsOf(kaban.RoleVisitor, kaban.RoleOwner),
		"ClaimBody.access": admission, "ServerInfo.access": admission, "ServerInfo.create_rooms": {"member", "admin"},
		"Invitation.kind": links, "Invite.kind": links, "MadeInvite.kind": links,
		"Invitation.role": roles, "Invite.role": members, "MadeInvite.role": members, "NewInviteBody.role": members,
		"KnownRoom.kind":   textsOf(kaban.RoomDirect), // admins do not see those
		"NewRoomBody.kind": textsOf(kaban.RoomDirect), // those are made by messages
		"Claimed.ways":     ways, "Session.ways": ways, "GrantToken.token_type": {"Bearer"},
		"list-users.status": statuses,
		"RoomNews.kind":     textsOf[kaban.RoomKind](), "RoomNews.role": textsOf[kaban.RoomRole](), "RoomNews.notify": textsOf[kaban.NotifyLevel](),
		"Notifications.level": textsOf[kaban.NotifyLevel](), "NotificationsBody.level": textsOf[kaban.NotifyLevel](),
		"Quiet.days":   account.Days,
		"Push.content": {"text", "hint"}, "PushBody.content": {"text", "hint"},
		"RoomNews.history":    {string(people.HistoryAll), string(people.HistoryJoined)},
		"Mention.cause":       {string(wire.CauseName), string(wire.CauseEveryone), string(wire.CauseHere)},
		"Erasure.state":       {"none", "deleting", "erasing", "done"},
		"Hook.paused_because": {"maker_suspended", "maker_outside"}, "MadeHook.paused_because": {"maker_suspended", "maker_outside"},
	}
	all, err := document()
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]bool)
	check := func(name string, schema any) {
		values, ok := schema.(map[string]any)["enum"].([]any)
		if items, isList := schema.(map[string]any)["items"]; !ok && isList {
			values, ok = items.(map[string]any)["enum"].([]any)
		}
		if !ok {
			return
		}
		found[name] = true
		var got []string
		for _, v := range values {
			got = append(got, fmt.Sprint(v))
		}
		slices.Sort(got)
		want := slices.Sorted(slices.Values(enums[name]))
		if !slices.Equal(got, want) {
			t.Errorf("%s is one of %q in the document, and of %q in the code", name, got, want)
		}
	}
	for name, schema := range all["components"].(map[string]any)["schemas"].(map[string]any) {
		properties, _ := schema.(map[string]any)["properties"].(map[string]any)
		for property, of := range properties {
			check(name+"."+property, of)
		}
	}
	for _, item := range all["paths"].(map[string]any) {
		for _, op := range item.(map[string]any) {
			parameters, _ := op.(map[string]any)["parameters"].([]any)
			for _, p := range parameters {
				p := p.(map[string]any)
				check(fmt.Sprint(op.(map[string]any)["operationId"], ".", p["name"]), p["schema"])
			}
		}
	}
	for name := range enums {
		if !found[name] {
			t.Errorf("the document has no enum %s", name)
		}
	}
}

// A bot whose owner has nothing left to sign in with is stopped, and the answer names why.
func TestBotOfAnUnclaimedOwner(t *testing.T) {
	f := serve(t)
	olga := f.claim("invite")
	ben := f.person("ben", kaban.RoleMember)
	f.do("POST", "/v1/bots", `{"username":"helper"}`, with(asJSON(), bearer(ben))...).has(t, 201)
	for _, act := range []string{"reset", "suspend", "restore"} {
		if a := f.do("POST", "/v1/admin/users/ben/"+act, ``, with(asJSON(), bearer(olga))...); a.status/100 != 2 {
			t.Fatalf("%s: %s", act, a)
		}
	}
	users := f.get("/v1/admin/users?query=helper", bearer(olga)...).has(t, 200).json["users"].([]any)
	if got := users[0].(map[string]any)["stopped"]; got != "unclaimed" {
		t.Errorf("stopped is %v, want unclaimed", got)
	}
}

// Every time in an answer is one of RFC 3339, also if an earlier version has stored it.
func TestTimesCanBeWritten(t *testing.T) {
	for _, ms := range []int64{1, 253402300799999, 253402300800000, 1<<53 - 1} {
		if got, err := time.Parse(time.RFC3339, web.FormatTime(ms)); err != nil || got.UnixMilli() != min(ms, 253402300799999) {
			t.Errorf("%d is written as %s: %v", ms, web.FormatTime(ms), err)
		}
	}
}
