package people

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"kaban/internal/store"
)

// The keys of the settings that bound files.
const (
	SettingFileSize    = "file_size"         // of one file
	SettingFileQuota   = "file_quota"        // of all files of an account
	SettingServerQuota = "file_quota_server" // of all files of the server
)

// Unlimited is the value of a quota that has no bound.
const Unlimited = "unlimited"

// fileDefaults are the values of the settings that bound files, where nobody has set them.
var fileDefaults = map[string]string{SettingFileSize: "100MB", SettingFileQuota: "2GB", SettingServerQuota: "20GB"}

// DefaultOfFiles returns the default of a setting that bounds files.
func DefaultOfFiles(key string) string { return fileDefaults[key] }

var sizeUnits = []struct {
	name  string
	bytes int64
}{{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}}

// maxSizeNumber bounds the number in front of a unit.
const maxSizeNumber = 1_000_000

// ParseSize returns a size in bytes, 0 for Unlimited. Its errors are for people.
func ParseSize(s string) (int64, error) {
	if s == Unlimited {
		return 0, nil
	}
	for _, unit := range sizeUnits {
		text, ok := strings.CutSuffix(s, unit.name)
		if !ok {
			continue
		}
		if n, err := strconv.ParseInt(text, 10, 64); err == nil && n > 0 && n <= maxSizeNumber && strconv.FormatInt(n, 10) == text {
			return n * unit.bytes, nil
		}
	}
	return 0, fmt.Errorf("%.100q is no size; write %s, or a number up to %d with KB, MB, GB or TB, such as 100MB", s, Unlimited, maxSizeNumber)
}

// FileLimits bound files, in bytes. 0 is no bound.
type FileLimits struct {
	File    int64 // of one file
	Account int64 // of all files of an account
	Server  int64 // of all files of the server
}

// ReadFileLimits returns the bounds of files as they are set.
func ReadFileLimits(tx store.Tx) (l FileLimits, err error) {
	for key, to := range map[string]*int64{SettingFileSize: &l.File, SettingFileQuota: &l.Account, SettingServerQuota: &l.Server} {
		value := fileDefaults[key]
		switch setting, err := Settings.Get(tx, key); {
		case err == nil:
			value = setting.Value
		case !errors.Is(err, ErrNotFound):
			return FileLimits{}, err
		}
		if *to, err = ParseSize(value); err != nil {
			return FileLimits{}, fmt.Errorf("%w: the setting %s: %w", store.ErrDamaged, key, err)
		}
	}
	return l, nil
}
