package push

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// maxAnswer is how much of an answer is read, in bytes, so that the connection can be used again.
const maxAnswer = 4096

// outcome is how an attempt ended.
type outcome int

const (
	delivered   outcome = iota // the push service has taken it
	gone                       // it does not know the subscription any more
	tooLong                    // it does not take as much
	refused                    // it does not take it, and would not take it later
	busy                       // it may take it later
	unreachable                // there was no answer
	unwanted                   // there is nothing to notify of any more
	unready                    // it could not be composed
	broken                     // what was composed cannot be sent
)

// result is an outcome with what belongs to it.
type result struct {
	outcome outcome
	status  int           // of the answer
	took    time.Duration // until the answer was read
	wait    time.Duration // what the push service asks for, at most maxRetryAfter
	err     error         // without secrets
}

// answer returns what to log of a result.
func (r *result) answer() string {
	if r.err != nil {
		return r.err.Error()
	}
	return "HTTP " + strconv.Itoa(r.status)
}

// sender makes attempts. It is safe for concurrent use.
type sender struct {
	signer  *signer
	client  *http.Client
	compose func(context.Context, Notice) (Message, error)
	now     func() time.Time
}

func newSender(config Config) sender {
	return sender{
		signer: newSigner(config.Key, config.Subject),
		client: &http.Client{
			Transport: config.Transport,
			// The token is for one push service, and what it answers is for it to say.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		compose: config.Compose,
		now:     config.Now,
	}
}

// topic returns a name for what a later push takes the place of, of 32 characters of base64url
// (RFC 8030, section 5.4). It reveals neither the room nor its other members.
func (s *sender) topic(to *Subscription, n *Notice) string {
	mac := hmac.New(sha256.New, s.signer.key.topics())
	fmt.Fprintf(mac, "%s\x00%s\x00%s\x00%t", to.endpoint, n.Account, n.Room, n.Urgent)
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:24])
}

// attempt composes and sends a notice, without its text if bare. It is worth delivering for ttl.
func (s *sender) attempt(ctx context.Context, to *Subscription, n *Notice, bare bool, ttl time.Duration) result {
	asked := *n
	asked.Subscription = to.id
	message, err := s.compose(ctx, asked)
	switch {
	case errors.Is(err, ErrUnwanted):
		return result{outcome: unwanted}
	case err != nil:
		return result{outcome: unready, err: err}
	}
	request, err := s.request(ctx, to, n, &message, bare, ttl)
	if err != nil {
		return result{outcome: broken, err: err}
	}
	begin := time.Now()
	response, err := s.client.Do(request)
	if err != nil {
		return result{outcome: unreachable, err: conceal(err, to)}
	}
	defer response.Body.Close()
	io.Copy(io.Discard, io.LimitReader(response.Body, maxAnswer))
	r := result{outcome: outcomeOf(response.StatusCode), status: response.StatusCode, took: time.Since(begin)}
	if r.outcome == busy {
		r.wait = retryAfter(response.Header, s.now())
	}
	return r
}

// request returns the request of RFC 8030, section 5.
func (s *sender) request(ctx context.Context, to *Subscription, n *Notice, m *Message, bare bool, ttl time.Duration) (*http.Request, error) {
	content, err := m.encode(bare)
	if err != nil {
		return nil, err
	}
	body, err := encrypt(to, content)
	if err != nil {
		return nil, err
	}
	authorization, err := s.signer.authorization(to.host, s.now())
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to.endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, conceal(err, to)
	}
	urgency := "normal"
	if n.Urgent {
		urgency = "high"
	}
	for name, value := range map[string]string{
		"Authorization":    authorization,
		"Content-Encoding": "aes128gcm",
		"Content-Type":     "application/octet-stream",
		"TTL":              strconv.FormatInt(int64(max(ttl, 0)/time.Second), 10),
		"Urgency":          urgency,
		"Topic":            s.topic(to, n),
		"User-Agent":       "Kaban",
	} {
		request.Header.Set(name, value)
	}
	return request, nil
}

// outcomeOf returns what the status of an answer means.
func outcomeOf(status int) outcome {
	switch {
	case status >= 200 && status < 300:
		return delivered
	case status == http.StatusNotFound, status == http.StatusGone:
		return gone
	case status == http.StatusRequestEntityTooLarge:
		return tooLong
	case status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status >= 500:
		return busy
	}
	return refused
}

// meaning returns what an operator should know about a refusal.
func meaning(status int) string {
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return "it does not accept the signature of this server: the subscriptions were made with another " + KeyName + ", the clock of this machine is wrong, or the push service does not accept the origin of this server"
	case status == http.StatusRequestEntityTooLarge:
		return "it does not even take a push without a text"
	case status == http.StatusBadRequest:
		return "it does not understand the request; some push services say so, too, of a signature that they do not accept"
	case status >= 300 && status < 400:
		return "it redirects, which is not followed; is there a proxy in between that wants a sign-in?"
	}
	return "it gives an answer that push services do not give"
}

// retryAfter returns how long a push service asks to wait (RFC 9110, section 10.2.3): 0 if it does
// not, and at most maxRetryAfter. A date is compared with the date of the answer, if it has one, so
// that it does not matter how wrong the clock of this machine is.
func retryAfter(header http.Header, now time.Time) time.Duration {
	text := strings.TrimSpace(header.Get("Retry-After"))
	if text != "" && strings.Trim(text, "0123456789") == "" {
		seconds, err := strconv.ParseUint(text, 10, 32)
		if err != nil { // more than the cap in any case
			return maxRetryAfter
		}
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	until, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	if date, err := http.ParseTime(header.Get("Date")); err == nil {
		now = date
	}
	return min(max(until.Sub(now), 0), maxRetryAfter)
}

// concealed is an error whose text has no secret. What it wraps may have one.
type concealed struct{ text string }

func (e *concealed) Error() string { return e.text }

// conceal returns an error of a request without the endpoint, which is a secret.
func conceal(err error, to *Subscription) error {
	if inner, ok := errors.AsType[*url.Error](err); ok {
		err = inner.Err
	}
	text := strings.ReplaceAll(err.Error(), to.endpoint, "(endpoint)")
	if u, parseErr := url.Parse(to.endpoint); parseErr == nil {
		for _, part := range []string{u.RequestURI(), u.Path, u.RawQuery} {
			if len(part) > 1 {
				text = strings.ReplaceAll(text, part, "(endpoint)")
			}
		}
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		text += "; is there a proxy in between whose certificates this machine does not know?"
	}
	return &concealed{text}
}
