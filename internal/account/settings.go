package account

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/people"
	"kaban/internal/store"
)

// The keys of settings that other packages use.
const (
	SettingAccess        = people.SettingAccess
	SettingCreateRooms   = people.SettingCreateRooms
	SettingInviteMembers = people.SettingInviteMembers
	SettingAutoJoin      = people.SettingAutoJoin
	SettingRetention     = people.SettingRetention
)

// settingGroups is the key of what groups give.
const settingGroups = "oidc.groups"

// The keys that say which secret of the server goes where.
const (
	settingIssuer     = "oidc.issuer"
	settingSecretFile = "oidc.client_secret_file"
)

// setting is an entry of the registry.
type setting struct {
	key, fallback, help string
	// parse returns the value as it is stored, or why it is not accepted.
	parse func(string) (string, error)
}

// maxSetting is the length of a value, in bytes.
const maxSetting = 4096

// registry has all settings, in the order in which people see them.
var registry = []setting{
	{SettingAccess, "open", "who comes in: open (visitors, too), signup (anybody may make an account), invite (with a link), closed (accounts are made by admins)", oneOf("open", "signup", "invite", "closed")},
	{SettingCreateRooms, "member", "the least role that creates public rooms: member, admin", oneOf("member", "admin")},
	{SettingInviteMembers, "member", "the least role that invites people to the server: member, admin", oneOf("member", "admin")},
	{SettingAutoJoin, "", "rooms that new members join besides the lobby, separated by commas", parseRooms},
	{SettingRetention, people.Forever, "how long messages are kept in rooms that have no retention of their own: forever, or days such as 90d; what is older is deleted for good", parseRetention},
	{people.SettingFileSize, people.DefaultOfFiles(people.SettingFileSize), "how large a file that somebody sends may be, such as 100MB", parseFileSize},
	{people.SettingFileQuota, people.DefaultOfFiles(people.SettingFileQuota), "how much all files of an account may take, such as 2GB, or unlimited", parseQuota},
	{people.SettingServerQuota, people.DefaultOfFiles(people.SettingServerQuota), "how much all files of the server may take, such as 20GB, or unlimited", parseQuota},
	{people.SettingPreviews, people.PreviewsOff, "whether the server reads the pages that messages link to, to show what they are about: off, on; it reads public addresses only, and the sites see the address of the server", oneOf(people.PreviewsOff, people.PreviewsOn)},
	{settingIssuer, "", "the https address of the OpenID provider; empty is no single sign-on", parseIssuer},
	{"oidc.client_id", "", "the id of this server at the provider", parseText},
	{settingSecretFile, "", "a file with the secret of this server at the provider, or credential:NAME for a credential of systemd; only \"kaban settings set\" on the server names one", parseText},
	{"oidc.name", "Single sign-on", "what the button says", parseText},
	{"oidc.scopes", "openid profile", "what is asked of the provider, separated by spaces", parseText},
	{"oidc.subject_claim", "sub", "the claim that identifies a person; it must never be reused", checkClaim},
	{"oidc.username_claim", "preferred_username", "the claim that a new account's name is made from", checkClaim},
	{"oidc.link_by_email", "false", "whether a verified address of e-mail finds the account: true, false", oneOf("true", "false")},
	{"oidc.create", "true", "whether somebody new gets an account: true, false", oneOf("true", "false")},
	{"oidc.groups_claim", "groups", "the claim with the groups of a person", checkClaim},
	{settingGroups, "", "what groups give, such as staff=member,admins=admin,dev=#backend; rooms are public ones", checkGroups},
	{"oidc.max_age", "7d", "after how long one must sign in at the provider again, such as 12h or 7d", parseAge},
}

func oneOf(values ...string) func(string) (string, error) {
	return func(s string) (string, error) {
		if !slices.Contains(values, s) {
			return "", fmt.Errorf("%q is not one of %s", s, strings.Join(values, ", "))
		}
		return s, nil
	}
}

func parseRetention(s string) (string, error) {
	_, err := people.ParseRetention(s)
	return s, err
}

// parseFileSize is parseQuota without Unlimited: what people upload is staged on a disk that has an end.
func parseFileSize(s string) (string, error) {
	if s == people.Unlimited {
		return "", errors.New("a file needs a limit; write it like 100MB or 5GB")
	}
	return parseQuota(s)
}

func parseQuota(s string) (string, error) {
	_, err := people.ParseSize(s)
	return s, err
}

func parseText(s string) (string, error) {
	if strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return "", errors.New("it contains a control character")
	}
	return strings.TrimSpace(s), nil
}

