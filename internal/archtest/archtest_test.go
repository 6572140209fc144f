// Package archtest tests the architecture: the allowed imports of each package,
// and constructs that no code may use. A new package must be added to its table.
package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const root = "../.."

// rule lists the allowed imports of a package. The standard library is allowed
// except for bans.
type rule struct {
	ours   []string
	others []string
	why    string
}

var rules = map[string]rule{
	"kaban": {
		nil,
		[]string{"golang.org/x/text", "github.com/ergochat/confusables", "github.com/google/uuid"},
		"the domain imports no other package of this module",
	},
	"kaban/wire": {
		[]string{"kaban"},
		nil,
		"server and SDK share it, so it knows neither",
	},
	"kaban/client": {
		[]string{"kaban", "kaban/client/dial", "kaban/wire"},
		nil,
		"the SDK must work without the server",
	},
	"kaban/client/dial": {
		nil,
		nil,
		"the way to a server does not depend on what is said there",
	},
	"kaban/client/device": {
		[]string{"kaban/client", "kaban/client/dial", "kaban/wire"},
		nil,
		"the one part of the SDK that speaks HTTP knows no more of a client than its secrets",
	},
	"kaban/client/transfer": {
		[]string{"kaban", "kaban/client", "kaban/client/dial", "kaban/wire"},
		nil,
		"files go over HTTP, apart from the session",
	},
	"kaban/client/dial/dialtest": {
		nil,
		nil,
		"TLS and proxies for tests of the way to a server",
	},
	"kaban/internal/idpool": {
		[]string{"kaban"},
		nil,
		"a pool does not know connections",
	},
	"kaban/internal/store": {
		[]string{"kaban"},
		nil,
		"the contract does not know its drivers",
	},
	"kaban/internal/people": {
		[]string{"kaban", "kaban/internal/store"},
		nil,
		"the schema beside the logs does not know its users",
	},
	"kaban/internal/lease": {
		[]string{"kaban/internal/people", "kaban/internal/store"},
		nil,
		"who does a job does not depend on what it is",
	},
	"kaban/internal/news": {
		[]string{"kaban", "kaban/internal/people", "kaban/internal/store"},
		nil,
		"what is news does not depend on what it means for whom",
	},
	"kaban/internal/account": {
		[]string{"kaban", "kaban/internal/access", "kaban/internal/limit", "kaban/internal/peer", "kaban/internal/people", "kaban/internal/secretfile", "kaban/internal/store"},
		[]string{"golang.org/x/crypto", "golang.org/x/text", "github.com/go-webauthn/webauthn", "github.com/coreos/go-oidc", "golang.org/x/oauth2"},
		"a sign-in does not depend on its front end",
	},
	"kaban/internal/hashing": {
		nil,
		[]string{"golang.org/x/crypto/argon2"},
		"a hash does not depend on whose password it is",
	},
	"kaban/internal/picture": {
		nil,
		[]string{"golang.org/x/image", "golang.org/x/sys"},
		"a picture does not depend on whose it is or where it is kept",
	},
	"kaban/internal/account/providertest": {
		nil, nil,
		"a separate module: the server does not depend on the provider of its tests",
	},
	"kaban/internal/account/providertest/provider": {
		nil,
		[]string{"github.com/zitadel/oidc/v3"},
		"a process of tests, in the module of the provider",
	},
	"kaban/internal/store/memory": {
		[]string{"kaban", "kaban/internal/store"},
		[]string{"github.com/tidwall/btree"},
		"a driver knows only the domain and its contract",
	},
	"kaban/internal/export": {
		[]string{"kaban", "kaban/wire", "kaban/internal/people", "kaban/internal/store"},
		nil,
		"records become lines without knowing what stores or reads them",
	},
	"kaban/internal/childtest": {
		nil,
		[]string{"golang.org/x/sys"},
		"the end of a process of tests does not depend on its work",
	},
	"kaban/internal/logs/logstest": {
		nil, nil,
		"the log of a test does not depend on what is logged",
	},
	"kaban/internal/failpoint": {
		nil, nil,
		"any code may contain a failpoint",
	},
	"kaban/internal/failpoint/disk": {
		[]string{"kaban/internal/failpoint"},
		[]string{"modernc.org/sqlite/lib", "modernc.org/libc", "golang.org/x/sys"},
		"a failing disk knows only SQLite and files",
	},
	"kaban/internal/store/journal": {
		[]string{"kaban/internal/failpoint", "kaban/internal/failpoint/disk"},
		nil,
		"the journal does not know what a batch is",
	},
	"kaban/internal/store/sqlite": {
		[]string{"kaban", "kaban/internal/store", "kaban/internal/store/journal", "kaban/internal/failpoint", "kaban/internal/failpoint/disk"},
		[]string{"modernc.org/sqlite", "golang.org/x/sys"},
		"a driver knows only the domain and its contract",
	},
	"kaban/internal/store/postgres": {
		[]string{"kaban", "kaban/internal/failpoint", "kaban/internal/store"},
		[]string{"github.com/jackc/pgx/v5", "github.com/tidwall/btree"},
		"a driver knows only the domain and its contract",
	},
	"kaban/internal/store/postgres/postgrestest": {
		[]string{"kaban/internal/childtest"},
		[]string{"github.com/jackc/pgx/v5"},
		"a server of tests does not depend on what is kept there",
	},
	"kaban/internal/store/teststore": {
		[]string{"kaban/internal/store", "kaban/internal/store/memory", "kaban/internal/store/postgres", "kaban/internal/store/postgres/postgrestest"},
		nil,
		"it gives tests a store, and knows nothing above",
	},
	"kaban/internal/nodetest": {
		[]string{"kaban/internal/bus", "kaban/internal/bus/local", "kaban/internal/chat", "kaban/internal/dispatch", "kaban/internal/lease", "kaban/internal/news", "kaban/internal/store", "kaban/internal/store/teststore"},
		nil,
		"nodes of tests are what every front end has below, and know no front end",
	},
	"kaban/internal/store/journal/journaltest": {
		nil,
		nil, "it reads the files by their format, and does not trust those that write them",
	},
	"kaban/internal/index": {
		[]string{"kaban", "kaban/internal/failpoint", "kaban/internal/markup", "kaban/internal/processors", "kaban/internal/search", "kaban/internal/store"},
		[]string{"modernc.org/sqlite"},
		"the index is a reader of the logs, whatever stores them, and knows nobody that searches",
	},
	"kaban/internal/store/storetest": {
		[]string{"kaban", "kaban/internal/store"},
		[]string{"github.com/google/go-cmp", "pgregory.net/rapid"},
		"the suite must suit every driver",
	},
	"kaban/internal/bus": {
		[]string{"kaban", "kaban/internal/store"},
		nil,
		"the contract does not know its drivers",
	},
	"kaban/internal/bus/local": {
		[]string{"kaban/internal/bus"},
		nil,
		"a driver knows only its contract",
	},
	"kaban/internal/bus/nats": {
		[]string{"kaban/internal/bus"},
		[]string{"github.com/nats-io/nats.go"},
		"a driver knows only its contract, and nothing else knows NATS",
	},
	"kaban/internal/bus/embedded": {
		[]string{"kaban/internal/bus", "kaban/internal/bus/nats"},
		[]string{"github.com/nats-io/nats-server/v2/server"},
		"a driver knows only its contract, and the driver that is the client of its server",
	},
	"kaban/internal/bus/bustest": {
		[]string{"kaban", "kaban/internal/bus", "kaban/internal/store"},
		[]string{"github.com/google/go-cmp"},
		"the suite of the drivers knows none of them",
	},
	"kaban/internal/migrate": {
		[]string{"kaban/internal/store"},
		nil,
		"a move suits every driver",
	},
	"kaban/internal/dispatch": {
		[]string{"kaban", "kaban/internal/bus", "kaban/internal/count", "kaban/internal/store", "kaban/internal/failpoint", "kaban/internal/trace"},
		[]string{"github.com/tidwall/btree"},
		"the dispatcher knows no protocol, no database and no network",
	},
	"kaban/internal/tcp": {
		nil,
		[]string{"golang.org/x/sys"},
		"the state of a connection does not depend on its protocol",
	},
	"kaban/internal/processors": {
		nil, nil,
		"a count does not depend on what is counted for",
	},
	"kaban/internal/turns": {
		nil, nil,
		"how many handshakes compute at a time depends on no listener",
	},
	"kaban/internal/account/passkeytest": {
		nil,
		[]string{"github.com/descope/virtualwebauthn"},
		"passkeys of tests know nobody that checks them",
	},
	"kaban/internal/tlstest": {
		nil, nil,
		"certificates of tests know nobody that shows or trusts them",
	},
	"kaban/internal/limit": {
		nil, nil,
		"a rate depends on neither whose it is nor who is exempt",
	},
	"kaban/internal/peer": {
		nil, nil,
		"the other end of a connection does not depend on its protocol",
	},
	"kaban/internal/certs": {
		nil,
		[]string{"golang.org/x/crypto/acme", "golang.org/x/net/idna"},
		"where a certificate comes from does not depend on its use",
	},
	"kaban/internal/certs/pebbletest": {
		nil, nil,
		"a separate module: the server does not depend on the ACME server of its tests",
	},
	"kaban/internal/access": {
		[]string{"kaban"},
		nil,
		"a permission depends only on facts",
	},
	"kaban/internal/chat": {
		[]string{"kaban", "kaban/internal/access", "kaban/internal/attention", "kaban/internal/dispatch", "kaban/internal/emoji", "kaban/internal/lease", "kaban/internal/limit", "kaban/internal/markup", "kaban/internal/news", "kaban/internal/people", "kaban/internal/push", "kaban/internal/search", "kaban/internal/session", "kaban/internal/store", "kaban/internal/tcp"},
		nil,
		"the permitted actions do not depend on the protocol",
	},
	"kaban/internal/frame": {
		[]string{"kaban", "kaban/wire", "kaban/internal/chat", "kaban/internal/people", "kaban/internal/search"},
		nil,
		"front ends with the same frames share how entries become frames",
	},
	"kaban/internal/refusal": {
		[]string{"kaban", "kaban/wire", "kaban/internal/access", "kaban/internal/account", "kaban/internal/chat", "kaban/internal/limit"},
		nil,
		"all front ends share it, so it knows none",
	},
	"kaban/internal/count": {
		nil, nil,
		"any code may count; only telemetry knows a library of metrics",
	},
	"kaban/internal/trace": {
		nil,
		[]string{"go.opentelemetry.io/otel"},
		"a message is followed without knowing what it is; only builds with a tag have the library",
	},
	"kaban/internal/telemetry": {
		[]string{"kaban/internal/account", "kaban/internal/backup", "kaban/internal/bus", "kaban/internal/chat", "kaban/internal/conn", "kaban/internal/count", "kaban/internal/disk", "kaban/internal/dispatch", "kaban/internal/index", "kaban/internal/peer", "kaban/internal/push", "kaban/internal/server", "kaban/internal/store", "kaban/internal/tcp", "kaban/internal/web"},
		[]string{"github.com/prometheus/client_golang", "github.com/prometheus/client_model", "google.golang.org/protobuf"},
		"it reads what all others count; nothing imports it but the main package",
	},
	"kaban/internal/conn": {
		[]string{"kaban", "kaban/internal/dispatch", "kaban/internal/idpool", "kaban/internal/nonblock", "kaban/internal/tcp", "kaban/internal/turns", "kaban/internal/failpoint", "kaban/internal/trace"},
		[]string{"golang.org/x/sys"},
		"the connection engine knows no protocol, no names and no store",
	},
	"kaban/internal/nonblock": {
		nil,
		[]string{"golang.org/x/sys"},
		"three system calls, and the only memory that they know is a slice of the caller",
	},
	"kaban/internal/server": {
		[]string{"kaban", "kaban/wire", "kaban/internal/access", "kaban/internal/account", "kaban/internal/chat", "kaban/internal/conn", "kaban/internal/frame", "kaban/internal/limit", "kaban/internal/people", "kaban/internal/peer", "kaban/internal/refusal"},
		[]string{"github.com/gobwas/ws"},
		"a front end knows no other front end and no driver, and reaches dispatcher, sessions and store through chat",
	},
	"kaban/internal/server/wstest": {nil, nil, "frames of WebSocket by other means than the server's"},
	"kaban/internal/web": {
		[]string{"kaban", "kaban/wire", "kaban/internal/access", "kaban/internal/account", "kaban/internal/chat", "kaban/internal/files", "kaban/internal/files/keep", "kaban/internal/files/tus", "kaban/internal/files/upload", "kaban/internal/frame", "kaban/internal/hook", "kaban/internal/limit", "kaban/internal/peer", "kaban/internal/people", "kaban/internal/push", "kaban/internal/refusal", "kaban/internal/slack", "kaban/internal/tcp", "kaban/internal/turns"},
		[]string{"github.com/gobwas/ws", "github.com/danielgtaylor/huma/v2"},
		"a front end knows no other front end and no driver, and reaches dispatcher, sessions and store through chat",
	},
	"kaban/internal/web/page": {
		nil, nil,
		"serving files does not depend on their content",
	},
	"kaban/internal/web/page/build": {
		nil,
		[]string{"github.com/evanw/esbuild", "github.com/andybalholm/brotli"},
		"a separate module: the server does not depend on the page's build tools",
	},
	"kaban/internal/disk": {
		nil,
		[]string{"golang.org/x/sys"},
		"the room on a disk does not depend on what fills it",
	},
	"kaban/internal/backup": {
		nil, nil,
		"a schedule does not know how a backup is made",
	},
	"kaban/internal/ledger": {
		[]string{"kaban/internal/failpoint", "kaban/internal/failpoint/disk", "kaban/internal/store"},
		nil,
		"the ledger does not know where deletions come from",
	},
	"kaban/internal/files": {
		nil,
		[]string{"golang.org/x/text", "github.com/clipperhouse/uax29"},
		"the bytes of files know no accounts, rooms or rights",
	},
	"kaban/internal/files/disk": {
		[]string{"kaban/internal/failpoint", "kaban/internal/failpoint/disk", "kaban/internal/files"},
		nil,
		"a driver knows only its contract",
	},
	"kaban/internal/files/s3": {
		[]string{"kaban/internal/files"},
		[]string{"github.com/minio/minio-go/v7"},
		"a driver knows only its contract",
	},
	"kaban/internal/files/upload": {
		[]string{"kaban/internal/failpoint", "kaban/internal/failpoint/disk", "kaban/internal/files"},
		nil,
		"an upload does not know its protocol, nor where its bytes go",
	},
	"kaban/internal/files/tus": {
		[]string{"kaban/internal/files", "kaban/internal/files/upload"},
		[]string{"github.com/tus/tusd/v2", "golang.org/x/exp/slog"},
		"the protocol of uploads does not know what they are for",
	},
	"kaban/internal/files/keep": {
		[]string{"kaban", "kaban/internal/chat", "kaban/internal/failpoint", "kaban/internal/files", "kaban/internal/files/upload", "kaban/internal/people", "kaban/internal/picture"},
		nil,
		"what becomes of an upload depends neither on its protocol nor on where blobs are kept",
	},
	"kaban/internal/files/filestest": {
		[]string{"kaban/internal/files"},
		nil,
		"the suite must suit every driver",
	},
	"kaban/internal/files/s3test": {
		nil, nil,
		"a separate module: the server does not depend on the S3 of its tests",
	},
	"kaban/internal/operator": {
		nil,
		[]string{"golang.org/x/sys"},
		"the way to a server does not depend on what is asked of it",
	},
	"kaban/internal/guard": {
		nil,
		[]string{"golang.org/x/net/idna"},
		"what may be dialled depends on neither who names it nor why",
	},
	"kaban/internal/preview": {
		[]string{"kaban/internal/guard", "kaban/internal/limit", "kaban/internal/markup"},
		[]string{"golang.org/x/net/html", "golang.org/x/net/idna", "github.com/clipperhouse/uax29"},
		"what a page says of itself does not depend on who sent its link",
	},
	"kaban/internal/hook": {
		[]string{"kaban", "kaban/internal/account", "kaban/internal/chat", "kaban/internal/people", "kaban/internal/session", "kaban/internal/store"},
		nil,
		"managing hooks does not depend on the front end that they use",
	},
	"kaban/internal/push": {
		[]string{"kaban/internal/failpoint/disk", "kaban/internal/secretfile"},
		[]string{"github.com/clipperhouse/uax29"},
		"sending a notification does not depend on whom it is for, or what happened",
	},
	"kaban/internal/slack": {
		[]string{"kaban/internal/markup"},
		nil,
		"converting a message does not depend on its source or destination",
	},
	"kaban/internal/session": {
		[]string{"kaban"},
		nil,
		"all front ends share it, so it knows none",
	},
	"kaban/internal/config": {
		nil,
		[]string{"github.com/pelletier/go-toml"},
		"reading a file does not depend on its purpose",
	},
	"kaban/internal/logs": {
		nil, nil,
		"how lines are written does not depend on what they say",
	},
	"kaban/internal/secretfile": {
		nil, nil,
		"reading a secret does not depend on its use",
	},
	"kaban/internal/systemd": {
		nil,
		[]string{"github.com/coreos/go-systemd/v22"},
		"the way to the service manager does not depend on what it manages",
	},
	"kaban/internal/systemd/systemdtest": {
		nil, nil,
		"the service manager of tests knows only the kernel",
	},
	"kaban/internal/credentials": {
		[]string{"kaban/wire"},
		[]string{"github.com/pelletier/go-toml"},
		"keeping a secret does not depend on its use",
	},
	"kaban/internal/display": {
		[]string{"kaban"},
		nil,
		"sanitizing text needs no other package",
	},
	"kaban/internal/markup": {
		nil,
		[]string{"golang.org/x/text"},
		"markup means the same to the server and on every display",
	},
	"kaban/internal/emoji": {
		nil,
		[]string{"github.com/clipperhouse/uax29"},
		"an emoji is the same to the server and on every display",
	},
	"kaban/internal/search": {
		[]string{"kaban"},
		[]string{"golang.org/x/text", "github.com/clipperhouse/uax29"},
		"what a search finds does not depend on the database",
	},
	"kaban/client/clienttest": {
		nil,
		nil,
		"a server for the tests of clients speaks the protocol by itself, so that it can send frames that wire cannot",
	},
	"kaban/internal/markup/markuptest": {
		[]string{"kaban/internal/markup"},
		nil,
		"both implementations share one table",
	},
	"kaban/internal/attention": {
		nil,
		[]string{"golang.org/x/text"},
		"what an account wants to be notified of is the same for clients and the server",
	},
	"kaban/internal/tui": {
		[]string{"kaban", "kaban/wire", "kaban/client", "kaban/client/dial", "kaban/internal/attention", "kaban/internal/display", "kaban/internal/config", "kaban/internal/emoji", "kaban/internal/markup"},
		[]string{
			"charm.land/bubbletea", "charm.land/lipgloss", "github.com/charmbracelet/x/ansi", "github.com/charmbracelet/ultraviolet",
			"golang.org/x/image",
			"github.com/kyokomi/emoji",
		},
		"the terminal client is a user of the SDK and knows no server",
	},
	"kaban/internal/bench": {
		[]string{"kaban/client/dial"},
		[]string{"golang.org/x/sys", "github.com/HdrHistogram/hdrhistogram-go", "github.com/google/uuid", "github.com/guptarohit/asciigraph"},
		"the load generator shares no code with the server; it reads addresses as other clients do",
	},
	"kaban/bench": {
		[]string{"*"},
		[]string{"modernc.org/sqlite"},
		"it measures everything, including the disk",
	},
	"kaban/bench/floor": {
		nil,
		[]string{"golang.org/x/sys"},
		"a floor contains nothing of Kaban",
	},
	"kaban/bench/scale":       {nil, nil, "a simulation knows prices only"},
	"kaban/internal/archtest": {nil, nil, "tests only"},
	"kaban/internal/torture": {
		[]string{"kaban", "kaban/client", "kaban/wire", "kaban/internal/people", "kaban/internal/store"},
		nil,
		"it tests the real binary from outside, and inspects its database",
	},
	"kaban/internal/product": {
		[]string{"*"},
		nil,
		"it tests all front ends against package access",
	},
	"kaban/e2e/browser": {nil, nil, "it tests the page in a real browser"},
	"kaban/e2e":         {nil, nil, "stories use only the real binary"},
	"kaban/cmd/kaban": {
		[]string{"*"},
		[]string{"github.com/alecthomas/kong", "github.com/jotaen/kong-completion", "github.com/schollz/progressbar", "golang.org/x/term", "github.com/charmbracelet/x/ansi"},
		"only the main package may import everything",
	},
}

