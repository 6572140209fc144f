package wire

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"

	"kaban"
)

// declared returns the string constants of a type in code.go.
func declared(t *testing.T, typeName string) (values []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "code.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		name, ok := spec.Type.(*ast.Ident)
		literal, isLiteral := spec.Values[0].(*ast.BasicLit)
		if ok && isLiteral && name.Name == typeName {
			value, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, value)
		}
		return true
	})
	return values
}

func TestTablesAreComplete(t *testing.T) {
	var inTable []string
	for _, code := range Codes() {
		inTable = append(inTable, string(code))
	}
	if want := declared(t, "Code"); len(want) == 0 || !slices.Equal(inTable, want) {
		t.Errorf("the table has the codes\n%v, declared are\n%v", inTable, want)
	}
	inTable = nil
	for _, reason := range Reasons() {
		inTable = append(inTable, string(reason))
	}
	if want := declared(t, "Reason"); len(want) == 0 || !slices.Equal(inTable, want) {
		t.Errorf("the table has the reasons\n%v, declared are\n%v", inTable, want)
	}
	for _, kind := range kaban.MessageErrorKinds() {
		if codeOfKind(kind) == CodeInternal {
			t.Errorf("%v has no code", kind)
		}
	}
}

func TestMeaningOfCodes(t *testing.T) {
	statuses := map[Code]int{
		CodeFrameTooLong: 413, CodeUsernameTaken: 409,
		CodeAuthFailed: 401, CodeAuthRequired: 401, CodeForbidden: 403, CodeSuspended: 403, CodeTLSRequired: 403,
		CodeRoomTaken: 409, CodeLastOwner: 409, CodeLastOp: 409, CodeNotFound: 404, CodeIDConflict: 409, CodeResync: 410,
		CodeGone: 410, CodeEditConflict: 409, CodeTooManyReactions: 409,
		CodeTooLarge: 413, CodeQuotaExceeded: 413, CodeBadType: 415,
		CodeRateLimited: 429, CodeServerFull: 503, CodeUnavailable: 503, CodeStorageFull: 507, CodeInternal: 500,
	}
	temporary := []Code{CodeHelloRequired, CodeRateLimited, CodeServerFull, CodeUnavailable, CodeStorageFull, CodeInternal}
	badFrames := []Code{CodeBadJSON, CodeBadFrame, CodeBadUTF8, CodeUnknownType, CodeMissingField, CodeBadField}
	closes := map[Code]uint16{CodeFrameTooLong: 1009, CodeServerFull: 1013}
	for _, code := range append(Codes(), "of_a_newer_server") {
		status := statuses[code]
		if status == 0 {
			status = 400
		}
		if code.Status() != status || code.Temporary() != slices.Contains(temporary, code) ||
			code.IsBadFrame() != slices.Contains(badFrames, code) || code.Close() != closes[code] {
			t.Errorf("%s: status %d, temporary %v, bad frame %v, close %d", code, code.Status(), code.Temporary(), code.IsBadFrame(), code.Close())
		}
	}
	if got := Reason("of_a_newer_server").Close(); got != 1000 {
		t.Errorf("an unknown reason closes with %d", got)
	}
}
