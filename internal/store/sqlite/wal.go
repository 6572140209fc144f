package sqlite

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/bits"
	"os"
	"time"

	"kaban/internal/store"
)

// SQLite reads a WAL up to the first frame with a wrong checksum and silently takes the
// rest for the end of an unfinished write. A flipped bit would therefore lose all later
// transactions, which were acknowledged. A crash leaves something else: at most one
// transaction was not synced, and its missing parts are whole sectors.

// The format, https://www.sqlite.org/fileformat.html, 4.
const (
	walHeaderSize   = 32
	walFrameHeader  = 24
	walMagic        = 0x377f0682 // the lowest bit means that its checksums read big-endian words
	walVersion      = 3007000
	walSummedHeader = 24   // bytes of the header that its checksum covers
	walSummedFrame  = 8    // and of a frame's header, before its page
	pageSize        = 4096 // of a database that we create
	minPageSize     = 512
	maxPageSize     = 65536
)

// walSum is the checksum of a WAL, which continues from frame to frame.
type walSum [2]uint32

// over returns the checksum continued over p, a multiple of eight bytes.
func (s walSum) over(order binary.ByteOrder, p []byte) walSum {
	for ; len(p) >= 8; p = p[8:] {
		s[0] += order.Uint32(p) + s[1]
		s[1] += order.Uint32(p[4:]) + s[0]
	}
	return s
}

func storedWALSum(p []byte) walSum {
	return walSum{binary.BigEndian.Uint32(p), binary.BigEndian.Uint32(p[4:])}
}

// walDamage describes a damaged WAL.
type walDamage struct {
	frame int64 // from 1; 0 is the header
	lost  int   // transactions that SQLite does not find
}

func (d *walDamage) Error() string {
	at := fmt.Sprintf("frame %d", d.frame)
	if d.frame == 0 {
		at = "the header"
	}
	return fmt.Sprintf("%s is not as it was written, and %d transactions from there on are lost", at, d.lost)
}

func (d *walDamage) Unwrap() error { return store.ErrDamaged }

// wal reads a WAL.
type wal struct {
	file   io.ReaderAt
	order  binary.ByteOrder
	page   int64
	salts  uint64
	header walSum
}

// parse uses a header, or reports that it is invalid.
func (w *wal) parse(header []byte) bool {
	w.order = binary.ByteOrder(binary.LittleEndian)
	magic := binary.BigEndian.Uint32(header)
	if magic&1 != 0 {
		w.order = binary.BigEndian
	}
	w.page = int64(binary.BigEndian.Uint32(header[8:]))
	w.salts = binary.BigEndian.Uint64(header[16:])
	w.header = walSum{}.over(w.order, header[:walSummedHeader])
	return magic&^1 == walMagic && binary.BigEndian.Uint32(header[4:]) == walVersion &&
		w.page >= minPageSize && w.page <= maxPageSize && w.page&(w.page-1) == 0 &&
		w.header == storedWALSum(header[walSummedHeader:])
}

// frame reads frame n, from 1. It returns false after the last one.
func (w *wal) frame(n int64, p []byte) (bool, error) {
	_, err := w.file.ReadAt(p, walHeaderSize+(n-1)*int64(len(p)))
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	return err == nil, err
}

// isValid reports whether a frame continues a checksum.
func (w *wal) isValid(frame []byte, before walSum) bool {
	return binary.BigEndian.Uint64(frame[8:]) == w.salts && binary.BigEndian.Uint32(frame) != 0 &&
		w.sumOf(frame, before) == storedWALSum(frame[16:])
}

func (w *wal) sumOf(frame []byte, before walSum) walSum {
	return before.over(w.order, frame[:walSummedFrame]).over(w.order, frame[walFrameHeader:])
}

func isCommit(frame []byte) bool { return binary.BigEndian.Uint32(frame[4:]) != 0 }

// inspectWAL returns the damage of a WAL, nil if it ends as a crash may have left it.
func inspectWAL(file io.ReaderAt) (*walDamage, error) {
	w := wal{file: file}
	header := make([]byte, walHeaderSize)
	if _, err := file.ReadAt(header, 0); err != nil {
		if errors.Is(err, io.EOF) { // it is new
			err = nil
		}
		return nil, err
	}
	if !w.parse(header) {
		return w.withoutHeader(header)
	}
	frame := make([]byte, walFrameHeader+w.page)
	sum := w.header
	for n := int64(1); ; n++ {
		there, err := w.frame(n, frame)
		if err != nil || !there {
			return nil, err
		}
		if w.isValid(frame, sum) {
			sum = storedWALSum(frame[16:])
			continue
		}
		return w.atBreak(n, sum, frame)
	}
}

// withoutHeader looks for transactions after an invalid header.
func (w *wal) withoutHeader(header []byte) (*walDamage, error) {
	flipped := flipUntil(header, func() bool { return w.parse(header) })
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		frame := make([]byte, walFrameHeader+pageSize)
		if !flipped {
			w.order, w.page = order, pageSize
			if there, err := w.frame(1, frame); err != nil || !there {
				return nil, err
			}
			w.salts = binary.BigEndian.Uint64(frame[8:])
		}
		lost, chained, err := w.follow(1, w.header, 0)
		if err != nil {
			return nil, err
		}
		if lost > 0 && (flipped || chained) {
			return &walDamage{0, lost}, nil
		}
	}
	return nil, nil
}

