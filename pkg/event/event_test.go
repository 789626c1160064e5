package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/offer"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

var (
	someRun   = rail.RunID{Date: rail.NewDate(2026, 12, 1), Trip: "24000000G10C"}
	someState = &RunState{
		Run: someRun, Pattern: "p1", Version: rail.Version{Epoch: 1 << 40, Revision: 7}, Suspended: true, Reason: "台风", SaleOpensAt: time.Date(2026, 11, 17, 0, 30, 0, 0, time.UTC),
		SaleClosesBefore: 5,
		Classes: []inventory.Class{
			{Class: "O", Waitlist: true, Buckets: []inventory.Bucket{
				{Kind: inventory.Windows, Capacity: 1000, Spans: []inventory.Span{{From: 0, To: 6, Count: 990}, {From: 2, To: 3, Count: 1}}, Quotas: []inventory.Quota{{FromLast: 1, ToFirst: 2, ToLast: 6}}},
				{Kind: inventory.Counts, Capacity: 5, Spans: []inventory.Span{}, Quotas: []inventory.Quota{}},
			}},
			{Class: "WZ", Buckets: []inventory.Bucket{{Kind: inventory.Pool, Capacity: 100, Spans: []inventory.Span{{From: 0, To: 6, Count: 100}}, Quotas: []inventory.Quota{}}}},
		},
	}
	someBatch = &DeltaBatch{
		Publisher: "b1", Batch: 9, History: 2,
		Deltas: []RunDelta{
			{Run: someRun, Version: rail.Version{Revision: 8}, Adjusts: []inventory.Adjust{{Class: "O", Bucket: 1, From: 0, To: 6, By: -1}, {Class: "O", From: 0, To: 2, By: 1}}},
			{Run: someRun, Version: rail.Version{Epoch: 2, Revision: 9}, Restated: true, Adjusts: []inventory.Adjust{}},
		},
		Digests: []Digest{{Date: someRun.Date, Runs: 3, Hash: 1<<63 + 5}},
	}
	someHeartbeat = &Heartbeat{
		Time: time.Date(2026, 11, 23, 12, 0, 0, 250e6, time.UTC), Interval: 250 * time.Millisecond, Publisher: "b1", Created: map[string]time.Time{"YUPIAO_DELTA": time.Date(2026, 11, 1, 0, 0, 0, 1, time.UTC)},
		Marks: []Mark{{0, Place{Sequence: 1}}, {15, Place{1 << 50, 1 << 63}}}, Last: map[string]uint64{"YUPIAO_STATE": 1 << 40},
	}
	someOutcome = &offer.Outcome{
		Offer: offer.Offer{
			Run: someRun, Class: "O", From: 0, To: 3, Version: rail.Version{Epoch: 1 << 40, Revision: 7}, Age: 120 * time.Millisecond, TTL: offer.MaxAge,
			At: time.Date(2026, 11, 23, 12, 0, 0, 250e6, time.UTC),
		},
		Result: offer.SoldOut, At: time.Date(2026, 11, 23, 12, 1, 0, 1, time.UTC),
	}
	someNetwork = &timetable.Network{
		Timezone: "Asia/Shanghai", Currency: "CNY", SaleDays: 15,
		Cities:   []timetable.City{{Code: "BJP", Names: timetable.Names{Name: "北京", Pinyin: "beijing", Initials: "bj", Other: map[string]string{"en": "Beijing"}}}},
		Stations: []timetable.Station{{Code: "VNP", City: "BJP", Names: timetable.Names{Name: "北京南"}}, {Code: "X1", Names: timetable.Names{Name: "X"}}},
	}
	somePattern = &timetable.Pattern{
		ID: "p1", Train: "G1", Category: "G",
		Stops:   []timetable.Stop{{Station: "VNP", Arrive: 420, Depart: 420, NoAlighting: true}, {Station: "JGK", Arrive: 1500, Depart: 1502, Train: "G2"}, {Station: "X1", Arrive: 1600, Depart: 1600, NoBoarding: true}},
		Classes: []timetable.ClassOffer{{Class: "O", Fares: []rail.Money{100, 200, timetable.NoFare}}, {Class: "4", Accommodation: rail.Berth}, {Class: "WZ", Accommodation: rail.Standing}},
	}
)

