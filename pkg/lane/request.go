package lane

import (
	"net"
	"net/netip"
	"time"
	"unsafe"
)

// Request is a request that the lane has read. All its texts are valid during the call only, and absent headers are empty.
type Request struct {
	// Query is what follows the path and its question mark: printable ASCII as it was sent.
	Query string
	// AcceptEncoding, CacheControl, IfNoneMatch, Origin and TraceParent are the headers' values, each sent once.
	AcceptEncoding, CacheControl, IfNoneMatch, Origin, TraceParent string
	// ForwardedFor and RealIP are what a proxy says of the client, and Key what it says in the header that Options name. Whoever is at the other end may have written them.
	ForwardedFor, RealIP, Key string
	// Date is the value of the response's header Date.
	Date string
	// Last: the response must say Connection: close.
	Last bool
	// Read is when it had been read.
	Read time.Time

	// From is the address at the connection's other end; the zero one if that has none.
	From netip.Addr

	seen field // headers that may come once
}

// addressOf is the address of a connection's other end.
func addressOf(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

// field is a header that the lane knows, as a bit.
type field uint16

const (
	host field = 1 << iota
	acceptEncoding
	cacheControl
	ifNoneMatch
	origin
	traceParent
	forwardedFor
	realIP
	clientKey
)

// verdict is what the beginning of a request is to the lane.
type verdict uint8

const (
	hot     verdict = iota // the lane's, and whole
	partial                // the lane's as far as it goes
	foreign                // net/http's
)

// expected is what a hot request begins with, and the header, in lower case, that tells its client's key; empty for none.
type expected struct{ prefix, key string }

// parse reads the head of a request that begins with prefix, the method, the path and a question mark, into r, and tells its length. It knows only the strictest form of
// HTTP/1.1 (RFC 9112), in which no two readers differ; whatever is unusual is foreign (L1).
func parse(b []byte, want *expected, r *Request) (length int, v verdict) {
	*r = Request{Date: r.Date, Last: r.Last, Read: r.Read, From: r.From}
	i, v := r.line(b, want.prefix)
	for v == hot {
		if rest := b[i:]; len(rest) > 0 && rest[0] == '\r' {
			return i + len(crlf), r.end(rest)
		}
		i, v = r.field(b, i, want.key)
	}
	return 0, v
}

const (
	crlf    = "\r\n"
	version = " HTTP/1.1\r\n"
)

// line reads the request line.
func (r *Request) line(b []byte, prefix string) (next int, v verdict) {
	i, v := expect(b, 0, prefix)
	if v != hot {
		return 0, v
	}
	start := i
	for i < len(b) && bytesOf[b[i]]&inQuery != 0 {
		i++
	}
	r.Query = text(b[start:i])
	return expect(b, i, version)
}

// expect reads a text that must come at a place.
func expect(b []byte, at int, want string) (next int, v verdict) {
	n := min(len(b)-at, len(want))
	switch {
	case text(b[at:at+n]) != want[:n]:
		return 0, foreign
	case n < len(want):
		return 0, partial
	}
	return at + n, hot
}

// end reads the empty line; a host must have come before it.
func (r *Request) end(rest []byte) verdict {
	_, v := expect(rest, 0, crlf)
	if v == hot && r.seen&host == 0 {
		return foreign
	}
	return v
}

// field reads a header from its first byte on.
func (r *Request) field(b []byte, start int, key string) (next int, v verdict) {
	colon := start
	for colon < len(b) && bytesOf[b[colon]]&inName != 0 {
		colon++
	}
	if colon == len(b) {
		return 0, partial
	}
	if colon == start || b[colon] != ':' {
		return 0, foreign
	}
	end := colon + 1
	for end < len(b) && bytesOf[b[end]]&inValue != 0 {
		end++
	}
	if next, v = expect(b, end, crlf); v == hot && !r.take(b[start:colon], trim(b[colon+1:end]), key) {
		v = foreign
	}
	return next, v
}

// trim takes white space away on both sides.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// take notes a header, or lets it pass. False for one after which net/http would do what the lane does not: read a body, wait, switch, close, or wait for a position.
func (r *Request) take(name, value []byte, key string) bool {
	if key != "" && !r.keep(name, key, &r.Key, clientKey, value) {
		return false
	}
	switch len(name) {
	case len("Host"):
		return !is(name, "host") || isHost(value) && r.once(host)
	case len("Origin"):
		return r.keep(name, "origin", &r.Origin, origin, value) && !is(name, "expect") && !is(name, "pragma")
	case len("Upgrade"):
		return !is(name, "upgrade") && !is(name, "trailer")
	case len("X-Real-IP"):
		return r.keep(name, "x-real-ip", &r.RealIP, realIP, value)
	case len("Connection"):
		return !is(name, "connection") || is(value, "keep-alive")
	case len("traceparent"):
		return r.keep(name, "traceparent", &r.TraceParent, traceParent, value)
	case len("If-None-Match"):
		return r.keep(name, "if-none-match", &r.IfNoneMatch, ifNoneMatch, value) && r.keep(name, "cache-control", &r.CacheControl, cacheControl, value)
	case len("Content-Length"):
		return !is(name, "content-length")
	case len("Accept-Encoding"):
		return r.keep(name, "accept-encoding", &r.AcceptEncoding, acceptEncoding, value) && r.keep(name, "x-forwarded-for", &r.ForwardedFor, forwardedFor, value) && !is(name, "yupiao-position")
	case len("Transfer-Encoding"):
		return !is(name, "transfer-encoding")
	}
	return true
}

// keep keeps the value of a header if it has the name. False if it comes a second time.
func (r *Request) keep(name []byte, want string, into *string, f field, value []byte) bool {
	if !is(name, want) {
		return true
	}
	*into = text(value)
	return r.once(f)
}

// once reports whether a header comes for the first time.
func (r *Request) once(f field) bool {
	before := r.seen
	r.seen |= f
	return before&f == 0
}

// isHost: the characters of names, addresses and ports; net/http judges all others.
func isHost(value []byte) bool {
	for _, c := range value {
		if bytesOf[c]&inHost == 0 {
			return false
		}
	}
	return len(value) > 0
}

// is reports whether a name is the wanted one, which is in lower case.
func is(name []byte, want string) bool {
	if len(name) != len(want) {
		return false
	}
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != want[i] {
			return false
		}
	}
	return true
}

// text is bytes as a string, for as long as nobody writes to them.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// What a byte may be part of.
const (
	inQuery uint8 = 1 << iota // a query: printable, but no fragment's sign
	inName                    // the name of a header: a token (RFC 9110, 5.6.2)
	inValue                   // the value of a header: printable ASCII, space and tab
	inHost                    // a host with its port
)

// bytesOf is by byte what it may be part of.
var bytesOf = func() (t [256]uint8) {
	for c := byte(' '); c <= '~'; c++ {
		t[c] |= inValue
		if c != ' ' && c != '#' {
			t[c] |= inQuery
		}
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '-', c == '.':
			t[c] |= inName | inHost
		case c == ':', c == '[', c == ']':
			t[c] |= inHost
		}
	}
	t['\t'] |= inValue
	for _, c := range "!#$%&'*+^_`|~" {
		t[c] |= inName
	}
	return t
}()
