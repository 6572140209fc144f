package account

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"kaban/internal/access"
	"kaban/internal/people"
	"kaban/internal/store"
)

// MaxPushes is how many browsers of an account are notified while the page is closed.
const MaxPushes = people.MaxPushes

// PushInfo is what people see of a browser that is notified while the page is closed.
type PushInfo struct {
	ID      string
	Device  string // the id of the device that it ends with
	Name    string // of the device
	Created int64  // all times in Unix milliseconds; 0 is never
	// FailingSince is when its push service began to refuse pushes, or not to answer.
	FailingSince int64
	Current      bool // that of the device that asks
}

// Subscribe has the browser of the actor's device notified of messages while the page is closed. A
// device has one browser: what it subscribed before ends. So does the subscription of the browser
// by another account. The caller has checked that the subscription is one; its account, device and times are set
// here. Subscribe returns ErrTooMany beyond MaxPushes.
func (s *Service) Subscribe(ctx context.Context, by Actor, p people.Push) (PushInfo, error) {
	var name string
	err := s.update(ctx, by, func(c *change) error {
		if err := c.may(access.Subscribe); err != nil {
			return err
		}
		who := &c.by.Principal
		p.Account, p.Device, p.Created, p.FailingSince, name = who.Account.ID, who.SecretID, c.now, 0, who.SecretName
		known, err := people.Pushes.Get(c.Tx, p.ID)
		if same := err == nil && known.Account == p.Account && known.Device == p.Device; same {
			p.Created = known.Created
			if known.Endpoint == p.Endpoint && known.P256DH == p.P256DH && known.Auth == p.Auth && known.FailingSince == 0 {
				return errUnchanged
			}
		} else if err != nil && !errors.Is(err, people.ErrNotFound) {
			return err
		}
		if err == nil {
			c.unsubscribed(&known)
		}
		if err := c.endPushesOn(p.Device); err != nil {
			return err
		}
		others, _, err := people.Pushes.Of(c.Tx, p.Account, MaxPushes+1)
		if err != nil {
			return err
		}
		others = slices.DeleteFunc(others, func(o people.Push) bool { return o.ID == p.ID })
		if len(others) >= MaxPushes {
			return fmt.Errorf("%w: the limit of browsers that are notified is %d", ErrTooMany, MaxPushes)
		}
		if err := people.Pushes.Put(c.Tx, &p); err != nil {
			return err
		}
		if hook := s.options.OnSubscribed; hook != nil {
			c.after = append(c.after, func() { hook(p.Account) })
		}
		return c.audit(people.AuditPushAdd, who.Account.Username, p.Device)
	})
	if err != nil {
		return PushInfo{}, fmt.Errorf("subscribe a browser: %w", err)
	}
	return PushInfo{ID: p.ID, Device: p.Device, Name: name, Created: p.Created, Current: true}, nil
}

// Unsubscribe ends a subscription of the actor. It returns ErrNotFound if there is none with
// this id.
func (s *Service) Unsubscribe(ctx context.Context, by Actor, id string) error {
	return s.update(ctx, by, func(c *change) error {
		if err := c.may(access.Subscribe); err != nil {
			return err
		}
		p, err := found(people.Pushes.Get(c.Tx, id))
		if err == nil && p.Account != c.by.Principal.Account.ID {
			err = ErrNotFound
		}
		if err != nil {
			return err
		}
		if err := c.endPush(&p); err != nil {
			return err
		}
		return c.audit(people.AuditPushRemove, c.by.Principal.Account.Username, p.Device)
	})
}

// Pushes returns the subscriptions of the actor, the newest first.
func (s *Service) Pushes(ctx context.Context, by Actor) (infos []PushInfo, err error) {
	err = s.view(ctx, by, func(c *change) error {
		if err := c.may(access.ReadDevices); err != nil {
			return err
		}
		who := &c.by.Principal
		all, _, err := people.Pushes.Of(c.Tx, who.Account.ID, MaxPushes)
		if err != nil {
			return err
		}
		for i := range all {
			p := &all[i]
			device, err := people.Secrets.WithID(c.Tx, p.Device)
			if err != nil && !errors.Is(err, people.ErrNotFound) {
				return err
			}
			infos = append(infos, PushInfo{p.ID, p.Device, device.Name, p.Created, p.FailingSince, p.Device == who.SecretID})
		}
		return nil
	})
	slices.SortFunc(infos, func(a, b PushInfo) int { return int(b.Created - a.Created) })
	return infos, err
}

// PushHint reports whether pushes to browsers of the actor say only that there is a new message,
// as of now.
func (s *Service) PushHint(ctx context.Context, by Actor) (hint bool, err error) {
	err = s.view(ctx, by, func(c *change) error {
		if err := c.may(access.ReadDevices); err != nil {
			return err
		}
		a, err := found(people.Accounts.Get(c.Tx, c.by.Principal.Account.ID))
		hint = a.PushHint
		return err
	})
	return hint, err
}

// SetPushHint sets whether they do. Only a device may: a token cannot make pushes tell what they
// should not.
func (s *Service) SetPushHint(ctx context.Context, by Actor, hint bool) error {
	return s.changeOwn(ctx, by, access.Subscribe, people.AuditAccountNotifications, "", func(_ *change, a *people.Account) { a.PushHint = hint })
}

// DropPush forgets a subscription of an account that is of no use any more. It does nothing if
// there is none.
func (s *Service) DropPush(ctx context.Context, account, id string) error {
	return s.documents.Update(ctx, func(tx store.Tx) error {
		if p, err := people.Pushes.Get(tx, id); err != nil || p.Account != account {
			return ignoreNotFound(err)
		}
		return people.Pushes.Delete(tx, id)
	})
}

// MarkPush notes since when pushes to a subscription of an account have failed; the zero time
// means that they work. It does nothing if there is none.
func (s *Service) MarkPush(ctx context.Context, account, id string, since time.Time) error {
	return s.documents.Update(ctx, func(tx store.Tx) error {
		p, err := people.Pushes.Get(tx, id)
		if err != nil || p.Account != account {
			return ignoreNotFound(err)
		}
		if p.FailingSince = 0; !since.IsZero() {
			p.FailingSince = since.UnixMilli()
		}
		return people.Pushes.Put(tx, &p)
	})
}

// endPush ends a subscription.
func (c *change) endPush(p *people.Push) error {
	c.unsubscribed(p)
	return people.Pushes.Delete(c.Tx, p.ID)
}

// unsubscribed announces, after the commit, that a subscription has ended.
func (c *change) unsubscribed(p *people.Push) {
	if hook, account, id := c.service.options.OnUnsubscribed, p.Account, p.ID; hook != nil {
		c.after = append(c.after, func() { hook(account, id) })
	}
}

// endPushesOn ends the subscription of a device.
func (c *change) endPushesOn(device string) error {
	all, _, err := people.Pushes.On(c.Tx, device, MaxPushes)
	return c.endPushes(all, err)
}

// endPushesOf ends the subscriptions of an account.
func (c *change) endPushesOf(account string) error {
	all, _, err := people.Pushes.Of(c.Tx, account, MaxPushes)
	return c.endPushes(all, err)
}

func (c *change) endPushes(all []people.Push, err error) error {
	for i := range all {
		if err == nil {
			err = c.endPush(&all[i])
		}
	}
	return err
}

// deleteSecret ends a device or a token of an account, with what depends on it.
func (c *change) deleteSecret(k *people.Secret) error {
	c.revoked(k.Account, k.ID)
	if err := c.endPushesOn(k.ID); err != nil {
		return err
	}
	return people.Secrets.Delete(c.Tx, k.Hash)
}
