package chat

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"kaban"
	"kaban/internal/dispatch"
	"kaban/internal/news"
	"kaban/internal/people"
	"kaban/internal/store"
)

// This file deletes what an account has written once it is erased: messages and reactions in
// all rooms, each as an entry of the log, so that numbers stay; topics and reasons in the
// entries that have them. It is long work, of a
// goroutine; what a server that ends has not done the next one does.

// erasePage is how many entries are read at a time, and erasePosts how many are deleted
// at once.
const erasePage, erasePosts = 500, 64

// eraseAgain is how long an erasure waits after a failure. Each failure in a row doubles it, up
// to eraseRarely.
const eraseAgain, eraseRarely = 5 * time.Second, 10 * time.Minute

// eraser is the goroutine that erases. It ends when nothing is left.
type eraser struct {
	log    *slog.Logger
	ctx    context.Context
	cancel context.CancelFunc
	group  sync.WaitGroup
	came   chan struct{} // has an element once something came while it was running

	mu      sync.Mutex // guards all below
	running bool
	again   bool // something came while it was running
	closed  bool
	// unrecorded is set until the accounts that were erased before the start are noted
	// elsewhere, see Options.RecordErased.
	unrecorded bool

	failing map[string]*failedErasure // by account; of the goroutine
	// ended are the accounts that have nothing left but uploads in use; of the goroutine.
	ended map[string]bool
	// elsewhere are accounts that another node has erased, while something of them may be in the search index and
	// among the uploads of this one. It is guarded by mu.
	elsewhere map[string]bool
	// cut are rooms whose front was cut, while the search index of this node may have words of it. It is guarded by mu.
	cut map[string]bool
	// forgot is how far it has forgotten rooms; of the goroutine.
	forgot map[string]uint64
}

// recording stands for what is unrecorded, among the accounts that fail, elsewhere for what another node has erased, and
// cutting for what was cut.
const recording, elsewhere, cutting = "all", "elsewhere", "cut"

// failedErasure is an erasure that goes on later.
type failedErasure struct {
	wait time.Duration // how long it waits this time
	next time.Time
	// uploads is how often in a row an upload was in use, which is no failure: whoever sends it is cut.
	uploads int
}

// maxUploading is how often an upload may be in use, for eraseAgain each, before that is a failure.
// Finishing one takes ten minutes at most.
const maxUploading = 150

func (e *eraser) init(log *slog.Logger) {
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.log, e.came, e.failing, e.ended, e.elsewhere = log, make(chan struct{}, 1), make(map[string]*failedErasure), make(map[string]bool), make(map[string]bool)
	e.cut, e.forgot = make(map[string]bool), make(map[string]uint64)
}

// close ends the goroutine and waits for it.
func (e *eraser) close() {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.cancel()
	e.group.Wait()
}

// erase has everything erased that waits for it, in the background.
func (c *Chat) erase(ctx context.Context) error {
	_, err := c.nextErasure(ctx, "")
	if err != nil && !isLasting(err) {
		return err
	}
	e := &c.eraser
	e.mu.Lock()
	defer e.mu.Unlock()
	if !errors.Is(err, people.ErrNotFound) || e.unrecorded { // of damage, the goroutine says in the log
		c.beginErasingLocked()
	}
	return nil
}

// beginErasingLocked has the goroutine look around.
func (c *Chat) beginErasingLocked() {
	e := &c.eraser
	e.again = true
	select {
	case e.came <- struct{}{}:
	default:
	}
	if !e.running && !e.closed {
		e.running = true
		e.group.Go(c.eraseLoop)
	}
}

// erasedElsewhere has nothing left here, in the background, of accounts that another node has erased, and takes them out.
func (c *Chat) erasedElsewhere(accounts map[string]bool) error {
	c.beginForgetting(&c.eraser.elsewhere, accounts)
	return nil
}

