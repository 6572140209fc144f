package people

import (
	"errors"
	"testing"

	"kaban/internal/store"
)

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{"1KB": 1000, "100MB": 100_000_000, "2GB": 2_000_000_000, "1000000TB": 1e18, Unlimited: 0} {
		if got, err := ParseSize(text); got != want || err != nil {
			t.Errorf("%s is %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "100", "MB", "-1MB", "0MB", "+1MB", "01MB", "1.5GB", "1mb", "1 MB", "1000001TB", "99999999999999999999MB"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("%q is %d", text, got)
		}
	}
}

func TestReadFileLimits(t *testing.T) {
	tx := documents{}
	if l, err := ReadFileLimits(tx); err != nil || l != (FileLimits{100_000_000, 2_000_000_000, 20_000_000_000}) {
		t.Errorf("the limits are %+v, %v", l, err)
	}
	for key, value := range map[string]string{SettingFileSize: "1KB", SettingFileQuota: "2MB", SettingServerQuota: Unlimited} {
		if err := Settings.Put(tx, &Setting{Key: key, Value: value}); err != nil {
			t.Fatal(err)
		}
	}
	if l, err := ReadFileLimits(tx); err != nil || l != (FileLimits{1000, 2_000_000, 0}) {
		t.Errorf("the limits are %+v, %v", l, err)
	}
	if err := Settings.Put(tx, &Setting{Key: SettingFileSize, Value: "much"}); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFileLimits(tx); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("a setting that nobody has set: %v, want %v", err, store.ErrDamaged)
	}
}
