package main

import (
	"os"
	"runtime"

	"golang.org/x/term"
)

func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// canDraw reports whether the terminal that the environment describes has a
// cursor that can be moved.
func canDraw() bool {
	kind := os.Getenv("TERM")
	return kind != "dumb" && (kind != "" || runtime.GOOS == "windows")
}
