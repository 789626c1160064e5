package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/google/licensecheck"
)

// allowed licences ask for no more than that their text goes with the program, MPL-2.0 also that changes of its own files are published.
var allowed = []string{"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MPL-2.0", publicDomain, "Unlicense", "Zlib"}

// publicDomain is what its authors have given up all rights of.
const publicDomain = "LicenseRef-public-domain"

// judged are texts that a person has read, since they are no single licence: what holds of them for whoever links the module, by their SHA-256.
var judged = map[string][]string{
	"8438c9c89b849131ead81d5435cb97fcf052df5b0b286dda8a2d4c29e6cb3fd0": {publicDomain},                        // modernc.org/sqlite LICENSE-SQLITE: SQLite itself
	"f4a00ade8f4057ab0ea49097d9c459df8559fcf10ca78da0c950343fb7428d37": {"BSD-3-Clause", "MIT", publicDomain}, // modernc.org/sqlite LICENSE-3RD-PARTY.md: what its section 1 says is linked
	"f597097efe3d97021f89170746bd3a0fb9a8b6fb26b82043ed68a4e0283bee6c": {"BSD-3-Clause", "MIT"},               // modernc.org/libc LICENSE-3RD-PARTY.md: Go, musl, go-netdb, nixpkgs
	"5ae5bee3072a841376451b48d8cfcec7188e10543926d5870828d36c8a750dc5": {},                                    // modernc.org/memory LICENSE-LOGO: a picture, which is not linked
}

// coverage is the least part of a licence file, in percent, that has to be known text: what else is in it is names, years and headings.
const coverage = 75

// standard is the path under which Go's own library is listed. Its version is the compiler's.
const standard = "std"

// module is one that is linked into the programs.
type module struct {
	path, version string
	licences      []string // SPDX, sorted
	texts         []text
}

// text is a file that has to go with the programs.
type text struct {
	name string // within the module
	body []byte
}

// listing is what go list tells of a package.
type listing struct {
	Dir      string
	Standard bool
	Module   *struct {
		Path, Version, Dir string
		Main               bool
		Replace            *struct{ Path, Version string }
	}
}

// linked are the modules that are linked into the programs as they are shipped: for Linux, without C. Sorted by path.
func linked(root string) ([]*module, error) {
	command := exec.Command("go", "list", "-deps", "-json=Dir,Standard,Module", "./cmd/...")
	command.Dir, command.Stderr, command.Env = root, os.Stderr, append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0", "GOFLAGS=")
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	roots, err := goroot(root)
	if err != nil {
		return nil, err
	}
	modules, folders := map[string]*module{standard: {path: standard}}, map[string]map[string]string{standard: {roots: "."}}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listing
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		if p.Standard || p.Module == nil || p.Module.Main {
			continue
		}
		key := p.Module.Path
		if modules[key] == nil {
			modules[key], folders[key] = &module{path: key, version: p.Module.Version}, map[string]string{}
			if p.Module.Replace != nil {
				return nil, fmt.Errorf("%s is replaced, which this does not know", key)
			}
		}
		for dir := p.Dir; ; dir = filepath.Dir(dir) { // a folder may have a licence of its own
			name, err := filepath.Rel(p.Module.Dir, dir)
			if err != nil {
				return nil, err
			}
			if folders[key][dir] = name; name == "." {
				break
			}
		}
	}
	var wrong []error
	for path, m := range modules {
		wrong = append(wrong, m.read(folders[path]))
	}
	return slices.SortedFunc(maps.Values(modules), func(a, b *module) int { return strings.Compare(a.path, b.path) }), errors.Join(wrong...)
}

func goroot(root string) (string, error) {
	command := exec.Command("go", "env", "GOROOT")
	command.Dir = root
	out, err := command.Output()
	return strings.TrimSpace(string(out)), err
}

var (
	licenceFile = regexp.MustCompile(`(?i)^((un)?licen[cs]es?|copying)([.-].*)?$`)
	noticeFile  = regexp.MustCompile(`(?i)^(notice|patents|copyright)([.-].*)?$`)
)

// read reads the licence files in folders, which are given with their names within the module.
func (m *module) read(folders map[string]string) error {
	for _, dir := range slices.Sorted(maps.Keys(folders)) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			isLicence := licenceFile.MatchString(e.Name()) && filepath.Ext(e.Name()) != ".go"
			if e.IsDir() || !isLicence && !noticeFile.MatchString(e.Name()) {
				continue
			}
			body, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				return err
			}
			name := filepath.ToSlash(filepath.Join(folders[dir], e.Name()))
			m.texts = append(m.texts, text{name, body})
			if !isLicence {
				continue
			}
			names, err := licencesOf(body)
			if err != nil {
				return fmt.Errorf("%s: %s: %w", m.path, name, err)
			}
			m.licences = append(m.licences, names...)
		}
	}
	slices.Sort(m.licences)
	if m.licences = slices.Compact(m.licences); len(m.licences) == 0 {
		return fmt.Errorf("%s has no licence", m.path)
	}
	return nil
}

// licencesOf are the licences in a file, all of which hold.
func licencesOf(body []byte) (names []string, err error) {
	sum := sha256.Sum256(body)
	if names, known := judged[hex.EncodeToString(sum[:])]; known {
		return names, nil
	}
	found := licensecheck.Scan(body)
	for _, match := range found.Match {
		if match.IsURL {
			continue
		}
		if names = append(names, match.ID); !slices.Contains(allowed, match.ID) {
			return nil, fmt.Errorf("%s is none of %s", match.ID, strings.Join(allowed, ", "))
		}
	}
	if found.Percent < coverage || len(names) == 0 {
		return nil, fmt.Errorf("%.0f %% of it are known licences; want at least %d", found.Percent, coverage)
	}
	return names, nil
}

// list is the list of modules for people.
func list(modules []*module) []byte {
	var out bytes.Buffer
	out.WriteString("What is linked into the programs, and under which licences; made by make licences. The texts: bin/licence-texts.txt, by make sbom.\n\n")
	table := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	for _, m := range modules {
		version := m.version
		if m.path == standard {
			version = "of the compiler"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", m.path, version, strings.Join(m.licences, " AND "))
	}
	_ = table.Flush() // a buffer takes everything
	return out.Bytes()
}
