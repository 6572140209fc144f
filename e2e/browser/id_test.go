package browser

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// TestPageIDs checks that the page makes UUIDs of version 7 that ascend while its clock
// goes on, stands still and goes backwards, and that two tabs never make the same.
func TestPageIDs(t *testing.T) {
	t.Parallel()
	const at = 1_800_000_000_000
	made := make([][]string, 2)
	for tab := range made {
		p := withSource(t, "src/id.ts")
		made[tab] = value[[]string](p, `[0, 1, 1, 5, 3, -1000000, 6, 7].flatMap((ahead) => {
			Date.now = () => 1800000000000 + ahead
			return Array.from({ length: 3000 }, () => source.messageID())
		})`)
	}
	for _, ids := range made {
		for i, id := range ids {
			parsed, err := uuid.Parse(id)
			if err != nil || parsed.String() != id || parsed.Version() != 7 || parsed.Variant() != uuid.RFC4122 {
				t.Fatalf("%q is no UUID of version 7: %v", id, err)
			}
			if i > 0 && strings.Compare(ids[i-1], id) >= 0 {
				t.Fatalf("%s follows %s", id, ids[i-1])
			}
		}
		seconds, nanoseconds := uuid.MustParse(ids[0]).Time().UnixTime()
		if got := time.Unix(seconds, nanoseconds).UnixMilli(); got != at {
			t.Errorf("the first id is of %d, want %d", got, at)
		}
	}
	all := slices.Sorted(slices.Values(slices.Concat(made...)))
	if n := len(slices.Compact(slices.Clone(all))); n != len(all) {
		t.Errorf("%d ids are only %d different ones", len(all), n)
	}
}
