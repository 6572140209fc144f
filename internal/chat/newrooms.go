package chat

import (
	"net/netip"
	"sync"
	"time"

	"kaban/internal/limit"
	"kaban/internal/tcp"
)

// How many rooms may be made by joining them: so many in a row, and then another
// one every so often. A room that has had a message lasts, and the server takes a
// limited number of rooms, so nobody may use them up.
const (
	// Under a name as many as its connection may be in: after a restart a client
	// makes anew all of its rooms in which nothing was ever said. Then 20 an hour.
	nameRooms      = 1000
	nameRoomsEvery = 3 * time.Minute
	// From an address, whatever the names; of IPv6 from a network of 64 bits.
	addressRooms      = 2 * nameRooms
	addressRoomsEvery = 30 * time.Second
	// From this machine, which may be everybody behind a proxy: half of the rooms
	// that a server has by default.
	machineRooms      = 50 * nameRooms
	machineRoomsEvery = 10 * time.Second

	// maxQuotaKeys is how many names or addresses a quota remembers.
	maxQuotaKeys = 50_000
)

// newRooms limits how fast rooms are made. Accounts have a limit of their own, whatever
// their address.
type newRooms struct {
	clock    func() time.Duration
	accounts *limit.Limiter        // nil: accounts count as visitors do
	exempt   func(netip.Addr) bool // accounts at these addresses count as visitors do

	mu                        sync.Mutex // guards all below
	names, addresses, machine quota
}

func limitNewRooms(o Options) *newRooms {
	return &newRooms{
		clock:     o.Clock,
		accounts:  o.Rooms,
		exempt:    o.Exempt,
		names:     newQuota(nameRooms, nameRoomsEvery),
		addresses: newQuota(addressRooms, addressRoomsEvery),
		machine:   newQuota(machineRooms, machineRoomsEvery),
	}
}

// maker is somebody that makes a room.
type maker struct {
	account string // "" is a visitor
	name    string // folded
	address netip.Addr
}

// counted returns what the limit of accounts counts a maker by, unless the quotas of
// visitors hold for it.
func (n *newRooms) counted(m maker) (key limit.Key, ok bool) {
	if m.account == "" || n.accounts == nil || !m.address.IsValid() || n.exempt != nil && n.exempt(m.address) {
		return 0, false
	}
	return limit.NameKey(m.account), true
}

// take counts a room, or returns how long to wait until it may be made.
func (n *newRooms) take(m maker) (wait time.Duration) {
	if key, ok := n.counted(m); ok {
		return n.accounts.Take(key, 1)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.clock()
	place, key := n.placeLocked(m.address)
	if wait = max(n.names.wait(m.name, now), place.wait(key, now)); wait == 0 {
		n.names.use(m.name, now)
		place.use(key, now)
	}
	return wait
}

// give takes back what take counted, for a room that is gone again because nobody
// has said anything in it.
func (n *newRooms) give(m maker) {
	if key, ok := n.counted(m); ok {
		n.accounts.Give(key, 1)
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	place, key := n.placeLocked(m.address)
	n.names.give(m.name)
	place.give(key)
}

// placeLocked returns what limits an address, and its key there.
func (n *newRooms) placeLocked(address netip.Addr) (place *quota, key string) {
	if network := tcp.NetworkOf(address); network.IsValid() {
		return &n.addresses, network.String()
	}
	return &n.machine, ""
}

// quota lets each key do something so many times in a row, and then once every
// so often. It remembers those keys that have less than everything left.
type quota struct {
	burst  time.Duration // what a key can save up, as a time
	every  time.Duration
	whole  map[string]time.Duration // when a key has everything again
	purged time.Duration
}

func newQuota(burst int, every time.Duration) quota {
	return quota{burst: time.Duration(burst) * every, every: every, whole: make(map[string]time.Duration)}
}

// wait returns how long a key has to wait; 0 if it need not.
func (q *quota) wait(key string, now time.Duration) time.Duration {
	return max(q.whole[key]-now+q.every-q.burst, 0)
}

// give gives a key one back.
func (q *quota) give(key string) {
	if whole, ok := q.whole[key]; ok {
		q.whole[key] = whole - q.every
	}
}

// use takes one of what a key has.
func (q *quota) use(key string, now time.Duration) {
	q.whole[key] = max(q.whole[key], now) + q.every
	if len(q.whole) <= maxQuotaKeys {
		return
	}
	if now-q.purged >= q.every { // it takes a while, so not for each of many
		q.purged = now
		for key, whole := range q.whole {
			if whole <= now {
				delete(q.whole, key)
			}
		}
	}
	for key := range q.whole { // any: it costs little to give one something
		if len(q.whole) <= maxQuotaKeys {
			break
		}
		delete(q.whole, key)
	}
}
