package people

import "kaban/internal/store"

// MaxPushes is how many browsers of an account are notified while the page is closed.
const MaxPushes = 20

// Push is a browser that is notified of messages while the page is closed: a subscription of
// its Push API. Endpoint, P256DH and Auth are secrets.
type Push struct {
	ID       string `json:"id"` // a hash of the endpoint; names it to people
	Account  string `json:"account"`
	Device   string `json:"device"` // the id of the Secret that it ends with
	Endpoint string `json:"endpoint"`
	P256DH   string `json:"p256dh"` // the public key of the browser, in base64url
	Auth     string `json:"auth"`   // in base64url
	Created  int64  `json:"created"`
	// FailingSince is when pushes to it began to fail.
	FailingSince int64 `json:"failing_since,omitempty"`
}

// Pushes has all browsers by id. So a browser notifies one account, the last one that it was
// signed in to.
var Pushes = pushes{Table[Push]{
	name: "push",
	key:  func(p *Push) []string { return []string{p.ID} },
	indexes: []index[Push]{
		{"account", false, func(p *Push) [][]string { return oneOf(p.Account) }},
		{"device", false, func(p *Push) [][]string { return oneOf(p.Device) }},
	},
}}

type pushes struct{ Table[Push] }

// Of returns up to limit browsers of an account.
func (t *pushes) Of(tx store.Tx, account string, limit int) (found []Push, more bool, err error) {
	return t.listBy(tx, "account", []string{account}, nil, limit)
}

// On returns up to limit browsers of a device.
func (t *pushes) On(tx store.Tx, device string, limit int) (found []Push, more bool, err error) {
	return t.listBy(tx, "device", []string{device}, nil, limit)
}