// bans are packages of the standard library that most code must not import.
var bans = map[string]struct {
	except []string
	why    string
}{
	// These packages use JSON that is not a frame: results of the load generator,
	// problem details, hooks, Slack's messages, the OpenAPI document, exports, the device
	// grant, documents, the rows of unmerged, the records of uploads, the data of emoji, and
	// notifications.
	"encoding/json": {[]string{"kaban", "kaban/cmd/kaban", "kaban/internal/bench", "kaban/internal/export", "kaban/bench", "kaban/internal/web", "kaban/internal/web/page/build", "kaban/internal/hook", "kaban/internal/people", "kaban/internal/account", "kaban/internal/store/sqlite", "kaban/internal/markup/markuptest", "kaban/internal/push", "kaban/internal/slack", "kaban/client/clienttest", "kaban/client/device", "kaban/client/transfer", "kaban/client/dial", "kaban/internal/files/upload", "kaban/internal/torture"}, "it silently accepts bad frames; only package wire parses frames"},
	"log":           {nil, "logs are structured: log/slog"},
	"math/rand":     {nil, "math/rand/v2 or, for secrets, crypto/rand"},
	"unsafe":        {[]string{"kaban/internal/failpoint/disk", "kaban/internal/nonblock"}, "memory safety is a guarantee"},
	"net/http":      {[]string{"kaban/internal/account", "kaban/internal/certs", "kaban/internal/guard", "kaban/internal/operator", "kaban/internal/preview", "kaban/internal/push", "kaban/internal/telemetry", "kaban/internal/web", "kaban/internal/web/page", "kaban/cmd/kaban", "kaban/client/device", "kaban/client/transfer", "kaban/client/dial", "kaban/client/dial/dialtest", "kaban/internal/account/providertest/provider", "kaban/internal/files", "kaban/internal/files/s3", "kaban/internal/files/tus", "kaban/internal/files/filestest"}, "HTTP has one front end; files has headers and types, tus a handler for the front end, s3 is a client; account is a client of its OpenID provider only, certs of its ACME server, guard and preview of what others name, push of push services, telemetry has a listener of its own, operator, device, transfer, dial and commands of a server"},
}

