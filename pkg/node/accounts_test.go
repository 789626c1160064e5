package node_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	client "github.com/nats-io/nats.go"

	"github.com/yupiao/yupiao/configs/nats"
	"github.com/yupiao/yupiao/pkg/admin"
	"github.com/yupiao/yupiao/pkg/audit"
	"github.com/yupiao/yupiao/pkg/config"
	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/fleet"
	"github.com/yupiao/yupiao/pkg/node"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/testkit"
)

// guarded is the settings of a node on a server with the shipped accounts, and as whom it acts.
func guarded(operator bool) config.Node {
	s := settings()
	s.Admin.Token = token32
	s.Feed.User, s.Feed.Password, s.Feed.Domain = string(nats.Node), testkit.Password(nats.Node), nats.Domain
	if operator {
		s.Admin.NATSUser, s.Admin.NATSPassword = string(nats.Operator), testkit.Password(nats.Operator)
	}
	return s
}

// startAs runs a node with settings until the test ends, and waits until it is ready.
func startAs(t *testing.T, host *testkit.Host, s config.Node, log *testkit.Log) *node.Node {
	t.Helper()
	n, err := node.New(s, node.Options{InProcess: host, Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	testkit.Run(t, n.Run)
	testkit.Eventually(t, "a ready node", func() bool { code, _ := get(t, n.Address(), "/readyz"); return code == 200 })
	return n
}

// as connects as a party whom nothing is to be denied.
func as(t *testing.T, host *testkit.Host, p nats.Party) *feed.Conn {
	t.Helper()
	o := host.As(p)
	o.OnTrouble = func(err error) {
		if errors.Is(err, feed.ErrDenied) { // a connection that is lost on a busy machine is made again
			t.Errorf("%s: %v", p, err)
		}
	}
	return testkit.Connect(t, o)
}

// Under the shipped accounts the real publisher, nodes and operator do all that they do, and the server denies them nothing: loading, following, repairs, settings, holds,
// purges, drains, what-ifs, audits, and publishing everything again after the streams were lost. Without an operator's user a node says so.
func TestAccountsLetAllWork(t *testing.T) {
	t.Setenv("YUPIAO_ADMIN_TOKEN", "")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	host, log := testkit.Guarded(t), &testkit.Log{}
	ledger, publisher, ids := publishOver(ctx, t, as(t, host, nats.Publisher), 5, feed.PublisherOptions{DigestEvery: 50 * time.Millisecond})
	bare, able := startAs(t, host, guarded(false), log), startAs(t, host, guarded(true), log)
	over := fleet.NewOperator(as(t, host, nats.Operator))
	through := &admin.Client{Server: "http://" + able.AdminAddress(), Token: token32}
	says := func(want string) func() bool {
		return func() bool {
			_, one := get(t, bare.Address(), "/v1/runs/"+ids[0].String())
			_, other := get(t, able.Address(), "/v1/runs/"+ids[0].String())
			return strings.Contains(one, want) && strings.Contains(other, want)
		}
	}

	ledger.Sell(ids[0], 7) // and never tell: R3
	if err := publisher.Publish(ctx, []feed.Change{ledger.Sell(ids[0], 1)}); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "a repair by the publisher's answer", func() bool { publisher.Complete(time.Now()); return says(`"remaining":92`)() })
	if publisher.Stats().Repairs == 0 {
		t.Error("the publisher was not asked")
	}
	after := uint64(0)
	for _, f := range []admin.Fleet{over, through} {
		if nodes, err := f.Nodes(ctx); err != nil || len(nodes) != 2 {
			t.Fatal(err, nodes)
		}
		version, verdicts, err := f.Share(ctx, fleet.Proposal{Document: "freshness:\n  client_max_age: 7s\n", By: "ann", After: after})
		if err != nil || len(verdicts) != 2 || verdicts[0].Refused+verdicts[1].Refused != "" {
			t.Fatal(err, verdicts)
		}
		after = version
		for _, a := range []fleet.RunAct{{Act: fleet.Suspend, Reason: "snow"}, {Act: fleet.Resume}, {Act: fleet.Pin}, {Act: fleet.Unpin}, {Act: fleet.Purge}} {
			a.Run, a.By = ids[0].String(), "ann"
			_, verdicts, err := f.OnRun(ctx, a)
			if err != nil || len(verdicts) != 2 || verdicts[0].Refused+verdicts[1].Refused != "" {
				t.Fatal(a.Act, err, verdicts)
			}
			want := `"remaining":92`
			if a.Act == fleet.Suspend {
				want = "snow"
			}
			testkit.Eventually(t, a.Act, says(want))
		}
		nodes, err := f.Nodes(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, draining := range []bool{true, false} {
			if verdicts, err := f.Drain(ctx, fleet.DrainOrder{Node: nodes[0].ID, Draining: draining, By: "ann"}); err != nil || verdicts[0].Refused != "" {
				t.Fatal(err, verdicts)
			}
		}
		if _, report, err := f.Try(ctx, nodes[0].ID, "freshness:\n  ttl: 1m\n"); err != nil && !strings.Contains(err.Error(), "was asked nothing") {
			t.Error(err, report)
		}
		if acts, err := f.Acts(ctx, 100); err != nil || len(acts) < 8 {
			t.Error(err, acts)
		}
	}
	if _, err := over.Drain(ctx, fleet.DrainOrder{Node: "nobody", Draining: true, By: "ann"}); !errors.Is(err, fleet.ErrUnknown) {
		t.Errorf("got %v", err)
	}
	report, err := audit.Run(ctx, audit.Options{Conn: as(t, host, nats.Operator), By: "ann", Repair: true})
	if err != nil || !report.Clean() {
		t.Errorf("%v %+v", err, report)
	}
	refusesToAct(t, bare)

	host.Stop()
	if err := os.RemoveAll(host.Dir); err != nil {
		t.Fatal(err)
	}
	host.Start()
	testkit.Eventually(t, "everything to be published again", func() bool { return publisher.Stats().Republished > 0 })
	if err := publisher.Publish(ctx, []feed.Change{ledger.Sell(ids[0], 1)}); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "nodes to follow again", says(`"remaining":91`))
	for _, line := range strings.Split(log.String(), "\n") {
		if strings.Contains(line, "trouble with the feed") && !strings.Contains(line, "yupiao.v1.fleet.") && !strings.Contains(line, "$SRV.PING") {
			t.Errorf("a node was denied what it needs: %s", line)
		}
	}
}

// refusesToAct: the node's own user may read what operators have stored, and not act; it is said why, at once.
func refusesToAct(t *testing.T, n *node.Node) {
	t.Helper()
	for path, body := range map[string]string{
		"/fleet/nodes": "", "/fleet/drain": `{"node":"yupiaod","draining":true,"by":"ann"}`, "/fleet/settings": `{"document":"","by":"ann","after":0}`,
		"/fleet/runs": `{"act":"pin","run":"20261201.G1","by":"ann"}`, "/fleet/settings/try": `{"document":""}`,
	} {
		method := http.MethodPost
		if body == "" {
			method = http.MethodGet
		}
		code, text := ask(t, n, method, path, body, nil)
		if code != http.StatusForbidden || !strings.Contains(text, "admin.nats_user") || !strings.Contains(text, "NATS does not let this user publish to ") {
			t.Errorf("%s: %d %s", path, code, text)
		}
	}
	for _, path := range []string{"/fleet/runs", "/fleet/acts", "/fleet/settings"} {
		if code, text := ask(t, n, http.MethodGet, path, "", nil); code != http.StatusOK {
			t.Errorf("%s: %d %s", path, code, text)
		}
	}
}

// try is what a party tries on the bare server: to ask and be answered, to say something that a node could hear, or to hear.
type try struct{ verb, subject string }

// bodies that those who are asked understand enough to answer, and that change nothing.
func bodies(t *testing.T, run rail.RunID) map[string][]byte {
	t.Helper()
	repair, err := event.EncodeRepairRequest(event.RepairRequest{Run: run})
	versions, other := event.EncodeVersionsRequest(event.VersionsRequest{Date: run.Date})
	if err = errors.Join(err, other); err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{"yupiao.v1.repair": repair, "yupiao.v1.versions": versions}
}

// bare is a party's connection without any code of ours.
func bare(t *testing.T, host *testkit.Host, p nats.Party) *client.Conn {
	t.Helper()
	return testkit.Plain(t, host, client.UserInfo(string(p), testkit.Password(p)), client.ErrorHandler(func(*client.Conn, *client.Subscription, error) {}))
}

// denied tells whether the server denied a connection something: that comes before its pong.
func denied(t *testing.T, nc *client.Conn) bool {
	t.Helper()
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return errors.Is(nc.LastError(), client.ErrPermissionViolation)
}

// does tells whether a party can do something.
func (a try) does(t *testing.T, host *testkit.Host, p nats.Party, body []byte) bool {
	t.Helper()
	nc := bare(t, host, p)
	defer nc.Close()
	switch a.verb {
	case "hear":
		if _, err := nc.SubscribeSync(a.subject); err != nil {
			t.Fatal(err)
		}
		return !denied(t, nc)
	case "say":
		listener := bare(t, host, nats.Node)
		defer listener.Close()
		heard, err := listener.SubscribeSync(a.subject)
		if err = errors.Join(err, listener.Flush(), nc.Publish(a.subject, []byte("{")), nc.Flush(), listener.Flush()); err != nil {
			t.Fatal(err)
		}
		for {
			m, err := heard.NextMsg(0)
			if err != nil {
				return false
			}
			if string(m.Data) == "{" { // not the real publisher's
				return true
			}
		}
	}
	inbox := client.NewInbox()
	answer, err := nc.SubscribeSync(inbox)
	m := client.NewMsg(a.subject)
	m.Reply, m.Data = inbox, []byte("{")
	if body != nil {
		m.Data = body
	}
	if !strings.HasPrefix(a.subject, "$") && body == nil {
		m.Header.Set(client.ExpectedStreamHdr, "NONE") // where a stream takes it, it says no
	}
	if err = errors.Join(err, nc.PublishMsg(m)); err != nil {
		t.Fatal(err)
	}
	if denied(t, nc) {
		return false
	}
	switch m, err = answer.NextMsg(testkit.Patience); {
	case errors.Is(err, client.ErrNoResponders):
		return false
	case err != nil:
		t.Fatalf("%s asks %s: %v", p, a.subject, err)
	}
	const notEnabled = `"err_code":10039` // of an account without streams
	return !strings.Contains(string(m.Data), notEnabled)
}

var (
	feeds   = []string{"YUPIAO_REFERENCE", "YUPIAO_STATE", "YUPIAO_DELTA"}
	shelves = []string{"YUPIAO_SETTINGS", "YUPIAO_HOLDS", "YUPIAO_ACTS"}
	// events and stored are the subjects that those take.
	events = []string{"yupiao.v1.network", "yupiao.v1.pattern.x", "yupiao.v1.state.20261201.G1", "yupiao.v1.delta.0"}
	stored = []string{"yupiao.v1.settings.node", "yupiao.v1.holds", "yupiao.v1.acts"}
	verbs  = []string{"status", "check", "try", "drain", "find", "purge", "sums", "numbers"}
)

const api = "$JS." + nats.Domain + ".API."

// each makes a subject of every name.
func each(format string, names ...string) (all []string) {
	for _, n := range names {
		all = append(all, fmt.Sprintf(format, n))
	}
	return all
}

// tries are everything that is tried as each party.
func tries() (all []try) {
	add := func(verb string, subjects []string) {
		for _, s := range subjects {
			all = append(all, try{verb, s})
		}
	}
	streams := slices.Concat(feeds, shelves)
	for _, prefix := range []string{api, "$JS.API."} {
		for _, act := range []string{
			"STREAM.INFO.%s", "STREAM.CREATE.%s", "STREAM.UPDATE.%s", "STREAM.DELETE.%s", "STREAM.PURGE.%s", "STREAM.MSG.GET.%s", "STREAM.MSG.DELETE.%s",
			"STREAM.SNAPSHOT.%s", "STREAM.RESTORE.%s", "STREAM.LEADER.STEPDOWN.%s", "STREAM.PEER.REMOVE.%s", "DIRECT.GET.%s", "DIRECT.GET.%s.x",
			"CONSUMER.CREATE.%s", "CONSUMER.CREATE.%s.x", "CONSUMER.CREATE.%s.x.y", "CONSUMER.DURABLE.CREATE.%s.x", "CONSUMER.NAMES.%s", "CONSUMER.LIST.%s",
			"CONSUMER.INFO.%s.x", "CONSUMER.DELETE.%s.x", "CONSUMER.PAUSE.%s.x", "CONSUMER.MSG.NEXT.%s.probe",
		} {
			add("ask", each(prefix+act, streams...))
		}
		add("ask", each(prefix+"%s", "INFO", "STREAM.NAMES", "STREAM.LIST", "STREAM.CREATE.MINE", "META.LEADER.STEPDOWN", "SERVER.REMOVE", "ACCOUNT.PURGE.STATE"))
	}
	add("ask", slices.Concat(events, stored))
	add("ask", each("yupiao.v1.fleet.%s", verbs...))
	add("ask", each("$SRV.%s", "PING", "PING.yupiaod", "INFO", "STATS"))
	add("ask", []string{
		"yupiao.v1.repair", "yupiao.v1.versions", "_R_.x", "$JS.ACK.YUPIAO_STATE.x.1.1.1.1.0", "$SYS.REQ.SERVER.PING", "$SYS.REQ.ACCOUNT.NODE.CONNZ", "yupiao.v1.other", "other",
	})
	add("say", []string{"yupiao.v1.heartbeat", "yupiao.v1.outcome", "_INBOX.x"})
	add("hear", slices.Concat(events, stored, []string{
		"yupiao.v1.heartbeat", "yupiao.v1.outcome", "yupiao.v1.fleet.status", "yupiao.v1.fleet.>", "yupiao.v1.repair", "yupiao.v1.versions", "yupiao.>", "_INBOX.>", "_INBOX.x",
		"$SRV.>", "$JS.>", "$SYS.>", "_R_.>", ">",
	}))
	return all
}

// may is what each party can do of that. All else is refused.
func may() map[nats.Party]map[try]bool {
	all := map[nats.Party]map[try]bool{}
	let := func(p nats.Party, verb string, subjects ...[]string) {
		if all[p] == nil {
			all[p] = map[try]bool{}
		}
		for _, s := range slices.Concat(subjects...) {
			all[p][try{verb, s}] = true
		}
	}
	reads := slices.Concat(
		each(api+"STREAM.INFO.%s", slices.Concat(feeds, shelves)...), each(api+"STREAM.MSG.GET.%s", shelves...), each(api+"DIRECT.GET.%s.x", feeds[:2]...),
		each(api+"CONSUMER.CREATE.%s.x", feeds...), each(api+"CONSUMER.CREATE.%s.x.y", feeds...), each(api+"CONSUMER.DELETE.%s.x", feeds...), each(api+"CONSUMER.MSG.NEXT.%s.probe", feeds...),
	)
	publisher := []string{"yupiao.v1.repair", "yupiao.v1.versions"}
	services := each("$SRV.%s", "PING", "PING.yupiaod", "INFO", "STATS")
	heard := []string{"yupiao.v1.heartbeat", "_INBOX.>", "_INBOX.x"}

	let(nats.Node, "ask", reads, publisher)
	let(nats.Node, "hear", heard, []string{"yupiao.v1.outcome", "yupiao.v1.settings.node", "yupiao.v1.holds", "yupiao.v1.fleet.status", "yupiao.v1.fleet.>", "$SRV.>"})

	let(nats.Publisher, "ask", each(api+"STREAM.INFO.%s", feeds...), each(api+"STREAM.CREATE.%s", feeds...), each(api+"STREAM.UPDATE.%s", feeds...))
	let(nats.Publisher, "ask", []string{api + "STREAM.MSG.GET.YUPIAO_DELTA"}, events)
	let(nats.Publisher, "say", []string{"yupiao.v1.heartbeat", "yupiao.v1.outcome"})
	let(nats.Publisher, "hear", publisher, []string{"_INBOX.>", "_INBOX.x"})

	let(nats.Operator, "ask", reads, publisher, services, each(api+"STREAM.CREATE.%s", shelves...), stored, each("yupiao.v1.fleet.%s", verbs...))
	let(nats.Operator, "hear", heard)

	let(nats.Monitor, "ask", each(api+"STREAM.INFO.%s", slices.Concat(feeds, shelves)...), each(api+"STREAM.MSG.GET.%s", slices.Concat(feeds, shelves)...))
	let(nats.Monitor, "ask", services, []string{"yupiao.v1.fleet.status"})
	let(nats.Monitor, "hear", heard, []string{"yupiao.v1.outcome"})
	return all
}

// furnish starts a publisher and a node, and has an operator store something on each shelf, so that nothing is refused because nobody is there.
func furnish(ctx context.Context, t *testing.T, host *testkit.Host) (*testkit.Ledger, *feed.Publisher, []rail.RunID, *node.Node) {
	t.Helper()
	quiet := feed.PublisherOptions{DigestEvery: time.Hour, HealEvery: 1000 * time.Hour}
	ledger, publisher, ids := publishOver(ctx, t, as(t, host, nats.Publisher), 5, quiet)
	n := startAs(t, host, guarded(true), &testkit.Log{})
	over := fleet.NewOperator(as(t, host, nats.Operator))
	_, _, err := over.Share(ctx, fleet.Proposal{Document: "", By: "ann"})
	if _, _, other := over.OnRun(ctx, fleet.RunAct{Act: fleet.Pin, Run: ids[0].String(), By: "ann"}); err != nil || other != nil {
		t.Fatal(err, other)
	}
	return ledger, publisher, ids, n
}

// Everything that the shipped accounts let each party do, and that they let it do nothing else.
func TestAccountsRefuseAllElse(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	host := testkit.Guarded(t)
	_, _, ids, _ := furnish(ctx, t, host)
	known := bodies(t, ids[0])
	reader := bare(t, host, nats.Node)
	for _, stream := range feeds {
		request := fmt.Sprintf(`{"stream_name":%q,"config":{"name":"probe","ack_policy":"none","mem_storage":true,"inactive_threshold":600000000000}}`, stream)
		if m, err := reader.Request(api+"CONSUMER.CREATE."+stream+".probe", []byte(request), testkit.Patience); err != nil || strings.Contains(string(m.Data), `"error"`) {
			t.Fatal(err, string(m.Data))
		}
		known[api+"CONSUMER.MSG.NEXT."+stream+".probe"] = []byte(`{"batch":1,"no_wait":true}`)
	}
	before := sights(t, host)
	allowed, refused := 0, 0
	for p, can := range may() {
		left := maps.Clone(can)
		for _, a := range tries() {
			got := a.does(t, host, p, known[a.subject])
			if got != can[a] {
				t.Errorf("%s can %s %s: %t; want %t", p, a.verb, a.subject, got, can[a])
			}
			if delete(left, a); got {
				allowed++
			} else {
				refused++
			}
		}
		for a := range left {
			t.Errorf("%s may %s %s, and nobody tried", p, a.verb, a.subject)
		}
	}
	after := sights(t, host)
	after["YUPIAO_STATE"] = before["YUPIAO_STATE"] // the publisher was asked to publish one again
	if !reflect.DeepEqual(before, after) {
		t.Errorf("streams were %+v and are %+v", before, after)
	}
	t.Logf("%d acts are let through, %d are refused", allowed, refused)
}

// sight is what a stream holds.
type sight struct {
	Created time.Time `json:"created"`
	State   struct {
		Messages uint64 `json:"messages"`
		Last     uint64 `json:"last_seq"`
		First    uint64 `json:"first_seq"`
	} `json:"state"`
}

// sights are what all streams hold, as the monitor sees it.
func sights(t *testing.T, host *testkit.Host) map[string]sight {
	t.Helper()
	nc, all := bare(t, host, nats.Monitor), map[string]sight{}
	defer nc.Close()
	for _, stream := range slices.Concat(feeds, shelves) {
		m, err := nc.Request(api+"STREAM.INFO."+stream, nil, testkit.Patience)
		var s sight
		if err = errors.Join(err, json.Unmarshal(m.Data, &s)); err != nil || s.Created.IsZero() {
			t.Fatal(err, string(m.Data))
		}
		all[stream] = s
	}
	return all
}

// Nobody hears what others are answered.
func TestAccountsKeepAnswersApart(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	host := testkit.Guarded(t)
	furnish(ctx, t, host)
	for asker, subject := range map[nats.Party]string{
		nats.Operator: "yupiao.v1.fleet.status", nats.Publisher: api + "STREAM.INFO.YUPIAO_STATE", nats.Node: api + "STREAM.INFO.YUPIAO_HOLDS",
	} {
		own, inbox := bare(t, host, asker), "_INBOX."+string(asker)
		answer, err := own.SubscribeSync(inbox)
		if err != nil {
			t.Fatal(err)
		}
		others := map[nats.Party]*client.Subscription{}
		for p := range nats.Parties {
			if p == asker {
				continue
			}
			nc := bare(t, host, p)
			if others[p], err = nc.SubscribeSync(inbox); err == nil {
				err = nc.Flush()
			}
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if _ = nc.Flush(); p != asker { // behind what was delivered
					if n, _, _ := others[p].Pending(); n > 0 {
						t.Errorf("%s hears what %s is answered", p, asker)
					}
				}
			}()
		}
		if err := own.PublishRequest(subject, inbox, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := answer.NextMsg(testkit.Patience); err != nil {
			t.Errorf("%s asks %s: %v", asker, subject, err)
		}
	}
}

// attack has whoever may read the feed try to have the server write for it: by the subject that an answer is to go to, and by the one that a consumer is to deliver to.
func attack(t *testing.T, nc *client.Conn, prefix string, targets []string) {
	t.Helper()
	for _, target := range targets {
		questions := slices.Concat(each(prefix+"STREAM.INFO.%s", slices.Concat(feeds, shelves)...), each(prefix+"DIRECT.GET.%s.x", feeds[:2]...))
		for _, question := range append(questions, "yupiao.v1.repair", "yupiao.v1.versions") {
			if err := nc.PublishRequest(question, target, nil); err != nil {
				t.Fatal(err)
			}
		}
		for _, stream := range feeds {
			pull := fmt.Sprintf(`{"stream_name":%q,"config":{"name":"pull","ack_policy":"none","mem_storage":true}}`, stream)
			push := fmt.Sprintf(`{"stream_name":%q,"config":{"name":"push-%d","ack_policy":"none","mem_storage":true,"deliver_subject":%q}}`, stream, len(target), target)
			for _, request := range [][2]string{{"pull", pull}, {fmt.Sprint("push-", len(target)), push}} {
				if _, err := nc.Request(prefix+"CONSUMER.CREATE."+stream+"."+request[0], []byte(request[1]), testkit.Patience); err != nil {
					t.Fatal(err)
				}
			}
			if err := nc.PublishRequest(prefix+"CONSUMER.MSG.NEXT."+stream+".pull", target, []byte(`{"batch":3}`)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
}

// What the server sends on a party's behalf reaches nothing that the party may not write. The first server shows that this is no matter of course: there, all are of one account, and
// whoever may ask can have it write.
func TestAccountsHoldWhatTheServerSends(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	targets := slices.Concat(events, stored)
	open := testkit.Broker(t)
	_, _, ids := publishBy(ctx, t, open, 5, feed.PublisherOptions{DigestEvery: time.Hour, HealEvery: 1000 * time.Hour})
	over := fleet.NewOperator(testkit.Conn(t, open))
	if _, _, err := over.Share(ctx, fleet.Proposal{Document: "", By: "ann"}); err != nil {
		t.Fatal(err)
	}
	plain := testkit.Plain(t, open)
	attack(t, plain, "$JS.API.", targets)
	for stream, quiet := range map[string]uint64{"YUPIAO_REFERENCE": 2, "YUPIAO_STATE": uint64(len(ids)), "YUPIAO_DELTA": 16 + uint64(len(ids)), "YUPIAO_SETTINGS": 1} {
		testkit.Eventually(t, "the server to write into "+stream+" on one account", func() bool {
			m, err := plain.Request("$JS.API.STREAM.INFO."+stream, nil, testkit.Patience)
			var s sight
			return errors.Join(err, json.Unmarshal(m.Data, &s)) == nil && s.State.Last > quiet
		})
	}

	host := testkit.Guarded(t)
	ledger, publisher, ids, n := furnish(ctx, t, host)
	before := sights(t, host)
	purges := []string{"$JS.API.STREAM.PURGE.YUPIAO_STATE", api + "STREAM.PURGE.YUPIAO_DELTA", "$JS.API.STREAM.DELETE.YUPIAO_HOLDS"}
	attack(t, bare(t, host, nats.Node), api, slices.Concat(targets, purges))
	attack(t, bare(t, host, nats.Operator), api, slices.Concat(events, purges))
	for p, those := range map[nats.Party][]string{nats.Publisher: slices.Concat(stored, purges), nats.Monitor: slices.Concat(targets, purges)} {
		nc := bare(t, host, p)
		for _, target := range those {
			if err := errors.Join(nc.PublishRequest(api+"STREAM.INFO.YUPIAO_STATE", target, nil), nc.Flush()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if after := sights(t, host); !reflect.DeepEqual(before, after) {
		t.Errorf("streams were %+v and are %+v", before, after)
	}
	if err := publisher.Publish(ctx, []feed.Change{ledger.Sell(ids[0], 7)}); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the next change on the node", func() bool {
		_, text := get(t, n.Address(), "/v1/runs/"+ids[0].String())
		return strings.Contains(text, `"remaining":93`)
	})
	after := sights(t, host)
	if d := after["YUPIAO_DELTA"]; d.State.Last != before["YUPIAO_DELTA"].State.Last+1 {
		t.Errorf("deltas were %+v and are %+v after one change", before["YUPIAO_DELTA"], d)
	}
	after["YUPIAO_DELTA"] = before["YUPIAO_DELTA"]
	if !reflect.DeepEqual(before, after) {
		t.Errorf("streams were %+v and are %+v", before, after)
	}
}
