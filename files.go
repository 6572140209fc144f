package kaban

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of the files of a message. The longest text of MaxFiles valid files fits into
// MaxFilesText.
const (
	MaxFiles     = 10
	FileIDLength = 26       // characters
	MaxFileName  = 255      // bytes
	MaxFileType  = 127      // bytes
	MaxFileAlt   = 500      // code points
	MaxFilesText = 32 << 10 // bytes
	maxFileSide  = 1 << 30  // pixels
)

// ErrFiles means that a message cannot have such files.
var ErrFiles = errors.New("these are no files of a message")

// File is what a message says of one of its files.
type File struct {
	ID   string `json:"file"` // FileIDLength characters of a-z and 2-7; unguessable
	Name string `json:"name"` // 1 to MaxFileName bytes, without control characters
	Size int64  `json:"size"` // in bytes
	Type string `json:"type"` // the media type, of 1 to MaxFileType bytes
	// Width and Height are those of a picture, in pixels; 0 if it is none.
	Width  int `json:"width,omitempty"`
	Height int `json:"height,omitempty"`
	// Alt describes a picture to people that do not see it. It has up to MaxFileAlt code
	// points, without control characters.
	Alt string `json:"alt,omitempty"`
}

// Check returns nil if a message may have such a file. The error is an ErrFiles.
func (f *File) Check() error {
	switch {
	case !IsFileID(f.ID):
		return fmt.Errorf("%w: %q is no id of a file", ErrFiles, f.ID)
	case f.Name == "" || len(f.Name) > MaxFileName || !isLine(f.Name):
		return fmt.Errorf("%w: %.300q is no name of a file", ErrFiles, f.Name)
	case f.Size < 0:
		return fmt.Errorf("%w: %d is no size of a file", ErrFiles, f.Size)
	case f.Type == "" || len(f.Type) > MaxFileType || !isLine(f.Type):
		return fmt.Errorf("%w: %.150q is no type of a file", ErrFiles, f.Type)
	case f.Width < 0 || f.Width > maxFileSide || f.Height < 0 || f.Height > maxFileSide || (f.Width == 0) != (f.Height == 0):
		return fmt.Errorf("%w: %d times %d pixels is no size of a picture", ErrFiles, f.Width, f.Height)
	case utf8.RuneCountInString(f.Alt) > MaxFileAlt || !isLine(f.Alt):
		return fmt.Errorf("%w: the description of a file has more than %d characters, or one that is not allowed", ErrFiles, MaxFileAlt)
	}
	return nil
}

// IsFileID reports whether a text may be the id of a file.
func IsFileID(text string) bool {
	return len(text) == FileIDLength && strings.Trim(text, "abcdefghijklmnopqrstuvwxyz234567") == ""
}

// isLine reports whether a text is valid and has neither control characters nor ends of
// lines.
func isLine(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(c rune) bool {
		return unicode.IsControl(c) || unicode.In(c, unicode.Zl, unicode.Zp)
	})
}

// Files is what a message says of its files: a text in JSON that logs keep and nobody but
// this package takes apart. The zero value is no files. Values are comparable: equal
// lists have equal texts.
type Files struct{ text string }

// NewFiles returns the files of a message, in the order in which it shows them. There are
// up to MaxFiles, none of them twice. The error is an ErrFiles.
func NewFiles(files ...File) (Files, error) {
	if len(files) == 0 {
		return Files{}, nil
	}
	if len(files) > MaxFiles {
		return Files{}, fmt.Errorf("%w: there are %d, and the limit is %d", ErrFiles, len(files), MaxFiles)
	}
	for i := range files {
		if err := files[i].Check(); err != nil {
			return Files{}, err
		}
		for j := range i {
			if files[j].ID == files[i].ID {
				return Files{}, fmt.Errorf("%w: %s is there twice", ErrFiles, files[i].ID)
			}
		}
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(files); err != nil {
		return Files{}, fmt.Errorf("%w: %w", ErrFiles, err)
	}
	if text.Len() > MaxFilesText {
		return Files{}, fmt.Errorf("%w: they take %d bytes, and the limit is %d", ErrFiles, text.Len(), MaxFilesText)
	}
	return Files{strings.TrimSuffix(text.String(), "\n")}, nil
}

// ParseFiles returns the files whose text Files.String returned; an empty text is no files.
// The error is an ErrFiles.
func ParseFiles(text string) (Files, error) {
	if text == "" {
		return Files{}, nil
	}
	if len(text) > MaxFilesText {
		return Files{}, fmt.Errorf("%w: they take %d bytes, and the limit is %d", ErrFiles, len(text), MaxFilesText)
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	var files []File
	if err := decoder.Decode(&files); err != nil {
		return Files{}, fmt.Errorf("%w: %w", ErrFiles, err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) || len(files) == 0 {
		return Files{}, fmt.Errorf("%w: %.100q is no list of files", ErrFiles, text)
	}
	return NewFiles(files...)
}

// StoredFiles is ParseFiles of a text that a store has kept, and whose checksum says that it is as
// Files.String returned it. It costs much less. What is no list in JSON, on one line, is no files.
func StoredFiles(text string) Files {
	if text == "" || text[0] != '[' || len(text) > MaxFilesText || strings.IndexByte(text, '\n') >= 0 || !json.Valid([]byte(text)) {
		return Files{}
	}
	return Files{text}
}

// List returns the files, in their order.
func (f Files) List() (files []File) {
	if f.text != "" {
		json.Unmarshal([]byte(f.text), &files) // never fails: a constructor has written it
	}
	return files
}

// String returns the text; "" for no files.
func (f Files) String() string { return f.text }

// IsZero reports whether there are no files.
func (f Files) IsZero() bool { return f.text == "" }

// Equal reports whether both are the same files in the same order.
func (f Files) Equal(other Files) bool { return f == other }