// opener is the one file of the program that knows the drivers of stores.
const opener = "cmd/kaban/open.go"

// mains are the files that may end the process.
var mains = []string{"cmd/kaban/main.go", "bench/main.go", "bench/floor/main.go", "bench/scale/main.go", "internal/web/page/build/main.go", "internal/account/providertest/provider/main.go"}

// source is a non-test file.
type source struct {
	path string // from the root
	pkg  string // import path
	file *ast.File
	set  *token.FileSet
}

func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			if path != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "tools" || name == "node_modules") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		relative, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		s := source{path: filepath.ToSlash(relative), set: token.NewFileSet()}
		s.pkg = strings.TrimSuffix("kaban/"+filepath.ToSlash(filepath.Dir(relative)), "/.")
		if s.file, err = parser.ParseFile(s.set, path, nil, parser.SkipObjectResolution|parser.ParseComments); err != nil {
			return err
		}
		all = append(all, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 {
		t.Fatalf("found only %d files: the walk is broken", len(all))
	}
	return all
}

func (s source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

// isFault reports whether a file is only in builds with failpoints.
func (s source) isFault() bool {
	return len(s.file.Comments) > 0 && strings.HasPrefix(s.file.Comments[0].Text()+s.file.Comments[0].List[0].Text, "//go:build failpoint")
}

func TestImports(t *testing.T) {
	seen := make(map[string]bool)
	for _, s := range sources(t) {
		r, ok := rules[s.pkg]
		seen[s.pkg] = true
		if !ok {
			t.Errorf("%s: package %s has no rule; list its allowed imports and the reason in the table", s.path, s.pkg)
			continue
		}
		if s.isTest() {
			continue // tests may combine packages
		}
		for _, spec := range s.file.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if problem := r.problem(s.pkg, path); problem != "" {
				t.Errorf("%s: imports %s: %s", s.path, path, problem)
			}
			if strings.HasPrefix(path, "kaban/internal/store/") && s.pkg == "kaban/cmd/kaban" && s.path != opener {
				t.Errorf("%s: imports %s: only %s knows the drivers of stores", s.path, path, opener)
			}
		}
	}
	for pkg := range rules {
		if !seen[pkg] {
			t.Errorf("the table has a rule for %s, which does not exist", pkg)
		}
	}
}

