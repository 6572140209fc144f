package web

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"kaban/wire"
)

// JSON is a body that is one object with the fields of T, read by the rules of frames
// and without mercy for unknown fields: a typing error in the limits of a token must
// not make one without limits. Fields without omitempty are required.
type JSON[T any] struct {
	ContentType string `header:"Content-Type" hidden:"true"`
	RawBody     []byte
}

// bodyType returns the type that describes the body in the OpenAPI document.
func (JSON[T]) bodyType() reflect.Type { return reflect.TypeFor[T]() }

// isLenient reports whether unknown fields are ignored.
func (JSON[T]) isLenient() bool { return false }

// hasBody is an input of an operation with a body.
type hasBody interface {
	bodyType() reflect.Type
	isLenient() bool
}

// read returns the body, or a *Problem.
func (in *JSON[T]) read(s *Server) (body T, err error) { return in.readAs(s, false) }

// readAs is read that may ignore unknown fields.
func (in *JSON[T]) readAs(s *Server, lenient bool) (body T, err error) {
	var sent map[string]json.RawMessage
	switch {
	case len(in.RawBody) == 0: // which has no field
	case !isJSON(in.ContentType):
		return body, unsupportedType(jsonType)
	default:
		sent, err = s.objectFields(in.RawBody)
	}
	if err != nil {
		return body, err
	}
	if p := readFields(sent, reflect.ValueOf(&body).Elem(), lenient); p != nil {
		return body, p
	}
	return body, nil
}

func unsupportedType(want string) *Problem {
	status := http.StatusUnsupportedMediaType
	return &Problem{Title: http.StatusText(status), Status: status, Detail: "send the body as " + want}
}

// objectFields returns the fields of an object, or a *Problem.
func (s *Server) objectFields(body []byte) (sent map[string]json.RawMessage, err error) {
	if err = wire.CheckObject(body); err == nil {
		err = json.Unmarshal(body, &sent)
	}
	if err != nil {
		return nil, s.problemOf(err)
	}
	return sent, nil
}

// readFields fills a struct with the fields that were sent. With lenient set it ignores
// unknown ones.
func readFields(sent map[string]json.RawMessage, into reflect.Value, lenient bool) *Problem {
	for i := range into.NumField() {
		name, options, _ := strings.Cut(into.Type().Field(i).Tag.Get("json"), ",")
		value, ok := sent[name]
		delete(sent, name)
		switch {
		case ok:
			if p := readField(name, value, into.Field(i)); p != nil {
				return p
			}
		case !strings.Contains(options, "omitempty"):
			return fieldProblem(wire.CodeMissingField, name, name+": the field is missing")
		}
	}
	for name := range sent {
		if !lenient {
			return fieldProblem(wire.CodeBadField, shortName(name), fmt.Sprintf("there is no field %q", shortName(name)))
		}
	}
	return nil
}

// maxFieldName is how much of the name of an unknown field an answer repeats, in bytes.
const maxFieldName = 64

func shortName(name string) string {
	if len(name) > maxFieldName {
		return strings.ToValidUTF8(name[:maxFieldName], "") + "…"
	}
	return name
}

func readField(name string, value []byte, into reflect.Value) *Problem {
	refuse := func() *Problem {
		return fieldProblem(wire.CodeBadField, name, name+": it must be "+typeText(into.Type()))
	}
	if _, any := into.Addr().Interface().(*ignored); any {
		return nil
	}
	if bytes.Equal(value, []byte("null")) { // which encoding/json takes for nothing at all
		return refuse()
	}
	switch field := into.Addr().Interface().(type) {
	case *json.RawMessage:
		if value[0] != '{' {
			return refuse()
		}
		*field = value
	case *[]string:
		var list []*string
		if json.Unmarshal(value, &list) != nil || slices.Contains(list, nil) {
			return refuse()
		}
		for _, text := range list {
			*field = append(*field, *text)
		}
	default:
		if json.Unmarshal(value, field) != nil {
			return refuse()
		}
	}
	return nil
}

