package main

import (
	"debug/buildinfo"
	"os"
	"path/filepath"
	"reflect"
	"runtime/debug"
	"strings"
	"testing"
)

// What may not be linked, or is no known licence, is refused.
func TestLicences(t *testing.T) {
	own, err := os.ReadFile(filepath.Join("..", "..", "LICENSE"))
	if err != nil {
		t.Fatal(err)
	}
	isc := "Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby granted, provided that the above copyright notice and this permission notice appear in all copies.\n" +
		"THE SOFTWARE IS PROVIDED \"AS IS\" AND THE AUTHOR DISCLAIMS ALL WARRANTIES WITH REGARD TO THIS SOFTWARE INCLUDING ALL IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR ANY " +
		"SPECIAL, DIRECT, INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES WHATSOEVER RESULTING FROM LOSS OF USE, DATA OR PROFITS, WHETHER IN AN ACTION OF CONTRACT, NEGLIGENCE OR OTHER TORTIOUS ACTION, ARISING OUT OF OR IN " +
		"CONNECTION WITH THE USE OR PERFORMANCE OF THIS SOFTWARE.\n"
	beer := "\"THE BEER-WARE LICENSE\" (Revision 42):\nphk@FreeBSD.ORG wrote this file. As long as you retain this notice you can do whatever you want with this stuff. If we meet some day, and you think this stuff is worth it, " +
		"you can buy me a beer in return. Poul-Henning Kamp"
	for name, c := range map[string]struct{ licence, notice, names, wrong string }{
		"ours":          {licence: string(own), names: "Apache-2.0"},
		"two":           {licence: string(own) + "\n" + isc, notice: "a notice that is no licence", names: "Apache-2.0 ISC"},
		"none":          {notice: "a notice", wrong: "has no licence"},
		"no licence":    {licence: "You may use it on Sundays.", wrong: "0 % of it"},
		"one with more": {licence: isc + strings.Repeat("But not for this, and not for that. ", 30), wrong: "want at least 75"},
		"another":       {licence: beer, wrong: "Beerware is none of"},
	} {
		folder := t.TempDir()
		for file, text := range map[string]string{"LICENSE": c.licence, "NOTICE": c.notice, "license.go": "package x"} {
			if text == "" {
				continue
			}
			if err := os.WriteFile(filepath.Join(folder, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		m := &module{path: "example.com/m"}
		err := m.read(map[string]string{folder: "."})
		if got := strings.Join(m.licences, " "); err == nil && got != c.names || (err != nil) != (c.wrong != "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%s: %s, %v", name, got, err)
		}
		if err == nil && c.notice != "" && len(m.texts) != 2 {
			t.Errorf("%s: %d texts", name, len(m.texts))
		}
	}
}

// A program that is linked with what the sources do not name has no bill.
func TestBill(t *testing.T) {
	modules := []*module{{path: standard, licences: []string{"BSD-3-Clause"}}, {path: "a.example/b", version: "v1.0.0+incompatible", licences: []string{"ISC", "MIT"}}}
	info := &buildinfo.BuildInfo{GoVersion: "go1.26.8", Path: "m/cmd/x", Main: debug.Module{Path: "m", Version: "v0.1.0"}, Deps: []*debug.Module{{Path: "a.example/b", Version: "v1.0.0+incompatible", Sum: "h1:AAEC"}}}
	b, err := bill("x", info, modules)
	if err != nil || len(*b.Components) != 2 {
		t.Fatalf("%v %+v", err, b)
	}
	c := (*b.Components)[1]
	if c.PackageURL != "pkg:golang/a.example/b@v1.0.0%2Bincompatible" || (*c.Licenses)[0].Expression != "ISC AND MIT" || (*c.Hashes)[0].Value != "000102" {
		t.Errorf("%+v", c)
	}
	again, err := bill("x", info, modules)
	if err != nil || !reflect.DeepEqual(b, again) || b.SerialNumber != "" || b.Metadata.Timestamp != "" {
		t.Errorf("%v: %+v", err, again)
	}
	info.Deps[0].Version = "v1.0.1"
	if _, err := bill("x", info, modules); err == nil || !strings.Contains(err.Error(), "a.example/b@v1.0.1") {
		t.Errorf("with another version: %v", err)
	}
}
