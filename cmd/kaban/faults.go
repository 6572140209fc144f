//go:build failpoint

package main

import _ "kaban/internal/failpoint/disk"
