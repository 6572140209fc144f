package hashing

import (
	"errors"
	"fmt"
	"io"
	"runtime"
)

// Serve answers requests until there are no more, one after the other.
//
// It collects the garbage after each one. In a process with GOGC=off, memory goes back to
// the system at no other time, so all hashes use the same one: new memory costs as much
// time as the hash itself. With GOMAXPROCS=1 a hash keeps only one processor busy.
func Serve(requests io.Reader, answers io.Writer) error {
	var frame, answer []byte
	for {
		var r request
		next, err := r.read(requests, frame)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read a request: %w", err)
		}
		answer = appendAnswer(answer[:0], next, r.key())
		clear(next)
		frame = next
		_, err = answers.Write(answer)
		clear(answer)
		if err != nil {
			return fmt.Errorf("write an answer: %w", err)
		}
		runtime.GC()
	}
}
