package main

import (
	"context"
	"fmt"
	"strings"

	"kaban/internal/account"
)

// tokenCommand manages the secrets of programs.
type tokenCommand struct {
	Add    tokenAdd    `cmd:"" help:"Make a token for an account or a bot, and print it."`
	List   tokenList   `cmd:"" help:"List the tokens of an account."`
	Revoke tokenRevoke `cmd:"" help:"End a token, at once."`
}

// token is a token, as the API has it.
type token struct {
	ID       string   `json:"id"`
	Name     string   `json:"name"`
	Created  string   `json:"created"`
	Used     string   `json:"used"`
	Expires  string   `json:"expires"`
	Rooms    []string `json:"rooms"`
	ReadOnly bool     `json:"read_only"`
	Token    string   `json:"token"` // of a new one
}

// tokenFlags describe a new token.
type tokenFlags struct {
	For      string   `placeholder:"TEXT" default:"made on the server" help:"What the token is for. Default: ${default}."`
	Expires  string   `placeholder:"TIME" help:"After how long the token ends, such as 12h or 90d. Default: when it is revoked."`
	Room     []string `placeholder:"ROOM" help:"A room that the token is bound to; may be given several times. Default: it works in all rooms of the account."`
	ReadOnly bool     `help:"The token only reads."`
}

// check refuses an --expires that is no time, before anything is made.
func (f *tokenFlags) check() error {
	if f.Expires == "" {
		return nil
	}
	return checkExpires(f.Expires, "; leave it out for a token that is valid until it is revoked")
}

// checkExpires refuses an --expires that is no time. hint is what else to do.
func checkExpires(text, hint string) error {
	d, err := account.ParseAge(text)
	if err == nil && d <= 0 {
		err = fmt.Errorf("%q is in the past; write it like 12h or 7d", text)
	}
	if err != nil {
		return usagef("--expires: %w%s", err, hint)
	}
	return nil
}

// make makes a token for an account and prints it.
func (f *tokenFlags) make(ctx context.Context, a *admin, username string) error {
	in := map[string]any{"name": f.For, "read_only": f.ReadOnly}
	if f.Expires != "" {
		in["expires_in"] = f.Expires
	}
	if len(f.Room) > 0 {
		in["rooms"] = f.Room
	}
	of := userArg{username}
	made, answer, err := request[token](ctx, a, "POST", of.path("/tokens"), in)
	if err != nil {
		return err
	}
	a.say("token %s of %s; it is a secret and is not shown again:", made.ID, username)
	return a.result(answer, made.Token)
}

type tokenAdd struct {
	adminFlags
	tokenFlags
	userArg
}

// Run makes a token. Only the token goes to standard output.
func (c *tokenAdd) Run(std streams) error {
	if err := c.check(); err != nil {
		return err
	}
	return c.withAdmin(std, nil, func(ctx context.Context, a *admin) error { return c.make(ctx, a, c.Username) })
}

type tokenList struct {
	adminFlags
	userArg
}

// Run lists the tokens of an account.
func (c *tokenList) Run(std streams) error {
	return c.withAdmin(std, nil, func(ctx context.Context, a *admin) error {
		return list(ctx, a, c.path("/tokens"), "tokens", nil,
			[]string{"ID", "CREATED", "USED", "UNTIL", "FOR", "ROOMS"}, c.Username+" has no tokens; \"kaban token add NAME\" makes one",
			func(t *token) []string {
				name := t.Name
				if t.ReadOnly {
					name += " (reads only)"
				}
				return []string{t.ID, when(t.Created), orDash(when(t.Used)), orDash(when(t.Expires)), name, strings.Join(t.Rooms, ",")}
			})
	})
}

type tokenRevoke struct {
	adminFlags
	userArg
	ID string `arg:"" help:"The id that \"kaban token list\" shows."`
}

// Run ends a token.
func (c *tokenRevoke) Run(std streams) error {
	return c.simple(std, "DELETE", c.path("/tokens/"+segment(c.ID)), nil, "token %s of %s has ended", c.ID, c.Username)
}

// botCommand manages the accounts of programs.
type botCommand struct {
	Add  botAdd  `cmd:"" help:"Make a bot, and print a token for it."`
	List botList `cmd:"" help:"List the bots."`
	Give botGive `cmd:"" help:"Give a bot to another owner. Its tokens end; make new ones."`
}

type botAdd struct {
	adminFlags
	tokenFlags
	userArg
	Name  string `placeholder:"NAME" help:"The display name. Default: the username."`
	Role  string `placeholder:"ROLE" enum:"guest,member,admin" default:"member" help:"What the bot may do at most: guest, member or admin. It never can do more than its owner. Default: ${default}."`
	Owner string `placeholder:"NAME" help:"The account that the bot belongs to. Default: the owner of the server, if there is one only."`
}

// Run makes a bot. Only its token goes to standard output.
func (c *botAdd) Run(std streams) error {
	if err := c.check(); err != nil {
		return err
	}
	return c.withAdmin(std, nil, func(ctx context.Context, a *admin) error {
		in := map[string]string{"username": c.Username, "name": c.Name, "role": c.Role, "owner": c.Owner}
		var made user
		if err := a.do(ctx, "POST", "/v1/bots", in, &made); err != nil {
			return err
		}
		a.say("%s is a bot of %s", made.Username, made.Owner)
		if err := c.make(ctx, a, made.Username); err != nil {
			return fmt.Errorf("%w; the bot has no token yet: \"kaban token add %s\" makes one", err, made.Username)
		}
		return nil
	})
}

type botList struct{ adminFlags }

// Run lists the bots of all accounts.
func (c *botList) Run(std streams) error {
	return c.withAdmin(std, nil, func(ctx context.Context, a *admin) error {
		return list(ctx, a, "/v1/admin/users", "users", []string{"limit", "500"},
			[]string{"USERNAME", "OWNER", "ROLE", "STATUS", "SINCE", "NAME"}, "there are no bots; \"kaban bot add NAME\" makes one",
			func(u *user) []string {
				if !u.Bot {
					return nil
				}
				return []string{u.Username, u.Owner, u.Role, u.state(), when(u.Created), u.Name}
			})
	})
}

type botGive struct {
	adminFlags
	userArg
	Owner string `arg:"" help:"The username of the new owner."`
}

// Run gives a bot away.
func (c *botGive) Run(std streams) error {
	return c.simple(std, "PUT", c.path("/owner"), map[string]string{"username": c.Owner}, "%s is a bot of %s", c.Username, c.Owner)
}
