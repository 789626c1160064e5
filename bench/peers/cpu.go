package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of times in /proc/PID/stat (USER_HZ), the same on every Linux that Go runs on.
const clockTick = 10 * time.Millisecond

// task is what /proc/PID/stat says of a process.
type task struct {
	parent int
	// spent in user and system mode by its threads, and by its children that have ended and were waited for: so nothing is lost when a child ends.
	spent time.Duration
}

// parseStat reads /proc/PID/stat. The second field, the program's name in parentheses, may hold spaces and parentheses.
func parseStat(text string) (task, error) {
	end := strings.LastIndexByte(text, ')')
	fields := strings.Fields(text[end+1:]) // from the third field on, which is the state
	if end < 0 || len(fields) < 15 {
		return task{}, fmt.Errorf("process status %.40q; want a line of /proc/PID/stat", text)
	}
	const parent, userTime, childrenSystemTime = 1, 11, 14 // fields 4, and 14 to 17 of proc(5)
	var t task
	var err error
	if t.parent, err = strconv.Atoi(fields[parent]); err != nil {
		return task{}, fmt.Errorf("process status: parent: %w", err)
	}
	for _, field := range fields[userTime : childrenSystemTime+1] {
		ticks, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return task{}, fmt.Errorf("process status: time: %w", err)
		}
		t.spent += time.Duration(ticks) * clockTick
	}
	return t, nil
}

// tasks reads all processes under a proc file system. One that ends meanwhile is left out.
func tasks(proc string) (map[int]task, error) {
	files, err := filepath.Glob(filepath.Join(proc, "[0-9]*", "stat"))
	if err != nil {
		return nil, err
	}
	all := make(map[int]task, len(files))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			return nil, fmt.Errorf("process %s: %w", file, err)
		}
		if all[pid], err = parseStat(string(text)); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// family is a process and all that descend from it.
func family(all map[int]task, root int) []int {
	pids := []int{root}
	for i := 0; i < len(pids); i++ {
		for pid, t := range all {
			if t.parent == pids[i] {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// share is what one part of a design has spent.
type share struct {
	Part  string        `json:"part"`
	Spent time.Duration `json:"spent_ns"`
}

// spent is what the parts of a design have spent since they started, each with its descendants.
func spent(parts []Part) ([]share, error) {
	all, err := tasks("/proc")
	if err != nil {
		return nil, err
	}
	shares := make([]share, 0, len(parts))
	for _, part := range parts {
		sum := share{Part: part.Name}
		for _, pid := range family(all, part.PID) {
			sum.Spent += all[pid].spent
		}
		shares = append(shares, sum)
	}
	return shares, nil
}

// since is what was spent from one moment to another, part by part.
func since(before, after []share) []share {
	out := make([]share, len(after))
	for i := range after {
		out[i] = share{Part: after[i].Part, Spent: after[i].Spent - before[i].Spent}
	}
	return out
}

// total of all parts.
func total(shares []share) (sum time.Duration) {
	for _, s := range shares {
		sum += s.Spent
	}
	return sum
}

// strangers is what the whole machine has spent since it started, less what this program and all that it started have.
func strangers() (time.Duration, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	whole, err := parseMachine(string(text))
	if err != nil {
		return 0, err
	}
	mine, err := spent([]Part{{PID: os.Getpid()}})
	return whole - total(mine), err
}

// parseMachine sums up the first line of /proc/stat: user, nice, system, irq, softirq and steal, but neither idle nor waiting for a disk, nor guests, who are
// in user already.
func parseMachine(text string) (spent time.Duration, err error) {
	line, _, _ := strings.Cut(text, "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, fmt.Errorf("machine status %.40q; want the first line of /proc/stat", line)
	}
	const idle, wait = 4, 5
	for i, field := range fields[1:9] {
		ticks, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("machine status: %w", err)
		}
		if i+1 != idle && i+1 != wait {
			spent += time.Duration(ticks) * clockTick
		}
	}
	return spent, nil
}
