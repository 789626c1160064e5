package replica_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/replica"
	"github.com/yupiao/yupiao/pkg/testkit"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// mad is a publisher out of its mind, beside the one that is not: of the same name, on the same streams. Each of its fits has a run of its own, which the booking system has
// opened at version 1/1.
type mad struct {
	*line
	js  jetstream.JetStream
	run rail.RunID
}

func (m *mad) publish(subject string, data []byte, isJSON bool) {
	m.t.Helper()
	msg := nats.NewMsg(subject)
	if msg.Data = data; isJSON {
		msg.Header.Set("Content-Type", event.ContentTypeJSON)
	}
	ctx, cancel := context.WithTimeout(m.ctx, testkit.Patience) // a large one takes its time
	defer cancel()
	if _, err := m.js.PublishMsg(ctx, msg); err != nil {
		m.t.Fatal(err)
	}
}

func encoded[T any](m *mad, encode func(T, event.Format) ([]byte, error), v T) []byte {
	m.t.Helper()
	data, err := encode(v, event.Protobuf)
	if err != nil {
		m.t.Fatal(err)
	}
	return data
}

func (m *mad) subject() string { return fmt.Sprintf("yupiao.v1.delta.%d", m.run.Partition()) }

// tell publishes a message of deltas in the partition of the run.
func (m *mad) tell(b event.DeltaBatch) {
	b.Publisher = m.publisher.Name()
	m.publish(m.subject(), encoded(m, event.EncodeDeltas, &b), false)
}

func (m *mad) delta(v rail.Version, by rail.SeatCount) event.RunDelta {
	return event.RunDelta{Run: m.run, Version: v, Adjusts: []inventory.Adjust{{Class: "O", To: 2, By: by}}}
}

func (m *mad) state(run rail.RunID, v rail.Version, change func(*event.RunState)) {
	s := &event.RunState{Run: run, Pattern: testkit.Pattern("G1", 600).ID, Version: v, Classes: []inventory.Class{{Class: "O", Buckets: []inventory.Bucket{{Capacity: 100, Spans: []inventory.Span{{To: 2, Count: 50}}}}}}}
	change(s)
	m.publish("yupiao.v1.state."+run.String(), encoded(m, event.EncodeState, s), false)
}

// pattern publishes one under its own hash, or the id that change gives it.
func (m *mad) pattern(change func(*timetable.Pattern)) {
	p := testkit.Pattern("X1", 700)
	p.ID = ""
	change(p)
	if p.ID == "" {
		p.ID = p.ContentID()
	}
	m.publish("yupiao.v1.pattern."+string(p.ID), encoded(m, event.EncodePattern, p), false)
}

func (m *mad) heartbeat(change func(*event.Heartbeat)) {
	h := &event.Heartbeat{Time: time.Now(), Publisher: m.publisher.Name()}
	for p := range rail.Partition(rail.Partitions) {
		h.Marks = append(h.Marks, event.Mark{Partition: p})
	}
	change(h)
	if err := testkit.Plain(m.t, m.server).Publish("yupiao.v1.heartbeat", encoded(m, event.EncodeHeartbeat, h)); err != nil {
		m.t.Fatal(err)
	}
}

// made is the n-th of runs that nobody has ever heard of, of the next 400 days.
func made(n int) rail.RunID {
	return rail.RunID{Date: rail.DateOf(time.Now(), time.UTC) + rail.Date(n%400), Trip: rail.TripID(fmt.Sprint("X", n))}
}

// crowd tells of n made-up runs, some thousands in a message.
func (m *mad) crowd(n int, delta func(rail.RunID) event.RunDelta) {
	batches := [rail.Partitions]event.DeltaBatch{}
	for i := range n {
		run := made(i)
		b := &batches[run.Partition()]
		if b.Deltas = append(b.Deltas, delta(run)); len(b.Deltas) == 5000 || i >= n-rail.Partitions {
			m.run = run
			m.tell(*b)
			b.Deltas = nil
		}
	}
}

