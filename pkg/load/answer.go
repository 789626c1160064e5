package load

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http/httputil"
	"strconv"
	"time"
)

// errMalformed marks an answer that is no HTTP/1.1.
var errMalformed = errors.New("malformed answer")

const (
	bufferSize = 16 << 10 // of a connection; longer lines of a head are refused
	mostLines  = 100      // of a head
)

// head is what counts of an answer's head. It is used again for the next one.
type head struct {
	status  int
	length  int64 // of the body; -1 if it is not told
	chunked bool
	closes  bool
	tag     []byte
	// age is how old the answer was by its header Age, in whole seconds, and asOf what it was complete up to by Yupiao-As-Of; negative and zero if it did not say.
	age  time.Duration
	asOf time.Time
	// retry is Retry-After, 0 without one.
	retry time.Duration
}

// line reads a line without its end. It is good until the next read.
func line(in *bufio.Reader) ([]byte, error) {
	text, err := in.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, fmt.Errorf("%w: a line of more than %d bytes", errMalformed, bufferSize)
	case errors.Is(err, io.EOF) && len(text) > 0:
		return nil, io.ErrUnexpectedEOF
	case err != nil:
		return nil, err
	}
	return bytes.TrimSuffix(text[:len(text)-1], []byte("\r")), nil
}

// read reads the head of an answer; interim ones (1xx) are passed over. The error is io.EOF if there was nothing at all.
func (h *head) read(in *bufio.Reader) error {
	for {
		*h = head{length: -1, age: -1, tag: h.tag[:0]}
		if err := h.readOne(in); err != nil || h.status >= 200 {
			return err
		}
	}
}

func (h *head) readOne(in *bufio.Reader) error {
	text, err := line(in)
	if err != nil {
		return err
	}
	// "HTTP/1.1 200 OK", of which the reason may be missing
	version, rest, _ := bytes.Cut(text, []byte(" "))
	code, _, _ := bytes.Cut(rest, []byte(" "))
	h.status, err = strconv.Atoi(string(code))
	if err != nil || len(code) != 3 || h.status < 100 || string(version) != "HTTP/1.1" && string(version) != "HTTP/1.0" {
		return fmt.Errorf("%w: first line %.40q", errMalformed, text)
	}
	h.closes = string(version) == "HTTP/1.0"
	for range mostLines {
		text, err := line(in)
		if errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF
		}
		if err != nil || len(text) == 0 {
			return err
		}
		if err := h.field(text); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: more than %d lines", errMalformed, mostLines)
}

// field takes a line of the head.
func (h *head) field(text []byte) (err error) {
	name, value, ok := bytes.Cut(text, []byte(":"))
	if !ok || len(name) == 0 || bytes.ContainsAny(name, " \t") {
		return fmt.Errorf("%w: line %.40q", errMalformed, text)
	}
	value = bytes.TrimSpace(value)
	switch is := func(want string) bool { return len(name) == len(want) && bytes.EqualFold(name, []byte(want)) }; {
	case is("Content-Length"):
		length, err := strconv.ParseUint(string(value), 10, 62)
		if err != nil || h.length >= 0 && h.length != int64(length) {
			return fmt.Errorf("%w: line %.40q", errMalformed, text)
		}
		h.length = int64(length)
	case is("Transfer-Encoding"):
		if h.chunked = bytes.EqualFold(value, []byte("chunked")); !h.chunked {
			return fmt.Errorf("%w: line %.40q", errMalformed, text)
		}
	case is("Connection"):
		h.closes = h.closes || bytes.EqualFold(value, []byte("close"))
	case is("ETag"):
		h.tag = append(h.tag[:0], value...)
	case is("Age"):
		h.age = wholeSeconds(value, -1)
	case is("Retry-After"):
		h.retry = wholeSeconds(value, 0)
	case is("Yupiao-As-Of"):
		h.asOf, _ = time.Parse(time.RFC3339, string(value)) // zero if it is no time
	}
	return nil
}

// wholeSeconds reads a number of seconds of up to some years; what else stands there is as if nothing did.
func wholeSeconds(text []byte, otherwise time.Duration) time.Duration {
	n, err := strconv.ParseUint(string(text), 10, 31)
	if err != nil {
		return otherwise
	}
	return time.Duration(n) * time.Second
}

// body is the answer's body. What ends only with the connection is read until then.
func (h *head) body(in *bufio.Reader) io.Reader {
	switch {
	case h.status == 204 || h.status == 304:
		return io.LimitReader(in, 0)
	case h.chunked:
		return httputil.NewChunkedReader(in)
	case h.length >= 0:
		return io.LimitReader(in, h.length)
	default:
		h.closes = true
		return in
	}
}

// skip reads the body and forgets it; n is its size.
func (h *head) skip(in *bufio.Reader) (n int64, err error) {
	if h.chunked || h.length < 0 || h.status == 204 || h.status == 304 {
		n, err = io.Copy(io.Discard, h.body(in))
		if err == nil && h.chunked && h.status != 304 && h.status != 204 {
			err = trailer(in)
		}
		return n, err
	}
	for n < h.length && err == nil { // the usual case, without a copy
		var k int
		k, err = in.Discard(int(min(h.length-n, bufferSize)))
		n += int64(k)
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// trailer reads what follows the last chunk: lines up to an empty one.
func trailer(in *bufio.Reader) error {
	for range mostLines {
		text, err := line(in)
		if errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF
		}
		if err != nil || len(text) == 0 {
			return err
		}
	}
	return fmt.Errorf("%w: more than %d lines", errMalformed, mostLines)
}

// old is how old the answer was when it had been read; false if it does not say.
func (h *head) old(now time.Time) (time.Duration, bool) {
	if !h.asOf.IsZero() {
		return max(now.Sub(h.asOf), 0), true
	}
	return max(h.age, 0), h.age >= 0
}
