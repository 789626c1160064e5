// Command supply says what the programs are made of: the modules that are linked into them, under which licences, as a list and as CycloneDX bills of materials.
//
//	supply -root .. licences          writes cmd/licences.txt
//	supply -root .. licences -check   says whether it is current, and writes nothing
//	supply -root .. sbom              writes bin/PROGRAM.cdx.json for each program in bin, and bin/licence-texts.txt, which have to go with them
//
// A licence that is not allowed, and a text that is no known licence, end it with status 1. What it writes depends on the sources alone.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	root := flag.String("root", ".", "folder of the project")
	flag.Parse()
	if err := run(*root, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "supply:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("want licences, licences -check or sbom")

func run(root string, args []string) error {
	if len(args) == 0 {
		return errUsage
	}
	modules, err := linked(root)
	if err != nil {
		return err
	}
	switch command := args[0]; {
	case command == "licences" && len(args) == 1:
		return os.WriteFile(filepath.Join(root, listed), list(modules), 0o644)
	case command == "licences" && args[1] == "-check":
		return check(root, modules)
	case command == "sbom" && len(args) == 1:
		return bills(filepath.Join(root, "bin"), modules)
	}
	return errUsage
}

// listed is where the list is kept.
var listed = filepath.Join("cmd", "licences.txt")

func check(root string, modules []*module) error {
	old, err := os.ReadFile(filepath.Join(root, listed))
	if err != nil {
		return err
	}
	if now := list(modules); !bytes.Equal(old, now) {
		return fmt.Errorf("%s is not current; run make licences. It should be:\n%s", listed, now)
	}
	return nil
}
