package index

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"kaban"
	"kaban/internal/failpoint"
	"kaban/internal/markup"
	"kaban/internal/search"
	"kaban/internal/store"
)

// The terms that are not of the text begin with a character that terms of texts never
// have, so neither words nor phrases find them.
const (
	roomTerm   = "¤r"
	authorTerm = "¤a"
	linkTerm   = "¤l"
	fileTerm   = "¤f"
	pairTerm   = "¤p"
)

// pairTerms is how many terms there are of two words that follow each other. More would be
// more exact and take more space: with as many, a message with both words of a phrase, but
// not in this order, is proposed in one case of a hundred.
const pairTerms = 1024

// termOfPair returns the term of two words that follow each other, and false if they need
// none: the pairs of characters of a run nearly always follow each other.
func termOfPair(first, second string) (string, bool) {
	if search.IsOfRun(first) && search.IsOfRun(second) {
		return "", false
	}
	hash := hashed(hashed(hashed(fnvOffset, first), " "), second)
	return pairs[hash%pairTerms], true
}

// pairs has all terms of pairs: one is needed for nearly every word of a message.
var pairs = func() (all [pairTerms]string) {
	for i := range all {
		all[i] = pairTerm + strconv.FormatUint(uint64(i), 36)
	}
	return all
}()

// The numbers of FNV-1a with 32 bits (https://www.isthe.com/chongo/tech/comp/fnv/). Package hash/fnv
// allocates its state and a copy of each string.
const (
	fnvOffset = 2166136261
	fnvPrime  = 16777619
)

// hashed returns the hash of what was hashed before and a text.
func hashed(hash uint32, text string) uint32 {
	for i := range len(text) {
		hash = (hash ^ uint32(text[i])) * fnvPrime
	}
	return hash
}

func termOfRoom(id uint32) string { return roomTerm + strconv.FormatUint(uint64(id), 36) }

// termOfAuthor returns the term of a name. It is a keyed hash, so that it tells nothing
// once the messages under the name are erased.
func (d *database) termOfAuthor(name kaban.Username) string {
	h := hmac.New(sha256.New, []byte(d.secret))
	h.Write([]byte(name.Key()))
	return authorTerm + hex.EncodeToString(h.Sum(nil)[:8])
}

// terms returns what the index keeps of a message.
func (w *writer) terms(r *room, e *store.Entry) string {
	all := []string{termOfRoom(r.id)}
	if author := w.author(e.Username); author != "" {
		all = append(all, author)
	}
	if markup.HasAddress(e.Content) {
		all = append(all, linkTerm)
	}
	if e.Files != "" {
		all = append(all, fileTerm)
	}
	words := search.Terms(search.TextOf(e.Content, e.Files))
	all = append(all, words...)
	for i := 1; i < len(words); i++ {
		if pair, ok := termOfPair(words[i-1], words[i]); ok {
			all = append(all, pair)
		}
	}
	return strings.Join(all, " ")
}

// author returns the term of a name, or "" if it is none. Few write most messages of a
// transaction, and the hash costs as much as all words of one.
func (w *writer) author(name string) string {
	term, known := w.authors[name]
	if known {
		return term
	}
	if name, err := kaban.ParseUsername(name); err == nil {
		term = w.x.db.termOfAuthor(name)
	}
	if w.authors == nil {
		w.authors = make(map[string]string)
	}
	w.authors[name] = term
	return term
}

// writer changes the index in one transaction.
type writer struct {
	x       *Index
	tx      *sql.Tx
	volume  uint64
	insert  *sql.Stmt         // into the volume
	authors map[string]string // terms by name
}

func (w *writer) close() {
	if w.insert != nil {
		w.insert.Close()
	}
}

// register gives a room its id.
func (w *writer) register(r *room) error {
	result, err := w.tx.Exec("INSERT INTO rooms (name, cursor, indexed, marked) VALUES (?, 0, 0, 0)", r.name.String())
	if err != nil {
		return err
	}
	id, err := result.LastInsertId()
	if err != nil {
		return err
	}
	w.x.mu.Lock() // searches look at it
	r.id = uint32(id)
	w.x.mu.Unlock()
	return nil
}

// finish writes how far everything has come.
func (w *writer) finish(moved map[*room]uint64) error {
	if err := w.x.tail.save(w.tx); err != nil {
		return err
	}
	set, err := w.tx.Prepare("UPDATE rooms SET cursor = ?, indexed = ?, marked = ? WHERE id = ?")
	if err != nil {
		return err
	}
	defer set.Close()
	for r, cursor := range moved {
		if r.id == 0 { // nothing of it could be read
			if err := w.register(r); err != nil {
				return err
			}
		}
		if _, err := set.Exec(cursor, r.indexed, r.marked, r.id); err != nil {
			return err
		}
	}
	failpoint.Point("index.commit")
	return nil
}

