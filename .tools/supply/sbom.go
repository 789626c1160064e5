package main

import (
	"bytes"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/CycloneDX/cyclonedx-go"
)

// suffix of a bill of materials.
const suffix = ".cdx.json"

// bills writes what each program of a folder is made of, as the program itself says it, and the texts that have to go with them.
func bills(folder string, modules []*module) error {
	commands, err := os.ReadDir(filepath.Join(filepath.Dir(folder), "cmd"))
	if err != nil {
		return err
	}
	for _, c := range commands {
		if !c.IsDir() {
			continue
		}
		program := filepath.Join(folder, c.Name())
		info, err := buildinfo.ReadFile(program)
		if err != nil {
			return fmt.Errorf("%w; run make build", err)
		}
		b, err := bill(c.Name(), info, modules)
		if err != nil {
			return fmt.Errorf("%s: %w", program, err)
		}
		var out bytes.Buffer
		if err := cyclonedx.NewBOMEncoder(&out, cyclonedx.BOMFileFormatJSON).SetPretty(true).Encode(b); err != nil {
			return err
		}
		if err := os.WriteFile(program+suffix, out.Bytes(), 0o644); err != nil {
			return err
		}
		fmt.Printf("%s: %d modules\n", program+suffix, len(*b.Components))
	}
	return os.WriteFile(filepath.Join(folder, "licence-texts.txt"), texts(modules), 0o644)
}

// bill is what a program is made of. It has neither a time nor a number of its own, so that the same program has the same.
func bill(name string, info *buildinfo.BuildInfo, modules []*module) (*cyclonedx.BOM, error) {
	b := cyclonedx.NewBOM()
	b.Metadata = &cyclonedx.Metadata{
		Component: &cyclonedx.Component{
			BOMRef: "pkg:golang/" + info.Path, Type: cyclonedx.ComponentTypeApplication, Name: name, Version: info.Main.Version, PackageURL: purl(info.Main.Path, info.Main.Version) + "#cmd/" + name,
			Licenses: choices([]string{"Apache-2.0"}),
		},
	}
	parts := []cyclonedx.Component{library(standard, info.GoVersion, nil, modules)}
	for _, d := range info.Deps {
		parts = append(parts, library(d.Path, d.Version, hashes(d.Sum), modules))
	}
	refs := make([]string, 0, len(parts))
	for _, p := range parts {
		if p.Licenses == nil {
			return nil, fmt.Errorf("it is linked with %s, whose licence is not known: was it built from these sources?", p.BOMRef)
		}
		refs = append(refs, p.BOMRef)
	}
	b.Components, b.Dependencies = &parts, &[]cyclonedx.Dependency{{Ref: b.Metadata.Component.BOMRef, Dependencies: &refs}}
	return b, nil
}

func library(path, version string, sums *[]cyclonedx.Hash, modules []*module) cyclonedx.Component {
	ref := purl(path, version)
	c := cyclonedx.Component{BOMRef: ref, Type: cyclonedx.ComponentTypeLibrary, Name: path, Version: version, PackageURL: ref, Hashes: sums}
	if i := slices.IndexFunc(modules, func(m *module) bool { return m.path == path && (m.version == version || path == standard) }); i >= 0 {
		c.Licenses = choices(modules[i].licences)
	}
	return c
}

func purl(path, version string) string {
	return "pkg:golang/" + path + "@" + strings.ReplaceAll(version, "+", "%2B")
}

// hashes is a sum of go.sum, the SHA-256 of the list of the module's files.
func hashes(sum string) *[]cyclonedx.Hash {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(sum, "h1:"))
	if err != nil || sum == "" {
		return nil
	}
	return &[]cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA256, Value: hex.EncodeToString(raw)}}
}

// choices are licences that hold together.
func choices(names []string) *cyclonedx.Licenses {
	return &cyclonedx.Licenses{{Expression: strings.Join(names, " AND ")}}
}

// texts are all licence texts, one after the other.
func texts(modules []*module) []byte {
	var out bytes.Buffer
	for _, m := range modules {
		for _, t := range m.texts {
			fmt.Fprintf(&out, "=== %s %s: %s\n\n%s\n\n", m.path, m.version, t.name, bytes.TrimSpace(t.body))
		}
	}
	return out.Bytes()
}
