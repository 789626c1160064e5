package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/yupiao/yupiao/pkg/admin"
	"github.com/yupiao/yupiao/pkg/bearer"
	"github.com/yupiao/yupiao/pkg/fleet"
)

// herd is a fleet of two nodes, of which one does what it is told and the other does not.
type herd struct {
	admin.Fleet // all else is not asked for

	asked atomic.Int32 // for the nodes
	err   error        // for those that ask for the second time, and of acts
	order fleet.DrainOrder
}

func (h *herd) Nodes(context.Context) ([]fleet.Status, error) {
	nodes := []fleet.Status{{ID: "1", Name: "node-1", State: fleet.Live}, {ID: "2", Name: "node-2", State: fleet.Draining}}
	switch h.asked.Add(1) {
	case 1:
		return nodes, nil
	case 2:
		return nil, errors.New("no connection to NATS")
	default:
		return nodes[:1], nil
	}
}

func (h *herd) Drain(_ context.Context, d fleet.DrainOrder) ([]fleet.Verdict, error) {
	h.order = d
	if d.Node == "node-2" {
		return []fleet.Verdict{{ID: "2", Name: "node-2", Refused: "no answer"}}, h.err
	}
	return []fleet.Verdict{{ID: "1", Name: d.Node}}, h.err
}

func (h *herd) OnRun(context.Context, fleet.RunAct) (uint64, []fleet.Verdict, error) {
	return 3, []fleet.Verdict{{Name: "node-1"}, {Name: "node-2", Refused: "late"}}, h.err
}

func (h *herd) Acts(_ context.Context, most int) ([]fleet.Act, error) {
	return []fleet.Act{{By: "ann", What: "drain", Target: "node-1", Before: "live", After: "draining", Note: fmt.Sprint("last ", most)}}, nil
}

// through runs a command through the admin listener of a herd.
func (h *herd) through(ctx context.Context, t *testing.T, cmd *cobra.Command, out *bytes.Buffer, args string) error {
	t.Helper()
	server := httptest.NewServer(admin.Handler(admin.Options{Fleet: h, Metrics: http.NotFoundHandler(), Token: bearer.New(password)}))
	defer server.Close()
	t.Setenv("YUPIAO_ADMIN_TOKEN", password)
	cmd.SetOut(out)
	cmd.SetErr(out)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetArgs(append(strings.Fields(args), "--admin", server.URL))
	return cmd.ExecuteContext(ctx)
}

// What is not done everywhere ends with an error, so that a script does not go on as if it were; what is done and not on record says both.
func TestDrain(t *testing.T) {
	for args, want := range map[string]struct{ out, err string }{
		"node-1 --by ann -m disk": {"node-1: drained", ""}, "node-1 --return --by ann": {"node-1: it is back", ""}, "node-2 --by ann": {"! node-2: no answer", "not done on every node"},
	} {
		var out bytes.Buffer
		h := &herd{}
		err := h.through(t.Context(), t, drainCommand(), &out, args)
		if !strings.Contains(out.String(), want.out) || (err == nil) != (want.err == "") || err != nil && !strings.Contains(err.Error(), want.err) {
			t.Errorf("%s: %v, wrote %s", args, err, out.String())
		}
		if h.order.By != "ann" || h.order.Draining == strings.Contains(args, "--return") || strings.Contains(args, "disk") != (h.order.Note == "disk") {
			t.Errorf("%s: ordered %+v", args, h.order)
		}
	}
	var out bytes.Buffer
	h := &herd{err: fmt.Errorf("%w: no room", fleet.ErrUnrecorded)}
	if err := h.through(t.Context(), t, drainCommand(), &out, "node-1"); !errors.Is(err, fleet.ErrUnrecorded) || !strings.Contains(out.String(), "node-1: drained") {
		t.Errorf("%v, wrote %s", err, out.String())
	}
	out.Reset()
	h = &herd{}
	if err := h.through(t.Context(), t, runCommand(fleet.Pin, "", ""), &out, "G1@2026-12-01"); !errors.Is(err, errNotDone) || !strings.Contains(out.String(), "done on 1 of 2 nodes") {
		t.Errorf("%v, wrote %s", err, out.String())
	}
}

// The fleet is told as a table and as JSON; whoever watches it goes on watching when it cannot be asked for once, and misses the node that is gone.
func TestFleet(t *testing.T) {
	var out bytes.Buffer
	if err := (&herd{}).through(t.Context(), t, fleetCommand(), &out, ""); err != nil || !strings.Contains(out.String(), "node-2") || !strings.Contains(out.String(), "draining") {
		t.Errorf("%v, wrote %s", err, out.String())
	}
	out.Reset()
	var nodes []fleet.Status
	if err := errors.Join((&herd{}).through(t.Context(), t, fleetCommand(), &out, "--json"), json.Unmarshal(out.Bytes(), &nodes)); err != nil || len(nodes) != 2 || nodes[1].State != fleet.Draining {
		t.Errorf("%v %+v", err, nodes)
	}
	out.Reset()
	h := &herd{}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for ticker := time.NewTicker(time.Millisecond); h.asked.Load() < 5; <-ticker.C {
		}
		cancel()
	}()
	err := h.through(ctx, t, fleetCommand(), &out, "--watch 1ms")
	if err != nil || !strings.Contains(out.String(), "! refused: no connection to NATS") || !strings.Contains(out.String(), "! node-2: it is gone since") {
		t.Errorf("%v, wrote %s", err, out.String())
	}
	out.Reset()
	h = &herd{}
	h.asked.Store(1)
	if err := h.through(t.Context(), t, fleetCommand(), &out, ""); err == nil || !strings.Contains(err.Error(), "no connection to NATS") {
		t.Errorf("%v, wrote %s", err, out.String())
	}
}

func TestActs(t *testing.T) {
	var out bytes.Buffer
	if err := (&herd{}).through(t.Context(), t, actsCommand(), &out, "-n 7"); err != nil || !strings.Contains(out.String(), "draining") || !strings.Contains(out.String(), "last 7") {
		t.Errorf("%v, wrote %s", err, out.String())
	}
}
