package httpapi

import (
	"net/http"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/yupiao/yupiao/pkg/answer"
	"github.com/yupiao/yupiao/pkg/lane"
	"github.com/yupiao/yupiao/pkg/limit"
	"github.com/yupiao/yupiao/pkg/replica"
)

// HotPath is the one that Hot answers.
const HotPath = "/v1/availability"

// Hot answers a search in the lane, as availability does by gin. What is not answered with numbers is left to gin.
func (s *Server) Hot(dst []byte, q *lane.Request) (response []byte, ok bool) {
	defer func() {
		if v := recover(); v != nil {
			s.log.Error("panic while answering in the lane", "panic", v, "stack", string(debug.Stack()))
			response, ok = dst, false
		}
	}()
	if s.buckets.On() {
		return s.hotLimited(dst, q)
	}
	return s.hot(dst, q)
}

// hotLimited is hot for those who may not ask as often as they like.
func (s *Server) hotLimited(dst []byte, q *lane.Request) (response []byte, ok bool) {
	c := s.client(q.From, q.ForwardedFor, q.RealIP, q.Key)
	if !s.buckets.Take(c, s.clock()) {
		return s.refuse(dst, q, s.tooOften.Load(), limited), true
	}
	if response, ok = s.hot(dst, q); !ok {
		s.buckets.Return(c) // gin takes it
	}
	return response, ok
}

// refuse refuses a request in the lane.
func (s *Server) refuse(dst []byte, q *lane.Request, r *refusal, o outcome) []byte {
	response := r.append(dst, q, *s.origins.Load())
	s.answered(q, o, r.replies[0][0].status, len(response)-len(dst))
	return response
}

func (s *Server) hot(dst []byte, q *lane.Request) (response []byte, ok bool) {
	now, r := s.clock(), s.source.Replica()
	if r == nil {
		return dst, false
	}
	demand := cacheDemand(q.CacheControl)
	var a answer.Served
	e := s.answers.Find(q.Query, r.Index(), now)
	if e != nil {
		a, ok = e.Kept(r, now, demand)
	}
	if !ok {
		pass, in := s.gate.Enter(priority(q.IfNoneMatch != ""))
		if !in {
			return s.refuse(dst, q, overloaded, shed), true
		}
		if a, ok = s.make(pass, q, e, demand); !ok {
			return dst, false
		}
	}
	origins := *s.origins.Load()
	reply, problem := s.reply(&a, asking{ifNoneMatch: []string{q.IfNoneMatch}, acceptEncoding: q.AcceptEncoding, last: q.Last}, origins.vary())
	if problem != nil {
		return dst, false
	}
	response = reply.append(dst, q.Date, origins.lines(q.Origin))
	s.answered(q, reply.outcome(), reply.status, len(response)-len(dst))
	return response, true
}

// make makes an answer that is not kept, or no longer true. It may have waited for its turn, so that everything is looked at anew. False if it is gin's to answer.
func (s *Server) make(pass limit.Pass, q *lane.Request, asked *answer.Entry, d answer.Demand) (a answer.Served, ok bool) {
	defer pass.Leave()
	now, r := s.clock(), s.source.Replica()
	if r == nil {
		return a, false
	}
	switch e := s.entry(q.Query, r, now); e {
	case nil:
		return a, false
	case asked:
		return e.Make(r, now, d), true
	default:
		return e.Serve(r, now, d), true
	}
}

// answered notes what came of a request in the lane.
func (s *Server) answered(q *lane.Request, o outcome, status, bytes int) {
	took := time.Since(q.Read)
	s.traffic.took[toAvailability][o].Record(took)
	if s.trace != nil {
		s.tell(q.TraceParent, http.MethodGet, toAvailability, o, status, q.Read, took)
	}
	if s.logged() {
		client := s.behind(q.From, q.ForwardedFor, q.RealIP)
		s.access(http.MethodGet, HotPath, strings.Clone(q.Query), client.String(), o, status, bytes, took)
	}
}

// entry finds or makes the entry of a query; nil if it has none. The query is the lane's memory.
func (s *Server) entry(raw string, r *replica.Replica, now time.Time) *answer.Entry {
	if e := s.answers.Find(raw, r.Index(), now); e != nil {
		return e
	}
	q, offers, problem := s.question(strings.Clone(raw), r, now)
	if offers || problem != nil {
		return nil
	}
	return s.answers.Join(*q, now)
}

// asOfText remembers the last time that was written: the same for all answers until the next heartbeat.
type asOfText struct{ last atomic.Pointer[timeText] }

type timeText struct {
	at   time.Time
	text string
}

func (a *asOfText) text(at time.Time) string {
	t := a.last.Load()
	if t == nil || !t.at.Equal(at) {
		t = &timeText{at, at.UTC().Format(timeLayout)}
		a.last.Store(t)
	}
	return t.text
}
