package display

import (
	"strings"

	"kaban"
)

// File writes a file of a message for people, in one line: "[file: cat.png, 68.6 KiB, image/png]",
// and behind a colon what describes it to those that do not see it. What a type says beside what it
// is, such as the characters of a text, is for programs.
func File(f *kaban.File) string {
	kind, _, _ := strings.Cut(f.Type, ";")
	line := "[file: " + Line(f.Name) + ", " + Bytes(f.Size) + ", " + Line(kind)
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
