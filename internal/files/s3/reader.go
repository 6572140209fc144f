package s3

import (
	"context"
	"errors"
	"io"
	"io/fs"

	"github.com/minio/minio-go/v7"

	"kaban/internal/files"
)

// enough is after how many bytes an answer that is cut counts as the first again.
const enough = 1 << 20

// reader reads an object, and asks for the rest when an answer is cut.
type reader struct {
	s     *Store
	ctx   context.Context
	info  files.Info
	etag  string
	at    int64
	body  io.ReadCloser // nil: it is to be asked for
	next  int64         // where body continues
	cuts  int           // in a row
	since int64         // bytes since the last of them
	gone  bool
}

// Read is that of io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	if r.gone {
		return 0, fs.ErrClosed
	}
	if r.at >= r.info.Size {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	for {
		n, err := r.read(p)
		r.at += int64(n)
		r.next = r.at
		if r.since += int64(n); r.since >= enough {
			r.cuts = 0
		}
		if err != nil {
			r.drop()
			r.cuts, r.since = r.cuts+1, 0
		}
		if n > 0 || err == nil {
			return n, nil
		}
		if err := r.s.again(r.ctx, "read "+r.info.Key.String(), r.cuts, err); err != nil {
			return 0, err
		}
	}
}

// read reads once.
func (r *reader) read(p []byte) (n int, err error) {
	if r.next != r.at {
		r.drop()
	}
	if r.body == nil {
		if r.body, err = r.ask(); err != nil {
			return 0, err
		}
	}
	n, err = r.body.Read(p[:min(int64(len(p)), r.info.Size-r.at)])
	if err == io.EOF && r.at+int64(n) < r.info.Size {
		err = io.ErrUnexpectedEOF
	}
	if err == io.EOF {
		err = nil
	}
	return n, err
}

// ask asks for the object from the position on. It must be the one that was opened.
func (r *reader) ask() (io.ReadCloser, error) {
	var options minio.GetObjectOptions
	if r.at > 0 { // from 0 to 0 would be the first byte
		if err := options.SetRange(r.at, 0); err != nil {
			return nil, err
		}
	}
	if r.etag != "" {
		if err := options.SetMatchETag(r.etag); err != nil {
			return nil, err
		}
	}
	body, _, _, err := r.s.once.GetObject(r.ctx, r.s.c.Bucket, r.s.object(r.info.Key), options)
	return body, err
}

// drop ends the present answer.
func (r *reader) drop() {
	if r.body != nil {
		r.body.Close()
		r.body = nil
	}
}

// Seek is that of io.Seeker.
func (r *reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		offset += r.info.Size
	}
	if offset < 0 {
		return 0, errors.New("seek before the beginning")
	}
	r.at = offset // an answer that continues elsewhere is dropped by the next Read
	return offset, nil
}

// Close is that of io.Closer.
func (r *reader) Close() error {
	r.drop()
	r.gone = true
	return nil
}
