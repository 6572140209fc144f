// Package config reads the server's configuration file. The file is TOML; its keys
// are the names of the flags of kaban serve, with "_" instead of "-". Flags
// override the environment, which overrides the file, which overrides the
// defaults. Unknown keys and invalid values are errors: a typo in a configuration
// must not silently select a default. Write writes such a file, from the keys alone.
package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// maxFile is the longest configuration file in bytes.
const maxFile = 1 << 20

// Value is the value of a key in the file.
type Value struct {
	Texts []string // one, or the elements of a list
	Line  int
}

// At says where in a file the value is, for an error.
func (v Value) At(path string) string {
	return fmt.Sprintf("configuration file %s, line %d", path, v.Line)
}

// Load reads a file. It accepts only the given keys; each value is a string, a
// number, a boolean or a list of strings. A key with a dot, such as limits.rate, is
// one of a table.
//
// The error joins everything that is wrong, in the order of the lines, and the values
// are those of the keys that are right. If the file cannot be read or is no TOML, there
// is one error and no map.
func Load(path string, keys []string) (map[string]Value, error) {
	text, err := read(path)
	if err != nil {
		return nil, err
	}
	var file map[string]any
	if err := toml.Unmarshal(text, &file); err != nil {
		return nil, notTOML(path, text, err)
	}
	lines, err := linesOf(text)
	if err != nil {
		return nil, fmt.Errorf("configuration file %s: %w", path, err)
	}
	found := make(map[string]any)
	flatten(found, "", file, keys)
	inOrder := slices.SortedFunc(maps.Keys(found), func(a, b string) int {
		return cmp.Or(cmp.Compare(lines[a], lines[b]), strings.Compare(a, b))
	})
	values := make(map[string]Value)
	var problems []error
	for _, key := range inOrder {
		at := Value{Line: max(lines[key], 1)}.At(path)
		texts, ok := textsOf(found[key])
		switch {
		case !slices.Contains(keys, key):
			problems = append(problems, fmt.Errorf("%s: %w", at, unknown(key, found[key], keys)))
		case !ok:
			problems = append(problems, fmt.Errorf("%s: %w", at, wrongKind(key, found[key])))
		default:
			values[key] = Value{texts, lines[key]}
		}
	}
	return values, errors.Join(problems...)
}

// read returns the text of a file as UTF-8.
func read(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("configuration file: %w", explain(err))
	}
	switch {
	case info.IsDir():
		return nil, fmt.Errorf("configuration file %s: is a directory; give the path of a file", path)
	case info.Size() > maxFile:
		return nil, fmt.Errorf("configuration file %s: has %d bytes; the limit is %d", path, info.Size(), maxFile)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("configuration file: %w", explain(err))
	}
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")) // the byte order mark of some editors
	if bytes.HasPrefix(text, []byte("\xff\xfe")) || bytes.HasPrefix(text, []byte("\xfe\xff")) {
		return nil, fmt.Errorf("configuration file %s: this is UTF-16; save it as UTF-8", path)
	}
	return text, nil
}

func explain(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w; check the path of the configuration file", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w; make it readable for the user that runs the server", err)
	}
	return err
}

// textsOf converts a value to strings.
func textsOf(value any) ([]string, bool) {
	switch v := value.(type) {
	case string:
		return []string{v}, true
	case int64, float64, bool:
		return []string{fmt.Sprint(v)}, true
	case []any:
		texts := make([]string, 0, len(v))
		for _, element := range v {
			text, ok := element.(string)
			if !ok {
				return nil, false
			}
			texts = append(texts, text)
		}
		return texts, true
	}
	return nil, false
}

// flatten adds what a table has to found, with the tables that the keys know replaced
// by their keys.
func flatten(found map[string]any, prefix string, table map[string]any, keys []string) {
	for name, value := range table {
		name = prefix + name
		inner, ok := value.(map[string]any)
		if ok && !slices.Contains(keys, name) && slices.Contains(tablesOf(keys), name) {
			flatten(found, name+".", inner, keys)
			continue
		}
		found[name] = value
	}
}

