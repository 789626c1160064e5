package httpapi

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/yupiao/yupiao/pkg/answer"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/render"
	"github.com/yupiao/yupiao/pkg/replica"
	"github.com/yupiao/yupiao/pkg/view"
)

// freshness is how old an answer may be (H2).
type freshness struct {
	asOf   time.Time // zero if nothing proves any
	age    time.Duration
	proved bool
	state  string // "live" or "degraded"
}

const (
	stateLive     = "live"
	stateDegraded = "degraded"
	timeLayout    = "2006-01-02T15:04:05.000Z"
)

// freshness of what is read from the replica now.
func (s *Server) freshness(r *replica.Replica, now time.Time, behind bool) freshness {
	f := freshness{}
	f.asOf, f.proved = r.AsOf()
	f.age, _ = r.Age(now)
	s.judge(&f, s.answers.Policy().Defaults.DegradedAfter, behind)
	return f
}

func (s *Server) judge(f *freshness, degradedAfter time.Duration, behind bool) {
	f.state = stateDegraded
	if f.proved && f.age <= degradedAfter && !behind && s.source.Degraded() == "" {
		f.state = stateLive
	}
}

func (f *freshness) headers(c *gin.Context) {
	if f.proved {
		c.Header("Yupiao-As-Of", f.asOf.UTC().Format(timeLayout))
		c.Header("Age", strconv.Itoa(int(f.age/time.Second)))
	}
	c.Header("Yupiao-State", f.state)
}

// ready is the replica to answer from; if there is none, the request is answered with a problem.
func (s *Server) ready(c *gin.Context, now time.Time) *replica.Replica {
	r := s.source.Replica()
	if r == nil {
		l := loadingOf(s.source.Progress(), now)
		fail(c, &Problem{Kind: notReady, Detail: fmt.Sprintf("%d of %d runs are loaded; see /readyz", l.Loaded, l.Expected), RetryAfter: max(time.Second, time.Duration(l.ETA)*time.Second)})
	}
	return r
}

// replica is ready's, unless it is too old.
func (s *Server) replica(c *gin.Context, now time.Time) *replica.Replica {
	r := s.ready(c, now)
	if r == nil {
		return nil
	}
	age, proved := r.Age(now)
	if problem := refuse(age, proved, s.answers.Policy().Defaults.RefuseAfter); problem != nil {
		fail(c, problem)
		return nil
	}
	return r
}

// refuse is the problem of data beyond a limit; nil within it, and without one.
func refuse(age time.Duration, proved bool, limit time.Duration) *Problem {
	if limit == 0 || proved && age <= limit {
		return nil
	}
	return &Problem{Kind: tooOld, Detail: fmt.Sprintf("the data are %s; the limit is %s", aged(age, proved), limit), RetryAfter: time.Second}
}

func aged(age time.Duration, proved bool) string {
	if !proved {
		return "of unknown age"
	}
	return age.Truncate(10*time.Millisecond).String() + " old"
}

// maxSaleDays bounds what a run of a far-off date can make of the dates on sale.
const maxSaleDays = 400

// saleDates are the boarding dates that can be asked for: from today to the last service date with runs.
func saleDates(r *replica.Replica, now time.Time) (first, last rail.Date) {
	today := rail.DateOf(now, r.Index().Location())
	first, last = today, today+rail.Date(r.Index().Network().SaleDays)-1
	if dates := r.Dates(); len(dates) > 0 {
		first, last = max(today, dates[0]), max(today, dates[len(dates)-1])
	}
	return first, min(last, today+maxSaleDays)
}

// search is a seat search that can be answered.
type search struct {
	replica *replica.Replica
	now     time.Time
	query   *view.Query
	lang    rail.Lang
}

// search reads a seat search; nil if it was answered with a problem.
func (s *Server) search(c *gin.Context) *search {
	now := s.clock()
	r := s.replica(c, now)
	if r == nil {
		return nil
	}
	first, last := saleDates(r, now)
	q, lang, _, problem := parseQuery(c.Request.URL.RawQuery, r.Index(), first, last)
	if problem != nil {
		fail(c, problem)
		return nil
	}
	return &search{r, now, q, lang}
}

func (s *Server) availability(c *gin.Context) {
	now := s.clock()
	r := s.ready(c, now)
	if r == nil {
		return
	}
	from, ok := position(c)
	if !ok {
		return
	}
	raw := c.Request.URL.RawQuery
	e := s.answers.Find(raw, r.Index(), now)
	if e == nil {
		q, offers, problem := s.question(raw, r, now)
		switch {
		case problem != nil:
			fail(c, problem)
			return
		case offers:
			s.offers(c, q, r, from)
			return
		}
		e = s.answers.Join(*q, now)
	}
	demand := cacheDemand(c.Request.Header.Get("Cache-Control"))
	if from != nil {
		s.serveFrom(c, e, r, from, demand)
		return
	}
	s.serve(c, e.Serve(r, now, demand))
}

