package web

import (
	"context"

	"kaban"
	"kaban/internal/account"
	"kaban/internal/people"
)

// Quiet is when somebody is not to be disturbed.
type Quiet struct {
	From  string   `json:"from,omitempty" pattern:"^[0-2][0-9]:[0-5][0-9]$" doc:"When it begins on a day, such as 22:00, in the zone."`
	To    string   `json:"to,omitempty" pattern:"^[0-2][0-9]:[0-5][0-9]$" doc:"When it ends, on the next day if that is not later than from."`
	Zone  string   `json:"zone,omitempty" maxLength:"64" doc:"The time zone of the hours, by its IANA name, such as Europe/Berlin."`
	Days  []string `json:"days,omitempty" nullable:"false" maxItems:"7" enum:"mon,tue,wed,thu,fri,sat,sun" doc:"The days on which it begins; every day if absent."`
	Until int64    `json:"until_ms,omitempty" minimum:"1" doc:"Until then, whatever the hours are: milliseconds since 1970 UTC."`
}

// Notifications are what somebody wants to be notified of. Clients apply them.
type Notifications struct {
	Keywords []string `json:"keywords" nullable:"false" maxItems:"20" doc:"Messages with one of them notify as mentions do; each has up to 64 characters."`
	Quiet    *Quiet   `json:"quiet,omitempty" doc:"Do not disturb. Absent: never."`
	Level    string   `json:"level" enum:"all,mentions,none" doc:"The level of rooms for which you have chosen none. Direct rooms have all."`
}

func notificationsOf(n *people.Notifications) Notifications {
	body := Notifications{Keywords: orEmpty(n.Keywords), Level: n.DefaultLevel().String()}
	if q := n.Quiet; q != nil {
		body.Quiet = &Quiet{q.From, q.To, q.Zone, q.Days, q.Until}
	}
	return body
}

func (s *Server) getNotifications(ctx context.Context, by *who, _ *nothing) (Notifications, error) {
	if _, err := by.ownAccount(); err != nil {
		return Notifications{}, err
	}
	n, err := s.config.Accounts.Notifications(ctx, by.actor())
	return notificationsOf(&n), err
}

type notificationsBody struct {
	Keywords []string `json:"keywords,omitempty" nullable:"false" maxItems:"20" doc:"Words and phrases, each of up to 64 characters; case does not matter. Absent: none."`
	Quiet    *Quiet   `json:"quiet,omitempty" doc:"Do not disturb. Absent: never."`
	Level    string   `json:"level,omitempty" enum:"all,mentions,none" doc:"The level of rooms for which you have chosen none. Direct rooms have all. Absent: mentions."`
}

func (s *Server) setNotifications(ctx context.Context, by *who, in *JSON[notificationsBody]) (Notifications, error) {
	body, err := in.read(s)
	if err != nil {
		return Notifications{}, err
	}
	n := people.Notifications{Keywords: body.Keywords}
	if body.Level != "" {
		if n.Level, err = kaban.ParseNotifyLevel(body.Level); err != nil {
			return Notifications{}, &account.ValueError{What: "level", Reason: err.Error()}
		}
	}
	if q := body.Quiet; q != nil {
		n.Quiet = &people.Quiet{From: q.From, To: q.To, Zone: q.Zone, Days: q.Days, Until: q.Until}
	}
	if err := s.config.Accounts.SetNotifications(ctx, by.actor(), n); err != nil {
		return Notifications{}, err
	}
	return s.getNotifications(ctx, by, nil)
}
