package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"kaban/internal/account"
	"kaban/internal/certs"
	service "kaban/internal/chat" // chat is a command here
	"kaban/internal/conn"
	"kaban/internal/dispatch"
	"kaban/internal/display"
	"kaban/internal/files"
	"kaban/internal/index"
	"kaban/internal/ledger"
	"kaban/internal/limit"
	"kaban/internal/peer"
	"kaban/internal/processors"
	"kaban/internal/server"
	"kaban/internal/store"
	"kaban/internal/systemd"
	"kaban/internal/telemetry"
	"kaban/internal/trace"
	"kaban/internal/turns"
	"kaban/internal/web"
	"kaban/internal/web/page"
)

// serveCommand runs a server. Each of its flags is a key of the configuration file, see
// fileKeys.
type serveCommand struct {
	Listen         []string      `placeholder:"URL" env:"KABAN_LISTEN" default:"tcp://127.0.0.1:6440,http://127.0.0.1:6480" help:"Address to listen at; may be given several times. tcp://HOST:PORT and tls://HOST:PORT speak kaban/1, http://HOST:PORT and https://HOST:PORT serve the page and the HTTP API; beside https://, an http:// address beyond loopback only leads there; port 0 picks a free port. metrics://HOST:PORT serves metrics for Prometheus, such as metrics://127.0.0.1:6490, beside the addresses for clients. Default: ${default}."`
	Origin         []string      `placeholder:"URL" env:"KABAN_ORIGIN" help:"Public address of this server, such as https://chat.example.org, through a proxy or on a network; may be given several times. The server then rejects other host names. Pages of this origin may open WebSockets."`
	BasePath       string        `placeholder:"PATH" env:"KABAN_BASE_PATH" help:"Path below which the page, the HTTP API and the WebSocket are served, such as /chat for https://example.org/chat/. A proxy in front passes it on. Default: the root."`
	Proxy          []string      `placeholder:"CIDR" env:"KABAN_PROXY" help:"Network of proxies that say who is behind them, such as 10.0.0.0/8, or a single address; may be given several times. Only from these are X-Forwarded-For, Forwarded and the PROXY protocol taken, and anybody else that sends them is refused. An unencrypted --listen address beyond loopback then takes connections from these only."`
	Insecure       bool          `env:"KABAN_INSECURE" help:"Let passwords and messages go through a network in the clear: allows unencrypted --listen addresses beyond loopback for everybody."`
	TLSCert        string        `name:"tls-cert" key:"tls.cert" placeholder:"FILE" env:"KABAN_TLS_CERT" help:"Certificate for https:// and tls:// addresses: a file in PEM with it and those that lead to its root. Read again when it changes."`
	TLSKey         string        `name:"tls-key" key:"tls.key" placeholder:"FILE" env:"KABAN_TLS_KEY" help:"Private key of the certificate: a file in PEM without a passphrase."`
	Data           string        `placeholder:"DIR" env:"KABAN_DATA" default:"./kaban-data" help:"Directory of the messages; created if it does not exist. postgres://ROLE@HOST/NAME is a database, which several nodes may share. :memory: keeps the newest 64 MiB as long as the server runs. Default: ${default}."`
	MaxClients     int           `placeholder:"N" env:"KABAN_MAX_CLIENTS" default:"10000" help:"Maximum number of clients: connections over TCP and WebSocket that have said hello. Default: ${default}."`
	MaxNewcomers   int           `placeholder:"N" env:"KABAN_MAX_NEWCOMERS" default:"0" help:"Maximum number of additional connections that have not said hello. At the limit, the oldest of them make room; 0 is a quarter of --max-clients. Default: ${default}."`
	MaxFromAddress int           `placeholder:"N" env:"KABAN_MAX_FROM_ADDRESS" default:"100" help:"Maximum number of such connections from one address (an IPv6 /64 counts as one); loopback is exempt. Default: ${default}."`
	MaxContent     int           `placeholder:"N" env:"KABAN_MAX_CONTENT" default:"5000" help:"Maximum length of a message in characters (code points), up to 16000. Default: ${default}."`
	Heartbeat      time.Duration `placeholder:"TIME" env:"KABAN_HEARTBEAT" default:"30s" help:"Silence after which the server pings a client; after two more it closes the connection. Default: ${default}."`
	DrainTimeout   time.Duration `placeholder:"TIME" env:"KABAN_DRAIN_TIMEOUT" default:"20s" help:"Time for a graceful shutdown before the server closes the remaining connections. Default: ${default}."`
	TailSize       int           `placeholder:"KIB" env:"KABAN_TAIL_SIZE" default:"256" help:"Memory for the newest messages of each room in use, in KiB; readers further behind read from the database. Default: ${default}."`
	TailBudget     int           `placeholder:"MIB" env:"KABAN_TAIL_BUDGET" default:"64" help:"Limit of this memory for all rooms together, in MiB; busier rooms use more of it. Default: ${default}."`
	PageSize       int           `placeholder:"N" env:"KABAN_PAGE_SIZE" default:"500" help:"Number of messages that such a reader reads from the database at a time. Default: ${default}."`
	LogFormat      string        `placeholder:"FORMAT" enum:"text,json" env:"KABAN_LOG_FORMAT" default:"text" help:"How the log is written to standard error: text, or json, one object per line. Default: ${default}."`
	LogLevel       string        `placeholder:"LEVEL" enum:"debug,info,warn,error" env:"KABAN_LOG_LEVEL" default:"info" help:"The least level of lines in the log: debug, info, warn or error. Default: ${default}."`
	nodeFlags      `embed:""`
	busFlags       `embed:""`
	Files          string `placeholder:"DIR" env:"KABAN_FILES" help:"With a database: directory of the files of messages, which all nodes share, such as one of a file system over the network. S3 is the other way. With neither there are no files."`
	backupFlags    `embed:""`
	s3Flags        `embed:""`
	Pprof          bool   `env:"KABAN_PPROF" help:"Serve Go's profiles at /debug/pprof/ of the metrics:// address."`
	Config         string `placeholder:"FILE" env:"KABAN_CONFIG" help:"TOML file with the names of these flags as keys, with \"_\" instead of \"-\", and the limits in a table [limits]. Flags and environment variables override it."`

	limits limit.Config // from the configuration file
	erased *ledger.Book // nil: nothing is kept
	acme   certs.ACME   // from the configuration file; without hosts there is none
	// fromFile says of a flag, or of a key without one, by its name, where the
	// configuration file sets it.
	fromFile map[string]string
	problems error             // of the configuration file
	values   map[string]string // of all keys, to compare
}

