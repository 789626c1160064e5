package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestDate(t *testing.T) {
	now := time.Date(2026, 11, 30, 23, 59, 0, 0, time.FixedZone("", 8*3600))
	for text, want := range map[string]string{"today": "2026-11-30", "tomorrow": "2026-12-01", "2026-12-24": "2026-12-24", "soon": "soon"} {
		if got := date(text, now); got != want {
			t.Errorf("%s is %s; want %s", text, got, want)
		}
	}
}

// A query carries its filters to the node and writes a table; a problem becomes an error in the node's words.
func TestQuery(t *testing.T) {
	var asked string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.Query().Encode()
		if r.URL.Query().Get("to") == "x" {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"title":"A place is not known","detail":"want a place","parameter":"to","value":"x"}`)
			return
		}
		fmt.Fprint(w, `{"date":"2026-12-01","from":{"code":"BJP","name":"北京"},"to":{"code":"SHH","name":"上海"},"runs":[]}`)
	}))
	defer server.Close()
	run := func(args ...string) (string, error) {
		cmd := queryCommand()
		var out bytes.Buffer
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		cmd.SetArgs(append(args, "--server", server.URL))
		err := cmd.ExecuteContext(t.Context())
		return out.String(), err
	}
	if out, err := run("北京", "上海", "2026-12-01", "--types", "G", "--seats", "2"); err != nil || !strings.HasPrefix(out, "北京 → 上海  2026-12-01  0 trains") || asked != "date=2026-12-01&from=%E5%8C%97%E4%BA%AC&seats=2&to=%E4%B8%8A%E6%B5%B7&types=G" {
		t.Errorf("%v, asked %s, wrote %s", err, asked, out)
	}
	if _, err := run("北京", "x", "2026-12-01"); err == nil || !strings.Contains(err.Error(), "to=x: want a place") {
		t.Errorf("got %v", err)
	}
	if _, err := run("北京"); err == nil {
		t.Error("two places too few")
	}
}
