package web

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"kaban"
	"kaban/internal/account"
	"kaban/wire"
)

// tokenOperations are those on the tokens of programs and on bots.
func (s *Server) tokenOperations(api huma.API) {
	asks(s, api, toActors, aboutPeople("list-tokens", http.MethodGet, "/v1/tokens", "List your tokens, or those of a bot of yours"), s.listTokens)
	asks(s, api, toActors|secret, made(aboutPeople("make-token", http.MethodPost, "/v1/tokens", "Make a token for yourself or a bot of yours; needs a fresh sign-in")), s.makeToken)
	does(s, api, toActors, aboutPeople("revoke-token", http.MethodDelete, "/v1/tokens/{id}", "Revoke a token of yours or of a bot of yours"), s.revokeToken)
	asks(s, api, toActors, aboutPeople("list-bots", http.MethodGet, "/v1/bots", "List your bots"), s.listBots)
	asks(s, api, toActors, made(aboutPeople("make-bot", http.MethodPost, "/v1/bots", "Make a bot of yours")), s.makeBot)

	asks(s, api, toActors, aboutPeople("list-tokens-of", http.MethodGet, "/v1/admin/users/{username}/tokens", "List the tokens of an account"), s.listTokensOf)
	asks(s, api, toActors|secret, made(aboutPeople("make-token-of", http.MethodPost, "/v1/admin/users/{username}/tokens", "Make a token for an account")), s.makeTokenOf)
	does(s, api, toActors, aboutPeople("revoke-token-of", http.MethodDelete, "/v1/admin/users/{username}/tokens/{id}", "Revoke a token of an account"), s.revokeTokenOf)
}

// IDPath is the id that a path names.
type IDPath struct {
	ID string `path:"id" doc:"The id."`
}

// Token is the secret of a program, without the secret.
type Token struct {
	ID       string   `json:"id" doc:"The id."`
	Name     string   `json:"name" doc:"What the token is for."`
	Created  string   `json:"created" format:"date-time" doc:"When it was made."`
	Used     string   `json:"used,omitempty" format:"date-time" doc:"When it was used last, to the hour. Absent if it never was."`
	Expires  string   `json:"expires,omitempty" format:"date-time" doc:"Absent if it is valid until it is revoked."`
	Rooms    []string `json:"rooms,omitempty" doc:"If present, the token works in no other room."`
	ReadOnly bool     `json:"read_only" doc:"The token only reads."`
}

func tokenOf(i *account.SecretInfo) Token {
	return Token{
		ID: i.ID, Name: i.Name, Created: formatTime(i.Created), Used: timeOrNone(i.Used), Expires: timeOrNone(i.Expires),
		Rooms: i.Rooms, ReadOnly: i.ReadOnly,
	}
}

// TokenList are the tokens of an account.
type TokenList struct {
	Tokens []Token `json:"tokens" nullable:"false" doc:"The one used last first."`
}

// MadeToken is a new token.
type MadeToken struct {
	Token
	Secret string `json:"token" doc:"The secret. It cannot be had again."`
}

type ownerQuery struct {
	Username string `query:"username" doc:"A bot of yours; you if absent."`
}

func (s *Server) listTokens(ctx context.Context, by *who, in *ownerQuery) (TokenList, error) {
	return s.tokensOf(ctx, by, in.Username)
}

func (s *Server) listTokensOf(ctx context.Context, by *who, in *UsernamePath) (TokenList, error) {
	if err := s.config.Accounts.MayAdminister(ctx, by.actor()); err != nil {
		return TokenList{}, err
	}
	return s.tokensOf(ctx, by, in.Username)
}

func (s *Server) tokensOf(ctx context.Context, by *who, username string) (TokenList, error) {
	infos, err := s.config.Accounts.Tokens(ctx, by.actor(), username)
	if err != nil {
		return TokenList{}, err
	}
	list := TokenList{Tokens: make([]Token, len(infos))}
	for i := range infos {
		list.Tokens[i] = tokenOf(&infos[i])
	}
	return list, nil
}

type newTokenOf struct {
	Name      string   `json:"name" minLength:"1" maxLength:"100" doc:"What the token is for."`
	ExpiresIn string   `json:"expires_in,omitempty" doc:"After how long it expires, such as 30d or 12h. Without it, it is valid until it is revoked."`
	Rooms     []string `json:"rooms,omitempty" maxItems:"100" doc:"If there are any, the token works in no other room."`
	ReadOnly  bool     `json:"read_only,omitempty" doc:"The token only reads."`
}

