package postgres

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
)

// link is a connection over which pgx cannot have the server cancel a statement. Whenever it gives a
// connection up it would do so, and has no setting against it (v5.12.0). The statement may be in its
// commit and wait for the standby: a cancelled wait makes visible what is on no standby. So pgx finds
// no address for its request.
type link struct{ net.Conn }

func (link) RemoteAddr() net.Addr { return nowhere{} }

// nowhere is an address that dial refuses.
type nowhere struct{}

func (nowhere) Network() string { return "nowhere" }
func (nowhere) String() string  { return "nowhere" }

var errNoCancel = errors.New("statements are never cancelled")

// linked has a dialer make links.
func linked(dial pgconn.DialFunc) pgconn.DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if network == (nowhere{}).Network() {
			return nil, errNoCancel
		}
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return link{c}, nil
	}
}

// noted is what is known of a connection.
type noted struct {
	conn *pgconn.PgConn
	*server
	restored  bool        // the data were replaced by an older copy
	doubtful  bool        // its last COMMIT was not confirmed by the standby
	cancelled atomic.Bool // it was left because nobody waits for its answer any more
}

const notes = "kaban" // the key of a *noted

// notesOf returns what is known of a connection.
func notesOf(c *pgconn.PgConn) *noted {
	n, _ := c.CustomData()[notes].(*noted)
	return n
}

// newNoted makes the notes of a connection.
func newNoted(c *pgconn.PgConn) ctxwatch.Handler {
	n := &noted{conn: c}
	c.CustomData()[notes] = n
	return n
}

// HandleCancel implements ctxwatch.Handler. At the end of the context of a statement it closes the
// connection, and does nothing else about it. A server in a commit completes it, as soon as it can,
// and finds the connection closed afterwards. One that computes or waits for a lock notices that
// within connectionCheck, and rolls the transaction back.
func (n *noted) HandleCancel(ctx context.Context) {
	n.cancelled.Store(errors.Is(ctx.Err(), context.Canceled))
	c := n.conn.Conn()
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn() // TLS would say goodbye first, and wait until that is sent
	}
	_ = c.Close() // nobody is left to use it
}

// HandleUnwatchAfterCancel implements ctxwatch.Handler. If the answer has come at the same time as
// the end, whoever gets the connection next finds it closed, and takes another one.
func (*noted) HandleUnwatchAfterCancel() {}
