package account

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/people"
	"kaban/internal/store"
)

func TestSettings(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	w.room("news", kaban.RoomPublic)
	w.room("dev", kaban.RoomPublic)
	for _, c := range []struct {
		key, value, want string
		ok               bool
	}{
		{"access", "signup", "signup", true},
		{"access", "Open", "", false},
		{"access", "", "", false},
		{"create_rooms", "admin", "admin", true},
		{"create_rooms", "guest", "", false},
		{"invite_members", "admin", "admin", true},
		{"auto_join", " #News,, Dev ", "news,dev", true},
		{"auto_join", "not a room!", "", false},
		{"auto_join", "", "", true},
		{"file_size", "25MB", "25MB", true},
		{"file_size", "unlimited", "", false},
		{"file_size", "25", "", false},
		{"file_quota", "unlimited", "unlimited", true},
		{"file_quota", "0MB", "", false},
		{"file_quota", "", "", false},
		{"file_quota_server", "5TB", "5TB", true},
		{"file_quota_server", "5 TB", "", false},
		{"oidc.issuer", "https://id.example.org/realm", "https://id.example.org/realm", true},
		{"oidc.issuer", "http://localhost:9998", "http://localhost:9998", true},
		{"oidc.issuer", "http://id.example.org", "", false},
		{"oidc.issuer", "https://user:pw@id.example.org", "", false},
		{"oidc.max_age", "12h", "12h", true},
		{"oidc.max_age", "7d", "7d", true},
		{"oidc.max_age", "1s", "", false},
		{"oidc.max_age", "soon", "", false},
		{"oidc.name", "a\nb", "", false},
		{"oidc.name", strings.Repeat("x", maxSetting+1), "", false},
	} {
		err := w.Set(w.ctx, alice, c.key, c.value)
		if _, isValue := errors.AsType[*ValueError](err); (err == nil) != c.ok || !c.ok && !isValue {
			t.Errorf("%s = %.30q: %v", c.key, c.value, err)
		}
		if got, err := w.Setting(w.ctx, c.key); c.ok && (got != c.want || err != nil) {
			t.Errorf("%s is %q, %v, want %q", c.key, got, err, c.want)
		}
	}
	settings, _, err := w.Settings(w.ctx)
	w.must(err)
	if settings.Access != access.Registration || settings.CreateRooms != kaban.RoleAdmin || settings.InviteMembers != kaban.RoleAdmin || settings.AutoJoin != nil {
		t.Errorf("settings are %+v", settings)
	}
	infos, err := w.ListSettings(w.ctx, alice)
	if err != nil || len(infos) != len(registry) || infos[0] != (SettingInfo{"access", "signup", "open", registry[0].help, false}) {
		t.Errorf("the list is %+v, %v", infos, err)
	}
	// Nor does an owner who opens the server again find it closed.
	w.must(w.Set(w.ctx, alice, "access", "open"))
	if !strings.Contains(w.everything(), "setting/access=") {
		t.Error("that anybody may come in is not stored")
	}
	w.must(w.Set(w.ctx, alice, "access", "signup"))
	// A default is not stored, so that it can change.
	w.must(w.Set(w.ctx, alice, "create_rooms", "member"))
	if strings.Contains(w.everything(), "setting/create_rooms=") {
		t.Error("a default is stored")
	}
	bob := w.add(alice, "bob", kaban.RoleMember)
	_, _, err = w.Invite(w.ctx, bob, NewInvite{})
	wantCode(t, "invite against invite_members", err, "forbidden")
}

// New members join public rooms, and make those that do not exist.
func TestRoomsOfAutoJoin(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	w.room("dev", kaban.RoomPublic)
	w.room("den", kaban.RoomPrivate)
	w.room("own", kaban.RoomPrivate, alice)
	w.must(w.Set(w.ctx, alice, SettingAutoJoin, "lobby,new"))
	w.must(w.Set(w.ctx, alice, SettingAutoJoin, "lobby,#Dev"))
	for _, private := range []string{"den", "own"} { // an owner lists them all
		if value, ok := errors.AsType[*ValueError](w.Set(w.ctx, alice, SettingAutoJoin, "dev,"+private)); !ok || !strings.HasPrefix(value.Reason, private+" is a private room") {
			t.Errorf("a private room: %v", value)
		}
	}
	// Nor does a group of single sign-on.
	for _, by := range []Actor{alice, Operator()} {
		if value, ok := errors.AsType[*ValueError](w.Set(w.ctx, by, "oidc.groups", "g=#dev,g1=admin,g1=#den")); !ok || value.What != "oidc.groups" || !strings.HasPrefix(value.Reason, "den is a private room") {
			t.Errorf("a group that gives a private room: %v", value)
		}
	}
	w.must(w.Set(w.ctx, alice, "oidc.groups", "g=#dev,g=#new,g1=admin"))
	if got, err := w.Setting(w.ctx, SettingAutoJoin); err != nil || got != "lobby,dev" {
		t.Errorf("it is %q, %v", got, err)
	}
	w.must(w.Set(w.ctx, alice, SettingAutoJoin, ""))
}

