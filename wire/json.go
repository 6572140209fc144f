package wire

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"unicode/utf16"
	"unicode/utf8"
)

// kind is the JSON type of a value.
type kind uint8

const (
	kindAbsent kind = iota
	kindNull
	kindBool
	kindNumber
	kindString
	kindArray
	kindObject
)

func (k kind) String() string {
	return [...]string{"nothing", "null", "a boolean", "a number", "a string", "an array", "an object"}[k]
}

// value is a scanned JSON value. Its bytes alias the line, or the scanner's scratch
// space if it is escaped.
type value struct {
	kind    kind
	escaped bool
	bytes   []byte // the unescaped text, or the raw array or object
	number  int64  // of a number; 1 is true
}

// scanner parses one frame. It is strict (RFC 8259 and RFC 7493) and does not
// allocate for ordinary frames. A syntax error ends the scan at once. A line that
// is valid JSON but an invalid frame is scanned to its end: the ref is needed for
// the answer, and a later syntax error takes precedence.
type scanner struct {
	line    []byte
	pos     int
	names   func(name []byte) (field, bool)
	fields  [fieldCount]value
	present []field // those that have a value
	scratch []byte
	seen    [][]byte // names in the open objects
	fault   *ReaderError
	top     string // the current field of the frame
	likes   []likeness
}

// likeness is a name that differs only in case from a field of later versions. Frames of
// most types have no such field, and then the name is one that nobody knows.
type likeness struct {
	field    field
	position int
}

var scanners = sync.Pool{New: func() any { return new(scanner) }}

// maxIdleScratch is the size in bytes of the largest scratch space that an idle
// scanner keeps.
const maxIdleScratch = 16 << 10

// newScanner returns a scanner for frames with the given fields.
func newScanner(names func(name []byte) (field, bool)) *scanner {
	s := scanners.Get().(*scanner)
	s.names = names
	return s
}

// free returns the scanner to its pool. Values that alias its scratch space must
// be copied first.
func (s *scanner) free() {
	if cap(s.scratch) > maxIdleScratch {
		s.scratch = nil
	}
	for _, f := range s.present {
		s.fields[f] = value{}
	}
	s.present = s.present[:0]
	clear(s.seen[:cap(s.seen)])
	s.line, s.fault = nil, nil
	scanners.Put(s)
}

// scan parses the line, which must be one object, into fields. A scanner scans one
// line.
func (s *scanner) scan(line []byte) *ReaderError {
	s.line, s.pos, s.scratch, s.seen, s.fault, s.top = line, 0, s.scratch[:0], s.seen[:0], nil, ""
	s.likes = s.likes[:0]
	if !utf8.Valid(line) {
		return s.failAt(CodeBadUTF8, firstInvalid(line), "the line is not valid UTF-8")
	}
	s.space()
	if s.pos == len(line) {
		return s.fail(CodeBadJSON, "the line is empty; each line is one JSON object")
	}
	if bytes.HasPrefix(line, byteOrderMark) {
		return s.fail(CodeBadJSON, "the line begins with a byte order mark; send UTF-8 without one")
	}
	isObject := line[s.pos] == '{'
	if _, err := s.value(0); err != nil {
		return err
	}
	s.space()
	if s.pos < len(line) {
		return s.fail(CodeBadJSON, "the object is followed by something else; each line is one JSON object")
	}
	if !isObject {
		return s.failAt(CodeBadFrame, 0, "a frame is a JSON object")
	}
	return s.fault
}

var byteOrderMark = []byte("\ufeff")

