package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// maxListed is how many names of a directory are looked at, and maxPaths how many paths that
	// may be meant are returned.
	maxListed = 10_000
	maxPaths  = 200
)

// pathsLike returns the paths that begin with a typed one, by name, directories with a separator
// at their end. A ~ at the beginning stays. Hidden files are among them only if a dot is typed. Names
// that no line can have are left out.
func pathsLike(typed string) (found []string) {
	if typed == "~" {
		return []string{"~" + string(filepath.Separator)}
	}
	directory, begun := filepath.Split(typed)
	at := atHome(directory)
	if at == "" {
		at = "."
	}
	opened, err := os.Open(at)
	if err != nil {
		return nil
	}
	defer opened.Close()
	entries, _ := opened.ReadDir(maxListed) // as many as could be read
	for _, e := range entries {
		name := e.Name()
		if !strings.HasPrefix(name, begun) || strings.HasPrefix(name, ".") && begun == "" || !isTypable(name) {
			continue
		}
		if isDirectory(at, e) {
			name += string(filepath.Separator)
		}
		found = append(found, directory+name)
	}
	slices.Sort(found)
	return found[:min(len(found), maxPaths)]
}

// isDirectory reports whether an entry of a directory is one, or a link to one.
func isDirectory(directory string, e os.DirEntry) bool {
	if e.Type()&os.ModeSymlink == 0 {
		return e.IsDir()
	}
	info, err := os.Stat(filepath.Join(directory, e.Name()))
	return err == nil && info.IsDir()
}

func isTypable(name string) bool {
	return utf8.ValidString(name) && !strings.ContainsFunc(name, func(r rune) bool {
		return unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp, unicode.Bidi_Control)
	})
}