// tablesOf returns the names of the tables that have the keys.
func tablesOf(keys []string) (names []string) {
	for _, key := range keys {
		for i, c := range key {
			if c == '.' && !slices.Contains(names, key[:i]) {
				names = append(names, key[:i])
			}
		}
	}
	return names
}

// linesOf returns the line of each key and table of a text that is TOML. A table is
// where it is first mentioned.
func linesOf(text []byte) (map[string]int, error) {
	lines := make(map[string]int)
	p := new(unstable.Parser)
	p.Reset(text)
	note := func(prefix string, node *unstable.Node) string {
		for parts := node.Key(); parts.Next(); {
			part := parts.Node()
			prefix += string(part.Data)
			if lines[prefix] == 0 {
				lines[prefix] = p.Shape(part.Raw).Start.Line
			}
			prefix += "."
		}
		return prefix
	}
	var pair func(prefix string, node *unstable.Node)
	pair = func(prefix string, node *unstable.Node) {
		prefix = note(prefix, node)
		if value := node.Value(); value.Kind == unstable.InlineTable {
			for children := value.Children(); children.Next(); {
				pair(prefix, children.Node())
			}
		}
	}
	table := ""
	for p.NextExpression() {
		switch e := p.Expression(); e.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = note("", e)
		case unstable.KeyValue:
			pair(table, e)
		}
	}
	return lines, p.Error()
}

// nearestKey is Nearest for an unknown key of a file. The keys that it lists are those
// of the same table.
func nearestKey(key string, keys []string) string {
	known := append(tablesOf(keys), keys...)
	if best, ok := Closest(key, known); ok {
		return fmt.Sprintf(", did you mean %q?", best)
	}
	table := ""
	if i := strings.LastIndexByte(key, '.'); i >= 0 {
		table = key[:i+1]
	}
	var beside []string
	for _, k := range known {
		if name, ok := strings.CutPrefix(k, table); ok && !strings.Contains(name, ".") {
			beside = append(beside, k)
		}
	}
	return "; the keys are " + strings.Join(beside, ", ")
}

// Nearest returns ", did you mean …?" if a known key is close to the given one, and
// otherwise the list of keys.
func Nearest(key string, keys []string) string {
	if best, ok := Closest(key, keys); ok {
		return fmt.Sprintf(", did you mean %q?", best)
	}
	return "; the keys are " + strings.Join(keys, ", ")
}

// Closest returns the known word that was probably meant. It makes the suggestions
// for commands, flags, variables and keys. A wrong suggestion is worse than none:
// at most a third of the letters may differ, not counting a common prefix such as
// KABAN_ or key_. It ignores case and treats "-" and "_" alike. A prefix of at
// least two letters counts as close.
func Closest(word string, known []string) (string, bool) {
	folded := foldWord(word)
	best, distance := "", -1
	for _, k := range known {
		a, b := folded, foldWord(k)
		if len(a) >= 2 && len(a) < len(b) && strings.HasPrefix(b, a) && !strings.HasSuffix(a, "_") {
			return k, true
		}
		for {
			first, rest, ok := strings.Cut(a, "_")
			same, other, also := strings.Cut(b, "_")
			if !ok || !also || first != same {
				break
			}
			a, b = rest, other
		}
		longest := max(utf8.RuneCountInString(a), utf8.RuneCountInString(b))
		if d := Distance(a, b); d <= longest/3 && (distance < 0 || d < distance) {
			best, distance = k, d
		}
	}
	return best, distance >= 0
}

func foldWord(word string) string { return strings.ReplaceAll(strings.ToLower(word), "-", "_") }

// Distance returns the number of insertions, deletions, replacements and swaps of
// adjacent letters between two words (optimal string alignment).
func Distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	var before []int // the row above the row above
	above := make([]int, len(y)+1)
	for j := range above {
		above[j] = j
	}
	for i := range x {
		row := make([]int, len(y)+1)
		row[0] = i + 1
		for j := range y {
			replaced := above[j]
			if x[i] != y[j] {
				replaced++
			}
			row[j+1] = min(replaced, row[j]+1, above[j+1]+1)
			if i > 0 && j > 0 && x[i] == y[j-1] && x[i-1] == y[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, above = above, row
	}
	return above[len(y)]
}