func firstInvalid(line []byte) int {
	for i := 0; i < len(line); {
		r, size := utf8.DecodeRune(line[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return len(line)
}

func (s *scanner) fail(code Code, detail string) *ReaderError {
	return s.failAt(code, s.pos, detail)
}

func (s *scanner) failAt(code Code, position int, detail string) *ReaderError {
	return &ReaderError{Code: code, Position: position, detail: detail}
}

// blame records the first reason why the line is valid JSON but an invalid frame.
func (s *scanner) blame(code Code, position int, field, detail string) {
	if s.fault == nil {
		s.fault = &ReaderError{Code: code, Position: position, Field: field, detail: detail}
	}
}

func (s *scanner) space() {
	for s.pos < len(s.line) {
		switch s.line[s.pos] {
		case ' ', '\t', '\r', '\n':
			s.pos++
		default:
			return
		}
	}
}

// value parses a value within depth open objects and arrays.
func (s *scanner) value(depth int) (value, *ReaderError) {
	if s.pos == len(s.line) {
		return value{}, s.fail(CodeBadJSON, "the line ends within the object")
	}
	switch c := s.line[s.pos]; {
	case c == '"':
		return s.text()
	case c == '{' || c == '[':
		if depth == MaxNesting {
			return value{}, s.fail(CodeBadFrame, fmt.Sprintf("values are nested deeper than %d", MaxNesting))
		}
		if c == '{' {
			return s.object(depth + 1)
		}
		return s.array(depth + 1)
	case c == '-' || c >= '0' && c <= '9':
		return s.number()
	}
	for _, literal := range literals {
		if bytes.HasPrefix(s.line[s.pos:], literal.word) {
			s.pos += len(literal.word)
			return literal.value, nil
		}
	}
	return value{}, s.fail(CodeBadJSON, "a value was expected")
}

var literals = []struct {
	word  []byte
	value value
}{
	{[]byte("true"), value{kind: kindBool, number: 1}},
	{[]byte("false"), value{kind: kindBool}},
	{[]byte("null"), value{kind: kindNull}},
}

// object parses an object. At the top level it keeps the values of known fields.
func (s *scanner) object(depth int) (value, *ReaderError) {
	start := s.pos
	seen := nameSet{start: len(s.seen)}
	s.pos++
	for first := true; ; first = false {
		s.space()
		if s.at('}') && first {
			s.pos++
			break
		}
		nameAt := s.pos
		if !s.at('"') {
			return value{}, s.fail(CodeBadJSON, "a name in quotes was expected")
		}
		name, err := s.text()
		if err != nil {
			return value{}, err
		}
		if !seen.add(s, name.bytes) {
			s.blame(CodeBadFrame, nameAt, "", "an object has the same name twice")
		}
		s.space()
		if !s.at(':') {
			return value{}, s.fail(CodeBadJSON, "a colon was expected")
		}
		s.pos++
		s.space()
		known, ok := field(0), false
		if depth == 1 {
			known, ok = s.names(name.bytes)
			if ok {
				s.top = fieldNames[known]
			} else {
				s.top = ""
				s.lookAlike(name.bytes, nameAt)
			}
		}
		v, err := s.value(depth)
		if err != nil {
			return value{}, err
		}
		if ok && s.fields[known].kind == kindAbsent {
			s.fields[known] = v
			s.present = append(s.present, known)
		}
		s.space()
		if s.at('}') {
			s.pos++
			break
		}
		if !s.at(',') {
			return value{}, s.fail(CodeBadJSON, "a comma or a closing brace was expected")
		}
		s.pos++
	}
	s.seen = s.seen[:seen.start]
	return value{kind: kindObject, bytes: s.line[start:s.pos]}, nil
}

// lookAlike rejects names that differ only in case from the name of a field of the first
// version, in either direction and in frames of any type, and notes those that may be
// wrong in some types.
func (s *scanner) lookAlike(name []byte, position int) {
	for f := range fieldCount {
		known := fieldNames[f]
		if string(name) == known || !bytes.EqualFold(name, []byte(known)) {
			continue
		}
		if f < firstTyped {
			s.blame(CodeBadFrame, position, known, caseDetail(f))
		} else if len(s.likes) < maxLikes {
			s.likes = append(s.likes, likeness{f, position})
		}
		return
	}
}

// maxLikes is how many of its names a frame is refused for at most.
const maxLikes = 32

func caseDetail(f field) string { return "the case of a field name is wrong; it is " + fieldNames[f] }

// checkCase rejects names that differ only in case from one of some fields.
func (d *decoder) checkCase(fields []field) {
	for _, l := range d.likes {
		if slices.Contains(fields, l.field) {
			d.refuse(&ReaderError{Code: CodeBadFrame, Position: l.position, Field: fieldNames[l.field], detail: caseDetail(l.field)})
		}
	}
}

// nameSet detects duplicate names in an object. It compares each name with the
// others and switches to a map when there are many.
type nameSet struct {
	start int
	many  map[string]struct{}
}

func (n *nameSet) add(s *scanner, name []byte) bool {
	const few = 16
	names := s.seen[n.start:]
	if len(names) >= few {
		if n.many == nil {
			n.many = make(map[string]struct{}, 2*few)
			for _, known := range names {
				n.many[string(known)] = struct{}{}
			}
		}
		if _, ok := n.many[string(name)]; ok {
			return false
		}
		n.many[string(name)] = struct{}{}
		return true
	}
	for _, known := range names {
		if bytes.Equal(known, name) {
			return false
		}
	}
	s.seen = append(s.seen, name)
	return true
}

func (s *scanner) array(depth int) (value, *ReaderError) {
	start := s.pos
	s.pos++
	for first := true; ; first = false {
		s.space()
		if s.at(']') && first {
			s.pos++
			break
		}
		if _, err := s.value(depth); err != nil {
			return value{}, err
		}
		s.space()
		if s.at(']') {
			s.pos++
			break
		}
		if !s.at(',') {
			return value{}, s.fail(CodeBadJSON, "a comma or a closing bracket was expected")
		}
		s.pos++
	}
	return value{kind: kindArray, bytes: s.line[start:s.pos]}, nil
}

func (s *scanner) at(c byte) bool { return s.pos < len(s.line) && s.line[s.pos] == c }

// number reads a number. Frames have whole numbers up to MaxNumber only.
func (s *scanner) number() (value, *ReaderError) {
	start := s.pos
	negative := s.at('-')
	if negative {
		s.pos++
	}
	var n int64
	whole, first := true, s.pos
	digits := s.digits(func(d byte) {
		if n <= MaxNumber {
			n = n*10 + int64(d-'0')
		}
	})
	if digits == 0 || digits > 1 && s.line[first] == '0' {
		return value{}, s.failAt(CodeBadJSON, first, "a number is malformed")
	}
	if s.at('.') {
		s.pos++
		whole = false
		if s.digits(nil) == 0 {
			return value{}, s.fail(CodeBadJSON, "a number is malformed")
		}
	}
	if s.at('e') || s.at('E') {
		s.pos++
		whole = false
		if s.at('+') || s.at('-') {
			s.pos++
		}
		if s.digits(nil) == 0 {
			return value{}, s.fail(CodeBadJSON, "a number is malformed")
		}
	}
	if !whole || n > MaxNumber {
		s.blame(CodeBadField, start, s.top, fmt.Sprintf("numbers are whole and up to %d", int64(MaxNumber)))
		return value{kind: kindNumber}, nil
	}
	if negative {
		n = -n
	}
	return value{kind: kindNumber, number: n}, nil
}

func (s *scanner) digits(each func(d byte)) (n int) {
	for s.pos < len(s.line) && s.line[s.pos] >= '0' && s.line[s.pos] <= '9' {
		if each != nil {
			each(s.line[s.pos])
		}
		s.pos++
		n++
	}
	return n
}

// text reads a string. Without escapes its value is a part of the line.
func (s *scanner) text() (value, *ReaderError) {
	s.pos++
	start := s.pos
	for s.pos < len(s.line) {
		switch c := s.line[s.pos]; {
		case c == '"':
			s.pos++
			return value{kind: kindString, bytes: s.line[start : s.pos-1]}, nil
		case c == '\\':
			return s.escapedText(start)
		case c < 0x20:
			return value{}, s.fail(CodeBadJSON, "a control character stands in a string; write it as an escape")
		}
		s.pos++
	}
	return value{}, s.fail(CodeBadJSON, "the line ends within a string")
}

func (s *scanner) escapedText(start int) (value, *ReaderError) {
	from := len(s.scratch)
	s.scratch = append(s.scratch, s.line[start:s.pos]...)
	for s.pos < len(s.line) {
		switch c := s.line[s.pos]; {
		case c == '"':
			s.pos++
			return value{kind: kindString, escaped: true, bytes: s.scratch[from:len(s.scratch):len(s.scratch)]}, nil
		case c < 0x20:
			return value{}, s.fail(CodeBadJSON, "a control character stands in a string; write it as an escape")
		case c != '\\':
			s.scratch = append(s.scratch, c)
			s.pos++
			continue
		}
		if err := s.escape(); err != nil {
			return value{}, err
		}
	}
	return value{}, s.fail(CodeBadJSON, "the line ends within a string")
}

const (
	escapes   = `"\/bfnrt`
	unescapes = "\"\\/\b\f\n\r\t"
)

// escape reads one escape sequence (RFC 8259, section 7).
func (s *scanner) escape() *ReaderError {
	start := s.pos
	s.pos++
	if s.pos == len(s.line) {
		return s.fail(CodeBadJSON, "the line ends within a string")
	}
	c := s.line[s.pos]
	if i := bytes.IndexByte([]byte(escapes), c); i >= 0 {
		s.scratch = append(s.scratch, unescapes[i])
		s.pos++
		return nil
	}
	r, ok := s.unicodeEscape()
	if !ok {
		return s.failAt(CodeBadJSON, start, "an escape sequence is malformed")
	}
	if utf16.IsSurrogate(r) {
		low, ok := rune(-1), false
		if s.at('\\') {
			s.pos++
			low, ok = s.unicodeEscape()
		}
		pair := utf16.DecodeRune(r, low)
		if !ok || pair == utf8.RuneError {
			return s.failAt(CodeBadUTF8, start, "half of a surrogate pair stands alone")
		}
		r = pair
	}
	s.scratch = utf8.AppendRune(s.scratch, r)
	return nil
}

// unicodeEscape reads the u and four hexadecimal digits of an escape.
func (s *scanner) unicodeEscape() (rune, bool) {
	if !s.at('u') || len(s.line)-s.pos < 5 {
		return 0, false
	}
	var r rune
	for _, c := range s.line[s.pos+1 : s.pos+5] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	s.pos += 5
	return r, true
}
