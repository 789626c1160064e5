package testkit

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Modules runs testdata/modules.mjs of the package under test, which tries a page's modules that need no page, beside a folder with the page's files.
func Modules(t *testing.T, folder string, files ...fs.FS) {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("the modules are not tried: there is no node on the PATH")
	}
	dir := t.TempDir()
	script, err := os.ReadFile(filepath.Join("testdata", "modules.mjs"))
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string][]byte{"modules.mjs": script, "package.json": []byte(`{"type":"module"}`)} {
		if err := os.WriteFile(filepath.Join(dir, name), body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, some := range files {
		if err := os.CopyFS(filepath.Join(dir, folder), some); err != nil {
			t.Fatal(err)
		}
	}
	run := exec.CommandContext(t.Context(), node, "--test", "modules.mjs")
	run.Dir = dir
	if out, err := run.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("fail 0")) {
		t.Errorf("node: %v\n%s", err, out)
	}
}