func long(n int) string { return strings.Repeat("长", n/3) }

// nonsense is so many bytes of empty messages in a field.
func nonsense(number byte, size int) []byte { return bytes.Repeat([]byte{number<<3 | 2, 0}, size/2) }

const (
	whole = replica.Live // the run of the fit is as it was
	gone  = replica.Health(99)
)

// fits are what the publisher does, what the log says of it, and what becomes of the run: it is hidden until a good RunState comes, or comes back by itself.
var fits = []struct {
	name   string
	do     func(*mad)
	says   string
	health replica.Health
}{
	{"R4: a count below zero", func(m *mad) { m.tell(event.DeltaBatch{Deltas: []event.RunDelta{m.delta(v(1, 2), -101)}}) }, "would have -1; want 0 to 100", replica.Quarantined},
	{"R4: a count above capacity", func(m *mad) { m.tell(event.DeltaBatch{Deltas: []event.RunDelta{m.delta(v(1, 2), +1)}}) }, "would have 101; want 0 to 100", replica.Quarantined},
	{"R4: a state that contradicts itself", func(m *mad) {
		m.state(m.run, v(1, 2), func(s *event.RunState) { s.Classes[0].Buckets[0].Spans[0].Count = 500 })
	}, "would have 500; want 0 to 100", replica.Quarantined},
	{"R4: a count of more than sixteen bits", func(m *mad) {
		m.tell(event.DeltaBatch{Deltas: []event.RunDelta{m.delta(v(1, 2), math.MaxInt32)}})
	}, "by is 2147483647; want at most 65535 either way", whole},
	{"R2, R10: a revision that jumps by 2^40", func(m *mad) { m.tell(event.DeltaBatch{Deltas: []event.RunDelta{m.delta(v(1, 1<<40), -1)}}) },
		"version 1/1099511627776 was told of, the booking system has 1/1: it is not believed any more", whole},
	{"R2: an epoch that goes back", func(m *mad) { m.tell(event.DeltaBatch{Deltas: []event.RunDelta{m.delta(v(0, 9), -1)}}) }, "", whole},
	{"R2: revision 0", func(m *mad) { m.tell(event.DeltaBatch{Deltas: []event.RunDelta{m.delta(v(1, 0), -1)}}) }, "version.revision is 0; want 1 or more", whole},
	{"R1, R10: the highest version that there can be", func(m *mad) {
		m.state(m.run, v(math.MaxUint64, math.MaxUint64), func(*event.RunState) {})
		m.tell(event.DeltaBatch{Deltas: []event.RunDelta{m.delta(v(math.MaxUint64, math.MaxUint64), -1), m.delta(v(1, 2), -1)}})
	}, "older than ours and its epoch was not raised", replica.Quarantined},
	{"a pattern under the hash of another", func(m *mad) {
		m.pattern(func(p *timetable.Pattern) { p.ID = testkit.Pattern("G1", 600).ID })
	}, "which is the hash of its content", whole},
	{"R4: a pattern that has not the stops which were sold", func(m *mad) {
		p := testkit.Pattern("X2", 800)
		p.Stops, p.Classes[0].Fares, p.Classes[1].Fares = p.Stops[:2], nil, nil
		m.pattern(func(q *timetable.Pattern) { *q = *p; q.ID = "" })
		m.state(m.run, v(1, 2), func(s *event.RunState) { p.ID = p.ContentID(); s.Pattern = p.ID })
	}, "stops [0, 2); want from < to < 2", replica.Quarantined},
	{"R4: a class that its pattern has not", func(m *mad) {
		m.state(m.run, v(1, 2), func(s *event.RunState) { s.Classes[0].Class = "Z" })
	}, `class "Z" is not in pattern`, replica.Quarantined},
	{"a pattern of 5,000 stops", func(m *mad) {
		m.pattern(func(p *timetable.Pattern) { p.Stops, p.Classes = slices.Repeat(p.Stops[:1], 5000), nil })
	}, "the number of stops is above 512; want fewer", whole},
	{"a pattern whose times go back", func(m *mad) { m.pattern(func(p *timetable.Pattern) { p.Stops[1].Arrive = 5 }) }, "want rising minutes", whole},
	{"a pattern with a class twice", func(m *mad) { m.pattern(func(p *timetable.Pattern) { p.Classes[1].Class = "O" }) }, `class "O" occurs twice`, whole},
	{"R11: a state with a class twice", func(m *mad) {
		m.state(m.run, v(1, 2), func(s *event.RunState) { s.Classes = append(s.Classes, s.Classes[0]) })
	}, "classes[1].class is O; want a class that did not occur before", whole},
	{"R12: a run of 1970", func(m *mad) {
		m.state(rail.RunID{Date: 0, Trip: m.run.Trip}, v(1, 1), func(*event.RunState) {})
	}, "full 19700101.", whole},
	{"R12: a run of the year 9999", func(m *mad) {
		run := rail.RunID{Date: rail.NewDate(9999, 12, 31), Trip: m.run.Trip}
		m.run.Date, m.run.Trip = run.Date, run.Trip
		m.tell(event.DeltaBatch{Deltas: []event.RunDelta{{Run: run, Version: v(1, 1), Restated: true}}, Digests: []event.Digest{{Date: run.Date, Runs: 9, Hash: 9}}})
	}, " is of 9999-12-31; want ", gone},
	{"R13: a heartbeat of 1970", func(m *mad) { m.heartbeat(func(h *event.Heartbeat) { h.Time = time.Unix(1, 0) }) }, "time is 1970-01-01 00:00:01 +0000 UTC; want no more than an hour before", whole},
	{"R13: a heartbeat of the year 9999", func(m *mad) {
		m.heartbeat(func(h *event.Heartbeat) { h.Time = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC) })
	}, "time is 9999-01-01 00:00:00 +0000 UTC; want at most ", whole},
	{"R13: marks of messages that never were", func(m *mad) {
		m.heartbeat(func(h *event.Heartbeat) { h.Marks[3].Sequence = math.MaxUint64 })
	}, "mark of partition 3 is 18446744073709551615; want at most ", whole},
	{"R10: digests of nonsense", func(m *mad) {
		var all []event.Digest
		for d := range rail.Date(5000) {
			all = append(all, event.Digest{Date: d * 700, Runs: math.MaxUint32, Hash: uint64(d)})
		}
		m.tell(event.DeltaBatch{Digests: all})
	}, "", whole},
	{"a reason of a megabyte", func(m *mad) {
		m.state(m.run, v(1, 2), func(s *event.RunState) { s.Suspended, s.Reason = true, long(1<<20) })
	}, "reason is 1048575 bytes long; want at most 1024", whole},
	{"a reason that moves the cursor", func(m *mad) {
		m.state(m.run, v(1, 2), func(s *event.RunState) { s.Suspended, s.Reason = true, "\x1b[2J" })
	}, `reason is "\x1b[2J"; want a text without control characters`, whole},
	{"a train of a megabyte", func(m *mad) { m.pattern(func(p *timetable.Pattern) { p.Train = long(1 << 20) }) }, "train is 1048575 bytes long; want at most 256", whole},
	{"text that is no UTF-8", func(m *mad) { m.publish("yupiao.v1.state."+m.run.String(), []byte{1<<3 | 2, 1, 0xff}, false) }, "UTF-8", whole},
	{"deltas of 31 MB, the most that JetStream takes", func(m *mad) { m.publish(m.subject(), make([]byte, 31<<20), false) }, "deltas: message is 32505856 bytes long; want at most 8388608", whole},
	{"a state of 31 MB", func(m *mad) { m.publish("yupiao.v1.state."+m.run.String(), make([]byte, 31<<20), false) }, "state: message is 32505856 bytes long; want at most 8388608", whole},
	{"a network of 31 MB in JSON", func(m *mad) { m.publish("yupiao.v1.network", make([]byte, 31<<20), true) }, "network: message is 32505856 bytes long; want at most 2097152", whole},
	{"a heartbeat of 60 MB", func(m *mad) {
		if err := testkit.Plain(m.t, m.server).Publish("yupiao.v1.heartbeat", make([]byte, 60<<20)); err != nil {
			m.t.Fatal(err)
		}
	}, "heartbeat: message is 62914560 bytes long; want at most 65536", whole},
	{"four million empty deltas", func(m *mad) { m.publish(m.subject(), nonsense(1, 8<<20), false) }, "the number of broken ones in one message is above 64; want fewer", whole},
	{"four million empty buckets", func(m *mad) {
		inside := nonsense(2, 4<<20)
		m.publish("yupiao.v1.state."+m.run.String(), append([]byte{8<<3 | 2, 0x80, 0x80, 0x80, 0x02}, inside...), false)
	}, `run is ""; want YYYYMMDD.trip`, whole},
	{"four million empty cities", func(m *mad) { m.publish("yupiao.v1.network", nonsense(4, 8<<20), false) }, "the number of cities is above 65536; want fewer", whole},
	{"half a million empty deltas in JSON", func(m *mad) {
		m.publish(m.subject(), []byte(`{"deltas":[{}`+strings.Repeat(`,{}`, 500_000)+`]}`), true)
	}, "message is of 500002 objects; want at most 65536 in the JSON form", whole},
	{"R4: a table of half a gigabyte", func(m *mad) {
		p := testkit.Pattern("X3", 800)
		m.pattern(func(q *timetable.Pattern) {
			q.Stops, q.Classes = slices.Repeat(p.Stops[2:], rail.MaxStops), nil
			for i := range rail.MaxClasses {
				q.Classes = append(q.Classes, timetable.ClassOffer{Class: rail.Class(fmt.Sprint(i))})
			}
			*p = *q
		})
		m.state(m.run, v(1, 2), func(s *event.RunState) {
			s.Pattern, s.Classes = p.ContentID(), nil
			for _, c := range p.Classes {
				s.Classes = append(s.Classes, inventory.Class{Class: c.Class, Buckets: make([]inventory.Bucket, inventory.MaxBuckets)})
			}
		})
	}, "take 544194560 bytes; want at most 16777216", replica.Quarantined},
	{"R12: patterns whose index would fill the memory", func(m *mad) {
		for i := range 5 {
			m.pattern(func(p *timetable.Pattern) {
				p.Stops, p.Train, p.Classes = slices.Repeat(p.Stops[2:], rail.MaxStops), fmt.Sprint("Y", i), nil
			})
		}
	}, "want less (feed.max_memory_mib)", whole},
	{"R2, R12: gaps before very large changes", func(m *mad) {
		large := m.delta(v(1, 1), -1)
		large.Adjusts = slices.Repeat(large.Adjusts, 100_000)
		for i := range 10 {
			large.Version.Revision = uint64(10 + i)
			m.tell(event.DeltaBatch{Deltas: []event.RunDelta{large}})
		}
	}, "it is not believed any more", whole},
	{"R9: births that never were", func(m *mad) {
		m.heartbeat(func(h *event.Heartbeat) {
			h.Marks, h.Created = nil, map[string]time.Time{"YUPIAO_DELTA": time.Unix(1, 0)}
		})
	}, "the publisher writes to a YUPIAO_DELTA of 1970-01-01", whole},
	{"R12: 100,000 runs of which only changes are told", func(m *mad) {
		m.crowd(100_000, func(run rail.RunID) event.RunDelta { return event.RunDelta{Run: run, Version: v(1, 1), Restated: true} })
	}, "of which only deltas have come; want no more (a quarter of feed.max_runs)", gone},
	{"R12: 5,000 runs that nobody can travel by", func(m *mad) {
		for i := range 5000 {
			m.state(made(i), v(1, 1), func(*event.RunState) {})
		}
	}, "would be one more than 2000; want no more (feed.max_runs)", whole},
}

