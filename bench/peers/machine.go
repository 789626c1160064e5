package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

// packages are Debian's, by the program that is needed of them.
var packages = map[string]string{
	"nginx": "nginx-light", "varnishd": "varnish", "redis-server": "redis-server", "wrk": "wrk", "taskset": "util-linux", "nice": "coreutils",
}

// everywhere are the programs that every design needs.
var everywhere = []string{"taskset", "nice", "wrk"}

// program is where a program lies; servers may lie where only root's PATH leads. The name itself if it is not to be found.
func program(name string) string {
	for _, candidate := range []string{name, filepath.Join("/usr/sbin", name)} {
		if file, err := exec.LookPath(candidate); err == nil {
			return file
		}
	}
	return name
}

// needed are the programs that some designs take, each once.
func needed(designs []design) []string {
	all := slices.Clone(everywhere)
	for _, d := range designs {
		for _, name := range d.needs {
			if !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
	}
	return all
}

// missing says which programs are not installed, and the line that installs them; nil if all are there.
func missing(designs []design) error {
	return missingOf(designs, func(name string) bool { return program(name) != name })
}

func missingOf(designs []design, installed func(string) bool) error {
	absent := slices.DeleteFunc(needed(designs), installed)
	if len(absent) == 0 {
		return nil
	}
	var install []string
	for _, name := range absent {
		install = append(install, packages[name])
	}
	return fmt.Errorf("missing: %s. Install with:\n\n  apt-get install -y %s\n\nor leave out what needs them with --only", strings.Join(absent, ", "), strings.Join(install, " "))
}

// machine is where the figures are from.
func machine(designs []design) string {
	parts := []string{fmt.Sprintf("cpu: %s (%d cores)", cpuModel(), runtime.NumCPU()), "kernel " + readLine("/proc/sys/kernel/osrelease"), runtime.Version()}
	for _, name := range needed(designs) {
		if flag, has := versionFlags[name]; has {
			parts = append(parts, name+" "+version(name, flag))
		}
	}
	return strings.Join(parts, ", ")
}

// versionFlags make the programs say their version.
var versionFlags = map[string]string{"nginx": "-v", "varnishd": "-V", "redis-server": "--version", "wrk": "-v"}

// version is the first that looks like one in what a program says of itself.
func version(name, flag string) string {
	out, _ := exec.Command(program(name), flag).CombinedOutput() // wrk says it and fails
	return versionIn(string(out))
}

func versionIn(text string) string {
	if v := regexp.MustCompile(`\d+(\.\d+)+`).FindString(text); v != "" {
		return v
	}
	return "of an unknown version"
}

func cpuModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	_, model, found := strings.Cut(string(text), "model name\t: ")
	if !found {
		return runtime.GOARCH
	}
	model, _, _ = strings.Cut(model, "\n")
	return model
}

func readLine(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(text))
}
