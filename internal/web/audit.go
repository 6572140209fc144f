package web

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"kaban/internal/account"
	"kaban/wire"
)

// serverOperations are those on the server as a whole.
func (s *Server) serverOperations(api huma.API) {
	asks(s, api, toActors, aboutPeople("read-audit", http.MethodGet, "/v1/admin/audit", "Read who administered what"), s.readAudit)
	does(s, api, toOperator, aboutPeople("note-export", http.MethodPost, "/v1/admin/exports", "Note an export in the audit; over the admin socket only"), s.noteExport)
	asks(s, api, toActors, aboutPeople("list-settings", http.MethodGet, "/v1/admin/settings", "List the settings of the server"), s.listSettings)
	does(s, api, toActors|secret, aboutPeople("change-setting", http.MethodPut, "/v1/admin/settings/{key}", "Change a setting of the server"), s.changeSetting)
}

type auditInput struct {
	After   string     `query:"after" doc:"The id of the last row of the page before."`
	Limit   limitParam `query:"limit" doc:"The most rows to return; 100 if absent."`
	Newest  bool       `query:"newest" doc:"The newest row first; the oldest if absent."`
	Since   string     `query:"since" format:"date-time" doc:"Only rows from this time on, as in RFC 3339."`
	Actor   string     `query:"actor" doc:"Only what this username did."`
	Subject string     `query:"subject" doc:"Only what was done to this: a username, or the id of an invite, a device and so on."`
	Action  string     `query:"action" doc:"Only this action, or all actions that begin with this and a dot, such as account."`
}

// AuditRow says who did what to whom.
type AuditRow struct {
	Time     string `json:"time" format:"date-time" doc:"When it was done. Failed sign-ins are counted by the hour."`
	ID       string `json:"id" doc:"The id of the row."`
	Actor    string `json:"actor,omitempty" doc:"The id of whoever did it. Absent for commands in the data directory, and for failed sign-ins."`
	Username string `json:"username,omitempty" doc:"The username that the actor had then."`
	Action   string `json:"action" doc:"What was done, such as account.suspend."`
	Subject  string `json:"subject,omitempty" doc:"To whom or what."`
	Room     string `json:"room,omitempty" doc:"In which room."`
	Detail   string `json:"detail,omitempty" doc:"How."`
	Address  string `json:"address,omitempty" doc:"From where. It is kept for 30 days."`
	Count    int    `json:"count,omitempty" doc:"How often within the hour."`
}

// AuditList is a page of the audit.
type AuditList struct {
	Rows  []AuditRow `json:"rows" nullable:"false" doc:"The oldest first, unless the newest are asked for. A page that is searched may be short and have more after it."`
	More  bool       `json:"more" doc:"There are more."`
	After string     `json:"after,omitempty" doc:"With more: what to send as after for the next page."`
}

func (s *Server) readAudit(ctx context.Context, by *who, in *auditInput) (AuditList, error) {
	limit, err := in.Limit.limit()
	if err != nil {
		return AuditList{}, err
	}
	for _, text := range []struct{ name, value string }{{"after", in.After}, {"actor", in.Actor}, {"subject", in.Subject}, {"action", in.Action}} {
		if err := checkText(text.name, text.value); err != nil {
			return AuditList{}, err
		}
	}
	var from int64
	if in.Since != "" {
		since, err := time.Parse(time.RFC3339, in.Since)
		if err != nil {
			return AuditList{}, fieldProblem(wire.CodeBadField, "since", "since: it must be a time such as 2026-11-26T12:00:00Z")
		}
		from = since.UnixMilli()
	}
	page, err := s.config.Accounts.Audit(ctx, by.actor(), account.AuditQuery{
		From: from, Actor: in.Actor, Action: in.Action, Subject: in.Subject, Newest: in.Newest, After: in.After, Limit: limit,
	})
	list := AuditList{Rows: make([]AuditRow, len(page.Rows)), More: page.Cursor != "", After: page.Cursor}
	for i, r := range page.Rows {
		list.Rows[i] = AuditRow{
			// As the cursor of a page has it, so that any row can be gone on from.
			ID: strconv.FormatInt(r.Time, 10) + "-" + r.ID, Time: formatTime(r.Time),
			Actor: r.Actor, Username: r.Name, Action: r.Action, Subject: r.Subject, Room: r.Room, Detail: r.Detail,
			Address: r.Address, Count: r.Count,
		}
	}
	return list, err
}

type exportBody struct {
	Username string `json:"username,omitempty" doc:"Whose data are exported."`
	Rooms    int    `json:"rooms,omitempty" minimum:"0" doc:"How many private and direct rooms are exported."`
}

func (s *Server) noteExport(ctx context.Context, by *who, in *JSON[exportBody]) error {
	body, err := in.read(s)
	if err != nil {
		return err
	}
	return s.config.Accounts.AuditExport(ctx, by.actor(), body.Username, body.Rooms)
}

// Setting is a setting of the server.
type Setting struct {
	Key      string `json:"key" doc:"The key."`
	Value    string `json:"value" doc:"The value."`
	Default  string `json:"default" doc:"The value if nobody has changed it."`
	Help     string `json:"help" doc:"For people: what it does and which values it takes."`
	Operator bool   `json:"operator" doc:"Only \"kaban settings set\" on the server gives it another value now. An owner may empty it."`
}

// SettingList are all settings.
type SettingList struct {
	Settings []Setting `json:"settings" nullable:"false" doc:"In the order in which people see them."`
}

func (s *Server) listSettings(ctx context.Context, by *who, _ *nothing) (SettingList, error) {
	infos, err := s.config.Accounts.ListSettings(ctx, by.actor())
	list := SettingList{Settings: make([]Setting, len(infos))}
	for i, info := range infos {
		list.Settings[i] = Setting(info)
	}
	return list, err
}

type settingBody struct {
	Value string `json:"value" maxLength:"4096" doc:"The new value."`
}

func (s *Server) changeSetting(ctx context.Context, by *who, in *struct {
	Key string `path:"key" doc:"The key."`
	JSON[settingBody]
},
) error {
	body, err := in.read(s)
	if err != nil {
		return err
	}
	return s.config.Accounts.Set(ctx, by.actor(), in.Key, body.Value)
}
