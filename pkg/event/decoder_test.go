package event

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/rail"
)

// used is a Decoder with something of another message in every place that it uses again.
func used(t testing.TB) *Decoder {
	t.Helper()
	d := new(Decoder)
	for _, f := range []Format{Protobuf, JSON} {
		state, err := EncodeState(someState, f)
		if err == nil {
			_, err = d.State(state, f)
		}
		if err != nil {
			t.Fatal(err)
		}
		batch, err := EncodeDeltas(someBatch, f)
		if err == nil {
			_, _, err = d.Deltas(batch, f)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// told is what an error says. Of a message that is not of its form at all, how that shows is the reader's own affair.
func told(err error) string {
	if err == nil {
		return ""
	}
	const form = ": decode "
	if before, after, found := strings.Cut(err.Error(), form); found {
		kind, _, _ := strings.Cut(after, ":")
		return before + form + kind
	}
	return err.Error()
}

func agreeOnDeltas(t *testing.T, data []byte, f Format) {
	t.Helper()
	want, wantFaults, wantErr := generatedDeltas(data, f)
	got, faults, err := used(t).Deltas(data, f)
	if told(err) != told(wantErr) || len(faults) != len(wantFaults) || !equalJSON(got, want) {
		t.Fatalf("%x:\n got %+v %v %v\nwant %+v %v %v", data, got, faults, err, want, wantFaults, wantErr)
	}
	for i := range faults {
		if told(faults[i]) != told(wantFaults[i]) {
			t.Errorf("%x: fault %d: got %v; want %v", data, i, faults[i], wantFaults[i])
		}
	}
}

func agreeOnState(t *testing.T, data []byte, f Format) {
	t.Helper()
	want, wantErr := generatedState(data, f)
	got, err := used(t).State(data, f)
	if wantErr != nil {
		want = nil // generated code leaves what it has read of a broken one
	}
	if told(err) != told(wantErr) || !equalJSON(got, want) {
		t.Fatalf("%x:\n got %+v %v\nwant %+v %v", data, got, err, want, wantErr)
	}
}

// field is a field of bytes.
func field(number protowire.Number, value ...[]byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), slices.Concat(value...))
}

// scalar is a field of a varint.
func scalar(number protowire.Number, value uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), value)
}

// group is a field that the schema does not know, in the coding that protobuf no longer uses.
func group(number protowire.Number, inside ...[]byte) []byte {
	return protowire.AppendTag(append(protowire.AppendTag(nil, number, protowire.StartGroupType), slices.Concat(inside...)...), number, protowire.EndGroupType)
}

// fixed is a field of eight bytes, whose wire type is wrong for all but a digest's hash.
func fixed(number protowire.Number, value uint64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(nil, number, protowire.Fixed64Type), value)
}

// strange are fields which no message of ours has, or has otherwise: they are skipped, or break the message they stand in.
func strange() [][]byte {
	return [][]byte{
		nil, scalar(99, 1<<63), field(1000, []byte("x")), group(7, scalar(1, 1), group(8)), fixed(1, 1), fixed(2, 1), fixed(3, 1), group(1), scalar(1, 7), scalar(8, 1),
		protowire.AppendTag(nil, 7, protowire.EndGroupType), {0}, {0x08}, {0x0e, 0}, {0x8a, 0x80, 0x00, 0x00}, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0},
		{0x88, 0x80, 0x80, 0x80, 0x40, 0}, field(1, []byte{0xff}), field(2), field(3), field(8), field(9, []byte{0xff}), append(protowire.AppendTag(nil, 1, protowire.BytesType), 0xff, 0xff, 0x03),
		append(protowire.AppendTag(nil, 1, protowire.BytesType), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01),
	}
}

