// Package nats is a bus over core NATS (https://docs.nats.io/nats-concepts/core-nats). It needs
// no JetStream, because the store is the truth.
//
// Each hint is a message on the subject "PREFIX.hint.SHARD", and what nodes say besides is on
// "PREFIX.hint.64", sealed with the secret of the
// cluster (bus.Key): whoever may use the same NATS, but does not know the secret, can neither
// make hints nor change them. It can read them, unless the connections have TLS; so an address that is
// not of this machine must have it.
//
// The driver reconnects for ever. What is published meanwhile is dropped.
package nats

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"kaban/internal/bus"
)

const (
	defaultPrefix = "kaban"
	// connectTimeout bounds the wait for a server, and for its answer after connecting.
	connectTimeout = 2 * time.Second
	// writeTimeout bounds how long the connection may take nothing.
	writeTimeout = 5 * time.Second
	// pingInterval is how often a connection that is silent is tried. After two pings without
	// an answer it is given up.
	pingInterval = 5 * time.Second
	// Pauses between attempts to connect, which double. Of each a random half to all is waited.
	minPause = 100 * time.Millisecond
	maxPause = 5 * time.Second
)

// Options say where the servers are and what they and the nodes know.
type Options struct {
	// URLs are those of the servers: nats://HOST:PORT, or tls://HOST:PORT. They have no
	// secrets. An address that is not of this machine must be tls, or AllowPlain be set.
	URLs       []string
	AllowPlain bool
	// Secret is that of the cluster; see bus.NewKey.
	Secret string
	// Username and Password are for the servers. CredentialsFile is a file in their place, which has
	// a JWT and a key (https://docs.nats.io/using-nats/developer/connecting/creds).
	Username, Password string
	CredentialsFile    string
	// TLS is for tls addresses; nil means the roots of the system.
	TLS *tls.Config
	// Prefix begins the subjects, so that several clusters can share servers. Default "kaban".
	Prefix string
	// Log gets one line when the connection is lost and one when it is back. Default: discarded.
	Log *slog.Logger
}

// AddressError reports that an address of a server cannot be used.
type AddressError struct {
	Index  int // in Options.URLs
	Reason string
}

func (e *AddressError) Error() string {
	return fmt.Sprintf("address %d of the bus %s", e.Index+1, e.Reason)
}

// driver is the bus of one node.
type driver struct {
	key     *bus.Key
	options Options
	conn    *nats.Conn
	queue   *bus.Queue // sealed hints, each with its shard behind it
	counter bus.Counter
	group   sync.WaitGroup
	dropped atomic.Int64 // hints that the receiver did not take, as far as it was told

	subscribing  sync.Mutex // guards subscription
	subscription *nats.Subscription

	mu       sync.RWMutex // held for reading while the receiver is called; guards all below
	receiver bus.Receiver // nil before Subscribe
	closed   bool
}

// Open connects to one of the servers, or begins to try. It waits some seconds at most. It
// returns an *AddressError, bus.ErrShortSecret, and an error for bad credentials. The caller ends the bus with
// Close.
func Open(options Options) (bus.Bus, error) {
	if options.Prefix == "" {
		options.Prefix = defaultPrefix
	}
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	for i, address := range options.URLs {
		if reason := problem(address, options.AllowPlain); reason != "" {
			return nil, &AddressError{i, reason}
		}
	}
	key, err := bus.NewKey(options.Secret)
	if err != nil {
		return nil, err
	}
	b := &driver{key: key, options: options, queue: bus.NewQueue()}
	if b.conn, err = b.connect(); err != nil {
		return nil, fmt.Errorf("connect to the bus: %w", err)
	}
	b.group.Go(b.send)
	return b, nil
}

// problem returns what is wrong with an address, or "".
func problem(address string, allowPlain bool) string {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "":
		return "is not like nats://HOST:PORT or tls://HOST:PORT"
	case u.User != nil:
		return "has a name or a password; those belong into a file"
	case u.Scheme == "tls":
		return ""
	case u.Scheme != "nats":
		return "is neither nats:// nor tls://"
	case !allowPlain && !isLocal(u.Hostname()):
		return "is not of this machine, so it must be tls://"
	}
	return ""
}

// isLocal reports whether a host is this machine.
func isLocal(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}

func (b *driver) connect() (*nats.Conn, error) {
	o := nats.GetDefaultOptions()
	o.Servers, o.Name = b.options.URLs, "kaban"
	o.NoEcho = true
	o.AllowReconnect, o.MaxReconnect, o.RetryOnFailedConnect = true, -1, true
	o.CustomReconnectDelayCB = pause
	o.IgnoreAuthErrorAbort = true    // the operator may be changing the password
	o.IgnoreDiscoveredServers = true // the operator names all of them
	o.ReconnectBufSize = -1          // what is published without a connection is dropped
	o.Timeout, o.FlusherTimeout = connectTimeout, writeTimeout
	o.PingInterval, o.MaxPingsOut = pingInterval, 2
	o.User, o.Password = b.options.Username, b.options.Password
	o.ConnectedCB, o.ReconnectedCB = b.connected, b.connected
	o.DisconnectedErrCB = b.disconnected
	o.AsyncErrorCB = b.failed
	if b.options.TLS != nil {
		o.TLSConfig = b.options.TLS.Clone()
	}
	if file := b.options.CredentialsFile; file != "" {
		if err := nats.UserCredentials(file)(&o); err != nil {
			return nil, err
		}
	}
	return o.Connect()
}

