package node_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/yupiao/yupiao/pkg/admin"
	"github.com/yupiao/yupiao/pkg/config"
	"github.com/yupiao/yupiao/pkg/fleet"
	"github.com/yupiao/yupiao/pkg/node"
	"github.com/yupiao/yupiao/pkg/testkit"
)

// ask asks a node's admin listener with its token; what it answers goes into into, if that is not nil.
func ask(t *testing.T, n *node.Node, method, path, body string, into any) (int, string) {
	t.Helper()
	r, err := http.NewRequest(method, "http://"+n.AdminAddress()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token32)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(response.Body)
	if err == nil && into != nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(data)
}

// What a node tells of itself alone: what it is asked for, the TTLs that its rules give, its settings as they are in force, whoever made them so; and its log's level, which is changed
// on record, and where it is heard.
func TestLocal(t *testing.T) {
	host, log := testkit.Broker(t), &testkit.Log{}
	_, _, ids := publish(t.Context(), t, host, 2)
	s, level := settings(), &slog.LevelVar{}
	s.Admin.Token, s.Feed.Name = token32, "node-7"
	n, err := node.New(s, node.Options{InProcess: host, Level: level, Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: level}))})
	if err != nil {
		t.Fatal(err)
	}
	testkit.Run(t, n.Run)
	testkit.Eventually(t, "a ready node", func() bool { code, _ := get(t, n.Address(), "/readyz"); return code == 200 })
	for i := range 60 { // two of three for one, the others for the way back
		get(t, n.Address(), "/v1/availability?"+[]string{"from=BJP&to=SHH", "from=BJP&to=SHH", "from=SHH&to=BJP"}[i%3]+"&date="+ids[0].Date.String())
	}
	var hot []admin.Hot
	if code, text := ask(t, n, "GET", "/node/hot?last=1", "", &hot); code != 200 || len(hot) != 1 || hot[0].From != "city:BJP" || hot[0].To != "city:SHH" || hot[0].Requests <= 0 {
		t.Errorf("%d %s", code, text)
	}
	var days []admin.Day
	if code, text := ask(t, n, "GET", "/node/ttl", "", &days); code != 200 || len(days) != 15 || days[3].Days != 3 || days[3].Busy != (admin.Ruling{Rule: "rush", TTL: 0.1}) || days[3].Quiet != (admin.Ruling{}) {
		t.Errorf("%d %s", code, text)
	}
	inForce := func(key string) (found config.Setting) {
		var all []config.Setting
		if _, text := ask(t, n, "GET", "/node/config", "", &all); strings.Contains(text, token32) {
			t.Error("the token is told")
		}
		for _, s := range all {
			if s.Key == key {
				found = s
			}
		}
		return found
	}
	if got, want := inForce("freshness.ttl"), (config.Setting{Key: "freshness.ttl", Value: "0s", From: "default"}); got != want {
		t.Errorf("%+v; want %+v", got, want)
	}
	o := fleet.NewOperator(testkit.Conn(t, host))
	if _, _, err := o.Share(t.Context(), fleet.Proposal{Document: "freshness:\n  ttl: 500ms\n", By: "ann"}); err != nil {
		t.Fatal(err)
	}
	if got, want := inForce("freshness.ttl"), (config.Setting{Key: "freshness.ttl", Value: "500ms", From: "shared 1"}); got != want {
		t.Errorf("%+v; want %+v", got, want)
	}
	for _, to := range []string{"error", "debug"} {
		if code, text := ask(t, n, "POST", "/node/log", `{"level":"`+to+`","by":"bob"}`, nil); code != 200 || strings.Contains(text, "unrecorded") {
			t.Errorf("%d %s", code, text)
		}
		if got, want := inForce("log.level"), (config.Setting{Key: "log.level", Value: to, From: "an operator"}); got != want {
			t.Errorf("%+v; want %+v", got, want)
		}
		if !strings.Contains(log.String(), "by=bob before="+map[string]string{"error": "info", "debug": "error"}[to]+" after="+to) {
			t.Errorf("the log does not tell that its level is %s", to)
		}
	}
	for body, want := range map[string]string{`{"level":"loud","by":"bob"}`: `level is \"loud\"; want debug`, `{"level":"warn","by":""}`: "by is", `{"level":"warn"}`: "by is"} {
		if code, text := ask(t, n, "POST", "/node/log", body, nil); code != 422 || !strings.Contains(text, want) || level.Level() != slog.LevelDebug {
			t.Errorf("%s: %d %s", body, code, text)
		}
	}
	acts, err := o.Acts(t.Context(), 10)
	if err != nil || len(acts) != 3 {
		t.Fatalf("%v %+v", err, acts)
	}
	if a := acts[0]; a.What != "log" || a.By != "bob" || a.Target != "node-7" || a.Before != "error" || a.After != "debug" {
		t.Errorf("%+v", a)
	}
}
