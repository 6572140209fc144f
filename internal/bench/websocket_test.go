package bench

import (
	"encoding/binary"
	"regexp"
	"strings"
	"testing"

	"kaban/client/dial"
)

// served returns a text message as a server frames it.
func served(opcode byte, payload string) string {
	header := []byte{0x80 | opcode}
	switch n := len(payload); {
	case n <= 125:
		header = append(header, byte(n))
	case n <= 0xffff:
		header = binary.BigEndian.AppendUint16(append(header, 126), uint16(n))
	default:
		header = binary.BigEndian.AppendUint64(append(header, 127), uint64(n))
	}
	return string(header) + payload
}

// The lines do not depend on the sizes of the reads.
func TestUnframerCutAnywhere(t *testing.T) {
	const answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
	long := strings.Repeat("x", 70_000)
	in := answer + served(1, "a") + served(9, "ping") + served(1, "") + served(1, long[:126]) + served(1, long[:65_536]) + served(1, long) + served(1, "end") + served(8, "\x03\xe8")
	want := "a\n\n" + long[:126] + "\n" + long[:65_536] + "\n" + long + "\nend\n"
	for _, size := range []int{1, 2, 3, 5, 8, 13, 100, 4096, len(in)} {
		var u unframer
		var got strings.Builder
		opened := 0
		buffer := make([]byte, size+1)
		for rest := in; rest != ""; {
			n := copy(buffer[1:], rest)
			rest = rest[n:]
			lines, open, err := u.take(buffer[:n+1])
			if err != nil {
				t.Fatal(err)
			}
			if open {
				opened++
			}
			got.Write(lines)
		}
		if got.String() != want || opened != 1 {
			t.Errorf("%d at a time: got %d bytes, opened %d times; want %d", size, got.Len(), opened, len(want))
		}
	}
	for _, bad := range []string{"HTTP/1.1 403 Forbidden\r\n\r\n", "{\"type\":\"error\"}\r\n\r\n", strings.Repeat("x", 5000)} {
		var u unframer
		if _, _, err := u.take([]byte("?" + bad)); err == nil {
			t.Errorf("%.20q is accepted as a handshake", bad)
		}
	}
}

// anID matches the id of a message, which is another one each time.
var anID = regexp.MustCompile(`"id":"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"`)

func sameButID(line string) string { return anID.ReplaceAllString(line, "an id") }

// A message over WebSocket is the framed line of TCP.
func TestSealed(t *testing.T) {
	who := &identity{name: "a", room: "r"}
	for _, payload := range []int{MinPayload, 50, 60, 70, 80, 90, 100, 1000, MaxPayload} {
		line := string(kabanLines{}.appendSend(nil, who, 1, 2, payload))
		frame := kabanMessages{}.appendSend([]byte("before"), who, 1, 2, payload)[len("before"):]
		size, header := int(frame[1]&0x7f), 6
		if size == 126 {
			size, header = int(binary.BigEndian.Uint16(frame[2:])), 8
		}
		if frame[0] != 0x81 || frame[1]&0x80 == 0 || string(frame[header-4:header]) != "\x00\x00\x00\x00" || size != len(frame)-header || sameButID(string(frame[header:])+"\n") != sameButID(line) {
			t.Errorf("%d bytes: got %q, want %q framed", payload, frame, line)
		}
	}
}

// A WebSocket is asked for below the path of its server.
func TestHandshake(t *testing.T) {
	for server, want := range map[string]string{
		"ws://127.0.0.1:1":            "GET /v1/socket HTTP/1.1\r\nHost: 127.0.0.1:1\r\n",
		"https://localhost/chat/":     "GET /chat/v1/socket HTTP/1.1\r\nHost: localhost\r\n",
		"wss://[::1]:1/a/b/v1/socket": "GET /a/b/v1/socket HTTP/1.1\r\nHost: [::1]:1\r\n",
	} {
		address, err := dial.Parse(server)
		if err != nil {
			t.Fatal(err)
		}
		if got := handshake(address); !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %q", server, got)
		}
	}
}
