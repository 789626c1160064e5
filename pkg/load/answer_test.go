package load

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestHead(t *testing.T) {
	now := time.Date(2026, 12, 1, 12, 0, 1, 0, time.UTC)
	for _, c := range []struct {
		text   string
		status int
		size   int64
		closes bool
		tag    string
		old    time.Duration
		left   string
	}{
		{"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nETAG: \"x\"\r\nAge: 7\r\n\r\nhelloHTTP/1.1", 200, 5, false, `"x"`, 7 * time.Second, "HTTP/1.1"},
		{"HTTP/1.1 200 OK\nContent-Length: 1\nYupiao-As-Of: 2026-12-01T12:00:00.750Z\nAge: 7\n\nh", 200, 1, false, "", 250 * time.Millisecond, ""},
		{"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nYupiao-As-Of: 2026-12-01T12:00:02.000Z\r\n\r\n", 200, 0, false, "", 0, ""},
		{"HTTP/1.1 304 Not Modified\r\nContent-Length: 50\r\nConnection: close\r\n\r\nH", 304, 0, true, "", -1, "H"},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: x\r\n\r\nH", 200, 5, false, "", -1, "H"},
		{"HTTP/1.0 503 Service Unavailable\r\n\r\nall of it", 503, 9, true, "", -1, ""},
		{"HTTP/1.1 100 Continue\r\nETag: no\r\n\r\nHTTP/1.1 429 \r\nContent-Length: 0\r\nAge: soon\r\n\r\n", 429, 0, false, "", -1, ""},
	} {
		in := bufio.NewReaderSize(strings.NewReader(c.text), bufferSize)
		var h head
		err := h.read(in)
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		size, err := h.skip(in)
		old, known := h.old(now)
		left, _ := io.ReadAll(in) // of a string
		if err != nil || h.status != c.status || size != c.size || h.closes != c.closes || string(h.tag) != c.tag || known != (c.old >= 0) || old != max(c.old, 0) || string(left) != c.left {
			t.Errorf("%q: %v %+v, %d bytes, %s old, %q is left; want %+v", c.text, err, h, size, old, left, c)
		}
	}
	for text, want := range map[string]error{
		"": io.EOF, "HTTP/1.1 200 OK": io.ErrUnexpectedEOF, "HTTP/1.1 200 OK\r\n": io.ErrUnexpectedEOF, "HTTP/1.1 200 OK\r\nA: b": io.ErrUnexpectedEOF,
		"HTTP/2 200 OK\r\n\r\n": errMalformed, "HTTP/1.1 20 OK\r\n\r\n": errMalformed, "HTTP/1.1 2000\r\n\r\n": errMalformed, "SSH-2.0\r\n": errMalformed,
		"HTTP/1.1 200 OK\r\nno colon\r\n\r\n": errMalformed, "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n": errMalformed,
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n": errMalformed, "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n": errMalformed,
		"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", bufferSize): errMalformed, "HTTP/1.1 200 OK\r\n" + strings.Repeat("a: b\r\n", mostLines+1): errMalformed,
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi": io.ErrUnexpectedEOF, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhi": io.ErrUnexpectedEOF,
	} {
		in := bufio.NewReaderSize(strings.NewReader(text), bufferSize)
		var h head
		err := h.read(in)
		if err == nil {
			_, err = h.skip(in)
		}
		if !errors.Is(err, want) {
			t.Errorf("%.40q: %v; want %v", text, err, want)
		}
	}
}

// What both this reader and net/http take for an answer, they read alike.
func FuzzHead(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"x\"\r\n\r\nhello")
	f.Add("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
	f.Add("HTTP/1.1 304 Not Modified\r\nConnection: close\r\nContent-Length: 5\r\n\r\n")
	f.Add("HTTP/1.0 200 OK\r\n\r\nrest")
	f.Fuzz(func(t *testing.T, text string) {
		in := bufio.NewReaderSize(strings.NewReader(text), bufferSize)
		var h head
		if h.read(in) != nil {
			return
		}
		size, err := h.skip(in)
		if size < 0 || err == nil && h.length >= 0 && !h.chunked && h.status != 304 && h.status != 204 && size != h.length {
			t.Fatalf("%d bytes of %d", size, h.length)
		}
		response, theirs := http.ReadResponse(bufio.NewReader(strings.NewReader(text)), nil)
		if theirs != nil || response.StatusCode < 200 || err != nil {
			return
		}
		body, theirs := io.ReadAll(response.Body)
		if theirs == nil && (response.StatusCode != h.status || int64(len(body)) != size) {
			t.Errorf("%q: status %d, %d bytes; net/http says %d, %d", text, h.status, size, response.StatusCode, len(body))
		}
	})
}

// Events, against the naive way: the whole text cut at empty lines.
func FuzzEvents(f *testing.F) {
	f.Add("event: answer\nid: 1\ndata: {}\n\n: beat\nevent: status\ndata: {\"as_of\":\"2026-12-01T12:00:00.000Z\"}\n\nevent: restart\ndata: {}\n\n")
	f.Add("retry: 1000\n\ndata\r\n\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		o := options(t)
		w := &watcher{watchers: newWatchers(&run{Options: &o})}
		w.read(bufio.NewReader(strings.NewReader(text)))
		want, some := 0, false
		for piece := range strings.Lines(text) {
			if !strings.HasSuffix(piece, "\n") {
				break
			}
			field, _, _ := strings.Cut(strings.TrimRight(piece, "\r\n"), ":")
			switch {
			case strings.TrimRight(piece, "\r\n") == "":
				if some {
					want++
				}
				some = false
			case field == "event" || field == "id" || field == "data":
				some = true
			}
		}
		if w.events != want {
			t.Errorf("%q: %d events; want %d", text, w.events, want)
		}
	})
}