type newTokenBody struct {
	Username  string   `json:"username,omitempty" doc:"A bot of yours; you if absent."`
	Name      string   `json:"name" minLength:"1" maxLength:"100" doc:"What the token is for."`
	ExpiresIn string   `json:"expires_in,omitempty" doc:"After how long it expires, such as 30d or 12h. Without it, it is valid until it is revoked."`
	Rooms     []string `json:"rooms,omitempty" maxItems:"100" doc:"If there are any, the token works in no other room."`
	ReadOnly  bool     `json:"read_only,omitempty" doc:"The token only reads."`
}

func (s *Server) makeToken(ctx context.Context, by *who, in *JSON[newTokenBody]) (MadeToken, error) {
	body, err := in.read(s)
	if err != nil {
		return MadeToken{}, err
	}
	return s.tokenFor(ctx, by, body.Username, newTokenOf{body.Name, body.ExpiresIn, body.Rooms, body.ReadOnly})
}

func (s *Server) makeTokenOf(ctx context.Context, by *who, in *struct {
	UsernamePath
	JSON[newTokenOf]
},
) (MadeToken, error) {
	if err := s.config.Accounts.MayAdminister(ctx, by.actor()); err != nil {
		return MadeToken{}, err
	}
	body, err := in.read(s)
	if err != nil {
		return MadeToken{}, err
	}
	return s.tokenFor(ctx, by, in.Username, body)
}

func (s *Server) tokenFor(ctx context.Context, by *who, username string, body newTokenOf) (MadeToken, error) {
	expires, err := parseSpan("expires_in", body.ExpiresIn)
	if err != nil {
		return MadeToken{}, err
	}
	info, secret, err := s.config.Accounts.MakeToken(ctx, by.actor(), account.NewToken{
		Username: username, Name: body.Name, Expires: expires, Rooms: body.Rooms, ReadOnly: body.ReadOnly,
	})
	return MadeToken{tokenOf(&info), secret}, err
}

// parseSpan returns how long a field says that something is valid; 0 if it is empty.
func parseSpan(field, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := account.ParseAge(text)
	if err != nil || d <= 0 {
		return 0, fieldProblem(wire.CodeBadField, field, field+": it must be a time such as 12h or 30d")
	}
	return d, nil
}

func (s *Server) revokeToken(ctx context.Context, by *who, in *IDPath) error {
	return s.config.Accounts.RevokeDevice(ctx, by.actor(), in.ID)
}

func (s *Server) revokeTokenOf(ctx context.Context, by *who, in *struct {
	UsernamePath
	IDPath
},
) error {
	if err := s.config.Accounts.MayAdminister(ctx, by.actor()); err != nil {
		return err
	}
	infos, err := s.config.Accounts.Tokens(ctx, by.actor(), in.Username)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(infos, func(i account.SecretInfo) bool { return i.ID == in.ID }) {
		return account.NoToken(in.ID, in.Username)
	}
	return s.config.Accounts.RevokeDevice(ctx, by.actor(), in.ID)
}

// BotList are the bots of somebody.
type BotList struct {
	Bots []Account `json:"bots" nullable:"false" doc:"In no order."`
}

func (s *Server) listBots(ctx context.Context, by *who, _ *nothing) (BotList, error) {
	bots, err := s.config.Accounts.Bots(ctx, by.actor(), "")
	if err != nil {
		return BotList{}, err
	}
	list := BotList{Bots: make([]Account, len(bots))}
	for i := range bots {
		list.Bots[i] = accountOf(&bots[i])
		list.Bots[i].Owner = by.principal.Account.Username
	}
	return list, nil
}

type newBotBody struct {
	Username string `json:"username" doc:"The username."`
	Name     string `json:"name,omitempty" maxLength:"64" doc:"The display name. If it is empty, it is the username."`
	Role     string `json:"role,omitempty" enum:"guest,member,admin" doc:"What it may do at most, and never more than its owner. Default: member."`
	Owner    string `json:"owner,omitempty" doc:"Only the operator names another owner than itself."`
}

func (s *Server) makeBot(ctx context.Context, by *who, in *JSON[newBotBody]) (Account, error) {
	body, err := in.read(s)
	if err != nil {
		return Account{}, err
	}
	role, err := parseRole(body.Role)
	if err != nil {
		return Account{}, err
	}
	bot, err := s.config.Accounts.MakeBot(ctx, by.actor(), account.NewBot{Username: body.Username, Name: body.Name, Role: role, Owner: body.Owner})
	if err != nil {
		return Account{}, err
	}
	made := accountOf(&bot)
	owners, err := s.config.Accounts.WithIDs(ctx, bot.Owner)
	made.Owner = owners[bot.Owner].Username
	return made, err
}

// parseRole returns the role that a field says; 0 if it is empty.
func parseRole(text string) (kaban.Role, error) {
	if text == "" {
		return 0, nil
	}
	role, err := kaban.ParseRole(text)
	if err != nil {
		return 0, fieldProblem(wire.CodeBadField, "role", "role: "+err.Error())
	}
	return role, nil
}
