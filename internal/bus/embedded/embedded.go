// Package embedded is a bus of the nodes themselves: each runs a NATS server within its
// process, and the servers are connected by routes
// (https://docs.nats.io/running-a-nats-service/configuration/clustering).
//
// For clients a server listens on loopback, with a password that only this process knows.
// Routes have TLS in both directions and a password; by default both are derived from the
// secret of the cluster, so that nodes need no certificates.
package embedded

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"kaban/internal/bus"
	"kaban/internal/bus/nats"
)

const (
	startTimeout = 10 * time.Second // for the server to listen
	tlsTimeout   = 5.0              // of handshakes, in seconds
	// maxPending bounds what waits for a route or the client, in bytes. Beyond it the
	// connection is ended, and made anew.
	maxPending = 32 << 20
	// pingInterval is how often a silent route is tried. After two pings without an answer it
	// is given up.
	pingInterval = 5 * time.Second
	writeTimeout = 5 * time.Second // how long a connection may take nothing
	// reports is of how many attempts to reach a node the log has one, beside the first. There is one a
	// second, also to a node that is gone for good.
	reports = 3600
	// lookInterval is how often the number of routes is looked at.
	lookInterval = 250 * time.Millisecond
)

// Options say where the node and its peers are.
type Options struct {
	// Listen is HOST:PORT where other nodes connect. Port 0 is any free one.
	Listen string
	// Peers are HOST:PORT of other nodes. One that is reached is enough: nodes tell each other
	// of the rest. The node itself may be among them.
	Peers []string
	// Secret is that of the cluster; see bus.NewKey.
	Secret string
	// TLS is for routes, in both directions, and must verify both sides. Default: certificates that
	// are made of the secret.
	TLS *tls.Config
	// Log gets a line for what goes wrong between servers. Default: discarded.
	Log *slog.Logger
}

// AddressError reports that an address cannot be used.
type AddressError struct {
	Address string
	Err     error
}

func (e *AddressError) Error() string {
	return fmt.Sprintf("address %q of a node is not like HOST:PORT: %v", e.Address, e.Err)
}

func (e *AddressError) Unwrap() error { return e.Err }

// ErrNotReady means that the server within the process did not begin to listen.
var ErrNotReady = errors.New("the bus within the server does not start; its address may be in use")

// Bus is the bus of one node.
type Bus struct {
	bus.Bus // a client of the server
	server  *server.Server
	log     *slog.Logger
	group   sync.WaitGroup

	mu      sync.Mutex // guards all below
	closing chan struct{}
	closed  bool
}

// Open starts the server. It does not wait for peers. It returns an *AddressError,
// bus.ErrShortSecret and ErrNotReady. The caller ends the bus with Close.
func Open(options Options) (*Bus, error) {
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	password := rand.Text()
	o, err := serverOptions(&options, password)
	if err != nil {
		return nil, err
	}
	b := &Bus{log: options.Log, closing: make(chan struct{})}
	if b.server, err = server.NewServer(o); err != nil {
		return nil, fmt.Errorf("prepare the bus: %w", err)
	}
	b.server.SetLoggerV2(newLogger(options.Log, o.Cluster.Password, password, options.Secret), false, false, false)
	b.group.Go(b.server.Start)
	if !b.server.ReadyForConnections(startTimeout) {
		b.stop()
		return nil, ErrNotReady
	}
	b.Bus, err = nats.Open(nats.Options{
		URLs: []string{b.server.ClientURL()}, Secret: options.Secret, Username: user, Password: password, Log: options.Log,
	})
	if err != nil {
		b.stop()
		return nil, err
	}
	return b, nil
}

// user is the name of clients and routes. Their passwords are what counts.
const user = "kaban"

func serverOptions(options *Options, password string) (*server.Options, error) {
	host, port, err := split(options.Listen)
	if err != nil {
		return nil, err
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	derived, err := bus.Derive(options.Secret, "routes", 32)
	if err != nil {
		return nil, err
	}
	secret := hex.EncodeToString(derived)
	config := options.TLS
	if config == nil {
		if config, err = certificates(options.Secret); err != nil {
			return nil, err
		}
	}
	routes, err := routesTo(options.Peers, secret)
	if err != nil {
		return nil, err
	}
	return &server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, Username: user, Password: password, // with DontListen there would be no routes
		NoSigs: true, NoLog: true, NoSystemAccount: true,
		MaxPending: maxPending, MaxPayload: 2 * bus.MaxHint, WriteDeadline: writeTimeout,
		Routes: routes, ConnectErrorReports: reports, ReconnectErrorReports: reports,
		Cluster: server.ClusterOpts{
			Name: "kaban", Host: host, Port: port, Username: user, Password: secret,
			TLSConfig: config, TLSTimeout: tlsTimeout, NoAdvertise: true, PoolSize: -1,
			Compression:  server.CompressionOpts{Mode: server.CompressionOff},
			PingInterval: pingInterval, MaxPingsOut: 2, WriteDeadline: writeTimeout,
		},
	}, nil
}

// routesTo returns the addresses of peers with the password of routes. They stay in memory.
func routesTo(peers []string, secret string) (routes []*url.URL, err error) {
	for _, peer := range peers {
		if _, port, err := split(peer); err != nil || port == 0 {
			return nil, &AddressError{peer, errors.Join(err, errNoPort(port))}
		}
		routes = append(routes, &url.URL{Scheme: "nats-route", User: url.UserPassword(user, secret), Host: peer})
	}
	return routes, nil
}

func errNoPort(port int) error {
	if port == 0 {
		return errors.New("it has no port")
	}
	return nil
}

// split splits HOST:PORT. It returns an *AddressError.
func split(address string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, &AddressError{address, err}
	}
	number, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return "", 0, &AddressError{address, errors.New("the port is no number up to 65535")}
	}
	return host, int(number), nil
}

// Address returns where other nodes connect.
func (b *Bus) Address() string { return b.server.ClusterAddr().String() }

// Routes returns the number of nodes that are connected to this one.
func (b *Bus) Routes() int { return b.server.NumRoutes() }

// Subscribe implements bus.Bus. The receiver is also told of a loss when a node is connected
// that was not a moment ago.
func (b *Bus) Subscribe(r bus.Receiver) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.Bus.Subscribe(r); err != nil {
		return err
	}
	b.group.Go(func() { b.watch(r) })
	return nil
}

// watch looks for routes that are made anew: hints were lost while there was none. One that
// was away for less than lookInterval is not noticed; the comparison of each second makes up for
// that.
func (b *Bus) watch(r bus.Receiver) {
	ticker := time.NewTicker(lookInterval)
	defer ticker.Stop()
	for before := b.Routes(); ; {
		select {
		case <-b.closing:
			return
		case <-ticker.C:
		}
		now := b.Routes()
		if now != before {
			b.log.Info("other nodes on the bus", "nodes", now)
		}
		if now > before {
			r.Lost(bus.Connected)
		}
		before = now
	}
}

// Close implements bus.Bus.
func (b *Bus) Close() error {
	b.mu.Lock()
	first := !b.closed
	if b.closed = true; first {
		close(b.closing)
	}
	b.mu.Unlock()
	err := b.Bus.Close()
	b.stop()
	return err
}

// stop ends the server and waits for it, and for the goroutine that looks at the routes.
func (b *Bus) stop() {
	b.server.Shutdown()
	b.server.WaitForShutdown()
	b.group.Wait()
}
