package torture

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"kaban/internal/account"
	"kaban/internal/files"
	"kaban/internal/files/disk"
	"kaban/internal/people"
)

// filePlaces are the failpoints of a server that takes files.
var filePlaces = []place{
	{"upload.written", 40},
	{"upload.synced", 40},
	{"upload.recorded", 40},
	{"upload.record-removed", 40},
	{"upload.removed", 40},
	{"keep.prepared", 40},
	{"keep.added", 40},
	{"keep.registered", 40},
	{"blob.linked", 20},
	{"blob.filled", 20},
	{"blob.renamed", 20},
	{"blob.removed", 5},
}

// filesInDirectory are those of a data directory besides.
var filesInDirectory = []place{
	{"journal.synced", 60},
	{"merge.before-commit", 10},
	{"merge.after-commit", 10},
}

// filesInDatabase are those of a PostgreSQL besides.
var filesInDatabase = []place{
	{"append.before-commit", 60},
	{"append.after-commit", 60},
	{"update.before-commit", 60},
	{"update.after-commit", 60},
	{"database.sent", 300},
}

// fileAcks is how many messages have to be acknowledged before a kill.
const fileAcks = 10

// parcel is a message with a file that somebody sends.
type parcel struct {
	id      string // of the message
	content []byte
	file    string // the id of the file, once the server has given one
	seq     uint64 // once it is acknowledged
	// deleting is set before the message is deleted, deleted when that is acknowledged.
	deleting, deleted bool
}

// carriers are people that send files, and delete some of them, while their server dies.
type carriers struct {
	*world
	token string
	ctx   context.Context
	group sync.WaitGroup

	mu      sync.Mutex         // guards all below
	parcels map[string]*parcel // by the id of the message
	done    int                // messages that are acknowledged
}

