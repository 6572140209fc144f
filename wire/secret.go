package wire

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret is a password or a token. Printing and logging it shows a placeholder;
// convert it to string to use it. Compare two in constant time.
type Secret string

const hidden = "[secret]"

// String returns a placeholder.
func (s Secret) String() string { return hidden }

// Format writes a placeholder, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, hidden) }

// LogValue returns a placeholder.
func (s Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText returns a placeholder, so that encoding/json does not write the secret.
func (s Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }
