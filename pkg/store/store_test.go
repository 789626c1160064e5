package store_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/booking"
	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/reservation"
	"github.com/yupiao/yupiao/pkg/store"
	"github.com/yupiao/yupiao/pkg/testkit"
	"github.com/yupiao/yupiao/pkg/timetable"
)

var (
	pattern = testkit.Pattern("G1", 600)
	runID   = rail.RunID{Date: rail.NewDate(2026, 12, 1), Trip: "G1"}
	moment  = time.Date(2026, 11, 23, 12, 0, 0, 123_456_789, time.UTC)
)

func open(t *testing.T, address string) *store.Database {
	t.Helper()
	d, err := store.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func lead(t *testing.T, d *store.Database, name string) reservation.Term {
	t.Helper()
	term, err := d.Lead(t.Context(), name, time.Now().Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	return term
}

func record(revision uint64) booking.Record {
	return booking.Record{
		Run: runID, Version: rail.Version{Epoch: 7, Revision: revision}, Pattern: pattern.ID, Suspended: true, Reason: "wind", OpensAt: moment,
		Classes: []booking.ClassRecord{{Class: "O", Waitlist: true, FirstCoach: 1, Coaches: 2, Buckets: []booking.BucketRecord{
			{Kind: inventory.Windows, Capacity: 100, Quotas: []inventory.Quota{{FromLast: 1, ToFirst: 1, ToLast: 2}}}, {Kind: inventory.Pool, Capacity: 5},
		}, Held: []booking.Held{{First: 90, Places: 10, Until: moment}}}},
	}
}

func change(seq int64, revision uint64) booking.Change {
	return booking.Change{Seq: seq, At: moment.Add(time.Duration(seq)), Delta: event.RunDelta{
		Run: runID, Version: rail.Version{Epoch: 7, Revision: revision}, Adjusts: []inventory.Adjust{{Class: "O", To: 2, By: -1}},
	}}
}

func order(n int, state reservation.State) *reservation.Order {
	return &reservation.Order{
		ID: fmt.Sprint("r_", n), Key: fmt.Sprint("key ", n), Fingerprint: "f", State: state, Fare: 100, Currency: "CNY", Created: moment, Deadline: moment.Add(time.Minute),
		Sale: booking.Sale{Run: runID, Version: rail.Version{Epoch: 7, Revision: uint64(n)}, Class: "O", To: 2, Seats: []booking.Seat{{Bucket: 1, Place: uint16(n)}, {Unseated: true}}},
	}
}

func commit(t *testing.T, d *store.Database, b reservation.Batch) {
	t.Helper()
	b.Until = time.Now().Add(time.Minute)
	if err := d.Commit(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
}

// Backends that are started together make one set of tables.
func TestOpenTogether(t *testing.T) {
	testkit.Databases(t, func(t *testing.T, address string) {
		var backends sync.WaitGroup
		for range 4 {
			backends.Go(func() {
				d, err := store.Open(t.Context(), address)
				if err != nil {
					t.Error(err)
					return
				}
				_ = d.Close() // nothing was written
			})
		}
		backends.Wait()
	})
}

// S3: what was committed is what is loaded, whole and in order.
func TestRoundTrip(t *testing.T) {
	testkit.Databases(t, func(t *testing.T, address string) {
		d := open(t, address)
		if image, err := d.Load(t.Context()); err != nil || image.Epoch != 0 || len(image.Records)+len(image.Outbox)+len(image.Sales) > 0 {
			t.Fatalf("a new database holds %+v, %v", image, err)
		}
		term := lead(t, d, "a")
		state := change(1, 1)
		state.Delta.Restated, state.Delta.Adjusts = true, nil
		state.State = &event.RunState{Run: runID, Pattern: pattern.ID, Version: state.Delta.Version, Classes: []inventory.Class{{Class: "O", Buckets: []inventory.Bucket{{Capacity: 3}}}}}
		commit(t, d, reservation.Batch{Term: term, Epoch: 7, Patterns: []*timetable.Pattern{pattern}, Records: []booking.Record{record(1)}, Changes: []booking.Change{state}})
		commit(t, d, reservation.Batch{
			Term: term, Records: []booking.Record{{Run: runID, Version: rail.Version{Epoch: 7, Revision: 3}}}, Changes: []booking.Change{change(2, 2), change(3, 3)},
			Orders: []*reservation.Order{order(2, reservation.Reserved), order(3, reservation.Paid)}, Acked: 1,
		})
		commit(t, d, reservation.Batch{Term: term, Orders: []*reservation.Order{order(2, reservation.Cancelled)}, Acked: 2})
		image, err := open(t, address).Load(t.Context()) // another process
		if err != nil {
			t.Fatal(err)
		}
		want := record(3)
		if len(image.Records) != 1 || !reflect.DeepEqual(utc(image.Records[0]), want) {
			t.Errorf("runs\n%+v\nwant\n%+v", image.Records, want)
		}
		if len(image.Outbox) != 1 || image.Outbox[0].Seq != 3 || !image.Outbox[0].At.Equal(moment.Add(3)) || !reflect.DeepEqual(image.Outbox[0].Delta, change(3, 3).Delta) {
			t.Errorf("outbox %+v", image.Outbox)
		}
		if image.Epoch != 7 || image.Acked != 2 || !reflect.DeepEqual(image.Sales, []booking.Sale{order(3, "").Sale}) || !reflect.DeepEqual(image.Patterns[pattern.ID], pattern) {
			t.Errorf("%+v", image)
		}
		commit(t, d, reservation.Batch{Term: term, ClosedBefore: runID.Date + 1})
		if image, err := d.Load(t.Context()); err != nil || len(image.Records) > 0 || len(image.Sales) > 0 {
			t.Errorf("after the day was closed: %+v, %v", image, err)
		}
	})
}

func utc(r booking.Record) booking.Record {
	r.OpensAt = r.OpensAt.UTC()
	return r
}

// Orders are found by id, key, run, deadline and debt.
func TestFind(t *testing.T) {
	testkit.Databases(t, func(t *testing.T, address string) {
		d := open(t, address)
		owing := order(4, reservation.Refunded)
		owing.Payments = []reservation.Payment{{ID: "p", State: reservation.RefundDue, Amount: 5}}
		commit(t, d, reservation.Batch{Term: lead(t, d, "a"), Orders: []*reservation.Order{order(1, reservation.Reserved), order(2, reservation.Paid), order(3, reservation.Expired), owing}})
		ids := func(orders []*reservation.Order, err error) string {
			if err != nil {
				t.Fatal(err)
			}
			var out []string
			for _, o := range orders {
				out = append(out, o.ID)
			}
			return strings.Join(out, " ")
		}
		if got := ids(d.Find(t.Context(), []string{"r_1", "r_9", `r_"`}, []string{"key 1", "key 2", "none"})); got != "r_1 r_2" {
			t.Errorf("found %q", got)
		}
		if got := ids(d.Find(t.Context(), nil, nil)); got != "" {
			t.Errorf("found %q", got)
		}
		if got := ids(d.OfRun(t.Context(), runID)); got != "r_1 r_2" && got != "r_2 r_1" {
			t.Errorf("of the run %q", got)
		}
		if got := ids(d.Owing(t.Context(), 5)); got != "r_4" {
			t.Errorf("owing %q", got)
		}
		for at, want := range map[time.Duration]int{59 * time.Second: 0, time.Minute: 1} {
			if got, err := d.Overdue(t.Context(), moment.Add(at), 5); err != nil || len(got) != want {
				t.Errorf("overdue at %s: %v, %v", at, got, err)
			}
		}
	})
}

// S2, D7: of two that lead, the later; the earlier can store nothing any more.
func TestLead(t *testing.T) {
	testkit.Databases(t, func(t *testing.T, address string) {
		d, other := open(t, address), open(t, address)
		first := lead(t, d, "a")
		if _, err := other.Lead(t.Context(), "b", time.Now().Add(time.Minute)); !errors.Is(err, store.ErrLed) || !strings.Contains(err.Error(), "a") {
			t.Fatalf("the second leads: %v", err)
		}
		again := lead(t, d, "a") // started anew under its name
		if err := d.Commit(t.Context(), &reservation.Batch{Term: first, Orders: []*reservation.Order{order(1, reservation.Paid)}}); !errors.Is(err, reservation.ErrFenced) {
			t.Errorf("an earlier term stores: %v", err)
		}
		if err := d.Resign(t.Context(), again); err != nil {
			t.Fatal(err)
		}
		second := lead(t, other, "b")
		if second.Number != 3 {
			t.Errorf("terms %d, %d, %d", first.Number, again.Number, second.Number)
		}
		if found, err := d.Find(t.Context(), []string{"r_1"}, nil); err != nil || len(found) > 0 {
			t.Errorf("S1: a refused batch left %v, %v", found, err)
		}
	})
}

// S1: a batch of which one part cannot be stored leaves nothing.
func TestWholeOrNothing(t *testing.T) {
	testkit.Databases(t, func(t *testing.T, address string) {
		d := open(t, address)
		term := lead(t, d, "a")
		for name, b := range map[string]reservation.Batch{
			"a run that is not stored": {Records: []booking.Record{{Run: runID, Version: rail.Version{Epoch: 7, Revision: 3}}}},
			"a number twice":           {Changes: []booking.Change{change(1, 1), change(1, 2)}},
			"a key twice":              {Orders: []*reservation.Order{order(1, "PAID"), {ID: "r_2", Key: "key 1"}}},
		} {
			b.Term, b.Until, b.Epoch = term, time.Now().Add(time.Minute), 9
			b.Orders = append([]*reservation.Order{order(5, "PAID")}, b.Orders...)
			if err := d.Commit(t.Context(), &b); err == nil {
				t.Errorf("%s: stored", name)
			}
			if image, err := d.Load(t.Context()); err != nil || image.Epoch != 0 || len(image.Outbox) > 0 {
				t.Errorf("%s: left %+v, %v", name, image, err)
			}
			if found, err := d.Find(t.Context(), []string{"r_5"}, nil); err != nil || len(found) > 0 {
				t.Errorf("%s: left %v, %v", name, found, err)
			}
		}
	})
}

func TestAddress(t *testing.T) {
	for address, want := range map[string]string{
		"":                                "want sqlite:FILE or postgres://",
		"bookings.db":                     "want sqlite:FILE or postgres://",
		"sqlite:":                         "want sqlite:FILE",
		"mysql://x":                       "want sqlite:FILE",
		"postgres://u:secret@h:port/none": "invalid",
		"sqlite:/none/none.db":            "unable to open",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		d, err := store.Open(ctx, address)
		cancel()
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v; want %q and no password", address, err, want)
		}
		if d != nil {
			t.Errorf("%q: opened", address)
		}
	}
}

// What has left the outbox is in the history, and nothing that was not committed.
func TestHistory(t *testing.T) {
	testkit.Databases(t, func(t *testing.T, address string) {
		d := open(t, address)
		err := d.KeepHistory(t.Context())
		if !strings.HasPrefix(address, "sqlite:") {
			if err == nil {
				t.Error("want a refusal: there is no history")
			}
			return
		}
		if err := errors.Join(err, d.KeepHistory(t.Context())); err != nil { // once more does no harm
			t.Fatal(err)
		}
		term := lead(t, d, "a")
		commit(t, d, reservation.Batch{Term: term, Patterns: []*timetable.Pattern{pattern}, Records: []booking.Record{record(1)}, Changes: []booking.Change{change(1, 1), change(2, 2)}})
		refused := reservation.Batch{Term: reservation.Term{Number: term.Number - 1}, Until: time.Now(), Changes: []booking.Change{change(3, 3)}}
		if err := d.Commit(t.Context(), &refused); !errors.Is(err, reservation.ErrFenced) {
			t.Fatal(err)
		}
		commit(t, d, reservation.Batch{Term: term, Acked: 2, Changes: []booking.Change{change(3, 3)}})
		var got []booking.Change
		if err := d.History(t.Context(), 1, func(c booking.Change) error {
			got = append(got, c)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if len(got) != 2 || got[0].Seq != 2 || got[1].Seq != 3 || !got[1].At.Equal(change(3, 3).At) || got[1].Delta.Version != change(3, 3).Delta.Version {
			t.Errorf("%+v", got)
		}
	})
}
