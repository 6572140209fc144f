package config

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// unknown returns the error for a key that is none of the known ones: the place of a key
// that is in the wrong table, or the nearest key.
func unknown(key string, value any, keys []string) error {
	if slices.Contains(tablesOf(keys), key) { // flatten leaves it only if it is no table
		if list, ok := value.([]any); ok && len(list) > 0 {
			if _, ok := list[0].(map[string]any); ok {
				return fmt.Errorf("unknown key %q: this table is there once, so write [%s] instead of [[%s]]", key, key, key)
			}
		}
		return fmt.Errorf("unknown key %q: this is a table; write a line [%s], and its keys below: %s", key, key, strings.Join(within(key+".", keys), ", "))
	}
	if _, isTable := value.(map[string]any); !isTable {
		if place, ok := placeOf(key, keys); ok {
			return fmt.Errorf("unknown key %q: %s", key, place)
		}
	}
	return fmt.Errorf("unknown key %q%s", key, nearestKey(key, keys))
}

// placeOf says where a key belongs that is in the wrong table. There is no answer if
// several tables have such a key.
func placeOf(key string, keys []string) (string, bool) {
	name := key[strings.LastIndexByte(key, '.')+1:]
	place, found := "", 0
	for _, k := range keys {
		switch i := strings.LastIndexByte(k, '.'); {
		case k[i+1:] != name:
			continue
		case i < 0:
			place = fmt.Sprintf("%q is outside of the tables; write it above the first line with [", name)
		default:
			place = fmt.Sprintf("%q is in the table %s; write it below a line [%s]", name, k[:i], k[:i])
		}
		found++
	}
	return place, found == 1
}

// within returns the names of the keys in a table, which ends with a dot.
func within(table string, keys []string) (names []string) {
	for _, k := range keys {
		if name, ok := strings.CutPrefix(k, table); ok && !strings.Contains(name, ".") {
			names = append(names, name)
		}
	}
	return names
}

// wrongKind returns the error for a value that is no Value.
func wrongKind(key string, value any) error {
	is := "a date; put it into quotes"
	switch value.(type) {
	case map[string]any:
		is = fmt.Sprintf("a table; write %s = and the value in one line", key)
	case []any:
		is = "a list of something else; put each element into quotes"
	}
	return fmt.Errorf("%s must be a string, a number, a boolean or a list of strings, not %s", key, is)
}

// bareText matches a line with a value that lacks its quotes.
var bareText = regexp.MustCompile(`^\s*([\w.-]+)\s*=\s*([^\s"'\[{#][^"'#\[{]*?)\s*(?:#.*)?$`)

// noValue matches the parser's words for a line that ends where a value should be.
var noValue = regexp.MustCompile(`^unexpected character U\+000[AD].* at start of value$|^expected value, not end of input$`)

// notTOML returns the error for a text that is no TOML.
func notTOML(path string, text []byte, err error) error {
	bad, ok := errors.AsType[*toml.DecodeError](err)
	if !ok {
		return fmt.Errorf("configuration file %s: %w", path, err)
	}
	line, column := bad.Position()
	problem := strings.TrimPrefix(bad.Error(), "toml: ")
	advice := ""
	switch written := lineOf(text, line); {
	case strings.HasSuffix(problem, "is already defined"):
		advice = "; it may be there once, so delete one of the two"
	case strings.HasSuffix(problem, "already exists"), strings.HasSuffix(problem, "should be a table, not a value"):
		advice = "; write all keys of a table in one place"
	case strings.Contains(problem, "number"), strings.Contains(problem, "digit"): // says enough
	case noValue.MatchString(problem):
		problem, advice = "there is no value", "; write one after the =, or delete the key"
	case strings.HasSuffix(problem, "after array value"), problem == "array is incomplete",
		strings.HasSuffix(problem, "at start of value") && column <= strings.IndexByte(written, '='):
		advice = "; the list is not closed: write a comma between its elements, and ] after the last one"
	case bareText.MatchString(written):
		parts := bareText.FindStringSubmatch(written)
		advice = fmt.Sprintf("; write a text in quotes: %s = %q", parts[1], parts[2])
	}
	return fmt.Errorf("configuration file %s, line %d, column %d: %s%s", path, line, column, problem, advice)
}

// lineOf returns a line of a text; the first one is 1.
func lineOf(text []byte, line int) string {
	lines := strings.Split(string(text), "\n")
	if line < 1 || line > len(lines) {
		return ""
	}
	return strings.TrimSuffix(lines[line-1], "\r")
}