// oddDeltas are messages that say the same as others in another way, or nearly so.
func oddDeltas() (all [][]byte) {
	run, adjust := []byte(someRun.String()), field(3, field(1, []byte("O")), scalar(4, 2), scalar(5, 1))
	whole := slices.Concat(field(1, run), field(2, scalar(1, 3), scalar(2, 4)), adjust)
	for _, s := range strange() {
		all = append(all, slices.Concat(field(1, whole), s), slices.Concat(s, field(1, whole)), field(1, whole, s), field(1, s, whole), field(1, whole, field(2, s)), field(1, whole, field(3, s)),
			field(1, field(1, run), field(2, scalar(2, 4)), field(3, field(1, []byte("O")), scalar(4, 2), s)), field(2, field(1, []byte("20261201")), s))
	}
	for _, inside := range [][]byte{
		slices.Concat(whole, field(2, scalar(2, 9))),                                                                  // the version merges
		slices.Concat(whole, field(1, []byte("20261202.G2"))),                                                         // the last run holds
		slices.Concat(whole, field(1)),                                                                                //
		slices.Concat(whole, scalar(4, 1)),                                                                            // restated with adjusts
		slices.Concat(whole, scalar(4, 1), scalar(4, 0)),                                                              // and not
		slices.Concat(field(1, run), field(2, scalar(2, 1)), scalar(4, 1<<40)),                                        // a bool is any number
		slices.Concat(whole, field(3, field(1, []byte("O")), scalar(3, 1<<32), scalar(4, 1<<33+5), scalar(5, 1<<32))), // varints are cut to 32 bits
		slices.Concat(whole, field(3, field(1, []byte("O")), scalar(2, 256), scalar(4, 1)), field(3)),                 // two wrong adjusts
		slices.Concat(whole, field(3, field(1, []byte("M")), scalar(3, 9), scalar(4, 1)), adjust),
		slices.Concat(whole, field(3, field(1, []byte("坐")), scalar(4, 1))),
		slices.Concat(whole, field(3, field(1, []byte("O")), scalar(4, 1), scalar(5, 1<<31))),
	} {
		all = append(all, field(1, inside), slices.Concat(field(1, whole), field(1, inside), field(1, whole)), slices.Concat(field(1, inside), field(2, field(1, []byte("x")))))
	}
	return append(all, slices.Concat(field(3, []byte("a")), field(3, []byte("b")), scalar(4, 1), scalar(4, 2), fixed(4, 3), field(3, []byte(strings.Repeat("b", 100)))))
}

func oddStates() (all [][]byte) {
	span, quota := field(3, scalar(2, 2), scalar(3, 8)), field(4, scalar(2, 1), scalar(3, 1), scalar(4, 2))
	bucket := slices.Concat(scalar(2, 9), span, quota)
	class := slices.Concat(field(1, []byte("O")), field(2, bucket))
	whole := slices.Concat(field(1, []byte(someRun.String())), field(2, []byte("p1")), field(3, scalar(1, 3), scalar(2, 4)), field(6, scalar(1, 1_700_000_000)))
	for _, s := range strange() {
		all = append(all, slices.Concat(whole, s), slices.Concat(s, whole, field(8, class)), slices.Concat(whole, field(8, class, s)), slices.Concat(whole, field(8, field(1, []byte("O")), field(2, bucket, s))),
			slices.Concat(whole, field(8, field(1, []byte("O")), field(2, field(3, s)))), slices.Concat(whole, field(8, field(1, []byte("O")), field(2, field(4, s)))), slices.Concat(whole, field(3, s)), slices.Concat(whole, field(6, s)))
	}
	for _, more := range [][]byte{
		field(8, class), slices.Concat(field(8, class), field(8, class)), // a class twice
		field(3, scalar(2, 9)), field(3, scalar(2, 0)), field(6, scalar(2, 999)), field(6, scalar(2, 1<<31)), field(6, scalar(1, 1<<63)), field(6), field(2, []byte("a b")), field(1, []byte("20261301.G1")),
		scalar(4, 1), scalar(4, 7), scalar(4, 1<<32), scalar(4, 1<<32+1), scalar(7, 1<<17), field(5, []byte(strings.Repeat("风", 50))),
		slices.Concat(scalar(4, 9), field(8)), field(8, field(2, bucket), field(1, []byte("M")), field(1, []byte("O")), scalar(3, 2)), // the code behind the buckets
		field(8, field(1, []byte("O")), field(2, scalar(1, 3)), field(2, scalar(2, 1<<20))), field(8, field(2, scalar(1, 3))), field(8, class, field(2, bucket, field(3), field(3, scalar(2, 1), scalar(3, 1<<31)))),
		field(8, class, field(2, bucket, field(3, scalar(2, 1), scalar(3, 1<<20)), field(4, scalar(1, 9)))), field(8, class, field(2, bucket, field(4, scalar(1, 9)), field(4, scalar(2, 600)))), field(8, class, field(2, bucket, field(4, scalar(2, 600)))),
		slices.Concat(field(8, field(1, []byte("O")), field(2, scalar(1, 3))), field(8, field(1, []byte("O"))), field(8, field(1, []byte("OOO")))),
		slices.Repeat(field(8, class), rail.MaxClasses+1), manyClasses(rail.MaxClasses), manyClasses(rail.MaxClasses + 1),
	} {
		all = append(all, slices.Concat(whole, more), slices.Concat(more, whole))
	}
	return all
}