func (c *serveCommand) home() home { return home{c.Data, c.nodeFlags} }

// dispatcher starts the dispatcher. It reports a store that fails.
func (c *serveCommand) dispatcher(kept store.Store, log *slog.Logger, failed chan<- error) (*dispatch.Dispatcher, error) {
	var first place
	if c.home().isDirectory() {
		first, _ = look(c.Data) // watchData reports it if that fails
	}
	d, err := dispatch.New(context.Background(), kept, dispatch.Options{
		TailBytes: c.TailSize << 10, TailBudget: int64(c.TailBudget) << 20, PageEntries: c.PageSize, Log: log,
		OnBroken: func(err error) { failed <- first.broken(c.Data, err) },
	})
	if err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	return d, nil
}

// start starts the manager and its front ends.
func (c *serveCommand) start(shared *services, kept store.Store, source *certs.Source, limits *limit.Limits, endpoints []*endpoint, clients, newcomers int, log *slog.Logger) (*running, error) {
	handshakes := turns.ForProcessors() // of all listeners
	manager, err := conn.New(conn.Config{
		Submit: shared.rooms.Submit, MaxClients: clients, MaxNewcomers: newcomers, MaxFromAddress: c.MaxFromAddress,
		Turns: handshakes, Heartbeat: c.Heartbeat, Log: log,
	})
	if err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	name := "kaban/" + programVersion()
	var pages *web.Server // before anybody connects
	address := func() string { return pages.Address() }
	lines := server.New(server.Config{Name: name, Accounts: shared.accounts, Web: address, Limits: limits}, shared.rooms, manager)
	config := web.Config{Secure: secureURL(endpoints, source), Name: name, Accounts: shared.accounts, Limits: limits, MaxRequests: requestCapacity(), Turns: handshakes, Origins: c.Origin, BasePath: c.BasePath, Page: page.Handler(), PushKey: shared.pushes.key.Public(), CheckPush: shared.pushes.check, Files: shared.files.kept(), Refusing: refusing(kept, shared.line), Log: log}
	if source != nil && slices.ContainsFunc(endpoints, func(e *endpoint) bool { return e.scheme.name == schemeHTTP }) {
		config.Challenges = source.Handler
	}
	if err := signOn(&config, shared.documents, endpoints, log); err != nil {
		manager.Close()
		return nil, err
	}
	if pages, err = web.New(config, shared.rooms, lines); err != nil {
		manager.Close()
		return nil, usagef("%s: %w", c.named("origin"), err)
	}
	measured, err := c.telemetry(shared, kept, source, limits, manager, lines, pages, log)
	if err != nil {
		pages.Close()
		manager.Close()
		return nil, err
	}
	return &running{manager: manager, lines: lines, pages: pages, certs: source, provider: config.Provider, metrics: measured}, nil
}

