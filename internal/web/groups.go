package web

import (
	"context"

	"kaban/internal/account"
	"kaban/internal/people"
)

// grantRooms makes the changes of memberships that groups of single sign-on ask for. A
// change that fails is asked for again at the next sign-in.
func (s *Server) grantRooms(ctx context.Context, a *people.Account, changes []account.RoomChange) {
	for _, c := range changes {
		id, err := a.Identity()
		if err == nil {
			err = s.chat.Grant(ctx, id.Name(), c.Room, c.Group, c.Join)
		}
		if err != nil {
			s.config.Log.Warn("single sign-on has not changed a membership", "username", a.Username, "room", c.Room.String(), "err", err)
		}
	}
}
