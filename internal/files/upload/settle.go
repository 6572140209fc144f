package upload

import (
	"context"
	"maps"
	"slices"
	"time"

	"kaban/internal/failpoint"
	"kaban/internal/failpoint/disk"
	"kaban/internal/files"
)

// Settle notes that what an upload was for is done, and removes its bytes. For an hour
// it can still be asked for, complete and with the answer, unless Limits.Settled or
// SettledPerOwner are exceeded, which makes the oldest forgotten. It counts against no
// other limit. An answer has the bounds of metadata, or else the error is ErrMeta. To settle
// one again changes nothing.
func (s *Staging) Settle(id string, answer map[string]string) error {
	e, err := s.take(id)
	if err != nil {
		return err
	}
	defer s.forget()
	defer s.leave(e)
	if e.info.Settled {
		return nil
	}
	return s.settle(e, answer)
}

// Deliver finishes an upload, calls a function with it, and settles it with the answer that the
// function returns. Until then nothing removes the upload, nor the file that was handed on,
// and all other calls for it return ErrBusy, except for Info. If the function returns an error,
// Deliver returns it, and the upload is as before: what the function does may be done twice,
// also after a crash.
//
// Of an upload that is settled it returns the Info, with the answer, and calls nothing. Other
// errors are those of Finish and Settle.
func (s *Staging) Deliver(ctx context.Context, id string, to func(Info, files.Staged) (answer map[string]string, err error)) (Info, error) {
	e, err := s.take(id)
	if err != nil {
		return Info{}, err
	}
	defer s.forget()
	defer s.leave(e)
	if !e.info.Settled {
		if err := s.deliver(ctx, e, to); err != nil {
			return Info{}, err
		}
	}
	return e.info.clone(), nil // it is busy still
}

func (s *Staging) deliver(ctx context.Context, e *entry, to func(Info, files.Staged) (map[string]string, error)) error {
	staged, err := s.finish(ctx, e)
	if err != nil {
		return err
	}
	s.finished(e, staged)
	answer, err := to(e.info.clone(), staged)
	if err != nil {
		return err
	}
	return s.settle(e, answer)
}

// leave makes an upload that was busy free.
func (s *Staging) leave(e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.busy = false
}

// settle settles an upload that is busy. The new record is durable before the old one is removed:
// a crash between leaves both, and then the new one counts.
func (s *Staging) settle(e *entry, answer map[string]string) error {
	if !allowedMeta(answer) {
		return ErrMeta
	}
	settled := e.info.clone()
	settled.Answer = answer
	if err := s.replaceRecord(settled); err != nil {
		return s.explain("settle an upload", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.release(e)
	e.info.Settled, e.info.Answer, e.touched = true, maps.Clone(answer), time.Now()
	s.keep(e)
	return nil
}

func (s *Staging) replaceRecord(settled Info) error {
	id := settled.ID
	draft := s.path(id, draftSuffix)
	if err := ignoreMissing(disk.Remove(draft)); err != nil {
		return err
	}
	if err := s.writeRecord(draft, settled); err != nil {
		return err
	}
	failpoint.Point("upload.answer-written")
	if err := disk.Rename(draft, s.path(id, doneSuffix)); err != nil {
		return err
	}
	failpoint.Point("upload.settling")
	if err := disk.SyncDirectory(s.dir); err != nil {
		return err
	}
	failpoint.Point("upload.settled")
	return s.removeRest(id, doneSuffix)
}

// forget removes the oldest of the settled uploads that are too many. It syncs nothing: one that
// a crash brings back is only there for longer.
func (s *Staging) forget() {
	for _, e := range s.excess() {
		err := ignoreMissing(disk.Remove(s.path(e.info.ID, doneSuffix)))
		s.mu.Lock()
		e.busy = false
		if err == nil {
			s.drop(e)
		}
		s.mu.Unlock()
		if err != nil {
			s.log.Warn("an upload that is done is remembered for longer", "error", s.explain("forget an upload", err))
		}
	}
}

// excess makes the settled uploads busy that are too many, the oldest, and returns them.
func (s *Staging) excess() (old []*entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	most, mostOfOwner := s.limits.Settled, s.limits.SettledPerOwner
	excessive := most > 0 && s.settledIn > most
	for _, n := range s.settled {
		excessive = excessive || mostOfOwner > 0 && n > mostOfOwner
	}
	if !excessive {
		return nil
	}
	var settled []*entry
	for _, e := range s.all {
		if e.info.Settled && !e.busy {
			settled = append(settled, e)
		}
	}
	slices.SortFunc(settled, func(a, b *entry) int { return a.touched.Compare(b.touched) })
	taken := make(map[string]int)
	for _, e := range settled {
		owner := e.info.Owner
		if most > 0 && s.settledIn-len(old) > most || mostOfOwner > 0 && s.settled[owner]-taken[owner] > mostOfOwner {
			taken[owner]++
			e.busy = true
			old = append(old, e)
		}
	}
	return old
}
