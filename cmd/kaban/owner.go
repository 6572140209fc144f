package main

import (
	"context"
	"encoding/json"
	"fmt"
)

// ownerCommand makes an owner, or lets one back in.
type ownerCommand struct {
	adminFlags
	linkFlags
	passwordFlags
	Username string `arg:"" name:"name" help:"The username. The account is made, promoted or restored, as needed."`
}

// Help returns the text below the flags.
func (ownerCommand) Help() string {
	return "The first owner claims the server: from then on people need an invite. A password ends all other sign-ins of the account; " +
		"without one, the command prints a link for one sign-in. At a terminal, it asks for a password."
}

// madeOwner is the answer of the API.
type madeOwner struct {
	First bool     `json:"first"`
	New   bool     `json:"new"`
	Link  string   `json:"link"`
	Codes []string `json:"recovery_codes"`
}

// Run makes an owner.
func (c *ownerCommand) Run(std streams) error {
	password, given, err := c.read(std)
	if err == nil && !given {
		password, err = ask(std, "Password of "+c.Username+" (empty for a link): ")
	}
	if err != nil {
		return err
	}
	c.creates = true
	return c.withAdmin(std, &c.linkFlags, func(ctx context.Context, a *admin) error {
		var answer json.RawMessage
		if err := a.do(ctx, "POST", "/v1/admin/owner", map[string]string{"username": c.Username, "password": password}, &answer); err != nil {
			return err
		}
		var made madeOwner
		if err := json.Unmarshal(answer, &made); err != nil {
			return fmt.Errorf("understand the answer of the server: %w", err)
		}
		a.say("%s is an owner", c.Username)
		if made.First {
			a.say("from now on, people need an invite (\"kaban invite add\") or an account (\"kaban user add\"); \"kaban settings set access open\" admits everybody")
		}
		c.showCodes(a, made.Codes)
		if made.Link != "" {
			a.say("this link signs in, once; it is a secret and is not shown again:")
		}
		return a.result(answer, made.Link)
	})
}

// showCodes shows the recovery codes of a new account to a person. They do not go into
// a file by accident: new ones can be had at any time.
func (c *ownerCommand) showCodes(a *admin, codes []string) {
	switch {
	case len(codes) == 0 || a.json:
	case !isTerminal(a.std.err):
		a.say("recovery codes are on the page, under the account; --json prints those of a new account")
	default:
		a.say("recovery codes, each for one sign-in without the password; keep them in a safe place:")
		for _, code := range codes {
			fmt.Fprintln(a.std.err, "  ", code)
		}
	}
}
