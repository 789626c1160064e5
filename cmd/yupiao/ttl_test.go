package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/yupiao/yupiao/pkg/admin"
	"github.com/yupiao/yupiao/pkg/bearer"
	"github.com/yupiao/yupiao/pkg/fleet"
	"github.com/yupiao/yupiao/pkg/trial"
)

// drawer is a fleet of one node that keeps what it is told.
type drawer struct {
	admin.Fleet // all else is not asked for

	versions []fleet.Version // the newest first
	tried    string
}

func (d *drawer) Nodes(context.Context) ([]fleet.Status, error) {
	return []fleet.Status{{Name: "only", ID: "id1"}}, nil
}

func (d *drawer) History(_ context.Context, most int) ([]fleet.Version, error) {
	return d.versions[:min(most, len(d.versions))], nil
}

func (d *drawer) Share(_ context.Context, p fleet.Proposal) (uint64, []fleet.Verdict, error) {
	v := fleet.Version{Number: p.After + 1, By: p.By, Note: p.Note, Restores: p.Restores, Document: p.Document}
	d.versions = append([]fleet.Version{v}, d.versions...)
	return v.Number, []fleet.Verdict{{Name: "only"}}, nil
}

func (d *drawer) Try(_ context.Context, _, document string) (*fleet.Status, *trial.Report, error) {
	d.tried = document
	return &fleet.Status{Name: "only", ID: "id1"}, &trial.Report{}, nil
}

const password = "a token of these tests"

// A whole life of shared settings at the command line, through an admin listener.
func TestTTL(t *testing.T) {
	d := &drawer{}
	server := httptest.NewServer(admin.Handler(admin.Options{Fleet: d, Metrics: http.NotFoundHandler(), Token: bearer.New(password)}))
	defer server.Close()
	folder := t.TempDir()
	token, file, empty := filepath.Join(folder, "token"), filepath.Join(folder, "rules.yaml"), filepath.Join(folder, "empty.yaml")
	for path, text := range map[string]string{token: password + "\n", file: "rules:\n  - name: a\n    ttl: 2s\n", empty: " \n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) (string, error) {
		cmd := ttlCommand()
		var out bytes.Buffer
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		cmd.SetArgs(append(args, "--admin", server.URL, "--token-file", token))
		err := cmd.ExecuteContext(t.Context())
		if strings.Contains(fmt.Sprint(out.String(), err), password) {
			t.Errorf("%q tells the token: %s %v", args, out.String(), err)
		}
		return out.String(), err
	}
	for _, step := range []struct{ args, out, document string }{
		{"show", "no settings are shared", ""},
		{"log", "version  stored", ""},
		{"set freshness.ttl=500ms --by ann -m why", "version 1 is stored, and in force on 1 of 1 nodes", "freshness:\n  ttl: 500ms\n"},
		{"set freshness.refuse_after=1m freshness.ttl=", "version 2", "freshness:\n  refuse_after: 1m\n"},
		{"set --file " + file, "version 3", "rules:\n  - name: a\n    ttl: 2s\n"},
		{"set freshness.ttl=1s", "version 4", "freshness:\n  ttl: 1s\nrules:\n  - name: a\n    ttl: 2s\n"},
		{"rollback", "version 5", "rules:\n  - name: a\n    ttl: 2s\n"},
		{"rollback 1", "version 6", "freshness:\n  ttl: 500ms\n"},
		{"log", "version 1 again", ""},
		{"log 3", "rules:\n  - name: a\n    ttl: 2s\n", ""},
		{"log -n 1", "6 ", ""},
		{"show", "version 6", ""},
		{"show --json", `"name": "only"`, ""},
		{"clear", "version 7", ""},
	} {
		out, err := run(strings.Fields(step.args)...)
		if err != nil || !strings.Contains(out, step.out) {
			t.Fatalf("%s: %v, wrote %s", step.args, err, out)
		}
		if step.document != "" && d.versions[0].Document != step.document {
			t.Errorf("%s: shares %q", step.args, d.versions[0].Document)
		}
	}
	if last := d.versions[0]; last.Document != "" || d.versions[6].By != "ann" || d.versions[6].Note != "why" || d.versions[1].Restores != 1 || d.versions[2].Restores != 3 {
		t.Errorf("%+v", d.versions)
	}
	if out, err := run("try", file); err != nil || d.tried != "rules:\n  - name: a\n    ttl: 2s\n" || !strings.HasPrefix(out, "node only (id1)\n") {
		t.Errorf("%v, tried %q, wrote %s", err, d.tried, out)
	}
	if out, err := run("try", "freshness.ttl=3s", "--json"); err != nil || d.tried != "freshness:\n  ttl: 3s\n" || !strings.HasPrefix(out, "{") {
		t.Errorf("%v, tried %q, wrote %s", err, d.tried, out)
	}
	for args, want := range map[string]string{
		"set": "want either KEY=VALUE or --file", "set freshness.ttl=1s --file " + file: "want either", "set freshness.ttl": "want KEY=VALUE",
		"set freshness.tl=1s": "unknown key freshness.tl", "set --file " + empty: "yupiao ttl clear", "set --file " + file + "x": "no such file",
		"log x": "want a number", "log 99": "version 99; kept are 1 to 7", "rollback 0": "version 0", "try": "requires at least 1 arg", "show now": "unknown command",
	} {
		if _, err := run(strings.Fields(args)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", args, err, want)
		}
	}
	if err := os.WriteFile(token, []byte("another"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := run("show"); err == nil || !strings.Contains(err.Error(), "admin.token") {
		t.Errorf("a wrong token: %v", err)
	}
	if err := os.Remove(token); err != nil {
		t.Fatal(err)
	}
	if _, err := run("show"); err == nil || !strings.Contains(err.Error(), "--token-file") {
		t.Errorf("no token file: %v", err)
	}
}

// Nothing to go back to, and nobody to ask.
func TestTTLNothing(t *testing.T) {
	server := httptest.NewServer(admin.Handler(admin.Options{Fleet: &drawer{}, Metrics: http.NotFoundHandler(), Token: bearer.New(password)}))
	defer server.Close()
	t.Setenv("YUPIAO_ADMIN_TOKEN", password)
	for args, want := range map[string]string{
		"rollback --admin " + server.URL: "nothing was ever shared", "show --admin 127.0.0.1:1": "want such as http://", "show --nats nats://127.0.0.1:1": "127.0.0.1:1",
	} {
		cmd := ttlCommand()
		cmd.SetArgs(strings.Fields(args))
		cmd.SetOut(&bytes.Buffer{})
		cmd.SetErr(&bytes.Buffer{})
		if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", args, err, want)
		}
	}
}

// A password in the address of a server that is not there is in nothing that is said.
func TestPasswordOfAnAddress(t *testing.T) {
	for _, address := range []string{"nats://ann:correct-horse@127.0.0.1:1", "nats://ann:correct-horse@[::1:1", "nats://correct-horse@127.0.0.1:1"} {
		cmd := ttlCommand()
		var out bytes.Buffer
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		cmd.SetArgs([]string{"show", "--nats", address})
		if err := cmd.ExecuteContext(t.Context()); err == nil || strings.Contains(out.String()+err.Error(), "correct-horse") {
			t.Errorf("%s: %s %v", address, out.String(), err)
		}
		t.Setenv("YUPIAO_FEED_URL", address)
		if help := ttlCommand().UsageString(); strings.Contains(help, "correct-horse") || !strings.Contains(help, "--nats") {
			t.Errorf("%s: %s", address, help)
		}
	}
}
