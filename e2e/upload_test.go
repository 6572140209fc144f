package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"
)

// uploadFile uploads a file in a form, with the credential TOKEN: "upload STATUS FILE VARIABLE". The
// variable gets the id of the file. With "begin" for the status it only begins an upload that can be
// resumed, with half of the bytes, and the variable gets its path.
func uploadFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: upload STATUS|begin FILE VARIABLE")
	}
	content := []byte(ts.ReadFile(args[1]))
	if args[0] == "begin" {
		half := content[:len(content)/2]
		got := ask(ts, bytes.NewReader(half), map[string]string{
			"Tus-Resumable": "1.0.0", "Upload-Length": fmt.Sprint(len(content)), "Content-Type": "application/offset+octet-stream",
		})
		if got.StatusCode != http.StatusCreated {
			ts.Fatalf("the status is %d", got.StatusCode)
		}
		ts.Setenv(args[2], got.Header.Get("Location"))
		return
	}
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("file", filepath.Base(args[1]))
	ts.Check(err)
	_, err = part.Write(content)
	ts.Check(errors.Join(err, form.Close()))
	got := ask(ts, &body, map[string]string{"Content-Type": form.FormDataContentType()})
	text, err := io.ReadAll(got.Body)
	ts.Check(err)
	if fmt.Sprint(got.StatusCode) != args[0] {
		ts.Fatalf("the status is %d, want %s:\n%s", got.StatusCode, args[0], text)
	}
	var kept struct{ File string }
	ts.Check(json.Unmarshal(text, &kept))
	ts.Setenv(args[2], kept.File)
}

// ask posts to /v1/files. The answer is read as a whole.
func ask(ts *testscript.TestScript, body io.Reader, headers map[string]string) *http.Response {
	asked, err := http.NewRequest(http.MethodPost, "http://"+ts.Getenv("WEB")+"/v1/files", body)
	ts.Check(err)
	asked.Close = true
	asked.Header.Set("Authorization", "Bearer "+ts.Getenv("TOKEN"))
	for name, value := range headers {
		asked.Header.Set(name, value)
	}
	got, err := impatient.Do(asked)
	ts.Check(err)
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	ts.Check(err)
	got.Body = io.NopCloser(bytes.NewReader(text))
	return got
}
