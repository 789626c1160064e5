package httpapi

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

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

func (s *Server) freshness(r *replica.Replica, now time.Time, behind bool) freshness {
	f := freshness{state: stateDegraded}
	f.asOf, f.proved = r.AsOf()
	f.age, _ = r.Age(now)
	if f.proved && f.age <= s.settings.DegradedAfter && !behind && s.source.Degraded() == "" {
		f.state = stateLive
	}
	return f
}

func (f *freshness) headers(c *gin.Context) {
	if f.proved {
		c.Header("Yupiao-As-Of", f.asOf.UTC().Format(timeLayout))
		c.Header("Age", strconv.Itoa(int(f.age/time.Second)))
	}
	c.Header("Yupiao-State", f.state)
}

// replica is the one to answer from; if there is none, or it is too old, the request is answered with a problem.
func (s *Server) replica(c *gin.Context, now time.Time) *replica.Replica {
	r := s.source.Replica()
	if r == nil {
		l := loadingOf(s.source.Progress(), now)
		fail(c, &Problem{Kind: notReady, Detail: fmt.Sprintf("%d of %d runs are loaded; see /readyz", l.Loaded, l.Expected), RetryAfter: max(time.Second, time.Duration(l.ETA)*time.Second)})
		return nil
	}
	limit := s.settings.RefuseAfter
	if age, proved := r.Age(now); limit > 0 && (!proved || age > limit) {
		fail(c, &Problem{Kind: tooOld, Detail: fmt.Sprintf("the data are %s old; the limit is %s", age.Truncate(time.Second), limit), RetryAfter: time.Second})
		return nil
	}
	return r
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

// search reads a seat search, which may have some parameters more; nil if it was answered with a problem.
func (s *Server) search(c *gin.Context, more ...string) *search {
	now := s.clock()
	r := s.replica(c, now)
	if r == nil {
		return nil
	}
	first, last := saleDates(r, now)
	q, lang, problem := parseQuery(c.Request.URL.RawQuery, r.Index(), first, last, more...)
	if problem != nil {
		fail(c, problem)
		return nil
	}
	return &search{r, now, q, lang}
}

func (s *Server) availability(c *gin.Context) {
	asked := s.search(c, paramOffers)
	if asked == nil {
		return
	}
	r, q, now := asked.replica, asked.query, asked.now
	f := s.freshness(r, now, false) // before the counts are read: they are at least that new
	a := view.Look(r, q, now)
	if a.Behind {
		f.state = stateDegraded
	}
	body := render.Printer{Index: r.Index(), Lang: asked.lang, Tokens: s.tokens(c, f, now)}.Answer(make([]byte, 0, 256+700*len(a.Offers)), q, a)
	s.send(c, body, f)
}

// tokens are the offer tokens of an answer; nil if none are wanted, none can be signed, or nothing proves an age that they could tell.
func (s *Server) tokens(c *gin.Context, f freshness, now time.Time) *render.Tokens {
	if c.Query(paramOffers) != "true" || s.settings.OfferKeys.Empty() || !f.proved {
		return nil
	}
	return &render.Tokens{Keys: s.settings.OfferKeys, Age: f.age, TTL: s.settings.ClientMaxAge, At: now}
}

// send answers with a body under its tag, or with 304 (H3).
func (s *Server) send(c *gin.Context, body []byte, f freshness) {
	tag := render.Tag(body)
	f.headers(c)
	c.Header("ETag", tag)
	c.Header("Cache-Control", s.cacheControl())
	c.Header("X-Content-Type-Options", "nosniff")
	if matches(c.Request.Header.Values("If-None-Match"), tag) {
		c.Status(http.StatusNotModified)
		c.Writer.WriteHeaderNow()
		return
	}
	c.Data(http.StatusOK, "application/json; charset=utf-8", body)
}

func (s *Server) cacheControl() string {
	if s.settings.ClientMaxAge < time.Second {
		return "no-cache"
	}
	return fmt.Sprintf("public, max-age=%d", s.settings.ClientMaxAge/time.Second)
}

// matches is the weak comparison of If-None-Match (RFC 9110, 13.1.2).
func matches(headers []string, tag string) bool {
	for _, line := range headers {
		tags := strings.Split(line, ",")
		if slices.ContainsFunc(tags, func(t string) bool {
			t = strings.TrimSpace(t)
			return t == "*" || strings.TrimPrefix(t, "W/") == tag
		}) {
			return true
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
	s.send(c, render.Printer{Index: r.Index(), Lang: lang}.Detail(nil, d), f)
}
