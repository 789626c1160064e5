package httpapi

import (
	"net/http"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/yupiao/yupiao/pkg/answer"
	"github.com/yupiao/yupiao/pkg/lane"
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
	now, r := s.clock(), s.source.Replica()
	if r == nil {
		return dst, false
	}
	e := s.entry(q.Query, r, now)
	if e == nil {
		return dst, false
	}
	a := e.Serve(r, now, cacheDemand(q.CacheControl))
	reply, problem := s.reply(&a, asking{ifNoneMatch: []string{q.IfNoneMatch}, acceptEncoding: q.AcceptEncoding, last: q.Last})
	if problem != nil {
		return dst, false
	}
	response = reply.append(dst, q.Date)
	o, took := reply.outcome(), time.Since(q.Read)
	s.traffic.took[toAvailability][o].Record(took)
	if s.trace != nil {
		s.tell(q.TraceParent, http.MethodGet, toAvailability, o, reply.status, q.Read, took)
	}
	if s.logged() {
		s.access(http.MethodGet, HotPath, strings.Clone(q.Query), q.Client(), o, reply.status, len(response)-len(dst), took)
	}
	return response, true
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
