package hashing

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/crypto/argon2"
	"pgregory.net/rapid"
)

// cheap is a request that takes hardly any time.
func cheap(password string) request {
	return request{password: []byte(password), salt: []byte("0123456789abcdef"), passes: 1, memory: 8, lanes: 1, length: 32}
}

func TestRequestsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := request{
			password: rapid.SliceOfN(rapid.Byte(), 0, maxField).Draw(t, "password"),
			salt:     rapid.SliceOfN(rapid.Byte(), 0, maxField).Draw(t, "salt"),
			passes:   rapid.Uint32Range(1, maxPasses).Draw(t, "passes"),
			memory:   rapid.Uint32Range(0, maxMemory).Draw(t, "memory"),
			lanes:    rapid.Uint8Range(1, 255).Draw(t, "lanes"),
			length:   rapid.Uint32Range(1, maxLength).Draw(t, "length"),
		}
		frame := want.append(nil)
		var got request
		read, err := got.read(iotest.OneByteReader(bytes.NewReader(frame)), make([]byte, 0, 40))
		if err != nil || !bytes.Equal(read, frame) {
			t.Fatalf("%v: read %x, want %x", err, read, frame)
		}
		if !bytes.Equal(got.append(nil), frame) || !bytes.Equal(got.password, want.password) || !bytes.Equal(got.salt, want.salt) ||
			got.passes != want.passes || got.memory != want.memory || got.lanes != want.lanes || got.length != want.length {
			t.Fatalf("got %+v, want %+v", got, want)
		}
	})
}

func TestRequestsOutOfBounds(t *testing.T) {
	for name, change := range map[string]func(*request){
		"no passes":        func(r *request) { r.passes = 0 },
		"too many passes":  func(r *request) { r.passes = maxPasses + 1 },
		"too much memory":  func(r *request) { r.memory = maxMemory + 1 },
		"no lanes":         func(r *request) { r.lanes = 0 },
		"no key":           func(r *request) { r.length = 0 },
		"a long key":       func(r *request) { r.length = maxLength + 1 },
		"a long salt":      func(r *request) { r.salt = make([]byte, maxField+1) },
		"a long password":  func(r *request) { r.password = make([]byte, maxField+1) },
		"nothing is wrong": func(*request) {},
	} {
		r := cheap("x")
		change(&r)
		var got request
		_, err := got.read(bytes.NewReader(r.append(nil)), nil)
		if valid := name == "nothing is wrong"; r.isValid() != valid || (err == nil) != valid {
			t.Errorf("%s: valid is %v, %v", name, r.isValid(), err)
		}
	}
}

func TestCutRequests(t *testing.T) {
	frame := cheap("secret").append(nil)
	for n := range frame {
		var r request
		_, err := r.read(bytes.NewReader(frame[:n]), nil)
		if err == nil || errors.Is(err, io.EOF) != (n == 0) {
			t.Errorf("%d bytes of a request: %v", n, err)
		}
	}
}

func TestServeAnswersWithArgon2id(t *testing.T) {
	var requests, answers bytes.Buffer
	all := []request{cheap("one"), cheap("two"), cheap(strings.Repeat("long", 256)), cheap("")}
	all[1].length, all[1].lanes, all[1].passes, all[1].memory = 64, 2, 3, 64
	for _, r := range all {
		requests.Write(r.append(nil))
	}
	if err := Serve(&requests, &answers); err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		key, err := readAnswer(&answers, r.append(nil), r.length)
		if want := argon2.IDKey(r.password, r.salt, r.passes, r.memory, r.lanes, r.length); err != nil || !bytes.Equal(key, want) {
			t.Errorf("got %x, want %x: %v", key, want, err)
		}
	}
	if answers.Len() > 0 {
		t.Errorf("%d bytes too many", answers.Len())
	}
}

func TestServeReportsWhatIsNoRequest(t *testing.T) {
	if err := Serve(strings.NewReader("hello, is there anybody?"), io.Discard); !errors.Is(err, errRequest) {
		t.Errorf("garbage: %v", err)
	}
	failed := errors.New("failed")
	if err := Serve(iotest.ErrReader(failed), io.Discard); !errors.Is(err, failed) {
		t.Errorf("requests that cannot be read: %v", err)
	}
	out, in := io.Pipe()
	out.CloseWithError(failed)
	if err := Serve(bytes.NewReader(cheap("x").append(nil)), in); !errors.Is(err, failed) {
		t.Errorf("an answer that cannot be written: %v", err)
	}
}

// No change of an answer is taken for one, and neither is the answer to another request.
func TestChangedAnswers(t *testing.T) {
	r := cheap("x")
	frame := r.append(nil)
	answer := appendAnswer(nil, frame, r.key())
	if _, err := readAnswer(bytes.NewReader(answer), frame, r.length); err != nil {
		t.Fatal(err)
	}
	for i := range answer {
		changed := bytes.Clone(answer)
		changed[i] ^= 1
		if _, err := readAnswer(bytes.NewReader(changed), frame, r.length); err == nil {
			t.Errorf("a change of byte %d is not noticed", i)
		}
		if _, err := readAnswer(bytes.NewReader(answer[:i]), frame, r.length); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes: %v", i, err)
		}
	}
	if _, err := readAnswer(bytes.NewReader(answer), cheap("y").append(nil), r.length); err == nil {
		t.Error("an answer to another request is taken")
	}
}

func FuzzRequest(f *testing.F) {
	f.Add(cheap("secret").append(nil))
	f.Add([]byte{})
	f.Add([]byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var r request
		frame, err := r.read(bytes.NewReader(data), nil)
		if err != nil {
			return
		}
		if !r.isValid() || !bytes.HasPrefix(data, frame) || !bytes.Equal(r.append(nil), frame) {
			t.Errorf("%x becomes %+v", data, r)
		}
	})
}
