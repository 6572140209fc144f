package chat

import (
	"errors"
	"fmt"
	"slices"

	"pgregory.net/rapid"

	"kaban"
	"kaban/internal/access"
)

// This file has the files of TestEverybodyReadsWhatTheTableGives.

// share has somebody upload a file, and post it.
func (m *model) share() {
	by := m.pick("by", everyone...)
	if p := m.newPaper(by); p != nil && rapid.IntRange(0, 3).Draw(m.rt, "loose") > 0 {
		m.postPaper(by, m.pickDen(), p)
	}
}

// newPaper has somebody upload a file. It is nil if that is not allowed.
func (m *model) newPaper(by string) *paper {
	allowed := access.Can(access.Upload, m.facts(by, new(den), false)) == access.Allowed
	name := fmt.Sprint("file", len(m.papers))
	f, err := m.as(by).AddFile(m.t.Context(), Upload{Name: name, Size: 3, Type: "text/plain", Hash: hashOf(name)})
	m.rt.Logf("%q uploads %s: allowed %t", by, name, allowed)
	if (err == nil) != allowed {
		m.rt.Fatalf("%q uploads: %v, allowed %t", by, err, allowed)
	}
	if !allowed {
		return nil
	}
	p := &paper{id: f.ID, owner: by}
	m.papers = append(m.papers, p)
	m.counts["upload"]++
	return p
}

// attach has somebody post any file.
func (m *model) attach() {
	if len(m.papers) == 0 {
		return
	}
	p, d := m.pickPaper(), m.pickDen()
	by := p.owner
	if rapid.IntRange(0, 2).Draw(m.rt, "of another") == 0 {
		by = m.someone("by", d)
	}
	m.postPaper(by, d, p)
}

func (m *model) pickPaper() *paper {
	return m.papers[rapid.IntRange(0, len(m.papers)-1).Draw(m.rt, "file")]
}

// postPaper has somebody post a message with a file, which has to be one's own and loose.
func (m *model) postPaper(by string, d *den, p *paper) {
	allowed := p.owner == by && p.den == nil && access.Can(access.Post, m.facts(by, d, false)) == access.Allowed
	m.rt.Logf("%q posts %s in %s: allowed %t", by, p.id, d.name, allowed)
	content := fmt.Sprint("look ", m.ids)
	receipt, _, err := m.as(by).PostFiles(m.t.Context(), d.name, m.id(), content, 0, []string{p.id})
	if (err == nil) != allowed || allowed && receipt.Seq != d.head()+1 {
		m.rt.Fatalf("%q posts a file to %s as %+v: %v, allowed %t", by, d.name, receipt, err, allowed)
	}
	if allowed {
		d.add(kaban.KindMessage, by, 0, content)
		p.den, p.seq = d, d.head()
		m.counts["attach"]++
	}
}

// fetchFile has everybody ask for a file. Before that, the server may let go of what messages have
// released: nobody sees a difference.
func (m *model) fetchFile() {
	if len(m.papers) == 0 {
		return
	}
	if rapid.IntRange(0, 3).Draw(m.rt, "sweep") == 0 {
		if err := m.chat.sweepReleased(m.t.Context()); err != nil {
			m.rt.Fatal(err)
		}
		m.counts["sweep"]++
	}
	p := m.pickPaper()
	for _, name := range slices.Concat(everyone, []string{"olga"}) {
		may := m.mayFetch(name, p)
		f, err := m.as(name).File(m.t.Context(), p.id)
		if may != (err == nil && f.ID == p.id) || !may && !errors.Is(err, ErrNoFile) {
			m.rt.Fatalf("%q asks for %+v: %+v, %v; want %t", name, p, f, err, may)
		}
		if m.counts["refused files"]++; may {
			m.counts["files"]++
			m.counts["refused files"]--
		}
	}
}
