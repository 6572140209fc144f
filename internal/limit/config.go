package limit

import (
	"fmt"
	"reflect"
	"strconv"
	"time"
)

// MaxSetting is the greatest value of a setting.
const MaxSetting = 1_000_000

// Config has the numbers of the table [limits] of the configuration file. 0 turns a
// limit off; a burst of 0 is as many as the rate has in its unit of time. Each
// field has its key in the tag toml and its description in the tag help.
type Config struct {
	AddressConnections          int `toml:"address_connections" help:"Connections of visitors at once from one address; an IPv6 /64 counts as one."`
	AddressConnectionsPerMinute int `toml:"address_connections_per_minute" help:"Connections per minute from one address that do not sign in."`
	AddressFailedPerMinute      int `toml:"address_failed_sign_ins_per_minute" help:"Failed sign-ins per minute from one address before the delay grows."`
	AddressSignUpsPerHour       int `toml:"address_sign_ups_per_hour" help:"Attempts per hour to make an account without an invite, from one address."`

	AccountConnections          int `toml:"account_connections" help:"Connections of an account at once."`
	AccountConnectionsPerMinute int `toml:"account_connections_per_minute" help:"Connections of an account per minute."`
	AccountMessagesPerSecond    int `toml:"account_messages_per_second" help:"Messages of an account per second."`
	AccountMessagesBurst        int `toml:"account_messages_burst" help:"Messages that an account may send at once after a pause."`
	AccountRoomsPerHour         int `toml:"account_rooms_per_hour" help:"Rooms that an account may create per hour."`
	AccountUploadsPerHour       int `toml:"account_uploads_per_hour" help:"Files that an account may upload per hour."`
	AccountRequestsPerSecond    int `toml:"account_requests_per_second" help:"Requests of an account to the HTTP API per second."`
	AccountRequestsBurst        int `toml:"account_requests_burst" help:"Requests to the HTTP API that an account may make at once after a pause."`

	SearchesPerMinute int `toml:"searches_per_minute" help:"Searches per minute of an account, or from one address without an account."`

	CredentialMessagesPerSecond int `toml:"credential_messages_per_second" help:"Messages per second of a bot, a token or a hook, for each credential."`
	CredentialMessagesBurst     int `toml:"credential_messages_burst" help:"Messages that a bot, a token or a hook may send at once after a pause."`
}

// Defaults returns the configuration of a server that has none.
func Defaults() Config {
	return Config{
		AddressConnections:          20,
		AddressConnectionsPerMinute: 60,
		AddressFailedPerMinute:      10,
		AddressSignUpsPerHour:       30,

		AccountConnections:          100,
		AccountConnectionsPerMinute: 300,
		AccountMessagesPerSecond:    10,
		AccountMessagesBurst:        100,
		AccountRoomsPerHour:         20,
		AccountUploadsPerHour:       60,
		AccountRequestsPerSecond:    20,
		AccountRequestsBurst:        40,

		SearchesPerMinute: 120,

		CredentialMessagesPerSecond: 100,
		CredentialMessagesBurst:     2000,
	}
}

// Setting describes a field of Config.
type Setting struct {
	Key, Help string
	Default   int
}

// Settings returns all settings in the order of Config, for documentation and for
// reading a configuration.
func Settings() []Setting {
	defaults := reflect.ValueOf(Defaults())
	settings := make([]Setting, defaults.NumField())
	for i := range settings {
		tag := defaults.Type().Field(i).Tag
		settings[i] = Setting{tag.Get("toml"), tag.Get("help"), int(defaults.Field(i).Int())}
	}
	return settings
}

// Set sets the field with a key from text. It reports whether there is such a key;
// the error says which values there are.
func (c *Config) Set(key, text string) (known bool, err error) {
	fields := reflect.ValueOf(c).Elem()
	for i := range fields.NumField() {
		if fields.Type().Field(i).Tag.Get("toml") != key {
			continue
		}
		value, err := strconv.Atoi(text)
		if err != nil {
			return true, valueError(key, strconv.Quote(text))
		}
		if err := checkSetting(key, value); err != nil {
			return true, err
		}
		fields.Field(i).SetInt(int64(value))
		return true, nil
	}
	return false, nil
}

// Get returns the field with a key, or 0 if there is none.
func (c Config) Get(key string) int {
	fields := reflect.ValueOf(c)
	for i := range fields.NumField() {
		if fields.Type().Field(i).Tag.Get("toml") == key {
			return int(fields.Field(i).Int())
		}
	}
	return 0
}

// Check returns an error if a value is out of range.
func (c Config) Check() error {
	fields := reflect.ValueOf(c)
	for i := range fields.NumField() {
		if err := checkSetting(fields.Type().Field(i).Tag.Get("toml"), int(fields.Field(i).Int())); err != nil {
			return err
		}
	}
	return nil
}