func parseRooms(s string) (string, error) {
	var names []string
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		name, err := kaban.ParseRoomName(strings.TrimPrefix(part, "#"))
		if err != nil {
			return "", fmt.Errorf("the room %q: %w", part, err)
		}
		names = append(names, name.String())
	}
	return strings.Join(names, ","), nil
}

func parseIssuer(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	u, err := url.Parse(s)
	local := err == nil && (u.Hostname() == "localhost" || u.Hostname() == "127.0.0.1" || u.Hostname() == "::1")
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
		u.Scheme != "https" && (u.Scheme != "http" || !local) {
		return "", fmt.Errorf("%.100q is no https address", s)
	}
	return s, nil
}

func parseAge(s string) (string, error) {
	d, err := ParseAge(s)
	if err == nil && d < time.Minute {
		err = errors.New("it is less than a minute")
	}
	return s, err
}

// ParseAge is time.ParseDuration that also accepts days, such as "7d". Its errors are
// for people.
func ParseAge(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, fmt.Errorf("%q is not a time; write it like 12h or 7d, with at most 65535 days", s)
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a time; write it like 12h or 7d", s)
	}
	return d, nil
}

// UnknownSettingError names a setting that does not exist.
type UnknownSettingError struct{ Key, Nearest string }

func (e *UnknownSettingError) Error() string {
	return fmt.Sprintf("there is no setting %q; the nearest is %q", e.Key, e.Nearest)
}

// findSetting returns the entry of a key, or an *UnknownSettingError.
func findSetting(key string) (*setting, error) {
	nearest, least := "", 1<<30
	for i := range registry {
		if registry[i].key == key {
			return &registry[i], nil
		}
		if d := distance(key, registry[i].key); d < least {
			nearest, least = registry[i].key, d
		}
	}
	return nil, &UnknownSettingError{key, nearest}
}