// E2: every message comes back as it was, in both codings.
func TestRoundTrip(t *testing.T) {
	for _, f := range []Format{Protobuf, JSON} {
		roundTrip(t, "state", someState, EncodeState, new(Decoder).State, f)
		roundTrip(t, "heartbeat", someHeartbeat, EncodeHeartbeat, DecodeHeartbeat, f)
		roundTrip(t, "network", someNetwork, EncodeNetwork, DecodeNetwork, f)
		roundTrip(t, "pattern", somePattern, EncodePattern, DecodePattern, f)
		roundTrip(t, "outcome", someOutcome, EncodeOutcome, DecodeOutcome, f)
		roundTrip(t, "deltas", someBatch, EncodeDeltas, func(data []byte, f Format) (*DeltaBatch, error) {
			b, faults, err := new(Decoder).Deltas(data, f)
			return b, errors.Join(append(faults, err)...)
		}, f)
	}
}

func roundTrip[T any](t *testing.T, kind string, in *T, encode func(*T, Format) ([]byte, error), decode func([]byte, Format) (*T, error), f Format) {
	t.Helper()
	data, err := encode(in, f)
	if err != nil {
		t.Fatalf("%s: %v", kind, err)
	}
	out, err := decode(data, f)
	if err != nil || !reflect.DeepEqual(in, out) {
		t.Errorf("%s, format %d: %v\n in %+v\nout %+v", kind, f, err, in, out)
	}
	again, err := encode(out, f)
	if back, err2 := decode(again, f); err != nil || err2 != nil || !reflect.DeepEqual(out, back) {
		t.Errorf("%s: not stable: %v %v", kind, err, err2)
	}
}

func TestControlRoundTrip(t *testing.T) {
	repair := RepairRequest{Run: someRun, Held: rail.Version{Epoch: 1}}
	data, err := EncodeRepairRequest(repair)
	if got, err2 := DecodeRepairRequest(data, Protobuf); err != nil || err2 != nil || got != repair {
		t.Error(got, err, err2)
	}
	ask := VersionsRequest{Partition: 15, Date: someRun.Date}
	data, err = EncodeVersionsRequest(ask)
	if got, err2 := DecodeVersionsRequest(data, Protobuf); err != nil || err2 != nil || got != ask {
		t.Error(got, err, err2)
	}
	list := &Versions{Through: 7, Runs: []RunVersion{{Run: someRun, Version: rail.Version{Epoch: 1, Revision: 2}, Present: rail.Version{Epoch: 1, Revision: 3}}}}
	data, err = EncodeVersions(list)
	if got, err2 := DecodeVersions(data, Protobuf); err != nil || err2 != nil || !reflect.DeepEqual(got, list) {
		t.Error(got, err, err2)
	}
	for _, refusal := range []error{nil, errors.New("busy"), fmt.Errorf("%w: not known", ErrGone)} {
		data, err = EncodeRepairReply(refusal)
		if got, err2 := DecodeRepairReply(data, Protobuf); err != nil || err2 != nil || (got != nil) != (refusal != nil) || errors.Is(got, ErrGone) != errors.Is(refusal, ErrGone) {
			t.Error(got, err, err2)
		}
	}
}