func checkSetting(key string, value int) error {
	if value < 0 || value > MaxSetting {
		return valueError(key, strconv.Itoa(value))
	}
	return nil
}

func valueError(key, got string) error {
	return fmt.Errorf("limits.%s must be a whole number from 0 to %d, where 0 is no limit, not %s", key, MaxSetting, got)
}

// Limits are all that a server has. Keys of the first group are from AddressKey,
// those of the others from NameKey.
type Limits struct {
	// AddressConnections has a place for each visitor. Arrivals counts connections
	// that do not sign in: it is taken from at the hello of a visitor, and reserved
	// from at the end of a connection that never signed in. Neither is asked when a
	// connection is accepted: who it is shows later, and a stranger must not keep out
	// others behind the same address.
	AddressConnections *Connections
	AddressArrivals    *Limiter
	SignIns            *SignIns
	// SignUps counts attempts to make an account without an invite. The colleagues of
	// somebody that has the same address come by invite.
	SignUps *Limiter

	// By account, whatever the address.
	AccountConnections                    *Connections
	AccountArrivals                       *Limiter
	Messages, Rooms, Uploads, APIRequests *Limiter

	// Searches is by account, or by address for those without one.
	Searches *Limiter

	// CredentialMessages is instead of Messages for bots, tokens and hooks, by
	// credential.
	CredentialMessages *Limiter
}

// New returns the limits on a monotonic clock, or the error of Check.
func New(c Config, clock func() time.Duration) (*Limits, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	limiter := func(name string) *Limiter { return NewLimiter(name, Rate{}, clock) }
	l := &Limits{
		AddressConnections: NewConnections("address_connections", 0),
		AddressArrivals:    limiter("address_connections_per_minute"),
		SignIns:            NewSignIns(0, clock),
		SignUps:            limiter("address_sign_ups_per_hour"),

		AccountConnections: NewConnections("account_connections", 0),
		AccountArrivals:    limiter("account_connections_per_minute"),
		Messages:           limiter("account_messages_per_second"),
		Rooms:              limiter("account_rooms_per_hour"),
		Uploads:            limiter("account_uploads_per_hour"),
		APIRequests:        limiter("account_requests_per_second"),

		Searches: limiter("searches_per_minute"),

		CredentialMessages: limiter("credential_messages_per_second"),
	}
	if err := l.Set(c); err != nil {
		return nil, err
	}
	return l, nil
}

// Set changes the limits, for all that have them already. It changes nothing if it
// returns the error of Check. A limit that stays as it is forgets nothing.
func (l *Limits) Set(c Config) error {
	if err := c.Check(); err != nil {
		return err
	}
	l.AddressConnections.Set(c.AddressConnections)
	l.AddressArrivals.Set(Rate{Count: c.AddressConnectionsPerMinute, Per: time.Minute})
	l.SignIns.Set(c.AddressFailedPerMinute)
	l.SignUps.Set(Rate{Count: c.AddressSignUpsPerHour, Per: time.Hour})

	l.AccountConnections.Set(c.AccountConnections)
	l.AccountArrivals.Set(Rate{Count: c.AccountConnectionsPerMinute, Per: time.Minute})
	l.Messages.Set(Rate{Count: c.AccountMessagesPerSecond, Per: time.Second, Burst: c.AccountMessagesBurst})
	l.Rooms.Set(Rate{Count: c.AccountRoomsPerHour, Per: time.Hour})
	l.Uploads.Set(Rate{Count: c.AccountUploadsPerHour, Per: time.Hour})
	l.APIRequests.Set(Rate{Count: c.AccountRequestsPerSecond, Per: time.Second, Burst: c.AccountRequestsBurst})

	l.Searches.Set(Rate{Count: c.SearchesPerMinute, Per: time.Minute})

	l.CredentialMessages.Set(Rate{Count: c.CredentialMessagesPerSecond, Per: time.Second, Burst: c.CredentialMessagesBurst})
	return nil
}

// EnterVisitor admits a visitor from an address until the place is left. It returns
// an *ExceededError if there were too many of late or are too many now.
func (l *Limits) EnterVisitor(address Key) (Place, error) {
	return enter(l.AddressArrivals, l.AddressConnections, address)
}

// EnterAccount admits a connection of an account, as EnterVisitor does.
func (l *Limits) EnterAccount(account Key) (Place, error) {
	return enter(l.AccountArrivals, l.AccountConnections, account)
}

func enter(arrivals *Limiter, connections *Connections, key Key) (Place, error) {
	place, err := connections.Enter(key)
	if err != nil {
		return Place{}, err
	}
	if err := arrivals.Check(key, 1); err != nil {
		place.Leave()
		return Place{}, err
	}
	return place, nil
}
