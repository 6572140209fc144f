// Package config reads the server's configuration file. The file is TOML; its
// keys are the names of the flags of kaban serve with "_" for "-". Flags beat
// the environment, which beats the file, which beats the defaults. Keys that
// are not known and values that cannot be right are errors: a typing error in a
// configuration must not pass for a default.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// maxFile is the longest configuration file in bytes.
const maxFile = 1 << 20

// Load reads a file that may have the given keys, each a string, a number, a
// boolean or a list of strings. It returns what the file says, every value as
// its text; lists have one element per text.
func Load(path string, keys []string) (map[string][]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("configuration file: %w", explain(err))
	}
	if info.IsDir() || info.Size() > maxFile {
		return nil, fmt.Errorf("configuration file %s: this is no file of at most %d bytes", path, maxFile)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("configuration file: %w", explain(err))
	}
	var file map[string]any
	if err := toml.Unmarshal(text, &file); err != nil {
		if bad, ok := errors.AsType[*toml.DecodeError](err); ok {
			line, column := bad.Position()
			return nil, fmt.Errorf("configuration file %s, line %d, column %d: %s", path, line, column, strings.TrimPrefix(bad.Error(), "toml: "))
		}
		return nil, fmt.Errorf("configuration file %s: %w", path, err)
	}
	values := make(map[string][]string)
	for key, value := range file {
		at := fmt.Sprintf("configuration file %s, line %d", path, lineOf(string(text), key))
		if !slices.Contains(keys, key) {
			return nil, fmt.Errorf("%s: there is no key %q%s", at, key, nearest(key, keys))
		}
		texts, ok := textsOf(value)
		if !ok {
			return nil, fmt.Errorf("%s: %s must be a text, a number or a list of texts", at, key)
		}
		values[key] = texts
	}
	return values, nil
}

func explain(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w; check the path given with --config", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w; make it readable for the user who runs the server", err)
	}
	return err
}

// textsOf returns a value as texts.
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

// lineOf returns the line on which a key first stands, 1 if that is not found.
func lineOf(text, key string) int {
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimLeft(line, " \t[\"'")
		if rest, ok := strings.CutPrefix(line, key); ok && strings.ContainsAny(rest[:min(1, len(rest))], " \t=\"'].") {
			return i + 1
		}
	}
	return 1
}

// nearest returns ", did you mean …?" where a known key is close to the one
// that was written, and else what keys there are.
func nearest(key string, keys []string) string {
	best, distance := "", 4
	for _, known := range keys {
		if d := editDistance(strings.ReplaceAll(strings.ToLower(key), "-", "_"), known); d < distance {
			best, distance = known, d
		}
	}
	if best != "" {
		return fmt.Sprintf(", did you mean %q?", best)
	}
	return "; there are " + strings.Join(keys, ", ")
}

// editDistance is how many letters must be added, removed or replaced to make
// one word of the other (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := before
			if a[i] != b[j] {
				replaced++
			}
			before = row[j+1]
			row[j+1] = min(replaced, row[j]+1, before+1)
		}
	}
	return row[len(b)]
}
