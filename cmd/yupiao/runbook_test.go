package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What the alerts and the runbook have people type at night is there: each command, and each of its flags.
func TestRunbookNamesRealCommands(t *testing.T) {
	found := 0
	for _, file := range []string{"alerts.yml", "RUNBOOK.md"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "configs", "prometheus", file))
		if err != nil {
			t.Fatal(err)
		}
		if file == "alerts.yml" { // what is said to people alone
			text = bytes.Join(regexp.MustCompile(`(?m)^ *action: .*$`).FindAll(text, -1), []byte("\n"))
		}
		joined := regexp.MustCompile(`\s+`).ReplaceAllString(string(text), " ")
		for _, m := range regexp.MustCompile(`yupiao ([a-z]+)((?: [^\s`+"`"+`"';:,.]+)*)`).FindAllStringSubmatch(joined, -1) {
			cmd, rest, err := command().Find(append([]string{m[1]}, strings.Fields(m[2])...))
			if err != nil || !cmd.HasParent() {
				t.Errorf("%s says %q: there is no such command", file, m[0])
				continue
			}
			if cmd.HasSubCommands() {
				t.Errorf("%s says %q: of what?", file, m[0])
			}
			for _, flag := range regexp.MustCompile(`^(?:[A-Z]+ |\S+\.yaml )?--([a-z-]+)`).FindAllStringSubmatch(strings.Join(rest, " "), -1) {
				if cmd.Flag(flag[1]) == nil {
					t.Errorf("%s says %q: %s has no --%s", file, m[0], cmd.CommandPath(), flag[1])
				}
			}
			found++
		}
	}
	if found < 20 {
		t.Errorf("%d commands were found; there are more", found)
	}
}
