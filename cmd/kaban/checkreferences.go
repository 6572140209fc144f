package main

import (
	"context"
	"fmt"
	"slices"

	"kaban/internal/display"
	"kaban/internal/people"
	"kaban/internal/store"
)

// maxFaults bounds the documents that a check names because they do not fit the others.
const maxFaults = 20

// checkReferences looks for documents that refer to what is missing, such as memberships of accounts that
// were lost.
func (c *checkCommand) checkReferences(ctx context.Context, archive store.Archive, std streams) error {
	faults, err := faultsIn(ctx, archive)
	if err != nil || len(faults) == 0 {
		return err
	}
	for i := range faults {
		if i == maxFaults {
			fmt.Fprintf(std.err, "kaban: %d more like these\n", len(faults)-i)
			break
		}
		fmt.Fprintln(std.err, "kaban:", display.Line(faults[i].Error()))
	}
	return fmt.Errorf("%s of %s refer to what is missing, because something was lost; \"kaban export\", and \"kaban import --fill-gaps\" into a new data directory, make good what can be", display.Count(len(faults), "document"), c.Data)
}

// faultsIn returns the documents that do not fit the others. A server may be writing, so one counts if it is found
// twice.
func faultsIn(ctx context.Context, archive store.Archive) (faults []people.Fault, err error) {
	before := make(map[people.Fault]bool) // of the first look; there may be as many as documents
	for look := range 2 {
		s := people.NewSurvey()
		if err := eachDocument(ctx, archive, func(d *store.Document) error { s.Note(d); return nil }); err != nil {
			return nil, err
		}
		var found []people.Fault
		if err := eachDocument(ctx, archive, func(d *store.Document) error {
			found = append(found, s.Faults(d)...)
			return nil
		}); err != nil {
			return nil, err
		}
		if look > 0 {
			found = slices.DeleteFunc(found, func(f people.Fault) bool { return !before[f] })
		}
		for _, f := range found {
			before[f] = true
		}
		if faults = found; len(faults) == 0 {
			break
		}
	}
	return faults, nil
}
