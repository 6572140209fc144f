package guard_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// dns is a name server. It answers each question for an A record with the next list of
// addresses of the name, and with the last list from then on.
type dns struct {
	t *testing.T

	mu     sync.Mutex
	names  map[string][][]string // with the final dot
	other  []string              // for all other names; nil for those that do not exist
	asked  map[string]int
	serves sync.WaitGroup
}

func newDNS(t *testing.T, names map[string][][]string) *dns {
	d := &dns{t: t, names: make(map[string][][]string), asked: make(map[string]int)}
	for name, lists := range names {
		d.names[name+"."] = lists
	}
	t.Cleanup(d.serves.Wait)
	return d
}

// resolver returns a resolver that asks the name server.
func (d *dns) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		d.serves.Go(func() { d.serve(server) })
		return client, nil
	}}
}

// serve answers the questions of a connection, in the framing of RFC 1035, 4.2.2.
func (d *dns) serve(c net.Conn) {
	defer c.Close()
	for {
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		question := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(c, question); err != nil {
			return
		}
		answer, err := d.answer(question)
		if err != nil {
			d.t.Errorf("name server: %v", err)
			return
		}
		binary.BigEndian.PutUint16(size[:], uint16(len(answer)))
		if _, err := c.Write(append(size[:], answer...)); err != nil {
			return
		}
	}
}

func (d *dns) answer(question []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(question); err != nil || len(m.Questions) != 1 {
		return nil, errors.Join(errors.New("a bad question"), err)
	}
	q := m.Questions[0]
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	addresses, ok := d.next(strings.ToLower(q.Name.String()), q.Type == dnsmessage.TypeA)
	if !ok {
		m.RCode = dnsmessage.RCodeNameError
		return m.Pack()
	}
	for _, s := range addresses {
		a := netip.MustParseAddr(s)
		header := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, Type: q.Type}
		switch {
		case a.Is4() && q.Type == dnsmessage.TypeA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: a.As4()}})
		case a.Is6() && q.Type == dnsmessage.TypeAAAA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
		}
	}
	return m.Pack()
}

func (d *dns) next(name string, counts bool) ([]string, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	lists, ok := d.names[name]
	if !ok {
		return d.other, d.other != nil
	}
	n := min(d.asked[name], len(lists)-1)
	if counts {
		d.asked[name]++
	}
	return lists[n], true
}
