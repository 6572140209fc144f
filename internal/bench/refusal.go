package bench

import (
	"encoding/json"
	"fmt"
)

// refusal explains an error that the server answers with, for people.
func refusal(line []byte) string {
	var e struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	switch err := json.Unmarshal(line, &e); {
	case err == nil && e.Code == "auth_required":
		return "the server has accounts and takes no visitors, so connections need tokens: make bots and tokens (\"kaban bot add\", \"kaban token add\"), and pass them with --token-file FILE (auth_required)"
	case err == nil && e.Code != "" && e.Message != "":
		return fmt.Sprintf("the server answers: %q (%s)", e.Message, e.Code)
	}
	return fmt.Sprintf("the server answers %s", line)
}
