package picture

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestRequests(t *testing.T) {
	for _, want := range []request{{}, {number: 1<<64 - 1}, {7, "a file", "ä", strings.Repeat("x", maxPath)}} {
		frame := want.append(nil)
		from := bytes.NewReader(append(bytes.Clone(frame), "more"...))
		got, read, err := readRequest(from)
		if err != nil || got != want || !bytes.Equal(read, frame) || from.Len() != 4 {
			t.Errorf("got %+v, %v, and %d bytes are left", got, err, from.Len())
		}
		for n := range min(len(frame), 100) {
			if _, _, err := readRequest(bytes.NewReader(frame[:n])); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%d bytes: got %v", n, err)
			}
		}
	}
	for name, frame := range map[string][]byte{
		"another mark": append([]byte("kaban picture 2\n"), make([]byte, 20)...),
		"a long path":  request{source: strings.Repeat("x", maxPath+1)}.append(nil),
	} {
		if _, _, err := readRequest(bytes.NewReader(frame)); !errors.Is(err, errRequest) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

var answers = []answer{
	{outcome: wasMade, made: Made{Rendition{JPEG, 4000, 3000, 1 << 40}, Rendition{PNG, 720, 540, 12345}, 1}},
	{outcome: wasMade, made: Made{Picture: Rendition{GIF, 1, 2, 3}, Frames: 2000}},
	{outcome: wasRefused, reason: TooLarge, text: "ä"},
	{outcome: wasNotBegun, text: errNoMemory.Error()},
	{outcome: wasNotDone, number: 28, text: "no space left on device"},
}

func TestAnswers(t *testing.T) {
	frame := request{number: 5}.append(nil)
	for _, want := range answers {
		text := want.append(nil, frame)
		if got, err := readAnswer(text, frame); err != nil || got != want {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
		if _, err := readAnswer(text, request{number: 6}.append(nil)); !errors.Is(err, errAnswer) {
			t.Errorf("an answer to another request: %v", err)
		}
		for i := range text {
			wrong := bytes.Clone(text)
			wrong[i] ^= 4
			if _, err := readAnswer(wrong, frame); !errors.Is(err, errAnswer) {
				t.Errorf("another byte %d: %v", i, err)
			}
			if _, err := readAnswer(text[:i], frame); !errors.Is(err, errAnswer) {
				t.Errorf("%d bytes: %v", i, err)
			}
		}
	}
	long := answer{outcome: wasRefused, reason: Broken, text: strings.Repeat("x", 5*maxText)}
	if got, err := readAnswer(long.append(nil, frame), frame); err != nil || len(got.text) != maxText {
		t.Errorf("a long text: %d bytes, %v", len(got.text), err)
	}
	invalid := answer{outcome: wasRefused, reason: Broken, text: "a\xffb"}
	if got, err := readAnswer(invalid.append(nil, frame), frame); err != nil || got.text != "a?b" {
		t.Errorf("text that is not UTF-8: %q, %v", got.text, err)
	}
}

func FuzzRequest(f *testing.F) {
	f.Add(request{7, "a", "b", "c"}.append(nil))
	f.Fuzz(func(t *testing.T, frame []byte) {
		r, read, err := readRequest(bytes.NewReader(frame))
		if err == nil && (!bytes.HasPrefix(frame, read) || !bytes.Equal(r.append(nil), read)) {
			t.Errorf("%q is read as %+v", frame, r)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	frame := request{number: 5}.append(nil)
	for _, a := range answers {
		f.Add(a.append(nil, frame)[4:])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		text := append([]byte{0, 0, 0, 0}, body...)
		sum := checksum(frame, body)
		text[0], text[1], text[2], text[3] = byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum)
		_, _ = readAnswer(text, frame)
	})
}
