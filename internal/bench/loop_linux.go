package bench

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// bufferSize is the maximum size of a read. All connections share the buffer.
	bufferSize = 128 << 10
	// maxEvents is the number of connections between two checks of the windows.
	maxEvents = 256
	// patience is how long a run waits when nothing arrives.
	patience = 30 * time.Second
	// samples is the number of connections that are parsed completely to check the
	// order.
	samples = 8
	// smallBuffer is the receive buffer of connections that never read.
	smallBuffer = 4096
	// smallSegment is the size of a packet on a real network.
	smallSegment = 1400
)

// stage is the progress of a connection.
type stage uint8

const (
	stageConnecting stage = iota
	stageGreeting         // hello is sent
	stageReady            // everything requested is done
	stageClosed
)

// conn is a connection. Only the loop's goroutine uses it.
type conn struct {
	counter
	identity
	loop    *loop
	fd      int
	stage   stage
	room    *room // nil if it joins none
	sends   bool  // it connects where those do that send
	small   bool  // its receive buffer is as small as possible
	silent  bool  // it does not read, or no longer
	out     []byte
	sent    uint64
	web     *unframer
	tls     *tls.Conn // nil: nothing is encrypted
	inFull  bool      // parsed completely
	lines   assembler
	order   order
	due     int64 // when the message it waits for was due
	greeted int64 // when it became ready
}

// room is the unit of the windows.
type room struct {
	members []*conn
	senders []*conn
	turn    int // of senders
	sent    uint64
	events  uint64 // received messages and acks, over all members
	dirty   bool
}

// inFlight returns the number of messages that are not delivered to everyone, as
// an average.
func (r *room) inFlight() int { return int(r.sent) - int(r.events/uint64(len(r.members))) }

// loop drives all connections. It belongs to one goroutine.
type loop struct {
	Options
	dialect dialect
	ctx     context.Context
	place   place // of most connections
	sending place // of members that send
	epoll   int
	byFD    []*conn
	conns   []*conn
	rooms   []*room
	run     string // distinguishes the names of this run from others
	serial  int    // of names
	turn    int    // of the rooms, in latency

	buffer  []byte
	scratch []byte
	events  [maxEvents]unix.EpollEvent
	dirty   []*room
	start   time.Time
	now     int64 // of the last read, in nanoseconds since start
	pending int   // connections that are not ready
	timer   int   // a timerfd, or -1
	sayAt   int64 // when to report the progress again

	messages uint64 // delivered, including echoed ones
	failure  error  // ends the run

	onOther   func(c *conn, k kind, line []byte) // lines that are not messages
	onMessage func(c *conn, line []byte)         // on connections that are parsed completely
}

// newLoop prepares a run with up to n connections at a time.
func newLoop(ctx context.Context, o Options, n int) (*loop, error) {
	if err := raiseFiles(n + 64); err != nil {
		return nil, err
	}
	l := &loop{
		Options: o, dialect: kabanLines{}, ctx: ctx, buffer: make([]byte, bufferSize+1), start: time.Now(), timer: -1,
		// Digits only: names that look alike would collide.
		run: fmt.Sprintf("%d", time.Now().UnixNano()/1000%10_000_000_000),
	}
	switch {
	case o.Raw:
		l.dialect = rawLines{}
	case o.WebSocket:
		l.dialect = kabanMessages{}
	}
	var err error
	if l.place, err = placeAt(o.at); err != nil {
		return nil, err
	}
	if l.sending, err = placeAt(o.sendersAt); err != nil {
		return nil, err
	}
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return l, nil
}

// place is where connections go.
type place struct {
	address unix.Sockaddr
	family  int
}

func placeAt(at string) (place, error) {
	addr, err := net.ResolveTCPAddr("tcp", at)
	if err != nil {
		return place{}, err
	}
	if four := addr.IP.To4(); four != nil {
		return place{&unix.SockaddrInet4{Port: addr.Port, Addr: [4]byte(four)}, unix.AF_INET}, nil
	}
	return place{&unix.SockaddrInet6{Port: addr.Port, Addr: [16]byte(addr.IP.To16())}, unix.AF_INET6}, nil
}

// raiseFiles raises the limit of open files to n.
func raiseFiles(n int) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("read the limit of open files: %w", err)
	}
	need := uint64(n)
	if limit.Cur >= need {
		return nil
	}
	hard := limit.Max
	limit.Cur, limit.Max = need, max(hard, need)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("%d connections need %d open files, and this process may have %d: raise the limit (ulimit -n %d), or ask for fewer connections", n-64, need, hard, need)
	}
	return nil
}

func (l *loop) close() {
	for _, c := range l.conns {
		l.drop(c)
	}
	if l.timer >= 0 {
		unix.Close(l.timer)
	}
	unix.Close(l.epoll)
}

