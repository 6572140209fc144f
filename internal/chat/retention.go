package chat

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"kaban"
	"kaban/internal/people"
	"kaban/internal/store"
)

// This file deletes what is older than the retention of its room: it cuts the fronts of logs, a
// few entries at a time.

const (
	// retainEvery is how often the server looks for what is too old.
	retainEvery = time.Hour
	// retainStep is how many entries are cut in one transaction, and retainRest how many times
	// as long as that took others are alone with the store; see rest.
	retainStep, retainRest = 256, 3
	day                    = 24 * 60 * 60 * 1000 // milliseconds
)

// Retain deletes what is too old, at once, whenever a retention has changed, and every hour,
// until the context ends. Errors go to a function; the next time it goes on.
func (c *Chat) Retain(ctx context.Context, report func(error)) {
	last := c.elapsed()
	for first := true; ctx.Err() == nil; first = false {
		now := c.elapsed()
		passed := (now - last).Milliseconds()
		if first {
			passed = 0
		}
		last = now
		if err := c.retainAll(ctx, passed); err != nil && ctx.Err() == nil {
			report(err)
		}
		select {
		case <-c.retain:
		case <-time.After(retainEvery):
		case <-ctx.Done():
		}
	}
}

// retainAll deletes what is too old in all rooms. passed are the milliseconds since the last
// call.
func (c *Chat) retainAll(ctx context.Context, passed int64) error {
	clock, err := c.advance(ctx, passed)
	if err != nil {
		return err
	}
	var runs []store.Run
	var errs []error
	for _, name := range c.dispatcher.Names() {
		var failed error
		if clock.Time != 0 {
			failed = c.cutRoom(ctx, name, clock)
		}
		// What was cut before is forgotten, even if nothing is cut any more.
		run, err := c.unforgotten(ctx, name)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errs = append(errs, failed, err); run.Last > run.After {
			runs = append(runs, run)
		}
	}
	return errors.Join(append(errs, c.forgetCuts(ctx, runs))...)
}

// advance returns the time to go by, zero if no room has a retention.
func (c *Chat) advance(ctx context.Context, passed int64) (clock people.Clock, err error) {
	idle := false // there is a clock and nothing goes by it; later it would be doubted
	err = c.dispatcher.View(ctx, func(tx store.Tx) error {
		clock, idle = people.Clock{}, false
		_, server := people.Settings.Get(tx, people.SettingRetention)
		own, _, err := people.Retentions.List(tx, nil, nil, 1)
		if err != nil {
			return err
		}
		if errors.Is(server, people.ErrNotFound) && len(own) == 0 {
			_, err := people.Clocks.Get(tx, people.SettingRetention)
			if idle = err == nil; errors.Is(err, people.ErrNotFound) {
				return nil
			}
			return err
		}
		clock.Name = people.SettingRetention
		return nil
	})
	if err != nil {
		return people.Clock{}, err
	}
	switch {
	case clock.Name == "" && !idle:
		return people.Clock{}, nil
	case clock.Name == "":
		return people.Clock{}, c.dispatcher.Update(ctx, func(tx store.Tx) error { return people.Clocks.Delete(tx, people.SettingRetention) })
	}
	return c.believe(ctx, people.SettingRetention, passed)
}

// believe has a clock hear what that of the machine says; see people.Clock.Advance.
func (c *Chat) believe(ctx context.Context, name string, passed int64) (clock people.Clock, err error) {
	now := c.now()
	err = c.dispatcher.Update(ctx, func(tx store.Tx) error {
		clock, err = people.Clocks.Get(tx, name)
		if err != nil && !errors.Is(err, people.ErrNotFound) {
			return err
		}
		clock.Name = name
		clock.Advance(now, passed)
		return people.Clocks.Put(tx, &clock)
	})
	return clock, err
}

// ageOf returns what is too old after so many days.
func (c *Chat) ageOf(clock people.Clock, days int64) store.Age {
	return store.Age{Before: clock.Time - days*day, Now: max(clock.Time, c.now())}
}