// beginForgetting adds what was erased or cut elsewhere to what the goroutine has yet to do, and takes it out.
func (c *Chat) beginForgetting(due *map[string]bool, news map[string]bool) {
	if len(news) == 0 {
		return
	}
	e := &c.eraser
	e.mu.Lock()
	defer e.mu.Unlock()
	maps.Copy(*due, news)
	clear(news)
	c.beginErasingLocked()
}

// erasedMissed is erasedElsewhere for all accounts that were ever erased.
func (c *Chat) erasedMissed(ctx context.Context) error {
	accounts := make(map[string]bool)
	err := c.dispatcher.View(ctx, func(tx store.Tx) error {
		clear(accounts)
		return people.Erasures.Each(tx, nil, func(key []string, e *people.Erasure) {
			if e == nil || e.Done != 0 {
				accounts[key[0]] = true
			}
		})
	})
	if err != nil {
		return c.passing(err)
	}
	return c.erasedElsewhere(accounts)
}

// eraseHere leaves nothing in the search index and among the uploads of this node of accounts that another one has erased.
// The error is ErrUploading if all that is left is an upload in use.
func (c *Chat) eraseHere(ctx context.Context) (failed error) {
	e := &c.eraser
	e.mu.Lock()
	accounts := maps.Clone(e.elsewhere)
	e.mu.Unlock()
	c.dispatcher.Reencode() // texts that were taken out of entries are in no log
	if c.eraseIndex != nil {
		failed = c.eraseIndex(ctx)
	}
	for account := range accounts {
		var err error
		if c.blobs != nil {
			err = c.blobs.DeleteUploads(account)
		}
		if err == nil && failed == nil {
			e.mu.Lock()
			delete(e.elsewhere, account)
			e.mu.Unlock()
		} else if failed == nil || errors.Is(failed, ErrUploading) {
			failed = cmp.Or(err, failed)
		}
	}
	return failed
}

// isErasedElsewhere reports whether another node has erased an account and this one has something left to do.
func (e *eraser) isErasedElsewhere() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.elsewhere) > 0
}

// cutElsewhere has the search index of this node forget, in the background, what was cut from some rooms, and takes
// them out.
func (c *Chat) cutElsewhere(rooms map[string]bool) error {
	if c.forgetIndex == nil {
		clear(rooms)
	}
	c.beginForgetting(&c.eraser.cut, rooms)
	return nil
}

// cutsMissed is cutElsewhere for all rooms that were ever cut.
func (c *Chat) cutsMissed(ctx context.Context) error {
	rooms := make(map[string]bool)
	err := c.dispatcher.View(ctx, func(tx store.Tx) error {
		clear(rooms)
		return people.Cuts.Each(tx, nil, func(key []string, _ *people.Cut) { rooms[key[0]] = true })
	})
	if err != nil {
		return c.passing(err)
	}
	return c.cutElsewhere(rooms)
}

// forgetHere has the search index of this node forget what was cut.
func (c *Chat) forgetHere(ctx context.Context) error {
	e := &c.eraser
	e.mu.Lock()
	rooms := e.cut
	e.cut = make(map[string]bool)
	e.mu.Unlock()
	for batch := range slices.Chunk(slices.Collect(maps.Keys(rooms)), maxBatch) {
		if err := c.forgetSome(ctx, batch); err != nil {
			e.mu.Lock()
			maps.Copy(e.cut, rooms)
			e.mu.Unlock()
			return err
		}
	}
	return nil
}

