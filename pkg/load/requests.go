package load

import (
	"net/url"
	"sync/atomic"

	"github.com/yupiao/yupiao/pkg/demand"
)

// requests writes requests. All its methods may be called at once.
type requests struct {
	dates int
	pairs []string // "from=...&to=..." of each pair
	days  []string // "&date=..." of each date
	rest  string   // of every request, up to the end of its head
	tags  []atomic.Pointer[string]
}

func newRequests(o *Options, host string) *requests {
	r := &requests{dates: len(o.Dates), rest: " HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: yupiao-load\r\n"}
	for rank := range demand.Rank(o.Demand.Len()) {
		p := o.Demand.Pair(rank)
		r.pairs = append(r.pairs, "from="+url.QueryEscape(p.From.String())+"&to="+url.QueryEscape(p.To.String()))
	}
	for _, date := range o.Dates {
		r.days = append(r.days, "&date="+date.String())
	}
	if o.Conditional > 0 {
		r.tags = make([]atomic.Pointer[string], len(r.pairs)*len(r.days))
	}
	return r
}

// key numbers the answers that may be asked for.
func (r *requests) key(q question) int { return int(q.pair)*r.dates + q.date }

// availability appends a seat search.
func (r *requests) availability(b []byte, q question) []byte {
	b = r.start(b, "/v1/availability?", q)
	if q.conditional {
		if tag := r.tags[r.key(q)].Load(); tag != nil {
			b = append(append(append(b, "If-None-Match: "...), *tag...), "\r\n"...)
		}
	}
	if q.gzip {
		b = append(b, "Accept-Encoding: gzip\r\n"...)
	}
	return append(b, "\r\n"...)
}

// stream appends a request for a stream, after the event of an id; empty for none.
func (r *requests) stream(b []byte, q question, after string) []byte {
	b = append(r.start(b, "/v1/stream?", q), "Accept: text/event-stream\r\n"...)
	if after != "" {
		b = append(append(append(b, "Last-Event-ID: "...), after...), "\r\n"...)
	}
	return append(b, "\r\n"...)
}

func (r *requests) start(b []byte, path string, q question) []byte {
	b = append(append(b, "GET "...), path...)
	return append(append(append(b, r.pairs[q.pair]...), r.days[q.date]...), r.rest...)
}

// saw keeps the tag of an answer for those who ask again.
func (r *requests) saw(q question, tag []byte) {
	if r.tags == nil || len(tag) == 0 {
		return
	}
	held := &r.tags[r.key(q)]
	if old := held.Load(); old == nil || *old != string(tag) {
		text := string(tag)
		held.Store(&text)
	}
}
