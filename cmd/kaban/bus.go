package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"

	"kaban/internal/bus"
	"kaban/internal/bus/embedded"
	"kaban/internal/bus/local"
	"kaban/internal/bus/nats"
	"kaban/internal/people"
	"kaban/internal/secretfile"
	"kaban/internal/store"
)

// No other file of this package knows a bus driver.

// Kinds of --bus; any other is the addresses of a NATS.
const (
	busLocal    = "local"
	busEmbedded = "embedded"
)

// busFlags say how nodes on one database tell each other what is new, and are the table [cluster] of
// the configuration file.
type busFlags struct {
	Bus                string   `placeholder:"URL" env:"KABAN_BUS" key:"cluster.bus" default:"local" help:"How the nodes on one database tell each other what is new. embedded: each runs a NATS within itself (--peers). nats://HOST:PORT or tls://HOST:PORT, several with commas: a NATS of your own. local: not at all, and each looks into the database every second. Default: ${default}."`
	Peers              []string `placeholder:"HOST:PORT" env:"KABAN_PEERS" key:"cluster.peers" help:"With --bus embedded: where other nodes listen; may be given several times. This node may be among them."`
	BusListen          string   `placeholder:"HOST:PORT" env:"KABAN_BUS_LISTEN" key:"cluster.listen" default:"0.0.0.0:6450" help:"With --bus embedded: where this node listens for other nodes, which have to know the secret of the cluster; port 0 picks a free one. Default: ${default}."`
	BusUser            string   `placeholder:"NAME" env:"KABAN_BUS_USER" key:"cluster.user" help:"User name at a NATS of your own."`
	BusPasswordFile    string   `placeholder:"FILE" env:"KABAN_BUS_PASSWORD_FILE" key:"cluster.password_file" help:"File with the password of that user, or credential:NAME for a credential of systemd."`
	BusCredentialsFile string   `placeholder:"FILE" env:"KABAN_BUS_CREDENTIALS_FILE" key:"cluster.credentials_file" help:"File with a JWT and its key for a NATS of your own, in place of a user name."`
	BusCA              string   `name:"bus-ca" placeholder:"FILE" env:"KABAN_BUS_CA" key:"cluster.ca" help:"Certificates in PEM that the one of a NATS at a tls:// address must lead to. By default those of the system."`
}

// clusterTable is what "kaban config print" says of the table [cluster].
const clusterTable = "Several nodes on one database (docs/cluster.md)."

// servers returns the addresses of a NATS; the first one's scheme is that of those without one.
func (f *busFlags) servers() (addresses []string) {
	scheme, _, _ := strings.Cut(f.Bus, "://")
	for address := range strings.SplitSeq(f.Bus, ",") {
		address = strings.TrimSpace(address)
		if !strings.Contains(address, "://") {
			address = scheme + "://" + address
		}
		addresses = append(addresses, address)
	}
	return addresses
}

// checkBus refuses flags of a bus that cannot be meant.
func (c *serveCommand) checkBus() error {
	isNATS := c.Bus != busLocal && c.Bus != busEmbedded
	var problems []error
	problem := func(flag, format string, args ...any) {
		problems = append(problems, usagef("%s: %s", c.named(flag), fmt.Sprintf(format, args...)))
	}
	switch {
	case c.Bus != busLocal && !isDatabase(c.Data):
		problem("bus", "several nodes have their messages in one database; name it: --data postgres://ROLE@HOST/NAME; for a data directory leave this out, and KABAN_BUS")
	case isNATS && slices.ContainsFunc(c.servers(), func(a string) bool {
		return !strings.HasPrefix(a, "nats://") && !strings.HasPrefix(a, "tls://")
	}):
		problem("bus", "it must be %s, %s, or addresses such as nats://127.0.0.1:4222 or tls://nats1.example.org:4222,nats2.example.org:4222", busLocal, busEmbedded)
	}
	if c.Bus != busEmbedded && len(c.Peers) > 0 {
		problem("peers", "only nodes with --bus %s connect to each other", busEmbedded)
	}
	for _, peer := range c.Peers {
		if _, port, err := net.SplitHostPort(peer); err != nil || port == "" || port == "0" {
			problem("peers", "%q is not like HOST:PORT", peer)
		}
	}
	if _, _, err := net.SplitHostPort(c.BusListen); err != nil {
		problem("bus-listen", "%q is not like HOST:PORT", c.BusListen)
	}
	for _, f := range []struct{ flag, value string }{
		{"bus-user", c.BusUser}, {"bus-password-file", c.BusPasswordFile}, {"bus-credentials-file", c.BusCredentialsFile}, {"bus-ca", c.BusCA},
	} {
		if f.value != "" && !isNATS {
			problem(f.flag, "it is for a NATS of your own; name its address with --bus")
		}
	}
	if (c.BusUser == "") != (c.BusPasswordFile == "") {
		problem("bus-user", "a user and the file with the password, --bus-password-file, belong together")
	}
	return errors.Join(problems...)
}

