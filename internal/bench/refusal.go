package bench

import (
	"encoding/json"
	"fmt"
)

// refusal explains an error that the server answers with, for people. react is whether connections
// react to messages.
func refusal(line []byte, react bool) string {
	var e struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	switch err := json.Unmarshal(line, &e); {
	case err == nil && e.Code == "auth_required":
		return "the server has accounts and takes no visitors, so connections need tokens: make bots and tokens (\"kaban bot add\", \"kaban token add\"), and pass them with --token-file FILE (auth_required)"
	case err == nil && e.Code == "not_found" && react:
		return "the server no longer has the messages that connections react to; a server with --data :memory: keeps the newest 64 MiB: measure one with a data directory, or pass a shorter --duration (not_found)"
	case err == nil && e.Code != "" && e.Message != "":
		return fmt.Sprintf("the server answers: %q (%s)", e.Message, e.Code)
	}
	return fmt.Sprintf("the server answers %s", line)
}