// problem returns what is wrong with an import, or "".
func (r rule) problem(pkg, path string) string {
	first, _, _ := strings.Cut(path, "/")
	switch {
	case first == "kaban":
		if !slices.Contains(r.ours, "*") && !slices.Contains(r.ours, path) {
			return r.why
		}
	case strings.Contains(first, "."):
		if !slices.ContainsFunc(r.others, func(allowed string) bool {
			return path == allowed || strings.HasPrefix(path, allowed+"/")
		}) {
			return "this library is not in the package's rule"
		}
	default:
		if ban, ok := bans[path]; ok && !slices.Contains(ban.except, pkg) {
			return ban.why
		}
	}
	return ""
}

// TestForbidden looks for forbidden constructs.
func TestForbidden(t *testing.T) {
	for _, s := range sources(t) {
		if s.isTest() || s.isFault() {
			continue
		}
		ast.Inspect(s.file, func(node ast.Node) bool {
			if problem := s.forbidden(node); problem != "" {
				t.Errorf("%s: %s", s.set.Position(node.Pos()), problem)
			}
			return true
		})
	}
}

func (s source) forbidden(node ast.Node) string {
	switch n := node.(type) {
	case *ast.GoStmt:
		return "a bare go statement: the code that starts a goroutine must wait for it (sync.WaitGroup.Go)"
	case *ast.CallExpr:
		switch f := n.Fun.(type) {
		case *ast.Ident:
			if f.Name == "panic" {
				return "panic: return an error"
			}
		case *ast.SelectorExpr:
			if x, ok := f.X.(*ast.Ident); ok && x.Name == "os" && f.Sel.Name == "Exit" && !slices.Contains(mains, s.path) {
				return "os.Exit outside a main.go of a command: return an error"
			}
		}
	}
	return ""
}

