package torture

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"kaban/internal/people"
)

// peoplePlaces are the failpoints of changes of accounts and rooms.
var peoplePlaces = []place{
	{"update.before-commit", 40},
	{"update.after-commit", 40},
	{"append.decided", 20},
	{"append.before-commit", 60},
	{"append.after-commit", 60},
	{"publish.before", 20},
}

// peopleInDirectory are those of a data directory besides.
var peopleInDirectory = []place{
	{"append.merged", 3},
	{"journal.written", 20},
	{"journal.synced", 20},
	{"merge.after-commit", 3},
	{"ledger.write", 4},
	{"ledger.before-commit", 4},
	{"journal.overwritten", 4},
	{"checkpoint.write", 60},
}

// peopleInDatabase are those of a PostgreSQL besides.
var peopleInDatabase = []place{
	{"database.sent", 300},
	{"rooms.made", 4},
}

// peoplePerDatabase is the number of deaths before a campaign starts a new database, so
// that many servers are claimed.
const peoplePerDatabase = 12

// worker changes one thing again and again.
type worker interface {
	// prepare runs once, on a server without faults.
	prepare(w *world)
	// work changes things until the server dies.
	work(w *world)
	// check compares a database with the answers, and learns what became of the changes
	// without one.
	check(s *State, report reporter)
	// verify asks a server that runs again.
	verify(w *world)
}

// Accounts, memberships and roles change while the server is killed, with and without a
// loss of unsynced data. Each change happened whole or not at all.
func TestPeople(t *testing.T) {
	random := random(t)
	died := make(map[string]int)
	total := &world{}
	for counted := 0; counted < *folk; {
		n := min(peoplePerDatabase, *folk-counted)
		w := newWorld(t, random)
		if problems := lives(w, n, died, nil); len(problems) > 0 {
			t.Fatalf("%d violations, the first are\n%s\nthe server's log ends\n%.3000s", len(problems), strings.Join(problems[:min(len(problems), 10)], "\n"), w.log)
		}
		counted += n
		total.acks, total.refusals, total.open = total.acks+w.acks, total.refusals+w.refusals, total.open+w.open
		total.idle, total.erased, total.resumed = total.idle+w.idle, total.erased+w.erased, total.resumed+w.resumed
		t.Logf("%d of %d deaths, %d changes acknowledged, %d refused, %d without an answer: no fault", counted, *folk, total.acks, total.refusals, total.open)
	}
	t.Logf("died %v; %d changes made no difference, %d accounts were erased, %d of them begun before a death", died, total.idle, total.erased, total.resumed)
}

// The control of TestPeople: with a second transaction for a part of each change, the
// checker must find what a death between the two leaves.
func TestSplitChangesAreFound(t *testing.T) {
	random := random(t)
	for _, part := range strings.Split(*split, ",") {
		t.Run(part, func(t *testing.T) {
			w := newWorld(t, random)
			problems := lives(w, maxSplitDeaths, make(map[string]int), []string{"KABAN_FAULT_SPLIT=" + part})
			if len(problems) == 0 {
				t.Fatal("nothing is wrong with split transactions")
			}
			t.Logf("found %d faults, the first is: %s", len(problems), problems[0])
		})
	}
}

// maxSplitDeaths is how many deaths find a split change. Many of them are between the two
// transactions of one, of the first splitTimes that a server makes: a server that dies anywhere is
// rarely there.
const maxSplitDeaths, splitTimes = 60, 6

// lives kills a server a number of times, and returns the violations after the first
// death that has some.
func lives(w *world, times int, died map[string]int, faults []string) []string {
	claim := &claims{}
	deaths := 0
	for ; claim.owner == "" && 2*deaths < times; deaths++ {
		place := "update.before-commit"
		if w.random.IntN(2) == 0 {
			place = "append.after-commit"
		}
		env := slices.Concat(faults, []string{w.disk(), fmt.Sprintf("KABAN_FAILPOINT=%s:%d", place, 1+w.random.IntN(4))})
		w.start(env...)
		claim.work(w)
		if w.alive() {
			place = "after the claim"
			w.kill()
		}
		died[place]++
		if problems := w.afterDeath(claim.check); len(problems) > 0 {
			return problems
		}
		w.start(faults...)
		claim.verify(w)
		w.kill()
		if problems := w.afterDeath(claim.check); len(problems) > 0 {
			return problems
		}
	}
	w.start()
	for claim.owner == "" {
		claim.work(w)
		for _, try := range claim.tries {
			if try.outcome == acked {
				claim.owner = try.username
			}
		}
	}
	claim.over = true
	all := employ(w, claim.owner)
	for ; deaths < times; deaths++ {
		if problems := life(w, all, died, faults); len(problems) > 0 {
			return problems
		}
	}
	agree := func(s *State, report reporter) { commandsAgree(w, s, report) }
	if problems := w.afterDeath(agree); len(problems) > 0 { // over admin.sock
		return problems
	}
	w.stop()
	return w.afterDeath(append(checks(all), claim.check, checkSettled, agree)...)
}

