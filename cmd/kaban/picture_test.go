package main

import (
	"bytes"
	"image"
	"image/jpeg"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"kaban/internal/picture"
)

// photo returns a JPEG with a place, which nobody else is to learn.
func photo(t *testing.T, place string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, 900, 20)), nil); err != nil {
		t.Fatal(err)
	}
	comment := append([]byte{0xff, 0xfe, 0, byte(2 + len(place))}, place...)
	return append(b.Bytes()[:2:2], append(comment, b.Bytes()[2:]...)...)
}

// The program itself is the process that makes a picture: with a thumbnail, without what the upload says
// beside its pixels, and with nothing of the server's environment.
func TestTheProgramMakesAPicture(t *testing.T) {
	const place = "52.516N 13.378E"
	t.Setenv("TEST_SECRET", "of the server")
	dir := t.TempDir()
	j := picture.Job{Source: filepath.Join(dir, "upload"), Picture: filepath.Join(dir, "picture"), Thumbnail: filepath.Join(dir, "thumbnail")}
	if err := os.WriteFile(j.Source, photo(t, place), 0o600); err != nil {
		t.Fatal(err)
	}
	w := picture.NewWorker(func() (*exec.Cmd, error) {
		c, err := pictureProcess()
		if err == nil {
			if len(c.Env) > 0 || c.Env == nil {
				t.Errorf("the environment is %q, want none", c.Env)
			}
			c.Env = append(c.Env, asCommand+"=1") // this test is the program
		}
		return c, err
	}, 0)
	defer w.Close()
	made, err := w.Make(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	if made.Picture.Type != picture.JPEG || made.Picture.Width != 900 || made.Picture.Height != 20 || made.Thumbnail.Width != 720 {
		t.Errorf("it has made %+v", made)
	}
	for path, want := range map[string]picture.Rendition{j.Picture: made.Picture, j.Thumbnail: made.Thumbnail} {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		config, _, err := image.DecodeConfig(bytes.NewReader(data))
		if err != nil || config.Width != want.Width || config.Height != want.Height {
			t.Errorf("%s is of %d x %d, %v; want %+v", path, config.Width, config.Height, err, want)
		}
		if bytes.Contains(data, []byte(place)) {
			t.Errorf("%s has the place", path)
		}
	}
}

// Without a request there is no picture, and the process ends.
func TestNoRequestForAPicture(t *testing.T) {
	if code, output := process(t, nil, "", "picture"); code != exitFailed || output == "" {
		t.Errorf("exit code %d: %q", code, output)
	}
}
