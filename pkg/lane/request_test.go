package lane

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

const prefix = "GET /v1/availability?"

var want = expected{prefix, "x-key"}

// line is a request with some headers.
func line(query string, headers ...string) string {
	return prefix + query + " HTTP/1.1\r\n" + strings.Join(headers, "\r\n") + strings.Repeat("\r\n", min(len(headers), 1)) + "\r\n"
}

// L1: what the lane takes and what it does not.
func TestParse(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		want verdict
	}{
		"whole":                    {line("from=BJP", "Host: a"), hot},
		"nothing":                  {"", partial},
		"a beginning":              {"GE", partial},
		"no end":                   {prefix + "from=BJP HTTP/1.1\r\nHost: a\r\n", partial},
		"half an end":              {prefix + "from=BJP HTTP/1.1\r\nHost: a\r\n\r", partial},
		"half a name":              {prefix + "from=BJP HTTP/1.1\r\nHos", partial},
		"another path":             {"GET /v1/stations?q=b HTTP/1.1\r\n", foreign},
		"another method":           {"POST /v1/availability?", foreign},
		"head":                     {"HEAD /v1/availability?", foreign},
		"without a query":          {"GET /v1/availability HTTP/1.1\r\nHost: a\r\n\r\n", foreign},
		"absolute":                 {"GET http://a/v1/availability?from=BJP HTTP/1.1\r\nHost: a\r\n\r\n", foreign},
		"HTTP/1.0":                 {prefix + " HTTP/1.0\r\nHost: a\r\n\r\n", foreign},
		"a fragment":               {line("from=BJP#x", "Host: a"), foreign},
		"bare newlines":            {prefix + " HTTP/1.1\nHost: a\n\n", foreign},
		"a newline in a value":     {line("", "Host: a\nX: b"), foreign},
		"not ASCII in the query":   {line("from=北京", "Host: a"), foreign},
		"not ASCII in a value":     {line("", "Host: a", "X: ä"), foreign},
		"a folded line":            {line("", "Host: a", " b"), foreign},
		"a space before the colon": {line("", "Host : a"), foreign},
		"no name":                  {line("", "Host: a", ": b"), foreign},
		"no host":                  {line("", "X: a"), foreign},
		"no headers":               {line(""), foreign},
		"two hosts":                {line("", "Host: a", "host: a"), foreign},
		"an odd host":              {line("", "Host: a/b"), foreign},
		"an empty host":            {line("", "Host:"), foreign},
		"a port":                   {line("", "Host: [::1]:8080"), hot},
		"keep-alive":               {line("", "Host: a", "Connection: Keep-Alive"), hot},
		"close":                    {line("", "Host: a", "Connection: close"), foreign},
		"a body":                   {line("", "Host: a", "Content-Length: 0"), foreign},
		"chunks":                   {line("", "Host: a", "transfer-encoding: chunked"), foreign},
		"100-continue":             {line("", "Host: a", "Expect: 100-continue"), foreign},
		"upgrade":                  {line("", "Host: a", "Upgrade: h2c"), foreign},
		"trailer":                  {line("", "Host: a", "Trailer: x"), foreign},
		"pragma":                   {line("", "Host: a", "Pragma: no-cache"), foreign},
		"a position":               {line("", "Host: a", "Yupiao-Position: x"), foreign},
		"two tags":                 {line("", "Host: a", `If-None-Match: "a"`, `If-None-Match: "b"`), foreign},
		"two demands":              {line("", "Host: a", "Cache-Control: a", "Cache-Control: b"), foreign},
		"two codings":              {line("", "Host: a", "Accept-Encoding: gzip", "accept-encoding: zstd"), foreign},
		"two proxies' headers":     {line("", "Host: a", "X-Forwarded-For: 1.2.3.4", "x-forwarded-for: 1.2.3.4"), foreign},
		"two real addresses":       {line("", "Host: a", "X-Real-Ip: 1.2.3.4", "x-real-ip: 1.2.3.4"), foreign},
		"two origins":              {line("", "Host: a", "Origin: a", "Origin: b"), foreign},
		"two keys":                 {line("", "Host: a", "X-Key: a", "X-Key: b"), foreign},
		"a browser":                {line("from=%E5%8C%97%E4%BA%AC", "Host: a", "User-Agent: Mozilla/5.0 (X11)", "Accept: */*", "Cookie: a=b; c=d", "Range: bytes=0-1", "X-Empty:"), hot},
	} {
		var r Request
		if n, v := parse([]byte(c.in), &want, &r); v != c.want || v == hot && n != len(c.in) {
			t.Errorf("%s: %d, length %d of %d; want %d", name, v, n, len(c.in), c.want)
		}
	}
	var r Request
	_, v := parse([]byte(line("a=b&c", "HOST: x", "accept-encoding:  gzip, zstd\t", `If-None-Match: W/"1"`, "Cache-Control:max-age=3", "X-Forwarded-For: 1.2.3.4, 5.6.7.8", "X-Real-IP: ::1", "x-KEY: k", "ORIGIN: http://a")), &want, &r)
	if v != hot || r.Query != "a=b&c" || r.AcceptEncoding != "gzip, zstd" || r.IfNoneMatch != `W/"1"` || r.CacheControl != "max-age=3" || r.ForwardedFor != "1.2.3.4, 5.6.7.8" || r.RealIP != "::1" || r.Key != "k" || r.Origin != "http://a" {
		t.Errorf("%d %+v", v, r)
	}
}