// distance is the number of characters to insert, delete or replace (Levenshtein).
func distance(a, b string) int {
	if len(a) > 100 {
		a = a[:100]
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next := min(row[j]+1, row[j+1]+1, diagonal+cost)
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}

// Settings are the settings about people.
type Settings struct {
	Access        access.Admission
	CreateRooms   kaban.Role // the least one
	InviteMembers kaban.Role // the least one
	AutoJoin      []string   // names of rooms besides the lobby
}

func readSettings(tx store.Tx) (s Settings, err error) {
	values := make(map[string]string)
	for _, key := range []string{SettingAccess, SettingCreateRooms, SettingInviteMembers, SettingAutoJoin} {
		if values[key], err = readSetting(tx, key); err != nil {
			return s, err
		}
	}
	if s.Access, err = access.ParseAdmission(values[SettingAccess]); err != nil {
		return s, err
	}
	if s.CreateRooms, err = kaban.ParseRole(values[SettingCreateRooms]); err != nil {
		return s, err
	}
	if s.InviteMembers, err = kaban.ParseRole(values[SettingInviteMembers]); err != nil {
		return s, err
	}
	if rooms := values[SettingAutoJoin]; rooms != "" {
		s.AutoJoin = strings.Split(rooms, ",")
	}
	return s, nil
}

// readSetting returns the value of a setting, or its default.
func readSetting(tx store.Tx, key string) (string, error) {
	known, err := findSetting(key)
	if err != nil {
		return "", err
	}
	stored, err := people.Settings.Get(tx, key)
	switch {
	case errors.Is(err, people.ErrNotFound):
		return known.fallback, nil
	case err != nil:
		return "", err
	}
	value, err := known.parse(stored.Value)
	if err != nil {
		return "", fmt.Errorf("%w: the setting %s: %w", store.ErrDamaged, key, err)
	}
	return value, nil
}

// Settings returns the settings about people, and whether the server has an owner.
func (s *Service) Settings(ctx context.Context) (settings Settings, hasOwner bool, err error) {
	err = s.documents.View(ctx, func(tx store.Tx) (err error) {
		if settings, err = readSettings(tx); err != nil {
			return err
		}
		hasOwner, err = people.Accounts.HasOwner(tx)
		return err
	})
	return settings, hasOwner, err
}

// Setting returns the value of a setting, or its default. It asks for no right.
func (s *Service) Setting(ctx context.Context, key string) (value string, err error) {
	err = s.documents.View(ctx, func(tx store.Tx) (err error) {
		value, err = readSetting(tx, key)
		return err
	})
	return value, err
}

// SettingInfo is what people see of a setting.
type SettingInfo struct {
	Key, Value, Default, Help string
	// Operator is set if only the operator gives it another value now. Owners may empty it.
	Operator bool
}

// ListSettings returns all settings.
func (s *Service) ListSettings(ctx context.Context, by Actor) (infos []SettingInfo, err error) {
	err = s.view(ctx, by, func(c *change) error {
		infos = nil
		if err := c.may(access.ReadSettings); err != nil {
			return err
		}
		for _, known := range registry {
			value, err := readSetting(c.Tx, known.key)
			if err != nil {
				return err
			}
			action, err := c.actionToFill(known.key)
			if err != nil {
				return err
			}
			infos = append(infos, SettingInfo{known.key, value, known.fallback, known.help, action == access.NameFile})
		}
		return nil
	})
	return infos, err
}

// Set changes a setting. Only the operator names files; see actionOf. Errors are *UnknownSettingError, *ValueError, *UnknownRoomError
// and those of somebody that is no owner.
func (s *Service) Set(ctx context.Context, by Actor, key, value string) error {
	known, err := findSetting(key)
	if err != nil {
		return err
	}
	return s.update(ctx, by, func(c *change) error {
		action, err := c.actionOf(key, value)
		if err != nil {
			return err
		}
		if err := c.may(action); err != nil {
			return err
		}
		if err := c.mayJoinAll(key, value); err != nil {
			return err
		}
		return c.set(known, value)
	})
}

// actionOf returns what it is to give a setting a value.
func (c *change) actionOf(key, value string) (access.Action, error) {
	action, err := c.actionToFill(key)
	if err != nil || action != access.NameFile {
		return action, err
	}
	now, err := readSetting(c.Tx, key)
	if value == "" || now == value {
		action = access.ChangeSignOn
	}
	return action, err
}

// actionToFill returns what it is to give a setting another value than it has, and not the
// empty one. The secret in a file of the server goes to the provider. So whoever may not
// name the file does not choose, while it is named, who gets what is in it.
func (c *change) actionToFill(key string) (access.Action, error) {
	switch {
	case key == SettingRetention:
		return access.ChangeRetention, nil
	case !strings.HasPrefix(key, "oidc."):
		return access.ChangeSettings, nil
	case key == settingSecretFile:
		return access.NameFile, nil
	case key == settingIssuer:
		file, err := readSetting(c.Tx, settingSecretFile)
		if err != nil || file != "" {
			return access.NameFile, err
		}
	}
	return access.ChangeSignOn, nil
}

// roomsOf returns the rooms that a setting puts people in; none if the value is not valid.
func roomsOf(key, value string) (names []string) {
	switch key {
	case SettingAutoJoin:
		if rooms, err := parseRooms(value); err == nil && rooms != "" {
			names = strings.Split(rooms, ",")
		}
	case settingGroups:
		grants, _ := parseGroups(value)
		for _, g := range grants {
			if g.role == 0 {
				names = append(names, g.room.String())
			}
		}
	}
	return names
}

// mayJoinAll refuses a setting that puts people in rooms that are private, as far as the
// actor may know: nobody joins those without being invited.
func (c *change) mayJoinAll(key, value string) error {
	names := roomsOf(key, value)
	if len(names) == 0 {
		return nil
	}
	f, err := c.facts()
	if err != nil {
		return err
	}
	for _, name := range names {
		_, kind, err := c.knowsRoom(f, name)
		if _, isNew := errors.AsType[*UnknownRoomError](err); isNew { // the first new member makes it
			continue
		}
		switch {
		case err != nil:
			return err
		case kind == kaban.RoomPrivate:
			return &ValueError{key, name + " is a private room, and nobody joins it without an invitation; leave it out"}
		}
	}
	return nil
}

func (c *change) set(known *setting, value string) error {
	if len(value) > maxSetting {
		return &ValueError{known.key, "it has more than 4,096 bytes"}
	}
	value, err := known.parse(value)
	if err != nil {
		return &ValueError{known.key, err.Error()}
	}
	if value == known.fallback && known.key != SettingAccess { // which has another default once there is an owner
		err = people.Settings.Delete(c.Tx, known.key)
	} else {
		err = people.Settings.Put(c.Tx, &people.Setting{Key: known.key, Value: value})
	}
	if err != nil {
		return err
	}
	if hook := c.service.options.OnSettings; hook != nil {
		c.after = append(c.after, func() { hook(known.key) })
	}
	return c.audit(people.AuditSettingSet, known.key, value)
}
