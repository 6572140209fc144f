package journal

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// memory is a disk that knows what is durable. It works on a real directory, so that all
// else in the package finds the files.
type memory struct {
	t       *testing.T
	dir     string
	names   map[string]*inode // as programs see them
	durable map[string]*inode // as a power loss leaves them
	changes []map[string]*inode
	made    bool             // the directory itself is durable
	step    func(op string)  // called after each operation
	fail    func(string) int // called before each one; 0 lets it pass
}

// What memory.fail returns.
const (
	passes = iota
	fails
	failsHalfway // a write stores its first half
)

var errDisk = errors.New("the disk has failed")

type inode struct {
	now, durable []byte
	changes      []written // since the last sync
	lost         []written // before a sync that failed
}

type written struct {
	data []byte
	at   int64
}

func newMemory(t *testing.T, dir string) *memory {
	return &memory{t: t, dir: dir, names: make(map[string]*inode), durable: make(map[string]*inode), step: func(string) {}, fail: func(string) int { return passes }}
}

func (m *memory) system() *system {
	return &system{m.open, m.rename, m.remove, m.syncDirectory}
}

func (m *memory) open(path string, flag int) (file, error) {
	name := filepath.Base(path)
	if m.fail("open") != passes {
		return nil, errDisk
	}
	node := m.names[name]
	if flag&os.O_CREATE != 0 {
		if node != nil {
			m.t.Errorf("%s is there already", name)
		}
		node = &inode{}
		m.setNames(func(all map[string]*inode) { all[name] = node })
	}
	if node == nil {
		return nil, fmt.Errorf("%s: %w", path, os.ErrNotExist)
	}
	f, err := os.OpenFile(path, flag, 0o600)
	if err != nil {
		m.t.Fatal(err)
	}
	m.step("open " + name)
	return &memoryFile{m, node, f}, nil
}

func (m *memory) setNames(change func(map[string]*inode)) {
	m.changes = append(m.changes, maps.Clone(m.names))
	change(m.names)
}

func (m *memory) rename(from, to string) error {
	if m.fail("rename") != passes {
		return errDisk
	}
	a, b := filepath.Base(from), filepath.Base(to)
	if m.names[b] != nil {
		m.t.Errorf("%s is renamed to %s, which is there", a, b)
	}
	m.setNames(func(all map[string]*inode) { all[b] = all[a]; delete(all, a) })
	if err := os.Rename(from, to); err != nil {
		m.t.Fatal(err)
	}
	m.step("rename " + a + " " + b)
	return nil
}

func (m *memory) remove(path string) error {
	if m.fail("remove") != passes {
		return errDisk
	}
	m.setNames(func(all map[string]*inode) { delete(all, filepath.Base(path)) })
	if err := os.Remove(path); err != nil {
		m.t.Fatal(err)
	}
	m.step("remove " + filepath.Base(path))
	return nil
}

func (m *memory) syncDirectory(path string) error {
	if m.fail("sync directory") != passes {
		return errDisk
	}
	if path == m.dir {
		m.durable, m.changes = maps.Clone(m.names), nil
	} else {
		m.made = true
	}
	m.step("sync directory")
	return nil
}

type memoryFile struct {
	m    *memory
	node *inode
	*os.File
}

func (f *memoryFile) WriteAt(p []byte, at int64) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	failure := f.m.fail("write")
	switch failure {
	case fails:
		return 0, errDisk
	case failsHalfway:
		p = p[:len(p)/2]
	}
	f.node.now = writeAt(f.node.now, p, at)
	f.node.changes = append(f.node.changes, written{bytes.Clone(p), at})
	if _, err := f.File.WriteAt(p, at); err != nil {
		f.m.t.Fatal(err)
	}
	f.m.step("write")
	if failure != passes {
		return len(p), errDisk
	}
	return len(p), nil
}