// forgetSome is forgetHere for some rooms.
func (c *Chat) forgetSome(ctx context.Context, rooms []string) error {
	var cuts []people.Cut
	err := c.dispatcher.View(ctx, func(tx store.Tx) (err error) {
		cuts, err = people.Cuts.FindAll(tx, rooms)
		return err
	})
	if err != nil {
		return err
	}
	forgot := c.eraser.forgot
	var runs []store.Run
	for i, key := range rooms {
		name, err := kaban.ParseAnyRoom(key)
		if err == nil && cuts[i].Seq > forgot[key] {
			runs = append(runs, store.Run{Room: name, After: forgot[key], Last: cuts[i].Seq})
		}
	}
	if len(runs) == 0 {
		return nil
	}
	if err := c.forgetIndex(ctx, runs); err != nil {
		return err
	}
	for _, run := range runs {
		forgot[run.Room.Key()] = run.Last
	}
	return nil
}

// isCut reports whether something was cut that the search index of this node may have words of.
func (e *eraser) isCut() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.cut) > 0
}

func (c *Chat) eraseLoop() {
	e := &c.eraser
	for {
		e.mu.Lock()
		if !e.again || e.closed {
			e.running = false
			e.mu.Unlock()
			return
		}
		e.again = false
		e.mu.Unlock()
		wait := c.eraseAll(e.ctx)
		if wait == 0 {
			continue
		}
		select {
		case <-time.After(wait):
		case <-e.came:
		case <-e.ctx.Done():
		}
		e.mu.Lock()
		e.again = true
		e.mu.Unlock()
	}
}

// eraseAll erases whatever waits for it, but what has failed and is not due. It returns in what
// time more is due; 0 if nothing is left, or the server ends.
func (c *Chat) eraseAll(ctx context.Context) (wait time.Duration) {
	e := &c.eraser
	waiting := make(map[string]bool)
	try := func(what string, due bool, do func(context.Context) error) (goesOn bool) {
		failed := e.failing[what]
		if waiting[what] = due; !due || failed != nil && time.Now().Before(failed.next) {
			return true
		}
		err := do(ctx)
		if ctx.Err() != nil || err != nil && IsGoingDown(err) {
			return false
		}
		e.note(what, err)
		waiting[what] = err != nil
		return true
	}
	if !try(recording, e.isUnrecorded(), c.recordAll) {
		return 0
	}
	waiting[elsewhere], waiting[cutting] = e.isErasedElsewhere(), e.isCut()
	for after, more := "", true; more; {
		next, err := c.nextErasure(ctx, after)
		if isLasting(err) { // all that can be read were seen
			if errors.Is(err, people.ErrNotFound) {
				err = nil
			}
			e.note("", err)
			waiting[""] = err != nil
			maps.DeleteFunc(e.failing, func(account string, _ *failedErasure) bool { return !waiting[account] })
			maps.DeleteFunc(e.ended, func(account string, _ bool) bool { return !waiting[account] })
			break
		}
		after = next.Account
		if more = err == nil; more { // else nobody knows what comes next
			if failed := e.failing[after]; failed != nil && time.Now().Before(failed.next) {
				waiting[after] = true
				continue
			}
			err = c.eraseOne(ctx, &next)
		}
		if ctx.Err() != nil || err != nil && IsGoingDown(err) {
			return 0
		}
		e.note(after, err)
		waiting[after] = err != nil
	}
	// At the end, because both wait for the search index.
	if !try(cutting, e.isCut(), c.forgetHere) || !try(elsewhere, e.isErasedElsewhere(), c.eraseHere) {
		return 0
	}
	for _, failed := range e.failing {
		if until := max(time.Until(failed.next), 1); wait == 0 || until < wait {
			wait = until
		}
	}
	return wait
}

// nextErasure returns the first erasure of those whose accounts sort after one.
func (c *Chat) nextErasure(ctx context.Context, after string) (e people.Erasure, err error) {
	err = c.dispatcher.View(ctx, func(tx store.Tx) (err error) {
		e, err = people.Erasures.Next(tx, after)
		return err
	})
	return e, err
}

