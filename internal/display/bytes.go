package display

import "fmt"

// Bytes writes a number of bytes for people, in binary multiples: "70 B", "68.6 KiB".
func Bytes(n int64) string {
	const step = 1024
	if n < step {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n), -1
	for value >= step-0.05 && unit < len("KMGTPE")-1 {
		value /= step
		unit++
	}
	return fmt.Sprintf("%.1f %ciB", value, "KMGTPE"[unit])
}
