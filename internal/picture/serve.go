package picture

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
)

// ErrOrphaned means that the standard input of a child process has ended before its work:
// the parent has.
var ErrOrphaned = errors.New("nobody waits for the picture")

// Descriptors that a child process inherits beside the standard ones.
const (
	sourceDescriptor = iota + 3
	pictureDescriptor
	thumbnailDescriptor
)

// Serve is the work of a child process that a Worker has started: it reads a request, makes
// one picture, and writes an answer. Then the process is to end: its work may still go on.
// An error means that there is no answer.
//
// It confines the process, and cannot take that back: memory and, on Linux, the time of
// the processor and files. Only the parent may have the other end of the requests, so that
// they end with it.
func Serve(requests io.Reader, answers io.Writer) error {
	return serve(requests, answers, confine, usual.carryOut)
}

func serve(requests io.Reader, answers io.Writer, confine func() (<-chan os.Signal, error), work func(files) answer) error {
	r, frame, err := readRequest(requests)
	if err != nil {
		return fmt.Errorf("read a request: %w", err)
	}
	f, err := r.open()
	if err != nil {
		return err
	}
	slow, err := confine()
	if errors.Is(err, errNoMemory) {
		return write(answers, answer{outcome: wasNotBegun, text: err.Error()}, frame)
	}
	if err != nil {
		return err
	}
	done, orphaned := make(chan answer, 1), make(chan struct{})
	// Neither is waited for: the end of the process is theirs.
	var running sync.WaitGroup
	running.Go(func() {
		_, _ = io.Copy(io.Discard, requests)
		close(orphaned)
	})
	running.Go(func() { done <- work(f) })
	var a answer
	select {
	case a = <-done:
	case <-slow:
		a = answerOf(Made{}, refuse(TooSlow, "over %s of a processor", maxProcessor))
	case <-orphaned:
		return ErrOrphaned
	}
	return write(answers, a, frame)
}

func write(answers io.Writer, a answer, frame []byte) error {
	if _, err := answers.Write(a.append(nil, frame)); err != nil {
		return fmt.Errorf("write an answer: %w", err)
	}
	return nil
}

// files are a picture and where its outputs go.
type files struct {
	source, picture, thumbnail *os.File
}

// open returns the files of a request.
func (r request) open() (f files, err error) {
	if r.source == "" {
		return files{
			source:    os.NewFile(sourceDescriptor, "source"),
			picture:   os.NewFile(pictureDescriptor, "picture"),
			thumbnail: os.NewFile(thumbnailDescriptor, "thumbnail"),
		}, nil
	}
	if f.source, err = os.Open(r.source); err != nil {
		return files{}, err
	}
	if f.picture, err = os.OpenFile(r.picture, os.O_WRONLY, 0); err != nil {
		return files{}, errors.Join(err, f.source.Close())
	}
	if f.thumbnail, err = os.OpenFile(r.thumbnail, os.O_WRONLY, 0); err != nil {
		return files{}, errors.Join(err, f.source.Close(), f.picture.Close())
	}
	return f, nil
}

// carryOut makes a picture and says what has become of it.
func (l limits) carryOut(f files) answer {
	info, err := f.source.Stat()
	if err != nil {
		return answerOf(Made{}, err)
	}
	return answerOf(l.make(f.source, info.Size(), f.picture, f.thumbnail))
}

func answerOf(made Made, err error) answer {
	if err == nil {
		return answer{outcome: wasMade, made: made}
	}
	if refused, ok := errors.AsType[*RefusedError](err); ok {
		return answer{outcome: wasRefused, reason: refused.Reason, text: refused.Detail}
	}
	a := answer{outcome: wasNotDone, text: err.Error()}
	if number, ok := errors.AsType[syscall.Errno](err); ok {
		a.number = uint32(number)
	}
	return a
}
