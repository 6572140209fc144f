package display

import (
	"strings"

	"kaban"
)

// File writes a file of a message for people, in one line: "[file: cat.png, 68.6 KiB, image/png]",
// and behind a colon what describes it to those that do not see it.
func File(f *kaban.File) string {
	line := "[file: " + Line(f.Name) + ", " + Bytes(f.Size) + ", " + Line(f.Type)
	if f.Alt != "" {
		line += ": " + Line(f.Alt)
	}
	return line + "]"
}

// WithFiles writes a content, which is one line already, and the files behind it.
func WithFiles(content string, files kaban.Files) string {
	if files.IsZero() {
		return content
	}
	var parts []string
	if content != "" {
		parts = append(parts, content)
	}
	list := files.List()
	for i := range list {
		parts = append(parts, File(&list[i]))
	}
	return strings.Join(parts, " ")
}
