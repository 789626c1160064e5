package answer

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/yupiao/yupiao/pkg/policy"
	"github.com/yupiao/yupiao/pkg/render"
	"github.com/yupiao/yupiao/pkg/replica"
	"github.com/yupiao/yupiao/pkg/trial"
	"github.com/yupiao/yupiao/pkg/view"
)

// Entry is the answer to one request, renewed in place.
type Entry struct {
	cache   *Cache
	request Request
	hash    uint64             // of the key
	probe   func() trial.Probe // made once, so that a hit need not (E6)
	held    atomic.Pointer[held]
	asked   atomic.Uint64

	mu   sync.Mutex // held while the answer is renewed (E2)
	cost int64      // as it was told to ristretto
	rate rates
}

func newEntry(c *Cache, r Request) *Entry {
	e := &Entry{cache: c, request: r, hash: maphash.String(c.seed, r.Key)}
	e.probe = func() trial.Probe { return &probe{cache: c, query: r.Query, lang: r.Lang} }
	return e
}

// held is an answer and what is known of it. It is not changed once it is made.
type held struct {
	page    *Page
	draft   *render.Draft // of the page's body
	answer  *view.Answer  // without its offers, which are in the page
	numbers []number      // nil if it was not expected to be served without a look
	rule    ruling
	// What was known of the age when the answer was last seen to be true; until when it is served without another look.
	asOf, seen time.Time
	proved     bool
	at, until  time.Time
}

// nothing is what is known before the first answer.
var nothing = &held{draft: &render.Draft{}}

// ruling is what the policy says of an entry, found anew each second.
type ruling struct {
	policy  *policy.Policy
	number  int // of the rule, or policy.None
	effects policy.Effects
	ttl     time.Duration
	pinned  bool
	caching string
	score   *Score // of a rule whose TTL is auto, or nil
	judged  time.Time
}

// judgeEvery is how long a ruling stands: the rates that it depends on are those of seconds.
const judgeEvery = time.Second

// Served is an answer for a caller.
type Served struct {
	*Page
	Effects policy.Effects
	// Position to hand back for an answer that is not older.
	Position string
	// Caching is what browsers and CDNs may do, as a Cache-Control.
	Caching string
	// AsOf is the time up to which the answer is known complete, if Proved; Age is how old it may be now.
	AsOf   time.Time
	Age    time.Duration
	Proved bool
	// TTL under which it was served; 0 if it was looked at.
	TTL time.Duration
	// Lagging: it may be older than the replica's position says.
	Lagging bool
	// TooOld: the answer is older than demanded, and so is everything that the replica has (E7).
	TooOld bool
}

// Demand is what a caller asks of an answer.
type Demand struct {
	// Look: the answer is not served without a look.
	Look bool
	// MaxAge is the greatest age in whole seconds, as the header Age would tell it; used if Limited.
	MaxAge  int
	Limited bool
}

func (d *Demand) allows(age time.Duration, proved bool) bool {
	return !d.Limited || proved && int(age/time.Second) <= d.MaxAge
}

// Serve answers from a replica that is ready.
func (e *Entry) Serve(r *replica.Replica, now time.Time, d Demand) Served {
	if s, ok := e.Kept(r, now, d); ok {
		return s
	}
	return e.Make(r, now, d)
}

// limited is a demand with that of the request itself.
func (e *Entry) limited(d Demand) Demand {
	if q := &e.request; q.Limited && (!d.Limited || q.MaxAge < d.MaxAge) {
		d.MaxAge, d.Limited = q.MaxAge, true
	}
	return d
}

// Kept answers with what is there, if that is still true or within its TTL. False: the answer is to be made, for the same request.
func (e *Entry) Kept(r *replica.Replica, now time.Time, d Demand) (s Served, ok bool) {
	asked := e.asked.Add(1)
	e.record(now)
	d = e.limited(d)
	h := e.held.Load()
	if h != nil && !d.Look && h.lasts(now) && h.rule.policy == e.cache.Policy() && h.answer.Of(r) {
		if s := h.served(h.asOf, h.seen, h.proved, now, h.rule.ttl); d.allows(s.Age, s.Proved) {
			e.cache.counts.ttl.Add(1)
			wrong := asked%truthEvery == 0 && e.cache.truth.check(&e.request, h, r, now)
			h.rule.count(wrong)
			return s, true
		}
	}
	if s, ok = e.look(h, r, now); ok {
		e.finish(&s, d)
	}
	return s, ok
}