func v(epoch, revision uint64) rail.Version { return rail.Version{Epoch: epoch, Revision: revision} }

// heap is what is in use, garbage left away, in bytes.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A publisher goes mad, in one way after the other. The log says what came where and what would be right; the run it concerns is hidden or comes back; all other runs go on being exact and live,
// with an age that is proved and not to come; and the memory stays as it was.
func TestBadDays(t *testing.T) {
	l := newLineOn(t, testkit.Roomy(t), 50)
	l.limits = replica.Limits{Runs: 2000, Memory: 64 << 20}
	l.follow(nil)
	js, err := jetstream.New(testkit.Plain(t, l.server))
	if err != nil {
		t.Fatal(err)
	}
	m := &mad{line: l, js: js}
	r := rand.New(rand.NewPCG(7, 7))
	before, ran := heap(), 0
	for i, fit := range fits {
		run := rail.RunID{Date: l.runs[0].Date, Trip: rail.TripID(fmt.Sprint("V", i))}
		ok := t.Run(fit.name, func(t *testing.T) {
			ran++
			l.t = t
			l.send(l.ledger.Open(run, 1))
			l.shows(run, replica.Live)
			l.forget()
			m.run = run
			fit.do(m)
			testkit.Eventually(t, fmt.Sprintf("the log says %q", fit.says), func() bool {
				return strings.Contains(strings.Join(l.said(), "\n"), fit.says)
			})
			if fit.health != gone {
				l.shows(run, fit.health)
			}
			l.trade(r, 50)
			l.converges()
			l.proves()
			testkit.Eventually(t, "the memory is bounded", func() bool { return heap()-before < 256<<20 }) // the server in this process has copies of a large message for ten seconds
			for _, said := range l.said() {
				if strings.HasPrefix(said, "reload") {
					t.Log(said)
				}
			}
		})
		if !ok {
			break
		}
	}
	t.Logf("%+v; %d KiB more than at the start, %d reloads", l.follower.Replica().Stats(), (heap()-before)>>10, l.follower.Reloads())
	testkit.Eventually(t, "the memory is as it was", func() bool { return heap()-before < 128<<20 })
	if s := l.follower.Replica().Stats(); ran == len(fits) && (s.Lacking == 0 || l.follower.Replica().Day(made(7).Date).Complete()) {
		t.Errorf("a replica that is full says that it has everything: %+v", s)
	}
}

// forget forgets what was said.
func (l *line) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults = nil
}

// shows waits until a run is shown with a health, live or not.
func (l *line) shows(id rail.RunID, h replica.Health) {
	l.t.Helper()
	testkit.Eventually(l.t, fmt.Sprintf("%s is %s", id, h), func() bool {
		run := l.follower.Replica().Run(id)
		return run != nil && run.Health() == h
	})
}

// proves waits until the age is proved to be young, of a time that has been (R7).
func (l *line) proves() {
	l.t.Helper()
	at := time.Now()
	l.publisher.Complete(at)
	testkit.Eventually(l.t, "AsOf reaches what is complete", func() bool {
		asOf, proved := l.follower.Replica().AsOf()
		if asOf.After(time.Now()) {
			l.t.Fatalf("as of %s", asOf)
		}
		age, _ := l.follower.Replica().Age(time.Now())
		return proved && !asOf.Before(at.Truncate(time.Microsecond)) && age >= 0 && age < time.Minute
	})
}

// R12: ten million made-up runs take the memory of as many as there may be, whether their dates are near or nonsense; the run that was there is as it was, and no date is said to be complete that had
// no room.
func TestTenMillionRuns(t *testing.T) {
	const most = 20_000
	runs := 10_000_000
	if testing.Short() {
		runs /= 10
	}
	now, faults := time.Now(), 0
	r := replica.New(replica.Options{Limits: replica.Limits{Runs: most}, OnFault: func(replica.Fault) { faults++ }})
	r.Network(testkit.Network())
	p := testkit.Pattern("G1", 600)
	r.Pattern(p)
	ledger := testkit.NewLedger(p)
	id := rail.RunID{Date: rail.DateOf(now, time.UTC) + 1, Trip: "G1"}
	ledger.Open(id, 1)
	state, _ := ledger.State(id)
	r.State(id.Partition(), &state)
	r.Loaded(0, nil)
	before := heap()
	var batches [rail.Partitions]event.DeltaBatch
	for i := range runs {
		run := rail.RunID{Date: rail.DateOf(now, time.UTC) + rail.Date(i%3000-1000), Trip: rail.TripID(fmt.Sprint(i))}
		b := &batches[run.Partition()]
		if b.Deltas = append(b.Deltas, event.RunDelta{Run: run, Version: v(1, 2), Adjusts: []inventory.Adjust{{Class: "O", To: 2, By: -1}}}); len(b.Deltas) == 1000 {
			r.Deltas(run.Partition(), b, uint64(i+1))
			r.Tick(run.Partition(), uint64(i+1))
			b.Deltas = b.Deltas[:0]
		}
	}
	for i := range batches {
		r.Deltas(rail.Partition(i), &batches[i], uint64(runs+1))
	}
	s, grown := r.Stats(), heap()-before
	t.Logf("%+v, %d faults, %d MiB more", s, faults, grown>>20)
	if s.Received != uint64(runs+3) || s.Received != s.Applied+s.Duplicate+s.Held+s.Broken || s.Unseen != most/4 || s.Refused != uint64(runs-most/4) || uint64(faults) != s.Refused {
		t.Errorf("%+v", s)
	}
	if grown > 32<<20 {
		t.Errorf("%d MiB for %d runs", grown>>20, most/4)
	}
	if run := r.Run(id); run == nil || run.Health() != replica.Live || r.Day(id.Date).Complete() || s.Lacking == 0 || len(r.Dates()) > 500 {
		t.Errorf("the run that was there: %v; %d dates", run, len(r.Dates()))
	}
}