func manyClasses(n int) (all []byte) {
	for i := range n {
		all = append(all, field(8, field(1, []byte{'a' + byte(i%26), 'a' + byte(i/26)}), field(2))...)
	}
	return all
}

// torn adds what is left of a message that was cut off anywhere.
func torn(all ...[]byte) [][]byte {
	for _, data := range slices.Clone(all) {
		for n := range data {
			all = append(all, data[:n])
		}
	}
	return all
}

// The Decoder says what generated code and the same demands say, whatever the coding.
func TestAsGenerated(t *testing.T) {
	batch, err := EncodeDeltas(someBatch, Protobuf)
	if err != nil {
		t.Fatal(err)
	}
	state, err := EncodeState(someState, Protobuf)
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range append(append(oddDeltas(), slices.Concat(batch, batch)), torn(batch)...) {
		agreeOnDeltas(t, data, Protobuf)
	}
	for _, data := range append(append(oddStates(), slices.Concat(state, state)), torn(state)...) {
		agreeOnState(t, data, Protobuf)
	}
}

func FuzzDecodeDeltas(f *testing.F) {
	seeds(f, someBatch, EncodeDeltas)
	for _, data := range oddDeltas() {
		f.Add(data, false)
	}
	f.Fuzz(func(t *testing.T, data []byte, isJSON bool) {
		agreeOnDeltas(t, data, formatFor(isJSON))
		again(t, data, formatFor(isJSON), EncodeDeltas, func(data []byte, f Format) (*DeltaBatch, error) {
			b, _, err := new(Decoder).Deltas(data, f)
			return b, err
		})
	})
}

func FuzzDecodeState(f *testing.F) {
	seeds(f, someState, EncodeState)
	for _, data := range oddStates() {
		f.Add(data, false)
	}
	f.Fuzz(func(t *testing.T, data []byte, isJSON bool) {
		agreeOnState(t, data, formatFor(isJSON))
		again(t, data, formatFor(isJSON), EncodeState, func(data []byte, f Format) (*RunState, error) { return new(Decoder).State(data, f) })
	})
}

