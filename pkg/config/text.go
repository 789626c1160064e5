package config

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"go.yaml.in/yaml/v3"

	"github.com/yupiao/yupiao/pkg/policy"
)

// fault is what is wrong with one key. It wraps ErrInvalid.
type fault struct{ key, text string }

func (f *fault) Error() string { return ErrInvalid.Error() + ": " + f.text }

func (f *fault) Unwrap() error { return ErrInvalid }

// text is settings as somebody wrote them.
type text struct {
	source string
	lines  map[string]int // by key, such as rules[0].when.days
	// variables of the environment, and files that hold one secret, stand above what is written; by key.
	variables map[string]string
}

// readText finds the line of each key. What is no YAML has none.
func readText(data []byte, source string) *text {
	t := &text{source: source, lines: map[string]int{}}
	var root yaml.Node
	if yaml.Unmarshal(data, &root) == nil {
		t.note("", &root)
	}
	return t
}

// note notes the lines of what is below a key.
func (t *text) note(key string, n *yaml.Node) {
	switch n.Kind {
	case yaml.DocumentNode:
		for _, child := range n.Content {
			t.note(key, child)
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			below := strings.TrimPrefix(key+"."+strings.ToLower(n.Content[i].Value), ".")
			t.lines[below] = n.Content[i].Line
			t.note(below, n.Content[i+1])
		}
	case yaml.SequenceNode:
		for i, child := range n.Content {
			below := fmt.Sprintf("%s[%d]", key, i)
			t.lines[below] = child.Line
			t.note(below, child)
		}
	}
}

// override notes that a key's value is that of a variable.
func (t *text) override(key, variable string) {
	if t.variables == nil {
		t.variables = map[string]string{}
	}
	t.variables[key] = variable
}

// origins are where each value comes from that is no default.
func (t *text) origins() map[string]string {
	out := maps.Clone(t.variables)
	if out == nil {
		out = map[string]string{}
	}
	for key, line := range t.lines {
		if t.variables[key] == "" {
			out[key] = fmt.Sprintf("%s:%d", t.source, line)
		}
	}
	return out
}

// at is where a key stands, or else the key that it belongs to; the source alone if that is not there either.
func (t *text) at(key string) string {
	for key != "" {
		if name := t.variables[key]; name != "" {
			if !strings.HasPrefix(name, envPrefix) {
				return name + ": "
			}
			return "environment: " + name + ": "
		}
		if line, ok := t.lines[strings.ToLower(key)]; ok {
			return fmt.Sprintf("%s:%d: ", t.source, line)
		}
		key = key[:max(strings.LastIndexAny(key, ".["), 0)]
	}
	return t.source + ": "
}

// mark says of everything that is wrong on which line it is. The result wraps ErrInvalid.
func (t *text) mark(err error) error {
	var all []string
	for key, what := range faults(err) {
		all = append(all, t.at(key)+what)
	}
	if len(all) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrInvalid, strings.Join(all, "; "))
}

// faults are the single faults in an error, by key; the key is empty where none is known.
func faults(err error) func(yield func(key, what string) bool) {
	return func(yield func(key, what string) bool) { walk(err, yield) }
}

// walk looks at each error by itself, and not at what it wraps: it goes down the tree step by step.
func walk(err error, yield func(key, what string) bool) (more bool) {
	switch e := err.(type) { //nolint:errorlint // as said
	case nil:
		return true
	case *fault:
		return yield(e.key, e.text)
	case *policy.Fault:
		return yield(e.Key, e.Text)
	case *mapstructure.DecodeError:
		return decoding(e, yield)
	case interface{ Unwrap() []error }:
		for _, part := range e.Unwrap() {
			if !walk(part, yield) {
				return false
			}
		}
		return true
	}
	if below := errors.Unwrap(err); below != nil {
		return walk(below, yield)
	}
	return yield("", err.Error())
}

// unknown begins the library's words for keys that the struct does not have.
const unknown = "has invalid keys: "

func decoding(e *mapstructure.DecodeError, yield func(key, what string) bool) bool {
	what := e.Unwrap().Error()
	keys, isUnknown := strings.CutPrefix(what, unknown)
	if !isUnknown {
		return yield(e.Name(), e.Name()+": "+what)
	}
	for key := range strings.SplitSeq(keys, ", ") {
		path := strings.TrimPrefix(e.Name()+"."+key, ".")
		if !yield(path, "unknown key "+path) {
			return false
		}
	}
	return true
}

var lineOfSyntax = regexp.MustCompile(`line (\d+): `)

// syntax is the error of a text that is no YAML.
func syntax(source string, err error) error {
	what := err.Error()
	if at := lineOfSyntax.FindStringSubmatchIndex(what); at != nil {
		return fmt.Errorf("%w: %s:%s: not YAML: %s", ErrInvalid, source, what[at[2]:at[3]], what[at[1]:])
	}
	return fmt.Errorf("%w: %s: not YAML: %w", ErrInvalid, source, err)
}