// surroundings are what a server has to do with the system around it.
type surroundings struct {
	log           *slog.Logger
	level         *slog.LevelVar // of the log
	certs         *certs.Source  // nil if no listener has TLS
	ends, hangups <-chan os.Signal
	notify        *systemd.Notifier
	args          commandLine
	collect       func() // ends collectLess
	serving       bool   // the listeners are in use: the start cannot begin again
}

// takeSignals returns the signals that end the server and those that do not. restore
// takes that back.
func takeSignals() (ends, hangups chan os.Signal, restore func()) {
	ends = make(chan os.Signal, 2)
	signal.Notify(ends, syscall.SIGTERM, syscall.SIGINT)
	// By default both of these end a program: a terminal that is closed, and a log
	// whose reader is gone.
	hangups = make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	signal.Ignore(syscall.SIGPIPE)
	return ends, hangups, func() {
		signal.Stop(ends)
		signal.Stop(hangups)
		signal.Reset(syscall.SIGPIPE)
	}
}

// serve serves all endpoints, and reports a listener that fails.
func serve(run *running, endpoints []*endpoint, serving *sync.WaitGroup, log *slog.Logger, failed chan<- error) {
	for _, e := range endpoints {
		announce(log, e)
		serving.Go(func() {
			if err := e.scheme.serve(run, e.listener, e.rules); !errors.Is(err, conn.ErrClosed) && !errors.Is(err, web.ErrClosed) && !errors.Is(err, telemetry.ErrClosed) {
				failed <- fmt.Errorf("a listener failed: %w", err)
			}
		})
	}
}

// Run runs a server until a signal ends it.
func (c *serveCommand) Run(std streams, args commandLine) (err error) {
	collect := collectLess()
	defer collect()
	endpoints, policy, err := c.validate()
	if err != nil {
		return err
	}
	log, level, err := c.newLog(std)
	if err != nil {
		return err
	}
	defer log.Close()
	if err := keepNoCore(); err != nil {
		return err
	}
	source, err := c.certificates(endpoints, log.Logger)
	if err != nil {
		return err
	}
	ends, hangups, restore := takeSignals()
	defer restore()
	if err := c.inherit(endpoints, policy); err != nil {
		return err
	}
	if err := listen(endpoints); err != nil {
		return err
	}
	defer closeAll(endpoints)
	if c.home().isDirectory() {
		c.erased = c.book(log.Logger)
	}
	release, err := c.home().take()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	kept, err := c.open(ends, log.Logger)
	if err != nil {
		return unlessEnded(err, log.Logger)
	}
	defer func() { err = errors.Join(err, closeStore(kept, err)) }()
	around := &surroundings{log: log.Logger, level: level, certs: source, ends: ends, hangups: hangups, notify: systemd.NewNotifier(log.Logger), args: args, collect: collect}
	// A start that loses its database, or finds that it stores nothing without its standby, begins again.
	var failed error
	err = awaitDatabase(ends, log.Logger, func(ctx context.Context) error {
		failed = c.over(ctx, kept, policy, endpoints, around)
		if isAway := errors.Is(failed, store.ErrUnavailable) || errors.Is(failed, store.ErrUnknown); around.serving || !isAway && ctx.Err() == nil {
			return nil
		}
		return explainDatabase(failed)
	})
	if err == nil {
		err = failed
	}
	return unlessEnded(err, log.Logger)
}

// unlessEnded returns the error of a start, or nil if a signal has ended it.
func unlessEnded(err error, log *slog.Logger) error {
	if errors.Is(err, errStartEnded) {
		log.Info("ended before the server was ready")
		return nil
	}
	return err
}

