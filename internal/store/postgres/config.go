package postgres

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// connectTimeout is how long one attempt to connect to one host may take, and how long the checks
	// of a new connection may take.
	connectTimeout = 3 * time.Second
	// pingTimeout is how long a connection may take that was idle for a second, and is tried.
	pingTimeout = time.Second
)

// nodeName is the application_name of the connections of nodes.
const nodeName = "kaban"

// connectionCheck is how often a server looks whether the node of a statement is still there.
const connectionCheck = "2s"

// session returns settings of each connection, which are stronger than those of the role and of the
// database. A server notices within half a minute that a node is gone, and releases its locks. Those
// of a node that is there and does nothing, because it is frozen, it releases while others still have
// the patience to wait for them, and a wait for a lock ends with an answer.
//
// A timeout of statements would end the wait of a COMMIT for the standby; see link.
func session(patience time.Duration) map[string]string {
	return map[string]string{
		"application_name":                    nodeName,
		"default_transaction_isolation":       "read committed",
		"default_transaction_read_only":       "off",
		"statement_timeout":                   "0",
		"idle_session_timeout":                "0",
		"idle_in_transaction_session_timeout": milliseconds(patience * 3 / 5),
		"lock_timeout":                        milliseconds(patience * 4 / 5),
		"tcp_keepalives_idle":                 "10",
		"tcp_keepalives_interval":             "5",
		"tcp_keepalives_count":                "3",
		"tcp_user_timeout":                    "25000", // milliseconds
	}
}

// viewIdle is for how long the function of a View may compute. It has no locks.
const viewIdle = time.Minute

// milliseconds returns a duration for a setting, where 0 would be none.
func milliseconds(d time.Duration) string { return strconv.FormatInt(max(d.Milliseconds(), 1), 10) }

// optionalSettings are those that not every server has: the first comes with PostgreSQL 17, and the
// second depends on the system.
var optionalSettings = []string{
	"SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'transaction_timeout'",
	"SELECT set_config('client_connection_check_interval', '" + connectionCheck + "', false)",
}

// ErrUnprotected means that somebody between here and the server could read and change what is
// stored.
var ErrUnprotected = errors.New("the way to the database is not protected; add sslmode=verify-full to its URL")

// parse returns the configuration of connections for a URL.
func parse(url string, patience time.Duration) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("the URL of the database: %w", err)
	}
	c := &config.ConnConfig.Config
	if err := protected(c); err != nil {
		return nil, err
	}
	if c.ConnectTimeout == 0 || c.ConnectTimeout > connectTimeout {
		c.ConnectTimeout = connectTimeout
	}
	if c.RuntimeParams == nil {
		c.RuntimeParams = make(map[string]string)
	}
	for name, value := range session(patience) {
		c.RuntimeParams[name] = value
	}
	c.OnNotice = noteDoubt
	c.DialFunc = linked(c.DialFunc)
	c.BuildContextWatcherHandler = newNoted
	config.PingTimeout = pingTimeout
	return config, nil
}

// protected returns nil if every way to the server is within this machine, or is encrypted and
// authenticates the server.
func protected(c *pgconn.Config) error {
	ways := []*pgconn.FallbackConfig{{Host: c.Host, TLSConfig: c.TLSConfig}}
	for _, way := range append(ways, c.Fallbacks...) {
		verified := way.TLSConfig != nil && !way.TLSConfig.InsecureSkipVerify && way.TLSConfig.ServerName != ""
		if !verified && !isLocal(way.Host) {
			return fmt.Errorf("%w (the host is %s)", ErrUnprotected, way.Host)
		}
	}
	return nil
}

// isLocal reports whether a host is a socket or a loopback address.
func isLocal(host string) bool {
	if filepath.IsAbs(host) || len(host) > 0 && host[0] == '@' || host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