// E3: what contradicts itself is refused with its field, its value and what would be right.
func TestBrokenStates(t *testing.T) {
	valid := `{"run":"20261201.G1","pattern":"p","version":{"epoch":"1","revision":"1"},"classes":[{"class":"O","buckets":[{"capacity":10,"spans":[{"from":0,"to":2,"count":10}]}]}]}`
	if _, err := new(Decoder).State([]byte(valid), JSON); err != nil {
		t.Fatal(err)
	}
	if _, err := new(Decoder).State([]byte(strings.Replace(valid, `"run"`, `"future":{"x":1},"run"`, 1)), JSON); err != nil {
		t.Errorf("an unknown field: %v", err)
	}
	for _, tt := range []struct{ old, new, want string }{
		{"20261201.G1", "20261301.G1", "run is"},
		{"20261201.G1", "20261201", "want YYYYMMDD.trip"},
		{"20261201.G1", "20261201.G 1", "want YYYYMMDD.trip"},
		{`"p"`, `"a.b"`, "pattern is"},
		{`"revision":"1"`, `"revision":"0"`, "version.revision is 0; want 1 or more"},
		{`"classes"`, `"status":7,"classes"`, "want OPEN or SUSPENDED"},
		{`"classes"`, `"saleClosesBefore":99999,"classes"`, "sale_closes_before is 99999; want at most 65534"},
		{`"O"`, `"OOO"`, `classes[0].class is "OOO"; want a class code`},
		{`"O"`, `""`, "want a class code"},
		{`"capacity":10`, `"capacity":70000`, "capacity is 70000; want at most 65535"},
		{`"capacity":10`, `"kind":9`, "kind is 9; want WINDOWS, POOL or COUNTS"},
		{`"to":2`, `"to":600`, "spans is [0, 600); want from < to < 512"},
		{`"from":0`, `"from":2`, "spans is [2, 2)"},
		{`"count":10`, `"count":-70000`, "spans.count is -70000"},
		{`"capacity":10`, `"quotas":[{"fromFirst":3,"fromLast":1}]`, "want first <= last"},
		{`"capacity":10`, `"quotas":[{"toLast":512}]`, "want stops below 512"},
		{`[{"class"`, `[{"class":"O"},{"class"`, "want a class that did not occur before"},
		{valid, `[]`, "decode state"},
	} {
		_, err := new(Decoder).State([]byte(strings.Replace(valid, tt.old, tt.new, 1)), JSON)
		if !errors.Is(err, ErrBroken) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s for %s: got %v; want %q", tt.new, tt.old, err, tt.want)
		}
	}
}

// E3: a broken delta does not take its neighbours along.
func TestBrokenDeltas(t *testing.T) {
	good := `{"run":"20261201.G1","version":{"revision":"2"},"adjusts":[{"class":"O","to":2,"by":-1}]}`
	for _, tt := range []struct{ old, new, want string }{
		{"20261201.G1", "", "run is"},
		{`"revision":"2"`, `"epoch":"2"`, "version.revision is 0"},
		{`"class":"O"`, `"class":"XYZ"`, "class is"},
		{`"to":2`, `"to":0`, "stops is [0, 0)"},
		{`"by":-1`, `"by":99999`, "by is 99999"},
		{`"by":-1`, `"bucket":256`, "bucket is 256; want 0 to 255"},
		{`"version"`, `"restated":true,"version"`, "adjusts is 1; want none in a restated delta"},
	} {
		text := `{"deltas":[` + good + `,` + strings.Replace(good, tt.old, tt.new, 1) + `,` + good + `]}`
		b, faults, err := new(Decoder).Deltas([]byte(text), JSON)
		if err != nil || len(b.Deltas) != 2 || len(faults) != 1 || !errors.Is(faults[0], ErrBroken) || !strings.Contains(faults[0].Error(), tt.want) || !strings.Contains(faults[0].Error(), "deltas[1]") {
			t.Errorf("%s: %v, %v, %v", tt.new, b, faults, err)
		}
	}
	if _, _, err := new(Decoder).Deltas([]byte(`{"digests":[{"date":"x"}]}`), JSON); !errors.Is(err, ErrBroken) {
		t.Error(err)
	}
}