func newCarriers(t *testing.T, random *rand.Rand) *carriers {
	c := &carriers{world: newWorld(t, random), parcels: make(map[string]*parcel)}
	if c.database != nil { // its nodes share the files
		c.shared = filepath.Join(t.TempDir(), "files")
	}
	s, err := c.openStore(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	accounts := account.New(s, account.Options{})
	_, err = accounts.MakeOwner(t.Context(), "olga", "correct horse battery")
	if err == nil {
		_, c.token, err = accounts.MakeToken(t.Context(), account.Operator(), account.NewToken{Username: "olga", Name: "files"})
	}
	if err = errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	return c
}

// request makes a request until the server answers it.
func (c *carriers) request(method, path, contentType string, body []byte) (status int, answer map[string]any) {
	for c.ctx.Err() == nil {
		status, answer, err := c.try(method, path, contentType, body)
		if err == nil && status < http.StatusInternalServerError && status != http.StatusTooManyRequests {
			return status, answer
		}
		time.Sleep(2 * time.Millisecond)
	}
	return 0, nil
}

func (c *carriers) try(method, path, contentType string, body []byte) (status int, answer map[string]any, err error) {
	r, err := http.NewRequestWithContext(c.ctx, method, "http://"+c.web+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Authorization", "Bearer "+c.token)
	r.Header.Set("Content-Type", contentType)
	got, err := c.http.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err == nil && len(text) > 0 {
		err = json.Unmarshal(text, &answer)
	}
	return got.StatusCode, answer, err
}

// carry sends files one after the other, and deletes every fifth message.
func (c *carriers) carry(name string, seed uint64) {
	random := rand.New(rand.NewPCG(seed, seed))
	c.group.Go(func() {
		var before *parcel
		for n := 0; c.ctx.Err() == nil; n++ {
			p := &parcel{id: fmt.Sprint(name, "-", n), content: c.content(random, name, n)}
			c.mu.Lock()
			c.parcels[p.id] = p
			c.mu.Unlock()
			c.send(p)
			if before != nil && n%5 == 4 {
				c.remove(before)
			}
			before = p
		}
	})
}

// content returns the bytes of a file. Some are sent by many, over and over.
func (c *carriers) content(random *rand.Rand, name string, n int) []byte {
	if random.IntN(3) == 0 {
		return bytes.Repeat(fmt.Appendf(nil, "the same %d ", random.IntN(4)), 1000)
	}
	return bytes.Repeat(fmt.Appendf(nil, "%s %d ", name, n), 1+random.IntN(20_000))
}

// send uploads a file and posts its message, over as many lives of the server as that takes.
func (c *carriers) send(p *parcel) {
	var form bytes.Buffer
	parts := multipart.NewWriter(&form)
	part, err := parts.CreateFormFile("file", p.id+".txt")
	if err == nil {
		_, err = part.Write(p.content)
	}
	if err = errors.Join(err, parts.Close()); err != nil {
		c.violation("%v", err)
		return
	}
	status, answer := c.request(http.MethodPost, "/v1/files", parts.FormDataContentType(), form.Bytes())
	file, _ := answer["file"].(string)
	if file == "" {
		c.refused("the upload of "+p.id, status, answer)
		return
	}
	c.mu.Lock()
	p.file = file
	c.mu.Unlock()
	body := fmt.Appendf(nil, `{"id":%q,"content":"look","files":[%q]}`, p.id, file)
	status, answer = c.request(http.MethodPost, "/v1/rooms/"+room+"/messages", "application/json", body)
	seq, _ := answer["seq"].(float64)
	if seq == 0 {
		c.refused("the message "+p.id, status, answer)
		return
	}
	c.mu.Lock()
	p.seq = uint64(seq)
	c.done++
	c.mu.Unlock()
}

func (c *carriers) remove(p *parcel) {
	c.mu.Lock()
	seq := p.seq
	p.deleting = seq != 0
	c.mu.Unlock()
	if seq == 0 {
		return
	}
	status, answer := c.request(http.MethodDelete, fmt.Sprintf("/v1/rooms/%s/messages/%d?id=gone-%s", room, seq, p.id), "", nil)
	if status >= http.StatusMultipleChoices || status == 0 {
		c.refused("the deletion of "+p.id, status, answer)
		return
	}
	c.mu.Lock()
	p.deleted = true
	c.mu.Unlock()
}

func (c *carriers) refused(what string, status int, answer map[string]any) {
	if c.ctx.Err() == nil {
		c.violation("%s was refused with %d %v", what, status, answer)
	}
}

func (c *carriers) acknowledged() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.done
}

// fileState is what the data of a server that does not run says about files.
type fileState struct {
	*State
	files  map[string]people.File
	blobs  map[string]people.Blob
	stored map[string]int64 // the lengths of the contents that are there, by hash
}

func (c *carriers) look() *fileState {
	c.T().Helper()
	s := &fileState{files: make(map[string]people.File), blobs: make(map[string]people.Blob), stored: make(map[string]int64)}
	var err error
	if s.State, err = c.state(); err == nil {
		err = errors.Join(
			each(s.State, "file", func(f people.File) { s.files[f.ID] = f }),
			each(s.State, "blob", func(b people.Blob) { s.blobs[b.Hash] = b }))
	}
	if err != nil {
		c.T().Fatal(err)
	}
	blobs, err := disk.Open(c.blobs())
	if err != nil {
		c.T().Fatal(err)
	}
	for info, err := range blobs.All(context.Background(), files.Content) {
		if err != nil {
			c.T().Fatal(err)
		}
		s.stored[info.Key.Hash.String()] = info.Size
	}
	return s
}

// blobs returns the directory with the bytes of files.
func (c *carriers) blobs() string { return cmp.Or(c.shared, c.data) }

// age makes bytes that nodes share old. A node leaves new ones to others, which may be about to make a file
// of them.
func (c *carriers) age() {
	c.T().Helper()
	if c.shared == "" {
		return
	}
	err := filepath.WalkDir(c.shared, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		before := time.Now().Add(-48 * time.Hour)
		return os.Chtimes(path, before, before)
	})
	if err != nil {
		c.T().Fatal(err)
	}
}

// T returns the test.
func (c *carriers) T() *testing.T { return c.world.t }

