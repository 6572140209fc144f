// Package push notifies browsers of messages while no page is open: Web Push (RFC 8030),
// encrypted for the browser (RFC 8291) and signed with a key of the server (RFC 8292).
// Nobody needs an account with a vendor.
//
// A Service has a queue of notices. A notice says which message a subscription is to be
// told of, and has nothing of its text. What the notification shows is composed right
// before each attempt, by Config.Compose, so that the queue never knows more than it may
// say: what has been read, deleted or hidden meanwhile is not sent, and what has been edited
// is sent as it is now.
//
// The package guarantees:
//
//   - Push never waits: not for the network, not for the store, not for room.
//   - A notice waits for firstDelay before its first attempt, so that a page that shows the
//     message can say that it is read.
//   - Of two notices of a room for a subscription that wait, the later one takes the place of
//     the earlier. Mentions have a place of their own. The push service does the same with
//     what it has not delivered.
//   - Memory and goroutines are bounded, whatever push services do, and one that does not
//     answer neither keeps others waiting nor takes their room in the queue.
//   - No log and no error has the endpoint of a subscription, its secret, the key of the
//     server or a text.
//
// It does not keep the queue: what waits when the process is killed is lost, and remains
// unread. It knows no accounts, rooms or rights, and does not decide which address may be
// dialled: that is what Config.Transport is for.
package push

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// Times of a notice.
const (
	// firstDelay is how long a notice waits for its first attempt. A page that shows a
	// message reports after half a second that it is read; the rest is for slow links. More
	// would make a phone late.
	firstDelay = 3 * time.Second
	// timeToLive is how long a notice is worth delivering: the server tries for so long, and
	// the push service keeps it for what is left. A phone that was off overnight still gets
	// it. After a longer absence, the page shows what is unread.
	timeToLive = 24 * time.Hour
	// firstRetry and lastRetry bound the pauses between attempts for a subscription: they
	// double, and are shortened at random by up to a half.
	firstRetry = 10 * time.Second
	lastRetry  = 30 * time.Minute
	// maxRetryAfter is the longest time that a push service may ask to wait for.
	maxRetryAfter = time.Hour
	// attemptTimeout is how long an attempt may take, composing included.
	attemptTimeout = 15 * time.Second
	// promptly is how fast a push service answers that may have more than its share of attempts.
	promptly = 3 * time.Second
	// callbackTimeout is how long Drop and Mark may take.
	callbackTimeout = 10 * time.Second
)

// Bounds of the queue.
const (
	// DefaultMaxQueued is how many notices wait at most, of about 900 bytes each with their
	// subscriptions.
	DefaultMaxQueued = 32_768
	// maxPerAccount is how many of them are of one account.
	maxPerAccount = 128
	// maxFlying is how many attempts are made at a time, and maxFlyingPerHost how many of
	// them at one push service. maxDoubtful is how many are made at push services that did
	// not answer promptly last time, or were not asked yet, and maxDoubtfulPerHost at one of those. So
	// clients that name many hosts which hang do not keep those of others waiting.
	maxFlying          = 32
	maxFlyingPerHost   = 16
	maxDoubtful        = 16
	maxDoubtfulPerHost = 8
)

// Bounds of the texts of a notice, in bytes.
const (
	maxAccount = 64
	maxRoom    = 256
)

// ErrClosed means that the service has been closed.
var ErrClosed = errors.New("push: the service is closed")

// ErrUnwanted is what Config.Compose returns when there is nothing to notify of any more.
var ErrUnwanted = errors.New("push: nobody is to be notified of it")

// ConfigError means that a field of a Config cannot be used.
type ConfigError struct{ Field, Problem string }

// Error names the field and the problem.
func (e *ConfigError) Error() string { return "push: " + e.Field + ": " + e.Problem }

// NoticeError means that a field of a Notice or a Message cannot be used. It does not quote it.
type NoticeError struct{ Field, Problem string }

// Error names the field and the problem.
func (e *NoticeError) Error() string { return "push: " + e.Field + " " + e.Problem }

// Reason is why a subscription is of no use any more.
type Reason string

// The reasons.
const (
	// ReasonGone means that the push service does not know the subscription any more: the
	// browser has unsubscribed, was reset, or has not been seen for long.
	ReasonGone Reason = "gone"
	// ReasonFailed means that pushes to it have failed for dropAfter.
	ReasonFailed Reason = "failed"
)

