package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"kaban/internal/display"
)

// listPage is a page of a list of the API.
type listPage struct {
	rows  []json.RawMessage
	more  bool
	after string
}

// parsePage takes a page apart whose rows are in a field.
func parsePage(text json.RawMessage, field string) (p listPage, err error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return p, err
	}
	for name, to := range map[string]any{field: &p.rows, "more": &p.more, "after": &p.after} {
		if value, ok := fields[name]; ok {
			if err := json.Unmarshal(value, to); err != nil {
				return p, fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return p, nil
}

// next returns where the next page begins; "" if this is the last one. Lists by name
// go on from their last name.
func (p *listPage) next() (string, error) {
	if !p.more || p.after != "" || len(p.rows) == 0 {
		return p.after, nil
	}
	var last struct {
		Room     string `json:"room"`
		Username string `json:"username"`
	}
	err := json.Unmarshal(p.rows[len(p.rows)-1], &last)
	return cmp.Or(last.Room, last.Username), err
}

// eachRow calls visit for each row of a list of the API, page by page.
func (a *admin) eachRow(ctx context.Context, path, field string, parameters []string, visit func(json.RawMessage) error) error {
	for after := ""; ; {
		var text json.RawMessage
		if err := a.do(ctx, "GET", path+query(append([]string{"after", after}, parameters...)...), nil, &text); err != nil {
			return err
		}
		p, err := parsePage(text, field)
		if err != nil {
			return fmt.Errorf("understand the answer of the server: %w", err)
		}
		for _, row := range p.rows {
			if err := visit(row); err != nil {
				return err
			}
		}
		next, err := p.next()
		if err != nil {
			return fmt.Errorf("understand the answer of the server: %w", err)
		}
		if next == "" || next == after {
			return nil
		}
		after = next
	}
}

// list prints a list of the API: as it is with --json, else as a table, with a header
// on a terminal only. cells returns nil for a row to be left out. empty is what to say
// if there are no rows.
func list[T any](ctx context.Context, a *admin, path, field string, parameters, header []string, empty string, cells func(*T) []string) error {
	var rows [][]string
	n := 0
	err := a.eachRow(ctx, path, field, parameters, func(text json.RawMessage) error {
		var row T
		if err := json.Unmarshal(text, &row); err != nil {
			return fmt.Errorf("understand the answer of the server: %w", err)
		}
		printed := cells(&row)
		if printed == nil {
			return nil
		}
		n++
		if a.json {
			return a.print(text)
		}
		rows = append(rows, printed)
		return nil
	})
	if err != nil {
		return err
	}
	if !a.json {
		if err := printTable(a.std.out, header, rows); err != nil {
			return err
		}
	}
	if n == 0 {
		a.say("%s", empty)
	}
	return nil
}

// printTable prints rows, aligned, with a header on a terminal only.
func printTable(out io.Writer, header []string, rows [][]string) error {
	var aligned bytes.Buffer
	table := tabwriter.NewWriter(&aligned, 0, 0, 2, ' ', 0)
	if isTerminal(out) {
		fmt.Fprintln(table, strings.Join(header, "\t"))
	}
	for _, row := range rows {
		for i := range row {
			row[i] = display.Line(row[i])
		}
		fmt.Fprintln(table, strings.Join(row, "\t"))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(aligned.String()) {
		if _, err := fmt.Fprintln(out, strings.TrimRight(line, " \n")); err != nil {
			return fmt.Errorf("standard output: %w", err)
		}
	}
	return nil
}

// print prints an answer of the API as one line.
func (a *admin) print(answer any) error {
	text, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(a.std.out, display.JSON(string(text))); err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	return nil
}

// request makes a request and returns the answer, read and as it came.
func request[T any](ctx context.Context, a *admin, method, path string, in any) (v T, answer json.RawMessage, err error) {
	if err := a.do(ctx, method, path, in, &answer); err != nil {
		return v, nil, err
	}
	if err := json.Unmarshal(answer, &v); err != nil {
		return v, nil, fmt.Errorf("understand the answer of the server: %w", err)
	}
	return v, answer, nil
}

// result prints what a command has made as the last line of standard output: the
// answer with --json, else the text, which may be empty.
func (a *admin) result(answer json.RawMessage, text string) error {
	if a.json {
		return a.print(answer)
	}
	if text == "" {
		return nil
	}
	if _, err := fmt.Fprintln(a.std.out, text); err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	return nil
}

// say tells the person about what was done, beside the output.
func (a *admin) say(format string, args ...any) {
	fmt.Fprintln(a.std.err, "kaban:", display.Line(fmt.Sprintf(format, args...)))
}

// when returns a time of the API as people read it, in their time zone.
func when(text string) string {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return text
	}
	return t.Local().Format("2006-01-02 15:04")
}