// L1: the beginning of a request is never foreign if the whole is hot, nor hot before its end.
func TestParseBeginnings(t *testing.T) {
	whole := []byte(line("from=BJP&to=SHH", "Host: a:80", "Accept: */*", "Accept-Encoding: gzip"))
	for n := range whole {
		if _, v := parse(whole[:n], &want, new(Request)); v != partial {
			t.Errorf("%q is %d", whole[:n], v)
		}
	}
}

// L1: what the lane reads, net/http reads alike: the same request of the same length, without a body, on a connection that stays open.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		line("from=BJP", "Host: a"), line("a=%zz", "Host: a:1", "Accept-Encoding: gzip;q=0"), line("", "Host: a", "Connection: keep-alive", "X: y") + "GET / HTTP/1.1",
		line("?", "Host: a", "Cache-Control: no-cache"), line("", "Host: a", "X-Forwarded-For: 1.2.3.4 , ::1", "X-Real-IP:\t::1 ", "X-Key: a", "Origin: null"), prefix + "x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var r Request
		n, v := parse(in, &want, &r)
		if v != hot {
			return
		}
		source := bytes.NewReader(in)
		b := bufio.NewReaderSize(source, 16)
		theirs, err := http.ReadRequest(b)
		if err != nil {
			t.Fatalf("%q: %v", in, err)
		}
		body, err := io.ReadAll(theirs.Body)
		if left := source.Len() + b.Buffered(); err != nil || len(body) > 0 || left != len(in)-n {
			t.Fatalf("%q: %d bytes are left, a body of %d; the lane leaves %d", in, left, len(body), len(in)-n)
		}
		get := func(name string) string { return strings.Join(theirs.Header.Values(name), "|") }
		if theirs.Method != "GET" || theirs.URL.Path != "/v1/availability" || theirs.URL.RawQuery != r.Query || theirs.Close || theirs.Proto != "HTTP/1.1" || theirs.Host == "" ||
			get("Accept-Encoding") != r.AcceptEncoding || get("Cache-Control") != r.CacheControl || get("If-None-Match") != r.IfNoneMatch ||
			get("X-Forwarded-For") != r.ForwardedFor || get("X-Real-Ip") != r.RealIP || get("X-Key") != r.Key || get("Origin") != r.Origin || get("Yupiao-Position") != "" {
			t.Fatalf("%q: %+v; the lane read %+v", in, theirs, r)
		}
	})
}