// question reads the request of an answer; offers says that it is one with tokens, which nobody keeps.
func (s *Server) question(raw string, r *replica.Replica, now time.Time) (q *answer.Request, offers bool, problem *Problem) {
	first, last := saleDates(r, now)
	query, lang, more, problem := parseQuery(raw, r.Index(), first, last, paramOffers, paramMaxAge)
	if problem != nil {
		return nil, false, problem
	}
	tomorrow := (rail.DateOf(now, r.Index().Location()) + 1).At(0, r.Index().Location())
	q = &answer.Request{Key: raw, Query: query, Lang: lang, Index: r.Index(), Until: tomorrow, MaxAge: more.maxAge, Limited: more.limited}
	return q, more.offers && !s.settings.Load().OfferKeys.Empty(), nil
}

// serve answers with what the cache gave.
func (s *Server) serve(c *gin.Context, a answer.Served) {
	reply, problem := s.reply(&a, asking{ifNoneMatch: c.Request.Header.Values("If-None-Match"), acceptEncoding: c.Request.Header.Get("Accept-Encoding")}, s.origins.Load().vary())
	if problem != nil {
		fail(c, problem)
		return
	}
	reply.send(c)
}

// offers answers with tokens, which are each caller's own and kept by nobody.
func (s *Server) offers(c *gin.Context, q *answer.Request, r *replica.Replica, from *replica.Position) {
	if from != nil && !s.await(c, func() bool { return r.Reached(from) }) {
		fail(c, s.notReached())
		return
	}
	now := s.clock()
	f := s.freshness(r, now, false) // before the counts are read: they are at least that new
	a := view.Look(r, q.Query, now)
	effects := s.answers.Effects(q, a, now)
	if problem := refuse(f.age, f.proved, effects.RefuseAfter); problem != nil {
		fail(c, problem)
		return
	}
	if from != nil && a.Lagging {
		fail(c, s.notReached())
		return
	}
	s.judge(&f, effects.DegradedAfter, a.Behind)
	c.Header(headerPosition, a.Position().String())
	tokens := s.tokens(f, effects.ClientMaxAge, now)
	body := render.Printer{Index: r.Index(), Lang: q.Lang, Tokens: tokens}.Answer(make([]byte, 0, 256+900*len(a.Offers)), q.Query, a)
	s.send(c, body, f, private(answer.Caching(effects)))
}

// private keeps what is one caller's own out of caches that others use.
func private(caching string) string { return strings.Replace(caching, "public", "private", 1) }

// tokens are the offer tokens of an answer that its caller may keep for a time; nil if none can be signed, or nothing proves an age that they could tell.
func (s *Server) tokens(f freshness, ttl time.Duration, now time.Time) *render.Tokens {
	keys := s.settings.Load().OfferKeys
	if keys.Empty() || !f.proved {
		return nil
	}
	return &render.Tokens{Keys: keys, Age: f.age, TTL: ttl, At: now}
}

// send answers with a body under its tag, or with 304 (H3).
func (s *Server) send(c *gin.Context, body []byte, f freshness, caching string) {
	tag := render.Tag(body)
	f.headers(c)
	c.Header("ETag", tag)
	c.Header("Cache-Control", caching)
	if matches(c.Request.Header.Values("If-None-Match"), tag) {
		c.Status(http.StatusNotModified)
		c.Writer.WriteHeaderNow()
		return
	}
	c.Data(http.StatusOK, "application/json; charset=utf-8", body)
}

// matches is the weak comparison of If-None-Match (RFC 9110, 13.1.2).
func matches(headers []string, tag string) bool {
	for _, rest := range headers {
		for more := true; more; {
			var one string
			one, rest, more = strings.Cut(rest, ",")
			if one = strings.TrimSpace(one); one == "*" || strings.TrimPrefix(one, "W/") == tag {
				return true
			}
		}
	}
	return false
}

func (s *Server) run(c *gin.Context) {
	now := s.clock()
	r := s.replica(c, now)
	if r == nil {
		return
	}
	values, problem := parseParams(c.Request.URL.RawQuery, "lang")
	p := &parser{params: values, problem: problem}
	lang := p.lang()
	id, err := rail.ParseRunID(c.Param("run"))
	if err != nil {
		p.fail(invalid("run", c.Param("run"), "YYYYMMDD.trip, as in an answer"))
	}
	if p.problem != nil {
		fail(c, p.problem)
		return
	}
	f := s.freshness(r, now, false)
	d := view.Whole(r, id, now)
	if d == nil {
		fail(c, &Problem{Kind: notFound, Parameter: "run", Value: id.String(), Detail: "no such run is on sale"})
		return
	}
	if d.Health != replica.Live {
		f.state = stateDegraded
	}
	s.send(c, render.Printer{Index: r.Index(), Lang: lang}.Detail(nil, d), f, answer.Caching(s.answers.Policy().Defaults))
}
