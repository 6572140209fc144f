package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"kaban"
	"kaban/internal/display"
	"kaban/internal/people"
	"kaban/internal/store"
)

// maxVisitors bounds the names that are listed: where visitors may come in, anybody makes
// any number of them.
const maxVisitors = 100_000

type userVisitors struct {
	dataFlags
	JSON bool `name:"json" help:"Print JSON, one object per line."`
}

// visitor is a name under which something was written without an account.
type visitor struct {
	Name    string `json:"name"`
	Entries int    `json:"entries"`
	First   string `json:"first"`
	Last    string `json:"last"`
	Account string `json:"account,omitempty"` // a username; it is shown as this account's
}

// Run lists the names under which somebody wrote without an account, the busiest first.
// It reads all messages, beside a running server, too.
func (c *userVisitors) Run(std streams) (err error) {
	ctx, stop := untilInterrupted()
	defer stop()
	if err := c.check(); err != nil {
		return err
	}
	archive, err := openAnyArchive(ctx, c.home())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, archive.Close()) }()
	found, more, err := c.find(ctx, archive)
	if err != nil {
		return err
	}
	if err := c.print(std, found); err != nil {
		return err
	}
	if more {
		fmt.Fprintf(std.err, "kaban: there are more than %d names; the others are not listed\n", maxVisitors)
	}
	if len(found) == 0 {
		fmt.Fprintln(std.err, "kaban: nothing was written without an account")
	}
	return archive.Lost(ctx)
}

// find counts the entries of visitors.
func (c *userVisitors) find(ctx context.Context, archive store.Archive) (found []*visitor, more bool, err error) {
	all, err := documents(ctx, archive)
	if err != nil {
		return nil, false, err
	}
	accounts, err := linkedVisitors(all)
	if err != nil {
		return nil, false, err
	}
	rooms, err := archive.Rooms(ctx)
	if err != nil || len(rooms) == 0 {
		return nil, false, err
	}
	byID := make(map[string]*visitor)
	err = archive.Export(ctx, nil, store.Receiver{
		Document: func(*store.Document) error { return nil },
		Front:    func(*store.Front) error { return nil },
		Damaged:  func(error) error { return nil }, // "kaban check" names it
		Record: func(r *store.Record) error {
			if account, program := kaban.AuthorOf(r.Author.ID()); account != "" || program {
				return nil
			}
			v := byID[r.Author.ID()]
			if v == nil {
				if more = more || len(byID) == maxVisitors; more {
					return nil
				}
				v = &visitor{Account: accounts[r.Author.ID()], First: rfc(r.Time)}
				byID[r.Author.ID()] = v
			}
			v.Name, v.Entries = r.Author.Name().String(), v.Entries+1
			v.First, v.Last = min(v.First, rfc(r.Time)), max(v.Last, rfc(r.Time))
			return nil
		},
	})
	found = slices.SortedFunc(maps.Values(byID), func(a, b *visitor) int {
		return cmp.Or(cmp.Compare(b.Entries, a.Entries), cmp.Compare(a.Name, b.Name))
	})
	return found, more, err
}

func rfc(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }

// linkedVisitors returns the usernames of the accounts that visitors were linked to, by the
// ids of the visitors.
func linkedVisitors(tx store.Tx) (map[string]string, error) {
	accounts := make(map[string]string)
	var failed error
	err := people.Links.All(tx, func(l *people.Link) bool {
		a, err := people.Accounts.Get(tx, l.Account)
		switch {
		case errors.Is(err, people.ErrNotFound):
		case err != nil:
			failed = err
		default:
			accounts[l.Visitor] = a.Username
		}
		return failed == nil
	})
	return accounts, errors.Join(err, failed)
}

func (c *userVisitors) print(std streams, found []*visitor) error {
	if !c.JSON {
		var rows [][]string
		for _, v := range found {
			rows = append(rows, []string{v.Name, fmt.Sprint(v.Entries), when(v.First), when(v.Last), orDash(v.Account)})
		}
		return printTable(std.out, []string{"NAME", "ENTRIES", "FIRST", "LAST", "SHOWN AS"}, rows)
	}
	for _, v := range found {
		text, err := json.Marshal(v)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintln(std.out, display.JSON(string(text))); err != nil {
			return fmt.Errorf("standard output: %w", err)
		}
	}
	return nil
}
