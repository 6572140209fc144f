package client

import (
	"context"

	"kaban"
	"kaban/wire"
)

// PostFiles is Post with a message that has files, by their ids, and answers the message with the
// seq to unless that is 0. The content may be empty. The files were uploaded by the same account
// (package transfer) and no other message has them. The error is kaban.ErrFiles, too.
func (r *Room) PostFiles(ctx context.Context, content string, to uint64, files ...string) (*Pending, error) {
	request := wire.Request{Type: wire.TypeSend, ReplyTo: to, Files: files}
	if err := checkIDs(files); err != nil {
		return nil, err
	}
	if content == "" && len(files) > 0 {
		return r.post(ctx, request, "")
	}
	return r.postContent(ctx, request, content)
}

// SendFiles is PostFiles, and waits until the message is stored. The *Error has the code not_found
// if there is no such file, or another message has it.
func (r *Room) SendFiles(ctx context.Context, content string, to uint64, files ...string) (Receipt, error) {
	return waitFor(ctx)(r.PostFiles(ctx, content, to, files...))
}

// checkIDs checks the ids of files as a server does.
func checkIDs(ids []string) error {
	list := make([]kaban.File, len(ids))
	for i, id := range ids {
		list[i] = kaban.File{ID: id, Name: "x", Type: "x"}
	}
	_, err := kaban.NewFiles(list...)
	return err
}
