package kaban

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"testing"
)

func TestRolesHaveTexts(t *testing.T) {
	for want, text := range []string{"guest", "member", "admin", "owner"} {
		got, err := ParseRole(text)
		if err != nil || got != Role(want+1) || got.String() != text {
			t.Errorf("ParseRole(%q) = %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "visitor", "Owner", "root"} {
		if got, err := ParseRole(text); err == nil {
			t.Errorf("ParseRole(%q) = %v", text, got)
		}
	}
	if _, err := ParseRoomKind("secret"); err == nil {
		t.Error("an unknown kind is accepted")
	}
	if _, err := ParseRoomRole(""); err == nil {
		t.Error("an empty role is accepted")
	}
	if got := Role(99).String(); got != "unknown 99" {
		t.Errorf("an unknown role is %q", got)
	}
}

func TestFlagsAreASet(t *testing.T) {
	for flags := range RoomFlags(8) {
		got, err := ParseRoomFlags(flags.Texts())
		if err != nil || got != flags {
			t.Errorf("%v became %v, %v", flags.Texts(), got, err)
		}
	}
	flags, err := ParseRoomFlags([]string{"locked", "announce", "locked"})
	if err != nil || flags != FlagAnnounce|FlagLocked || !slices.Equal(flags.Texts(), []string{"announce", "locked"}) {
		t.Errorf("%v, %v", flags.Texts(), err)
	}
	if _, err := ParseRoomFlags([]string{"locked", "hidden"}); err == nil {
		t.Error("an unknown flag is accepted")
	}
}

func TestPeopleAreJSON(t *testing.T) {
	type all struct {
		Role   Role
		Kind   RoomKind
		Rank   RoomRole
		Notify NotifyLevel
	}
	for _, want := range []all{{}, {RoleOwner, RoomDirect, RoomRoleOp, NotifyNone}, {RoleGuest, RoomPublic, RoomRoleMember, NotifyAll}} {
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got all
		if err := json.Unmarshal(text, &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s became %+v, %v", text, got, err)
		}
	}
	var got all
	if err := json.Unmarshal([]byte(`{"Role":"king"}`), &got); err == nil {
		t.Error("an unknown role is accepted")
	}
}

func TestNamesOfDirectRooms(t *testing.T) {
	a, b := NewDirectRoom(), NewDirectRoom()
	if a == b || !a.IsDirect() || len(a.String()) != 27 || a.Key() != a.String() || !slices.Equal(a.Looks(), []string{a.Key()}) {
		t.Errorf("two direct rooms are %+v and %+v", a, b)
	}
	if got, err := ParseAnyRoom(a.String()); err != nil || got != a {
		t.Errorf("%s became %v, %v", a, got, err)
	}
	if _, err := ParseRoomName(a.String()); err == nil {
		t.Errorf("%s can be created", a)
	}
	if got, err := ParseAnyRoom("Lobby"); err != nil || got.String() != "lobby" || got.IsDirect() {
		t.Errorf("Lobby is %v, %v", got, err)
	}
	for _, bad := range []string{"@", "@lobby", a.String() + "a", a.String()[:26], "@ABCDEFGHIJKLMNOPQRSTUVWXYZ", "@abcdefghijklmnopqrstuvwxy1", "@abcdefghijklmnopqrstuvwxé", "@@bcdefghijklmnopqrstuvwxyz"} {
		got, err := ParseAnyRoom(bad)
		if wrong, ok := errors.AsType[*MessageError](err); !ok || wrong.Kind != InvalidCharsRoom {
			t.Errorf("%q is %v, %v", bad, got, err)
		}
	}
}
