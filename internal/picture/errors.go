package picture

import (
	"errors"
	"fmt"
)

// ErrNotShown means that a file is not a picture that can be shown. It may still be kept
// and offered as a file. A RefusedError says why.
var ErrNotShown = errors.New("not a picture that can be shown")

// Reason is why a file cannot be shown.
type Reason uint8

const (
	// Unknown is any other format, and an animated WebP.
	Unknown Reason = iota + 1
	// Broken is a picture that cannot be decoded: also one that has been cut short, or one
	// that makes the decoder panic.
	Broken
	// TooLarge is beyond a limit of bytes, pixels, a side, or the memory of its kind.
	TooLarge
	// TooManyFrames is an animation beyond the limit.
	TooManyFrames
	// TooLong is a picture whose output would be too long.
	TooLong
	// TooSlow is a picture that takes over a minute of a processor.
	TooSlow
	// TooMuchMemory is a picture that takes more memory than its header announced, and than a
	// process gets. Where the machine has no memory, that is a ProcessError with NoMemory.
	TooMuchMemory
)

var reasons = map[Reason]string{
	Unknown:       "the format is not JPEG, PNG, GIF or a WebP that does not move",
	Broken:        "it cannot be decoded",
	TooLarge:      "it is too large",
	TooManyFrames: "it has too many frames",
	TooLong:       "it would take too many bytes",
	TooSlow:       "it takes too long",
	TooMuchMemory: "it takes too much memory",
}

func (r Reason) String() string {
	if text, ok := reasons[r]; ok {
		return text
	}
	return fmt.Sprintf("Reason(%d)", uint8(r))
}

// RefusedError is an ErrNotShown with the reason. The same file is refused again.
type RefusedError struct {
	Reason Reason
	Detail string // may quote the file; for logs
}

func (e *RefusedError) Error() string {
	text := ErrNotShown.Error() + ": " + e.Reason.String()
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	return text
}

// Is reports whether the target is ErrNotShown.
func (e *RefusedError) Is(target error) bool { return target == ErrNotShown }

func refuse(r Reason, format string, a ...any) error {
	return &RefusedError{Reason: r, Detail: fmt.Sprintf(format, a...)}
}

// refusal returns the error of a decoder as a RefusedError.
func refusal(err error) error {
	if errors.Is(err, ErrNotShown) {
		return err
	}
	return refuse(Broken, "%v", err)
}