// What a Decoder returns lies in its own memory but for the strings, and a clone does not.
func TestMemoryIsUsedAgain(t *testing.T) {
	other := &DeltaBatch{Deltas: []RunDelta{{Run: someRun, Version: rail.Version{Revision: 1}, Adjusts: slices.Repeat([]inventory.Adjust{{Class: "9", To: 1}}, 5)}}, Digests: []Digest{{Date: 1}}}
	d := new(Decoder)
	data := [2][]byte{must(EncodeDeltas(someBatch, Protobuf))(t), must(EncodeDeltas(other, Protobuf))(t)}
	b, _, err := d.Deltas(data[0], Protobuf)
	if err != nil {
		t.Fatal(err)
	}
	kept := b.Clone()
	one := b.Deltas[0].Clone()
	if _, _, err := d.Deltas(data[1], Protobuf); err != nil || !reflect.DeepEqual(kept, someBatch) || !reflect.DeepEqual(one, someBatch.Deltas[0]) {
		t.Errorf("%v: a clone changed: %+v", err, kept)
	}
	states := [2][]byte{must(EncodeState(someState, Protobuf))(t), oddStates()[1]}
	s, err := d.State(states[0], Protobuf)
	if err != nil {
		t.Fatal(err)
	}
	keptState := s.Clone()
	for _, data := range oddStates() {
		_, _ = d.State(data, Protobuf)
	}
	if !reflect.DeepEqual(keptState, someState) {
		t.Errorf("a clone changed: %+v", keptState)
	}
	if s != must(d.State(states[0], Protobuf))(t) {
		t.Error("a state in new memory")
	}
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// E1: a flood of new ids does not fill the memory.
func TestKnownIsBounded(t *testing.T) {
	d := new(Decoder)
	for i := range 3 * maxKnown {
		text := fmt.Sprint(i)
		run, err := d.run("delta", []byte("20261201."+text))
		if id, err2 := d.pattern("state", []byte(text)); err != nil || err2 != nil || string(id) != text || string(run.Trip) != text || d.text([]byte(text)) != text {
			t.Fatal(run, id, err, err2)
		}
		if len(d.trips) > maxKnown || len(d.patterns) > maxKnown || len(d.texts) > maxKnown {
			t.Fatalf("%d trips, %d patterns, %d texts after %d ids", len(d.trips), len(d.patterns), len(d.texts), i+1)
		}
	}
	if long := strings.Repeat("x", maxText+1); d.text([]byte(long)) != long || d.texts[long] != "" {
		t.Error("a long text is kept")
	}
}

// someSales are deltas as a busy hour brings them: sales of several runs, each out of a whole window.
func someSales(n int) *DeltaBatch {
	b := &DeltaBatch{Publisher: "b1", Batch: 7}
	for i := range n {
		run := rail.RunID{Date: someRun.Date + rail.Date(i%15), Trip: rail.TripID(fmt.Sprintf("24000000G%dC", i%400))}
		b.Deltas = append(b.Deltas, RunDelta{Run: run, Version: rail.Version{Epoch: 1, Revision: uint64(i + 1)}, Adjusts: inventory.Sell([]rail.Class{"O", "M", "9", "WZ"}[i%4], 0, 0, 9, 2, 6)})
	}
	return b
}

// Nothing is allocated for a message whose ids are known.
func TestDecodingAllocatesNothing(t *testing.T) {
	d := new(Decoder)
	batch, state := must(EncodeDeltas(someSales(500), Protobuf))(t), must(EncodeState(someState, Protobuf))(t)
	if n := testing.AllocsPerRun(100, func() {
		if b, faults, err := d.Deltas(batch, Protobuf); err != nil || len(b.Deltas) != 500 || faults != nil {
			t.Fatal(err, faults)
		}
		if _, err := d.State(state, Protobuf); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkDecodeDeltas(b *testing.B) {
	const deltas = 500
	data := must(EncodeDeltas(someSales(deltas), Protobuf))(b)
	run := func(name string, decode func() error) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if err := decode(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/deltas, "ns/delta")
		})
	}
	d := new(Decoder)
	run("decoder", func() error { _, _, err := d.Deltas(data, Protobuf); return err })
	run("generated", func() error { _, _, err := generatedDeltas(data, Protobuf); return err })
}

func BenchmarkDecodeState(b *testing.B) {
	data := must(EncodeState(someState, Protobuf))(b)
	run := func(name string, decode func() error) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := decode(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	d := new(Decoder)
	run("decoder", func() error { _, err := d.State(data, Protobuf); return err })
	run("generated", func() error { _, err := generatedState(data, Protobuf); return err })
}
