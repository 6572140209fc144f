package certs

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// accountName is where the cache has the key of the account.
const accountName = "acme_account+key"

// nonceTries is how often a request is repeated at once whose nonce the server does not
// take any more (RFC 8555, section 6.5). All other refusals wait for the next attempt.
const nonceTries = 5

// obtain gets a new certificate with a new key for a host. The error is ErrRefused.
func (m *managed) obtain(ctx context.Context, h *host) (*tls.Certificate, error) {
	client, err := m.signUp(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, explain(err))
	}
	// The first attempt tries everything. Each further one tries one thing, as refused
	// validations are limited.
	types := m.challenges.types()
	if h.failures > 0 {
		i := h.failures % len(types)
		types = types[i : i+1]
	}
	var problems []error
	for _, kind := range types {
		pair, err := m.order(ctx, client, h.name, kind)
		if err == nil {
			return pair, nil
		}
		problems = append(problems, fmt.Errorf("%s: %w", kind, explain(err)))
		if !isValidation(err) {
			break // another way to prove who is there does not help
		}
	}
	return nil, fmt.Errorf("%w: %w", ErrRefused, errors.Join(problems...))
}

// order goes through an order (RFC 8555, section 7.1) with one type of challenge.
func (m *managed) order(ctx context.Context, client *acme.Client, name, kind string) (*tls.Certificate, error) {
	order, err := client.AuthorizeOrder(ctx, acme.DomainIDs(name))
	if err != nil {
		return nil, fmt.Errorf("order: %w", err)
	}
	for _, address := range order.AuthzURLs {
		if err := m.prove(ctx, client, address, name, kind); err != nil {
			return nil, err
		}
	}
	if order, err = client.WaitOrder(ctx, order.URI); err != nil {
		return nil, fmt.Errorf("wait for the order: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{name}}, key)
	if err != nil {
		return nil, fmt.Errorf("write the request: %w", err)
	}
	chain, _, err := client.CreateCertFromOrder(ctx, order, request, true)
	if err != nil {
		return nil, fmt.Errorf("fetch the certificate: %w", err)
	}
	return m.pairOf(name, key, chain)
}

// prove proves that the host is this server.
func (m *managed) prove(ctx context.Context, client *acme.Client, address, name, kind string) error {
	authorization, err := client.GetAuthorization(ctx, address)
	if err != nil {
		return fmt.Errorf("look at the authorization: %w", err)
	}
	if authorization.Status == acme.StatusValid {
		return nil // proved not long ago
	}
	i := slices.IndexFunc(authorization.Challenges, func(c *acme.Challenge) bool { return c.Type == kind })
	if i < 0 {
		return &acme.AuthorizationError{URI: address, Identifier: name, Errors: []error{errors.New("the server does not offer this type of challenge")}}
	}
	undo, err := m.challenges.meet(client, authorization.Challenges[i], name)
	if err != nil {
		return err
	}
	defer undo()
	if _, err := client.Accept(ctx, authorization.Challenges[i]); err != nil {
		return fmt.Errorf("accept the challenge: %w", err)
	}
	if _, err := client.WaitAuthorization(ctx, address); err != nil {
		return fmt.Errorf("wait for the authorization: %w", err)
	}
	return nil
}

// isValidation reports whether the ACME server did not find this server at the host.
func isValidation(err error) bool {
	_, ok := errors.AsType[*acme.AuthorizationError](err)
	return ok
}

// explain adds what to do to an error.
func explain(err error) error {
	refusal, isRefusal := errors.AsType[*acme.Error](err)
	switch {
	case isValidation(err):
		return fmt.Errorf("%w; the ACME server must find this server at port 443 of the host, or at port 80 with an http:// address to listen at: check the DNS, the firewall and the ports", err)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w; the ACME server did not finish within %s", err, attemptTimeout)
	case isRefusal:
		if _, ok := acme.RateLimit(refusal); ok {
			return fmt.Errorf("%w; the ACME server has had too many requests for this host, so nothing but waiting helps", err)
		}
		return err
	}
	return err
}

// signUp returns a client with an account.
func (m *managed) signUp(ctx context.Context) (*acme.Client, error) {
	m.accountMu.Lock()
	defer m.accountMu.Unlock()
	if m.client != nil {
		return m.client, nil
	}
	key, err := m.accountKey(ctx)
	if err != nil {
		return nil, err
	}
	client := &acme.Client{Key: key, HTTPClient: m.options.Client, DirectoryURL: m.settings.Directory, UserAgent: "kaban", RetryBackoff: retryNonce}
	account := new(acme.Account)
	if m.settings.Email != "" {
		account.Contact = []string{"mailto:" + m.settings.Email}
	}
	if _, err := client.Register(ctx, account, acme.AcceptTOS); err != nil && !errors.Is(err, acme.ErrAccountAlreadyExists) {
		return nil, fmt.Errorf("make an account: %w", err)
	}
	m.client = client
	return client, nil
}

// retryNonce is how long the client waits before it repeats a request by itself.
func retryNonce(n int, _ *http.Request, answer *http.Response) time.Duration {
	if answer.StatusCode == http.StatusBadRequest && n <= nonceTries {
		return time.Millisecond
	}
	return 0
}

// accountKey returns the key of the account, which may be new.
func (m *managed) accountKey(ctx context.Context) (crypto.Signer, error) {
	data, err := m.cache.Get(ctx, accountName)
	if err == nil {
		if block, _ := pem.Decode(data); block != nil {
			if key, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
				return key, nil
			}
		}
		m.options.Log.Warn("the key of the ACME account cannot be read, so there will be a new account", "directory", m.settings.Cache)
	} else if !errors.Is(err, autocert.ErrCacheMiss) {
		return nil, fmt.Errorf("read the key of the account: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	text, err := keyPEM(key)
	if err != nil {
		return nil, err
	}
	if err := m.cache.Put(ctx, accountName, text); err != nil {
		return nil, fmt.Errorf("store the key of the account; make the directory %s writable for the server: %w", m.settings.Cache, err)
	}
	return key, nil
}

// pairOf returns a certificate in use, if it is good for a host.
func (m *managed) pairOf(name string, key crypto.Signer, chain [][]byte) (*tls.Certificate, error) {
	if len(chain) == 0 {
		return nil, errors.New("the certificate is empty")
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return nil, fmt.Errorf("read the certificate: %w", err)
	}
	public, ok := key.Public().(*ecdsa.PublicKey)
	now := m.options.Clock.Now()
	switch {
	case !ok || !public.Equal(leaf.PublicKey):
		return nil, errors.New("the certificate is for another key")
	case now.After(leaf.NotAfter) || now.Before(leaf.NotBefore):
		return nil, fmt.Errorf("the certificate is good from %s to %s only, and this machine has %s; check its clock", day(leaf.NotBefore), day(leaf.NotAfter), day(now))
	}
	if err := leaf.VerifyHostname(name); err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: chain, PrivateKey: key, Leaf: leaf}, nil
}

// load returns the stored certificate of a host.
func (m *managed) load(name string) (*tls.Certificate, error) {
	data, err := m.cache.Get(context.Background(), name)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(data, data)
	if err != nil {
		return nil, err
	}
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, errors.New("the key cannot sign")
	}
	return m.pairOf(name, key, pair.Certificate)
}

// store stores the certificate of a host, first the key and then the chain, in one file.
func (m *managed) store(ctx context.Context, name string, pair *tls.Certificate) error {
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return errors.New("the key is of another type")
	}
	text, err := keyPEM(key)
	if err != nil {
		return err
	}
	for _, der := range pair.Certificate {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return m.cache.Put(ctx, name, text)
}

func keyPEM(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("write a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}