func (l *loop) drop(c *conn) {
	if c.stage != stageClosed {
		c.stage = stageClosed
		l.byFD[c.fd] = nil
		unix.Close(c.fd)
	}
}

// dropAll closes all connections to make room for others.
func (l *loop) dropAll() {
	for _, c := range l.conns {
		l.drop(c)
	}
	l.conns, l.rooms, l.dirty, l.messages, l.turn = nil, nil, nil, 0, 0
}

// add plans a connection to a room, or to none.
func (l *loop) add(r *room, name string) *conn {
	c := &conn{loop: l, room: r, fd: -1, stage: stageClosed}
	c.number = l.serial
	c.name, c.identity.room = fmt.Sprintf("bench-%s-%d", l.run, l.serial), name
	if n := len(l.Tokens); n > 0 {
		c.token = l.Tokens[l.serial%n]
	}
	l.serial++
	l.conns = append(l.conns, c)
	if r != nil {
		r.members = append(r.members, c)
	}
	return c
}

// addRoom plans a new room with members, some of which send. Reusing a room would
// spoil the counts with earlier messages.
func (l *loop) addRoom(members, senders int) *room {
	r := &room{}
	name := fmt.Sprintf("bench-%s-%d", l.run, l.serial)
	for range members {
		l.add(r, name)
	}
	r.senders = r.members[:senders]
	for _, c := range r.senders {
		c.sends = true
	}
	l.rooms = append(l.rooms, r)
	return r
}

// clock returns the time since the loop began, in nanoseconds.
func (l *loop) clock() int64 { return int64(time.Since(l.start)) }

// fail records the error that ends the run. The first one counts.
func (l *loop) fail(format string, args ...any) {
	if l.failure == nil {
		l.failure = fmt.Errorf(format, args...)
	}
}

// round waits for input for at most the given time and processes it.
func (l *loop) round(wait time.Duration) error {
	millis := int((wait + time.Millisecond - 1) / time.Millisecond)
	n, err := unix.EpollWait(l.epoll, l.events[:], min(millis, 100))
	if err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("epoll: %w", err)
	}
	for _, event := range l.events[:max(n, 0)] {
		if int(event.Fd) == l.timer {
			unix.Read(l.timer, l.buffer[:8]) // only a wakeup
			continue
		}
		c := l.byFD[event.Fd]
		if c == nil {
			continue
		}
		if event.Events&unix.EPOLLOUT != 0 {
			l.writable(c)
		}
		if event.Events&^unix.EPOLLOUT != 0 && c.stage != stageClosed && !c.silent {
			l.readable(c, event.Events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0)
		}
	}
	l.now = l.clock()
	switch {
	case l.failure != nil:
		return l.failure
	case l.ctx.Err() != nil:
		return context.Cause(l.ctx)
	}
	return nil
}

// say reports the progress, at most ten times a second.
func (l *loop) say(done float64, format string, args ...any) {
	if l.now >= l.sayAt {
		l.sayAt = l.now + int64(100*time.Millisecond)
		l.Progress(min(done, 1), fmt.Sprintf(format, args...))
	}
}

// readable reads all available data, because the descriptor is registered
// edge-triggered. The end of a connection causes no further event.
func (l *loop) readable(c *conn, ended bool) {
	for {
		n, err := c.read(l.buffer[1:]) // see unframer
		switch {
		case errors.Is(err, unix.EAGAIN):
			return
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil || n == 0:
			l.drop(c)
			if err == nil {
				err = errors.New("the server closed the connection")
			}
			l.fail("the server ended connection %s: %w", c.name, err)
			return
		}
		l.receive(c, l.buffer[:n+1])
		if n < bufferSize && !ended && c.tls == nil {
			return // a short read has emptied the socket, see epoll(7)
		}
	}
}

// receive processes the data after the first byte of a buffer.
func (l *loop) receive(c *conn, buffer []byte) {
	data := buffer[1:]
	if c.web != nil {
		lines, opened, err := c.web.take(buffer)
		if err != nil {
			l.fail("%w", err)
			return
		}
		if data = lines; opened {
			l.greet(c)
		}
	}
	before := c.messages + c.acks
	messages := c.messages
	c.take(l.dialect, data, c.other)
	l.messages += c.messages - messages
	if r := c.room; r != nil && c.messages+c.acks != before {
		r.events += c.messages + c.acks - before
		if !r.dirty {
			r.dirty = true
			l.dirty = append(l.dirty, r)
		}
	}
	if c.inFull {
		l.now = l.clock()
		c.lines.feed(data, c.whole)
	}
}

