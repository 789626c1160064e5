package config

import (
	"fmt"
	"strings"
	"testing"
)

// All settings are told, with where they come from, and no secret.
func TestSettingsTellNoSecret(t *testing.T) {
	const secret = "correct-horse-battery-staple"
	n := DefaultNode()
	n.Admin.Token, n.Offers.Keys, n.Feed.URL = secret, Secrets{"a:" + secret}, "nats://ann:"+secret+"@127.0.0.1:4222,nats://127.0.0.1:4223, ://"+secret+",nats://"+secret+"@127.0.0.1:4224"
	n.Origins = map[string]string{"feed.url": "node.yaml:3"}
	all := n.Settings()
	if text := fmt.Sprint(all); strings.Contains(text, secret) {
		t.Errorf("a secret is told: %s", text)
	}
	byKey := map[string]Setting{}
	for _, s := range all {
		byKey[s.Key] = s
	}
	for _, want := range []Setting{
		{"admin.token", "***", "default", true}, {"offers.keys", "***", "default", true}, {"http.address", "127.0.0.1:8080", "default", false}, {"http.fast_lane", "true", "default", false},
		{"feed.url", "nats://ann:***@127.0.0.1:4222,nats://127.0.0.1:4223,***,nats://***@127.0.0.1:4224", "node.yaml:3", false}, {"answers.position_wait", "1s", "default", false},
	} {
		if byKey[want.Key] != want {
			t.Errorf("%+v; want %+v", byKey[want.Key], want)
		}
	}
	none := DefaultNode()
	for _, s := range none.Settings() {
		if s.Secret && s.Value != "" {
			t.Errorf("%+v where there is none", s)
		}
	}
}
