package web

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"kaban/internal/account"
)

// profileOperations are those on one's own account.
func (s *Server) profileOperations(api huma.API) {
	asks(s, api, toAccounts, aboutPeople("get-account", http.MethodGet, "/v1/account", "Get your account"), s.getAccount)
	asks(s, api, toAccounts, aboutPeople("change-account", http.MethodPatch, "/v1/account", "Change your display name"), s.changeAccount)
	asks(s, api, toAccounts, aboutPeople("get-notifications", http.MethodGet, "/v1/account/notifications", "Get what you want to be notified of"), s.getNotifications)
	asks(s, api, toAccounts, aboutPeople("set-notifications", http.MethodPut, "/v1/account/notifications", "Set what you want to be notified of, for all your devices"), s.setNotifications)
	does(s, api, toAccounts|secret, aboutPeople("set-password", http.MethodPut, "/v1/account/password", "Set your password; needs a fresh sign-in and ends your other devices"), s.setPassword)
	does(s, api, toAccounts, aboutPeople("remove-password", http.MethodDelete, "/v1/account/password", "Remove your password; needs a fresh sign-in and another way in"), s.removePassword)
	asks(s, api, toAccounts|secret, aboutPeople("make-recovery-codes", http.MethodPost, "/v1/account/recovery-codes", "Replace your recovery codes; needs a fresh sign-in"), s.makeRecoveryCodes)
	asks(s, api, toAccounts, aboutPeople("count-recovery-codes", http.MethodGet, "/v1/account/recovery-codes", "Count your recovery codes"), s.countRecoveryCodes)
	asks(s, api, toAccounts, aboutPeople("list-blocks", http.MethodGet, "/v1/blocks", "List the people that you block"), s.listBlocks)
	does(s, api, toAccounts, aboutPeople("block", http.MethodPut, "/v1/blocks/{username}", "Block somebody: no direct messages and no rings"), s.block)
	does(s, api, toAccounts, aboutPeople("unblock", http.MethodDelete, "/v1/blocks/{username}", "Stop blocking somebody"), s.unblock)
}

// nothing is an input without parameters and body.
type nothing struct{}

// UsernamePath is the account that a path names.
type UsernamePath struct {
	Username string `path:"username" doc:"The username."`
}

// ownAccount returns the account that acts. The operator has none.
func (w *who) ownAccount() (Account, error) {
	if !w.isAccount() {
		return Account{}, account.ErrNotFound
	}
	return accountOf(&w.principal.Account), nil
}

func (s *Server) getAccount(_ context.Context, by *who, _ *nothing) (Account, error) {
	return by.ownAccount()
}

type changeAccountBody struct {
	Name string `json:"name" maxLength:"64" doc:"The display name. If it is empty, it is the username."`
}

func (s *Server) changeAccount(ctx context.Context, by *who, in *JSON[changeAccountBody]) (Account, error) {
	body, err := in.read(s)
	if err != nil {
		return Account{}, err
	}
	if err := s.config.Accounts.SetName(ctx, by.actor(), "", body.Name); err != nil {
		return Account{}, err
	}
	changed, err := s.config.Accounts.Find(ctx, by.principal.Account.Username)
	return accountOf(&changed), err
}

type passwordBody struct {
	Password string `json:"password" minLength:"10" maxLength:"1024" doc:"The new password."`
}

func (s *Server) setPassword(ctx context.Context, by *who, in *JSON[passwordBody]) error {
	body, err := in.read(s)
	if err != nil {
		return err
	}
	return s.config.Accounts.SetPassword(ctx, by.actor(), body.Password)
}

func (s *Server) removePassword(ctx context.Context, by *who, _ *nothing) error {
	return s.config.Accounts.RemovePassword(ctx, by.actor())
}

// RecoveryCodes are codes that sign in once each.
type RecoveryCodes struct {
	Codes []string `json:"recovery_codes" nullable:"false" doc:"Each signs in once. They cannot be had again."`
}

func (s *Server) makeRecoveryCodes(ctx context.Context, by *who, _ *nothing) (RecoveryCodes, error) {
	codes, err := s.config.Accounts.NewRecoveryCodes(ctx, by.actor())
	return RecoveryCodes{codes}, err
}

// CodesLeft is how many recovery codes there are.
type CodesLeft struct {
	Left int `json:"left" minimum:"0" doc:"How many codes are left."`
}

func (s *Server) countRecoveryCodes(ctx context.Context, by *who, _ *nothing) (CodesLeft, error) {
	n, err := s.config.Accounts.RecoveryCodesLeft(ctx, by.actor())
	return CodesLeft{n}, err
}

// BlockList are the people that somebody blocks.
type BlockList struct {
	Usernames []string `json:"usernames" nullable:"false" doc:"In no order."`
}

func (s *Server) listBlocks(ctx context.Context, by *who, _ *nothing) (BlockList, error) {
	names, err := s.config.Accounts.Blocks(ctx, by.actor())
	return BlockList{orEmpty(names)}, err
}

func (s *Server) block(ctx context.Context, by *who, in *UsernamePath) error {
	return s.config.Accounts.Block(ctx, by.actor(), in.Username)
}

func (s *Server) unblock(ctx context.Context, by *who, in *UsernamePath) error {
	return s.config.Accounts.Unblock(ctx, by.actor(), in.Username)
}
