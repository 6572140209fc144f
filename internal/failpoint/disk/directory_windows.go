package disk

// syncDirectory is a no-op: Windows cannot sync a directory.
func syncDirectory(string) error { return nil }
