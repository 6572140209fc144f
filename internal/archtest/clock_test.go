package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"testing"
)

// timed are the packages whose timeouts must not depend on the time of day, which
// anyone may set. They measure the time between two calls of time.Now, which is
// monotonic unless a method drops the monotonic clock.
var timed = []string{
	"kaban/internal/conn", "kaban/internal/server", "kaban/internal/chat", "kaban/internal/session", "kaban/internal/idpool", "kaban/internal/dispatch",
	"kaban/internal/web", "kaban/internal/guard", "kaban/internal/preview", "kaban/internal/push", "kaban/client",
}

// dayOnly are methods of time.Time that drop the monotonic clock or return the
// time of day.
var dayOnly = []string{
	"Unix", "UnixMilli", "UnixMicro", "UnixNano", "Round", "Truncate", "UTC", "Local", "In",
	"Format", "AppendFormat", "String", "Date", "Clock", "Hour", "Minute", "Second",
}

// dayReaders are the files that need the time of day: one compares both clocks,
// since only the time of day advances while a machine sleeps, and one has the end of
// bans, which people choose.
var dayReaders = []string{"client/link.go", "internal/chat/day.go"}

// readsTheDay reports whether a node converts time.Now() to the time of day.
func readsTheDay(node ast.Node) bool {
	call, ok := node.(*ast.CallExpr)
	if !ok {
		return false
	}
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || !slices.Contains(dayOnly, method.Sel.Name) {
		return false
	}
	inner := method.X // time.Now(), or time.Now().Add(…)
	for {
		c, ok := inner.(*ast.CallExpr)
		if !ok {
			return false
		}
		f, ok := c.Fun.(*ast.SelectorExpr)
		if !ok {
			return false
		}
		if x, ok := f.X.(*ast.Ident); ok {
			return x.Name == "time" && f.Sel.Name == "Now"
		}
		inner = f.X
	}
}

// TestNoTimeoutHangsOnTheTimeOfDay looks for clocks that can be set. The loops of
// the server have one clock, in one file; other calls of time.Now there set
// deadlines of connections.
func TestNoTimeoutHangsOnTheTimeOfDay(t *testing.T) {
	for _, s := range sources(t) {
		if s.isTest() || s.isFault() || !slices.Contains(timed, s.pkg) {
			continue
		}
		deadlines := make(map[ast.Node]bool)
		ast.Inspect(s.file, func(node ast.Node) bool {
			if readsTheDay(node) && !slices.Contains(dayReaders, s.path) {
				t.Errorf("%s: the time of day: a timeout must not depend on it", s.set.Position(node.Pos()))
			}
			if s.pkg != "kaban/internal/conn" && s.pkg != "kaban/internal/server" || s.path == "internal/conn/clock.go" {
				return true
			}
			call, ok := node.(*ast.CallExpr)
			if !ok {
				return true
			}
			f, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			switch x, isName := f.X.(*ast.Ident); {
			case slices.Contains([]string{"SetDeadline", "SetReadDeadline", "SetWriteDeadline"}, f.Sel.Name):
				ast.Inspect(call, func(inner ast.Node) bool { deadlines[inner] = true; return true })
			case isName && x.Name == "time" && slices.Contains([]string{"Now", "Since", "Until"}, f.Sel.Name) && !deadlines[node]:
				t.Errorf("%s: time.%s: the loops' clock is in clock.go", s.set.Position(node.Pos()), f.Sel.Name)
			}
			return true
		})
	}
}

// TestTheTimeOfDayIsCaught breaks the rule.
func TestTheTimeOfDayIsCaught(t *testing.T) {
	for expression, want := range map[string]bool{
		"time.Now().UnixMilli()":        true,
		"time.Now().Add(1).Round(0)":    true,
		"time.Now().UTC()":              true,
		"time.Now().Add(2)":             false,
		"time.Now().Sub(begin)":         false,
		"time.UnixMilli(m).UTC()":       false,
		"entry.Time.UnixMilli()":        false,
		"limit.Truncate(time.Now())":    false,
		"conn.SetDeadline(time.Now())":  false,
		"time.Since(begin).Truncate(0)": false,
	} {
		parsed, err := parser.ParseExprFrom(token.NewFileSet(), "x.go", expression, 0)
		if err != nil {
			t.Fatal(err)
		}
		found := false
		ast.Inspect(parsed, func(n ast.Node) bool { found = found || readsTheDay(n); return true })
		if found != want {
			t.Errorf("%s: caught: %v, want %v", expression, found, want)
		}
	}
}