// The server reads the file of a secret and sends its text to the provider. So only
// the operator names the file, and while it is named, who the provider is.
func TestOnlyTheOperatorNamesFiles(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	const file, issuer = "oidc.client_secret_file", "oidc.issuer"
	w.must(w.Set(w.ctx, alice, issuer, "https://id.example"))
	for _, name := range []string{"/etc/passwd", "/proc/self/environ", "credential:other", "x"} {
		wantCode(t, name, w.Set(w.ctx, alice, file, name), "forbidden")
	}
	if got, err := w.Setting(w.ctx, file); err != nil || got != "" {
		t.Errorf("the file is %q, %v", got, err)
	}
	w.must(w.Set(w.ctx, Operator(), file, "/etc/kaban/secret"))
	w.must(w.Set(w.ctx, alice, issuer, "https://id.example")) // as it is
	wantCode(t, "another provider gets the secret", w.Set(w.ctx, alice, issuer, "https://eve.example"), "forbidden")
	w.must(w.Set(w.ctx, alice, issuer, ""))
	wantCode(t, "another provider gets the secret, from none", w.Set(w.ctx, alice, issuer, "https://eve.example"), "forbidden")
	w.must(w.Set(w.ctx, Operator(), issuer, "https://id.example"))
	w.must(w.Set(w.ctx, alice, file, ""))
	w.must(w.Set(w.ctx, alice, issuer, "https://other.example"))
}

// The list says of each setting whether an owner may give it another value now.
func TestSettingsSayWhoChangesThem(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	values := map[string]string{
		"access": "closed", "create_rooms": "admin", "invite_members": "admin", "auto_join": "news", "retention": "90d", "oidc.issuer": "https://other.example",
		"file_size": "25MB", "file_quota": "1GB", "file_quota_server": "unlimited", "previews": "on",
		"oidc.groups": "staff=admin", "oidc.link_by_email": "true", "oidc.create": "false", "oidc.max_age": "1h",
	}
	for _, file := range []string{"", "/etc/kaban/secret"} {
		w.must(w.Set(w.ctx, Operator(), settingSecretFile, file))
		infos, err := w.ListSettings(w.ctx, alice)
		w.must(err)
		for _, info := range infos {
			value, ok := values[info.Key]
			if !ok {
				value = "other"
			}
			err := w.Set(w.ctx, alice, info.Key, value)
			if forbidden := isRefusal(err); forbidden != info.Operator || !forbidden && err != nil {
				t.Errorf("with the file %q, %s: the list says %v, and setting it %v", file, info.Key, info.Operator, err)
			}
			if want := info.Key == settingSecretFile || info.Key == settingIssuer && file != ""; info.Operator != want {
				t.Errorf("with the file %q, %s: the list says %v", file, info.Key, info.Operator)
			}
			w.must(w.Set(w.ctx, Operator(), info.Key, info.Value))
		}
	}
}

// A setting that bounds files bounds the next upload.
func TestFileSettingsBoundUploads(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	limits := func() (l people.FileLimits) {
		w.must(w.documents.View(w.ctx, func(tx store.Tx) (err error) {
			l, err = people.ReadFileLimits(tx)
			return err
		}))
		return l
	}
	if got, want := limits(), (people.FileLimits{File: 100e6, Account: 2e9, Server: 20e9}); got != want {
		t.Errorf("the limits are %+v, want %+v", got, want)
	}
	for key, value := range map[string]string{"file_size": "5MB", "file_quota": "unlimited", "file_quota_server": "1TB"} {
		w.must(w.Set(w.ctx, alice, key, value))
	}
	if got, want := limits(), (people.FileLimits{File: 5e6, Server: 1e12}); got != want {
		t.Errorf("the limits are %+v, want %+v", got, want)
	}
}

