package sim

import (
	"fmt"
	"time"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/rail"
)

// do carries out an act.
func (w *world) do(a *Act) {
	w.say("%s", a)
	w.result.Acts[a.Kind]++
	dice := dice(a.Dice)
	switch a.Kind {
	case Sell:
		w.sell(&dice)
	case Rush:
		for range 8 {
			w.sell(&dice)
		}
	case Refund, Suspend, Raise, Open:
		w.operate(a.Kind, &dice)
	case Purge:
		if r := w.member(&dice).follower.Replica(); r != nil {
			r.Purge(w.run(&dice))
		}
	case Cut, Slow, CoreLoss, Twice, Disturb, Restart:
		w.harm(w.member(&dice), a, &dice)
	case CutBooking:
		w.during(a, w.backend.link, func(to *weather, on bool) { to.cut = on })
	case SlowBooking:
		w.during(a, w.backend.link, func(to *weather, on bool) { to.slow = slowness(on, &dice) })
	case AckLoss:
		w.during(a, w.backend.link, func(to *weather, on bool) { to.ackLoss = on })
	case Stall:
		for _, l := range w.links() {
			w.during(a, l, func(to *weather, on bool) { to.cut = on })
		}
	case Crash:
		w.backend.crash()
		w.startBackend()
	case Unmarked:
		b := w.backend
		b.dies.Store(true)
		w.after(a.For, func() {
			if b == w.backend {
				b.crash()
				w.startBackend()
			}
		})
	case Rival:
		former := w.backend
		former.depose()
		w.rivals = append(w.rivals, former)
		w.startBackend()
		w.after(a.For, former.crash)
	case Rollback, RollbackAll, Recreate:
		if time.Since(w.lost) > recovery {
			w.lost = time.Now()
			w.lose(a.Kind, &dice)
		}
	case Forget, Garbage, Truncated:
		w.spoil(a.Kind, &dice)
	}
}

// dice gives numbers below n, one after the other.
type dice uint64

func (d *dice) of(n int) int {
	out := int(uint64(*d) % uint64(n))
	*d = dice(uint64(*d)*6364136223846793005 + 1442695040888963407)
	*d ^= *d >> 29
	return out
}

func (w *world) member(d *dice) *member { return w.members[d.of(len(w.members))] }

func (w *world) run(d *dice) rail.RunID {
	all := w.truth.ids
	return all[d.of(len(all))]
}

func (w *world) links() (all []*link) {
	for _, m := range w.members {
		all = append(all, m.link)
	}
	return append(all, w.backend.link)
}

func (w *world) sell(d *dice) {
	id, class := w.run(d), w.truth.classes[d.of(len(w.truth.classes))]
	from := rail.StopIndex(d.of(int(w.truth.stops) - 1))
	to := from + 1 + rail.StopIndex(d.of(int(w.truth.stops-1-from)))
	if s, err := w.truth.book.Sell(id, class, from, to); err == nil {
		w.truth.sales = append(w.truth.sales, s)
		w.truth.note(id)
	}
}

func (w *world) operate(k Kind, d *dice) {
	t, id := w.truth, w.run(d)
	switch k {
	case Refund:
		if n := len(t.sales); n > 0 {
			i := d.of(n)
			id = t.sales[i].Run
			_ = t.book.Refund(t.sales[i]) // a second refund is refused
		}
	case Suspend:
		if t.last(id).suspended {
			_ = t.book.Resume(id) // nothing else could have resumed it
		} else {
			_ = t.book.Suspend(id, "a tree on the line") // likewise
		}
	case Raise:
		t.epoch++
		tx := t.book.Begin()
		if err := tx.Raise(id, t.epoch); err != nil {
			w.broken("the plan cannot be carried out: %v", err)
		}
		tx.Stamp()
		tx.Commit()
	case Open:
		runs := t.book.Runs()
		t.book.Open(runs[len(runs)-1].Date + 1)
		t.note(t.book.Runs()...)
	}
	t.note(id)
}

// during changes a link's weather for an act's time.
func (w *world) during(a *Act, l *link, change func(to *weather, on bool)) {
	l.set(func(to *weather) { change(to, true) })
	w.after(a.For, func() { l.set(func(to *weather) { change(to, false) }) })
}

func slowness(on bool, d *dice) time.Duration {
	if !on {
		return 0
	}
	return time.Duration(1+d.of(400)) * time.Millisecond
}

func (w *world) harm(m *member, a *Act, d *dice) {
	switch a.Kind {
	case Cut:
		w.during(a, m.link, func(to *weather, on bool) { to.cut = on })
	case Slow:
		w.during(a, m.link, func(to *weather, on bool) { to.slow = slowness(on, d) })
	case CoreLoss:
		w.during(a, m.link, func(to *weather, on bool) { to.coreLoss = on })
	case Twice:
		w.during(a, m.link, func(to *weather, on bool) { to.twice = on })
	case Disturb:
		m.disturbed.Store(true)
		w.after(a.For, func() { m.disturbed.Store(false) })
	case Restart:
		m.stop()
		w.after(a.For, m.start)
	}
}

// recovery is how long the servers keep what they have after they have lost something: twice the time in which that is noticed (P6). What is lost of the state stream while that of the delta stream is
// made up for is noticed by digests alone, and numbers may be wrong until then.
const recovery = 5 * time.Second

// lose has streams fall back or vanish.
func (w *world) lose(k Kind, d *dice) {
	name := []string{reference, state, delta}[d.of(3)]
	var old map[string]*stream
	if n := len(w.copies); n > 0 {
		old = w.copies[max(n-1-d.of(8), 0)]
	}
	switch k {
	case Rollback:
		if old[name] != nil {
			w.server.restore(name, old[name])
		}
	case RollbackAll:
		for name, s := range old {
			w.server.restore(name, s)
		}
	case Recreate:
		w.server.remove(name)
	}
}

// spoil does something to a message.
func (w *world) spoil(k Kind, d *dice) {
	id := w.run(d)
	switch k {
	case Forget:
		w.excused = time.Now().Add(excuse)
		w.server.with(state, func(s *stream) {
			if last := s.on("yupiao.v1.state." + id.String()); last != nil {
				s.forget(last.sequence)
			}
		})
	case Garbage, Truncated:
		subject := []string{"yupiao.v1.state." + id.String(), fmt.Sprintf("yupiao.v1.delta.%d", id.Partition()), "yupiao.v1.network"}[d.of(3)]
		w.server.add(stored{subject: subject, data: w.nonsense(k, subject, d), format: event.Protobuf}, 0, nil)
	}
}

// nonsense is the beginning of what came last on a subject, or nothing that means anything. A beginning that makes sense by itself cannot be told from a whole message: the feed has no sums
// of its own, since NATS hands over messages whole or not at all.
func (w *world) nonsense(k Kind, subject string, d *dice) (data []byte) {
	w.server.with(streamOf(subject), func(s *stream) {
		if last := s.on(subject); last != nil && len(last.data) > 0 && k == Truncated {
			data = last.data[:d.of(len(last.data))]
		}
	})
	if len(data) == 0 || means(subject, data) {
		data = []byte("\xffnonsense")
	}
	return data
}

func means(subject string, data []byte) bool {
	var err error
	switch streamOf(subject) {
	case state:
		_, err = new(event.Decoder).State(data, event.Protobuf)
	case delta:
		_, _, err = new(event.Decoder).Deltas(data, event.Protobuf)
	default:
		_, err = event.DecodeNetwork(data, event.Protobuf)
	}
	return err == nil
}
