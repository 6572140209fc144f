package limit

import (
	"bytes"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
)

func TestDefaults(t *testing.T) {
	want := map[string]int{
		"address_connections": 20, "address_connections_per_minute": 60, "address_failed_sign_ins_per_minute": 10,
		"account_connections": 100, "account_connections_per_minute": 300,
		"account_messages_per_second": 10, "account_messages_burst": 100,
		"account_rooms_per_hour": 20, "account_uploads_per_hour": 60,
		"account_requests_per_second": 20, "account_requests_burst": 40,
		"address_sign_ups_per_hour":      30,
		"searches_per_minute":            120,
		"credential_messages_per_second": 100, "credential_messages_burst": 2000,
	}
	key := regexp.MustCompile(`^[a-z]+(_[a-z]+)+$`)
	got := make(map[string]int)
	for _, s := range Settings() {
		got[s.Key] = s.Default
		if !key.MatchString(s.Key) || !strings.HasSuffix(s.Help, ".") {
			t.Errorf("setting %q has the help %q; want a name in snake case and a sentence", s.Key, s.Help)
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the defaults are %v, want %v", got, want)
	}
}

func TestConfigFromTable(t *testing.T) {
	file := struct {
		Limits Config `toml:"limits"`
	}{Defaults()}
	decoder := toml.NewDecoder(bytes.NewBufferString("[limits]\naccount_rooms_per_hour = 7\naddress_connections = 0\n"))
	if err := decoder.DisallowUnknownFields().Decode(&file); err != nil {
		t.Fatal(err)
	}
	want := Defaults()
	want.AccountRoomsPerHour, want.AddressConnections = 7, 0
	if file.Limits != want {
		t.Errorf("the table gives %+v, want %+v", file.Limits, want)
	}
}

func TestSet(t *testing.T) {
	for _, s := range Settings() {
		var c Config
		if known, err := c.Set(s.Key, "41"); !known || err != nil {
			t.Errorf("Set(%s) = %v, %v", s.Key, known, err)
		}
		set := 0
		for i := range reflect.TypeFor[Config]().NumField() {
			set += int(reflect.ValueOf(c).Field(i).Int())
		}
		if set != 41 {
			t.Errorf("Set(%s) gives %+v", s.Key, c)
		}
	}
	c := Defaults()
	for _, text := range []string{"", "-1", "1.5", "ten", "1000001", "99999999999999999999", " 1", "1\n"} {
		known, err := c.Set("account_connections", text)
		if !known || err == nil || !strings.Contains(err.Error(), "limits.account_connections must be a whole number from 0 to 1000000") || strings.Contains(err.Error(), "\n") {
			t.Errorf("Set(account_connections, %q) = %v, %v", text, known, err)
		}
	}
	if known, err := c.Set("account_conections", "1"); known || err != nil {
		t.Errorf("Set of an unknown key = %v, %v; want false, nil", known, err)
	}
	if known, _ := c.Set("", "1"); known {
		t.Error("the empty key is known")
	}
	if c != Defaults() {
		t.Errorf("bad values changed the configuration: %+v", c)
	}
}

func TestCheck(t *testing.T) {
	if err := Defaults().Check(); err != nil {
		t.Error(err)
	}
	for _, value := range []int{-1, MaxSetting + 1} {
		c := Defaults()
		c.CredentialMessagesBurst = value
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), "limits.credential_messages_burst") {
			t.Errorf("Check with %d = %v", value, err)
		}
		if _, err := New(c, nil); err == nil {
			t.Errorf("New with %d returns no error", value)
		}
	}
}