// life kills a server that is running, restarts it with a fault, lets everybody work,
// kills it again and compares. It leaves a server running.
func life(w *world, all []worker, died map[string]int, faults []string) []string {
	w.kill()
	places := w.places(peoplePlaces, peopleInDirectory, peopleInDatabase)
	place := places[w.random.IntN(len(places))]
	env, name := slices.Concat(faults, []string{w.disk()}), ""
	if len(faults) > 0 && w.random.IntN(2) == 0 {
		place.name, place.times = "split.between", splitTimes
	}
	if w.random.IntN(3) > 0 {
		name = place.name
		env = append(env, fmt.Sprintf("KABAN_FAILPOINT=%s:%d", name, 1+w.random.IntN(place.times)))
	}
	w.start(env...)
	var group sync.WaitGroup
	for _, one := range all {
		group.Go(func() { one.work(w) })
	}
	died[w.end(name)]++
	group.Wait()
	if problems := w.afterDeath(checks(all)...); len(problems) > 0 {
		return problems
	}
	w.start(faults...)
	for _, one := range all {
		one.verify(w)
	}
	return w.takeViolations()
}

// commandsAgree compares what the commands in the data directory print with the database.
func commandsAgree(w *world, s *State, report reporter) {
	users := printed[struct{ Username, Role, Status string }](w, "user", "list")
	for _, u := range users {
		if a := s.Accounts[u.Username]; a.Role.String() != u.Role || string(a.Status) != u.Status {
			report("command: %v is printed, and %s and %s is stored", u, a.Role, a.Status)
		}
	}
	stored := 0
	for _, a := range s.Accounts {
		if a.Status != people.StatusRemoved { // those are listed on request only
			stored++
		}
	}
	invites := printed[struct{ ID string }](w, "invite", "list")
	if len(users) != stored || len(invites) != len(s.Invites) {
		report("command: %d users and %d invites are printed, and %d and %d are stored", len(users), len(invites), stored, len(s.Invites))
	}
}

// printed runs a command and returns the objects that it prints.
func printed[T any](w *world, args ...string) (all []T) {
	command := exec.Command(binary, slices.Concat(args, []string{"--json"}, w.place())...)
	command.Stderr = w.log
	out, err := command.Output()
	if err != nil {
		w.violation("command: %v: %v", args, err)
	}
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var one T
		if err := decoder.Decode(&one); err != nil {
			if !errors.Is(err, io.EOF) {
				w.violation("command: %v prints %q", args, out)
			}
			return all
		}
		all = append(all, one)
	}
}

func checks(all []worker) (list []func(*State, reporter)) {
	for _, one := range all {
		list = append(list, one.check)
	}
	return list
}

// disk returns the fault of a disk that loses unsynced data, or none.
func (w *world) disk() string {
	if w.random.IntN(2) == 0 {
		return "KABAN_FAULT_DISK="
	}
	return fmt.Sprintf("KABAN_FAULT_DISK=lose,seed=%d", w.random.Uint32())
}

// end waits for the death at a failpoint, or kills the server.
func (w *world) end(place string) string {
	if !end(w.host, w.random, syscall.SIGKILL, place != "") {
		return "at random"
	}
	return place
}

// afterDeath reads the database and returns what is wrong with it.
func (w *world) afterDeath(checks ...func(*State, reporter)) []string {
	s, err := w.state()
	if err != nil {
		return []string{fmt.Sprintf("the database: %v", err)}
	}
	for _, problem := range s.Check() {
		w.violation("%s", problem)
	}
	for _, check := range checks {
		check(s, w.violation)
	}
	return w.takeViolations()
}

func (w *world) takeViolations() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.violations
}

// checkSettled: a server that was shut down has left no task undone.
func checkSettled(s *State, report reporter) {
	for _, task := range s.Tasks {
		if task.Kind == people.TaskSucceed || task.Kind == people.TaskLeave {
			report("task: a server that ran left %v", task)
		}
	}
}

// employ makes the accounts and everybody that changes them.
func employ(w *world, owner string) []worker {
	boss := &staff{username: owner, password: claimPassword(owner)}
	boss.secret = w.must(w.signIn(boss.username, boss.password), "the owner signs in").cookie
	second := w.hire("second", "owner")
	root := w.hire("root", "admin")
	all := []worker{
		&owners{pair: [2]*staff{boss, second}},
		&invites{by: root},
		&tokens{who: w.hire("tom", "member")},
		&passwords{who: w.hire("pam", "member")},
		&roles{by: root, subject: w.hire("rob", "member")},
		&heirs{by: root, op: w.hire("olga", "member"), heir: w.hire("hal", "member")},
		&leavers{by: root, stays: w.hire("stan", "member")},
		&repeaters{by: w.hire("rex", "member")},
		&erasures{by: root, stays: w.hire("sven", "member"), other: w.hire("otto", "member")},
		&kicks{op: w.hire("kim", "member"), target: w.hire("tess", "member"), other: w.hire("sue", "member"), guest: w.hire("gus", "guest")},
	}
	for _, one := range all {
		one.prepare(w)
	}
	return all
}

// staff is an account of the test.
type staff struct{ username, password, secret string }

// hire makes an account and signs in.
func (w *world) hire(username, role string) *staff {
	w.t.Helper()
	s := &staff{username: username, password: "password of " + username}
	w.must(w.operate(http.MethodPost, "/v1/admin/users", map[string]string{"username": username, "role": role, "password": s.password}), "make "+username)
	s.secret = w.must(w.signIn(username, s.password), username+" signs in").cookie
	return s
}

func decode(w *world, a answer, into any) {
	if err := json.Unmarshal(a.body, into); err != nil && a.outcome == acked {
		w.violation("%v: %s", err, a.body)
	}
}

// until waits for something on a server that may die.
func (w *world) until(is func() bool) bool {
	for deadline := time.Now().Add(patience); w.alive(); time.Sleep(5 * time.Millisecond) {
		if is() {
			return true
		}
		if time.Now().After(deadline) {
			w.violation("nothing happens for %s", patience)
			return false
		}
	}
	return false
}
