package people

import (
	"errors"

	"kaban/internal/store"
)

// SettingPreviews is the key of the setting that has the server read the pages that messages link to.
const SettingPreviews = "previews"

// The values of SettingPreviews.
const (
	PreviewsOff = "off" // the default
	PreviewsOn  = "on"
)

// ReadPreviews reports whether the server reads the pages that messages link to.
func ReadPreviews(tx store.Tx) (bool, error) {
	setting, err := Settings.Get(tx, SettingPreviews)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil && setting.Value == PreviewsOn, err
}
