// Package wstest makes and reads frames of WebSocket (RFC 6455) for tests, by
// other means than the server's own.
package wstest

import (
	"encoding/binary"
	"fmt"
)

// ClientFrame is a frame as a client sends it. first is its first byte, such
// as 0x81 for a whole text message.
func ClientFrame(first byte, payload string, mask [4]byte) []byte {
	frame := []byte{first}
	switch n := len(payload); {
	case n <= 125:
		frame = append(frame, 0x80|byte(n))
	case n <= 0xffff:
		frame = binary.BigEndian.AppendUint16(append(frame, 0x80|126), uint16(n))
	default:
		frame = binary.BigEndian.AppendUint64(append(frame, 0x80|127), uint64(n))
	}
	frame = append(frame, mask[:]...)
	for i := range len(payload) {
		frame = append(frame, payload[i]^mask[i%4])
	}
	return frame
}

// ServerFrames takes apart the output of a server: the text messages as lines,
// and other frames as "<opcode payload>". rest is what follows the last whole frame.
func ServerFrames(sent []byte) (lines string, rest []byte, err error) {
	for {
		if len(sent) < 2 {
			return lines, sent, nil
		}
		size, header := int(sent[1]), 2
		switch size {
		case 126:
			header = 4
		case 127:
			header = 10
		}
		if len(sent) < header {
			return lines, sent, nil
		}
		switch size {
		case 126:
			size = int(binary.BigEndian.Uint16(sent[2:]))
		case 127:
			size = int(binary.BigEndian.Uint64(sent[2:]))
		}
		if sent[0]&0x70 != 0 || sent[0]&0x80 == 0 || sent[1]&0x80 != 0 {
			return lines, sent, fmt.Errorf("a header of % x", sent[:2])
		}
		if least := map[int]int{4: 126, 10: 1 << 16}[header]; size < least {
			return lines, sent, fmt.Errorf("a length of %d in a header of %d bytes", size, header)
		}
		if len(sent) < header+size {
			return lines, sent, nil
		}
		payload := sent[header : header+size]
		if op := sent[0] & 0xf; op == 1 {
			lines += string(payload) + "\n"
		} else {
			lines += fmt.Sprintf("<%d %q>\n", op, payload)
		}
		sent = sent[header+size:]
	}
}
