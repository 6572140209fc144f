package ledger

import (
	"errors"
	"fmt"
	"hash/crc32"
	"net/url"
	"strconv"
	"strings"
	"time"

	"kaban/internal/store"
)

// A line is
//
//	message TIME EPOCH ROOM SEQ FINGERPRINT SUM
//	account TIME ID SUM
//
// TIME is when the message was deleted, or the account erased, ROOM the key of its room as in a path of a URL,
// FINGERPRINT (store.FingerprintOf) has 16 hexadecimal digits, and SUM is CRC-32C of everything
// before it, in 8. All fields are separated by one space.
const (
	kindMessage = "message"
	kindAccount = "account"
)

const timeFormat = "2006-01-02T15:04:05.000Z"

// maxLine bounds a line, in bytes. A room has a name of some tens of letters.
const maxLine = 4096

var (
	errSum   = errors.New("its checksum is wrong")
	errKind  = errors.New("it is of a newer version of kaban")
	errField = errors.New("it is not as this version writes it")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func sumOf(text string) uint32 { return crc32.Checksum([]byte(text), castagnoli) }

// appendLine adds the line of a message.
func appendLine(text []byte, e *store.Erased) []byte {
	begin := len(text)
	text = fmt.Appendf(text, "%s %s %s %s %d %016x ", kindMessage, time.UnixMilli(e.Time).UTC().Format(timeFormat), url.PathEscape(e.Epoch), url.PathEscape(e.Room), e.Seq, e.Fingerprint)
	return fmt.Appendf(text, "%08x\n", sumOf(string(text[begin:])))
}

// appendAccount adds the line of an account.
func appendAccount(text []byte, a *store.ErasedAccount) []byte {
	begin := len(text)
	text = fmt.Appendf(text, "%s %s %s ", kindAccount, time.UnixMilli(a.Time).UTC().Format(timeFormat), url.PathEscape(a.ID))
	return fmt.Appendf(text, "%08x\n", sumOf(string(text[begin:])))
}

// isSound reports whether a line, without its end, has the checksum that it should have.
func isSound(line string) bool {
	at := strings.LastIndexByte(line, ' ') + 1
	return line[at:] == fmt.Sprintf("%08x", sumOf(line[:at]))
}

// named is what a line names: an account, or a message if that has no id.
type named struct {
	message store.Erased
	account store.ErasedAccount
}

// parseLine returns what a line names, without its end.
func parseLine(line string) (n named, err error) {
	if !isSound(line) {
		return n, errSum
	}
	fields := strings.Split(line, " ")
	switch {
	case fields[0] == kindMessage && len(fields) == 7:
		n.message, err = parseMessage(fields)
	case fields[0] == kindAccount && len(fields) == 4:
		n.account, err = parseAccount(fields)
	case fields[0] == kindMessage, fields[0] == kindAccount:
		return n, errField
	default:
		return n, errKind
	}
	if err != nil {
		return named{}, fmt.Errorf("%w: %w", errField, err)
	}
	return n, nil
}

func parseMessage(fields []string) (e store.Erased, err error) {
	if e.Time, err = parseTime(fields[1]); err == nil {
		e.Epoch, err = url.PathUnescape(fields[2])
	}
	if err == nil {
		e.Room, err = url.PathUnescape(fields[3])
	}
	if err == nil {
		e.Seq, err = strconv.ParseUint(fields[4], 10, 64)
	}
	if err == nil {
		e.Fingerprint, err = strconv.ParseUint(fields[5], 16, 64)
	}
	return e, err
}

func parseAccount(fields []string) (a store.ErasedAccount, err error) {
	if a.Time, err = parseTime(fields[1]); err == nil {
		a.ID, err = url.PathUnescape(fields[2])
	}
	if err == nil && a.ID == "" {
		err = errors.New("an account has an id")
	}
	return a, err
}

func parseTime(text string) (int64, error) {
	at, err := time.Parse(timeFormat, text)
	return at.UnixMilli(), err
}
