package transfer

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"kaban"
)

// Preview is what a web page says of itself. Pages lie: show the host of URL, and treat all texts as those of
// strangers.
type Preview struct {
	URL         string `json:"url"` // of the page, after redirects: http or https
	Title       string `json:"title"`
	Description string `json:"description"` // may be empty, as the following
	Site        string `json:"site"`
}

// Previews asks what the pages are about that a message links to. It returns none if the server shows no previews. The
// server may read the pages first, which takes up to 10 seconds. Errors are those of Open.
func Previews(ctx context.Context, server string, room kaban.RoomName, seq uint64, options Options) ([]Preview, error) {
	w, err := newWay(server, options)
	if err != nil {
		return nil, err
	}
	address := w.server + "/v1/rooms/" + url.PathEscape(room.String()) + "/messages/" + strconv.FormatUint(seq, 10) + "/previews"
	request, err := w.request(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	response, err := w.do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, refused(response)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("read the server's answer: %w", err)
	}
	var list struct {
		Previews []Preview `json:"previews"`
	}
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("read the server's answer: %w", err)
	}
	return list.Previews, nil
}
