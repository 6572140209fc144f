package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"kaban/internal/account"
	"kaban/internal/web"
)

// claimName is the file in the data directory that has the link of the claim, while a
// server runs that has no owner.
const claimName = "claim"

// claimFile is that file. All methods are safe for concurrent use; those of a nil
// *claimFile do nothing, for a server without a data directory.
type claimFile struct {
	mu   sync.Mutex
	path string
	log  *slog.Logger
}

// newClaimFile returns the file of a data directory.
func newClaimFile(data string, log *slog.Logger) *claimFile {
	if data == inMemory {
		return nil
	}
	return &claimFile{path: filepath.Join(data, claimName), log: log}
}

// write replaces the file. Nobody else can read it, not even for a moment.
func (f *claimFile) write(link string) (err error) {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	draft, err := os.CreateTemp(filepath.Dir(f.path), ".claim-") // with mode 0600
	if err != nil {
		return err
	}
	_, err = draft.WriteString(link + "\n")
	if err = errors.Join(err, draft.Close()); err == nil {
		err = os.Rename(draft.Name(), f.path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(draft.Name()))
	}
	return nil
}

// remove removes the file, if there is one.
func (f *claimFile) remove() {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.log.Warn("the claim is used up, but its file cannot be removed", "error", err)
	}
}

// newClaim makes a new claim if the server has no owner. It returns its secret, or "".
func newClaim(ctx context.Context, shared *services) (string, error) {
	secret, err := shared.accounts.NewClaim(ctx)
	if errors.Is(err, account.ErrClaimed) {
		shared.claim.remove()
		return "", nil
	}
	return secret, err
}

// offerClaim announces the link of a claim. Without a listener of HTTP there is no page to open,
// so it names the command instead.
func offerClaim(secret string, shared *services, pages *web.Server, endpoints []*endpoint, log *slog.Logger) error {
	page := slices.IndexFunc(endpoints, (*endpoint).servesPage)
	switch {
	case page < 0 && shared.claim == nil: // no other command reaches data in memory
		log.Info("this server has no owner, and no page to make one; --listen http://127.0.0.1:6480 adds the page")
		return nil
	case page < 0:
		shared.claim.remove() // of a former start
		log.Info("this server has no owner; \"kaban owner NAME\" makes one")
		return nil
	}
	pages.ListensAt(endpoints[page].listener.Addr())
	link := pages.ClaimLink(secret)
	switch err := shared.claim.write(link); {
	case isFull(err):
		return fmt.Errorf("write the claim: there is no space left on the disk of the data directory; free some and start again: %w", err)
	case err != nil:
		return fmt.Errorf("write the claim: %w", err)
	}
	log.Info("claim", "url", link)
	if isShared(shared.documents) {
		log.Info("only the link of the node that has started last makes an owner; those of other nodes are void")
	}
	return nil
}