// Config is what a Service works with. Compose, Drop and Mark are called from several goroutines
// at once and must end when their context does. They may call methods of the Service other than
// Close.
type Config struct {
	// Key signs all pushes. Browsers have subscribed with its public half. Required.
	Key *Key
	// Subject is where a push service can reach the operator: the https origin of the server, or a mailto:
	// address. Required; Apple's push service refuses names such as localhost.
	Subject string
	// Transport makes the requests. It must refuse addresses that the server should not
	// dial: endpoints are chosen by clients. Required, and not http.DefaultTransport.
	Transport http.RoundTripper
	// Compose returns what to show of a notice now, or ErrUnwanted. It is called before each
	// attempt, and decides: whether the subscription is still there and the account's, and
	// whether the account may still read the message, has read it elsewhere, and wants to be
	// notified. After another error it is called again later.
	// Required.
	Compose func(ctx context.Context, n Notice) (Message, error)
	// Drop forgets a subscription that is of no use any more. Required.
	Drop func(ctx context.Context, account, subscription string, why Reason)
	// Mark keeps since when pushes to a subscription have failed, so that a restart does
	// not forget it; the zero time means that they work again. Required.
	Mark func(ctx context.Context, account, subscription string, failingSince time.Time)
	// Log gets what an operator should know, for each push service once a day. Required.
	Log *slog.Logger
	// Now is the time of day, which somebody may set. Only signatures, dates of push
	// services and the days that a subscription has failed depend on it. Default: time.Now.
	Now func() time.Time
	// MaxQueued is how many notices wait at most when a new one comes; up to maxFlying more
	// may come back from an attempt. Default: DefaultMaxQueued.
	MaxQueued int
}

// check returns the configuration with its defaults.
func (c Config) check() (Config, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.MaxQueued == 0 {
		c.MaxQueued = DefaultMaxQueued
	}
	switch {
	case c.Key == nil:
		return c, &ConfigError{"Key", "is missing"}
	case c.Transport == nil:
		return c, &ConfigError{"Transport", "is missing; pushes must be dialled through a guard"}
	case c.Transport == http.DefaultTransport:
		return c, &ConfigError{"Transport", "is http.DefaultTransport, which dials any address"}
	case c.Compose == nil, c.Drop == nil, c.Mark == nil:
		return c, &ConfigError{"Compose, Drop or Mark", "is missing"}
	case c.Log == nil:
		return c, &ConfigError{"Log", "is missing"}
	case c.MaxQueued < 1:
		return c, &ConfigError{"MaxQueued", "is less than 1"}
	}
	return c, checkSubject(c.Subject)
}

func checkSubject(subject string) error {
	u, err := url.Parse(subject)
	switch {
	case err != nil || subject == "":
		return &ConfigError{"Subject", fmt.Sprintf("%q is no address such as https://chat.example.org or mailto:admin@example.org", subject)}
	case u.Scheme == "mailto" && strings.Contains(u.Opaque, "@"):
		return nil
	case u.Scheme != "https" || u.Host == "" || u.User != nil:
		return &ConfigError{"Subject", fmt.Sprintf("%q must begin with https:// and name a host, or be a mailto: address", subject)}
	}
	return nil
}

// Notice names a message, and the account that is to be notified of it.
type Notice struct {
	Account string // its id, up to 64 bytes
	Room    string // its key, up to 256 bytes
	Seq     uint64 // of the message, from 1 on
	// Urgent is for messages that mention the account or are addressed to it alone. Such
	// a notice wakes a phone that saves its battery, and no other takes its place.
	Urgent bool
	// Subscription is the id of the subscription that is notified. The Service sets it for
	// Config.Compose, and Push ignores it.
	Subscription string
}

func (n *Notice) check() error {
	for _, f := range []struct {
		name, text string
		most       int
	}{{"Account", n.Account, maxAccount}, {"Room", n.Room, maxRoom}} {
		switch {
		case f.text == "":
			return &NoticeError{f.name, "is empty"}
		case len(f.text) > f.most:
			return &NoticeError{f.name, fmt.Sprintf("has %d bytes; the limit is %d", len(f.text), f.most)}
		case !utf8.ValidString(f.text):
			return &NoticeError{f.name, "is not valid UTF-8"}
		}
	}
	if n.Seq == 0 {
		return &NoticeError{"Seq", "is 0"}
	}
	return nil
}

