package feed

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/yupiao/yupiao/configs/nats"
)

// words are the streams and subjects that the sources of this package name.
func words(t *testing.T) (streams, subjects []string) {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	stream := regexp.MustCompile(`^YUPIAO_[A-Z_]+$`)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BasicLit:
				if s, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING && stream.MatchString(s) {
					streams = append(streams, s)
				}
			case *ast.BinaryExpr: // subjectRoot + "..."
				root, isName := n.X.(*ast.Ident)
				if last, isText := n.Y.(*ast.BasicLit); isName && isText && root.Name == "subjectRoot" {
					if s, err := strconv.Unquote(last.Value); err == nil {
						subjects = append(subjects, subjectRoot+s)
					}
				}
			}
			return true
		})
	}
	return streams, subjects
}

// A stream or a subject that is used here and that the shipped accounts do not know is found.
func TestAccountsKnowAllSubjects(t *testing.T) {
	streams, subjects := words(t)
	if len(streams) < 6 || len(subjects) < 11 {
		t.Fatalf("found %q and %q", streams, subjects)
	}
	for _, s := range streams {
		if !strings.Contains(nats.Accounts, `.`+s+`"`) {
			t.Errorf("accounts.conf does not know the stream %s", s)
		}
	}
	for _, s := range subjects {
		end := `"`
		if strings.HasSuffix(s, ".") {
			end = "" // *, or >
		}
		if !strings.Contains(nats.Accounts, `subject: "`+s+end) {
			t.Errorf("accounts.conf lets no subject %s through", s)
		}
	}
	for party, variable := range nats.Parties {
		if !strings.Contains(nats.Accounts, "user: "+string(party)+", password: $"+variable+"\n") {
			t.Errorf("accounts.conf has no user %s with the password of %s", party, variable)
		}
	}
}
