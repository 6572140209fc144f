package people

import (
	"errors"

	"kaban/internal/store"
)

// TaskKind is what is left to be done in rooms.
type TaskKind string

// The kinds of tasks, in the order in which those of an account are done.
const (
	TaskJoin    TaskKind = "join"    // a new account joins its first rooms
	TaskSucceed TaskKind = "succeed" // where the account was the last op, somebody else becomes one
	TaskLeave   TaskKind = "leave"   // the account leaves all of its rooms
)

// TaskKinds has all kinds of tasks.
var TaskKinds = []TaskKind{TaskJoin, TaskSucceed, TaskLeave}

// Task is something to be done in rooms because an account has changed. What is done
// there are entries of logs, each a transaction. So the task is stored together with the
// change, and removed when all of it is done: nothing is lost in between. Whatever a
// task does can be done again without effect.
type Task struct {
	Account string   `json:"account"`
	Kind    TaskKind `json:"kind"`
	ID      string   `json:"id"` // another one whenever it is given
	Since   int64    `json:"since"`
	// Rooms are names of public rooms that the server has the account join.
	Rooms []string `json:"rooms,omitempty"`
	// Invited are names of rooms that the account is invited to by Inviter, an account.
	// Without one it is invited to public rooms only.
	Invited []string `json:"invited,omitempty"`
	Inviter string   `json:"inviter,omitempty"`
}

// Tasks has all tasks by account and kind.
var Tasks = tasks{Table[Task]{
	name: "task",
	key:  func(t *Task) []string { return []string{t.Account, string(t.Kind)} },
}}

type tasks struct{ Table[Task] }

// Find returns the task of a kind for an account, if there is one.
func (t *tasks) Find(tx store.Tx, account string, kind TaskKind) (task Task, ok bool, err error) {
	task, err = t.Get(tx, account, string(kind))
	switch {
	case errors.Is(err, ErrNotFound):
		return Task{}, false, nil
	case err != nil:
		return Task{}, false, err
	}
	return task, true, nil
}

// Of returns the tasks for an account, in the order of their kinds.
func (t *tasks) Of(tx store.Tx, account string) (found []Task, err error) {
	for _, kind := range TaskKinds {
		task, ok, err := t.Find(tx, account, kind)
		if err != nil {
			return nil, err
		}
		if ok {
			found = append(found, task)
		}
	}
	return found, nil
}

// Accounts returns up to limit accounts from behind one that have tasks, damaged ones included.
func (t *tasks) Accounts(tx store.Tx, after string, limit int) (accounts []string, err error) {
	var from []string
	if after != "" {
		from = []string{after, "~"} // behind all kinds
	}
	found, _, err := scan(tx, t.document(nil), t.document(from), len(from) > 0, limit*len(TaskKinds))
	for i := range found {
		account := store.KeyParts(found[i].Key)[1] // none if the key is damaged
		if n := len(accounts); account != "" && (n == 0 || accounts[n-1] != account) {
			accounts = append(accounts, account)
		}
	}
	return accounts[:min(len(accounts), limit)], err
}

// UpgradeLeave is the upgrade that gives TaskLeave to those that are members although
// they were removed: before, removing an account left it in its rooms.
const UpgradeLeave = "removed-leave"

// Upgrade is a change of the data of an older version that was made, once.
type Upgrade struct {
	Name string `json:"name"`
	Time int64  `json:"time"`
}

// Upgrades has all upgrades that were made.
var Upgrades = Table[Upgrade]{
	name: "upgrade",
	key:  func(u *Upgrade) []string { return []string{u.Name} },
}
