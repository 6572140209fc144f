package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"kaban/internal/display"
)

// userCommand manages accounts.
type userCommand struct {
	Add      userAdd      `cmd:"" help:"Make an account. Without a password, print a link for the first sign-in."`
	List     userList     `cmd:"" help:"List the accounts."`
	Show     userShow     `cmd:"" help:"Show an account."`
	Suspend  userSuspend  `cmd:"" help:"Keep an account and its bots from being used, at once."`
	Restore  userRestore  `cmd:"" help:"Undo a suspension."`
	Reset    userReset    `cmd:"" help:"Revoke everything an account signs in with, and print a link into it."`
	Role     userRole     `cmd:"" help:"Change the role of an account."`
	Name     userName     `cmd:"" help:"Change the display name of an account."`
	Remove   userRemove   `cmd:"" help:"End an account for good. Its messages stay, and its name stays taken."`
	Erase    userErase    `cmd:"" help:"Remove an account and what is stored about it."`
	Visitors userVisitors `cmd:"" help:"List the names under which something was written without an account. \"kaban user link\" gives one to an account."`
	Link     userLink     `cmd:"" help:"Link an account to an identity at the OpenID provider, or to what was written under a name without an account."`
}

// userArg is the account that a command is about.
type userArg struct {
	Username string `arg:"" name:"name" help:"The username."`
}

// path returns the address of the account in the API.
func (u *userArg) path(rest string) string { return "/v1/admin/users/" + segment(u.Username) + rest }

// user is an account, as the API has it.
type user struct {
	Username string   `json:"username"`
	Name     string   `json:"name"`
	Role     string   `json:"role"`
	Bot      bool     `json:"bot"`
	Status   string   `json:"status"`
	Stopped  string   `json:"stopped"`
	Reason   string   `json:"reason"`
	Created  string   `json:"created"`
	Owner    string   `json:"owner"`
	Groups   []string `json:"groups"`
	Link     string   `json:"link"` // of a new account
}

// kind returns what the account is, for a table.
func (u *user) kind() string {
	if u.Bot {
		return "bot of " + u.Owner
	}
	return ""
}

// state returns the status of the account, for people. A bot stops with its owner.
func (u *user) state() string {
	switch u.Stopped {
	case "":
		return u.Status
	case "suspended":
		return "stopped (its owner is suspended)"
	case "unclaimed":
		return "stopped (its owner has no way to sign in yet)"
	}
	return "stopped (its owner is gone)"
}

type userAdd struct {
	adminFlags
	linkFlags
	passwordFlags
	userArg
	Name string `placeholder:"NAME" help:"The display name. Default: the username."`
	Role string `placeholder:"ROLE" enum:"guest,member,admin,owner" default:"member" help:"guest, member, admin or owner. Default: ${default}."`
}

// Run makes an account. Only the link goes to standard output.
func (c *userAdd) Run(std streams) error {
	password, _, err := c.read(std)
	if err != nil {
		return err
	}
	return c.withAdmin(std, &c.linkFlags, func(ctx context.Context, a *admin) error {
		in := map[string]string{"username": c.Username, "name": c.Name, "role": c.Role, "password": password}
		made, answer, err := request[user](ctx, a, "POST", "/v1/admin/users", in)
		if err != nil {
			return err
		}
		a.say("%s has an account", made.Username)
		if made.Link != "" {
			a.say("this link signs in, once; it is a secret and is not shown again:")
		}
		return a.result(answer, made.Link)
	})
}

type userList struct {
	adminFlags
	Query  string `placeholder:"TEXT" help:"Only accounts with this in their usernames or names."`
	Status string `placeholder:"STATUS" enum:",active,suspended,unclaimed,removed" default:"" help:"Only accounts that are active, suspended, unclaimed or removed. Without it, all but removed ones."`
}

// Run lists the accounts.
func (c *userList) Run(std streams) error {
	return c.withAdmin(std, nil, func(ctx context.Context, a *admin) error {
		return list(ctx, a, "/v1/admin/users", "users", []string{"query", c.Query, "status", c.Status, "limit", "500"},
			[]string{"USERNAME", "ROLE", "STATUS", "SINCE", "NAME", "NOTES"}, "there are no such accounts; \"kaban user add NAME\" makes one",
			func(u *user) []string {
				return []string{u.Username, u.Role, u.state(), when(u.Created), u.Name, u.kind()}
			})
	})
}

type userShow struct {
	adminFlags
	userArg
}