func TestAgesThatAreNone(t *testing.T) {
	for _, s := range []string{"soon", "never", "", "7", "1.5d", "-1d", "65536d", "d"} {
		if _, err := ParseAge(s); err == nil || !strings.HasPrefix(err.Error(), strconv.Quote(s)+" is not a time; write it like 12h or 7d") {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestUnknownSettingNamesTheNearest(t *testing.T) {
	for key, want := range map[string]string{
		"acess": "access", "create_room": "create_rooms", "autojoin": "auto_join", "oidc.maxage": "oidc.max_age",
		"oidc_issuer": "oidc.issuer", strings.Repeat("x", 1<<20): "access",
	} {
		_, err := findSetting(key)
		unknown, ok := errors.AsType[*UnknownSettingError](err)
		if !ok || len(key) < 100 && unknown.Nearest != want {
			t.Errorf("%.20s: %v, want %s", key, err, want)
		}
	}
}

func TestDefaultsAreAccepted(t *testing.T) {
	for _, s := range registry {
		if got, err := s.parse(s.fallback); got != s.fallback || err != nil {
			t.Errorf("%s: the default %q becomes %q, %v", s.key, s.fallback, got, err)
		}
		if s.help == "" {
			t.Errorf("%s has no help", s.key)
		}
	}
}

func TestAuditPages(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	bob := w.add(alice, "bob", kaban.RoleMember)
	for range 20 {
		w.pass(time.Second)
		w.must(w.SetName(w.ctx, bob, "", "Bob"))
		w.must(w.SetName(w.ctx, Operator(), "bob", "Robert"))
	}
	all := func(q AuditQuery) (rows []people.Audit) {
		t.Helper()
		for q.Limit = 7; ; {
			page, err := w.Audit(w.ctx, alice, q)
			w.must(err)
			if rows = append(rows, page.Rows...); page.Cursor == "" {
				return rows
			}
			q.After = page.Cursor
		}
	}
	if rows := all(AuditQuery{Action: "account.name"}); len(rows) != 40 || !slices.IsSortedFunc(rows, func(a, b people.Audit) int { return int(a.Time - b.Time) }) {
		t.Errorf("%d rows", len(rows))
	}
	oldest, newest := all(AuditQuery{Action: "account.name"}), all(AuditQuery{Action: "account.name", Newest: true})
	slices.Reverse(newest)
	if !slices.Equal(newest, oldest) {
		t.Errorf("the newest first are\n%v, and the oldest\n%v", newest, oldest)
	}
	from, to := oldest[5].Time, oldest[11].Time
	if rows := all(AuditQuery{Action: "account.name", Newest: true, From: from, To: to}); len(rows) == 0 || rows[0].Time >= to || rows[len(rows)-1].Time != from ||
		len(rows) != len(all(AuditQuery{Action: "account.name", From: from, To: to})) {
		t.Errorf("the newest first between two times are %v", rows)
	}
	if rows := all(AuditQuery{Action: "account.name", Actor: "BOB"}); len(rows) != 20 || rows[0].Address != "192.0.2.2" || rows[0].Subject != "bob" {
		t.Errorf("%d rows by bob: %+v", len(rows), rows[:1])
	}
	if rows := all(AuditQuery{Operator: true}); len(rows) != 20 {
		t.Errorf("%d rows by the operator", len(rows))
	}
	if rows := all(AuditQuery{Action: "account", Subject: "bob"}); len(rows) != 41 {
		t.Errorf("%d rows about bob", len(rows))
	}
	if rows := all(AuditQuery{Action: "acc"}); len(rows) != 0 {
		t.Errorf("%d rows of half an action", len(rows))
	}
	start := w.now()
	if rows := all(AuditQuery{From: start - 9_000, To: start - 4_000}); len(rows) != 10 {
		t.Errorf("%d rows within five seconds", len(rows))
	}
	for _, cursor := range []string{"x", "12", "-1-x"} {
		if _, err := w.Audit(w.ctx, alice, AuditQuery{After: cursor}); err == nil {
			t.Errorf("the cursor %q is accepted", cursor)
		}
	}
}

// A clock that is set ahead by mistake removes nothing, unless it stays there for a day.
func TestMaintainAfterTheClockWasSet(t *testing.T) {
	const decade = 87600 * time.Hour
	for name, test := range map[string]struct {
		ahead time.Duration
		then  func(w *world)
		kept  bool
	}{
		"set ahead":                   {decade, func(w *world) {}, true},
		"ahead for almost a day":      {decade, func(w *world) { w.pass(leapFor - time.Minute) }, true},
		"ahead for a day":             {decade, func(w *world) { w.pass(leapFor) }, false},
		"corrected":                   {decade, func(w *world) { w.setClock(-decade); w.pass(3 * time.Hour) }, true},
		"corrected, and time goes on": {decade, func(w *world) { w.setClock(-decade); w.pass(inviteFor) }, false},
		"twice":                       {decade, func(w *world) { w.pass(leapFor - time.Hour); w.setClock(decade) }, true},
		"corrected, and ahead again a day later": {decade, func(w *world) {
			w.setClock(-decade)
			_, err := w.Maintain(w.ctx)
			w.must(err)
			w.pass(2 * leapFor)
			w.setClock(decade)
		}, true},
		"set back":                 {-decade, func(w *world) { w.pass(time.Hour) }, true},
		"set back and ahead again": {-decade, func(w *world) { w.pass(time.Hour); w.setClock(decade) }, true},
		"time passes":              {0, func(w *world) { w.pass(inviteFor) }, false},
		"corrected a little":       {30 * time.Minute, func(w *world) { w.pass(inviteFor - 30*time.Minute) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			_, _, err := w.Invite(w.ctx, w.claim(), NewInvite{})
			w.must(err)
			maintain := func() {
				for more := true; more; {
					more, err = w.Maintain(w.ctx)
					w.must(err)
				}
			}
			maintain()
			w.setClock(test.ahead)
			maintain()
			test.then(w)
			maintain()
			if kept := strings.Contains(w.everything(), "\ninvite/"); kept != test.kept {
				t.Errorf("the invite is there: %t, want %t", kept, test.kept)
			}
			if warned := strings.Contains(w.log.String(), "the clock was set ahead"); test.ahead == decade && !warned {
				t.Error("the log says nothing")
			}
		})
	}
}

func TestMaintain(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	_, _, err := w.Invite(w.ctx, alice, NewInvite{})
	w.must(err)
	const many = 2*maintainStep + 1
	w.must(w.documents.Update(w.ctx, func(tx store.Tx) error {
		for range many {
			if err := people.Invites.Put(tx, &people.Invite{Hash: newID(), ID: newID(), Expires: w.now() + inviteFor.Milliseconds()}); err != nil {
				return err
			}
		}
		return nil
	}))
	_, err = w.BeginGrant(w.ctx, Device{})
	w.must(err)
	_, _, err = w.MakeToken(w.ctx, alice, NewToken{Name: "short", Expires: time.Hour})
	w.must(err)
	w.failed("", "192.0.2.66")
	maintain := func() {
		t.Helper()
		for range 100 {
			more, err := w.Maintain(w.ctx)
			w.must(err)
			if !more {
				return
			}
		}
		t.Fatal("there is always more to do")
	}
	count := func(what string) int { return strings.Count(w.everything(), what) }
	maintain()
	if count("\ninvite/") != many+1 || count(`"kind":"grant"`) != 1 || count(`"address":"192.0.2.66"`) != 1 {
		t.Error("something was removed too early")
	}
	w.pass(inviteFor)
	maintain()
	if count("\ninvite/") != 0 || count(`"kind":"grant"`) != 0 || count(`"name":"short"`) != 1 {
		t.Error("invites and grants stay")
	}
	w.pass(addressesFor)
	for i := range 1200 {
		w.must(w.SetName(w.ctx, alice, "", "Alice"))
		if i%100 == 0 {
			w.pass(time.Hour)
		}
	}
	maintain()
	if count(`"name":"short"`) != 0 {
		t.Error("an expired token stays")
	}
	rows := func() (with, without int) {
		w.must(w.documents.View(w.ctx, func(tx store.Tx) error {
			found, _, err := people.Audits.Since(tx, 0, nil, 5000)
			for _, r := range found {
				if strings.Contains(r.ID, "192.0.2") || r.Address != "" {
					with++
				} else {
					without++
				}
			}
			return err
		}))
		return with, without
	}
	if with, without := rows(); with != 1200 || without < 4 {
		t.Errorf("%d rows with an address, %d without", with, without)
	}
	w.pass(addressesFor)
	maintain()
	if with, without := rows(); with != 0 || without < 1204 {
		t.Errorf("a month later %d rows with an address, %d without", with, without)
	}
	w.pass(auditFor)
	maintain()
	if with, without := rows(); with+without != 0 {
		t.Errorf("a year later %d rows", with+without)
	}
	if _, err := w.Renew(w.ctx, alice.Principal); err != nil {
		t.Errorf("a device without an expiry: %v", err)
	}
}