func (f *memoryFile) SyncData() error {
	if f.m.fail("sync") != passes { // the system takes the pages for written now
		f.node.lost = append(f.node.lost, f.node.changes...)
		f.node.changes = nil
		return errDisk
	}
	for _, c := range f.node.changes {
		f.node.durable = writeAt(f.node.durable, c.data, c.at)
		f.node.lost = slices.DeleteFunc(f.node.lost, func(l written) bool {
			return l.at < c.at+int64(len(c.data)) && c.at < l.at+int64(len(l.data))
		})
	}
	f.node.changes = nil
	f.m.step("sync")
	return nil
}

func writeAt(data, p []byte, at int64) []byte {
	if grow := at + int64(len(p)) - int64(len(data)); grow > 0 {
		data = append(data, make([]byte, grow)...)
	}
	copy(data[at:], p)
	return data
}

// afterKill returns the files as a killed process leaves them.
func (m *memory) afterKill() map[string][]byte {
	files := make(map[string][]byte)
	for name, node := range m.names {
		files[name] = bytes.Clone(node.now)
	}
	return files
}

// afterPowerLoss returns the files as a power loss leaves them: of what is not synced,
// some changes of names, in order, and any sectors.
func (m *memory) afterPowerLoss(random *rand.Rand) map[string][]byte {
	files := make(map[string][]byte)
	names := m.durable
	if n := random.IntN(len(m.changes) + 1); n > 0 {
		names = append(m.changes, m.names)[n]
	}
	if !m.made && random.IntN(2) == 0 {
		return files
	}
	for name, node := range names {
		data := bytes.Clone(node.durable)
		kept := []float64{0, 0.5, 0.95, 1}[random.IntN(4)]
		for _, c := range slices.Concat(node.lost, node.changes) {
			for at := c.at; at < c.at+int64(len(c.data)); {
				end := min((at/512+1)*512, c.at+int64(len(c.data)))
				if random.Float64() < kept {
					data = writeAt(data, c.data[at-c.at:end-c.at], at)
				}
				at = end
			}
		}
		files[name] = data
	}
	return files
}

// restart makes the disk have these files, all durable.
func (m *memory) restart(files map[string][]byte) {
	m.names, m.changes = make(map[string]*inode), nil
	if err := os.RemoveAll(m.dir); err != nil {
		m.t.Fatal(err)
	}
	if err := os.Mkdir(m.dir, 0o700); err != nil {
		m.t.Fatal(err)
	}
	for name, data := range files {
		m.names[name] = &inode{now: bytes.Clone(data), durable: bytes.Clone(data)}
		write(m.t, filepath.Join(m.dir, name), data)
	}
	m.durable = maps.Clone(m.names)
}

// server is a store on such a disk, with what it has promised.
type server struct {
	*memory
	random  *rand.Rand
	journal *Journal
	mark    Mark    // as the server sees it
	synced  Mark    // as a power loss may leave it; equal unless the server was killed in a commit
	frames  []Frame // that were acknowledged and are not merged in synced
	pending *Frame  // being appended, or appended without success
	batch   uint64  // the newest
	images  string  // a directory
	looks   int
	used    []Salt // of segments
	erased  int
}

// death is what a step panics with where the server dies.
type death struct{}

// look checks that the journal opens after a crash at this moment.
func (s *server) look(op string) {
	s.looks++
	images := []map[string][]byte{s.afterKill(), s.afterPowerLoss(s.random), s.afterPowerLoss(s.random)}
	for i, files := range images {
		for _, m := range []Mark{s.mark, s.synced} {
			if i == 0 && m != s.mark {
				continue
			}
			dir, err := os.MkdirTemp(s.images, "")
			if err != nil {
				s.t.Fatal(err)
			}
			for name, data := range files {
				write(s.t, filepath.Join(dir, name), data)
			}
			found, err := Read(dir, m)
			s.check(op, m, found, err)
			j, found, err := open(&unsynced, dir, m, testSize)
			s.check(op, m, found, err)
			if err == nil {
				// It may die again before it notes anything.
				j.Close()
				j, found, err = open(&unsynced, dir, m, testSize)
				s.check(op+", twice", m, found, err)
			}
			if err == nil {
				batch := max(s.batch, j.last) + 1
				if err := j.Append(batch, []byte("goes on")); err != nil {
					s.t.Errorf("after %q: %v", op, err)
				}
				j.Close()
				m.Closed = false
				m.Salt, m.Last = j.Salt()
				again, err := Read(dir, m)
				if err != nil || len(again) != len(found)+1 {
					s.t.Errorf("after %q: %s, %v; want one more than %s", op, describe(again), err, describe(found))
				}
			}
			if s.t.Failed() {
				for name, data := range files {
					h, valid := parseHeader(data)
					s.t.Logf("%s, %d bytes: %t, %+v", name, len(data), valid, h)
				}
				s.t.Fatalf("after %q, image %d, mark %+v", op, i, m)
			}
			os.RemoveAll(dir)
		}
	}
}

