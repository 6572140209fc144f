package certs

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/crypto/acme"
)

// The challenges that the server can meet: RFC 8737, and RFC 8555, section 8.3.
const (
	overTLS  = "tls-alpn-01"
	overHTTP = "http-01"
)

// challengePath is where an ACME server looks over HTTP.
const challengePath = "/.well-known/acme-challenge/"

// challenges are what ACME servers ask for at the moment. All methods are safe for
// concurrent use.
type challenges struct {
	overHTTP atomic.Bool // a listener of HTTP answers

	mu    sync.Mutex
	pairs map[string]*tls.Certificate // by host
	texts map[string]string           // by path
}

// types returns the types that can be met, in the order to try them.
func (c *challenges) types() []string {
	if c.overHTTP.Load() {
		return []string{overTLS, overHTTP}
	}
	return []string{overTLS}
}

// meet answers a challenge until undo.
func (c *challenges) meet(client *acme.Client, challenge *acme.Challenge, host string) (undo func(), err error) {
	if challenge.Type == overHTTP {
		text, err := client.HTTP01ChallengeResponse(challenge.Token)
		if err != nil {
			return nil, fmt.Errorf("answer the challenge: %w", err)
		}
		return put(c, &c.texts, client.HTTP01ChallengePath(challenge.Token), text), nil
	}
	pair, err := client.TLSALPN01ChallengeCert(challenge.Token, host)
	if err != nil {
		return nil, fmt.Errorf("answer the challenge: %w", err)
	}
	return put(c, &c.pairs, host, &pair), nil
}

// put notes an answer and returns how to forget it.
func put[V any](c *challenges, answers *map[string]V, key string, answer V) (undo func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if *answers == nil {
		*answers = make(map[string]V)
	}
	(*answers)[key] = answer
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(*answers, key)
	}
}

// config returns the configuration of a handshake that asks for a challenge; nil for
// any other.
func (c *challenges) config(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	if len(hello.SupportedProtos) != 1 || hello.SupportedProtos[0] != acme.ALPNProto {
		return nil, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	pair := c.pairs[strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))]
	if pair == nil {
		return nil, fmt.Errorf("no challenge for %.100q is under way", hello.ServerName)
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{acme.ALPNProto}, Certificates: []tls.Certificate{*pair},
		SessionTicketsDisabled: true,
	}, nil
}

// handler answers challenges over HTTP and leaves the rest to next.
func (c *challenges) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, challengePath) {
			next.ServeHTTP(w, r)
			return
		}
		c.mu.Lock()
		text, ok := c.texts[r.URL.Path]
		c.mu.Unlock()
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream") // RFC 8555, section 8.3
		w.Write([]byte(text))
	})
}
