package board

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

const answer = `{"date":"2026-12-01","from":{"code":"BJP","name":"北京","city":true},"to":{"code":"SHH","name":"上海","city":true},"runs":[` + g1 + `,
 {"train":"K13","run":"20261201.K13","from":{"code":"BJP","name":"北京","stop":0},"to":{"code":"SHH","name":"上海","stop":4},"depart":"2026-12-01T22:50:00+08:00","arrive":"2026-12-02T09:05:00+08:00","minutes":615,"behind":true,
  "classes":[{"class":"WZ","name":"无座","state":"SUSPENDED","remaining":0,"reason":"x"}]}]}`

const g1 = `{"train":"G1","run":"20261201.G1","from":{"code":"VNP","name":"北京南","stop":0},"to":{"code":"AOH","name":"上海虹桥","stop":2},"depart":"2026-12-01T07:00:00+08:00","arrive":"2026-12-01T11:29:00+08:00","minutes":269,
  "classes":[{"class":"O","name":"二等座","state":"AVAILABLE","remaining":112,"fare":{"amount":55300,"currency":"CNY"}},{"class":"9","name":"商务座","state":"SOLD_OUT","remaining":0,"reason":"x"}]}`

const want = `北京 → 上海  2026-12-01  2 trains  live, 0.3 s old
train  from    to        depart  arrive   time   二等座       商务座    无座
G1     北京南  上海虹桥  07:00   11:29    4:29   112 @553.00  sold out  -
K13?   北京    上海      22:50   09:05+1  10:15  -            -         suspended
`

func parse(t *testing.T, text string) *Answer {
	t.Helper()
	var a Answer
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		t.Fatal(err)
	}
	return &a
}

var fresh = Freshness{AsOf: "2026-11-23T12:00:00.000Z", State: "live"}

func style(colour bool) Style {
	return Style{Colour: colour, Now: time.Date(2026, 11, 23, 12, 0, 0, 300e6, time.UTC)}
}

// D1, D2.
func TestTable(t *testing.T) {
	var b bytes.Buffer
	if err := Write(&b, parse(t, answer), fresh, style(false)); err != nil || b.String() != want {
		t.Errorf("%v\n%s\nwant\n%s", err, b.String(), want)
	}
	b.Reset()
	s := style(true)
	s.Highlight = []string{"20261201.G1/0-2"}
	if err := Write(&b, parse(t, answer), fresh, s); err != nil || !strings.Contains(b.String(), reverse+"G1"+reset) || !strings.Contains(b.String(), green+"112 @553.00"+reset) {
		t.Errorf("%v %q", err, b.String())
	}
}

// D3.
func TestHostileText(t *testing.T) {
	a := parse(t, answer)
	a.Runs[0].Train, a.From.Name, a.Runs[0].Classes[0].State = "G\x1b[2J1", "\u202e北京\x07", "\x1b]0;x\x07"
	var b bytes.Buffer
	if err := Write(&b, a, Freshness{State: "\x1b[31m"}, style(false)); err != nil || strings.ContainsAny(b.String(), "\x1b\x07\u202e") {
		t.Errorf("%v %q", err, b.String())
	}
}

func TestClient(t *testing.T) {
	stream := []string{
		"retry: 1000\n\n", "event: answer\nid: 1\ndata: " + strings.ReplaceAll(answer, "\n", "") + "\n\n", ": beat\n\n",
		"event: status\ndata: {\"state\":\"live\",\"as_of\":\"x\"}\n\n",
		"event: runs\nid: 2\ndata: {\"runs\":[" + strings.Replace(strings.ReplaceAll(g1, "\n", ""), "112", "111", 1) + "],\"gone\":[\"20261201.K13/0-4\"],\"order\":[\"20261201.G1/0-2\"]}\n\n",
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Query().Get("from") == "x":
			w.WriteHeader(400)
			fmt.Fprint(w, `{"title":"A place is not known","detail":"want a place","parameter":"from","value":"x","candidates":[{"code":"XAN","name":"西安"},{"code":"XCN","name":"西昌"}]}`)
		case r.URL.Path == "/v1/stream":
			fmt.Fprint(w, strings.Join(stream, ""))
		default:
			w.Header().Set("Yupiao-State", "live")
			fmt.Fprint(w, answer)
		}
	}))
	defer server.Close()
	c := &Client{Server: server.URL + "/"}
	a, f, err := c.Query(t.Context(), url.Values{"from": {"BJP"}})
	if err != nil || len(a.Runs) != 2 || f.State != "live" {
		t.Errorf("%+v %+v %v", a, f, err)
	}
	_, _, err = c.Query(t.Context(), url.Values{"from": {"x"}})
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "from=x: want a place; did you mean 西安 (XAN), 西昌 (XCN)") {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var seen []Update
	if err := c.Watch(ctx, url.Values{"from": {"BJP"}}, func(u Update) {
		if seen = append(seen, u); len(seen) == 3 {
			cancel()
		}
	}); err != nil {
		t.Fatal(err)
	}
	if last := seen[2]; len(last.Answer.Runs) != 1 || last.Answer.Runs[0].Classes[0].Remaining != 111 || last.Changed[0] != "20261201.G1/0-2" || last.Fresh.State != "live" || len(seen[0].Answer.Runs) != 2 {
		t.Errorf("%+v", seen)
	}
}

func FuzzTake(f *testing.F) {
	f.Add("answer", answer)
	f.Add("runs", `{"runs":[`+g1+`],"gone":["x"],"order":null}`)
	f.Add("status", `{"state":"live"}`)
	f.Fuzz(func(t *testing.T, name, data string) {
		u := Update{Answer: &Answer{Runs: []Run{{}}}}
		if u.take(name, []byte(data)) == nil && u.Answer != nil {
			var b bytes.Buffer
			if err := Write(&b, u.Answer, u.Fresh, Style{}); err != nil || strings.Contains(b.String(), "\x1b") {
				t.Errorf("%v %q", err, b.String())
			}
		}
	})
}
