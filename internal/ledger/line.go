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
//
// TIME is when the message was deleted, ROOM the key of its room as in a path of a URL,
// FINGERPRINT (store.FingerprintOf) has 16 hexadecimal digits, and SUM is CRC-32C of everything
// before it, in 8. All fields are separated by one space.
const kindMessage = "message"

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

// isSound reports whether a line, without its end, has the checksum that it should have.
func isSound(line string) bool {
	at := strings.LastIndexByte(line, ' ') + 1
	return line[at:] == fmt.Sprintf("%08x", sumOf(line[:at]))
}

// parseLine returns the message of a line, without its end.
func parseLine(line string) (e store.Erased, err error) {
	if !isSound(line) {
		return e, errSum
	}
	fields := strings.Split(line, " ")
	if fields[0] != kindMessage {
		return e, errKind
	}
	if len(fields) != 7 {
		return e, errField
	}
	at, err := time.Parse(timeFormat, fields[1])
	e.Time = at.UnixMilli()
	if err == nil {
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
	if err != nil {
		return store.Erased{}, fmt.Errorf("%w: %w", errField, err)
	}
	return e, nil
}
