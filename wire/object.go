package wire

// CheckObject checks a body of the HTTP API by the rules of frames: it is one JSON
// object in UTF-8 of at most MaxNesting levels, no object has a name twice, and
// numbers are whole. Package encoding/json forgives all of that. What the fields mean
// is for the caller. The error is a *ReaderError.
func CheckObject(body []byte) error {
	s := newScanner(func([]byte) (field, bool) { return 0, false })
	defer s.free()
	if fault := s.scan(body); fault != nil {
		return fault
	}
	return nil
}
