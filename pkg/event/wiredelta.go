package event

import (
	"fmt"

	"github.com/yupiao/yupiao/pkg/event/eventpb"
	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/rail"
)

// Deltas reads a DeltaBatch. A delta that is broken by itself is left out and reported among the faults, so that it does not take its neighbours along: its run
// will show a gap. An error means that nothing of the message could be read, or too little of it. All errors wrap ErrBroken. Batch and faults hold until the next call.
func (d *Decoder) Deltas(data []byte, f Format) (batch *DeltaBatch, faults []error, err error) {
	if f == JSON {
		data, err = binary("deltas", data, &eventpb.DeltaBatch{})
	} else {
		err = fit("deltas", data, f)
	}
	if err != nil {
		return nil, nil, err
	}
	d.batch = DeltaBatch{Deltas: d.batch.Deltas[:0], Digests: d.batch.Digests[:0]}
	d.adjusts, d.faults = d.adjusts[:0], d.faults[:0]
	odd, err := d.readBatch(data)
	if err != nil {
		odd = unreadable("deltas", err)
	}
	if odd == nil {
		odd = checkBatch(&d.batch, len(d.faults))
	}
	if odd != nil {
		return nil, nil, odd
	}
	return &d.batch, d.faults, nil
}

// checkBatch says what makes a batch void beside its parts, so many of which are broken.
func checkBatch(b *DeltaBatch, faults int) error {
	if faults > maxFaults {
		return tooMany("deltas", "broken ones in one message", maxFaults)
	}
	if err := checkText("deltas", "publisher", b.Publisher, maxName); err != nil {
		return err
	}
	return checkHistory("deltas", b.History)
}

// readBatch reads a message into d.batch and d.faults. Odd is what makes a message void that can be read; err says that it cannot be read.
func (d *Decoder) readBatch(data []byte) (odd, err error) {
	w, b := wire{data: data}, &d.batch
	for i, tag := 0, w.next(); tag != 0; tag = w.next() {
		switch tag {
		case 1<<3 | bytesType:
			w.fail(d.delta(w.bytes(), i))
			i++
		case 2<<3 | bytesType:
			digest, err := readDigest(w.bytes())
			w.fail(err)
			if odd == nil && w.err == nil {
				odd = d.digest(&digest)
			}
		case 3<<3 | bytesType:
			b.Publisher = d.text(w.text())
		case 4<<3 | varintType:
			b.Batch = w.varint()
		case 5<<3 | varintType:
			b.History = w.varint()
		case 6<<3 | fixed64Type:
			b.After = w.fixed64()
		default:
			w.skip(tag)
		}
	}
	return odd, w.err
}

// delta reads the i-th delta of a message into d.batch, or what is wrong with it into d.faults. The error says that it cannot be read.
func (d *Decoder) delta(data []byte, i int) error {
	w, m := wire{data: data}, wireDelta{from: len(d.adjusts)}
	for tag := w.next(); tag != 0; tag = w.next() {
		switch tag {
		case 1<<3 | bytesType:
			m.run = w.text()
		case 2<<3 | bytesType:
			w.fail(readVersion(w.bytes(), &m.version))
		case 3<<3 | bytesType:
			a, err := readAdjust(w.bytes())
			w.fail(err)
			if m.odd == nil && w.err == nil {
				m.odd = d.adjust(&a)
			}
			if m.adjusts++; m.odd == nil {
				m.good++
			}
		case 4<<3 | varintType:
			m.restated = w.varint() != 0
		default:
			w.skip(tag)
		}
	}
	if w.err != nil {
		return w.err
	}
	if len(d.faults) > maxFaults {
		d.adjusts = d.adjusts[:m.from] // the message is void: what is said of it has to be said only so often
		return nil
	}
	if err := d.take(&m); err != nil {
		d.adjusts = d.adjusts[:m.from]
		d.faults = append(d.faults, fmt.Errorf("deltas[%d]: %w", i, err))
	}
	return nil
}

