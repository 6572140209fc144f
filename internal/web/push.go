package web

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"kaban/internal/account"
	"kaban/internal/people"
	"kaban/internal/push"
	"kaban/wire"
)

// pushOperations are those on browsers that are notified while the page is closed.
func (s *Server) pushOperations(api huma.API) {
	asks(s, api, toAccounts, aboutPeople("get-push", http.MethodGet, "/v1/push", "Get the key that browsers subscribe to pushes with, and what pushes say"), s.getPush)
	asks(s, api, toAccounts, aboutPeople("set-push", http.MethodPut, "/v1/push", "Set what pushes say, for all your browsers"), s.setPush)
	asks(s, api, toAccounts, aboutPeople("list-push-subscriptions", http.MethodGet, "/v1/push/subscriptions", "List your browsers that are notified while the page is closed"), s.listPushes)
	asks(s, api, toAccounts|secret, made(aboutPeople("subscribe", http.MethodPost, "/v1/push/subscriptions", "Have the browser of this device notified while the page is closed")), s.subscribe)
	does(s, api, toAccounts, aboutPeople("unsubscribe", http.MethodDelete, "/v1/push/subscriptions/{id}", "End a subscription to pushes"), s.unsubscribe)
}

// Push is what a browser subscribes with, and what it is told.
type Push struct {
	Key     string `json:"application_server_key" doc:"The public key of the server: applicationServerKey of PushManager.subscribe(), in base64url."`
	Content string `json:"content" enum:"text,hint" doc:"What pushes say: text is the room, the author and the beginning of the text; hint is only that there is a new message."`
}

// The contents of pushes.
const (
	pushText = "text"
	pushHint = "hint"
)

func (s *Server) getPush(ctx context.Context, by *who, _ *nothing) (Push, error) {
	if _, err := by.ownAccount(); err != nil {
		return Push{}, err
	}
	hint, err := s.config.Accounts.PushHint(ctx, by.actor())
	p := Push{Key: s.config.PushKey, Content: pushText}
	if hint {
		p.Content = pushHint
	}
	return p, err
}

type pushBody struct {
	Content string `json:"content" enum:"text,hint" doc:"What pushes say: text is the room, the author and the beginning of the text; hint is only that there is a new message."`
}

func (s *Server) setPush(ctx context.Context, by *who, in *JSON[pushBody]) (Push, error) {
	body, err := in.read(s)
	if err != nil {
		return Push{}, err
	}
	if body.Content != pushText && body.Content != pushHint {
		return Push{}, fieldProblem(wire.CodeBadField, "content", "content: it must be text or hint")
	}
	if err := s.config.Accounts.SetPushHint(ctx, by.actor(), body.Content == pushHint); err != nil {
		return Push{}, err
	}
	return s.getPush(ctx, by, nil)
}

// PushSubscription is a browser that is notified while the page is closed. Its endpoint and keys
// are secrets, so it has none of them.
type PushSubscription struct {
	ID           string `json:"id" doc:"The id: the first 16 bytes of the SHA-256 of the endpoint, in base64url."`
	Device       string `json:"device" doc:"The id of the device that it ends with."`
	Name         string `json:"name" doc:"The name of the device."`
	Created      string `json:"created" format:"date-time" doc:"When the browser subscribed."`
	FailingSince string `json:"failing_since,omitempty" format:"date-time" doc:"Since when its push service has refused pushes, or not answered. Absent if it works."`
	Current      bool   `json:"current" doc:"It is that of the device that asks."`
}

func pushOf(i *account.PushInfo) PushSubscription {
	return PushSubscription{i.ID, i.Device, i.Name, formatTime(i.Created), timeOrNone(i.FailingSince), i.Current}
}

// PushSubscriptionList are the subscriptions of an account.
type PushSubscriptionList struct {
	Subscriptions []PushSubscription `json:"subscriptions" nullable:"false" doc:"The newest first."`
}

func (s *Server) listPushes(ctx context.Context, by *who, _ *nothing) (PushSubscriptionList, error) {
	if _, err := by.ownAccount(); err != nil {
		return PushSubscriptionList{}, err
	}
	infos, err := s.config.Accounts.Pushes(ctx, by.actor())
	list := PushSubscriptionList{Subscriptions: make([]PushSubscription, len(infos))}
	for i := range infos {
		list.Subscriptions[i] = pushOf(&infos[i])
	}
	return list, err
}

// subscriptionBody is what PushSubscription.toJSON() of a browser returns.
type subscriptionBody struct {
	Endpoint   string  `json:"endpoint" minLength:"1" maxLength:"2048" doc:"The URL at the push service of the browser, of https."`
	Expiration ignored `json:"expirationTime,omitempty" nullable:"true" doc:"Ignored: the push service says when the subscription has ended."`
	Keys       struct {
		P256DH string `json:"p256dh" minLength:"87" maxLength:"87" doc:"The public key of the browser, in base64url."`
		Auth   string `json:"auth" minLength:"22" maxLength:"22" doc:"The secret of the browser, in base64url."`
	} `json:"keys" doc:"What pushes are encrypted with."`
}

func (s *Server) subscribe(ctx context.Context, by *who, in *JSON[subscriptionBody]) (PushSubscription, error) {
	body, err := in.read(s)
	if err != nil {
		return PushSubscription{}, err
	}
	parsed, err := push.ParseSubscription(body.Endpoint, body.Keys.P256DH, body.Keys.Auth)
	if err == nil && s.config.CheckPush != nil {
		err = s.config.CheckPush(ctx, body.Endpoint)
	}
	if err != nil {
		return PushSubscription{}, subscriptionProblem(err)
	}
	info, err := s.config.Accounts.Subscribe(ctx, by.actor(), people.Push{
		ID: parsed.ID(), Endpoint: body.Endpoint, P256DH: body.Keys.P256DH, Auth: body.Keys.Auth,
	})
	return pushOf(&info), err
}

// subscriptionProblem returns what is wrong with a subscription. It does not quote it.
func subscriptionProblem(err error) error {
	e, ok := errors.AsType[*push.SubscriptionError](err)
	if !ok {
		return err
	}
	field := e.Field
	if field != "endpoint" {
		field = "keys." + field
	}
	return fieldProblem(wire.CodeBadField, field, field+" "+e.Problem)
}

func (s *Server) unsubscribe(ctx context.Context, by *who, in *IDPath) error {
	err := s.config.Accounts.Unsubscribe(ctx, by.actor(), in.ID)
	if errors.Is(err, account.ErrNotFound) {
		return problem(wire.CodeNotFound, "you have no subscription to pushes with this id")
	}
	return err
}
