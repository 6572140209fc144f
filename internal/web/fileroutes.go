package web

import (
	"maps"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
)

// Operations of files that are no operations of the library: it would hold their bodies in memory.

// problems returns the problems that an operation may answer with, by status.
func problems(statuses ...int) map[string]*huma.Response {
	all := make(map[string]*huma.Response)
	for _, status := range statuses {
		all[strconv.Itoa(status)] = problemResponse(http.StatusText(status) + ".")
	}
	return all
}

// answers adds answers to problems.
func answers(of, others map[string]*huma.Response) map[string]*huma.Response {
	maps.Copy(others, of)
	return others
}

func header(description string) *huma.Param {
	return &huma.Param{Description: description, Schema: textSchema()}
}

// fileHeaders are the headers of an answer that says what an upload has become.
func fileHeaders() map[string]*huma.Param {
	return map[string]*huma.Param{
		"Kaban-File": header("Once the upload is complete: the id of the file."), "Kaban-Name": header("Its name, percent-encoded UTF-8."),
		"Kaban-Size": header("Its size in bytes."), "Kaban-Type": header("Its media type."),
		"Kaban-Width": header("Of a picture that the server shows: its width in pixels."), "Kaban-Height": header("And its height."),
		"Upload-Offset": header("How many bytes the server has."), "Tus-Resumable": header("1.0.0"),
	}
}

func fileSchema() *huma.Schema {
	text := func(description string) *huma.Schema {
		return &huma.Schema{Type: huma.TypeString, Description: description}
	}
	number := func(description string) *huma.Schema {
		return &huma.Schema{Type: huma.TypeInteger, Minimum: new(0.0), Description: description}
	}
	return &huma.Schema{
		Type: huma.TypeObject, Required: []string{"file", "name", "size", "type"}, AdditionalProperties: true,
		Properties: map[string]*huma.Schema{
			"file": text("The id of the file, for the files of a message and for /v1/files/{id}."), "name": text("Its name. Treat it as untrusted."),
			"size": number("Its size in bytes. A picture that the server has encoded anew has another one than what was sent."),
			"type": text("Its media type, by what its bytes are."), "width": number("Of a picture that the server shows: its width in pixels."),
			"height": number("And its height."), "alt": text("The description of a picture."),
		},
	}
}

func uploadOperation() *huma.Operation {
	form := &huma.Schema{Type: huma.TypeObject, Required: []string{"file"}, Properties: map[string]*huma.Schema{
		"file": {Type: huma.TypeString, Format: "binary", Description: "The file, with its name."},
		"alt":  {Type: huma.TypeString, Description: "The description of a picture, at most 500 code points in one line."},
	}}
	return &huma.Operation{
		OperationID: "upload-file", Method: http.MethodPost, Path: filesPath, Security: toAccounts.security(), Summary: "Upload a file",
		Description: "As a form, or with tus 1.0 (https://tus.io/protocols/resumable-upload), whose answer has the address of the upload. With tus, Upload-Metadata may have filename and alt. A JPEG, PNG, GIF or WebP is encoded anew, without what it says of places and people. The file is removed after a day if no message has it by then.",
		Parameters: []*huma.Param{
			parameter("Tus-Resumable", "header", "1.0.0 for an upload that can be resumed.", textSchema()),
			parameter("Upload-Length", "header", "With tus: the size of the file in bytes.", textSchema()),
			parameter("Upload-Metadata", "header", "With tus: names and values in base64, such as filename and alt.", textSchema()),
		},
		RequestBody: &huma.RequestBody{Content: map[string]*huma.MediaType{
			formData: {Schema: form}, offsetType: {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}},
		}},
		Responses: answers(map[string]*huma.Response{
			"201": {Description: "The file is kept; with tus the upload has begun.", Headers: withLocation(fileHeaders()), Content: map[string]*huma.MediaType{jsonType: {Schema: fileSchema()}}},
		}, problems(400, 401, 403, 412, 413, 415, 429, 500, 501, 503, 507)),
	}
}

// offsetType is the type of the bytes of an upload that can be resumed.
const offsetType = "application/offset+octet-stream"

func withLocation(headers map[string]*huma.Param) map[string]*huma.Param {
	headers["Location"] = header("With tus: the address of the upload.")
	return headers
}

