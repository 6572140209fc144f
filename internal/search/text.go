package search

import (
	"strings"

	"kaban"
)

// TextOf returns what a message is found by: its content, and the names and the descriptions of
// its files, as kaban.Files.String returns them, each on a line of its own. A list of files that
// is damaged counts as none.
func TextOf(content, files string) string {
	if files == "" {
		return content
	}
	known, err := kaban.ParseFiles(files)
	if err != nil {
		return content
	}
	lines := []string{content}
	for _, f := range known.List() {
		lines = append(lines, f.Name, f.Alt)
	}
	return strings.Join(lines, "\n")
}
