package account

import (
	"context"
	"fmt"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/people"
)

// AuditExport notes an export that the operator makes in the data directory: of
// somebody's data, or of rooms that not everybody may read. Nobody else makes one. The error
// for a name that nobody can have is that of kaban.ParseUsername.
func (s *Service) AuditExport(ctx context.Context, by Actor, username string, rooms int) error {
	if !by.Operator {
		return &RefusedError{access.Export, access.Forbidden}
	}
	if username != "" {
		if _, err := kaban.ParseUsername(username); err != nil {
			return err
		}
	}
	return s.update(ctx, by, func(c *change) error {
		if username != "" {
			return c.audit(people.AuditExportPerson, username, "")
		}
		return c.audit(people.AuditExportRooms, "", fmt.Sprintf("private and direct rooms: %d", rooms))
	})
}
