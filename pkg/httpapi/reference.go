package httpapi

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/render"
	"github.com/yupiao/yupiao/pkg/timetable"
)

const (
	defaultSuggestions = 8
	maxSuggestions     = 50
)

// suggestion is a place proposed while a person types.
type suggestion struct {
	Code     string `json:"code"`
	Name     string `json:"name"`
	City     bool   `json:"city"`
	Pinyin   string `json:"pinyin,omitempty"`
	CityCode string `json:"city_code,omitempty"`
	CityName string `json:"city_name,omitempty"`
	// Stations is how many a city has.
	Stations int `json:"stations,omitempty"`
}

func (s *Server) stations(c *gin.Context) {
	r := s.replica(c, s.clock())
	if r == nil {
		return
	}
	values, problem := parseParams(c.Request.URL.RawQuery, "q", "limit", "lang")
	p := &parser{params: values, problem: problem}
	limit, lang := p.limit(), p.lang()
	text, _ := p.need("q", "bei")
	if p.problem != nil {
		fail(c, p.problem)
		return
	}
	printer := render.Printer{Index: r.Index(), Lang: lang}
	found := make([]suggestion, 0, limit)
	for _, place := range r.Index().Search(text, limit) {
		found = append(found, suggest(printer, place))
	}
	c.Header("Cache-Control", "public, max-age=60") // stations change with the timetable
	c.JSON(http.StatusOK, gin.H{"stations": found})
}

func (p *parser) limit() int {
	v, given := p.params["limit"]
	if !given {
		return defaultSuggestions
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > maxSuggestions {
		p.fail(invalid("limit", v, fmt.Sprintf("1 to %d", maxSuggestions)))
	}
	return n
}

func suggest(p render.Printer, place timetable.Place) suggestion {
	out := suggestion{Code: place.Code(), Name: p.PlaceName(place), City: place.IsCity()}
	if place.IsCity() {
		if city, ok := p.Index.City(place.City); ok {
			out.Pinyin = city.Pinyin
		}
		out.Stations = len(p.Index.StationsOf(place))
		return out
	}
	if station, ok := p.Index.Station(place.Station); ok {
		out.Pinyin = station.Pinyin
		if station.City != "" {
			out.CityCode, out.CityName = string(station.City), p.PlaceName(timetable.Place{City: station.City})
		}
	}
	return out
}

func (s *Server) healthz(c *gin.Context) { c.JSON(http.StatusOK, gin.H{"status": "ok"}) }

// readiness is the body of /readyz.
type readiness struct {
	Status   string   `json:"status"` // "ready", "loading" or "draining"
	State    string   `json:"state,omitempty"`
	AsOf     string   `json:"as_of,omitempty"`
	Age      *float64 `json:"age_seconds,omitempty"`
	Degraded string   `json:"degraded,omitempty"` // why the data are known not to advance
	loading
	Runs      uint64      `json:"runs"`
	SaleDates []rail.Date `json:"sale_dates,omitempty"`
}

// loading is how far loading has come.
type loading struct {
	Loaded   uint64  `json:"loaded"`
	Expected uint64  `json:"expected"`
	Percent  float64 `json:"percent"`
	Rate     float64 `json:"runs_per_second"`
	ETA      float64 `json:"eta_seconds"`
}

func loadingOf(p feed.Progress, now time.Time) loading {
	l := loading{Loaded: min(p.States, max(p.Expected, p.States)), Expected: max(p.Expected, p.States)}
	if l.Expected > 0 {
		l.Percent = round(100 * float64(l.Loaded) / float64(l.Expected))
	}
	if spent := now.Sub(p.Started).Seconds(); !p.Started.IsZero() && spent > 0 {
		l.Rate = round(float64(l.Loaded) / spent)
	}
	if l.Rate > 0 {
		l.ETA = round(float64(l.Expected-l.Loaded) / l.Rate)
	}
	return l
}

func round(f float64) float64 { return math.Round(f*10) / 10 }

func (s *Server) readyz(c *gin.Context) {
	now := s.clock()
	out := readiness{Status: "loading", loading: loadingOf(s.source.Progress(), now)}
	c.Header("Cache-Control", "no-store")
	r := s.source.Replica()
	if r == nil {
		c.JSON(http.StatusServiceUnavailable, out)
		return
	}
	f := s.freshness(r, now, false)
	out.Status, out.State, out.Degraded, out.Runs, out.Rate, out.ETA = "ready", f.state, s.source.Degraded(), r.Stats().Runs, 0, 0
	if f.proved {
		age := f.age.Seconds()
		out.AsOf, out.Age = f.asOf.UTC().Format(timeLayout), &age
	}
	first, last := saleDates(r, now)
	for d := first; d <= last; d++ {
		out.SaleDates = append(out.SaleDates, d)
	}
	status := http.StatusOK
	if s.draining.Load() {
		out.Status, status = "draining", http.StatusServiceUnavailable
	}
	c.JSON(status, out)
}