// note notes whether the erasing of an account has failed. No account stands for the list of
// them, and recording for what is unrecorded.
func (e *eraser) note(account string, err error) {
	what, works := "what an account has written could not be erased", "erasing what an account has written works again"
	switch account {
	case elsewhere:
		what, works = "what another node has erased could not be erased in the search index and the uploads of this one", "erasing what another node has erased works again"
	case cutting:
		what, works = "what retention has deleted could not be forgotten in the search index of this node", "forgetting what retention has deleted works again"
	case recording:
		what, works = "which accounts were erased could not be noted, so a backup may bring them back", "noting which accounts were erased works again"
	}
	failed := e.failing[account]
	if errors.Is(err, ErrUploading) && (failed == nil || failed.uploads > 0 && failed.uploads < maxUploading) {
		if failed == nil {
			failed = new(failedErasure)
			e.failing[account] = failed
		}
		failed.uploads++
		failed.wait, failed.next = eraseAgain, time.Now().Add(eraseAgain)
		return
	}
	if failed != nil && failed.uploads > 0 { // nobody has heard of it
		delete(e.failing, account)
		failed = nil
	}
	switch {
	case err == nil && failed != nil:
		delete(e.failing, account)
		e.log.Info(works, "account", account)
	case err == nil:
	case failed == nil:
		e.log.Error(what+"; that is tried again", "account", account, "error", err)
		failed = &failedErasure{wait: eraseAgain}
		failed.next, e.failing[account] = time.Now().Add(failed.wait), failed
	default:
		failed.wait = min(2*failed.wait, eraseRarely)
		failed.next = time.Now().Add(failed.wait)
	}
}

func (c *Chat) eraseOne(ctx context.Context, e *people.Erasure) error {
	if e.Version < people.ErasureVersion {
		e.Version, e.Audited, e.Room, e.Counted, e.Deleted = people.ErasureVersion, false, "", "", false
	}
	if c.eraseAudit != nil && !e.Audited {
		if err := c.eraseAudit(ctx, e.Account); err != nil {
			return err
		}
		e.Audited = true
		if err := c.putErasure(ctx, e); err != nil {
			return err
		}
	}
	if !e.Deleted {
		for _, name := range c.dispatcher.Names() {
			if name.Key() <= e.Room {
				continue
			}
			if err := c.eraseRoom(ctx, e, name); err != nil {
				return err
			}
		}
		e.Deleted = true
		if err := c.putErasure(ctx, e); err != nil {
			return err
		}
	}
	if err := c.endErasure(ctx, e); err != nil {
		return err
	}
	delete(c.eraser.ended, e.Account)
	e.Done, e.Authors, e.Until = c.now(), nil, nil
	return c.dispatcher.Update(ctx, func(tx store.Tx) error {
		news.Note(tx, people.ErasedKey(e.Account))
		return people.Erasures.Put(tx, e)
	})
}

// endErasure leaves nothing of what was deleted in store, index and files. An upload that goes on holds up the end: then
// the error is ErrUploading, and only uploads are looked at the next time.
func (c *Chat) endErasure(ctx context.Context, e *people.Erasure) error {
	ended := c.eraser.ended[e.Account]
	if !ended {
		if err := c.dispatcher.Erase(ctx); err != nil {
			return err
		}
		if err := c.record(ctx, []people.Erasure{*e}); err != nil {
			return err
		}
		if c.eraseIndex != nil { // behind the store, from which it reads
			if err := c.eraseIndex(ctx); err != nil {
				return err
			}
		}
	}
	if c.blobs == nil {
		return nil
	}
	busy := c.eraseUploads(ctx, e)
	if busy != nil && (ended || !errors.Is(busy, ErrUploading)) {
		return busy
	}
	if err := c.dispatcher.Erase(ctx); err != nil { // the names of files that are gone now
		return err
	}
	c.eraser.ended[e.Account] = true
	return busy
}

