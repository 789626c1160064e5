package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/yupiao/yupiao/pkg/lane"
	"github.com/yupiao/yupiao/pkg/limit"
)

// parseProxies reads addresses and CIDR ranges as gin does.
func parseProxies(texts []string) (out []netip.Prefix, err error) {
	for _, text := range texts {
		p, err := netip.ParsePrefix(text)
		if a, bad := netip.ParseAddr(text); bad == nil {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil {
			return nil, fmt.Errorf("http.trusted_proxies: %q is no address and no CIDR range", text)
		}
		out = append(out, p)
	}
	return out, nil
}

// Trusted reports whether an address is a proxy's whose words about its clients are believed.
func (s *Server) Trusted(a netip.Addr) bool {
	for _, p := range s.proxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// behind is the client's address as gin's ClientIP has it: the last in X-Forwarded-For that is no trusted proxy's, or else X-Real-IP, if a trusted proxy says so. In the lane the
// headers are the lane's memory, and nobody else's here.
func (s *Server) behind(from netip.Addr, forwardedFor, realIP string) netip.Addr {
	if len(s.proxies) == 0 || !s.Trusted(from) {
		return from
	}
	for _, list := range [...]string{forwardedFor, realIP} {
		if a, ok := s.lastUntrusted(list); ok {
			return a
		}
	}
	return from
}

func (s *Server) lastUntrusted(list string) (a netip.Addr, ok bool) {
	for list != "" {
		at := strings.LastIndexByte(list, ',')
		a, err := netip.ParseAddr(strings.TrimSpace(list[at+1:]))
		if err != nil || a.Zone() != "" {
			break
		}
		if a = a.Unmap(); at < 0 || !s.Trusted(a) {
			return a, true
		}
		list = list[:at]
	}
	return a, false
}

// client is who asks. A key counts only if a trusted proxy sends it, who has checked it: whoever makes up his own would be a new client each time.
func (s *Server) client(from netip.Addr, forwardedFor, realIP, key string) limit.Client {
	if key != "" && s.Trusted(from) {
		return s.buckets.Named(key)
	}
	return s.buckets.Address(s.behind(from, forwardedFor, realIP))
}

// address is that of a request's client by gin.
func (s *Server) address(r *http.Request) netip.Addr {
	return s.behind(peer(r), joined(r, "X-Forwarded-For"), joined(r, "X-Real-Ip"))
}

// peer is the address at the connection's other end; the zero one if that has none.
func peer(r *http.Request) netip.Addr {
	p, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return p.Addr().Unmap().WithZone("")
}

// joined is a header that may come several times, as one list (RFC 9110, 5.3).
func joined(r *http.Request, name string) string { return strings.Join(r.Header[name], ",") }

// over reports whether a request of gin's is one too many of its client.
func (s *Server) over(r *http.Request) bool {
	if !s.buckets.On() {
		return false
	}
	key := ""
	if s.keyHeader != "" {
		key = r.Header.Get(s.keyHeader)
	}
	return !s.buckets.Take(s.client(peer(r), joined(r, "X-Forwarded-For"), joined(r, "X-Real-Ip"), key), s.clock())
}

// refusal is an answer to those who are one too many. It is made once: to refuse must cost less than to answer.
type refusal struct {
	slug string
	// replies by whether it is the connection's last, and whether other origins may read it.
	replies [2][2]reply
}

func newRefusal(p *Problem) *refusal {
	body, _ := json.Marshal(p) // strings and a number cannot fail
	r := &refusal{slug: p.Kind.slug}
	for i := range 4 {
		last, shared := i/2 == 1, i%2 == 1
		to := &r.replies[i/2][i%2]
		to.status, to.body = p.Kind.status, body
		to.set("Cache-Control", "no-store")
		if last {
			to.set("Connection", "close")
		}
		to.set("Content-Length", strconv.Itoa(len(body)))
		to.set("Content-Type", problemType)
		to.set("Retry-After", wholeSeconds(p.RetryAfter))
		if shared {
			to.set("Vary", "Origin")
		}
		to.set("X-Content-Type-Options", "nosniff")
	}
	return r
}

func (r *refusal) reply(last, shared bool) *reply { return &r.replies[index(last)][index(shared)] }

func index(b bool) int {
	if b {
		return 1
	}
	return 0
}

// send sends it by gin.
func (r *refusal) send(c *gin.Context) {
	c.Set(problemKey, r.slug)
	r.reply(false, false).send(c)
	c.Abort()
}

// append sends it in the lane.
func (r *refusal) append(dst []byte, q *lane.Request, o origins) []byte {
	return r.reply(q.Last, o != nil).append(dst, q.Date, o.lines(q.Origin))
}

// tooOften is the refusal of a client that is over its rate.
func tooOften(r limit.Rate) *refusal {
	return newRefusal(&Problem{Kind: rateLimited, RetryAfter: max(time.Second, r.Wait()),
		Detail: fmt.Sprintf("you may ask %g times a second, and %d times at once after a pause", r.PerSecond, max(r.Burst, 1))})
}

// always reports whether a path is answered however much is asked for: balancers must know who is there.
func always(path string) bool { return path == "/healthz" || path == "/readyz" }

// Always reports of a request's first bytes whether it is one of those.
func Always(head []byte) bool {
	method, rest, _ := strings.Cut(string(head), " ")
	path, _, whole := strings.Cut(rest, " ")
	return whole && (method == http.MethodGet || method == http.MethodHead) && always(path)
}

// overloaded is the refusal of what is more than the node can do.
var overloaded = newRefusal(&Problem{Kind: tooMuch, RetryAfter: time.Second, Detail: "there is more to do here than can be done; ask again in a moment"})

// Refusal is overloaded as a connection is told that is not let in. It has no Date: a server whose clock is not read need send none.
func Refusal() []byte {
	whole := overloaded.reply(true, false).append(nil, "", "")
	return []byte(strings.Replace(string(whole), "\r\nDate: ", "", 1))
}

// admit lets a request of gin's in, perhaps after a wait, or refuses it.
func (s *Server) admit(c *gin.Context) {
	if always(c.FullPath()) {
		return
	}
	if s.over(c.Request) {
		s.tooOften.Load().send(c)
		return
	}
	h := c.Request.Header
	pass, ok := s.gate.Enter(priority(h.Get("If-None-Match") != "" || h.Get(headerPosition) != "" || h.Get("Last-Event-ID") != ""))
	if !ok {
		overloaded.send(c)
		return
	}
	w := &worker{ResponseWriter: c.Writer, pass: pass}
	c.Writer = w
	defer w.leave()
	c.Next()
}

// priority of a request; known says that its client has an answer and asks for what is new.
func priority(known bool) limit.Priority {
	if known {
		return limit.Known
	}
	return limit.New
}

// worker is work under way. It ends when the response begins: however long a client takes to read it, or watches, he keeps nobody else from his turn.
type worker struct {
	gin.ResponseWriter
	pass limit.Pass
}

func (w *worker) leave() {
	w.pass.Leave()
	w.pass = limit.Pass{}
}

// Write is part of io.Writer.
func (w *worker) Write(b []byte) (int, error) {
	w.leave()
	return w.ResponseWriter.Write(b)
}

// WriteString is part of io.StringWriter.
func (w *worker) WriteString(text string) (int, error) {
	w.leave()
	return w.ResponseWriter.WriteString(text)
}

// Unwrap is for http.ResponseController.
func (w *worker) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// idle says that a request waits for something else than a processor: it gives up its turn.
func idle(c *gin.Context) {
	if w, ok := c.Writer.(*worker); ok {
		w.leave()
	}
}