func TestBrokenControl(t *testing.T) {
	for name, err := range map[string]error{
		"heartbeat without time":  second(DecodeHeartbeat([]byte(`{}`), JSON)),
		"heartbeat in the year 1": second(DecodeHeartbeat([]byte(`{"time":"0001-01-01T00:00:00Z"}`), JSON)),
		"partition":               second(DecodeHeartbeat([]byte(`{"time":"2026-11-23T12:00:00Z","marks":[{"partition":16}]}`), JSON)),
		"network timezone":        second(DecodeNetwork([]byte(`{"saleDays":1,"timezone":"Mars/Phobos"}`), JSON)),
		"pattern of one stop":     second(DecodePattern([]byte(`{"id":"p","stops":[{"station":"A"}]}`), JSON)),
		"pattern accommodation":   second(DecodePattern([]byte(`{"id":"p","stops":[{"station":"A"},{"station":"B"}],"classes":[{"class":"O","accommodation":9}]}`), JSON)),
		"pattern minutes":         second(DecodePattern([]byte(`{"id":"p","stops":[{"station":"A"},{"station":"B","arrive":99999999}]}`), JSON)),
		"repair run":              second(DecodeRepairRequest(nil, Protobuf)),
		"versions partition":      second(DecodeVersionsRequest([]byte(`{"partition":99}`), JSON)),
		"versions date":           second(DecodeVersionsRequest([]byte(`{"date":"today"}`), JSON)),
		"versions refused":        second(DecodeVersions([]byte(`{"reason":"no"}`), JSON)),
	} {
		if !errors.Is(err, ErrBroken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// E3: an outcome that says too little, or what cannot be, counts nowhere.
func TestBrokenOutcomes(t *testing.T) {
	valid := `{"run":"20261201.G1","class":"O","to":2,"version":{"revision":"1"},"ageMs":5,"shownAt":"2026-11-23T07:00:00Z","at":"2026-11-23T07:01:00Z","result":"HELD"}`
	if o, err := DecodeOutcome([]byte(valid), JSON); err != nil || o.Result != offer.Held || o.Offer.Age != 5*time.Millisecond || o.Offer.TTL != 0 {
		t.Fatal(o, err)
	}
	for _, tt := range []struct{ old, new, want string }{
		{"20261201.G1", "G1", `run is "G1"; want YYYYMMDD.trip`},
		{`"O"`, `""`, "class is"},
		{`"to":2`, `"to":0`, "stops is [0, 0); want from < to < 512"},
		{`"to":2`, `"from":3,"to":2`, "stops is [3, 2)"},
		{`"to":2`, `"to":512`, "stops is [0, 512)"},
		{`"revision":"1"`, `"epoch":"1"`, "version.revision is 0"},
		{`"ageMs":5`, `"ageMs":-5`, "decode outcome"},
		{`"ageMs":5`, `"ttlMs":4294967296`, "decode outcome"},
		{`"shownAt":"2026-11-23T07:00:00Z",`, "", "shown_at is missing; want a time"},
		{"2026-11-23T07:00:00Z", "1969-11-23T07:00:00Z", "shown_at is"},
		{`"at":"2026-11-23T07:01:00Z",`, "", "at is missing"},
		{`"HELD"`, `"RESULT_UNSPECIFIED"`, "result is RESULT_UNSPECIFIED; want HELD, SOLD_OUT or REFUSED"},
		{`"HELD"`, `9`, "result is 9"},
		{`,"result":"HELD"`, "", "result is RESULT_UNSPECIFIED"},
		{`"HELD"`, `"LOST"`, "result is RESULT_UNSPECIFIED"},
	} {
		if _, err := DecodeOutcome([]byte(strings.Replace(valid, tt.old, tt.new, 1)), JSON); !errors.Is(err, ErrBroken) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s for %s: %v; want %q", tt.new, tt.old, err, tt.want)
		}
	}
	for _, none := range []offer.Result{0, offer.Refused + 1} {
		o := *someOutcome
		o.Result = none
		data, err := EncodeOutcome(&o, Protobuf)
		if _, err2 := DecodeOutcome(data, Protobuf); err != nil || !errors.Is(err2, ErrBroken) {
			t.Errorf("result %d: %v, %v", none, err, err2)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// The hash is order-free, tells runs and Versions apart, and is what the schema says, so that others can compute it.
func TestDigest(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	a := Digest{Date: someRun.Date}
	a.Add(someRun, rail.Version{Epoch: 1, Revision: 2})
	if a.Hash != 13389346678453784652 || a.Runs != 1 { // computed apart from this code, by the words of the schema
		t.Errorf("%+v", a)
	}
	seen := map[uint64]bool{}
	var runs []RunVersion
	for i := range 1000 {
		v := RunVersion{Run: rail.RunID{Date: someRun.Date, Trip: rail.TripID("G" + string(rune('a'+i%26)))}, Version: rail.Version{Epoch: uint64(i / 500), Revision: uint64(i)}}
		var d Digest
		d.Add(v.Run, v.Version)
		if seen[d.Hash] {
			t.Fatalf("%v has the hash of another", v)
		}
		seen[d.Hash] = true
		runs = append(runs, v)
	}
	var there, back Digest
	for _, v := range runs {
		there.Add(v.Run, v.Version)
	}
	r.Shuffle(len(runs), func(i, j int) { runs[i], runs[j] = runs[j], runs[i] })
	for _, v := range runs {
		back.Add(v.Run, v.Version)
	}
	if there != back {
		t.Error("the order matters")
	}
}

// seeds gives a fuzz target whole messages and torn ones in both codings.
func seeds[T any](f *testing.F, in *T, encode func(*T, Format) ([]byte, error)) {
	for _, format := range []Format{Protobuf, JSON} {
		data, err := encode(in, format)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, format == JSON)
		f.Add(data[:len(data)/2], format == JSON)
	}
	f.Add(protowire.AppendTag(nil, 8, protowire.BytesType), false)
	for name, data := range swollen(64) {
		f.Add(data, strings.HasPrefix(name, "JSON"))
	}
}

func formatFor(isJSON bool) Format {
	if isJSON {
		return JSON
	}
	return Protobuf
}

// E1, E2: whatever comes, no panic; what is accepted comes back equal.
func fuzz[T any](f *testing.F, in *T, encode func(*T, Format) ([]byte, error), decode func([]byte, Format) (*T, error)) {
	seeds(f, in, encode)
	f.Fuzz(func(t *testing.T, data []byte, isJSON bool) { again(t, data, formatFor(isJSON), encode, decode) })
}

// again demands that what is accepted comes back equal.
func again[T any](t *testing.T, data []byte, f Format, encode func(*T, Format) ([]byte, error), decode func([]byte, Format) (*T, error)) {
	t.Helper()
	got, err := decode(data, f)
	if err != nil {
		return
	}
	text, err := encode(got, Protobuf)
	if err != nil {
		return // text that is not UTF-8 can be read as JSON but not written
	}
	if back, err := decode(text, Protobuf); err != nil || !equalJSON(got, back) {
		t.Errorf("%v\n%+v\n%+v", err, got, back)
	}
}

// equalJSON compares without telling nil and empty apart.
func equalJSON(a, b any) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	norm := strings.NewReplacer("null", "[]", "{}", "[]")
	return norm.Replace(string(x)) == norm.Replace(string(y))
}

func FuzzDecodeHeartbeat(f *testing.F) { fuzz(f, someHeartbeat, EncodeHeartbeat, DecodeHeartbeat) }
func FuzzDecodeNetwork(f *testing.F)   { fuzz(f, someNetwork, EncodeNetwork, DecodeNetwork) }
func FuzzDecodePattern(f *testing.F)   { fuzz(f, somePattern, EncodePattern, DecodePattern) }
func FuzzDecodeOutcome(f *testing.F)   { fuzz(f, someOutcome, EncodeOutcome, DecodeOutcome) }

func FuzzDecodeControl(f *testing.F) {
	for _, data := range []string{`{"run":"20261201.G1"}`, `{"partition":3,"date":"20261201"}`, `{"runs":[{"run":"20261201.G1","version":{"revision":"1"}}]}`, "\x0a\x01x"} {
		f.Add([]byte(data), data[0] == '{')
	}
	f.Fuzz(func(_ *testing.T, data []byte, isJSON bool) {
		format := formatFor(isJSON)
		_, _ = DecodeRepairRequest(data, format)
		_, _ = DecodeRepairReply(data, format)
		_, _ = DecodeVersionsRequest(data, format)
		_, _ = DecodeVersions(data, format)
	})
}
