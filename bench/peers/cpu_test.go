package main

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	for _, c := range []struct {
		text string
		want task
		ok   bool
	}{
		{"42 (nginx) S 7 42 42 0 -1 4194560 100 0 0 0 150 50 20 10 20 0 1 0 100 0 0", task{7, 2300 * time.Millisecond}, true},
		{"42 (a) b (c)) R 1 42 42 0 -1 4194560 100 0 0 0 1 0 0 0 20 0 1 0 100 0 0", task{1, 10 * time.Millisecond}, true},
		{"42 (short) S 7 1", task{}, false},
		{"42 nothing", task{}, false},
		{"", task{}, false},
		{"42 (x) S parent 42 42 0 -1 4194560 100 0 0 0 1 0 0 0 20 0", task{}, false},
		{"42 (x) S 7 42 42 0 -1 4194560 100 0 0 0 1 zero 0 0 20 0", task{}, false},
	} {
		got, err := parseStat(c.text)
		if (err == nil) != c.ok || got != c.want {
			t.Errorf("parseStat(%q) = %+v, %v; want %+v, ok %t", c.text, got, err, c.want, c.ok)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add("42 (nginx) S 7 42 42 0 -1 4194560 100 0 0 0 150 50 20 10 20 0 1 0 100 0 0")
	f.Add(") ) (")
	f.Fuzz(func(t *testing.T, text string) {
		if got, err := parseStat(text); err != nil && got.parent != 0 {
			t.Errorf("parseStat(%q) = %+v beside an error", text, got)
		}
	})
}

// stat writes a process into a proc file system that is none.
func stat(t *testing.T, proc string, pid, parent string, ticks string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(proc, pid), 0o755); err != nil {
		t.Fatal(err)
	}
	line := pid + " (x) S " + parent + " 1 1 0 -1 0 0 0 0 0 " + ticks + " 0 0 0 20 0 1 0 100 0 0\n"
	if err := os.WriteFile(filepath.Join(proc, pid, "stat"), []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A design's CPU is that of its processes and all their descendants, whoever their number.
func TestFamily(t *testing.T) {
	proc := t.TempDir()
	for _, p := range [][3]string{{"10", "1", "1"}, {"11", "10", "2"}, {"12", "11", "4"}, {"20", "1", "8"}, {"9", "12", "16"}} {
		stat(t, proc, p[0], p[1], p[2])
	}
	if err := os.WriteFile(filepath.Join(proc, "stat"), []byte("cpu 1 2 3"), 0o600); err != nil { // lies there, too
		t.Fatal(err)
	}
	all, err := tasks(proc)
	if err != nil {
		t.Fatal(err)
	}
	pids := slices.Sorted(slices.Values(family(all, 10)))
	var sum time.Duration
	for _, pid := range pids {
		sum += all[pid].spent
	}
	if want := []int{9, 10, 11, 12}; !slices.Equal(pids, want) || sum != 23*clockTick {
		t.Errorf("family of 10 is %v with %s; want %v with %s", pids, sum, want, 23*clockTick)
	}
}

func TestParseMachine(t *testing.T) {
	got, err := parseMachine("cpu  100 20 30 5000 700 4 5 6 9 9\ncpu0 1 2 3\n")
	if want := 165 * clockTick; err != nil || got != want {
		t.Errorf("parseMachine = %s, %v; want %s: neither idle nor waiting nor guests", got, err, want)
	}
	for _, text := range []string{"", "cpu 1 2", "cpu0 1 2 3 4 5 6 7 8 9", "cpu 1 2 3 4 five 6 7 8 9"} {
		if _, err := parseMachine(text); err == nil {
			t.Errorf("parseMachine(%q) was taken", text)
		}
	}
}

// What this very process spends is seen, and parts are told apart.
func TestSpent(t *testing.T) {
	parts := []Part{{"me", os.Getpid()}, {"nobody", 0x7fffffff}}
	before, err := spent(parts)
	if err != nil {
		t.Fatal(err)
	}
	sink := 0
	after := before
	for after[0].Spent == before[0].Spent { // burns CPU until the clock ticks
		for i := range 10_000_000 {
			sink += i * i
		}
		if after, err = spent(parts); err != nil {
			t.Fatal(err)
		}
	}
	got := since(before, after)
	if got[0].Part != "me" || got[0].Spent <= 0 || got[1].Spent != 0 || total(got) != got[0].Spent {
		t.Errorf("spent %+v after burning %s", got, strconv.Itoa(sink))
	}
}
