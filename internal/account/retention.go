package account

import (
	"context"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/people"
)

// SetRetention changes how long the messages of a room are kept; "" is as long as the server
// says. Errors are *UnknownRoomError, *ValueError and those of somebody that is no owner.
func (s *Service) SetRetention(ctx context.Context, by Actor, room, value string) error {
	return s.update(ctx, by, func(c *change) error {
		key, err := c.mayRetain(room)
		if err != nil {
			return err
		}
		if value == "" {
			err = people.Retentions.Delete(c.Tx, key)
		} else if _, bad := people.ParseRetention(value); bad != nil {
			return &ValueError{SettingRetention, bad.Error()}
		} else {
			err = people.Retentions.Put(c.Tx, &people.Retention{Room: key, Value: value})
		}
		if err != nil {
			return err
		}
		if hook := c.service.options.OnSettings; hook != nil {
			c.after = append(c.after, func() { hook(SettingRetention) })
		}
		return c.audit(people.AuditRoomRetention, room, value)
	})
}

// MayRetain returns nil if an actor may change the retention of the server, or of a room if its
// name is not "", to a value. Whether there is such a room it does not say.
func (s *Service) MayRetain(ctx context.Context, by Actor, room, value string) error {
	if room != "" {
		if _, err := kaban.ParseRoomName(room); err != nil { // of direct ones nobody may know
			return err
		}
	}
	if _, err := people.ParseRetention(value); err != nil {
		return &ValueError{SettingRetention, err.Error()}
	}
	return s.view(ctx, by, func(c *change) error { return c.may(access.ChangeRetention) })
}

// mayRetain decides whether the actor may change the retention of a room, and returns its key.
func (c *change) mayRetain(room string) (key string, err error) {
	if err := c.may(access.ChangeRetention); err != nil {
		return "", err
	}
	f, err := c.facts()
	if err != nil {
		return "", err
	}
	if _, _, err = c.knowsRoom(f, room); err != nil {
		return "", err
	}
	name, err := kaban.ParseRoomName(room)
	return name.Key(), err
}
