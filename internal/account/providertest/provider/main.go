// Command provider serves the OpenID provider of the tests on a port of loopback, for
// tests of a browser. Its arguments are the id of a client, the secret of that client,
// and the address that the client is called back at. It prints its issuer, and ends with
// its standard input.
package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "provider:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) != 3 {
		return fmt.Errorf("the arguments are CLIENT SECRET REDIRECT, not %q", arguments)
	}
	slog.SetDefault(slog.New(slog.DiscardHandler)) // the example logs every request
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	issuer := fmt.Sprintf("http://localhost:%d", l.Addr().(*net.TCPAddr).Port)
	storage.RegisterClients(storage.WebClient(arguments[0], arguments[1], arguments[2]))
	handler := exampleop.SetupServer(issuer, storage.NewStorage(storage.NewUserStore(issuer)), nil, false)
	fmt.Println(issuer)
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := http.Serve(l, handler); !errors.Is(err, net.ErrClosed) {
			fmt.Fprintln(os.Stderr, "provider:", err)
		}
	})
	_, err = io.Copy(io.Discard, os.Stdin)
	err = errors.Join(err, l.Close())
	serving.Wait()
	return err
}