// closeStore closes a store after everything that used it has ended, with an error or not. What
// was known before is not reported again.
func closeStore(kept store.Store, before error) error {
	err := kept.Close()
	switch isBroken := errors.Is(err, store.ErrBroken); {
	case err == nil || isBroken && before != nil:
		return nil
	case isBroken:
		return fmt.Errorf("the store failed while the server ended; check the disk and the data directory before you start the server again (%w)", err)
	}
	return fmt.Errorf("the store could not be closed properly; the next start reads what it has left: make room on the disk, or check it, and run \"kaban check\" (%w)", err)
}

// over serves a store until a signal or a failure ends it. The end of ctx ends only the start.
func (c *serveCommand) over(start context.Context, kept store.Store, policy peer.Policy, endpoints []*endpoint, around *surroundings) error {
	log := around.log
	failed := make(chan error, len(endpoints)+2) // of each listener, of the store and of its directory
	others, err := c.meet(start, kept, log)
	if err != nil {
		return err
	}
	defer others.close()
	dispatcher, err := c.dispatcher(others.over(kept), log, failed)
	if err != nil {
		return err
	}
	defer dispatcher.Close()
	found := openIndex(kept, c.home().dir(), log)
	defer closeIndex(found, log)
	dispatcher.SetOnGrown(found.Grew)
	traced, err := trace.Setup(context.Background(), programVersion(), log)
	if err != nil {
		return err
	}
	defer flush(traced, log)
	clients, newcomers := c.capacity(log)
	limits, err := limit.New(c.limits, conn.Stopwatch())
	if err != nil {
		return err
	}
	shared, err := c.services(start, others.over(kept), dispatcher, found, limits, policy, log)
	if err != nil {
		return err
	}
	defer shared.close(log)
	others.follow(shared)
	line, err := c.connect(kept, dispatcher, log)
	if err != nil {
		return err
	}
	defer line.close(log)
	shared.line = line
	if shared.pushes, err = c.startPushes(shared, kept, endpoints, around.certs, log); err != nil {
		return err
	}
	var serving sync.WaitGroup
	defer serving.Wait() // for what the next two end
	ctx, end := context.WithCancel(context.Background())
	defer end()
	run, err := c.start(shared, kept, around.certs, limits, endpoints, clients, newcomers, log)
	if err != nil {
		return err
	}
	defer run.close()
	claim, err := newClaim(start, shared)
	if err != nil {
		return err
	}
	processors.Spare() // what counts processors has done so
	serving.Go(func() { giveBack(ctx, func() { shrink(kept) }) })
	serving.Go(func() { flushFailures(ctx, shared.accounts, log) })
	serving.Go(func() {
		others.lead(ctx, "upkeep", func(ctx context.Context) { upkeep(ctx, shared.accounts, shared.rooms, log) })
	})
	if others != nil { // alone, a server has no tasks that others have left
		serving.Go(func() { others.lead(ctx, "tasks", shared.rooms.DoTasks) })
	}
	serving.Go(func() {
		others.lead(ctx, "retention", func(ctx context.Context) {
			shared.rooms.Retain(ctx, func(err error) {
				log.Warn("deleting messages that are too old is not complete; it is tried again in an hour", "error", err)
			})
		})
	})
	if shared.files != nil {
		serving.Go(func() { shared.files.tend(ctx, shared.rooms) })
		serving.Go(func() {
			others.lead(ctx, "files", func(ctx context.Context) { shared.files.sweep(ctx, shared.rooms) })
		})
	}
	around.serving = true
	serve(run, endpoints, &serving, log, failed)
	if around.certs != nil {
		around.certs.Start()
		defer around.certs.Close()
	}
	if claim != "" {
		if err := offerClaim(claim, shared, run.pages, endpoints, log); err != nil {
			return err
		}
	}
	state := &serverState{
		command: c, kept: kept, shared: shared, run: run, endpoints: endpoints, clients: clients,
		rate: newRate(stored(dispatcher)), started: time.Now(),
	}
	serving.Go(func() { state.rate.sample(ctx) })
	serving.Go(func() { line.watch(ctx) })
	if c.home().isDirectory() {
		serving.Go(func() { watchData(ctx, c.Data, kept, abandon(kept, failed)) })
	}
	if shared.backups != nil {
		serving.Go(func() { shared.backups.Run(ctx) })
	}
	defer listenAdmin(c.home().dir(), state.handler(run.pages.OperatorHandler()), log)()
	if c.Data == inMemory {
		log.Warn("messages are kept in memory only: they are gone when this server ends", "data", c.Data)
	}
	log.Info("ready", "version", programVersion(), "data", c.Data, "max_clients", clients)
	around.notify.Ready(run.status())
	serving.Go(func() { watch(ctx, run.status, dispatcher, around.notify, log) })

	return c.wait(run, endpoints, around, failed, c.newReloading(around, limits, run))
}