func table(volume uint64) string { return "v" + strconv.FormatUint(volume, 10) }

// place returns the volume of an order, and its row there.
func (s *shape) place(order uint64) (volume uint64, row int64) {
	return order / s.volume, int64(order%s.volume) + 1
}

// add adds a message. An edit that the index has not come to may be in its text already.
func (w *writer) add(r *room, e *store.Entry) error {
	order, err := w.x.tail.add(w.tx, item{r.id, e.Seq}, e.Time)
	if err != nil {
		return err
	}
	if err := w.x.mark(w.tx, r, e.Seq, order); err != nil {
		return err
	}
	return w.put(r, e, order)
}

// put writes the terms of a message.
func (w *writer) put(r *room, e *store.Entry, order uint64) error {
	volume, row := w.x.options.shape.place(order)
	if w.insert == nil || volume != w.volume {
		if err := w.openVolume(volume); err != nil {
			return err
		}
	}
	_, err := w.insert.Exec(row, w.terms(r, e))
	return err
}

// openVolume prepares a volume for messages, and makes it if it is new.
func (w *writer) openVolume(volume uint64) error {
	w.close()
	w.insert = nil
	made, err := w.tx.Exec("INSERT OR IGNORE INTO volumes VALUES (?, 0, 0)", volume)
	if err != nil {
		return err
	}
	if n, _ := made.RowsAffected(); n > 0 {
		// The tokenizer separates at blanks and leaves everything beyond ASCII as it is.
		create := fmt.Sprintf("CREATE VIRTUAL TABLE %s USING fts5(terms, content='', contentless_delete=1, detail=none, tokenize='ascii')", table(volume))
		if _, err := w.tx.Exec(create); err != nil {
			return err
		}
		if _, err := w.tx.Exec(fmt.Sprintf("INSERT INTO %[1]s(%[1]s, rank) VALUES ('pgsz', 4050)", table(volume))); err != nil {
			return err
		}
	}
	w.insert, err = w.tx.Prepare(fmt.Sprintf("INSERT INTO %s(rowid, terms) VALUES (?, ?)", table(volume)))
	w.volume = volume
	return err
}

// hide hides the terms of a message, if it has any.
func (w *writer) hide(order uint64) error {
	volume, row := w.x.options.shape.place(order)
	hidden, err := w.tx.Exec(fmt.Sprintf("DELETE FROM %s WHERE rowid = ?", table(volume)), row)
	if err != nil {
		return err
	}
	if n, err := hidden.RowsAffected(); err != nil || n == 0 {
		return err
	}
	_, err = w.tx.Exec("UPDATE volumes SET dirty = dirty + 1 WHERE id = ?", volume)
	return err
}

// refresh gives a message the terms that it has now.
func (w *writer) refresh(ctx context.Context, r *room, seq uint64) error {
	order, ok, err := w.x.lookUp(w.tx, r, seq)
	if err != nil || !ok {
		return err
	}
	entries, err := w.x.store.Read(ctx, r.name, store.Page{After: seq - 1, Before: seq + 1, Limit: 1})
	if err != nil && !isUnreadable(err) {
		return err
	}
	if err := w.hide(order); err != nil {
		return err
	}
	if len(entries) == 0 || entries[0].Seq != seq || entries[0].IsDeleted() || entries[0].Kind != kaban.KindMessage {
		return nil
	}
	return w.put(r, &entries[0], order)
}

// remove hides a message.
func (w *writer) remove(r *room, seq uint64) error {
	order, ok, err := w.x.lookUp(w.tx, r, seq)
	if err != nil || !ok {
		return err
	}
	if _, err := w.tx.Exec("DELETE FROM pins WHERE place = ?", order); err != nil {
		return err
	}
	return w.hide(order)
}

// pin notes that a message is pinned, or not any more.
func (w *writer) pin(r *room, seq uint64, on bool) error {
	order, ok, err := w.x.lookUp(w.tx, r, seq)
	if err != nil || !ok {
		return err
	}
	query := "DELETE FROM pins WHERE place = ?"
	if on {
		query = "INSERT OR IGNORE INTO pins VALUES (?)"
	}
	_, err = w.tx.Exec(query, order)
	return err
}
