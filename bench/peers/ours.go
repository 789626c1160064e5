package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// ours is a query node that follows the feed. Every answer is exact: no rule gives it a TTL.
type ours struct {
	stage       *stage
	lane        bool
	http, admin endpoint
	node        *process
}

// settings of the node. The lane's key is left out for a node that does not know it.
func (o *ours) settings() string {
	var lane string
	if o.stage.settings.laneKey {
		lane = fmt.Sprintf("\n  fast_lane: %t", o.lane)
	}
	return fmt.Sprintf(`http:
  address: %s%s
admin:
  address: %s
feed:
  url: %s
rules: []
log:
  format: text
`, o.http, lane, o.admin, o.stage.nats)
}

// Start is Peer's.
func (o *ours) Start(ctx context.Context) (err error) {
	if o.http, o.admin, err = freePair(); err != nil {
		return err
	}
	file := filepath.Join(o.stage.dir, "yupiaod.yaml")
	if err := os.WriteFile(file, []byte(o.settings()), 0o600); err != nil {
		return fmt.Errorf("settings of yupiaod: %w", err)
	}
	if o.node, err = o.stage.serve("yupiaod", o.stage.yupiaod, "--config", file); err != nil {
		return err
	}
	err = o.node.await(ctx, answers(o.http.url("/readyz")))
	if err != nil && strings.Contains(o.node.tail(), "fast_lane") {
		return fmt.Errorf("this yupiaod does not know http.fast_lane; with --lane-key=false it is left out, and ours and ours-gin are the same: %w", err)
	}
	return err
}

func freePair() (first, second endpoint, err error) {
	first, err = freeEndpoint()
	if err != nil {
		return "", "", err
	}
	second, err = freeEndpoint()
	return first, second, err
}

// URL is Peer's.
func (o *ours) URL() string { return o.http.url(o.stage.path) }

// Parts is Peer's.
func (o *ours) Parts() []Part { return []Part{{"yupiaod", o.node.pid()}} }

// Behind is how many answers were rendered: nothing of ours ever asks the booking system.
func (o *ours) Behind(ctx context.Context) (uint64, error) {
	text, err := get(ctx, o.admin.url("/metrics"))
	if err != nil {
		return 0, err
	}
	return counter(text, `yupiao_answers_served_total{by="rendered"}`)
}

// counter finds a metric in Prometheus' text.
func counter(text []byte, name string) (uint64, error) {
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if value, found := strings.CutPrefix(lines.Text(), name+" "); found {
			n, err := strconv.ParseFloat(value, 64)
			return uint64(n), err
		}
	}
	return 0, fmt.Errorf("no metric %s", name)
}

// Stop is Peer's.
func (o *ours) Stop() { o.node.stop() }

// nodeProgram is the yupiaod that the command line names, or one that is built from this tree.
func nodeProgram(ctx context.Context, given, dir string) (string, error) {
	if given != "" {
		return given, nil
	}
	file := filepath.Join(dir, "yupiaod")
	out, err := exec.CommandContext(ctx, "go", "build", "-o", file, "github.com/yupiao/yupiao/cmd/yupiaod").CombinedOutput()
	if err != nil {
		return "", errors.Join(fmt.Errorf("build yupiaod: %w", err), errors.New(string(out)))
	}
	return file, nil
}
