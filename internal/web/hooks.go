package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"kaban"
	"kaban/internal/chat"
	"kaban/internal/slack"
	"kaban/wire"
)

// noticeHeader tells the sender of a message what was changed to take it.
const noticeHeader = "Kaban-Notice"

// hook takes a message in Slack's format. As there, the answer is "ok".
func (s *Server) hook(w http.ResponseWriter, r *http.Request) {
	if s.takeHook(w, r) {
		s.counts.hooks.Add(1)
	} else {
		s.counts.hookRefused.Add(1)
	}
}

// takeHook reports whether the message is stored.
func (s *Server) takeHook(w http.ResponseWriter, r *http.Request) bool {
	w.Header().Set("Cache-Control", "no-store")
	hook, err := s.chat.FindHook(r.Context(), r.PathValue("key"))
	if err != nil {
		s.writeProblem(w, s.problemOfHook(err))
		return false
	}
	if err := s.limitHook(r, hook.ID); err != nil {
		s.writeProblem(w, s.problemOf(err))
		return false
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxHookBody))
	if err != nil {
		if _, large := errors.AsType[*http.MaxBytesError](err); large {
			p := problem(wire.CodeFrameTooLong, "the message is too long")
			p.Max = new(maxHookBody)
			s.writeProblem(w, p)
			return false
		}
		s.writeProblem(w, bodyProblem(err))
		return false
	}
	sent, err := slack.Parse(r.Header.Get("Content-Type"), body)
	if err != nil {
		s.writeProblem(w, problem(wire.CodeBadJSON, err.Error()))
		return false
	}
	if sent.Content == "" {
		s.writeProblem(w, problem(wire.CodeEmptyContent, `the message has nothing to say; give it a "text"`))
		return false
	}
	content, cut := slack.Cut(sent.Content, s.chat.MaxContent())
	ctx, cancel := context.WithTimeout(r.Context(), postTimeout)
	defer cancel()
	author := s.chat.Hook(hook, hookAuthor(sent.Username, hook.Username))
	if _, _, err := author.Post(ctx, hook.Room, kaban.NewMessageID(), content, 0); err != nil {
		s.writeProblem(w, s.problemOfHook(err))
		return false
	}
	if cut {
		// Not in the body: Grafana, for one, takes any body but "ok" for a failure
		// and sends the message again.
		w.Header().Set(noticeHeader, fmt.Sprintf("cut: the message has %d characters, and the limit is %d", utf8.RuneCountInString(sent.Content), s.chat.MaxContent()))
	}
	io.WriteString(w, "ok")
	return true
}

// problemOfHook is problemOf for the request of a hook, to which only the hook itself
// can be unknown.
func (s *Server) problemOfHook(err error) *Problem {
	if errors.Is(err, chat.ErrNotFound) {
		return problem(wire.CodeNotFound, "there is no such hook; its operator makes one with \"kaban hook add ROOM\"")
	}
	return s.problemOf(err)
}

// hookAuthor returns the name of a message: the one that it asks for, in a form that
// names can have here, or the hook's. Whoever else has the name, the message says that
// it is a program's.
func hookAuthor(wanted string, usual kaban.Username) kaban.Username {
	if name, err := kaban.ParseUsername(asUsername(wanted)); err == nil && !kaban.IsReserved(name) {
		return name
	}
	return usual
}

// asUsername makes a name of what may have spaces and signs in it.
func asUsername(name string) string {
	parts := strings.FieldsFunc(name, func(c rune) bool {
		return !unicode.IsLetter(c) && !unicode.IsDigit(c) && !unicode.IsMark(c) && !strings.ContainsRune("_-.", c)
	})
	made := []rune(strings.Join(parts, "-"))
	return strings.TrimRight(string(made[:min(len(made), kaban.MaxUsername)]), ".-")
}
