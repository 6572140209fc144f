package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"kaban/internal/config"
)

// settingsCommand reads and changes what an owner can change while the server runs.
type settingsCommand struct {
	List settingsList `cmd:"" default:"withargs" help:"List the settings."`
	Get  settingsGet  `cmd:"" help:"Print the value of a setting."`
	Set  settingsSet  `cmd:"" help:"Change a setting, at once."`
}

// settingRow is a setting, as the API has it.
type settingRow struct {
	Key     string `json:"key"`
	Value   string `json:"value"`
	Default string `json:"default"`
	Help    string `json:"help"`
}

type settingsList struct{ adminFlags }

// Run lists the settings.
func (c *settingsList) Run(std streams) error {
	return c.withAdmin(std, nil, func(ctx context.Context, a *admin) error {
		return list(ctx, a, "/v1/admin/settings", "settings", nil, []string{"KEY", "VALUE", "MEANING"}, "there are no settings",
			func(s *settingRow) []string {
				return []string{s.Key, orDash(s.Value), s.Help}
			})
	})
}

// setting returns a setting of the server.
func (a *admin) setting(ctx context.Context, key string) (found settingRow, err error) {
	var all struct {
		Settings []settingRow `json:"settings"`
	}
	if err := a.do(ctx, "GET", "/v1/admin/settings", nil, &all); err != nil {
		return found, err
	}
	i := slices.IndexFunc(all.Settings, func(s settingRow) bool { return s.Key == key })
	if i < 0 {
		known := make([]string, len(all.Settings))
		for i, s := range all.Settings {
			known[i] = s.Key
		}
		return found, usagef("there is no setting %s%s", key, config.Nearest(key, known))
	}
	return all.Settings[i], nil
}

type settingsGet struct {
	adminFlags
	Key string `arg:"" help:"The key."`
}

// Run prints the value of a setting.
func (c *settingsGet) Run(std streams) error {
	return c.withAdmin(std, nil, func(ctx context.Context, a *admin) error {
		s, err := a.setting(ctx, c.Key)
		if err != nil {
			return err
		}
		answer, err := json.Marshal(s)
		if err != nil {
			return err
		}
		if a.json {
			return a.print(json.RawMessage(answer))
		}
		if _, err := fmt.Fprintln(std.out, s.Value); err != nil {
			return fmt.Errorf("standard output: %w", err)
		}
		return nil
	})
}

type settingsSet struct {
	adminFlags
	confirmFlags
	Key   string `arg:"" help:"The key."`
	Value string `arg:"" help:"The new value."`
}

// Run changes a setting.
func (c *settingsSet) Run(std streams) error {
	return c.withAdmin(std, nil, func(ctx context.Context, a *admin) error {
		if _, err := a.setting(ctx, c.Key); err != nil { // a typo gets a suggestion
			return err
		}
		if c.Key == settingRetention {
			if err := c.askAboutRetention(ctx, a, "", c.Value); err != nil {
				return err
			}
		}
		if err := a.do(ctx, "PUT", "/v1/admin/settings/"+segment(c.Key), map[string]string{"value": c.Value}, nil); err != nil {
			return err
		}
		a.say("%s is now %q", c.Key, c.Value)
		return nil
	})
}