// secretSize is how many random bytes the secret of a cluster has.
const secretSize = 32

// openBus opens the bus of a node; nil for a server with data of its own. The caller closes it.
func (c *serveCommand) openBus(kept store.Store, log *slog.Logger) (bus.Bus, error) {
	if !isDatabase(c.Data) {
		return nil, nil
	}
	if c.Bus == busLocal {
		log.Info("this node has no bus, so it shows messages of other nodes a second late; --bus has others")
		return new(local.Network).Open(), nil
	}
	text, err := people.Common(context.Background(), kept, "secret", func() ([]byte, error) {
		random := make([]byte, secretSize)
		rand.Read(random)
		return []byte(hex.EncodeToString(random)), nil
	})
	if err != nil {
		return nil, err
	}
	secret := string(text)
	if c.Bus != busEmbedded {
		return c.openNATS(secret, log)
	}
	b, err := embedded.Open(embedded.Options{Listen: c.BusListen, Peers: c.Peers, Secret: secret, Log: log})
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", c.named("bus-listen"), c.BusListen, err)
	}
	log.Info("listening for other nodes", "address", b.Address(), "peers", strings.Join(c.Peers, " "))
	return b, nil
}

// openNATS opens a bus over a NATS of the operator.
func (c *serveCommand) openNATS(secret string, log *slog.Logger) (bus.Bus, error) {
	options := nats.Options{
		URLs: c.servers(), AllowPlain: c.Insecure, Secret: secret, Log: log,
		Username: c.BusUser, CredentialsFile: c.BusCredentialsFile,
	}
	// Several clusters may share one NATS, and do not hear each other.
	prefix, err := bus.Derive(secret, "subjects", 8)
	if err != nil {
		return nil, err
	}
	options.Prefix = "kaban." + hex.EncodeToString(prefix)
	if c.BusPasswordFile != "" {
		var warning string
		if options.Password, warning, err = secretfile.Read(c.BusPasswordFile, maxPassword); err != nil {
			return nil, fmt.Errorf("the password for the bus: %w", err)
		}
		if warning != "" {
			log.Warn(warning)
		}
	}
	if c.BusCA != "" {
		text, err := os.ReadFile(c.BusCA)
		if err != nil {
			return nil, fmt.Errorf("the certificates of the bus: %w", err)
		}
		options.TLS = &tls.Config{RootCAs: x509.NewCertPool()}
		if !options.TLS.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("the certificates of the bus: %s has none in PEM", c.BusCA)
		}
	}
	b, err := nats.Open(options)
	if bad, ok := errors.AsType[*nats.AddressError](err); ok {
		return nil, usagef("%s: %w; or allow that with --insecure", c.named("bus"), bad)
	}
	return b, err
}

// nodesOf returns how many other nodes are connected to this one; nil if its bus does not know that.
func nodesOf(b bus.Bus) func() int {
	if b, ok := b.(*embedded.Bus); ok {
		return b.Routes
	}
	return nil
}