// sameTopic reports whether one of two notices for a subscription takes the place of the other.
func (n *Notice) sameTopic(other *Notice) bool {
	return n.Room == other.Room && n.Urgent == other.Urgent
}

// Service sends notices. All methods are safe for concurrent use.
type Service struct {
	config Config
	sender sender
	delay  time.Duration // firstDelay, but in tests with a real network

	// run ends attempts when Close runs out of time.
	run    context.Context
	cancel context.CancelCauseFunc
	wake   chan struct{}  // has an element if the scheduler must look
	group  sync.WaitGroup // the scheduler and the attempts
	ended  chan struct{}  // closed when the scheduler has nothing left

	mu        sync.Mutex // guards all below; a leaf: nothing is called while it is held
	queue     queue
	sleeping  time.Time // until when the scheduler sleeps
	closing   bool
	failing   map[recipient]*failing
	delivered time.Time          // when a push was delivered last; zero: never
	told      map[told]time.Time // what the log has been told, and when
	counts    Counts
}

// New returns a Service, and starts its scheduler. Close must be called. The error is a
// *ConfigError.
func New(config Config) (*Service, error) {
	config, err := config.check()
	if err != nil {
		return nil, err
	}
	s := &Service{
		config:  config,
		sender:  newSender(config),
		delay:   firstDelay,
		wake:    make(chan struct{}, 1),
		ended:   make(chan struct{}),
		queue:   newQueue(config.MaxQueued),
		failing: make(map[recipient]*failing),
		told:    make(map[told]time.Time),
	}
	s.run, s.cancel = context.WithCancelCause(context.Background())
	s.group.Go(s.schedule)
	return s, nil
}

// Push queues a notice for a subscription, and returns at once. The subscription must not be
// changed afterwards. Errors are ErrClosed and *NoticeError. A notice that is not sent in the
// end, for whatever reason, is counted in Stats.
func (s *Service) Push(to *Subscription, n Notice) error {
	if err := n.check(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return ErrClosed
	}
	now := time.Now()
	s.counts.Pushed++
	s.queue.supersede(to, &n)
	if old := s.queue.waiting(to, &n); old != nil {
		s.counts.Replaced++
		if n.Seq > old.notice.Seq {
			old.to, old.notice, old.deadline, old.bare = to, n, now.Add(timeToLive), false
		}
		return nil
	}
	j := &job{to: to, notice: n, deadline: now.Add(timeToLive)}
	j.due = later(now.Add(s.delay), s.queue.held[j.recipient()])
	s.counts.Displaced += uint64(s.queue.add(j, now))
	s.wakeLocked()
	return nil
}

// Withdraw takes back what waits for an account of a room, up to a seq: somebody has read it.
// It returns how many notices that were. What is being sent right now is not taken back.
func (s *Service) Withdraw(account, room string, upTo uint64) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.withdrawLocked(account, func(j *job) bool { return j.notice.Room == room && j.notice.Seq <= upTo })
}

// Forget takes back everything that waits for an account, or for one of its subscriptions
// unless the id is empty. It returns how many notices that were.
func (s *Service) Forget(account, subscription string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key := range s.failing {
		if key.account == account && (subscription == "" || key.id == subscription) {
			delete(s.failing, key)
		}
	}
	return s.withdrawLocked(account, func(j *job) bool { return subscription == "" || j.to.id == subscription })
}

// withdrawLocked takes back what waits for an account and fits. An attempt that is being made is
// not repeated.
func (s *Service) withdrawLocked(account string, fits func(*job) bool) (taken int) {
	taken = s.queue.removeAll(account, fits)
	s.counts.Withdrawn += uint64(taken)
	s.wakeLocked() // a Service that is closing may have nothing left
	return taken
}

// Close takes no more notices, sends those that wait without waiting any longer, and drops those
// that wait because a push service has failed. It returns when that is done. When ctx ends before,
// it ends all attempts, drops what is left and returns the cause.
func (s *Service) Close(ctx context.Context) (err error) {
	s.mu.Lock()
	s.closing = true
	s.counts.Lost += uint64(s.queue.hurry(time.Now()))
	s.mu.Unlock()
	s.signal()
	select {
	case <-s.ended:
	case <-ctx.Done():
		err = context.Cause(ctx)
		s.cancel(ErrClosed)
	}
	s.group.Wait()
	s.cancel(ErrClosed)
	return err
}
