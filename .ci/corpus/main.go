// Command corpus keeps of what fuzzing has found for a target, in Go's cache and in the package's testdata, the few inputs that reach what no other does, in the package's testdata: so the next
// hour of fuzzing, on whatever machine, begins where the last one ended. Inputs with a name that somebody gave them, such as those of faults that were mended, stay as they are.
//
//	go run ./.ci/corpus PACKAGE TARGET
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Inputs above largest are not kept; where there are more than most, the smallest are looked at.
const (
	largest = 16 << 10
	most    = 400
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("usage: corpus PACKAGE TARGET")
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		log.Fatal(err)
	}
}

func run(pkg, target string) error {
	about, err := output("go", "list", "-f", "{{.Dir}}\n{{.ImportPath}}\n{{.Module.Path}}", pkg)
	if err != nil {
		return err
	}
	lines := strings.Split(about, "\n")
	if len(lines) != 3 {
		return fmt.Errorf("%s: want one package", pkg)
	}
	dir, path, module := lines[0], lines[1], lines[2]
	cache, err := output("go", "env", "GOCACHE")
	if err != nil {
		return err
	}
	kept := filepath.Join(dir, "testdata", "fuzz", target)
	inputs, err := gather(kept, filepath.Join(cache, "fuzz", filepath.FromSlash(path), target))
	if err != nil || len(inputs) == 0 {
		return err
	}
	work, err := os.MkdirTemp("", "corpus")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	c := &coverage{dir: dir, test: filepath.Join(work, "test"), profile: filepath.Join(work, "profile"), target: target}
	if _, err := output("go", "test", "-c", "-cover", "-coverpkg="+module+"/...", "-o", c.test, pkg); err != nil {
		return err
	}
	chosen, err := choose(c, kept, inputs)
	if err != nil {
		return err
	}
	fmt.Printf("%s %s: %d of %d inputs reach what no other does\n", path, target, chosen, len(inputs))
	return nil
}

func output(name string, args ...string) (string, error) {
	command := exec.Command(name, args...)
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

// hashed is a name that the go command gives.
var hashed = regexp.MustCompile("^[0-9a-f]{16}$")

// gather reads inputs that have no name of their own, the smallest first.
func gather(dirs ...string) ([]input, error) {
	seen := map[string]bool{}
	var all []input
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil && !os.IsNotExist(err) {
			return nil, err
		}
		for _, e := range entries {
			if !hashed.MatchString(e.Name()) {
				continue
			}
			data, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				return nil, err
			}
			if len(data) <= largest && !seen[string(data)] {
				seen[string(data)] = true
				all = append(all, input{e.Name(), data})
			}
		}
	}
	slices.SortFunc(all, func(a, b input) int {
		if n := len(a.data) - len(b.data); n != 0 {
			return n
		}
		return bytes.Compare(a.data, b.data)
	})
	return all[:min(len(all), most)], nil
}

type input struct {
	name string
	data []byte
}

// coverage runs a target's test on single inputs.
type coverage struct{ dir, test, profile, target string }

// of is the set of blocks that an input reaches; "": all that are there.
func (c *coverage) of(input string) (map[string]bool, error) {
	which := "^" + c.target + "$"
	if input != "" {
		which += "/^" + input + "$"
	}
	command := exec.Command(c.test, "-test.run", which, "-test.coverprofile", c.profile)
	command.Dir = c.dir
	if out, err := command.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s", c.target, input, err, out)
	}
	f, err := os.Open(c.profile)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	blocks := map[string]bool{}
	lines := bufio.NewScanner(f)
	for lines.Scan() { // name.go:1.2,3.4 statements count
		if block, count, _ := strings.Cut(lines.Text(), " "); !strings.HasSuffix(count, " 0") {
			blocks[block] = true
		}
	}
	return blocks, lines.Err()
}

// choose leaves in a directory the inputs that reach what neither the target's own seeds nor those before them do: first the one that adds most.
func choose(c *coverage, kept string, inputs []input) (chosen int, err error) {
	if err := os.MkdirAll(kept, 0o755); err != nil {
		return 0, err
	}
	for _, in := range inputs {
		if err := os.Remove(filepath.Join(kept, in.name)); err != nil && !os.IsNotExist(err) {
			return 0, err
		}
	}
	reached, err := c.of("")
	if err != nil {
		return 0, err
	}
	reach := make([]map[string]bool, len(inputs))
	for i, in := range inputs {
		name := filepath.Join(kept, in.name)
		if err := os.WriteFile(name, in.data, 0o600); err != nil {
			return 0, err
		}
		if reach[i], err = c.of(in.name); err != nil {
			return 0, err // it stays where it is, so that the next test fails with it
		}
		if err := os.Remove(name); err != nil {
			return 0, err
		}
	}
	for ; ; chosen++ {
		best, adds := -1, 0
		for i := range inputs {
			if n := more(reach[i], reached); n > adds {
				best, adds = i, n
			}
		}
		if best < 0 {
			_ = os.Remove(kept) // unless something is in it
			return chosen, nil
		}
		for block := range reach[best] {
			reached[block] = true
		}
		if err := os.WriteFile(filepath.Join(kept, inputs[best].name), inputs[best].data, 0o644); err != nil {
			return chosen, err
		}
	}
}

func more(blocks, than map[string]bool) (n int) {
	for b := range blocks {
		if !than[b] {
			n++
		}
	}
	return n
}
