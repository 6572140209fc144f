package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	"kaban/internal/account"
	"kaban/internal/store"
	"kaban/internal/web"
)

// publicOrigins returns the origins of the page: those that the operator has named, or
// else the listener of https and how a browser on this machine finds those of HTTP.
func publicOrigins(named []string, secure string, endpoints []*endpoint) []string {
	if len(named) > 0 {
		return named
	}
	var origins []string
	if secure != "" {
		origins = append(origins, secure)
	}
	for _, e := range endpoints {
		at, ok := e.listener.Addr().(*net.TCPAddr)
		if e.scheme.name != schemeHTTP || !ok || !at.IP.IsLoopback() {
			continue
		}
		port := strconv.Itoa(at.Port)
		// Passkeys need a name, so that comes first.
		origins = append(origins, "http://"+net.JoinHostPort("localhost", port), "http://"+net.JoinHostPort(at.IP.String(), port))
	}
	return origins
}

// signOn adds the ways to sign in that depend on the address of the server: passkeys,
// where they can work, and single sign-on, which the settings turn on.
func signOn(config *web.Config, kept store.Documents, endpoints []*endpoint, log *slog.Logger) error {
	origins := publicOrigins(config.Origins, config.Secure, endpoints)
	if len(origins) == 0 {
		return nil // there is no page
	}
	keys, err := account.NewPasskeys(kept, origins, time.Now)
	if unavailable, ok := errors.AsType[*account.UnavailableError](err); ok {
		log.Info("passkeys are not available", "reason", unavailable.Reason)
	} else if err != nil {
		return fmt.Errorf("start: %w", err)
	} else {
		config.Passkeys = keys
		damaged := 0
		err := kept.View(context.Background(), func(tx store.Tx) (err error) {
			damaged, err = keys.CheckMoved(tx)
			return err
		})
		if damaged > 0 {
			log.Error("passkeys are damaged, and do not work. \"kaban check\" says which", "passkeys", damaged)
		}
		if moved, ok := errors.AsType[*account.MovedError](err); ok {
			log.Warn("passkeys that do not work any more", "error", moved)
		} else if errors.Is(err, store.ErrDamaged) {
			log.Error("passkeys cannot be read, so it is not known which of them do not work any more. \"kaban check\" says what is damaged", "err", err)
		} else if err != nil {
			return fmt.Errorf("start: %w", err)
		}
	}
	redirects := make([]string, len(origins))
	for i, origin := range origins {
		redirects[i] = origin + config.BasePath + web.CallbackPath
	}
	config.Provider = account.NewProvider(account.ProviderOptions{Redirects: redirects, Log: log})
	return nil
}
