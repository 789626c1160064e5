package event

import (
	"errors"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// Wire types of fields, as the low three bits of a tag.
const (
	varintType  = uint64(protowire.VarintType)
	fixed64Type = uint64(protowire.Fixed64Type)
	bytesType   = uint64(protowire.BytesType)
)

// What a message can lack to be one of protobuf's binary form.
var (
	errWire = errors.New("not protobuf's wire format")
	errUTF8 = errors.New("a string is not UTF-8")
)

// wire reads the fields of one message in protobuf's binary form, by the rules of generated code: of a scalar that comes twice the last value holds, embedded
// messages merge, and a field of another number or wire type than the schema's is skipped. So a loop over next looks so:
//
//	for tag := w.next(); tag != 0; tag = w.next() {
//		switch tag {
//		case 1<<3 | varintType:
//			value = uint32(w.varint())
//		default:
//			w.skip(tag)
//		}
//	}
//
// What cannot be read gives a zero value, ends the loop and stays in err.
type wire struct {
	data []byte
	at   int
	err  error
}

// next moves on to a field and returns its tag, number<<3 | wire type; 0 at the end.
func (w *wire) next() uint64 {
	if w.at >= len(w.data) {
		return 0
	}
	tag := w.varint()
	if n := tag >> 3; n < uint64(protowire.MinValidNumber) || n > uint64(protowire.MaxValidNumber) {
		w.fail(errWire)
		return 0
	}
	return tag
}

// varint reads the value of a field of varintType.
func (w *wire) varint() uint64 {
	if w.at < len(w.data) && w.data[w.at] < 0x80 {
		w.at++
		return uint64(w.data[w.at-1])
	}
	return w.longVarint()
}

func (w *wire) longVarint() uint64 {
	v, n := protowire.ConsumeVarint(w.data[w.at:])
	w.move(n)
	return v
}

// sint32 reads the value of a zigzag field of varintType.
func (w *wire) sint32() int32 { return int32(protowire.DecodeZigZag(w.varint() & 0xffffffff)) }

// fixed64 reads the value of a field of fixed64Type.
func (w *wire) fixed64() uint64 {
	v, n := protowire.ConsumeFixed64(w.data[w.at:])
	w.move(n)
	return v
}

// bytes reads the value of a field of bytesType. It is part of the message.
func (w *wire) bytes() []byte {
	n := w.varint()
	if w.err != nil || n > uint64(len(w.data)-w.at) {
		w.fail(errWire)
		return nil
	}
	from := w.at
	w.at += int(n)
	return w.data[from:w.at]
}

// text reads bytes that must be UTF-8.
func (w *wire) text() []byte {
	b := w.bytes()
	if !utf8.Valid(b) {
		w.fail(errUTF8)
		return nil
	}
	return b
}

// skip passes over the value of a field that the schema does not know.
func (w *wire) skip(tag uint64) {
	w.move(protowire.ConsumeFieldValue(protowire.Number(tag>>3), protowire.Type(tag&7), w.data[w.at:]))
}

// move passes over so many bytes; a negative number is protowire's word for what is broken.
func (w *wire) move(n int) {
	if n < 0 {
		w.fail(errWire)
		return
	}
	w.at += n
}

// fail ends the reading, unless err is nil. The first error stays.
func (w *wire) fail(err error) {
	if err != nil && w.err == nil {
		w.err, w.at = err, len(w.data)
	}
}
