package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is wrong with the table [s3] is said with its line, all of it at once.
func TestS3Settings(t *testing.T) {
	const good = "[s3]\nendpoint = \"https://s3.example.org\"\nbucket = \"chat\"\naccess_key = \"id\"\nsecret_key_file = \"secret\"\n"
	for name, c := range map[string]struct {
		text string
		code int
		want []string
	}{
		"good":         {good + "prefix = \"a/b\"\nregion = \"eu\"\naddressing = \"path\"\n", exitDone, []string{"is right"}},
		"nothing else": {"[s3]\nendpoint = \"http://127.0.0.1:9000\"\n", exitUsage, []string{"--s3-bucket", "--s3-access-key: name the access key", "--s3-secret-key-file: name the file"}},
		"no endpoint":  {"[s3]\nbucket = \"chat\"\n", exitUsage, []string{"line 2: s3.bucket: without the address of the service"}},
		"a path":       {strings.Replace(good, ".org", ".org/chat", 1), exitUsage, []string{"line 2", "must not have a path"}},
		"a password":   {strings.Replace(good, "//s3", "//id:word@s3", 1), exitUsage, []string{"line 2", "keys have settings of their own"}},
		"no scheme":    {strings.Replace(good, "https://", "", 1), exitUsage, []string{"line 2", "write it like https://"}},
		"a bucket":     {strings.Replace(good, "\"chat\"", "\"Chat\"", 1), exitUsage, []string{"line 3", "3 to 63 characters"}},
		"a prefix":     {good + "prefix = \"a//b\"\n", exitUsage, []string{"line 6", "words with"}},
		"a way out":    {good + "prefix = \"../b\"\n", exitUsage, []string{"line 6"}},
		"addressing":   {good + "addressing = \"dns\"\n", exitUsage, []string{"line 6", "\"dns\" is not one of auto, host, path"}},
		"a secret":     {good + "secret_key = \"x\"\n", exitUsage, []string{"line 6", "s3.secret_key_file"}},
		"in memory":    {"data = \":memory:\"\n" + good, exitUsage, []string{"line 3", "keeps no files"}},
	} {
		t.Run(name, func(t *testing.T) { wantRun(t, c.code, c.want, "config", "check", writeFile(t, c.text)) })
	}
}

// What a data directory says of the place of its files is what was written.
func TestFilePlace(t *testing.T) {
	data := t.TempDir()
	if p, err := readPlace(data); err != nil || p != (filePlace{}) {
		t.Errorf("without a file: %+v, %v", p, err)
	}
	want, err := filePlace{}.changed(filePlace{s3: s3Flags{S3Endpoint: "http://127.0.0.1:9000", S3Bucket: "chat", S3Prefix: `a "b"`, S3Addressing: "auto", S3AccessKey: "id", S3SecretFile: "secret", S3CA: "credential:ca"}})
	if err != nil || want.owner == "" || !filepath.IsAbs(want.s3.S3SecretFile) || want.s3.S3CA != "credential:ca" {
		t.Fatalf("%+v, %v", want, err)
	}
	if err := want.note(data, filePlace{}); err != nil {
		t.Fatal(err)
	}
	if got, err := readPlace(data); err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	back, err := want.changed(filePlace{s3: s3Flags{S3Addressing: "auto"}})
	if err != nil || back.s3.isSet() || back.owner != want.owner {
		t.Errorf("on the disk again: %+v, %v", back, err)
	}
	if err := os.WriteFile(filepath.Join(data, placeName), []byte("bukket = \"x\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	wantRun(t, exitFailed, []string{placeName, `did you mean "bucket"?`}, "export", "--no-audit", "--data", withPlace(t, data), "--files", t.TempDir())
}

// withPlace returns a data directory with a file, whose files are where another one says.
func withPlace(t *testing.T, from string) string {
	t.Helper()
	data := withFiles(t, "text")
	text, err := os.ReadFile(filepath.Join(from, placeName))
	if err == nil {
		err = os.WriteFile(filepath.Join(data, placeName), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// A command that cannot read the secret says which one, and a check makes no directories.
func TestFilesInS3WithoutTheSecret(t *testing.T) {
	place, err := filePlace{}.changed(filePlace{s3: s3Flags{S3Endpoint: "http://127.0.0.1:1", S3Bucket: "chat", S3Addressing: "auto", S3AccessKey: "id", S3SecretFile: "credential:s3"}})
	if err != nil {
		t.Fatal(err)
	}
	data := withFiles(t)
	if err := place.write(data); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	wantRun(t, exitFailed, []string{"the secret of the access key of S3", "passed no credentials"}, "check", "--data", data)
	if _, err := os.Stat(filepath.Join(data, "files")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a check makes a directory of files: %v", err)
	}
}

// Files that go to another machine in the clear are worth a warning.
func TestInTheClear(t *testing.T) {
	for endpoint, want := range map[string]bool{
		"http://127.0.0.1:9000": false, "http://localhost": false, "http://[::1]:9000": false, "https://s3.example.org": false,
		"http://minio:9000": true, "http://10.0.0.1": true,
	} {
		f := s3Flags{S3Endpoint: endpoint}
		if got := f.isClear(); got != want {
			t.Errorf("%s: %v", endpoint, got)
		}
	}
}
