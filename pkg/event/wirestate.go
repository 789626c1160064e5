package event

import (
	"fmt"
	"slices"

	"github.com/yupiao/yupiao/pkg/event/eventpb"
	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/rail"
)

// State reads a RunState. The error wraps ErrBroken. The state holds until the next call.
func (d *Decoder) State(data []byte, f Format) (*RunState, error) {
	const kind = "state"
	var err error
	if f == JSON {
		data, err = binary(kind, data, &eventpb.RunState{})
	} else {
		err = fit(kind, data, f)
	}
	if err != nil {
		return nil, err
	}
	d.state = RunState{Classes: d.state.Classes[:0]}
	d.buckets, d.spans, d.quotas = d.buckets[:0], d.spans[:0], d.quotas[:0]
	m, err := d.readState(data)
	if err != nil {
		return nil, unreadable(kind, err)
	}
	if err := d.complete(&m); err != nil {
		return nil, err
	}
	return &d.state, nil
}

// wireState is a RunState of the schema, but for its classes.
type wireState struct {
	run, pattern, reason []byte
	version              rail.Version
	status               eventpb.SaleStatus
	opens                bool // d.stamp says when
	closes               uint32
	classes              int   // how many came; those before the first that is wrong lie in d.state,
	odd                  error // and why it is
}

func (d *Decoder) readState(data []byte) (m wireState, err error) {
	d.stamp.Seconds, d.stamp.Nanos = 0, 0
	w := wire{data: data}
	for tag := w.next(); tag != 0; tag = w.next() {
		switch tag {
		case 1<<3 | bytesType:
			m.run = w.text()
		case 2<<3 | bytesType:
			m.pattern = w.text()
		case 3<<3 | bytesType:
			w.fail(readVersion(w.bytes(), &m.version))
		case 4<<3 | varintType:
			m.status = eventpb.SaleStatus(int32(w.varint()))
		case 5<<3 | bytesType:
			m.reason = w.text()
		case 6<<3 | bytesType:
			m.opens = true
			w.fail(d.readStamp(w.bytes()))
		case 7<<3 | varintType:
			m.closes = uint32(w.varint())
		case 8<<3 | bytesType:
			odd, err := d.readClass(w.bytes(), m.classes)
			w.fail(err)
			if m.classes++; m.odd == nil {
				m.odd = odd
			}
		default:
			w.skip(tag)
		}
	}
	return m, w.err
}

// readStamp reads a Timestamp over what came of it before.
func (d *Decoder) readStamp(data []byte) error {
	w := wire{data: data}
	for tag := w.next(); tag != 0; tag = w.next() {
		switch tag {
		case 1<<3 | varintType:
			d.stamp.Seconds = int64(w.varint())
		case 2<<3 | varintType:
			d.stamp.Nanos = int32(w.varint())
		default:
			w.skip(tag)
		}
	}
	return w.err
}

// complete checks a state and fills d.state, but for its classes.
func (d *Decoder) complete(m *wireState) (err error) {
	const kind = "state"
	s := &d.state
	if s.Run, err = d.run(kind, m.run); err != nil {
		return err
	}
	if s.Pattern, err = d.pattern(kind, m.pattern); err != nil {
		return err
	}
	if len(m.reason) > 0 {
		s.Reason = d.text(m.reason)
	}
	if err := checkText(kind, "reason", s.Reason, MaxReason); err != nil {
		return err
	}
	s.Version = m.version
	if err := checkVersion(kind, s.Version); err != nil {
		return err
	}
	if s.Suspended, err = suspended(m.status); err != nil {
		return err
	}
	if m.opens {
		if s.SaleOpensAt, err = timeOf(kind, "sale_opens_at", &d.stamp); err != nil {
			return err
		}
	}
	if s.SaleClosesBefore, err = minutesOf(kind, "sale_closes_before", m.closes); err != nil {
		return err
	}
	if m.classes > rail.MaxClasses {
		return broken(kind, "classes", m.classes, fmt.Sprintf("at most %d", rail.MaxClasses))
	}
	return m.odd
}

