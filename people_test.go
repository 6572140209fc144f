package kaban

import (
	"encoding/json"
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