// check checks what was found for a mark. What was being appended may be there or not.
func (s *server) check(op string, m Mark, found []Frame, err error) {
	s.t.Helper()
	if err != nil {
		s.t.Errorf("after %q: %v", op, err)
		return
	}
	want := s.unmerged(m)
	if equalFrames(found, want) {
		return
	}
	if s.pending != nil && equalFrames(found, append(slices.Clone(want), *s.pending)) {
		return
	}
	s.t.Errorf("after %q: got %s; want %s", op, describe(found), describe(want))
}

func (s *server) unmerged(m Mark) (want []Frame) {
	if m.Closed {
		return nil
	}
	for _, f := range s.frames {
		if f.Batch > m.Merged {
			want = append(want, f)
		}
	}
	return want
}

// note commits a mark. Sometimes the server is killed before the commit is synced.
func (s *server) note(m Mark) {
	s.mark = m
	if s.random.IntN(6) == 0 {
		s.step("commit, not synced")
		if s.random.IntN(3) == 0 {
			panic(death{})
		}
	}
	s.synced = m
	s.frames = s.unmerged(m)
	s.step("commit")
}

// start opens the journal and notes its segment.
func (s *server) start() error {
	j, found, err := open(s.system(), s.dir, s.mark, testSize)
	if err != nil {
		return err
	}
	s.check("start", s.mark, found, nil)
	if n := len(found); n > 0 && s.pending != nil && found[n-1].Batch == s.pending.Batch {
		s.frames = append(s.frames, *s.pending) // it is promised now
	}
	s.pending = nil
	s.journal = j
	m := s.mark
	m.Closed = false
	m.Salt, m.Last = j.Salt()
	s.batch = max(s.batch, m.Last)
	s.note(m)
	return nil
}

func (s *server) append() error {
	s.batch += 1 + s.random.Uint64N(2)
	n := 1 + s.random.IntN(900)
	if s.random.IntN(15) == 0 {
		n += testSize
	}
	s.pending = &Frame{s.batch, payload(s.batch, n)}
	if err := s.journal.Append(s.batch, s.pending.Payload); err != nil {
		if !errors.Is(err, ErrSync) {
			s.pending = nil
		}
		return err
	}
	s.frames = append(s.frames, *s.pending)
	s.pending = nil
	return nil
}

func (s *server) merge(all bool) error {
	m := s.mark
	switch n := len(s.frames); {
	case all || n == 0:
		m.Merged = max(m.Merged, s.batch)
	default:
		m.Merged = max(m.Merged, s.frames[s.random.IntN(n)].Batch)
	}
	m.Salt, m.Last = s.journal.Salt()
	s.note(m)
	return s.journal.Trim(m)
}

// erase erases all that was appended. Once that is done, nothing brings it back.
func (s *server) erase() error {
	if err := s.journal.PrepareTurn(); err != nil {
		return err
	}
	old := s.salts()
	from, err := s.journal.Turn()
	if err != nil {
		return err
	}
	old = slices.DeleteFunc(old, func(salt Salt) bool { return salt == from })
	if err := s.merge(true); err != nil {
		return err
	}
	done, err := s.journal.Erase(s.mark, from)
	if err != nil || !done {
		return err
	}
	s.erased++
	for _, names := range append([]map[string]*inode{s.names, s.durable}, s.changes...) {
		for name, node := range names {
			contents := [][]byte{node.now, node.durable}
			for _, c := range slices.Concat(node.lost, node.changes) {
				contents = append(contents, c.data)
			}
			for i, salt := range old {
				for _, data := range contents {
					if len(data) >= headerSize && string(data[:8]) == magic {
						data = data[headerSize:] // has the salt of the segment before
					}
					if bytes.Contains(data, salt[:8]) {
						s.t.Errorf("%s has a frame of a segment that was erased, %d of %d", name, i, len(old))
					}
				}
			}
		}
	}
	return nil
}

