package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// The limits on the source: what is longer has two concepts in it.
const (
	maxFileLines     = 500
	maxFunctionLines = 60
)

// longer are the functions that may be longer, each with the reason.
var longer = map[string]string{}

// source is a module of the page, by its name without the ending.
type source struct {
	lines   []string
	imports []string
}

// checkShape checks that modules do not import each other in circles and that
// files and functions are not too long.
func checkShape(dir string) error {
	sources, err := readSources(dir)
	if err != nil {
		return err
	}
	var problems []error
	exceptions := make(map[string]bool)
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		s := sources[name]
		if n := len(s.lines); n > maxFileLines {
			problems = append(problems, fmt.Errorf("%s has %d lines, at most %d", name, n, maxFileLines))
		}
		for function, n := range functions(s.lines) {
			if n <= maxFunctionLines {
				continue
			}
			where := name + ": " + function
			exceptions[where] = true
			if longer[where] == "" {
				problems = append(problems, fmt.Errorf("%s has %d lines, at most %d", where, n, maxFunctionLines))
			}
		}
	}
	for where := range longer {
		if !exceptions[where] {
			problems = append(problems, fmt.Errorf("%s is short enough, and need not be an exception", where))
		}
	}
	for _, circle := range circles(sources) {
		problems = append(problems, fmt.Errorf("imports in a circle: %s", strings.Join(circle, " -> ")))
	}
	return errors.Join(problems...)
}

// imported finds the module that a line imports or exports from. Types count: they
// are knowledge of the other module too.
var imported = regexp.MustCompile(`^(?:import|export|\}).* from '\./([\w.-]+)'`)

func readSources(dir string) (map[string]source, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.ts*"))
	if err != nil {
		return nil, err
	}
	sources := make(map[string]source)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var s source
		for line := range strings.Lines(string(text)) {
			line = strings.TrimRight(line, "\n")
			s.lines = append(s.lines, line)
			if found := imported.FindStringSubmatch(line); found != nil {
				s.imports = append(s.imports, found[1])
			}
		}
		name := filepath.Base(file)
		sources[strings.TrimSuffix(name, filepath.Ext(name))] = s
	}
	if len(sources) == 0 {
		return nil, fmt.Errorf("%s has no source", dir)
	}
	return sources, nil
}

// opening finds the lines on which functions begin: declarations, methods, and
// functions that are values.
var (
	opening = regexp.MustCompile(`^(?:export )?(?:async )?function (\w+)|^ *(?:const|let) (\w+) = .*=> [{(]$|=> [{(]$|^  (?:(?:private|static|async|get|set) )*(\w+)\(.*\{$`)
	keyword = regexp.MustCompile(`^ *(?:if|for|while|switch|do|else|try|catch|return)\b`)
)

// functions returns how many lines each function has. It goes by the indentation,
// which is that of all the source: a function ends on the first line that closes a
// bracket where its first line began.
func functions(lines []string) map[string]int {
	found := make(map[string]int)
	for i, line := range lines {
		names := opening.FindStringSubmatch(line)
		if names == nil || keyword.MatchString(line) && !strings.HasSuffix(line, "=> {") {
			continue
		}
		indent := line[:len(line)-len(strings.TrimLeft(line, " "))]
		for j := i + 1; j < len(lines); j++ {
			rest, same := strings.CutPrefix(lines[j], indent)
			if !same || rest == "" || !strings.ContainsAny(rest[:1], "})") || strings.HasSuffix(rest, "{") {
				continue
			}
			name := names[1] + names[2] + names[3]
			if name == "" {
				name = strings.TrimSpace(line)
			}
			found[name] = max(found[name], j-i+1)
			break
		}
	}
	return found
}

// circles returns paths of imports that end where they begin.
func circles(sources map[string]source) [][]string {
	var found [][]string
	done := make(map[string]bool)
	var follow func(module string, path []string)
	follow = func(module string, path []string) {
		if at := slices.Index(path, module); at >= 0 {
			found = append(found, append(slices.Clone(path[at:]), module))
			return
		}
		if done[module] {
			return
		}
		path = append(path, module)
		for _, next := range sources[module].imports {
			follow(next, path)
		}
		done[module] = true
	}
	for _, module := range slices.Sorted(maps.Keys(sources)) {
		follow(module, nil)
	}
	return found
}