// atBreak finds out why a frame does not continue a checksum.
func (w *wal) atBreak(n int64, before walSum, frame []byte) (*walDamage, error) {
	flipped, ended := w.flip(frame, before), 0
	if (flipped || binary.BigEndian.Uint64(frame[8:]) == w.salts) && isCommit(frame) {
		ended = 1
	}
	lost, chained, err := w.follow(n+1, storedWALSum(frame[16:]), ended)
	if err != nil {
		return nil, err
	}
	// It is damage if one bit makes the frame valid, or if two transactions follow it,
	// because a crash leaves at most one.
	if lost += ended; lost > 0 && (flipped || chained) {
		return &walDamage{n, lost}, nil
	}
	return nil, nil
}

// follow returns the number of transactions that end in frame n or later, and whether
// two of them, including those that ended before, are in one chain of checksums.
func (w *wal) follow(n int64, before walSum, ended int) (commits int, chained bool, _ error) {
	frame := make([]byte, walFrameHeader+w.page)
	for ; ; n++ {
		there, err := w.frame(n, frame)
		if err != nil || !there {
			return commits, chained, err
		}
		if binary.BigEndian.Uint64(frame[8:]) != w.salts { // from an earlier use of the file
			ended = 0
			continue
		}
		if !w.isValid(frame, before) {
			ended = 0
		}
		if isCommit(frame) {
			commits++
			ended++
			chained = chained || ended > 1
		}
		before = storedWALSum(frame[16:])
	}
}

// flip makes a frame continue a checksum by changing one bit, if possible.
func (w *wal) flip(frame []byte, before walSum) bool {
	if salts := frame[8:16]; binary.BigEndian.Uint64(salts) != w.salts {
		if bits.OnesCount64(binary.BigEndian.Uint64(salts)^w.salts) > 1 {
			return false // from an earlier use of the file
		}
		binary.BigEndian.PutUint64(salts, w.salts)
		return w.isValid(frame, before)
	}
	sum, stored := w.sumOf(frame, before), storedWALSum(frame[16:])
	if bits.OnesCount32(sum[0]^stored[0])+bits.OnesCount32(sum[1]^stored[1]) == 1 {
		binary.BigEndian.PutUint32(frame[16:], sum[0])
		binary.BigEndian.PutUint32(frame[20:], sum[1])
		return w.isValid(frame, before)
	}
	// The sum is linear: adding one to a word adds a vector to the sum that depends only
	// on the distance of the word from the end.
	missing := walSum{stored[0] - sum[0], stored[1] - sum[1]}
	first, second := walSum{1, 1}, walSum{0, 1} // for the two words of eight bytes
	for at := len(frame) - 8; at >= 0; at -= 8 {
		if at == walFrameHeader-8 { // skip the part of the header that is not summed
			at = 0
		}
		if w.flipIn(frame[at:], first, missing) || w.flipIn(frame[at+4:], second, missing) {
			return w.isValid(frame, before)
		}
		first = walSum{first[0] + first[1], first[0] + 2*first[1]}
		second = walSum{second[0] + second[1], second[0] + 2*second[1]}
	}
	return false
}

// flipIn flips the bit of a word that adds the missing part to the sum.
func (w *wal) flipIn(p []byte, vector, missing walSum) bool {
	word := w.order.Uint32(p)
	for bit := range 32 {
		change := uint32(1) << bit
		if word&change != 0 {
			change = -change
		}
		if change*vector[0] == missing[0] && change*vector[1] == missing[1] {
			w.order.PutUint32(p, word+change)
			return true
		}
	}
	return false
}

// flipUntil flips one bit so that is returns true.
func flipUntil(p []byte, is func() bool) bool {
	for i := range p {
		for bit := range 8 {
			p[i] ^= 1 << bit
			if is() {
				return true
			}
			p[i] ^= 1 << bit
		}
	}
	return false
}

// inspectWALOf returns the damage of a database's WAL.
func inspectWALOf(path string) (*walDamage, error) {
	file, err := os.Open(path + "-wal")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return inspectWAL(file)
}

// refuseDamagedWAL refuses a database if its WAL has acknowledged messages that SQLite
// would omit.
func refuseDamagedWAL(path string) error {
	damage, err := inspectWALOf(path)
	if err != nil {
		return fmt.Errorf("read %s-wal: %w", path, err)
	}
	if damage == nil {
		return nil
	}
	return fmt.Errorf("%s-wal, which has the newest messages, is damaged: %w; restore a backup, or continue without them: \"kaban backup\" saves everything before them, \"kaban restore\" restores it, and clients are told", path, damage)
}

const (
	// walLooks is how many times in a row a WAL must look damaged, because a server may
	// be writing to it.
	walLooks = 3
	walPause = 50 * time.Millisecond
)

// Lost implements store.Archive: the WAL may have transactions that cannot be read, and the
// journal batches.
func (a *Archive) Lost(ctx context.Context) error {
	if err := a.lostOfWAL(ctx); err != nil {
		return err
	}
	if err := a.begin(ctx); err != nil {
		return err
	}
	lost := a.lost
	return errors.Join(lost, a.end(ctx))
}

func (a *Archive) lostOfWAL(ctx context.Context) error {
	var last walDamage
	for look := range walLooks {
		damage, err := inspectWALOf(a.path)
		if err != nil || damage == nil {
			return err
		}
		if look > 0 && *damage != last {
			return nil // it is being written
		}
		last = *damage
		select {
		case <-time.After(a.pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return fmt.Errorf("%s-wal is damaged: %w", a.path, &last)
}

func (a *Archive) checkWAL(ctx context.Context) ([]string, error) {
	err := a.lostOfWAL(ctx)
	if errors.Is(err, store.ErrDamaged) {
		return []string{err.Error()}, nil
	}
	return nil, err
}
