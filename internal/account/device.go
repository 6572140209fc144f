package account

import (
	"context"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"kaban/internal/access"
	"kaban/internal/people"
	"kaban/internal/store"
)

// SecretInfo is what people see of a device or a token.
type SecretInfo struct {
	ID       string
	Kind     people.SecretKind
	Name     string
	Created  int64 // all times in Unix milliseconds; 0 is never
	Used     int64 // to the hour
	Expires  int64
	Address  string // of the last use
	Rooms    []string
	ReadOnly bool
	Current  bool // the one that asks
}

// deviceName returns what a device is called.
func deviceName(s string) string {
	s = strings.Join(strings.Fields(strings.Map(func(c rune) rune {
		if c == utf8.RuneError || !unicode.IsPrint(c) && !unicode.IsSpace(c) {
			return -1
		}
		return c
	}, s)), " ")
	if runes := []rune(s); len(runes) > maxDeviceName {
		s = string(runes[:maxDeviceName])
	}
	if s == "" {
		return "unnamed device"
	}
	return s
}

// Devices returns the devices and tokens of the actor, the one used last first.
func (s *Service) Devices(ctx context.Context, by Actor) (infos []SecretInfo, err error) {
	err = s.view(ctx, by, func(c *change) error {
		if err := c.may(access.ReadDevices); err != nil {
			return err
		}
		infos, err = c.secretsOf(c.by.Principal.Account.ID, "")
		return err
	})
	return infos, err
}

// secretsOf returns what people see of the secrets of an account. An empty kind is
// all kinds.
func (c *change) secretsOf(account string, kind people.SecretKind) ([]SecretInfo, error) {
	secrets, _, err := people.Secrets.Of(c.Tx, account, kind, maxDevices+maxTokens)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(secrets, func(a, b people.Secret) int { return int(b.Used - a.Used) })
	infos := make([]SecretInfo, len(secrets))
	for i := range secrets {
		infos[i] = infoOf(&secrets[i])
		infos[i].Current = !c.by.Operator && secrets[i].ID == c.by.Principal.SecretID
	}
	return infos, nil
}

func infoOf(k *people.Secret) SecretInfo {
	return SecretInfo{
		ID: k.ID, Kind: k.Kind, Name: k.Name, Created: k.Created, Used: k.Used, Expires: k.Expires,
		Address: k.Address, Rooms: k.Rooms, ReadOnly: k.ReadOnly,
	}
}

// RenameDevice changes the name of a device or token of the actor.
func (s *Service) RenameDevice(ctx context.Context, by Actor, id, name string) error {
	return s.update(ctx, by, func(c *change) error {
		if err := c.may(access.ChangeProfile); err != nil {
			return err
		}
		kept, err := c.ownSecret(id)
		if err != nil {
			return err
		}
		kept.Name = deviceName(name)
		if err := people.Secrets.Put(c.Tx, &kept); err != nil {
			return err
		}
		return c.audit(people.AuditDeviceRename, kept.ID, kept.Name)
	})
}

// ownSecret returns a device or token of the actor, or of a bot of the actor.
func (c *change) ownSecret(id string) (people.Secret, error) {
	kept, err := found(people.Secrets.WithID(c.Tx, id))
	if err != nil || c.by.Operator || kept.Account == c.by.Principal.Account.ID {
		return kept, err
	}
	a, err := c.account(kept.Account)
	if err != nil || !a.Bot || a.Owner != c.by.Principal.Account.ID {
		return people.Secret{}, ErrNotFound
	}
	return kept, nil
}

var revoked = map[people.SecretKind]people.AuditAction{
	people.SecretDevice: people.AuditDeviceRevoke, people.SecretToken: people.AuditTokenRevoke,
}

// RevokeDevice ends a device or a token of the actor or of a bot of the actor. An
// actor that revokes its own device signs out.
func (s *Service) RevokeDevice(ctx context.Context, by Actor, id string) error {
	return s.update(ctx, by, func(c *change) error {
		if err := c.may(access.RevokeDevice); err != nil {
			return err
		}
		kept, err := c.ownSecret(id)
		if err != nil {
			return err
		}
		if err := c.deleteSecret(&kept); err != nil {
			return err
		}
		// A device that is lost may have approved another one. One that signs out may, too,
		// but its holder meant it.
		if kept.Kind == people.SecretDevice && kept.ID != c.by.Principal.SecretID {
			if err := c.dropTickets(kept.Account); err != nil {
				return err
			}
		}
		return c.audit(revoked[kept.Kind], kept.ID, kept.Name)
	})
}

// RevokeOtherDevices ends all devices of the actor but the one that asks. Tokens
// stay valid.
func (s *Service) RevokeOtherDevices(ctx context.Context, by Actor) error {
	return s.update(ctx, by, func(c *change) error {
		if err := c.may(access.RevokeDevice); err != nil {
			return err
		}
		p := c.by.Principal
		if err := c.revokeSecrets(p.Account.ID, people.SecretDevice, p.SecretID); err != nil {
			return err
		}
		return c.audit(people.AuditDeviceRevoke, p.Account.Username, "all others")
	})
}

// revokeSecrets ends the secrets of an account but one. An empty kind is all kinds.
// Where devices end, whatever would make another one ends as well: tickets and links.
func (c *change) revokeSecrets(account string, kind people.SecretKind, but string) error {
	if kind != people.SecretToken {
		if err := c.dropTickets(account); err != nil {
			return err
		}
		if err := c.dropLinks(account); err != nil {
			return err
		}
	}
	for {
		secrets, more, err := people.Secrets.Of(c.Tx, account, kind, maxDevices+maxTokens)
		if err != nil {
			return err
		}
		for i := range secrets {
			if secrets[i].ID == but {
				continue
			}
			if err := c.deleteSecret(&secrets[i]); err != nil {
				return err
			}
		}
		if !more {
			return nil
		}
	}
}

// dropTickets ends what somebody has begun for an account and not finished: approved
// devices that have not asked yet, and registrations at authenticators and providers.
func (c *change) dropTickets(account string) error {
	for {
		tickets, more, err := people.Tickets.For(c.Tx, account, maxExpired)
		if err != nil {
			return err
		}
		for _, t := range tickets {
			if err := people.Tickets.Delete(c.Tx, t.Hash); err != nil {
				return err
			}
		}
		if !more {
			return nil
		}
	}
}

// view runs a function on one state. The change that it gets cannot write.
func (s *Service) view(ctx context.Context, by Actor, run func(*change) error) error {
	return s.documents.View(ctx, func(tx store.Tx) error {
		return run(&change{Tx: tx, service: s, by: by, now: s.now()})
	})
}
