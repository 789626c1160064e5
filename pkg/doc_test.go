package pkg

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/yupiao/yupiao/"

// owners of outside libraries: nobody else imports them, in code or in tests, but for the tests that stand in for somebody outside.
var owners = map[string][]string{
	"github.com/nats-io/nats.go":                 {"pkg/feed", "pkg/testkit", "bench/soak"}, // the last as a vandal
	"github.com/nats-io/nats-server":             {"pkg/broker"},
	"google.golang.org/protobuf":                 {"pkg/event", "pkg/metrics", "api"},
	"github.com/gin-gonic/gin":                   {"pkg/httpapi", "bench/peers"},
	"github.com/redis/go-redis":                  {"bench/peers"},
	"github.com/valyala/fasthttp":                {"bench/peers"},
	"github.com/dgraph-io/ristretto":             {"pkg/answer"},
	"github.com/klauspost/compress":              {"pkg/answer"},
	"go.opentelemetry.io":                        {"pkg/trace"},
	"github.com/prometheus":                      {"pkg/metrics"},
	"github.com/spf13/viper":                     {"pkg/config"},
	"github.com/fsnotify/fsnotify":               {"pkg/config"},
	"github.com/spf13/cobra":                     {"cmd/yupiao", "cmd/yupiaod", "cmd/bookingd"},
	"github.com/cespare/xxhash":                  {"pkg/render"},
	"github.com/jackc/pgx":                       {"pkg/store"},
	"modernc.org/sqlite":                         {"pkg/store"},
	"github.com/pressly/goose":                   {"pkg/store"},
	"golang.org/x/time/rate":                     {"pkg/replica", "pkg/node"},
	"github.com/HdrHistogram/hdrhistogram-go":    {"pkg/load"},
	"golang.org/x/sys":                           {"pkg/load"},
	"github.com/bufbuild/protocompile":           {"api"},
	"github.com/compose-spec/compose-go":         {"pkg/cluster"},
	"github.com/yupiao/yupiao/pkg/event/eventpb": {"pkg/event", "api"},
}

// pipeline reads the list of packages out of doc.go.
func pipeline(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, m := range regexp.MustCompile(`(?m)^//\t(\w+) `).FindAllStringSubmatch(string(text), -1) {
		out = append(out, m[1])
	}
	return out
}

// imports calls visit for every import of every source file, with the file's folder from the top of the tree.
func imports(t *testing.T, visit func(folder, file, path string)) {
	t.Helper()
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && d.Name() != ".." {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			visit(filepath.ToSlash(strings.TrimPrefix(filepath.Dir(path), ".."+string(filepath.Separator))), path, imported)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Every package stands in the list and imports only what stands above it. A test may reach further down: it drives its package from outside.
func TestImportsGoUpstream(t *testing.T) {
	order := pipeline(t)
	room := func(folder string) int {
		name, _, _ := strings.Cut(strings.TrimPrefix(folder, "pkg/"), "/")
		return slices.Index(order, name)
	}
	imports(t, func(folder, file, path string) {
		if !strings.HasPrefix(folder, "pkg/") {
			return
		}
		here := room(folder)
		if here < 0 {
			t.Errorf("%s: package %s is not in the list of pkg/doc.go", file, folder)
		}
		there, inside := strings.CutPrefix(path, module+"pkg/")
		if !inside || strings.HasSuffix(file, "_test.go") {
			return
		}
		if d := room("pkg/" + there); d >= here && !strings.HasPrefix("pkg/"+there, folder+"/") {
			t.Errorf("%s imports %s, which is not above it in pkg/doc.go", file, there)
		}
	})
	for _, name := range order {
		if _, err := os.Stat(name); err != nil {
			t.Errorf("pkg/doc.go lists %s, which does not exist", name)
		}
	}
}

// The query side never imports booking, nor booking the query side.
func TestBookingStandsApart(t *testing.T) {
	authority := []string{"booking", "reservation", "store", "bookapi", "backend"}
	query := []string{"replica", "view", "render", "trial", "governor", "httpapi", "web", "accuracy", "metrics", "node"}
	imports(t, func(folder, file, path string) {
		if strings.HasSuffix(file, "_test.go") {
			return
		}
		name, there := strings.TrimPrefix(folder, "pkg/"), strings.TrimPrefix(path, module+"pkg/")
		if slices.Contains(query, name) && slices.Contains(authority, there) || slices.Contains(authority, name) && slices.Contains(query, there) {
			t.Errorf("%s imports %s", file, there)
		}
	})
}

// Each outside library has one owner.
func TestLibrariesHaveOwners(t *testing.T) {
	imports(t, func(folder, file, path string) {
		if strings.HasSuffix(file, "_test.go") {
			return
		}
		for library, allowed := range owners {
			if !strings.HasPrefix(path, library) {
				continue
			}
			if !slices.ContainsFunc(allowed, func(a string) bool { return folder == a || strings.HasPrefix(folder, a+"/") }) {
				t.Errorf("%s imports %s, which belongs to %v", file, path, allowed)
			}
		}
	})
}

// Shared numbers are typed atomics: a plain integer with atomic functions can be read without them by mistake.
func TestTypedAtomicsOnly(t *testing.T) {
	untyped := regexp.MustCompile(`atomic\.(Add|Load|Store|Swap|CompareAndSwap)(Int|Uint|Pointer)`)
	err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || path == "doc_test.go" {
			return err
		}
		text, err := os.ReadFile(path)
		if err == nil && untyped.Match(text) {
			t.Errorf("%s uses untyped atomics: %s", path, untyped.Find(text))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
