//go:build !otel

package trace

import (
	"context"
	"log/slog"
)

// Enabled reports whether messages are traced.
const Enabled = false

// Moment is a time.
type Moment struct{}

// Now returns the present time.
func Now() Moment { return Moment{} }

// Message is the trace of one message. The zero Message has none. All methods do nothing
// in a binary without the build tag otel.
type Message struct{}

// Read begins the trace of a message that was read in a round that began then.
func Read(Moment) Message { return Message{} }

// Submitted ends the stage "read".
func (Message) Submitted() {}

// Committing begins the stage "commit", with the number of sends in the batch.
func (Message) Committing(int) {}

// Committed ends it. With an error the trace ends.
func (Message) Committed(error) {}

// Publishing begins the stage "fan-out".
func (Message) Publishing() {}

// Published ends it, and the trace.
func (Message) Published() {}

// Setup does nothing.
func Setup(context.Context, string, *slog.Logger) (stop func(context.Context) error, err error) {
	return func(context.Context) error { return nil }, nil
}