// R3: a run of which the delta stream tells, and whose state is gone for good: it is over, or nobody knows it. A node that starts now does not wait for it for ever.
func TestRunIsGone(t *testing.T) {
	for name, prepare := range map[string]func(*line, rail.RunID){
		"over": func(l *line, over rail.RunID) {
			l.send(l.ledger.Open(over, 1))
			request := fmt.Sprintf(`{"filter":"yupiao.v1.state.%s"}`, over)
			if _, err := testkit.Plain(l.t, l.server).Request("$JS.API.STREAM.PURGE.YUPIAO_STATE", []byte(request), testkit.Patience); err != nil {
				l.t.Fatal(err)
			}
			l.retire()
			l.publish(testkit.Pattern("G1", 600), feed.PublisherOptions{Clock: func() time.Time { return time.Now().AddDate(0, 0, 10) }})
			l.publisher.Complete(time.Now())
		},
		"unknown": func(l *line, unknown rail.RunID) {
			l.send(feed.Change{Delta: event.RunDelta{Run: unknown, Version: v(1, 7), Adjusts: []inventory.Adjust{{Class: "O", To: 2, By: -1}}}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLine(t, 20)
			prepare(l, rail.RunID{Date: l.runs[0].Date, Trip: "K99"})
			l.follow(nil)
			testkit.Eventually(t, "the day is complete without it", func() bool {
				s := l.follower.Replica().Stats()
				return l.follower.Replica().Day(l.runs[0].Date).Complete() && s.Unseen == 0 && s.Behind == 0 && s.Held == 0
			})
			l.converges()
		})
	}
}
