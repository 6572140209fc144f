package main

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"kaban/internal/certs"
	"kaban/internal/config"
	"kaban/internal/limit"
)

// limitsTable is the table of the configuration file that has the limits.
const limitsTable = "limits"

// tables are what "kaban config print" says of the tables.
var tables = map[string]string{
	tlsTable:    "Certificates for https:// and tls:// addresses, from files or by ACME.",
	acmeTable:   "Certificates by ACME (RFC 8555). It takes hosts; using it accepts the terms of the ACME server.",
	"backup":    backupTable,
	"cluster":   clusterTable,
	"s3":        s3Table,
	limitsTable: "Limits for each address, account and credential. 0 turns a limit off; a burst of 0 is as many as the rate has in its unit of time.",
}

// fileKey is a key of the configuration file.
type fileKey struct {
	config.Key
	flag *kong.Flag // nil if it is only in the file; then it has both of these
	set  func(c *serveCommand, texts []string) error
	get  func(c *serveCommand) any
}

// fileKeys returns all keys of the configuration file: one for each flag of kaban
// serve, and those without a flag. It is the only list of them. The key of a flag is
// its name with "_" instead of "-", or its tag "key", which may name one of a table.
func fileKeys(serve *kong.Node) []fileKey {
	var keys []fileKey
	for _, flag := range serve.Flags {
		if flag.Name != "help" && flag.Name != "config" {
			keys = append(keys, keyOfFlag(flag))
		}
	}
	keys = append(keys, acmeKeys()...)
	for _, setting := range limit.Settings() {
		keys = append(keys, fileKey{
			Key: config.Key{Name: limitsTable + "." + setting.Key, Help: setting.Help, Kind: config.Bare, Default: []string{fmt.Sprint(setting.Default)}},
			set: func(c *serveCommand, texts []string) error {
				_, err := c.limits.Set(setting.Key, texts[0])
				return err
			},
			get: func(c *serveCommand) any { return c.limits.Get(setting.Key) },
		})
	}
	return keys
}

func keyOfFlag(flag *kong.Flag) fileKey {
	// The default is the value, a line below.
	help, _, _ := strings.Cut(flag.Help, " Default: "+flag.Default+".")
	k := config.Key{Name: flag.Tag.Get("key"), Help: help, Kind: config.Text}
	if k.Name == "" {
		k.Name = strings.ReplaceAll(flag.Name, "-", "_")
	}
	switch kind := flag.Target.Kind(); {
	case flag.IsSlice():
		k.Kind = config.List
		k.Help = strings.Replace(help, "; may be given several times", "", 1) // as a flag
		if flag.Default != "" {
			k.Default = strings.Split(flag.Default, ",")
		}
	case flag.Target.Type() == reflect.TypeFor[time.Duration]() || kind == reflect.String:
		k.Default = []string{flag.Default}
	default:
		k.Kind = config.Bare
		k.Default = []string{flag.Default}
		if flag.Default == "" {
			k.Default[0] = fmt.Sprint(reflect.Zero(flag.Target.Type()))
		}
	}
	return fileKey{Key: k, flag: flag}
}

// namesOf returns the names of keys.
func namesOf(keys []fileKey) []string {
	names := make([]string, len(keys))
	for i := range keys {
		names[i] = keys[i].Name
	}
	return names
}