func uploadOptionsOperation() *huma.Operation {
	return &huma.Operation{
		OperationID: "upload-options", Method: http.MethodOptions, Path: filesPath, Summary: "See how files are uploaded", Security: toAnybody.security(),
		Responses: map[string]*huma.Response{"204": {Description: "The headers say so.", Headers: map[string]*huma.Param{
			"Tus-Version": header("1.0.0"), "Tus-Extension": header("What the server can do."), "Tus-Max-Size": header("The most bytes of a file; absent if there is no limit."),
		}}, "429": problemResponse(http.StatusText(http.StatusTooManyRequests) + ".")},
	}
}

func resumeOperation(method string) *huma.Operation {
	o := &huma.Operation{
		Method: method, Path: uploadsPath + "/{id}", Security: toAccounts.security(),
		Parameters: []*huma.Param{parameter("id", "path", "The id of the upload, as its address has it.", textSchema())},
	}
	bad := []int{400, 401, 403, 404, 412, 423, 429, 500, 503}
	switch method {
	case http.MethodHead:
		o.OperationID, o.Summary = "get-upload", "See how far an upload is"
		o.Responses = answers(map[string]*huma.Response{"200": {Description: "The headers say so.", Headers: fileHeaders()}}, problems(append(bad, 413, 415, 507)...))
	case http.MethodPatch:
		o.OperationID, o.Summary = "continue-upload", "Go on with an upload"
		o.Parameters = append(o.Parameters,
			parameter("Tus-Resumable", "header", "1.0.0", textSchema()), parameter("Upload-Offset", "header", "How many bytes the server has.", textSchema()))
		o.RequestBody = &huma.RequestBody{Content: map[string]*huma.MediaType{offsetType: {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}}}
		o.Responses = answers(map[string]*huma.Response{"204": {Description: "The bytes are kept; with the last of them, the file.", Headers: fileHeaders()}}, problems(append(bad, 409, 413, 415, 507)...))
	default:
		o.OperationID, o.Summary = "cancel-upload", "Cancel an upload"
		o.Parameters = append(o.Parameters, parameter("Tus-Resumable", "header", "1.0.0", textSchema()))
		o.Responses = answers(map[string]*huma.Response{"204": {Description: "It is gone."}}, problems(bad...))
	}
	return o
}

func fileOperation() *huma.Operation {
	return bytesOperation("get-file", filesPath+"/{id}", "Get the bytes of a file",
		"For whoever may read the message that has the file; before that for whoever has uploaded it. Pictures that the server has encoded are inline, everything else is an attachment. Ranges and If-None-Match work as in RFC 9110.")
}

func describeOperation() huma.Operation {
	op := aboutPeople("describe-file", http.MethodPatch, filesPath+"/{id}", "Describe a file to people that do not see it")
	op.Tags = nil
	op.Description = "For whoever has uploaded it, as long as no message has it: what a message says of its files does not change."
	op.Errors = append(op.Errors, http.StatusForbidden)
	return op
}

func thumbnailOperation() *huma.Operation {
	return bytesOperation("get-thumbnail", filesPath+"/{id}/thumbnail", "Get a small picture of a file",
		"Of pictures that the server has encoded, which have a width and a height: at most 720 pixels on the longer side. Of an animation it is the first picture.")
}

func bytesOperation(id, path, summary, description string) *huma.Operation {
	content := func(description string) *huma.Response {
		return &huma.Response{Description: description, Content: map[string]*huma.MediaType{"*/*": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}}}
	}
	return &huma.Operation{
		OperationID: id, Method: http.MethodGet, Path: path, Security: toReaders.security(), Summary: summary, Description: description,
		Parameters: []*huma.Param{
			parameter("id", "path", "The id of the file.", textSchema()), parameter("Range", "header", "Which bytes.", textSchema()),
			parameter("If-None-Match", "header", "The ETag of what the client has.", textSchema()),
		},
		Responses: answers(map[string]*huma.Response{
			"200": content("The bytes."), "206": content("A part of them."), "304": {Description: "The client has them."},
		}, problems(401, 403, 404, 412, 416, 429, 500, 503)),
	}
}
