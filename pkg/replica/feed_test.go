package replica_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/broker"
	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/replica"
	"github.com/yupiao/yupiao/pkg/timetable"
)

type nobody struct{}

func (nobody) State(rail.RunID) (event.RunState, bool) { return event.RunState{}, false }

func TestSmoke(t *testing.T) {
	srv, err := broker.Start(broker.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Stop()
	conn, err := feed.Connect(feed.Options{InProcess: srv})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	pub, err := feed.NewPublisher(ctx, conn, nobody{}, feed.PublisherOptions{})
	if err != nil {
		t.Fatal(err)
	}
	net := &timetable.Network{Timezone: "Asia/Shanghai", Currency: "CNY", SaleDays: 15, Stations: []timetable.Station{
		{Code: "A", Names: timetable.Names{Name: "A"}}, {Code: "B", Names: timetable.Names{Name: "B"}}, {Code: "C", Names: timetable.Names{Name: "C"}}}}
	p := &timetable.Pattern{Train: "G1", Category: "G", Stops: []timetable.Stop{{Station: "A", Arrive: 600, Depart: 600}, {Station: "B", Arrive: 700, Depart: 702}, {Station: "C", Arrive: 800, Depart: 800}},
		Classes: []timetable.ClassOffer{{Class: "O"}}}
	p.ID = p.ContentID()
	if err := pub.Network(ctx, net); err != nil {
		t.Fatal(err)
	}
	if err := pub.Patterns(ctx, []*timetable.Pattern{p}); err != nil {
		t.Fatal(err)
	}
	date := rail.DateOf(time.Now(), time.UTC)
	var changes []feed.Change
	for i := range 1000 {
		run := rail.RunID{Date: date + 1, Trip: rail.TripID(fmt.Sprint("G", i))}
		v := rail.Version{Epoch: 1, Revision: 1}
		s := &event.RunState{Run: run, Pattern: p.ID, Version: v, Classes: []inventory.Class{{Class: "O", Buckets: []inventory.Bucket{{Capacity: 100, Spans: []inventory.Span{{From: 0, To: 2, Count: 100}}}}}}}
		changes = append(changes, feed.Change{State: s, Delta: event.RunDelta{Run: run, Version: v, Restated: true}})
		changes = append(changes, feed.Change{Delta: event.RunDelta{Run: run, Version: rail.Version{Epoch: 1, Revision: 2}, Adjusts: inventory.Sell("O", 0, 0, 2, 0, 1)}})
	}
	start := time.Now()
	if err := pub.Publish(ctx, changes); err != nil {
		t.Fatal(err)
	}
	pub.Complete(time.Now())
	t.Log("published in", time.Since(start))
	done := make(chan error)
	go func() { done <- pub.Serve(ctx) }()
	start = time.Now()
	f := replica.NewFollower(conn, replica.Options{OnFault: func(f replica.Fault) { t.Logf("%+v", f) }})
	go func() { done <- f.Run(ctx) }()
	<-f.Ready()
	t.Log("ready in", time.Since(start))
	for {
		if age, ok := f.Replica().Age(time.Now()); ok {
			t.Log("age", age)
			break
		}
		time.Sleep(time.Millisecond)
	}
	t.Logf("%+v %+v", f.Replica().Stats(), pub.Stats())
	cancel()
	t.Log(<-done, <-done)
}
