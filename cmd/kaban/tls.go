package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"kaban/internal/certs"
	"kaban/internal/config"
)

// The tables of the configuration file for TLS.
const (
	tlsTable  = "tls"
	acmeTable = tlsTable + ".acme"
)

// acmeFolder is where the data directory has the account and the certificates of ACME.
const acmeFolder = "acme"

// acmeKeys are the keys of the configuration file for ACME.
func acmeKeys() []fileKey {
	return []fileKey{
		{
			Key: config.Key{Name: acmeTable + ".hosts", Kind: config.List, Help: "Names of this server, such as chat.example.org, that a certificate is asked for. The ACME server must reach this server at them, at port 443 or 80. Without hosts there is no ACME."},
			set: func(c *serveCommand, texts []string) error {
				c.acme.Hosts = append([]string(nil), texts...)
				return nil
			},
			get: func(c *serveCommand) any { return c.acme.Hosts },
		},
		{
			Key: config.Key{Name: acmeTable + ".email", Default: []string{""}, Help: "Address that the ACME server may write to."},
			set: func(c *serveCommand, texts []string) error { c.acme.Email = texts[0]; return nil },
			get: func(c *serveCommand) any { return c.acme.Email },
		},
		{
			Key: config.Key{Name: acmeTable + ".directory", Default: []string{certs.LetsEncrypt}, Help: "Directory of the ACME server; the default is that of Let's Encrypt."},
			set: func(c *serveCommand, texts []string) error { c.acme.Directory = texts[0]; return nil },
			get: func(c *serveCommand) any { return c.acme.Directory },
		},
	}
}

// tlsSettings returns where certificates come from.
func (c *serveCommand) tlsSettings() certs.Settings {
	s := certs.Settings{Cert: c.TLSCert, Key: c.TLSKey}
	if len(c.acme.Hosts) > 0 || c.acme.Email != "" {
		acme := c.acme
		if c.home().isDirectory() {
			acme.Cache = filepath.Join(c.Data, acmeFolder)
		}
		s.ACME = &acme
	}
	return s
}

// checkTLS returns an error if an address needs a certificate and there is none, or if
// the settings are wrong.
func (c *serveCommand) checkTLS(endpoints []*endpoint) error {
	err := c.tlsSettings().Check()
	secure := slices.IndexFunc(endpoints, func(e *endpoint) bool { return e.scheme.tls })
	switch {
	case err == nil || errors.Is(err, certs.ErrNone) && secure < 0:
		return nil
	case errors.Is(err, certs.ErrNone):
		return usagef("%s %s needs a certificate: name its files with --tls-cert and --tls-key, or the hosts for ACME as [tls] acme = { hosts = [\"chat.example.org\"] } in the configuration file; behind a proxy that encrypts, listen at http://127.0.0.1:6480 instead",
			c.named("listen"), endpoints[secure].url)
	}
	if bad, ok := errors.AsType[*certs.SettingError](err); ok {
		return usagef("%s: %s", c.acmeAt(bad.Key), bad.Problem)
	}
	for _, flag := range []string{"tls-cert", "tls-key"} {
		if at, ok := c.fromFile[flag]; ok {
			return usagef("%s: %w", at, err)
		}
	}
	return usagef("TLS: %w", err)
}

// acmeAt returns the place of a setting of ACME in the configuration file: its line, or
// the first one of the table if it is missing.
func (c *serveCommand) acmeAt(key string) string {
	for _, k := range []string{key, "hosts", "email", "directory"} {
		if at, ok := c.fromFile[acmeTable+"."+k]; ok {
			return at
		}
	}
	return acmeTable
}

// certificates opens where certificates come from; nil if no listener needs one.
func (c *serveCommand) certificates(endpoints []*endpoint, log *slog.Logger) (*certs.Source, error) {
	settings := c.tlsSettings()
	if !slices.ContainsFunc(endpoints, func(e *endpoint) bool { return e.scheme.tls }) {
		if settings.Check() == nil {
			log.Warn("there is a certificate, but no https:// or tls:// address to listen at, so nothing uses it")
		}
		return nil, nil
	}
	source, err := certs.Open(settings, certs.Options{Log: log})
	if errors.Is(err, certs.ErrPair) {
		return nil, usageError{err}
	} else if err != nil {
		return nil, fmt.Errorf("certificates: %w", err)
	}
	return source, nil
}

// secureURL returns the address of the first listener of https as people have it, once
// it listens; "" if there is none.
func secureURL(endpoints []*endpoint, source *certs.Source) string {
	i := slices.IndexFunc(endpoints, func(e *endpoint) bool { return e.scheme.name == schemeHTTPS })
	if i < 0 {
		return ""
	}
	at, ok := endpoints[i].listener.Addr().(*net.TCPAddr)
	if !ok {
		return ""
	}
	host := endpoints[i].url.Hostname()
	if names := source.Hosts(); len(names) > 0 {
		host = names[0]
	} else if at.IP.IsUnspecified() {
		host = "localhost"
	}
	address := schemeHTTPS + "://" + net.JoinHostPort(host, strconv.Itoa(at.Port))
	if at.Port == 443 {
		address = schemeHTTPS + "://" + hostInURL(host)
	}
	return address
}

// hostInURL returns a host as a URL without a port has it.
func hostInURL(host string) string {
	if _, err := netip.ParseAddr(host); err == nil && strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}
