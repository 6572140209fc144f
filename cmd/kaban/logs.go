package main

import (
	"log/slog"
	"os"

	"kaban/internal/logs"
)

// newLog returns the log of a server, and its level. The caller closes it.
func (c *serveCommand) newLog(std streams) (*logs.Log, *slog.LevelVar, error) {
	parsed, err := logs.ParseLevel(c.LogLevel)
	if err != nil {
		return nil, nil, usagef("%s: %w", c.named("log-level"), err)
	}
	level := new(slog.LevelVar)
	level.Set(parsed)
	file, ok := std.err.(*os.File)
	journal := ok && logs.IsJournal(file, os.Getenv("JOURNAL_STREAM"))
	return logs.New(std.err, logs.Options{Format: logs.Format(c.LogFormat), Level: level, Journal: journal}), level, nil
}
