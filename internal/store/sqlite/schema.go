package sqlite

import (
	"context"
	"crypto/rand"
	"embed"
	"fmt"
	"io/fs"
	"time"
)

// applicationID stands in the header of the file and tells our database from
// others: "kabn" in ASCII.
const applicationID = 0x6b61626e

// A place is room << seqBits | seq, in 63 bits.
const (
	seqBits = 40
	maxSeq  = 1<<seqBits - 1
	maxRoom = 1<<(63-seqBits) - 1
)

//go:embed schema/*.sql
var schemaFiles embed.FS

// migrations returns the scripts that make the schema: the first makes version
// 1 of nothing, the next version 2 of version 1.
func migrations() ([]string, error) {
	names, err := fs.Glob(schemaFiles, "schema/*.sql") // in the order of their names
	if err != nil {
		return nil, err
	}
	scripts := make([]string, len(names))
	for i, name := range names {
		script, err := schemaFiles.ReadFile(name)
		if err != nil {
			return nil, err
		}
		scripts[i] = string(script)
	}
	return scripts, nil
}

// migrate brings a schema to the newest version in one transaction: all of it,
// or nothing.
func migrate(ctx context.Context, c *conn, version int, scripts []string) error {
	return c.transact(ctx, func() error {
		if version == 0 {
			if err := c.exec(ctx, fmt.Sprintf("PRAGMA application_id = %d", applicationID)); err != nil {
				return err
			}
		}
		for i, script := range scripts[version:] {
			if err := c.exec(ctx, script); err != nil {
				return fmt.Errorf("make version %d of the schema: %w", version+i+1, err)
			}
		}
		if version == 0 {
			if err := c.exec(ctx, "INSERT INTO store (id, epoch, created) VALUES (1, ?, ?)", rand.Text(), time.Now().UnixMilli()); err != nil {
				return fmt.Errorf("make the epoch: %w", err)
			}
		}
		return c.exec(ctx, fmt.Sprintf("PRAGMA user_version = %d", len(scripts)))
	})
}