// Make answers with what is true now, rendered if need be. It is for requests that Kept did not answer.
func (e *Entry) Make(r *replica.Replica, now time.Time, d Demand) Served {
	h, mine := e.renew(r, now)
	if mine {
		e.cache.counts.rendered.Add(1)
	} else {
		e.cache.counts.waited.Add(1)
	}
	s := h.served(h.asOf, h.seen, h.proved, now, 0)
	e.finish(&s, e.limited(d))
	return s
}

// finish holds an answer that was looked at or made to the demand.
func (e *Entry) finish(s *Served, d Demand) {
	e.held.Load().rule.count(false)
	if d.Look {
		s.Position = e.held.Load().answer.Position().String()
	}
	s.TooOld = !d.allows(s.Age, s.Proved)
}

// look serves what is held if it is true now.
func (e *Entry) look(h *held, r *replica.Replica, now time.Time) (s Served, ok bool) {
	asOf, seen, proved := r.Proof() // before the look: the answer is at least that new
	if h == nil || !e.current(h, r, now) {
		return s, false
	}
	e.cache.counts.looked.Add(1)
	if h.rule.ttl > 0 || h.rule.policy != e.cache.Policy() || now.Sub(h.rule.judged) >= judgeEvery {
		h = e.vouch(h, asOf, seen, proved, now)
	}
	return h.served(asOf, seen, proved, now, 0), true
}

// current reports whether the answer is true; of some looks it takes the time.
func (e *Entry) current(h *held, r *replica.Replica, now time.Time) bool {
	if e.asked.Load()%lookSample != 0 {
		return h.answer.Current(r, now)
	}
	started := time.Now()
	defer func() { e.cache.work.looking.Add(int64(time.Since(started))) }()
	return h.answer.Current(r, now)
}

// lasts reports whether the answer may be served without a look. A clock that was put back ends it.
func (h *held) lasts(now time.Time) bool { return now.Before(h.until) && !now.Before(h.at) }

func (h *held) served(asOf, seen time.Time, proved bool, now time.Time, ttl time.Duration) Served {
	s := Served{Page: h.page, Effects: h.rule.effects, Position: h.page.Position, Caching: h.rule.caching, Lagging: h.answer.Lagging, AsOf: asOf, Proved: proved, TTL: ttl}
	if proved {
		s.Age = max(now.Sub(asOf), now.Sub(seen), 0)
	}
	return s
}

// renew renders the answer, or takes it from who has just done so.
func (e *Entry) renew(r *replica.Replica, now time.Time) (h *held, mine bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	before := e.held.Load()
	asOf, seen, proved := r.Proof()
	if before != nil && before.answer.Current(r, now) {
		return e.hold(before, asOf, seen, proved, now), false
	}
	started := time.Now()
	s := scratches.Get().(*scratch)
	old := cmp.Or(before, nothing)
	a := s.view.Look(r, e.request.Query, now, old.answer)
	position := a.Position()
	render.Printer{Index: r.Index(), Lang: e.request.Lang}.Renew(&s.draft, old.draft, e.request.Query, a)
	draft := s.draft.Clone()
	next := &held{page: newPage(draft.Body, position.String(), a.Behind), draft: draft, answer: a}
	if before == nil || before.rule.ttl > 0 { // they are for those that are served without a look
		next.numbers = numbers(a)
	}
	a.Offers = nil
	scratches.Put(s)
	e.cache.work.rendering.Add(int64(time.Since(started)))
	if before != nil {
		next.rule = before.rule
	}
	next = e.hold(next, asOf, seen, proved, now)
	if cost := next.cost(len(e.request.Key)); before == nil || cost > e.cost+e.cost/4 || cost < e.cost/2 {
		e.cost = cost
		e.cache.keep(e, cost)
	}
	return next, true
}

