package httpapi

import (
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/yupiao/yupiao/pkg/answer"
)

const (
	jsonType = "application/json; charset=utf-8"
	varies   = "Accept-Encoding, " + headerPosition
)

// reply is a kept answer as it goes out: by gin, or in the lane.
type reply struct {
	status  int
	body    []byte // none if the caller has it already
	headers [13]header
	used    int
}

// header of a response. A reply's are in the order in which net/http writes them.
type header struct{ name, value string }

func (r *reply) set(name, value string) {
	r.headers[r.used] = header{name, value}
	r.used++
}

func (r *reply) outcome() outcome {
	if r.status == http.StatusNotModified {
		return notModified
	}
	return ok
}

// asking is what a request says of how it wants to be answered.
type asking struct {
	ifNoneMatch    []string
	acceptEncoding string
	// last: the response must say that it is the connection's last.
	last bool
}

// reply turns what the cache gave into what goes out, with the header Vary. A problem says why it does not.
func (s *Server) reply(a *answer.Served, how asking, vary string) (r reply, problem *Problem) {
	if a.TooOld {
		return r, &Problem{Kind: notFresh, Detail: "the answer is " + aged(a.Age, a.Proved) + ", and nothing newer has come from the booking system", RetryAfter: time.Second}
	}
	if problem := refuse(a.Age, a.Proved, a.Effects.RefuseAfter); problem != nil {
		return r, problem
	}
	f := freshness{asOf: a.AsOf, age: a.Age, proved: a.Proved}
	s.judge(&f, a.Effects.DegradedAfter, a.Behind)
	if f.proved {
		s.traffic.ages.Record(f.age)
		r.set("Age", seconds(f.age))
	}
	r.set("Cache-Control", a.Caching)
	if how.last {
		r.set("Connection", "close")
	}
	r.content(a, how)
	r.set("Vary", vary)
	r.set("X-Content-Type-Options", "nosniff")
	if f.proved {
		r.set("Yupiao-As-Of", s.asOf.text(f.asOf))
	}
	r.set(headerPosition, a.Position)
	r.set("Yupiao-State", f.state)
	return r, nil
}

// content is the body, or 304 (H3).
func (r *reply) content(a *answer.Served, how asking) {
	if matches(how.ifNoneMatch, a.Tag) {
		r.status = http.StatusNotModified
		r.set("Etag", a.Tag)
		return
	}
	form, tag := a.In(codingOf(how.acceptEncoding)), a.Tag
	r.status, r.body = http.StatusOK, form.Body
	if form.Coding != answer.Plain {
		tag = a.WeakTag
		r.set("Content-Encoding", form.Coding.String())
	}
	r.set("Content-Length", form.Length)
	r.set("Content-Type", jsonType)
	r.set("Etag", tag)
}

// send sends it by gin.
func (r *reply) send(c *gin.Context) {
	h, values := c.Writer.Header(), make([]string, r.used)
	for i, field := range r.headers[:r.used] {
		values[i] = field.value
		h[field.name] = values[i : i+1 : i+1] // the names are canonical
	}
	c.Status(r.status)
	if r.body == nil {
		c.Writer.WriteHeaderNow()
		return
	}
	_, _ = c.Writer.Write(r.body) // a client that is gone needs no answer
}

// append writes it as net/http does. What the origin is told comes first.
func (r *reply) append(dst []byte, date, origin string) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(r.status), 10)
	dst = append(append(append(dst, ' '), http.StatusText(r.status)...), origin...)
	for _, field := range r.headers[:r.used] {
		dst = append(append(append(append(dst, "\r\n"...), field.name...), ": "...), field.value...)
	}
	dst = append(append(dst, "\r\nDate: "...), date...)
	return append(append(dst, "\r\n\r\n"...), r.body...)
}

// seconds is a whole number of them; the first ones are made already.
func seconds(age time.Duration) string {
	n := int(age / time.Second)
	if n >= 0 && n < len(smallNumbers) {
		return smallNumbers[n]
	}
	return strconv.Itoa(n)
}

var smallNumbers = func() (all [100]string) {
	for n := range all {
		all[n] = strconv.Itoa(n)
	}
	return all
}()