// other processes a line that is not a message.
func (c *conn) other(k kind, line []byte) {
	l := c.loop
	switch k {
	case kindWelcome:
		if c.identity.room == "" {
			l.ready(c)
		}
	case kindJoined:
		if c.stage == stageGreeting {
			l.ready(c)
		}
	case kindPing:
		l.write(c, l.dialect.appendPong(l.scratch[:0]))
	case kindError:
		l.fail("%s", refusal(line, l.React))
	case kindGoodbye:
		if !c.silent {
			l.fail("the server says %s", line)
		}
	}
	if l.onOther != nil {
		l.onOther(c, k, line)
	}
}

func (l *loop) ready(c *conn) {
	c.stage = stageReady
	c.greeted = l.clock()
	l.pending--
}

// whole processes a line of a connection that is parsed completely.
func (c *conn) whole(line []byte) {
	k := c.loop.dialect.kind(line[:min(len(line), headSize)])
	if k != kindMessage && k != kindAck && k != kindOther { // an entry of another kind has a place too
		return
	}
	if stream, n, ok := c.loop.dialect.place(line); ok {
		c.order.see(stream, n)
	}
	if k == kindMessage && c.loop.onMessage != nil {
		c.loop.onMessage(c, line)
	}
}

// writable sends data that the socket did not accept before.
func (l *loop) writable(c *conn) {
	if c.stage == stageConnecting {
		if code, err := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_ERROR); err == nil && code != 0 {
			l.refused(unix.Errno(code))
			return
		}
		l.connected(c)
		return
	}
	if rest := c.out; len(rest) > 0 {
		c.out = nil
		l.write(c, rest)
	}
}

func (l *loop) refused(err error) {
	if errors.Is(err, unix.ECONNREFUSED) {
		l.fail("nothing listens at %s; start a server with \"kaban serve\", or name another with --server HOST:PORT", l.Server)
		return
	}
	l.fail("connect to %s: %w", l.Server, err)
}

// write sends data.
func (l *loop) write(c *conn, data []byte) {
	switch {
	case c.stage == stageClosed:
	case c.tls == nil:
		l.push(c, data)
	default:
		if _, err := c.tls.Write(data); err != nil {
			l.fail("encrypt for connection %s: %w", c.name, err)
		}
	}
}

// push writes to the socket, and keeps a copy of the rest if it does not accept all.
func (l *loop) push(c *conn, data []byte) {
	if c.stage == stageClosed {
		return
	}
	if len(c.out) > 0 {
		c.out = append(c.out, data...)
		return
	}
	for len(data) > 0 {
		n, err := unix.Write(c.fd, data)
		switch {
		case errors.Is(err, unix.EAGAIN):
			c.out = append([]byte(nil), data...)
			return
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			l.drop(c)
			if !c.silent {
				l.fail("the server ended connection %s: %w", c.name, err)
			}
			return
		}
		data = data[n:]
	}
}

// sample selects a few connections to parse completely, spread over all.
func (l *loop) sample() int {
	step := max(len(l.conns)/samples, 1)
	n := 0
	for i := 0; i < len(l.conns) && n < samples; i += step {
		if c := l.conns[i]; !c.silent && c.room != nil {
			c.inFull = true
			n++
		}
	}
	return n
}

// verify compares the received messages with the sent ones.
func (l *loop) verify(r *Result) {
	for _, c := range l.conns {
		if c.silent || c.room == nil {
			continue
		}
		messages, acks := c.room.sent, uint64(0)
		if !l.dialect.echoes() {
			messages, acks = c.room.sent-c.sent, c.sent
		}
		lost, repeated := balance(c.messages, messages)
		lostAcks, repeatedAcks := balance(c.acks, acks)
		// On one connection lost and repeated messages may cancel out; the order
		// reveals them.
		r.Lost += max(lost+lostAcks, c.order.lost)
		r.Repeated += max(repeated+repeatedAcks, c.order.repeated)
		r.Foreign += c.foreign
		if c.inFull {
			r.Sampled++
		}
	}
}

// settled reports whether everything sent has arrived everywhere.
func (l *loop) settled() bool {
	return !slices.ContainsFunc(l.rooms, func(r *room) bool { return r.events < r.sent*uint64(len(r.members)) })
}

// drain waits until everything sent has arrived, and a little longer for repeated
// messages.
func (l *loop) drain() error {
	last, since := l.messages, l.clock()
	for !l.settled() {
		if err := l.round(10 * time.Millisecond); err != nil {
			return err
		}
		if l.messages != last {
			last, since = l.messages, l.now
		} else if l.now-since > int64(l.drainPatience()) {
			return nil // missing messages are lost
		}
		l.say(1, "waiting for messages in flight")
	}
	for until := l.clock() + int64(100*time.Millisecond); l.now < until; {
		if err := l.round(10 * time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// drainPatience is how long nothing may arrive before messages count as lost.
func (l *loop) drainPatience() time.Duration { return min(patience, max(5*time.Second, l.Duration)) }