// scratch is where answers are made; what is kept has no room to spare.
type scratch struct {
	view  view.Scratch
	draft render.Draft
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// cost in bytes, with room for the compressed forms, which are about a third of the body together.
func (h *held) cost(key int) int64 {
	return int64(entryBytes + key + len(h.page.Body)*4/3 + h.draft.Cost() + 40*len(h.numbers))
}

// vouch notes that the answer was seen to be true.
func (e *Entry) vouch(h *held, asOf, seen time.Time, proved bool, now time.Time) *held {
	if !e.mu.TryLock() {
		return h // somebody is at it
	}
	defer e.mu.Unlock()
	if e.held.Load() != h {
		return h // newer already
	}
	return e.hold(h, asOf, seen, proved, now)
}

// hold puts an answer in place that was true at a moment. The caller holds the lock.
func (e *Entry) hold(h *held, asOf, seen time.Time, proved bool, now time.Time) *held {
	next := *h
	next.asOf, next.seen, next.proved = asOf, seen, proved
	if next.rule.policy != e.cache.Policy() || next.rule.pinned != h.answer.Pinned || now.Sub(next.rule.judged) >= judgeEvery {
		next.rule = e.judge(h.answer, now)
	}
	next.at, next.until = now, now.Add(next.rule.ttl)
	for _, change := range []time.Time{h.answer.ValidUntil, e.request.Until} {
		if !change.IsZero() && change.Before(next.until) {
			next.until = change
		}
	}
	e.held.Store(&next)
	return &next
}

// judge finds the rule that applies.
func (e *Entry) judge(a *view.Answer, now time.Time) ruling {
	e.rate.note(e.asked.Load(), a.Stamp(), now)
	e.heat()
	p, f := e.cache.Policy(), facts(e.request.Query, e.request.Index, a, now)
	f.Asked, f.Changed = e.rate.asked, e.rate.changed
	out := ruling{policy: p, pinned: a.Pinned, judged: now}
	out.number, out.effects = p.Match(&f)
	if a.Pinned {
		out.effects = out.effects.Exact()
	}
	out.ttl = out.effects.TTL.Fixed
	if out.effects.TTL.Auto {
		out.ttl, out.score = e.cache.options.Auto(&p.Rules[out.number])
	}
	out.caching = Caching(out.effects)
	return out
}

// Effects are those of the rule that applies to an answer which nobody keeps, at a rate of 0.
func (c *Cache) Effects(q *Request, a *view.Answer, now time.Time) policy.Effects {
	f := facts(q.Query, q.Index, a, now)
	_, e := c.Policy().Match(&f)
	if a.Pinned {
		e = e.Exact()
	}
	return e
}

// Caching is a Cache-Control for browsers and CDNs.
func Caching(e policy.Effects) string {
	if e.ClientMaxAge < time.Second {
		return "no-cache"
	}
	text := fmt.Sprintf("public, max-age=%d", e.ClientMaxAge/time.Second)
	if e.StaleWhileRevalidate >= time.Second {
		text += fmt.Sprintf(", stale-while-revalidate=%d", e.StaleWhileRevalidate/time.Second)
	}
	return text
}

func (r *ruling) count(wrong bool) {
	if r.score == nil {
		return
	}
	r.score.served.Add(1)
	if wrong {
		r.score.wrong.Add(1)
	}
}

// rates are how often an entry is asked for and changes, per second, over the last seconds.
type rates struct {
	asked, changed float64
	askedBefore    uint64
	stampBefore    uint64
	at             time.Time
}

// rateOver is the time constant of the rates: a rush is noticed in seconds and a pause does not end it.
const rateOver = 5 * time.Second

func (r *rates) note(asked, stamp uint64, now time.Time) {
	dt := now.Sub(r.at)
	if r.at.IsZero() || stamp < r.stampBefore || dt > time.Hour { // the first, or another replica
		*r = rates{askedBefore: asked, stampBefore: stamp, at: now}
		return
	}
	if dt < judgeEvery/2 {
		return
	}
	weight := min(1, dt.Seconds()/rateOver.Seconds())
	r.asked += weight * (float64(asked-r.askedBefore)/dt.Seconds() - r.asked)
	r.changed += weight * (float64(stamp-r.stampBefore)/2/dt.Seconds() - r.changed)
	r.askedBefore, r.stampBefore, r.at = asked, stamp, now
}
