package main

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestMetricsAreBesideClients: a server for metrics alone serves nobody.
func TestMetricsAreBesideClients(t *testing.T) {
	const metrics = "metrics://127.0.0.1:6490"
	for _, test := range []struct{ given, want []string }{
		{[]string{metrics}, append([]string{metrics}, defaultListens...)},
		{[]string{metrics, "tcp://127.0.0.1:1"}, []string{metrics, "tcp://127.0.0.1:1"}},
		{[]string{"http://127.0.0.1:1"}, []string{"http://127.0.0.1:1"}},
		{defaultListens, defaultListens},
	} {
		if got := withClients(test.given); !slices.Equal(got, test.want) {
			t.Errorf("%q: got %q, want %q", test.given, got, test.want)
		}
	}
	field, _ := reflect.TypeFor[serveCommand]().FieldByName("Listen")
	if got := strings.Split(field.Tag.Get("default"), ","); !slices.Equal(got, defaultListens) {
		t.Errorf("the default of --listen is %q, and %q is added to metrics", got, defaultListens)
	}
}

func TestProfilesNeedAPlace(t *testing.T) {
	command := serveCommand{Listen: defaultListens, Pprof: true, MaxClients: 1, MaxFromAddress: 1, MaxContent: 1, Heartbeat: 1e9, TailSize: 1, TailBudget: 1, PageSize: 1}
	err := command.Run(streams{}, nil)
	if _, ok := errors.AsType[usageError](err); !ok || !strings.Contains(err.Error(), "--listen metrics://") {
		t.Errorf("got %v, want exit code 2 and what to add", err)
	}
}
