//go:build unix

package e2e

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/rogpeppe/go-internal/testscript"

	"kaban/internal/store/postgres/postgrestest"
)

var (
	overPostgres = flag.Bool("postgres", false, "keep what is said in a PostgreSQL that the tests start, where that makes no difference to users")
	nodeCount    = flag.Int("nodes", 1, "number of nodes that serve a story, behind one address; more than one need -postgres")
)

// keepIn gives a story a database of its own with the flag -postgres. Its commands find that as those
// of a user do, and what belongs to the node where the data directory is otherwise.
func keepIn(env *testscript.Env) error {
	if *nodeCount > 1 && !*overPostgres {
		return errors.New("-nodes needs -postgres")
	}
	if *overPostgres {
		env.Setenv("KABAN_DATA", postgrestest.LastingDatabase(env.T().(testing.TB)))
		env.Setenv("KABAN_STATE", "kaban-data")
	}
	return nil
}

// holds reports whether a condition of stories does: postgres, or nodes for several of them.
func holds(condition string) (bool, error) {
	switch condition {
	case "postgres":
		return *overPostgres, nil
	case "nodes":
		return *nodeCount > 1, nil
	}
	return false, fmt.Errorf("there is no condition %s", condition)
}

// kept are the variables of a story that say where its data are.
func kept(ts *testscript.TestScript) (variables []string) {
	for _, name := range []string{"KABAN_DATA", "KABAN_STATE"} {
		if value := ts.Getenv(name); value != "" {
			variables = append(variables, name+"="+value)
		}
	}
	return variables
}

// apart are the variables that a node of a story has in addition. Nodes count from 1, and all but that
// one have a directory in the directory of the first.
func apart(ts *testscript.TestScript, n int) (variables []string) {
	if !*overPostgres {
		return nil
	}
	state := ts.Getenv("KABAN_STATE")
	variables = []string{"KABAN_FILES=" + filepath.Join(state, "files")}
	if *nodeCount > 1 {
		if n > 1 {
			variables = append(variables, "KABAN_STATE="+filepath.Join(state, fmt.Sprint("node", n)))
		}
		address, err := bus.start()
		ts.Check(err)
		variables = append(variables, "KABAN_BUS=nats://"+address, "KABAN_BUS_USER=kaban", "KABAN_BUS_PASSWORD_FILE="+bus.password)
	}
	return variables
}

// newData returns a --data of a test: a directory that does not exist yet, or with the flag -postgres
// a database.
func newData(t *testing.T) string {
	t.Helper()
	if *overPostgres {
		return postgrestest.LastingDatabase(t)
	}
	return filepath.Join(t.TempDir(), "data")
}

// stateOf returns the variables for commands with a --data, which find the directory of its node by them.
func stateOf(args []string) (variables []string) {
	for i, arg := range args {
		if u, err := url.Parse(arg); i > 0 && args[i-1] == "--data" && err == nil && u.Scheme == "postgres" {
			return []string{"KABAN_STATE=" + filepath.Join(filepath.Dir(binary), "nodes", postgrestest.Name(arg))}
		}
	}
	return nil
}

// bus is the NATS that all stories share.
var bus natsServer

type natsServer struct {
	password string // a file

	sync.Mutex
	server  *server.Server
	serving sync.WaitGroup
	err     error
}

// start returns the address of the NATS, which it starts if there is none.
func (b *natsServer) start() (address string, err error) {
	b.Lock()
	defer b.Unlock()
	if b.server == nil && b.err == nil {
		b.err = b.run()
	}
	if b.err != nil {
		return "", b.err
	}
	return b.server.Addr().(*net.TCPAddr).String(), nil
}

func (b *natsServer) run() (err error) {
	b.password = filepath.Join(filepath.Dir(binary), "password-of-the-bus")
	if err = os.WriteFile(b.password, []byte("password-of-the-bus\n"), 0o600); err != nil {
		return err
	}
	b.server, err = server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true, Username: "kaban", Password: "password-of-the-bus"})
	if err != nil {
		return err
	}
	b.serving.Go(b.server.Start)
	if !b.server.ReadyForConnections(patience) {
		return errors.New("NATS does not start")
	}
	return nil
}

func (b *natsServer) stop() {
	b.Lock()
	defer b.Unlock()
	if b.server != nil {
		b.server.Shutdown()
		b.server.WaitForShutdown()
		b.serving.Wait()
	}
}

// stopStores ends what tests share.
func stopStores() {
	bus.stop()
	postgrestest.Stop()
}