// TestPackagesSayWhatTheyAreFor checks that each package has a package comment.
func TestPackagesSayWhatTheyAreFor(t *testing.T) {
	comments := make(map[string]bool)
	for _, s := range sources(t) {
		comments[s.pkg] = comments[s.pkg] || s.file.Doc != nil
	}
	for pkg, ok := range comments {
		if !ok {
			t.Errorf("%s has no package comment", pkg)
		}
	}
}

// TestTheRulesCatch breaks each rule once.
func TestTheRulesCatch(t *testing.T) {
	for _, test := range []struct{ name, pkg, path string }{
		{"the domain imports another package", "kaban", "kaban/wire"},
		{"the dispatcher imports a protocol", "kaban/internal/dispatch", "kaban/wire"},
		{"a front end imports a driver", "kaban/internal/server", "kaban/internal/store/memory"},
		{"the connection engine imports a protocol", "kaban/internal/conn", "kaban/wire"},
		{"the connection engine knows names", "kaban/internal/conn", "kaban/internal/session"},
		{"the connection engine reads JSON", "kaban/internal/conn", "encoding/json"},
		{"the dispatcher knows NATS", "kaban/internal/dispatch", "github.com/nats-io/nats.go"},
		{"a bus knows the dispatcher", "kaban/internal/bus/nats", "kaban/internal/dispatch"},
		{"an unlisted library", "kaban/wire", "github.com/example/json"},
		{"a library of a similar name", "kaban", "golang.org/x/textual"},
		{"a banned package", "kaban/wire", "encoding/json"},
	} {
		if rules[test.pkg].problem(test.pkg, test.path) == "" {
			t.Errorf("%s: %s may import %s", test.name, test.pkg, test.path)
		}
	}
	for _, body := range []string{"go f()", "panic(1)", "os.Exit(1)"} {
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, "x.go", "package x\nfunc f() { "+body+" }", 0)
		if err != nil {
			t.Fatal(err)
		}
		s, found := source{path: "x.go", file: file, set: set}, false
		ast.Inspect(file, func(n ast.Node) bool { found = found || s.forbidden(n) != ""; return true })
		if !found {
			t.Errorf("%s is not caught", body)
		}
	}
}