// check compares the data with what was acknowledged: each message has its file, whole, and points to
// nothing that there is not.
func (c *carriers) check(when string) *fileState {
	c.T().Helper()
	s := c.look()
	bad := func(format string, args ...any) { c.violation(when+": "+format, args...) }
	messages := make(map[uint64]string) // of those with files: the id of the first
	for _, r := range s.Entries[room] {
		for _, f := range r.Files.List() {
			messages[r.Seq] = f.ID
			kept, ok := s.files[f.ID]
			if !ok || kept.Seq != r.Seq || kept.Room != room {
				bad("message %d has the file %s, of which the database says %+v, %t", r.Seq, f.Name, kept, ok)
			}
		}
	}
	for _, f := range s.files {
		if !c.isWhole(&f) {
			bad("the bytes of %s, of message %d, are not whole", f.Name, f.Seq)
		}
		if s.blobs[f.Hash].References == 0 {
			bad("the bytes of %s are referred to by nothing", f.Name)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.parcels {
		file, there := messages[p.seq]
		switch {
		case p.seq == 0: // nobody was told
		case p.deleted && there:
			bad("%s was deleted, and has a file", p.id)
		case !p.deleting && (!there || file != p.file):
			bad("%s, message %d, has the file %q, want %q", p.id, p.seq, file, p.file)
		case !p.deleting && s.files[p.file].Hash != fmt.Sprintf("%x", sha256.Sum256(p.content)):
			bad("the file of %s has other bytes than were sent", p.id)
		}
	}
	return s
}

// isWhole reports whether a file has its bytes.
func (c *carriers) isWhole(f *people.File) bool {
	hash, err := files.ParseHash(f.Hash)
	if err != nil {
		return false
	}
	data, err := os.ReadFile(filepath.Join(c.blobs(), filepath.FromSlash(files.Key{Kind: files.Content, Hash: hash}.Path())))
	return err == nil && int64(len(data)) == f.Size && fmt.Sprintf("%x", sha256.Sum256(data)) == f.Hash
}

func (c *carriers) report() {
	c.T().Helper()
	c.world.mu.Lock()
	defer c.world.mu.Unlock()
	if n := len(c.violations); n > 0 {
		c.T().Fatalf("%d violations, the first are\n%s\nthe server's log ends\n%.3000s", n, strings.Join(c.violations[:min(n, 10)], "\n"), c.log)
	}
}

// People send files and delete some, and their server is killed at any moment. Every message that was
// acknowledged has its file whole; no message has one that there is not; and after the sweep of the
// next start there is nothing that nobody has.
func TestFilesUnderKills(t *testing.T) {
	random := random(t)
	c := newCarriers(t, random)
	var stop context.CancelFunc
	c.ctx, stop = context.WithCancel(context.Background())
	t.Cleanup(func() {
		stop()
		c.group.Wait()
	})
	for i := range 4 {
		c.carry(fmt.Sprint("carrier", i), random.Uint64())
	}
	died := make(map[string]int)
	for n := range *fileKills {
		place, env := "at random", clock(random)
		var faults []string
		if n%2 == 0 {
			places := c.places(filePlaces, filesInDirectory, filesInDatabase)
			at := places[random.IntN(len(places))]
			place = at.name
			faults = append(faults, fmt.Sprintf("KABAN_FAILPOINT=%s:%d", at.name, 1+random.IntN(at.times)))
		}
		before := c.acknowledged()
		c.start(append(faults, env)...)
		for deadline := time.Now().Add(patience); !c.ended(0) && c.acknowledged() < before+fileAcks; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("nothing is acknowledged:\n%s", c.log)
			}
		}
		if !end(c.host, random, syscall.SIGKILL, len(faults) > 0) {
			place = "at random"
		}
		if !c.died() {
			t.Fatalf("%s: the server ended with %v:\n%s", place, c.err, c.log)
		}
		died[place]++
		c.check(fmt.Sprintf("death %d (%s)", n+1, place))
		c.report()
	}
	stop()
	c.group.Wait()
	c.sweep()
	t.Logf("died %v; %d messages with files acknowledged: no fault", died, c.acknowledged())
}

// sweep starts the server until it has let go of everything that nobody has. It makes pauses between many
// files, so each life is longer than the one before.
func (c *carriers) sweep() {
	c.T().Helper()
	for deadline, life := time.Now().Add(patience), 300*time.Millisecond; ; life *= 2 {
		c.age()
		c.start()
		time.Sleep(life)
		c.stop()
		s := c.check("after the sweep")
		c.report()
		orphans := 0
		for hash := range s.stored {
			if s.blobs[hash].References == 0 {
				orphans++
			}
		}
		released := 0
		for key := range s.Documents {
			if strings.HasPrefix(key, "released/") {
				released++
			}
		}
		loose, err := os.ReadDir(filepath.Join(c.data, "uploads"))
		if err != nil {
			c.T().Fatal(err)
		}
		if orphans == 0 && released == 0 && len(s.stored) == len(s.blobs) && len(loose) == 0 {
			return
		}
		if time.Now().After(deadline) {
			c.T().Fatalf("there are %d bytes that nobody has, %d released messages, %d blobs of %d, %d uploads", orphans, released, len(s.stored), len(s.blobs), len(loose))
		}
	}
}