// Run shows an account.
func (c *userShow) Run(std streams) error {
	return c.withAdmin(std, nil, func(ctx context.Context, a *admin) error {
		u, answer, err := request[user](ctx, a, "GET", c.path(""), nil)
		if err != nil {
			return err
		}
		if a.json {
			return a.print(answer)
		}
		table := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
		for _, row := range [][2]string{
			{"username", u.Username},
			{"name", u.Name},
			{"role", u.Role},
			{"status", u.state()},
			{"reason", u.Reason},
			{"bot of", u.Owner},
			{"since", when(u.Created)},
		} {
			if row[1] != "" {
				fmt.Fprintf(table, "%s\t%s\n", row[0], display.Line(row[1]))
			}
		}
		for _, group := range u.Groups {
			fmt.Fprintf(table, "group\t%s\n", display.Line(group))
		}
		if err := table.Flush(); err != nil {
			return fmt.Errorf("standard output: %w", err)
		}
		return nil
	})
}

// simple makes a request that answers with nothing, and says what it did.
func (f *adminFlags) simple(std streams, method, path string, in any, format string, args ...any) error {
	return f.withAdmin(std, nil, func(ctx context.Context, a *admin) error {
		if err := a.do(ctx, method, path, in, nil); err != nil {
			return err
		}
		a.say(format, args...)
		return nil
	})
}

type userSuspend struct {
	adminFlags
	userArg
	Reason string `placeholder:"TEXT" help:"Why; admins see it. At most 200 characters."`
}

// Run suspends an account.
func (c *userSuspend) Run(std streams) error {
	return c.simple(std, "POST", c.path("/suspend"), map[string]string{"reason": c.Reason}, "%s is suspended; \"kaban user restore\" undoes it", c.Username)
}

type userRestore struct {
	adminFlags
	userArg
}

// Run restores an account.
func (c *userRestore) Run(std streams) error {
	return c.simple(std, "POST", c.path("/restore"), nil, "%s is restored", c.Username)
}

type userReset struct {
	adminFlags
	linkFlags
	userArg
}

// Run resets an account. Only the link goes to standard output.
func (c *userReset) Run(std streams) error {
	return c.withAdmin(std, &c.linkFlags, func(ctx context.Context, a *admin) error {
		made, answer, err := request[user](ctx, a, "POST", c.path("/reset"), nil)
		if err != nil {
			return err
		}
		a.say("%s is signed out everywhere; this link signs in, once, and is not shown again:", c.Username)
		return a.result(answer, made.Link)
	})
}

type userRole struct {
	adminFlags
	userArg
	Role string `arg:"" enum:"guest,member,admin,owner" help:"guest, member, admin or owner."`
}

// Run changes a role.
func (c *userRole) Run(std streams) error {
	return c.simple(std, "PUT", c.path("/role"), map[string]string{"role": c.Role}, "the role of %s is %s", c.Username, c.Role)
}

type userName struct {
	adminFlags
	userArg
	Display string `arg:"" help:"The display name."`
}

// Run changes a display name.
func (c *userName) Run(std streams) error {
	return c.simple(std, "PUT", c.path("/name"), map[string]string{"name": c.Display}, "%s is shown as %s", c.Username, c.Display)
}

type userRemove struct {
	adminFlags
	confirmFlags
	userArg
}

// Run removes an account.
func (c *userRemove) Run(std streams) error {
	return c.withAdmin(std, nil, func(ctx context.Context, a *admin) error {
		u, _, err := request[user](ctx, a, "GET", c.path(""), nil) // a typo is not asked about
		if err != nil {
			return err
		}
		lost := fmt.Sprintf("this ends the account %s for good, and its name stays taken", u.Username)
		if err := c.confirm(std, u.Username, func() (string, error) { return lost, nil }); err != nil {
			return err
		}
		if err := a.do(ctx, "DELETE", c.path(""), nil, nil); err != nil {
			return err
		}
		a.say("%s is removed", u.Username)
		return nil
	})
}

type userErase struct {
	adminFlags
	userArg
	confirmFlags
	DryRun bool `help:"Only count what would be deleted, and change nothing."`
}

// erasure is how far the erasing of an account is.
type erasure struct {
	State string `json:"state"`
	writings
	programs
}

// erasable is what erasing an account would delete.
type erasable struct {
	writings
	programs
	Next string `json:"next,omitempty"`
}

// writings are what an account has written, and in how many rooms.
type writings struct {
	Messages  int64 `json:"messages"`
	Reactions int64 `json:"reactions"`
	Texts     int64 `json:"texts,omitempty"` // topics and reasons
	Rooms     int64 `json:"rooms"`
}

func (w writings) written() string {
	texts := ""
	if w.Texts != 0 {
		texts = fmt.Sprintf(", with %s", display.Count(w.Texts, "topic or reason", "topics and reasons"))
	}
	return fmt.Sprintf("%s and %s%s in %s", display.Count(w.Messages, "message"), display.Count(w.Reactions, "reaction"), texts, display.Count(w.Rooms, "room"))
}

// programs are how many programs of an account write as it does.
type programs struct {
	Bots  int `json:"bots"`
	Hooks int `json:"hooks"`
}

// included says that what they have written is counted; "" if there are none.
func (p programs) included() string {
	if p == (programs{}) {
		return ""
	}
	return fmt.Sprintf(", with those of its programs (bots: %d, hooks: %d)", p.Bots, p.Hooks)
}