// forgetIn returns a function that has a search index forget runs of entries.
func forgetIn(x *index.Index) func(context.Context, []store.Run) error {
	return func(ctx context.Context, runs []store.Run) error {
		ranges := make([]index.Range, len(runs))
		for i, run := range runs {
			ranges[i] = index.Range{Room: run.Room, First: run.After + 1, Last: run.Last}
		}
		return x.Forget(ctx, ranges...)
	}
}

// services starts the services of a server.
func (c *serveCommand) services(ctx context.Context, kept store.Store, d *dispatch.Dispatcher, found *index.Index, limits *limit.Limits, policy peer.Policy, log *slog.Logger) (*services, error) {
	options := account.Options{Log: log, SignIns: limits.SignIns, Exempt: exempt(policy)}
	blobs, err := c.blobs(kept, log)
	if err != nil {
		return nil, err
	}
	pages, err := newPreviews(log)
	if err != nil {
		return nil, err
	}
	endHashing := hashApart(&options, log)
	rooms := service.Options{MaxContent: c.MaxContent, Rooms: limits.Rooms, Searches: limits.Searches, Exempt: exempt(policy), EraseIndex: found.Erase, ForgetIndex: forgetIn(found)}
	rooms.Previewer = pages
	if c.erased != nil {
		rooms.RecordErased = c.erased.RecordAccounts
	}
	shared, err := newServices(ctx, c.home().dir(), kept, blobs, d, rooms, options)
	if err != nil {
		endHashing()
		pages.close()
		return nil, err
	}
	shared.previews = pages
	shared.endHashing = endHashing
	shared.index = found
	shared.rooms.SetIndex(found)
	shared.backups = c.backups(kept, log)
	return shared, nil
}

// errStartEnded means that a signal came while the server was starting.
var errStartEnded = errors.New("the start was interrupted")

// blobs opens the store of files; nil in memory, where there are none. To look for all files in another service may take
// minutes, so a signal ends that with errStartEnded.
func (c *serveCommand) blobs(kept store.Store, log *slog.Logger) (files.Store, error) {
	if c.Data == inMemory {
		return nil, nil
	}
	// The signal also goes to the channel of takeSignals, for a start that is further by then.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	chosen, err := c.chosenPlace(ctx, kept)
	if err != nil {
		return nil, err
	}
	if c.home().isDatabase() && !chosen.isSet() {
		log.Warn("nobody can send or open files, because nodes have no place for them in common: --files names a directory that all share, or --s3-endpoint a bucket")
		return nil, nil
	}
	blobs, err := takePlace(ctx, c.home().dir(), chosen, func() ([]blob, error) { return blobsIn(ctx, kept) }, log)
	if err != nil && ctx.Err() != nil {
		return nil, errStartEnded
	}
	if err != nil {
		return nil, ofData(c.Data, err)
	}
	return blobs, nil
}

// wait drains the front ends after a failure or a signal.
func (c *serveCommand) wait(run *running, endpoints []*endpoint, around *surroundings, failed <-chan error, reload *reloading) error {
	around.collect()
	for {
		select {
		case err := <-failed:
			return errors.Join(err, c.drain(run, endpoints, around))
		case <-around.ends:
			return c.drain(run, endpoints, around)
		case <-around.hangups:
			around.notify.Reloading()
			reload.do()
			around.notify.Ready(run.status())
		}
	}
}

// drain shuts down the front ends of all endpoints, gracefully unless a second
// signal comes or it takes too long.
func (c *serveCommand) drain(run *running, endpoints []*endpoint, around *surroundings) error {
	around.notify.Stopping("draining " + display.Count(run.manager.Clients(), "client"))
	ctx, cancel := context.WithTimeoutCause(context.Background(), c.DrainTimeout, fmt.Errorf("--drain-timeout %s is over", c.DrainTimeout))
	defer cancel()
	ctx, interrupt := context.WithCancelCause(ctx)
	defer interrupt(nil)
	watched := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		select {
		case <-around.ends:
			interrupt(errors.New("a second signal came"))
		case <-watched:
		}
	})
	err := drainAll(ctx, run, endpoints)
	close(watched)
	watching.Wait()
	if err != nil {
		return fmt.Errorf("the server ended before everybody was told: %w", err)
	}
	around.log.Info("stopped")
	return nil
}
