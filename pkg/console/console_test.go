package console_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/config"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/node"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/testkit"
	"github.com/yupiao/yupiao/pkg/timetable"
)

const token = "0123456789abcdef0123456789abcdef"

// railway is a feed with a few runs, and nodes that follow it.
func railway(t *testing.T, names ...string) (nodes []*node.Node, stops []func(), runs []rail.RunID) {
	t.Helper()
	host := testkit.Broker(t)
	pattern := testkit.Pattern("G1", 600)
	ledger := testkit.NewLedger(pattern)
	publisher, err := feed.NewPublisher(t.Context(), testkit.Conn(t, host), ledger, feed.PublisherOptions{})
	if err == nil {
		err = errors.Join(publisher.Network(t.Context(), testkit.Network()), publisher.Patterns(t.Context(), []*timetable.Pattern{pattern}))
	}
	var changes []feed.Change
	for i := range 3 {
		runs = append(runs, rail.RunID{Date: rail.DateOf(time.Now(), time.UTC) + 2, Trip: rail.TripID(fmt.Sprint("G", i))})
		changes = append(changes, ledger.Open(runs[i], 1))
	}
	if err = errors.Join(err, publisher.Publish(t.Context(), changes)); err != nil {
		t.Fatal(err)
	}
	testkit.Run(t, publisher.Serve)
	testkit.Run(t, func(ctx context.Context) error { // nothing is sold: what is published is complete at any time
		for ctx.Err() == nil {
			publisher.Complete(time.Now())
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
		return nil
	})
	for _, name := range names {
		s := config.DefaultNode()
		s.HTTP.Address, s.Admin.Address, s.Admin.Token, s.Feed.Name = "127.0.0.1:0", "127.0.0.1:0", token, name
		n, err := node.New(s, node.Options{InProcess: host})
		if err != nil {
			t.Fatal(err)
		}
		nodes, stops = append(nodes, n), append(stops, testkit.Run(t, n.Run))
		<-n.Follower().Ready()
	}
	return nodes, stops, runs
}

// Q1 to Q4 on real nodes: the page asks for the token, shows the fleet, acts on it and says where, and says when a node is gone.
func TestConsoleOnRealNodes(t *testing.T) {
	nodes, stops, runs := railway(t, "node-1", "node-2")
	p := open(t, "http://"+nodes[0].AdminAddress()+"/")
	p.says("#verdict-text", "wants its token")
	p.fill("#token", "wrong")
	p.click("#ask-token button")
	p.says("#token-refused", "does not accept")
	p.fill("#token", token)
	p.click("#ask-token button")
	p.says("#verdict-text", "All 2 nodes live")
	p.says(".self-name", "node-1")
	const second = "#nodes tbody tr:nth-child(2) "
	p.click(second + "button")
	p.fill("dialog [name=by]", "ann")
	p.click("dialog .go")
	p.says("dialog .result", "Done on node-2.")
	p.click("dialog .close")
	p.says("#verdict-text", "node-2 is drained")
	p.click(second + "button")
	p.click("dialog .go")
	p.says("dialog .result", "Done on node-2.")
	p.click("dialog .close")
	p.says("#verdict-text", "All 2 nodes live")
	p.fill("#run-act [name=run]", runs[0].String())
	p.click("#run-act button")
	p.fill("dialog [name=note]", "a tree on the line")
	p.click("dialog .go")
	p.says("dialog .result", "Done on all 2 nodes.")
	p.click("dialog .close")
	p.says("#holds", "a tree on the line")
	p.says("#holds", "all 2 nodes")
	p.says("#acts", "as booked → suspended")
	p.fill("#document", "freshness:\n  ttl: 2x\n")
	p.click("#try")
	p.says("#faults", "ttl is \"2x\"")
	p.says("#gutter .wrong", "2")
	p.fill("#document", "freshness:\n  ttl: 2s\n")
	p.click("#share")
	p.fill("dialog [name=note]", "a rush")
	p.click("dialog .go")
	p.says("dialog .result", "Done on all 2 nodes.")
	p.click("dialog .close")
	p.says("#version", "version 1, by ann")
	p.says("#nodes tbody tr:nth-child(1)", "1")
	p.says("#curve-table", "2 s")
	p.holds("the history is drawn", `document.querySelector("#pictures path.fill").getAttribute("d").length > 0`)
	stops[1]()
	p.says("#verdict-text", "node-2 does not answer")
	p.says(second, "gone since")
	stops[0]()
	p.says("#verdict-text", "does not answer this page")
	p.holds("Q2", `document.getElementById("fleet").classList.contains("old")`)
}
