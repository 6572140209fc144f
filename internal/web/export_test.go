package web

// ParseHook gives the fuzzer what is made of a body.
func ParseHook(body []byte) (username, content string, err error) {
	m, err := parseSlack(body)
	return asUsername(m.Username), m.content(), err
}