// eraseUploads removes what the authors have uploaded. The store has noted by then which messages
// have let go of their files, and has to erase the names of files that go now. The error is ErrUploading
// if all that is left is in use.
func (c *Chat) eraseUploads(ctx context.Context, e *people.Erasure) (busy error) {
	for _, author := range e.Authors {
		account, _ := kaban.AuthorOf(author)
		if account == "" {
			continue
		}
		if err := c.eraseFiles(ctx, account); errors.Is(err, ErrUploading) {
			busy = err
		} else if err != nil {
			return err
		}
	}
	return busy
}

// isUnrecorded reports whether unrecorded is set.
func (e *eraser) isUnrecorded() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.unrecorded
}

// beginRecording has every account that was erased noted elsewhere again, if there is any: what
// notes them may have been lost.
func (c *Chat) beginRecording(ctx context.Context) error {
	if c.recordErased == nil {
		return nil
	}
	return c.dispatcher.View(ctx, func(tx store.Tx) error {
		some, _, err := people.Erasures.List(tx, nil, nil, 1)
		c.eraser.unrecorded = len(some) > 0 || errors.Is(err, store.ErrDamaged)
		return c.passing(err)
	})
}

// recordAll has every account noted elsewhere that was erased.
func (c *Chat) recordAll(ctx context.Context) error {
	var all []people.Erasure
	damaged := 0
	err := c.dispatcher.View(ctx, func(tx store.Tx) error {
		all, damaged = nil, 0
		return people.Erasures.Each(tx, nil, func(_ []string, e *people.Erasure) {
			if e == nil {
				damaged++
				return
			}
			all = append(all, *e)
		})
	})
	if err == nil {
		err = c.record(ctx, all)
	}
	if err == nil && damaged > 0 {
		err = fmt.Errorf("%w: %d erasures; the others are noted", store.ErrDamaged, damaged)
	}
	if err != nil {
		return err
	}
	c.eraser.mu.Lock()
	defer c.eraser.mu.Unlock()
	c.eraser.unrecorded = false
	return nil
}

