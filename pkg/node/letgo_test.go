package node_test

import (
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"testing"
	"weak"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/node"
	"github.com/yupiao/yupiao/pkg/replica"
	"github.com/yupiao/yupiao/pkg/testkit"
)

// A replica in whose place another has come is let go, whatever was answered from it.
func TestFormerReplicasAreLetGo(t *testing.T) {
	host := testkit.Broker(t)
	_, _, ids := publish(t.Context(), t, host, 30)
	var mu sync.Mutex
	var made []weak.Pointer[replica.Replica]
	n, err := node.New(settings(), node.Options{InProcess: host, Log: slog.New(slog.DiscardHandler), Between: func(s feed.Sink) feed.Sink {
		mu.Lock()
		defer mu.Unlock()
		made = append(made, weak.Make(s.(*replica.Replica)))
		return s
	}})
	if err != nil {
		t.Fatal(err)
	}
	testkit.Run(t, n.Run)
	<-n.Follower().Ready()
	js, err := jetstream.New(testkit.Plain(t, host))
	if err != nil {
		t.Fatal(err)
	}
	ask := func() {
		for i := range 200 {
			code, body := get(t, n.Address(), fmt.Sprintf("/v1/availability?from=BJP&to=SHH&date=%s&seats=%d", ids[0].Date, 1+i%5))
			if code != 200 {
				t.Fatal(code, body)
			}
		}
	}
	for range 3 {
		ask()
		before := n.Follower().Reloads()
		if err := js.DeleteStream(t.Context(), feed.DeltaStream); err != nil {
			t.Fatal(err)
		}
		testkit.Eventually(t, "the node loads again", func() bool { return n.Follower().Reloads() > before })
		ask()
	}
	living := func() (n int) {
		runtime.GC()
		mu.Lock()
		defer mu.Unlock()
		for _, p := range made {
			if p.Value() != nil {
				n++
			}
		}
		return n
	}
	testkit.Eventually(t, "the former ones are let go", func() bool { n := living(); t.Logf("%d of %d", n, len(made)); return n == 1 })
}
