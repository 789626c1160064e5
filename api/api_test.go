package api_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/yupiao/yupiao/api"
	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/event/eventpb"
	"github.com/yupiao/yupiao/pkg/offer"
	"github.com/yupiao/yupiao/pkg/rail"
)

// messages are the examples of the feed, answers those of a node by their schema.
var (
	messages = map[string]proto.Message{
		"network": &eventpb.Network{}, "pattern": &eventpb.Pattern{}, "state": &eventpb.RunState{},
		"delta": &eventpb.DeltaBatch{}, "heartbeat": &eventpb.Heartbeat{}, "outcome": &eventpb.Outcome{},
	}
	answers = map[string]string{
		"availability": "Answer", "run": "Detail", "stations": "Stations", "problem": "Problem", "runs-event": "RunsEvent",
	}
)

func example(t *testing.T, name string) []byte {
	t.Helper()
	body, err := api.Examples.ReadFile("examples/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// parse reads JSON as plain values.
func parse(t *testing.T, body []byte) (v any) {
	t.Helper()
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func loadOpenAPI(t *testing.T, document []byte) *openapi3.T {
	t.Helper()
	loader := openapi3.NewLoader()
	doc, err := loader.LoadFromData(document)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(loader.Context); err != nil {
		t.Fatal(err)
	}
	return doc
}

// asyncAPI is what the tests read of the feed's document.
type asyncAPI struct {
	Channels map[string]struct {
		Address  string
		Messages map[string]any
	}
	Streams    []map[string]any `yaml:"x-streams"`
	Components struct {
		Messages map[string]struct {
			Payload  map[string]string
			Examples []struct {
				Name    string
				Payload any
			}
		}
		Schemas map[string]map[string]any
	}
}

func loadAsyncAPI(t *testing.T) (d asyncAPI) {
	t.Helper()
	if err := yaml.Unmarshal(api.AsyncAPI, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// schemas are the feed's JSON schemas as an OpenAPI document, which has the same kind, with unknown fields refused.
func (d *asyncAPI) schemas(t *testing.T) openapi3.Schemas {
	t.Helper()
	strict := map[string]map[string]any{}
	for name, schema := range d.Components.Schemas {
		if schema["schemaFormat"] != nil {
			continue
		}
		strict[name] = maps.Clone(schema)
		if schema["properties"] != nil {
			strict[name]["additionalProperties"] = false
		}
	}
	document, err := json.Marshal(map[string]any{
		"openapi": "3.1.0", "info": map[string]string{"title": "feed", "version": "1"}, "paths": map[string]any{},
		"components": map[string]any{"schemas": strict},
	})
	if err != nil {
		t.Fatal(err)
	}
	return loadOpenAPI(t, document).Components.Schemas
}

// fits holds a JSON value to a schema.
func fits(schemas openapi3.Schemas, name string, v any) error {
	return schemas[name].Value.VisitJSON(v, openapi3.EnableJSONSchema2020())
}

// A1: the node's document is valid, the example answers fit it, and those that it shows are the same.
func TestAnswersFitOpenAPI(t *testing.T) {
	doc := loadOpenAPI(t, api.OpenAPI)
	for name, schema := range answers {
		if err := fits(doc.Components.Schemas, schema, parse(t, example(t, name))); err != nil {
			t.Errorf("%s is no %s: %v", name, schema, err)
		}
	}
	shown := shownBy(doc)
	for name, value := range shown {
		if !reflect.DeepEqual(value, parse(t, example(t, name))) {
			t.Errorf("the document shows another %s: %v", name, value)
		}
	}
	if len(shown) == 0 {
		t.Error("the document shows nothing")
	}
}

// shownBy are the examples within a document by name.
func shownBy(doc *openapi3.T) map[string]any {
	shown := map[string]any{}
	for _, path := range doc.Paths.Map() {
		for _, response := range path.Get.Responses.Map() {
			for _, content := range response.Value.Content {
				for name, e := range content.Examples {
					shown[name] = e.Value.Value
				}
			}
		}
	}
	return shown
}

// A1: the schemas refuse what an answer must not say.
func TestOpenAPIRefuses(t *testing.T) {
	schemas := loadOpenAPI(t, api.OpenAPI).Components.Schemas
	for name, tt := range map[string]struct{ schema, json string }{
		"a number where none is vouched for": {"ClassLeft", `{"class":"O","state":"UNKNOWN","remaining":1,"reason":"x"}`},
		"no number":                          {"ClassLeft", `{"class":"O","state":"AVAILABLE"}`},
		"low with many":                      {"ClassLeft", `{"class":"O","state":"LOW","remaining":21}`},
		"sold out with one left":             {"ClassLeft", `{"class":"O","state":"SOLD_OUT","remaining":1,"reason":"x"}`},
		"sold out without a reason":          {"ClassLeft", `{"class":"O","state":"SOLD_OUT","remaining":0}`},
		"available with a reason":            {"Class", `{"class":"O","name":"二等座","state":"AVAILABLE","remaining":21,"reason":"x"}`},
		"a field of no schema":               {"Health", `{"status":"ok","node":"a"}`},
		"ready without its state":            {"Readiness", `{"status":"ready","runs":0,"loaded":0,"expected":0,"percent":0,"runs_per_second":0,"eta_seconds":0}`},
		"an unknown problem":                 {"Problem", `{"type":"/problems/other","title":"x","status":400,"detail":"x"}`},
		"an offer of what is sold out":       {"Class", `{"class":"O","name":"二等座","state":"SOLD_OUT","remaining":0,"reason":"x","offer":"EmsxtKIB"}`},
		"an offer that is no token":          {"Class", `{"class":"O","name":"二等座","state":"LOW","remaining":1,"offer":"a+b="}`},
		"an offer without a number":          {"ClassLeft", `{"class":"O","state":"LOW","remaining":1,"offer":"EmsxtKIB"}`},
		"a key without stops":                {"RunsEvent", `{"runs":[],"gone":["20261201.G1"]}`},
	} {
		if fits(schemas, tt.schema, parse(t, []byte(tt.json))) == nil {
			t.Errorf("%s passes as %s: %s", name, tt.schema, tt.json)
		}
	}
}

// A1: every reference within the feed's document leads somewhere.
func TestAsyncAPIReferences(t *testing.T) {
	var document map[string]any
	if err := yaml.Unmarshal(api.AsyncAPI, &document); err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`\$ref: "([^"]+)"`).FindAllSubmatch(api.AsyncAPI, -1) {
		path, inside := strings.CutPrefix(string(m[1]), "#/")
		if !inside {
			if path != "./yupiao/v1/feed.proto" {
				t.Errorf("%s is not a file of this package", path)
			}
			continue
		}
		at := any(document)
		for key := range strings.SplitSeq(path, "/") {
			folder, _ := at.(map[string]any)
			at = folder[key]
		}
		if at == nil {
			t.Errorf("%s leads nowhere", m[1])
		}
	}
}

// A1: the example messages are of the schema, to the letter, and stand so in the document.
func TestMessagesFitSchema(t *testing.T) {
	d := loadAsyncAPI(t)
	schemas, shown := d.schemas(t), 0
	for name, message := range messages {
		kind := string(message.ProtoReflect().Descriptor().Name())
		body := example(t, name)
		if err := (protojson.UnmarshalOptions{}).Unmarshal(body, message); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := fits(schemas, kind, parse(t, body)); err != nil {
			t.Errorf("%s is no %s: %v", name, kind, err)
		}
		for _, e := range d.Components.Messages[kind+"JSON"].Examples {
			inline, err := json.Marshal(e.Payload)
			if err != nil || e.Name != name || !reflect.DeepEqual(parse(t, inline), parse(t, body)) {
				t.Errorf("the document shows another %s: %v %s", name, err, inline)
			}
			shown++
		}
	}
	if shown != len(messages) {
		t.Errorf("the document shows %d of %d examples", shown, len(messages))
	}
}

// A1: what the decoders refuse is refused by the feed's schemas, too.
func TestAsyncAPIRefuses(t *testing.T) {
	d := loadAsyncAPI(t)
	schemas := d.schemas(t)
	for kind, text := range map[string]string{
		"Adjust": `{"class":"O","to":512,"by":1}`, "Bucket": `{"capacity":65536}`, "RunDelta": `{"run":"G1","version":{"revision":"1"}}`,
		"RunState": `{"run":"20261201.G1","pattern":"a.b","version":{"revision":"1"}}`, "Mark": `{"partition":16}`, "Network": `{"timezone":"Asia/Shanghai","saleDays":401}`,
		"Pattern": `{"id":"a","stops":[{"station":"VNP"}]}`, "ClassOffer": `{"class":"BIZ"}`, "Heartbeat": `{"marks":[]}`, "Digest": `{"date":"2026-12-01"}`,
		"Outcome": `{"run":"20261201.G1","class":"O","to":2,"version":{"revision":"1"},"shownAt":"2026-11-23T07:00:00Z","at":"2026-11-23T07:01:00Z","result":"RESULT_UNSPECIFIED"}`,
	} {
		if fits(schemas, kind, parse(t, []byte(text))) == nil {
			t.Errorf("passes as %s: %s", kind, text)
		}
	}
}

// A2: the subjects at the head of the schema are the channels of the document.
func TestSubjects(t *testing.T) {
	head, _, _ := bytes.Cut(api.Schema, []byte("\nsyntax"))
	var want []string
	for _, m := range regexp.MustCompile(`yupiao\.v1\.[a-z.<>]+`).FindAll(head, -1) {
		want = append(want, strings.NewReplacer("<", "{", ">", "}").Replace(string(m)))
	}
	var got []string
	for _, c := range loadAsyncAPI(t).Channels {
		if c.Address != "" { // that of a reply is the asker's own
			got = append(got, c.Address)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) || len(want) == 0 {
		t.Errorf("channels %v; the schema has %v", got, want)
	}
}

// A2: every message of the schema has its JSON schema with the same fields, and there is no other.
func TestFields(t *testing.T) {
	d := loadAsyncAPI(t)
	kinds := eventpb.File_yupiao_v1_feed_proto.Messages()
	for i := range kinds.Len() {
		kind := kinds.Get(i)
		properties, _ := d.Components.Schemas[string(kind.Name())]["properties"].(map[string]any)
		if got, want := slices.Sorted(maps.Keys(properties)), fieldNames(kind); !slices.Equal(got, want) {
			t.Errorf("%s has %v; the schema %v", kind.Name(), got, want)
		}
	}
	for name, m := range d.Components.Messages {
		kind, isJSON := strings.CutSuffix(name, "JSON")
		want := "Protobuf"
		if isJSON {
			want = kind
		}
		if kinds.ByName(protoreflect.Name(kind)) == nil || m.Payload["$ref"] != "#/components/schemas/"+want {
			t.Errorf("message %s has payload %v", name, m.Payload)
		}
	}
}

func fieldNames(kind protoreflect.MessageDescriptor) (names []string) {
	for i := range kind.Fields().Len() {
		names = append(names, kind.Fields().Get(i).JSONName())
	}
	slices.Sort(names)
	return names
}

// A4: the token by which one tests one's own signing is right, and the example is what came of it.
func TestToken(t *testing.T) {
	o, err := event.DecodeOutcome(example(t, "outcome"), event.JSON)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := offer.ParseKeys([]string{"k1:30313233343536373839616263646566"})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"30313233343536373839616263646566", keys.Sign(o.Offer)} {
		if !bytes.Contains(api.AsyncAPI, []byte(text)) {
			t.Errorf("asyncapi.yaml does not say %q", text)
		}
	}
}

// A4: the values by which a publisher tests its sums are right, here and in the example.
func TestSums(t *testing.T) {
	run, err := rail.ParseRunID("20261201.24000000G10C")
	if err != nil {
		t.Fatal(err)
	}
	digest := event.Digest{Date: run.Date}
	digest.Add(run, rail.Version{Epoch: 1, Revision: 2})
	if run.Partition() != 12 || digest.Hash != 13389346678453784652 {
		t.Errorf("partition %d, hash %d", run.Partition(), digest.Hash)
	}
	batch, faults, err := new(event.Decoder).Deltas(example(t, "delta"), event.JSON)
	if err != nil || len(faults) > 0 || batch.Digests[0] != digest {
		t.Errorf("%v %v %v; want %v", err, faults, batch.Digests, digest)
	}
	for _, text := range []string{"partition 12", "hash 13389346678453784652"} {
		if !bytes.Contains(api.AsyncAPI, []byte(text)) {
			t.Errorf("asyncapi.yaml does not say %q", text)
		}
	}
}
