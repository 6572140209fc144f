//go:build unix

package main

import (
	"os/exec"
	"testing"
)

// A shell reads each word of a message as it was meant.
func TestShellWord(t *testing.T) {
	for _, text := range []string{"", "kaban-data", "/var/lib/kaban", "my data", "ann's", "'", "$HOME", "a\"b", "*", "~", "a\\b", "a;b", "größe", "#1", "a\nb"} {
		read, err := exec.Command("sh", "-c", "printf %s "+shellWord(text)).Output()
		if err != nil || string(read) != text {
			t.Errorf("%q is written as %s, which a shell reads as %q, %v", text, shellWord(text), read, err)
		}
	}
	for _, text := range []string{"kaban-data", "/var/lib/kaban"} {
		if word := shellWord(text); word != text {
			t.Errorf("%s is written as %s", text, word)
		}
	}
}
