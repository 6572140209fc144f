package tui

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"kaban"
	"kaban/internal/config"
)

// Config is the content of the configuration file. Its zero value has all defaults.
type Config struct {
	Server   string
	Username string
	Theme    string // auto, dark or light
	Notify   string // off, bell, osc9 or osc777
	Mouse    bool
	// Pictures is set if pictures may be shown in the terminal.
	Pictures bool
	// HideTyping is set if others are not shown that the person is typing.
	HideTyping bool
	Ignore     []string            // usernames
	Keys       map[string][]string // by the name of the action

	path string // "" for no file: nothing is saved
}

var (
	themes        = []string{"auto", "dark", "light"}
	notifications = []string{"bell", "off", "osc9", "osc777"}
)

// setting is a key of the configuration file.
type setting struct {
	name    string
	initial string // its value by default, as TOML
	help    string
	get     func(*Config) string // its value as TOML; "" for the default
	set     func(*Config, []string) error
}

// settings returns the table of keys. --print-config, reading, writing and
// docs/terminal.md use it.
func settings() []setting {
	table := []setting{
		{
			"server", `"127.0.0.1:6440"`, "The server, such as tls://chat.example, https://chat.example or 127.0.0.1:6440. The first start asks for it.",
			func(c *Config) string { return quoteUnless(c.Server, "") },
			func(c *Config, v []string) (err error) {
				if v[0] != "" {
					c.Server, err = parseServer(v[0])
				}
				return err
			},
		},
		{
			"username", `""`, "The name under which others see you. Empty: your login name, or a similar one that is free.",
			func(c *Config) string { return quoteUnless(c.Username, "") },
			func(c *Config, v []string) error {
				c.Username = v[0]
				if v[0] == "" {
					return nil
				}
				_, err := kaban.ParseUsername(v[0])
				return err
			},
		},
		{
			"theme", `"auto"`, "The colours: auto asks the terminal whether it is dark or light. NO_COLOR turns them off.",
			func(c *Config) string { return quoteUnless(c.Theme, "auto") },
			func(c *Config, v []string) error { c.Theme = v[0]; return checkTheme(v[0]) },
		},
		{
			"notify", `"bell"`, "What happens when somebody mentions you: bell, osc9 or osc777 (desktop notifications, if the terminal supports them), off.",
			func(c *Config) string { return quoteUnless(c.Notify, "bell") },
			func(c *Config, v []string) error { c.Notify = v[0]; return oneOf(v[0], notifications) },
		},
		{
			"mouse", `false`, "The wheel scrolls and a click opens a room. Hold Shift to select text.",
			func(c *Config) string {
				if c.Mouse {
					return "true"
				}
				return ""
			},
			setMouse,
		},
		{
			"pictures", `false`, "Ask the terminal whether it shows pictures, by the kitty protocol or sixel; v shows that of the selected message.",
			func(c *Config) string {
				if c.Pictures {
					return "true"
				}
				return ""
			},
			setPictures,
		},
		{
			"typing", `true`, "Show others that you are typing a message.",
			func(c *Config) string {
				if c.HideTyping {
					return "false"
				}
				return ""
			},
			setTyping,
		},
		{
			"ignore", `[]`, "People whose messages are hidden.",
			func(c *Config) string { return list(c.Ignore) },
			setIgnore,
		},
	}
	return append(table, keySettings()...)
}

func setMouse(c *Config, v []string) error { return setSwitch(&c.Mouse, v) }

func setPictures(c *Config, v []string) error { return setSwitch(&c.Pictures, v) }

func setTyping(c *Config, v []string) error {
	shown := !c.HideTyping
	err := setSwitch(&shown, v)
	c.HideTyping = !shown
	return err
}

// setSwitch sets to, unless the value is neither true nor false.
func setSwitch(to *bool, v []string) error {
	on, err := strconv.ParseBool(v[0])
	if err != nil {
		return errors.New("it must be true or false")
	}
	*to = on
	return nil
}

func setIgnore(c *Config, v []string) error {
	c.Ignore = nil
	for _, text := range v {
		name, err := kaban.ParseUsername(text)
		if err != nil {
			return fmt.Errorf("%q: %w", text, err)
		}
		c.Ignore = append(c.Ignore, name.String())
	}
	return nil
}

// keySettings returns a setting for each action.
func keySettings() (table []setting) {
	for _, a := range actions() {
		table = append(table, setting{
			"key_" + a.name, list(a.keys), a.help + ".",
			func(c *Config) string { return list(c.Keys[a.name]) },
			func(c *Config, v []string) error {
				keys := make([]string, len(v))
				for i := range v {
					key, err := parseKey(v[i])
					if err != nil {
						return err
					}
					keys[i] = key
				}
				if c.Keys == nil {
					c.Keys = make(map[string][]string)
				}
				c.Keys[a.name] = keys
				return nil
			},
		})
	}
	return table
}

