package web

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"kaban/internal/account"
	"kaban/wire"
)

// inviteOperations are those on links by which people make accounts.
func (s *Server) inviteOperations(api huma.API) {
	asks(s, api, toActors, aboutPeople("list-invites", http.MethodGet, "/v1/invites", "List your invites"), s.listInvites)
	asks(s, api, toActors|secret, made(aboutPeople("make-invite", http.MethodPost, "/v1/invites", "Make a link by which people make accounts")), s.makeInvite)
	does(s, api, toActors, aboutPeople("revoke-invite", http.MethodDelete, "/v1/invites/{id}", "Revoke an invite"), s.revokeInvite)
	asks(s, api, toActors, aboutPeople("list-all-invites", http.MethodGet, "/v1/admin/invites", "List everybody's invites and links into accounts"), s.listAllInvites)
	asks(s, api, toActors|secret, made(aboutPeople("make-invite-as-admin", http.MethodPost, "/v1/admin/invites", "Make a link by which people make accounts")), s.makeInvite)
	does(s, api, toActors, aboutPeople("revoke-any-invite", http.MethodDelete, "/v1/admin/invites/{id}", "Revoke anybody's invite"), s.revokeInvite)
}

// Invite is a link, without its secret.
type Invite struct {
	ID       string   `json:"id" doc:"The id."`
	Kind     string   `json:"kind" enum:"invite,sign_in" doc:"invite makes accounts, sign_in signs in to one."`
	Role     string   `json:"role,omitempty" enum:"guest,member" doc:"The role of the accounts that it makes."`
	Rooms    []string `json:"rooms,omitempty" doc:"The rooms that a new account joins."`
	Uses     int      `json:"uses" minimum:"1" doc:"How many uses are left."`
	By       string   `json:"by,omitempty" doc:"The username of whoever made it. Absent if a command did."`
	Username string   `json:"username,omitempty" doc:"Of the account that it signs in to."`
	Created  string   `json:"created" format:"date-time" doc:"When it was made."`
	Expires  string   `json:"expires" format:"date-time" doc:"When it ends."`
}

// InviteList are links.
type InviteList struct {
	Invites []Invite `json:"invites" nullable:"false" doc:"The latest first."`
}

// MadeInvite is a new link.
type MadeInvite struct {
	Invite
	Link string `json:"link" doc:"The link. It cannot be had again."`
}

func inviteOf(i *account.InviteInfo) Invite {
	made := Invite{
		ID: i.ID, Kind: "invite", Rooms: i.Rooms, Uses: i.Uses, By: i.Creator, Username: i.Username,
		Created: formatTime(i.Created), Expires: formatTime(i.Expires),
	}
	if i.Username != "" {
		made.Kind = "sign_in"
	} else {
		made.Role = i.Role.String()
	}
	return made
}

func invitesOf(infos []account.InviteInfo) InviteList {
	list := InviteList{Invites: make([]Invite, len(infos))}
	for i := range infos {
		list.Invites[i] = inviteOf(&infos[i])
	}
	return list
}

func (s *Server) listInvites(ctx context.Context, by *who, _ *nothing) (InviteList, error) {
	infos, err := s.config.Accounts.Invites(ctx, by.actor())
	if err != nil {
		return InviteList{}, err
	}
	own := by.principal.Account.Username // empty for the operator
	return invitesOf(slices.DeleteFunc(infos, func(i account.InviteInfo) bool { return i.Creator != own })), nil
}

func (s *Server) listAllInvites(ctx context.Context, by *who, _ *nothing) (InviteList, error) {
	if err := s.config.Accounts.MayAdminister(ctx, by.actor()); err != nil {
		return InviteList{}, err
	}
	infos, err := s.config.Accounts.Invites(ctx, by.actor())
	return invitesOf(infos), err
}

type newInviteBody struct {
	Role      string   `json:"role,omitempty" enum:"guest,member" doc:"The role of the accounts. Default: member."`
	Rooms     []string `json:"rooms,omitempty" maxItems:"50" doc:"Rooms for the new accounts to join."`
	Uses      int      `json:"uses,omitempty" minimum:"1" maximum:"10000" doc:"How many accounts it makes. Default: 1."`
	ExpiresIn string   `json:"expires_in,omitempty" doc:"After how long it ends, such as 12h or 7d. Default: 7d."`
}

func (s *Server) makeInvite(ctx context.Context, by *who, in *JSON[newInviteBody]) (MadeInvite, error) {
	body, err := in.read(s)
	if err != nil {
		return MadeInvite{}, err
	}
	role, err := parseRole(body.Role)
	if err != nil {
		return MadeInvite{}, err
	}
	expires, err := parseSpan("expires_in", body.ExpiresIn)
	if err != nil {
		return MadeInvite{}, err
	}
	info, secret, err := s.config.Accounts.Invite(ctx, by.actor(), account.NewInvite{Role: role, Rooms: body.Rooms, Uses: body.Uses, Expires: expires})
	if err != nil {
		return MadeInvite{}, err
	}
	return MadeInvite{inviteOf(&info), s.InviteLink(secret)}, nil
}

func (s *Server) revokeInvite(ctx context.Context, by *who, in *IDPath) error {
	return s.config.Accounts.RevokeInvite(ctx, by.actor(), in.ID)
}

// linkError returns what the holder of a link learns if it is of no use: that there is
// none. It is no failed sign-in.
func linkError(err error) error {
	if errors.Is(err, account.ErrExpired) {
		return problem(wire.CodeNotFound, "the link has expired or was used; ask for another one")
	}
	return err
}