func suspended(s eventpb.SaleStatus) (bool, error) {
	switch s {
	case eventpb.SaleStatus_OPEN:
		return false, nil
	case eventpb.SaleStatus_SUSPENDED:
		return true, nil
	default:
		return false, broken("state", "status", s, "OPEN or SUSPENDED")
	}
}

// place is where in a state something stands. It is put into words only if that is wrong.
type place struct{ class, bucket int }

func (p place) ofClass() string { return fmt.Sprintf("classes[%d]", p.class) }

func (p place) ofBucket() string { return fmt.Sprintf("classes[%d].buckets[%d]", p.class, p.bucket) }

// readClass reads the i-th ClassInventory of a state into d.state. Odd is what is wrong with it; err says that it cannot be read.
func (d *Decoder) readClass(data []byte, i int) (odd, err error) {
	w, at, from := wire{data: data}, place{class: i}, len(d.buckets)
	var code []byte
	var c inventory.Class
	for tag := w.next(); tag != 0; tag = w.next() {
		switch tag {
		case 1<<3 | bytesType:
			code = w.text()
		case 2<<3 | bytesType:
			m, err := d.readBucket(w.bytes(), at)
			w.fail(err)
			if odd == nil && w.err == nil && i < rail.MaxClasses {
				odd = d.bucket(&m, at)
			}
			at.bucket++
		case 3<<3 | varintType:
			c.Waitlist = w.varint() != 0
		default:
			w.skip(tag)
		}
	}
	if w.err != nil || i >= rail.MaxClasses {
		return nil, w.err
	}
	c.Buckets = since(d.buckets, from)
	if err := d.class(&c, code, at); err != nil {
		return err, nil
	}
	return odd, nil
}

// class adds a class to d.state, or says what is wrong with it.
func (d *Decoder) class(c *inventory.Class, code []byte, at place) error {
	const kind = "state"
	class, ok := d.code(code)
	if !ok {
		_, err := classOf(kind, at.ofClass()+".class", string(code))
		return err
	}
	if slices.ContainsFunc(d.state.Classes, func(o inventory.Class) bool { return o.Class == class }) {
		return broken(kind, at.ofClass()+".class", class, "a class that did not occur before")
	}
	c.Class = class
	d.state.Classes = append(d.state.Classes, *c)
	return nil
}

// wireBucket is a Bucket of the schema, but for its spans and quotas.
type wireBucket struct {
	kind          eventpb.BucketKind
	capacity      uint32
	spans, quotas list
}

// list is what came of a repeated field: so many, of which those before the first that is wrong lie on a slab, from `from` on.
type list struct {
	from, count int
	odd         error
}

func (d *Decoder) readBucket(data []byte, at place) (m wireBucket, err error) {
	m.spans.from, m.quotas.from = len(d.spans), len(d.quotas)
	w := wire{data: data}
	for tag := w.next(); tag != 0; tag = w.next() {
		switch tag {
		case 1<<3 | varintType:
			m.kind = eventpb.BucketKind(int32(w.varint()))
		case 2<<3 | varintType:
			m.capacity = uint32(w.varint())
		case 3<<3 | bytesType:
			s, err := readSpan(w.bytes())
			w.fail(err)
			if m.spans.odd == nil && w.err == nil {
				m.spans.odd = d.span(s, at, m.spans.count)
			}
			m.spans.count++
		case 4<<3 | bytesType:
			q, err := readQuota(w.bytes())
			w.fail(err)
			if m.quotas.odd == nil && w.err == nil {
				m.quotas.odd = d.quota(q, at, m.quotas.count)
			}
			m.quotas.count++
		default:
			w.skip(tag)
		}
	}
	return m, w.err
}