// salts returns those of all segments that had frames since the last power loss.
func (s *server) salts() (all []Salt) {
	s.journal.mu.Lock()
	defer s.journal.mu.Unlock()
	for _, h := range s.journal.segments {
		if !h.salt.IsZero() && !slices.Contains(s.used, h.salt) {
			s.used = append(s.used, h.salt)
		}
	}
	return slices.Clone(s.used)
}

// work does what a server does, for a while. It returns early after an error that ends it.
func (s *server) work() error {
	if err := s.start(); err != nil {
		return err
	}
	for range 40 {
		var err error
		switch s.random.IntN(10) {
		case 0, 1:
			err = s.merge(false)
		case 2:
			err = s.journal.Prepare()
		case 3:
			err = s.erase()
		default:
			err = s.append()
		}
		if errors.Is(err, ErrSync) {
			return err
		}
		if n := len(s.journal.spares); n > maxSpares {
			s.t.Errorf("%d spares", n)
		}
	}
	if s.random.IntN(3) > 0 {
		return nil // killed
	}
	if err := s.merge(true); err != nil {
		return err
	}
	m := s.mark
	m.Closed = true
	s.note(m)
	s.journal.Close()
	return s.system().removeAll(s.dir)
}

// run works until the server dies, or the end.
func (s *server) run() (err error, died bool) {
	defer func() {
		if p := recover(); p != nil {
			if _, ok := p.(death); !ok {
				panic(p)
			}
			died = true
		}
		if s.journal != nil && s.journal.file != nil {
			s.journal.file.Close()
		}
		s.journal = nil
	}()
	return s.work(), false
}

// newServer returns one that dies at random steps. It looks at some steps.
func newServer(t *testing.T, seed uint64, looks, deaths int) *server {
	s := &server{memory: newMemory(t, filepath.Join(t.TempDir(), "journal")), random: rand.New(rand.NewPCG(seed, 2)), images: t.TempDir()}
	s.mark = Mark{Closed: true}
	s.synced = s.mark
	s.step = func(op string) {
		if s.random.IntN(looks) == 0 {
			s.look(op)
		}
		if s.random.IntN(deaths) == 0 {
			panic(death{})
		}
	}
	return s
}

// crash is what happens to the disk after the server has ended: nothing, or a power loss.
func (s *server) crash() {
	if s.random.IntN(2) == 0 {
		return
	}
	if s.random.IntN(2) == 0 {
		s.mark = s.synced
	}
	s.restart(s.afterPowerLoss(s.random))
	s.synced = s.mark
	s.frames = s.unmerged(s.mark)
}

// After a crash at any step, and several of them, all that was synced is there.
func TestCrashes(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			s := newServer(t, seed, 25, 150)
			for range 12 {
				if err, died := s.run(); err != nil && !died {
					t.Fatal(err)
				}
				s.crash()
			}
			if s.looks < 15 || s.erased < 5 {
				t.Errorf("looked only %d times, erased %d times", s.looks, s.erased)
			}
		})
	}
}

// A disk that fails loses nothing that was acknowledged.
func TestFailingDisk(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			s := newServer(t, seed, 40, 400)
			failures := 0
			for range 20 {
				s.fail = func(op string) int {
					if s.random.IntN(50) > 0 || op[0] == 's' && s.random.IntN(3) > 0 {
						return passes
					}
					failures++
					return fails + s.random.IntN(2)
				}
				if err, _ := s.run(); err != nil && !errors.Is(err, errDisk) {
					t.Fatal(err)
				}
				s.crash()
			}
			s.fail = func(string) int { return passes }
			if err, _ := s.run(); err != nil {
				t.Fatal(err)
			}
			if failures < 10 {
				t.Errorf("only %d operations failed", failures)
			}
		})
	}
}