// record has accounts noted elsewhere that were erased, and their bots, which were erased with
// them.
func (c *Chat) record(ctx context.Context, erasures []people.Erasure) error {
	if c.recordErased == nil {
		return nil
	}
	var accounts []store.ErasedAccount
	err := c.dispatcher.View(ctx, func(tx store.Tx) error {
		accounts = nil
		for i := range erasures {
			e := &erasures[i]
			accounts = append(accounts, store.ErasedAccount{ID: e.Account, Time: e.Since})
			err := people.Accounts.Bots(tx, e.Account, func(bot *people.Account) bool {
				if bot.Status == people.StatusRemoved { // else a restore has brought it back to its former owner
					accounts = append(accounts, store.ErasedAccount{ID: bot.ID, Time: e.Since})
				}
				return true
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.recordErased(ctx, accounts)
}

func (c *Chat) putErasure(ctx context.Context, e *people.Erasure) error {
	return c.dispatcher.Update(ctx, func(tx store.Tx) error { return people.Erasures.Put(tx, e) })
}

// eraseRoom deletes what the authors have written in a room. It is counted before.
func (c *Chat) eraseRoom(ctx context.Context, e *people.Erasure, name kaban.RoomName) error {
	if err := c.countRoom(ctx, e, name); err != nil {
		return err
	}
	var topic store.Entry // the one that has set the topic, of anybody
	for after := uint64(0); ; {
		entries, err := c.dispatcher.Read(ctx, name, store.Page{After: after, Limit: erasePage})
		if damaged, ok := errors.AsType[*store.DamagedError](err); ok {
			after = damaged.Seq
			continue
		}
		if err != nil {
			return err
		}
		if len(entries) == 0 {
			break
		}
		after = entries[len(entries)-1].Seq
		var sends []Send
		var redactions []store.Redaction
		for i := range entries {
			if entries[i].Kind == kaban.KindTopic || entries[i].Seq == 1 { // a room may be made with a topic
				topic = entries[i]
			}
			if !e.Wrote(entries[i].Author, entries[i].Time) {
				continue
			}
			if content := withoutText(&entries[i]); content != entries[i].Content {
				redactions = append(redactions, store.Redaction{Seq: entries[i].Seq, Content: content})
			}
			send, ok, err := c.undo(name, &entries[i])
			if err != nil {
				return err
			}
			if ok {
				sends = append(sends, send)
			}
		}
		if err := c.postAll(ctx, sends); err != nil {
			return err
		}
		if len(redactions) > 0 {
			if err := c.dispatcher.Redact(ctx, name, redactions); err != nil {
				return err
			}
		}
	}
	if e.Wrote(topic.Author, topic.Time) {
		if err := c.clearTopic(ctx, name, &topic); err != nil {
			return err
		}
	}
	if err := c.eraseReasons(ctx, e.Authors, name); err != nil {
		return err
	}
	e.Room, e.Counted = name.Key(), ""
	return c.putErasure(ctx, e)
}

// countRoom adds what is to be erased in a room to the report, and stores that before anything is
// erased. Nothing is counted again after a restart, when some of it is gone.
func (c *Chat) countRoom(ctx context.Context, e *people.Erasure, name kaban.RoomName) error {
	if e.Counted == name.Key() {
		return nil
	}
	at, found := ErasablePlace{Room: name.Key()}, Erasable{}
	for more := true; more; {
		var err error
		if more, err = c.countErasable(ctx, name, e, &at, &found); err != nil {
			return err
		}
	}
	if found.Rooms == 0 {
		return nil
	}
	next := *e
	next.Counted = name.Key()
	next.Messages, next.Reactions, next.Texts, next.Rooms = e.Messages+found.Messages, e.Reactions+found.Reactions, e.Texts+found.Texts, e.Rooms+found.Rooms
	err := c.putErasure(ctx, &next)
	if err == nil {
		*e = next
	}
	return err
}

// undo returns an entry that takes another one back, if there is anything to take back. Done
// again, it changes nothing. Of a reaction it is the account's, whose ids may all be in use
// for something else: it takes one that nobody could guess.
func (c *Chat) undo(room kaban.RoomName, e *store.Entry) (_ Send, ok bool, err error) {
	d, id := kaban.Draft{Author: OperatorIdentity(), Room: room}, "erased-"+strconv.FormatUint(e.Seq, 10)
	switch {
	case e.Kind == kaban.KindMessage && e.IsDeleted():
		return Send{}, false, nil
	case e.Kind == kaban.KindMessage:
		d.Kind, d.Target = kaban.KindDelete, e.Seq
	case e.Kind == kaban.KindReact:
		on, emoji := kaban.ParseSwitch(e.Content)
		if !on {
			return Send{}, false, nil
		}
		name, err := kaban.ParseUsername(e.Username)
		if err != nil {
			return Send{}, false, err
		}
		if d.Author, err = kaban.ParseIdentity(e.Author, name); err != nil {
			return Send{}, false, err
		}
		d.Kind, d.Target, d.Body = kaban.KindReact, e.Target, kaban.Switch(false, emoji)
		id = "erased-" + rand.Text()
	default:
		return Send{}, false, nil
	}
	if d.ID, err = kaban.ParseMessageID(id); err != nil {
		return Send{}, false, err
	}
	return Send{Draft: d, Terms: &dispatch.Terms{Unlisted: room.IsDirect()}}, true, nil
}

// withoutText returns the content of an entry without what its author has put into words, if the
// entry is no message: topics, and the reasons of deletions and of moderation. Without its topic
// an entry has none left to show, so its readers get void.
func withoutText(e *store.Entry) string {
	switch e.Kind {
	case kaban.KindTopic, kaban.KindDelete:
		return ""
	case kaban.KindMember:
		change, err := people.DecodeChange[people.MemberChange](e.Content)
		if err != nil || change.Reason == "" {
			return e.Content
		}
		change.Reason = ""
		if content, err := people.EncodeChange(change); err == nil {
			return content
		}
	}
	return e.Content
}

// clearTopic takes the topic of a room away, which an entry has set. If the entry still says which one
// that was, another one that somebody has set meanwhile stays.
func (c *Chat) clearTopic(ctx context.Context, name kaban.RoomName, by *store.Entry) error {
	was, unsaid := people.DecodeChange[people.TopicChange](by.Content)
	body, err := people.EncodeChange(people.TopicChange{})
	if err != nil {
		return err
	}
	id, err := kaban.ParseMessageID("erased-topic-" + strconv.FormatUint(by.Seq, 10))
	if err != nil {
		return err
	}
	decide := func(tx store.Tx) error {
		room, err := people.Rooms.Get(tx, name.Key())
		if errors.Is(err, people.ErrNotFound) || err == nil && room.Topic == "" {
			return errDone
		}
		if err != nil {
			return err
		}
		if by.Kind == kaban.KindTopic && unsaid == nil && was.Topic != room.Topic {
			return errDone
		}
		room.Topic = ""
		return people.Rooms.Put(tx, &room)
	}
	_, err = c.dispatcher.Post(ctx, Send{
		Draft: kaban.Draft{Author: OperatorIdentity(), Room: name, ID: id, Kind: kaban.KindTopic, Body: body},
		Terms: &dispatch.Terms{Unlisted: name.IsDirect(), Decide: decide, Published: func() { c.changed(name) }},
	}, func() {})
	if errors.Is(err, errDone) {
		return nil
	}
	return err
}

// eraseReasons takes the reasons that the authors gave away from the bans and mutes of a room.
func (c *Chat) eraseReasons(ctx context.Context, authors []string, name kaban.RoomName) error {
	var after []string
	for more := true; more; {
		err := c.dispatcher.View(ctx, func(tx store.Tx) error { // most rooms have none
			found, _, err := people.Restrictions.List(tx, []string{name.Key()}, after, 1)
			more = len(found) > 0
			return err
		})
		if err != nil || !more {
			return err
		}
		err = c.dispatcher.Update(ctx, func(tx store.Tx) error {
			page, unfinished, err := people.Restrictions.List(tx, []string{name.Key()}, after, erasePage)
			if err != nil {
				return err
			}
			more = unfinished
			for i := range page {
				r := &page[i]
				after = []string{name.Key(), r.Subject}
				if r.Reason == "" || !slices.Contains(authors, r.By) {
					continue
				}
				r.Reason = ""
				if err := people.Restrictions.Put(tx, r); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// postAll stores entries, some at a time. What they are about may be gone already.
func (c *Chat) postAll(ctx context.Context, sends []Send) error {
	for some := range slices.Chunk(sends, erasePosts) {
		errs := make([]error, len(some))
		var group sync.WaitGroup
		for i := range some {
			group.Go(func() { _, errs[i] = c.dispatcher.Post(ctx, some[i], func() {}) })
		}
		group.Wait()
		for _, err := range errs {
			if err != nil && !errors.Is(err, store.ErrGone) && !errors.Is(err, store.ErrNoTarget) {
				return err
			}
		}
	}
	return nil
}

// Erasable is what erasing would delete, up to a place.
type Erasable struct {
	Messages, Reactions, Texts, Rooms int64
	// Next goes on from there; nil if that was all.
	Next *ErasablePlace
}

// ErasablePlace is a place in a room: everything before it is counted.
type ErasablePlace struct {
	Room    string // its key
	Counted bool   // the room has counted as one with anything to delete
	Texts   bool   // its messages and reactions are counted, and texts are being counted
	After   uint64 // the last entry of it that is counted
	// Named is set if an author has made the room, perhaps with a topic, and no entry has set another one.
	Named bool
}

// erasablePages is how many pages of entries one call of Erasable looks at.
const erasablePages = 20

// Erasable counts what the authors of an erasure have written, and it would delete: their messages,
// their reactions to messages of others, and the topics and reasons that they gave. It looks at some
// thousand entries from a place on, or from the
// beginning, and deletes nothing. Who may ask is for package account to say.
func (c *Chat) Erasable(ctx context.Context, of *people.Erasure, from *ErasablePlace) (found Erasable, err error) {
	at := ErasablePlace{}
	if from != nil {
		at = *from
	}
	pages := 0
	for _, name := range c.dispatcher.Names() {
		if name.Key() < at.Room {
			continue
		}
		if name.Key() > at.Room {
			at = ErasablePlace{Room: name.Key()}
		}
		for more := true; more; {
			if pages++; pages > erasablePages {
				found.Next = &at
				return found, nil
			}
			if more, err = c.countErasable(ctx, name, of, &at, &found); err != nil {
				return Erasable{}, err
			}
		}
	}
	return found, nil
}

// countErasable counts a page behind a place, and reports whether there are more. Reactions are in the
// history only, and reasons of deletions are not in it, so a room is read twice.
func (c *Chat) countErasable(ctx context.Context, name kaban.RoomName, of *people.Erasure, at *ErasablePlace, found *Erasable) (more bool, err error) {
	before := found.Messages + found.Reactions + found.Texts
	last, count := at.After, c.countMessages
	if at.Texts {
		count = c.countTexts
	}
	more, err = count(ctx, name, of, at, found)
	if damaged, ok := errors.AsType[*store.DamagedError](err); ok && damaged.Seq > last {
		at.After = damaged.Seq
		return true, nil
	}
	if err != nil {
		return false, err
	}
	if found.Messages+found.Reactions+found.Texts > before && !at.Counted {
		at.Counted = true
		found.Rooms++
	}
	if !more && !at.Texts {
		at.Texts, at.After = true, 0
		return true, nil
	}
	return more, nil
}

// countMessages counts messages and reactions.
func (c *Chat) countMessages(ctx context.Context, name kaban.RoomName, of *people.Erasure, at *ErasablePlace, found *Erasable) (more bool, err error) {
	page, err := c.dispatcher.History(ctx, name, store.Page{After: at.After, Limit: erasePage})
	if err != nil {
		return false, err
	}
	for i := range page.Entries {
		e := &page.Entries[i]
		switch {
		case e.Kind != kaban.KindMessage || e.IsDeleted():
		case of.Wrote(e.Author, e.Time):
			found.Messages++
		case e.State != nil:
			for _, r := range e.State.Reactions {
				for _, by := range r.People {
					if of.Wrote(by.Author, by.Time) {
						found.Reactions++
					}
				}
			}
		}
	}
	at.After = max(at.After, page.Last)
	return page.More, nil
}

// countTexts counts topics and reasons.
func (c *Chat) countTexts(ctx context.Context, name kaban.RoomName, of *people.Erasure, at *ErasablePlace, found *Erasable) (more bool, err error) {
	entries, err := c.dispatcher.Read(ctx, name, store.Page{After: at.After, Limit: erasePage})
	if err != nil {
		return false, err
	}
	for i := range entries {
		e := &entries[i]
		at.After = e.Seq
		isOurs := of.Wrote(e.Author, e.Time)
		switch {
		case e.Kind == kaban.KindTopic:
			at.Named = false
		case e.Seq == 1:
			at.Named = isOurs
		}
		if isOurs && withoutText(e) != e.Content {
			found.Texts++
		}
	}
	if len(entries) > 0 || !at.Named {
		return len(entries) > 0, nil
	}
	err = c.dispatcher.View(ctx, func(tx store.Tx) error {
		room, err := people.Rooms.Get(tx, name.Key())
		if err == nil && room.Topic != "" {
			found.Texts++
		}
		if errors.Is(err, people.ErrNotFound) {
			return nil
		}
		return err
	})
	return false, err
}