// bucket puts a bucket on the slab, or says what is wrong with it.
func (d *Decoder) bucket(m *wireBucket, at place) error {
	switch {
	case at.bucket >= inventory.MaxBuckets:
		return tooMany("state", at.ofClass()+".buckets", inventory.MaxBuckets)
	case m.kind < 0 || m.kind > eventpb.BucketKind_COUNTS:
		return broken("state", at.ofBucket()+".kind", m.kind, "WINDOWS, POOL or COUNTS")
	case m.capacity > rail.MaxCount:
		return broken("state", at.ofBucket()+".capacity", m.capacity, fmt.Sprintf("at most %d", rail.MaxCount))
	case m.spans.odd != nil:
		return m.spans.odd
	case m.quotas.odd != nil:
		return m.quotas.odd
	}
	d.buckets = append(d.buckets, inventory.Bucket{
		Kind: inventory.Kind(m.kind), Capacity: rail.SeatCount(m.capacity), Spans: since(d.spans, m.spans.from), Quotas: since(d.quotas, m.quotas.from),
	})
	return nil
}

// wireSpan is a Span of the schema.
type wireSpan struct {
	from, to uint32
	count    int32
}

func readSpan(data []byte) (m wireSpan, err error) {
	w := wire{data: data}
	for tag := w.next(); tag != 0; tag = w.next() {
		switch tag {
		case 1<<3 | varintType:
			m.from = uint32(w.varint())
		case 2<<3 | varintType:
			m.to = uint32(w.varint())
		case 3<<3 | varintType:
			m.count = w.sint32()
		default:
			w.skip(tag)
		}
	}
	return m, w.err
}

// span puts the i-th span of a bucket on the slab, or says what is wrong with it.
func (d *Decoder) span(m wireSpan, at place, i int) error {
	if i >= maxSpans {
		return tooMany("state", at.ofBucket()+".spans", maxSpans)
	}
	if !areStops(m.from, m.to) {
		return fmt.Errorf("span %d: %w", i, brokenStops("state", at.ofBucket()+".spans", m.from, m.to))
	}
	if !isCount(m.count) {
		return fmt.Errorf("span %d: %w", i, brokenCount("state", at.ofBucket()+".spans.count", m.count))
	}
	d.spans = append(d.spans, inventory.Span{From: rail.StopIndex(m.from), To: rail.StopIndex(m.to), Count: rail.SeatCount(m.count)})
	return nil
}

// wireQuota is a Quota of the schema.
type wireQuota struct{ fromFirst, fromLast, toFirst, toLast uint32 }

func readQuota(data []byte) (m wireQuota, err error) {
	w := wire{data: data}
	for tag := w.next(); tag != 0; tag = w.next() {
		switch tag {
		case 1<<3 | varintType:
			m.fromFirst = uint32(w.varint())
		case 2<<3 | varintType:
			m.fromLast = uint32(w.varint())
		case 3<<3 | varintType:
			m.toFirst = uint32(w.varint())
		case 4<<3 | varintType:
			m.toLast = uint32(w.varint())
		default:
			w.skip(tag)
		}
	}
	return m, w.err
}

// quota puts the i-th quota of a bucket on the slab, or says what is wrong with it.
func (d *Decoder) quota(m wireQuota, at place, i int) error {
	if i >= maxQuotas {
		return tooMany("state", at.ofBucket()+".quotas", maxQuotas)
	}
	if m.fromFirst > m.fromLast || m.toFirst > m.toLast {
		return broken("state", fmt.Sprintf("%s.quotas[%d]", at.ofBucket(), i), "a range that ends before it starts", "first <= last")
	}
	if last := max(m.fromLast, m.toLast); last >= rail.MaxStops {
		return broken("state", fmt.Sprintf("%s.quotas[%d]", at.ofBucket(), i), last, fmt.Sprintf("stops below %d", rail.MaxStops))
	}
	d.quotas = append(d.quotas, inventory.Quota{
		FromFirst: rail.StopIndex(m.fromFirst), FromLast: rail.StopIndex(m.fromLast), ToFirst: rail.StopIndex(m.toFirst), ToLast: rail.StopIndex(m.toLast),
	})
	return nil
}