// wireDelta is a RunDelta of the schema.
type wireDelta struct {
	run      []byte
	version  rail.Version
	restated bool
	adjusts  int // how many came
	good     int // how many of them lie in d.adjusts, from `from` on, before the first that is wrong,
	from     int
	odd      error // and why it is
}

// take adds a delta to d.batch, or says what is wrong with it.
func (d *Decoder) take(m *wireDelta) error {
	const kind = "delta"
	run, err := d.run(kind, m.run)
	if err != nil {
		return err
	}
	if err := checkVersion(kind, m.version); err != nil {
		return err
	}
	if m.restated && m.adjusts > 0 {
		return broken(kind, "adjusts", m.adjusts, "none in a restated delta")
	}
	if m.odd != nil {
		return fmt.Errorf("%s adjusts[%d]: %w", run, m.good, m.odd)
	}
	d.batch.Deltas = append(d.batch.Deltas, RunDelta{Run: run, Version: m.version, Restated: m.restated, Adjusts: since(d.adjusts, m.from)})
	return nil
}

// wireAdjust is an Adjust of the schema.
type wireAdjust struct {
	class            []byte
	bucket, from, to uint32
	by               int32
}

func readAdjust(data []byte) (m wireAdjust, err error) {
	w := wire{data: data}
	for tag := w.next(); tag != 0; tag = w.next() {
		switch tag {
		case 1<<3 | bytesType:
			m.class = w.text()
		case 2<<3 | varintType:
			m.bucket = uint32(w.varint())
		case 3<<3 | varintType:
			m.from = uint32(w.varint())
		case 4<<3 | varintType:
			m.to = uint32(w.varint())
		case 5<<3 | varintType:
			m.by = w.sint32()
		default:
			w.skip(tag)
		}
	}
	return m, w.err
}

// adjust puts an adjust on the slab, or says what is wrong with it.
func (d *Decoder) adjust(m *wireAdjust) error {
	const kind = "adjust"
	class, ok := d.code(m.class)
	if !ok {
		_, err := classOf(kind, "class", string(m.class))
		return err
	}
	if m.bucket > 255 {
		return broken(kind, "bucket", m.bucket, "0 to 255")
	}
	from, to, err := stopsOf(kind, "stops", m.from, m.to)
	if err != nil {
		return err
	}
	if !isCount(m.by) {
		return brokenCount(kind, "by", m.by)
	}
	d.adjusts = append(d.adjusts, inventory.Adjust{Class: class, Bucket: uint8(m.bucket), From: from, To: to, By: rail.SeatCount(m.by)})
	return nil
}

// wireDigest is a Digest of the schema.
type wireDigest struct {
	date []byte
	runs uint32
	hash uint64
}

func readDigest(data []byte) (m wireDigest, err error) {
	w := wire{data: data}
	for tag := w.next(); tag != 0; tag = w.next() {
		switch tag {
		case 1<<3 | bytesType:
			m.date = w.text()
		case 2<<3 | varintType:
			m.runs = uint32(w.varint())
		case 3<<3 | fixed64Type:
			m.hash = w.fixed64()
		default:
			w.skip(tag)
		}
	}
	return m, w.err
}

// digest adds a digest to d.batch, or says what is wrong with it.
func (d *Decoder) digest(m *wireDigest) error {
	date, err := rail.ParseCompactDate(string(m.date))
	if err != nil {
		return broken("deltas", "digests.date", fmt.Sprintf("%.20q", m.date), "YYYYMMDD")
	}
	d.batch.Digests = append(d.batch.Digests, Digest{Date: date, Runs: m.runs, Hash: m.hash})
	return nil
}

// readVersion reads a Version of the schema over what came of it before.
func readVersion(data []byte, v *rail.Version) error {
	w := wire{data: data}
	for tag := w.next(); tag != 0; tag = w.next() {
		switch tag {
		case 1<<3 | varintType:
			v.Epoch = w.varint()
		case 2<<3 | varintType:
			v.Revision = w.varint()
		default:
			w.skip(tag)
		}
	}
	return w.err
}