// cutRoom cuts what is too old in a room. What was read for previews of all that was ever cut is forgotten, also if
// nothing is cut: the last time it may have failed.
func (c *Chat) cutRoom(ctx context.Context, name kaban.RoomName, clock people.Clock) (failed error) {
	for n := retainStep; n == retainStep; {
		var days int64 // it may change meanwhile
		err := c.dispatcher.View(ctx, func(tx store.Tx) (err error) {
			days, err = people.Retentions.Days(tx, name.Key())
			return err
		})
		if err != nil || days == 0 {
			return cmp.Or(failed, err)
		}
		start := time.Now()
		if n, err = c.dispatcher.Cut(ctx, name, c.ageOf(clock, days), retainStep); err != nil {
			return err
		}
		if n > 0 {
			c.releasing()
		}
		failed = cmp.Or(failed, c.forgetCutPreviews(ctx, name)) // the next step tries it again
		if n == retainStep {
			rest(ctx, start)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return failed
}

// forgetCutPreviews has what was read for messages forgotten that were cut from a room.
func (c *Chat) forgetCutPreviews(ctx context.Context, name kaban.RoomName) error {
	if c.previewer == nil {
		return nil
	}
	state, err := c.dispatcher.State(ctx, name)
	if err == nil && state.Oldest > 1 {
		c.previewer.Forget(name, 0, state.Oldest-1)
	}
	return err
}

// unforgotten returns what was cut from a room and the search index has yet to forget.
func (c *Chat) unforgotten(ctx context.Context, name kaban.RoomName) (run store.Run, err error) {
	if c.forgetIndex == nil {
		return run, nil
	}
	state, err := c.dispatcher.State(ctx, name)
	if err != nil || state.Oldest == 1 {
		return run, err
	}
	err = c.dispatcher.View(ctx, func(tx store.Tx) error {
		cut, err := people.Cuts.Get(tx, name.Key())
		if errors.Is(err, people.ErrNotFound) {
			err = nil
		}
		run = store.Run{Room: name, After: cut.Seq, Last: state.Oldest - 1}
		return err
	})
	return run, err
}

// forgetCuts has the search index forget what was cut, and notes that it has.
func (c *Chat) forgetCuts(ctx context.Context, runs []store.Run) error {
	if len(runs) == 0 {
		return nil
	}
	if err := c.forgetIndex(ctx, runs); err != nil {
		return fmt.Errorf("have the search index forget what was deleted: %w", err)
	}
	return c.dispatcher.Update(ctx, func(tx store.Tx) error {
		for _, run := range runs {
			if err := people.Cuts.Put(tx, &people.Cut{Room: run.Room.Key(), Seq: run.Last}); err != nil {
				return err
			}
		}
		return nil
	})
}

// TooOld counts the messages that are older than some days, and the rooms that have any: in one
// room, or in all that have the retention of the server if its name is the zero value. It asks
// for no right.
func (c *Chat) TooOld(ctx context.Context, room kaban.RoomName, days int64) (messages uint64, rooms int, err error) {
	if days == 0 {
		return 0, 0, nil
	}
	names := []kaban.RoomName{room}
	if room.String() == "" {
		names = c.dispatcher.Names()
	}
	age := c.ageOf(people.Clock{Time: c.now()}, days)
	for _, name := range names {
		if room.String() == "" {
			own := ""
			err := c.dispatcher.View(ctx, func(tx store.Tx) (err error) {
				own, err = people.Retentions.Of(tx, name.Key())
				return err
			})
			if err != nil {
				return 0, 0, err
			}
			if own != "" {
				continue
			}
		}
		_, n, err := c.dispatcher.Old(ctx, name, age)
		if err != nil {
			return 0, 0, err
		}
		if messages += n; n > 0 {
			rooms++
		}
	}
	return messages, rooms, nil
}

// retentionChanged has what is too old deleted soon.
func (c *Chat) retentionChanged() {
	select {
	case c.retain <- struct{}{}:
	default:
	}
}