func checkTheme(theme string) error { return oneOf(theme, themes) }

func oneOf(value string, allowed []string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return fmt.Errorf("%q is none of %s", value, strings.Join(allowed, ", "))
}

func quoteUnless(value, initial string) string {
	if value == "" || value == initial {
		return ""
	}
	return quote(value)
}

// quote writes a text as TOML.
func quote(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func list(texts []string) string {
	if texts == nil {
		return ""
	}
	quoted := make([]string, len(texts))
	for i, text := range texts {
		quoted[i] = quote(text)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// ConfigPath returns the path of the configuration file: kaban/config.toml in
// XDG_CONFIG_HOME, or in ~/.config. It is "" if neither is known.
func ConfigPath() string { return inHome("XDG_CONFIG_HOME", ".config", "config.toml") }

// inHome returns the path of one of our files, following the XDG Base Directory
// Specification: variables that are not absolute are ignored.
func inHome(variable, fallback, name string) string {
	if dir := os.Getenv(variable); filepath.IsAbs(dir) {
		return filepath.Join(dir, "kaban", name)
	}
	home, err := os.UserHomeDir()
	if err != nil || home == "" {
		return ""
	}
	return filepath.Join(home, fallback, "kaban", name)
}

// LoadConfig reads a configuration file, which need not exist. Unknown keys and
// invalid values are errors with file and line.
func LoadConfig(path string) (Config, error) {
	c := Config{path: path}
	if path == "" {
		return c, nil
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	table := settings()
	var keys []string
	for _, s := range table {
		keys = append(keys, s.name)
	}
	values, err := config.Load(path, keys)
	if err != nil {
		return c, err
	}
	for _, s := range table {
		v, ok := values[s.name]
		if !ok {
			continue
		}
		isList := strings.HasPrefix(s.initial, "[")
		if !isList && len(v.Texts) != 1 {
			return c, fmt.Errorf("configuration file %s, line %d: %s must be one value", path, v.Line, s.name)
		}
		if err := s.set(&c, v.Texts); err != nil {
			return c, fmt.Errorf("configuration file %s, line %d: %s: %w", path, v.Line, s.name, err)
		}
	}
	if err := checkBindings(c.Keys); err != nil {
		return c, fmt.Errorf("configuration file %s: %w", path, err)
	}
	return c, nil
}

// String returns the configuration as a file for LoadConfig, each key with its
// explanation; defaults are commented out.
func (c Config) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# The terminal client of Kaban. This file is %s.\n", c.path)
	b.WriteString("# Commented lines show the defaults. Flags and KABAN_ variables override this file.\n")
	for _, s := range settings() {
		fmt.Fprintf(&b, "\n# %s\n", s.help)
		if value := s.get(&c); value != "" {
			fmt.Fprintf(&b, "%s = %s\n", s.name, value)
		} else {
			fmt.Fprintf(&b, "# %s = %s\n", s.name, s.initial)
		}
	}
	return b.String()
}

// save writes the named keys to the file and leaves the rest unchanged.
func (c *Config) save(names ...string) error {
	if c.path == "" {
		return nil
	}
	text, err := os.ReadFile(c.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if len(text) == 0 {
		lines = []string{"# The terminal client of Kaban; \"kaban chat --print-config\" explains all keys."}
	}
	for _, s := range settings() {
		if !slices.Contains(names, s.name) {
			continue
		}
		value := s.get(c)
		if value == "" {
			value = s.initial
		}
		lines = assign(lines, s.name, value)
	}
	return writeFile(c.path, strings.Join(lines, "\n")+"\n")
}

// assign sets a key in the lines of a file. A value of several lines is replaced
// as a whole.
func assign(lines []string, key, value string) []string {
	for i, l := range lines {
		name, old, ok := strings.Cut(l, "=")
		if !ok || strings.TrimSpace(name) != key {
			continue
		}
		end := i + 1
		if old = strings.TrimSpace(old); strings.HasPrefix(old, "[") && !strings.Contains(old, "]") {
			for end < len(lines) && !strings.Contains(lines[end], "]") {
				end++
			}
			end = min(end+1, len(lines))
		}
		return slices.Concat(lines[:i:i], []string{key + " = " + value}, lines[end:])
	}
	return append(lines, key+" = "+value)
}

// writeFile replaces a file as a whole, or not at all.
func writeFile(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".kaban-*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	_, err = file.WriteString(text)
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}
