package web

import (
	"context"
	"net/http"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"kaban"
	"kaban/internal/account"
	"kaban/internal/people"
	"kaban/wire"
)

// peopleOperations are those by which accounts find each other.
func (s *Server) peopleOperations(api huma.API) {
	asks(s, api, toActors, aboutPeople("list-people", http.MethodGet, "/v1/people", "Find people: the accounts that you may know of"), s.listPeople)
}

// PeoplePage is the part of a list of accounts that is asked for.
type PeoplePage struct {
	Query string     `query:"query" doc:"Only accounts with this in their username or name, in upper or lower case."`
	After string     `query:"after" doc:"Only accounts whose usernames sort after this one."`
	Limit limitParam `query:"limit" doc:"The most accounts to return; 100 if absent."`
}

// Person is an account in a list.
type Person struct {
	Account
	Online bool `json:"online" doc:"It is connected."`
}

// PersonList is a page of accounts.
type PersonList struct {
	People []Person `json:"people" nullable:"false" doc:"Sorted by username. A page of a search may be short and have more after it."`
	More   bool     `json:"more" doc:"There are more."`
	After  string   `json:"after,omitempty" doc:"With more: what to send as after for the next page."`
}

// query returns the accounts that are asked for.
func (in *PeoplePage) query() (q account.PeopleQuery, err error) {
	if q.Limit, err = in.Limit.limit(); err != nil {
		return q, err
	}
	for _, text := range []struct{ name, value string }{{"query", in.Query}, {"after", in.After}} {
		if err := checkText(text.name, text.value); err != nil {
			return q, err
		}
	}
	q.Text, q.After = in.Query, in.After
	if name, err := kaban.ParseUsername(in.After); err == nil {
		q.After = name.Key()
	}
	return q, nil
}

// checkText checks a parameter that something is looked for by.
func checkText(name, value string) error {
	if len(value) > maxName || !utf8.ValidString(value) {
		p := fieldProblem(wire.CodeBadField, name, name+": it is too long, or no UTF-8")
		p.Max, p.Actual = new(maxName), new(len(value))
		return p
	}
	return nil
}

func (s *Server) listPeople(ctx context.Context, by *who, in *PeoplePage) (PersonList, error) {
	q, err := in.query()
	if err != nil {
		return PersonList{}, err
	}
	q.Status = people.StatusActive
	page, err := s.config.Accounts.People(ctx, by.actor(), q)
	if err != nil {
		return PersonList{}, err
	}
	list := PersonList{People: make([]Person, len(page.People)), More: page.Cursor != "", After: page.Cursor}
	for i := range page.People {
		a := &page.People[i]
		list.People[i] = Person{accountOf(a), s.chat.IsOnline(a.ID)}
		if a.Owner != "" && a.Owner == by.principal.Account.ID {
			list.People[i].Owner = by.principal.Account.Username
		}
	}
	return list, nil
}

// orEmpty returns a list that is never null.
func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// timeOrNone is formatTime for a time that may be never.
func timeOrNone(milliseconds int64) string {
	if milliseconds == 0 {
		return ""
	}
	return formatTime(milliseconds)
}
