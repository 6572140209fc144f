package people

import (
	"errors"

	"kaban"
	"kaban/internal/store"
)

// Node is a server that runs on a store with others. It is there from its start until it ends, or
// until others have seen for a while that it does not renew it: then its lease is over, and whatever
// it held is free. See package lease.
type Node struct {
	ID   string `json:"id"`   // random; another one after the lease was over
	Beat uint64 `json:"beat"` // grows with each renewal
}

// Nodes has the nodes whose leases are not over.
var Nodes = nodes{Table[Node]{
	name: "node",
	key:  func(n *Node) []string { return []string{n.ID} },
}}

type nodes struct{ Table[Node] }

// Known returns up to limit nodes. One that is damaged has a beat of 0, which does not grow.
func (t *nodes) Known(tx store.Tx, limit int) (found []Node, err error) {
	documents, _, err := scan(tx, t.document(nil), "", false, limit)
	for _, d := range documents {
		n, err := t.decode(d.Value)
		if err != nil {
			n = Node{ID: store.KeyParts(d.Key)[1]}
		}
		found = append(found, n)
	}
	return found, err
}

// Find returns a node as Known does, or ErrNotFound.
func (t *nodes) Find(tx store.Tx, id string) (Node, error) {
	n, err := t.Get(tx, id)
	if errors.Is(err, errDecode) {
		return Node{ID: id}, nil
	}
	return n, err
}

// Remove removes a node, damaged or not, and up to limit of its visitors. It reports whether there are more.
func (t *nodes) Remove(tx store.Tx, id string, limit int) (more bool, err error) {
	if err := t.discard(tx, id); err != nil {
		return false, err
	}
	entries, more, err := scan(tx, Visits.entry("node", []string{id}), "", false, limit)
	for _, d := range entries {
		if err := errors.Join(Visits.discard(tx, store.KeyParts(string(d.Value))...), tx.Delete(d.Key)); err != nil {
			return false, err
		}
	}
	return more, err
}

// Job is something that one node at a time does.
type Job struct {
	Name string `json:"name"`
	Node string `json:"node"` // that does it, unless its lease is over
}

// Jobs has all jobs that were ever done by a node, by name.
var Jobs = Table[Job]{
	name: "job",
	key:  func(j *Job) []string { return []string{j.Name} },
}

// Visit is the name of a visitor that is connected to a node.
type Visit struct {
	Key     string `json:"key"`  // of the name
	Name    string `json:"name"` // the username
	Node    string `json:"node"` // unless its lease is over
	Address string `json:"address,omitempty"`
	// Secret is the SHA-256 of the session's secret, in hexadecimal. Earlier are those of
	// sessions that it resumes, which its client may know.
	Secret  string   `json:"secret"`
	Earlier []string `json:"earlier,omitempty"`
}

// Visits has the names of visitors, by key.
var Visits = visits{Table[Visit]{
	name: "visit",
	key:  func(v *Visit) []string { return []string{v.Key} },
	indexes: []index[Visit]{
		{"look", false, func(v *Visit) (keys [][]string) {
			name, err := kaban.ParseUsername(v.Name)
			if err != nil {
				return nil
			}
			for _, look := range name.Looks() {
				keys = append(keys, []string{look})
			}
			return keys
		}},
		{"node", false, func(v *Visit) [][]string { return [][]string{{v.Node}} }},
	},
}}

type visits struct{ Table[Visit] }

// FindAll returns the visits with some keys, in their order: the zero value where there is none, or one that is
// damaged.
func (t *visits) FindAll(tx store.Tx, keys []string) ([]Visit, error) {
	return t.readable(tx, keysOf(keys))
}

// maxAlike is how many visitors with names that look alike there may be, such as those of nodes
// whose leases are over.
const maxAlike = 100

// Like returns the visitors whose names look like a name, its own included.
func (t *visits) Like(tx store.Tx, name kaban.Username) (found []Visit, err error) {
	seen := make(map[string]bool)
	for _, look := range name.Looks() {
		some, _, err := t.listBy(tx, "look", []string{look}, nil, maxAlike)
		if err != nil {
			return nil, err
		}
		for _, v := range some {
			if !seen[v.Key] {
				seen[v.Key] = true
				found = append(found, v)
			}
		}
	}
	return found, nil
}
