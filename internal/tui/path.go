package tui

import (
	"runtime"
	"strings"
)

// pathCandidates returns what the path before the cursor may become: the argument of /upload, which
// begins at a place in the draft. A path that has spaces is written as splitPath reads it.
func (m *Model) pathCandidates(d *draft, begin int) completing {
	c := completing{from: begin, to: d.at, once: true}
	path, quote, ok := begunPath(d.text[begin:d.at])
	if !ok || m.options.Paths == nil {
		return c
	}
	for _, found := range m.options.Paths(path) {
		isFile := !strings.HasSuffix(found, "/") && !strings.HasSuffix(found, `\`)
		c.found = append(c.found, writtenPath(found, quote, isFile))
		c.shown = append(c.shown, found[len(found)-len(lastName(found)):])
	}
	return c
}

// lastName is the last element of a path, with the separator at its end.
func lastName(path string) string {
	return path[strings.LastIndexAny(strings.TrimRight(path, `/\`), `/\`)+1:]
}

// begunPath reads a path that is being typed: the path so far and the quote that it begins with, 0
// for none. ok is false if the path has ended already.
func begunPath(typed string) (path string, quote byte, ok bool) {
	if typed != "" && (typed[0] == '"' || typed[0] == '\'') {
		return typed[1:], typed[0], strings.IndexByte(typed[1:], typed[0]) < 0
	}
	var b strings.Builder
	for at := 0; at < len(typed); at++ {
		switch c := typed[at]; {
		case c == ' ' || c == '\n' || c == '\t':
			return "", 0, false
		case c == '\\' && runtime.GOOS != "windows":
			if at++; at < len(typed) {
				b.WriteByte(typed[at])
			}
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), 0, true
}

// writtenPath writes a path so that splitPath reads it. That of a file is complete, with a blank
// behind it.
func writtenPath(path string, quote byte, isFile bool) string {
	plain := strings.Trim(path, `'"`) == path
	if quote == 0 && runtime.GOOS == "windows" && (!plain || strings.ContainsAny(path, " \t")) {
		quote = '"' // which no path has there
	}
	switch {
	case quote != 0 && isFile:
		return string(quote) + path + string(quote) + " "
	case quote != 0:
		return string(quote) + path
	}
	if runtime.GOOS != "windows" {
		path = strings.NewReplacer(`\`, `\\`, " ", `\ `, "\t", "\\\t", `"`, `\"`, "'", `\'`).Replace(path)
	}
	if isFile {
		path += " "
	}
	return path
}