// BeforeResolve has values from the configuration file take the place of defaults.
// Everything that is wrong in a file waits in c.problems, to be reported together.
func (c *serveCommand) BeforeResolve(ctx *kong.Context) error {
	c.limits, c.acme.Directory = limit.Defaults(), certs.LetsEncrypt
	path := os.Getenv("KABAN_CONFIG")
	for _, trace := range ctx.Path {
		if trace.Flag != nil && trace.Flag.Name == "config" {
			path = fmt.Sprint(ctx.FlagValue(trace.Flag))
		}
	}
	if path == "" {
		return nil
	}
	keys := fileKeys(ctx.Selected())
	values, err := config.Load(path, namesOf(keys))
	if values == nil {
		return err
	}
	problems := []error{err}
	c.fromFile = make(map[string]string)
	resolved := make(map[*kong.Flag]any)
	for _, key := range keys {
		found, ok := values[key.Name]
		if !ok {
			continue
		}
		at := found.At(path)
		value, err := key.accept(c, found.Texts)
		switch {
		case err == nil && key.flag == nil:
			c.fromFile[key.Name] = at + ": " + key.Name
		case err == nil:
			resolved[key.flag] = value
			c.fromFile[key.flag.Name] = at + ": " + key.Name
		case key.flag != nil:
			problems = append(problems, fmt.Errorf("%s: %s: %w", at, key.Name, err))
		default:
			problems = append(problems, fmt.Errorf("%s: %w", at, err))
		}
	}
	c.problems = errors.Join(problems...)
	ctx.AddResolver(kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		value, ok := resolved[flag]
		if !ok || isSetByEnvironment(flag) {
			return nil, nil
		}
		return value, nil
	}))
	// What the command line and the environment override is not from the file.
	for _, trace := range ctx.Path {
		if trace.Flag != nil {
			delete(c.fromFile, trace.Flag.Name)
		}
	}
	for flag := range resolved {
		if isSetByEnvironment(flag) {
			delete(c.fromFile, flag.Name)
		}
	}
	return nil
}

// AfterApply notes the values of all keys.
func (c *serveCommand) AfterApply(ctx *kong.Context) error {
	c.values = make(map[string]string)
	for _, key := range fileKeys(ctx.Selected()) {
		switch {
		case key.flag == nil:
			c.values[key.Name] = fmt.Sprint(key.get(c))
		case key.Kind == config.List:
			c.values[key.Name] = fmt.Sprintf("%q", key.flag.Target.Interface())
		default:
			c.values[key.Name] = fmt.Sprint(key.flag.Target.Interface())
		}
	}
	return nil
}

func isSetByEnvironment(flag *kong.Flag) bool {
	return slices.ContainsFunc(flag.Tag.Envs, func(name string) bool {
		_, ok := os.LookupEnv(name)
		return ok
	})
}

// accept sets a key that is only in the file, or returns the value of a flag for kong.
func (k *fileKey) accept(c *serveCommand, texts []string) (value any, err error) {
	if k.Kind != config.List && len(texts) != 1 {
		return nil, errors.New("it must be one value, not a list")
	}
	if k.flag == nil {
		return nil, k.set(c, texts)
	}
	if k.Kind == config.List {
		list := make([]any, len(texts))
		for i, text := range texts {
			list[i] = text
		}
		value = list
	} else {
		value = texts[0]
	}
	if k.flag.Enum != "" && !slices.Contains(k.flag.EnumSlice(), fmt.Sprint(value)) {
		return nil, fmt.Errorf("%q is not one of %s", fmt.Sprint(value), strings.Join(k.flag.EnumSlice(), ", "))
	}
	trial := kong.DecodeContext{Value: k.flag.Value, Scan: kong.Scan().PushTyped(value, kong.FlagValueToken)}
	if err := k.flag.Mapper.Decode(&trial, reflect.New(k.flag.Target.Type()).Elem()); err != nil {
		switch kind := k.flag.Target.Kind(); { // kong's errors name Go's types
		case k.flag.Target.Type() == reflect.TypeFor[time.Duration]():
		case kind == reflect.Bool:
			return nil, fmt.Errorf("it must be true or false, not %q", texts[0])
		case reflect.Int <= kind && kind <= reflect.Uint64:
			return nil, fmt.Errorf("it must be a whole number such as %s, not %q", k.Default[0], texts[0])
		}
		return nil, err
	}
	return value, nil
}

// named is how a flag is called where it was set: a place in the file, or the flag.
func (c *serveCommand) named(flag string) string {
	if at, ok := c.fromFile[flag]; ok {
		return at
	}
	return "--" + flag
}
