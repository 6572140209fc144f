package access

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"kaban"
)

var update = flag.Bool("update", false, "write docs/permissions.md; read the diff")

const document = "../../docs/permissions.md"

// TestDocument compares docs/permissions.md with what Can decides.
func TestDocument(t *testing.T) {
	got := permissions()
	if *update {
		if err := os.WriteFile(document, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Error("docs/permissions.md is not up to date; run \"make golden\"")
	}
}

// permissions returns docs/permissions.md.
func permissions() string {
	var b strings.Builder
	b.WriteString(introduction)
	legend(&b)
	section := func(title, text string) { fmt.Fprintf(&b, "## %s\n\n%s\n\n", title, text) }

	section("Public rooms", publicText)
	table(&b, kaban.RoomPublic, publicColumns, roomRows)
	section("Private rooms", privateText)
	table(&b, kaban.RoomPrivate, privateColumns, roomRows)
	section("Direct rooms", directText)
	table(&b, kaban.RoomDirect, directColumns, roomRows)
	section("Archived rooms", archivedText)
	archived(&b)
	section("On the server", serverText)
	table(&b, 0, serverColumns, serverRows)
	section("Getting in", admissionText)
	admissions(&b)
	b.WriteString(rest)
	return b.String()
}

// facts returns the most permissive facts of a column.
func (c column) facts(kind kaban.RoomKind) Facts {
	f := open()
	f.Server.MembersCreate, f.Server.MembersInvite = true, true
	f.Who.Role, f.Who.Named = c.role, true
	f.Room = NewRoom(kind, 0, true)
	f.Membership = Membership{Role: c.rank, Standing: Good}
	f.Target = Target{
		Whom: Other, Role: kaban.RoleMember, RoomRole: kaban.RoomRoleMember, Standing: Good,
		SharesRoom: true, Reachable: true, OtherOwner: true, OwnersIn: true,
	}
	if c.set != nil {
		c.set(&f)
	}
	return f
}

// table writes a table and its footnotes.
func table(b *strings.Builder, kind kaban.RoomKind, columns []column, rows []row) {
	used := map[string]bool{}
	grid := [][]string{{""}}
	for _, c := range columns {
		grid[0] = append(grid[0], c.name)
	}
	for _, r := range rows {
		line := []string{r.name}
		for _, c := range columns {
			f := c.facts(kind)
			if r.set != nil {
				r.set(&f)
			}
			verdict := Can(r.action, f)
			cell := cells[verdict][0]
			if verdict == Allowed {
				marks := ""
				for _, note := range notes {
					if note.applies != nil && !note.applies(kind, r.action) {
						continue
					}
					g := f
					if note.set(&g); Can(r.action, g) != Allowed {
						marks += note.mark
						used[note.mark] = true
					}
				}
				cell = strings.TrimSpace(cell + " " + marks)
			}
			line = append(line, cell)
		}
		grid = append(grid, line)
	}
	writeGrid(b, grid)
	for _, note := range notes {
		if used[note.mark] {
			fmt.Fprintf(b, "%s %s  \n", note.mark, note.text)
		}
	}
	b.WriteString("\n")
}

func writeGrid(b *strings.Builder, grid [][]string) {
	widths := make([]int, len(grid[0]))
	for _, line := range grid {
		for i, cell := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for n, line := range grid {
		for i, cell := range line {
			fmt.Fprintf(b, "| %s%s ", cell, strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)))
		}
		b.WriteString("|\n")
		if n == 0 {
			for _, width := range widths {
				fmt.Fprintf(b, "|%s", strings.Repeat("-", width+2))
			}
			b.WriteString("|\n")
		}
	}
	b.WriteString("\n")
}

// legend writes the meaning of the cells.
func legend(b *strings.Builder) {
	grid := [][]string{{"cell", "meaning", "code"}}
	for _, v := range []Verdict{Allowed, Forbidden, NotFound, NotJoined, AuthRequired, RoomTaken} {
		code := ""
		if v != Allowed {
			code = "`" + v.String() + "`"
		}
		grid = append(grid, []string{cells[v][0], cells[v][1], code})
	}
	writeGrid(b, grid)
}

// archived writes who may still do what in an archived room.
func archived(b *strings.Builder) {
	grid := [][]string{{"", "public", "private", "direct"}}
	for _, r := range roomRows {
		line, any := []string{r.name}, false
		for kind, columns := range [][]column{publicColumns, privateColumns, directColumns} {
			var who []string
			for _, c := range columns {
				f := c.facts(kaban.RoomPublic + kaban.RoomKind(kind))
				f.Room.flags = kaban.FlagArchived
				if r.set != nil {
					r.set(&f)
				}
				if Can(r.action, f) == Allowed {
					who = append(who, c.name)
				}
			}
			any = any || len(who) > 0
			if line = append(line, strings.Join(who, ", ")); len(who) == 0 {
				line[kind+1] = "–"
			}
		}
		if any {
			grid = append(grid, line)
		}
	}
	writeGrid(b, grid)
}

// admissions writes who gets in with each setting of access.
func admissions(b *strings.Builder) {
	grid := [][]string{{"`access`", "visitors", "anybody signs up", "signs up with an invite link", "a member makes a link", "an admin makes a link", "an admin makes an account"}}
	for admission := Open; ; admission-- {
		line := []string{"`" + admission.String() + "`"}
		for _, c := range []struct {
			action Action
			role   kaban.Role
			link   bool
		}{
			{Read, 0, false},
			{SignUp, 0, false},
			{SignUp, 0, true},
			{InviteMember, kaban.RoleMember, false},
			{InviteMember, kaban.RoleAdmin, false},
			{CreateAccount, kaban.RoleAdmin, false},
		} {
			f := column{role: c.role}.facts(kaban.RoomPublic)
			f.Server.Admission, f.Who.Invited = admission, c.link
			cell := "–"
			if Can(c.action, f) == Allowed {
				cell = "yes"
			}
			line = append(line, cell)
		}
		grid = append(grid, line)
		if admission == Closed {
			break
		}
	}
	writeGrid(b, grid)
}
