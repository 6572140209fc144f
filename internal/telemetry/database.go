package telemetry

import (
	"time"

	"kaban/internal/bus"
)

// Database is how a database is that several nodes share, as one of them sees it.
type Database struct {
	Up       bool          // it has answered the last time that it was asked
	Response time.Duration // of its last answer to a small question
	Failures uint64        // questions that it has not answered
	Epoch    string
	Timeline uint64
	// Open are the connections that this node has, Used those of them that are in use, and Most how
	// many it may have.
	Open, Used, Most int
}

func ofDatabase(s *Sources) bool { return s.Database != nil }
func ofBus(s *Sources) bool      { return s.Bus != nil }
func ofNodes(s *Sources) bool    { return s.Nodes != nil }

// clusterMetrics are those of a node: a server that shares its database with others.
var clusterMetrics = []metric{
	{"kaban_database_up", "Whether the database has answered the last time that this node asked it, every 2 s.", gauge, nil, ofDatabase, func(n *snapshot, s sink) { s.put(number(n.database.Up)) }},
	{"kaban_database_response_seconds", "How long the database took to answer a small question, the last time that it did.", gauge, nil, ofDatabase, func(n *snapshot, s sink) { s.put(n.database.Response.Seconds()) }},
	{"kaban_database_failures_total", "Small questions that the database has not answered within 3 s.", counter, nil, ofDatabase, func(n *snapshot, s sink) { s.put(float64(n.database.Failures)) }},
	{"kaban_database_connections", "Connections of this node to the database: those that are used, and those that wait to be.", gauge, []string{"state"}, ofDatabase, func(n *snapshot, s sink) {
		s.put(float64(n.database.Used), "used")
		s.put(float64(n.database.Open-n.database.Used), "idle")
	}},
	{"kaban_database_connections_limit", "How many connections to the database this node may have.", gauge, nil, ofDatabase, func(n *snapshot, s sink) { s.put(float64(n.database.Most)) }},
	{"kaban_database_timeline", "Timeline of PostgreSQL that this node has seen last. It grows with each failover.", gauge, nil, ofDatabase, func(n *snapshot, s sink) { s.put(float64(n.database.Timeline)) }},
	{"kaban_database_info", "Always 1. The label is the epoch: another one means that clients were told to read everything anew.", gauge, []string{"epoch"}, ofDatabase, func(n *snapshot, s sink) { s.put(1, n.database.Epoch) }},

	{"kaban_bus_connected", "Whether this node is connected to the bus.", gauge, nil, ofBus, func(n *snapshot, s sink) { s.put(number(n.bus.Connected)) }},
	{"kaban_bus_nodes", "Other nodes that are connected to this one, with --bus embedded.", gauge, nil, ofNodes, func(n *snapshot, s sink) { s.put(float64(n.nodes)) }},
	{"kaban_bus_connects_total", "Times that this node was connected to the bus, the first included.", counter, nil, ofBus, func(n *snapshot, s sink) { s.put(float64(n.bus.Connects)) }},
	{"kaban_bus_hints_total", "Hints about rooms that have grown, by what became of them. published, dropped: by this node. received, forged, malformed: from others. Forged ones do not have the seal of the cluster.", counter, []string{"outcome"}, ofBus, func(n *snapshot, s sink) {
		each(s, map[string]uint64{
			"published": n.bus.Published, "dropped": n.bus.Dropped,
			"received": n.bus.Received, "forged": n.bus.Forged, "malformed": n.bus.Malformed,
		})
	}},
	{"kaban_bus_slow_total", "Times that hints were lost because they came faster than this node took them. It then compares its rooms with the database.", counter, nil, ofBus, func(n *snapshot, s sink) { s.put(float64(n.bus.Slow)) }},
	{"kaban_peer_entries_total", "Entries of other nodes that were shown to readers as their hints had them, without asking the database.", counter, nil, ofBus, func(n *snapshot, s sink) { s.put(float64(n.dispatcher.Believed)) }},
	{"kaban_peer_questions_total", "Hints of other nodes that the database was asked about.", counter, nil, ofBus, func(n *snapshot, s sink) { s.put(float64(n.dispatcher.Asked)) }},
	{"kaban_peer_foreign_total", "Hints of other nodes with another epoch or timeline, as during a failover.", counter, nil, ofBus, func(n *snapshot, s sink) { s.put(float64(n.dispatcher.Foreign)) }},
	{"kaban_peer_comparisons_total", "Times that the rooms with readers were compared with the database: every second.", counter, nil, ofBus, func(n *snapshot, s sink) { s.put(float64(n.dispatcher.Compared)) }},
	{"kaban_peer_rooms_behind_total", "Rooms that a comparison has found to have news that no hint had brought yet, those without readers included.", counter, nil, ofBus, func(n *snapshot, s sink) { s.put(float64(n.dispatcher.Behind)) }},
	{"kaban_peer_rooms_ahead_total", "Rooms whose readers were given entries that the database does not have. Anything but 0 needs a restart of the node.", counter, nil, ofBus, func(n *snapshot, s sink) { s.put(float64(n.dispatcher.Ahead)) }},
}

func number(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// clusterSnapshot is the part of a snapshot that is about a node.
type clusterSnapshot struct {
	database Database
	bus      bus.Stats
	nodes    int
}
