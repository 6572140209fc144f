package web

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"kaban/internal/access"
	"kaban/internal/account"
	"kaban/internal/people"
)

// Device is a sign-in of an account.
type Device struct {
	ID      string `json:"id"`
	Name    string `json:"name" doc:"What people call it."`
	Created string `json:"created" format:"date-time" doc:"When it signed in."`
	Used    string `json:"used" format:"date-time" doc:"When it was used last, to the hour."`
	Address string `json:"address,omitempty" doc:"Where it was used last."`
	Expires string `json:"expires,omitempty" format:"date-time" doc:"When it ends by itself."`
	Current bool   `json:"current" doc:"The request was made with it."`
}

// DeviceList has the devices of an account.
type DeviceList struct {
	Devices []Device `json:"devices" nullable:"false" doc:"The one used last first."`
}

// DevicePath is the device that a path names.
type DevicePath struct {
	ID string `path:"id" doc:"The device's id."`
}

// Rename is a new name.
type Rename struct {
	Name string `json:"name" minLength:"1"`
}

func (s *Server) registerDevices(api huma.API, operation func(id, method, path, summary string, errors ...int) huma.Operation) {
	register(s, api, toAccounts, operation("list-devices", http.MethodGet, "/v1/devices", "List the devices of the account"), s.listDevices)
	register(s, api, toAccounts, operation("rename-device", http.MethodPatch, "/v1/devices/{id}", "Rename a device", 400, 404, 413), s.renameDevice)
	revoke := operation("revoke-device", http.MethodDelete, "/v1/devices/{id}", "Sign a device out", 404)
	revoke.Description = "Its connections end within two seconds."
	register(s, api, toAccounts, revoke, s.revokeDevice)
	register(s, api, toAccounts, operation("revoke-other-devices", http.MethodDelete, "/v1/devices", "Sign all other devices out"), s.revokeOtherDevices)
}

func (s *Server) listDevices(ctx context.Context, _ *struct{}) (*output[DeviceList], error) {
	infos, err := s.config.Accounts.Devices(ctx, whoOf(ctx).actor())
	if err != nil {
		return nil, s.problemOf(err)
	}
	list := DeviceList{Devices: []Device{}}
	for i := range infos {
		if info := &infos[i]; info.Kind == people.SecretDevice {
			list.Devices = append(list.Devices, Device{
				ID: info.ID, Name: info.Name, Created: formatTime(info.Created), Used: formatTime(info.Used),
				Address: info.Address, Expires: timeOrNever(info.Expires), Current: info.Current,
			})
		}
	}
	return &output[DeviceList]{list}, nil
}

// timeOrNever is formatTime, or "" for 0.
func timeOrNever(milliseconds int64) string {
	if milliseconds == 0 {
		return ""
	}
	return formatTime(milliseconds)
}

func (s *Server) renameDevice(ctx context.Context, in *struct {
	DevicePath
	Body Rename
},
) (*struct{}, error) {
	if err := s.config.Accounts.RenameDevice(ctx, whoOf(ctx).actor(), in.ID, in.Body.Name); err != nil {
		return nil, s.problemOf(err)
	}
	return nil, nil
}

func (s *Server) revokeDevice(ctx context.Context, in *DevicePath) (*cookieOutput, error) {
	by := whoOf(ctx)
	if err := s.config.Accounts.RevokeDevice(ctx, by.actor(), in.ID); err != nil {
		return nil, s.problemOf(err)
	}
	return by.signedOut(in.ID), nil
}

// signedOut returns what clears the cookie if the device with an id, which is revoked,
// made the request.
func (w *who) signedOut(id string) *cookieOutput {
	if w.proof != cookieProof || w.principal.SecretID != id {
		return nil
	}
	return &cookieOutput{[]http.Cookie{w.noCookie()}}
}

func (s *Server) revokeOtherDevices(ctx context.Context, _ *struct{}) (*struct{}, error) {
	if err := s.config.Accounts.RevokeOtherDevices(ctx, whoOf(ctx).actor()); err != nil {
		return nil, s.problemOf(err)
	}
	return nil, nil
}

// ServerInfo is how one comes in.
type ServerInfo struct {
	Server   string    `json:"server" doc:"The server and its version."`
	Claimed  bool      `json:"claimed" doc:"The server has an owner, so there are accounts."`
	Access   string    `json:"access" enum:"open,signup,invite,closed" doc:"Who may come in."`
	SignUp   bool      `json:"sign_up" doc:"Anybody may make an account."`
	Create   string    `json:"create_rooms" enum:"member,admin" doc:"The least role that makes public rooms. Members make private ones in any case, and visitors make public ones where access is open."`
	Visitors bool      `json:"visitors" doc:"One may come in without an account."`
	Passkeys bool      `json:"passkeys" doc:"One may sign in with a passkey."`
	Previews bool      `json:"previews" doc:"Links of messages have previews."`
	Provider *Provider `json:"provider,omitempty" doc:"The provider of single sign-on."`
}

// Provider is a provider of single sign-on.
type Provider struct {
	Name string `json:"name" doc:"What its button says."`
}

func (s *Server) getServer(ctx context.Context, _ *struct{}) (*output[ServerInfo], error) {
	settings, claimed, err := s.config.Accounts.Settings(ctx)
	if err != nil {
		return nil, s.problemOf(err)
	}
	info := ServerInfo{
		Server: s.config.Name, Claimed: claimed, Access: settings.Access.String(),
		Create:   settings.CreateRooms.String(),
		SignUp:   claimed && settings.Access >= access.Registration,
		Visitors: s.chat.TakesVisitors(), Passkeys: s.config.Passkeys != nil,
	}
	if info.Previews, err = s.chat.PreviewsOn(ctx); err != nil {
		return nil, s.problemOf(err)
	}
	switch name, err := s.config.Accounts.ProviderName(ctx); {
	case err == nil:
		info.Provider = &Provider{name}
	case !errors.Is(err, account.ErrNoProvider):
		return nil, s.problemOf(err)
	}
	return &output[ServerInfo]{info}, nil
}