// preview counts what erasing the account would delete.
func (c *userErase) preview(ctx context.Context, a *admin) (all erasable, err error) {
	for {
		some, _, err := request[erasable](ctx, a, "GET", c.path("/erase/preview")+query("after", all.Next), nil)
		if err != nil {
			return erasable{}, err
		}
		all = erasable{writings{Messages: all.Messages + some.Messages, Reactions: all.Reactions + some.Reactions, Texts: all.Texts + some.Texts, Rooms: all.Rooms + some.Rooms}, some.programs, some.Next}
		if all.Next == "" {
			return all, nil
		}
	}
}

// dryRun reports what erasing the account would delete.
func (c *userErase) dryRun(ctx context.Context, a *admin) error {
	found, err := c.preview(ctx, a)
	if err != nil {
		return err
	}
	if a.json {
		return json.NewEncoder(a.std.out).Encode(found)
	}
	a.say("erasing %s would delete %s%s, and the account; nothing is changed", c.Username, found.written(), found.included())
	return nil
}

// agreed asks whether the account is to be erased.
func (c *userErase) agreed(ctx context.Context, a *admin) error {
	return c.confirm(a.std, c.Username, func() (string, error) {
		found, err := c.preview(ctx, a)
		return fmt.Sprintf("this deletes %s, %s%s, for good", c.Username, found.written(), found.included()), err
	})
}

// erasePoll is how often the command looks whether the erasing is done, and eraseProgress how
// often it says how far that is.
const (
	erasePoll     = 200 * time.Millisecond
	eraseProgress = 5 * time.Second
)

// Run erases an account, and ends when nothing is left of what it has written.
func (c *userErase) Run(std streams) error {
	return c.withAdmin(std, nil, func(ctx context.Context, a *admin) error {
		if c.DryRun {
			return c.dryRun(ctx, a)
		}
		if err := c.agreed(ctx, a); err != nil {
			return err
		}
		err := a.do(ctx, "POST", c.path("/erase"), nil, nil)
		if err == nil {
			err = c.wait(ctx, a)
		}
		lost, ok := errors.AsType[*lostError](err)
		switch {
		case !ok:
			return err
		case lost.changes:
			return fmt.Errorf("the server ended before it answered (%w); if the erasing of %s had begun, it goes on by itself once the server runs again; run this command again to begin it, or to see how far it is", lost.err, c.Username)
		}
		return fmt.Errorf("the server ended while it erased %s (%w); that goes on by itself once the server runs again; run this command again to see how far it is", c.Username, lost.err)
	})
}

// wait returns when nothing is left of what the account has written.
func (c *userErase) wait(ctx context.Context, a *admin) error {
	said := time.Now()
	for {
		e, answer, err := request[erasure](ctx, a, "GET", c.path("/erase"), nil)
		if err != nil {
			return err
		}
		if e.State == "done" {
			if a.json {
				return a.print(answer)
			}
			a.say("%s is erased: %s%s", c.Username, e.written(), e.included())
			return nil
		}
		if time.Since(said) >= eraseProgress {
			said = time.Now()
			fmt.Fprintf(a.std.err, "%s: %s so far; it goes on without this command\n", e.State, e.written())
		}
		select {
		case <-time.After(erasePoll):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

type userLink struct {
	adminFlags
	userArg
	Subject string `placeholder:"SUBJECT" xor:"what" help:"Who it is at the OpenID provider: the value of the claim that oidc.subject_claim names. Give this or --visitor."`
	Issuer  string `placeholder:"URL" help:"The provider. Default: that of the setting oidc.issuer."`
	Visitor string `placeholder:"NAME" xor:"what" help:"The name under which something was written without an account. Give this or --subject."`
}

// Run links an account.
func (c *userLink) Run(std streams) error {
	if c.Visitor == "" && c.Subject == "" {
		return usagef("give --subject for an identity at the OpenID provider, or --visitor for what was written without an account")
	}
	if c.Visitor != "" {
		return c.simple(std, "PUT", c.path("/visitor"), map[string]string{"visitor": c.Visitor}, "what %s wrote without an account is shown as %s's", c.Visitor, c.Username)
	}
	return c.withAdmin(std, nil, func(ctx context.Context, a *admin) error {
		issuer := c.Issuer
		if issuer == "" {
			found, err := a.setting(ctx, "oidc.issuer")
			if err != nil {
				return err
			}
			if issuer = found.Value; issuer == "" {
				return usagef("the setting oidc.issuer is empty; name the provider with --issuer")
			}
		}
		in := map[string]string{"issuer": issuer, "subject": c.Subject}
		if err := a.do(ctx, "PUT", c.path("/identities"), in, nil); err != nil {
			return err
		}
		a.say("%s signs in as %s at %s", c.Username, c.Subject, issuer)
		return nil
	})
}