// pause returns how long to wait after so many rounds over all servers.
func pause(rounds int) time.Duration {
	whole := maxPause
	if rounds < 10 {
		whole = min(minPause<<max(rounds-1, 0), maxPause)
	}
	return whole/2 + rand.N(whole/2)
}

// Publish implements bus.Bus.
func (b *driver) Publish(h *bus.Hint) {
	b.put(h.Append(nil), bus.Shard(h.Room))
}

// Say implements bus.Bus.
func (b *driver) Say(m bus.Message) { b.put(m.Append(nil), bus.Shards) }

// put queues something for the subject of a shard.
func (b *driver) put(encoded []byte, shard int) {
	if !b.queue.Put(append(b.key.Seal(encoded), byte(shard))) {
		b.counter.Dropped.Add(1)
	}
}

// send publishes what is queued. It may wait for the network.
func (b *driver) send() {
	var subjects [bus.Shards + 1]string // the last one is for messages
	for i := range subjects {
		subjects[i] = b.options.Prefix + ".hint." + strconv.Itoa(i)
	}
	var items [][]byte
	for {
		clear(items)
		if items = b.queue.Take(items); items == nil {
			return
		}
		for _, item := range items {
			n := len(item) - 1
			if err := b.conn.Publish(subjects[item[n]], item[:n]); err != nil {
				b.counter.Dropped.Add(1) // there is no connection
				continue
			}
			b.counter.Published.Add(1)
		}
	}
}

// Subscribe implements bus.Bus.
func (b *driver) Subscribe(r bus.Receiver) error {
	b.mu.Lock()
	switch {
	case b.closed:
		b.mu.Unlock()
		return bus.ErrClosed
	case b.receiver != nil:
		b.mu.Unlock()
		return bus.ErrSubscribed
	}
	b.receiver = r
	b.mu.Unlock()
	b.subscribing.Lock()
	defer b.subscribing.Unlock()
	s, err := b.conn.Subscribe(b.options.Prefix+".hint.*", b.heard)
	if err != nil {
		return fmt.Errorf("subscribe to the bus: %w", err)
	}
	if err := s.SetPendingLimits(bus.QueueHints, bus.QueueBytes); err != nil {
		return fmt.Errorf("bound what waits for the receiver: %w", err)
	}
	b.subscription = s
	if b.conn.IsConnected() {
		b.group.Go(func() { b.tellConnected(b.conn) })
	}
	return nil
}

// heard takes a message of the subscription, one at a time.
func (b *driver) heard(m *nats.Msg) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.closed {
		return
	}
	b.tellSlow(m.Sub)
	b.counter.Deliver(b.receiver, b.key, m.Data)
}

// tellSlow tells the receiver if it has lost hints since it was told last. The caller holds mu for
// reading.
func (b *driver) tellSlow(s *nats.Subscription) {
	dropped, err := s.Dropped()
	if err != nil || int64(dropped) <= b.dropped.Swap(int64(dropped)) {
		return
	}
	b.counter.Slow.Add(1)
	b.receiver.Lost(bus.Slow)
}

// connected is called after each time that a connection was made.
func (b *driver) connected(conn *nats.Conn) {
	b.counter.Connects.Add(1)
	b.counter.Connected.Store(true)
	b.options.Log.Info("connected to the bus", "server", host(conn))
	b.tellConnected(conn)
}

// tellConnected tells the receiver that it hears again, once the server has the subscription.
func (b *driver) tellConnected(conn *nats.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	if err := conn.FlushWithContext(ctx); err != nil {
		return // it is lost again
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.receiver != nil && !b.closed {
		b.receiver.Lost(bus.Connected)
	}
}

// host returns where a connection leads, without anything that may be secret.
func host(conn *nats.Conn) string {
	u, err := url.Parse(conn.ConnectedUrlRedacted())
	if err != nil {
		return ""
	}
	return u.Host
}

func (b *driver) disconnected(_ *nats.Conn, err error) {
	if b.counter.Connected.Swap(false) && err != nil {
		b.options.Log.Warn("lost the connection to the bus; messages of other nodes appear about a second late", "err", plain(err))
	}
}

// failed is called with errors of the connection that do not end it.
func (b *driver) failed(_ *nats.Conn, s *nats.Subscription, err error) {
	if s == nil || !errors.Is(err, nats.ErrSlowConsumer) {
		b.options.Log.Warn("the bus has a problem", "err", plain(err))
		return
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	if !b.closed {
		b.tellSlow(s)
	}
}

// plain returns the text of an error; of one of the network without what it was doing.
func plain(err error) string {
	if network, ok := errors.AsType[*net.OpError](err); ok {
		return network.Err.Error()
	}
	return err.Error()
}

// Stats implements bus.Bus.
func (b *driver) Stats() bus.Stats { return b.counter.Stats() }

// Close implements bus.Bus.
func (b *driver) Close() error {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.queue.Close()
	b.conn.Close()
	b.counter.Connected.Store(false)
	b.group.Wait()
	return nil
}
