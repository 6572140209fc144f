package picture

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// Partial is the end of the names of outputs that are being written. After a crash such
// files may be left; a later Make for the same outputs removes them.
const Partial = ".partial"

// outputs are the files of a job while it is carried out.
type outputs struct {
	job   Job
	files files
}

// open opens the source, and creates the outputs under other names.
func (j Job) open() (o *outputs, err error) {
	o = &outputs{job: j}
	if o.files.source, err = os.Open(j.Source); err != nil {
		return nil, err
	}
	if o.files.picture, err = create(j.Picture + Partial); err == nil {
		o.files.thumbnail, err = create(j.Thumbnail + Partial)
	}
	if err != nil {
		o.discard()
		return nil, err
	}
	return o, nil
}

// create creates a file that did not exist: what a process that has not ended yet may have
// open is another one.
func create(path string) (*os.File, error) {
	if err := remove(path); err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
}

// remove removes a file that need not exist.
func remove(path string) error {
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// descriptors returns the files in the order in which a child process inherits them.
func (o *outputs) descriptors() []*os.File {
	return []*os.File{o.files.source, o.files.picture, o.files.thumbnail}
}

// paths returns the names of the files, for a system where open ones are not inherited.
func (o *outputs) paths() (source, picture, thumbnail string, err error) {
	for _, p := range []struct {
		to *string
		of *os.File
	}{{&source, o.files.source}, {&picture, o.files.picture}, {&thumbnail, o.files.thumbnail}} {
		if *p.to, err = absolute(p.of.Name()); err != nil {
			return "", "", "", err
		}
	}
	return source, picture, thumbnail, nil
}

// settle does what an answer asks for: if the picture was made, it gives the outputs their
// names. The picture gets its name last.
func (o *outputs) settle(a answer) (Made, error) {
	switch a.outcome {
	case wasMade:
		if err := o.check(a.made); err != nil {
			return Made{}, &ProcessError{Garbled, err}
		}
		if err := o.keep(a.made); err != nil {
			return Made{}, &ProcessError{Disk, err}
		}
		return a.made, nil
	case wasRefused:
		if _, ok := reasons[a.reason]; ok {
			return Made{}, &RefusedError{Reason: a.reason, Detail: a.text}
		}
	case wasNotBegun:
		return Made{}, &ProcessError{NoMemory, errors.New(a.text)}
	case wasNotDone:
		if a.number != 0 {
			return Made{}, &ProcessError{Disk, &systemError{a.text, syscall.Errno(a.number)}}
		}
		return Made{}, &ProcessError{Disk, errors.New(a.text)}
	}
	return Made{}, &ProcessError{Garbled, fmt.Errorf("%w: outcome %d, reason %d", errAnswer, a.outcome, a.reason)}
}

// check compares what an answer says with the files.
func (o *outputs) check(m Made) error {
	none := m.Thumbnail == Rendition{}
	for _, r := range []struct {
		Rendition
		file *os.File
		none bool
	}{{m.Picture, o.files.picture, false}, {m.Thumbnail, o.files.thumbnail, none}} {
		info, err := r.file.Stat()
		if err != nil {
			return err
		}
		if info.Size() != r.Size {
			return fmt.Errorf("%w: %s has %d bytes, and not %d", errAnswer, r.file.Name(), info.Size(), r.Size)
		}
		if !r.none && (r.Type < JPEG || r.Type > GIF || r.Width < 1 || r.Height < 1 || r.Size < 1) {
			return fmt.Errorf("%w: %+v", errAnswer, r.Rendition)
		}
	}
	if m.Frames < 1 {
		return fmt.Errorf("%w: %d frames", errAnswer, m.Frames)
	}
	return nil
}

// keep gives the outputs their names.
func (o *outputs) keep(m Made) error {
	if err := errors.Join(o.files.picture.Close(), o.files.thumbnail.Close()); err != nil {
		return err
	}
	var err error
	if (m.Thumbnail == Rendition{}) {
		err = errors.Join(remove(o.job.Thumbnail+Partial), remove(o.job.Thumbnail))
	} else {
		err = os.Rename(o.job.Thumbnail+Partial, o.job.Thumbnail)
	}
	if err != nil {
		return err
	}
	if err := os.Rename(o.job.Picture+Partial, o.job.Picture); err != nil {
		return errors.Join(err, remove(o.job.Thumbnail))
	}
	return nil
}

// discard closes the files, and removes those that have not got their names.
func (o *outputs) discard() {
	for _, f := range o.descriptors() {
		if f != nil {
			_ = f.Close() // keep has closed what matters
		}
	}
	_ = remove(o.job.Picture + Partial)
	_ = remove(o.job.Thumbnail + Partial)
}