// ignored is a field that may be anything: others send it, and the server does not need it.
type ignored float64

// typeText returns the type of a field as JSON has it.
func typeText(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		if t == reflect.TypeFor[json.RawMessage]() {
			return "an object"
		}
		return "a list of strings"
	case reflect.Int:
		return "a whole number"
	}
	return "an object"
}

// fieldProblem begins the problem of a field.
func fieldProblem(code wire.Code, field, text string) *Problem {
	p := problem(code, text)
	p.Field = field
	return p
}

// registerBody is register for an operation whose input may have a body: the document
// describes it, and whether it may be left out.
func registerBody[I, O any](s *Server, api huma.API, d door, op huma.Operation, handler func(context.Context, *I) (*O, error)) {
	required := describeBody(api, &op, *new(I))
	register(s, api, d, op, handler)
	if op.RequestBody != nil {
		op.RequestBody.Required = required // the library has set it because there is one
	}
}

// describeBody adds the schema of an input's body to its operation, and returns whether
// there must be one.
func describeBody(api huma.API, op *huma.Operation, input any) (required bool) {
	described, ok := input.(hasBody)
	if !ok {
		return false
	}
	t := described.bodyType()
	registry := api.OpenAPI().Components.Schemas
	schema := registry.Schema(t, true, t.Name())
	if schema.Ref != "" && !described.isLenient() {
		registry.SchemaFromRef(schema.Ref).AdditionalProperties = false
	}
	for i := range t.NumField() {
		required = required || !strings.Contains(t.Field(i).Tag.Get("json"), ",omitempty")
	}
	content := map[string]*huma.MediaType{jsonType: {Schema: schema}}
	if _, ok := input.(isOAuth); ok {
		content[formType] = &huma.MediaType{Schema: schema}
	}
	op.RequestBody = &huma.RequestBody{Content: content}
	return required
}

// Form is a body of OAuth: a form (RFC 6749, appendix B) or a JSON object, whose fields
// are those of T, all of them strings. Unknown fields are ignored, as RFC 8628, section
// 3.1, has it, and an empty body has no fields.
type Form[T any] struct{ JSON[T] }

// isLenient reports that unknown fields are ignored.
func (Form[T]) isLenient() bool { return true }

// isOAuth is an input that may be a form.
type isOAuth interface{ oauth() }

func (Form[T]) oauth() {}

// read returns the body, or a *Problem.
func (in *Form[T]) read(s *Server) (body T, err error) {
	var sent map[string]json.RawMessage
	switch {
	case isJSON(in.ContentType):
		sent, err = s.objectFields(in.RawBody)
	case isForm(in.ContentType), len(in.RawBody) == 0:
		sent, err = formFields(in.RawBody)
	default:
		err = unsupportedType("application/json or " + formType)
	}
	if err != nil {
		return body, err
	}
	if p := readFields(sent, reflect.ValueOf(&body).Elem(), true); p != nil {
		return body, p
	}
	return body, nil
}

const formType = "application/x-www-form-urlencoded"

func isForm(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && media == formType
}

// formFields returns the fields of a form. None may be there twice: RFC 6749, section
// 3.2.
func formFields(body []byte) (map[string]json.RawMessage, error) {
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, problem(wire.CodeBadFrame, "the body is no form")
	}
	sent := make(map[string]json.RawMessage, len(values))
	for name, all := range values {
		if len(all) > 1 || !utf8.ValidString(all[0]) {
			return nil, fieldProblem(wire.CodeBadField, shortName(name), "a field of the form is there twice, or is not UTF-8")
		}
		if sent[name], err = json.Marshal(all[0]); err != nil {
			return nil, problem(wire.CodeBadFrame, "the body is no form")
		}
	}
	return sent, nil
}

// schemaOf returns the schema of a type in the OpenAPI document.
func schemaOf[T any](api huma.API) *huma.Schema {
	t := reflect.TypeFor[T]()
	return api.OpenAPI().Components.Schemas.Schema(t, true, t.Name())
}
