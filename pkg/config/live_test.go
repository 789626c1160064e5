package config

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/testkit"
)

const ttlOne = "freshness:\n  ttl: 1s\n"

// following is settings that follow a file of a test.
type following struct {
	*Live
	t    *testing.T
	path string
	hup  chan os.Signal
	told atomic.Int64 // troubles, and their ends
}

func follow(t *testing.T, path string, o LiveOptions) *following {
	t.Helper()
	f := &following{t: t, path: path, hup: make(chan os.Signal)}
	o.Hup, o.Settle, o.OnTrouble = f.hup, 5*time.Millisecond, func(error) { f.told.Add(1) }
	var err error
	if f.Live, err = OpenLive(path, o); err != nil {
		t.Fatal(err)
	}
	testkit.Run(t, f.Run)
	return f
}

func (f *following) ttl(want time.Duration) {
	f.t.Helper()
	testkit.Eventually(f.t, "ttl "+want.String(), func() bool { return f.Current().Freshness.TTL == want && f.Trouble() == nil })
}

// refused waits for a trouble with a text; what was in force stays.
func (f *following) refused(text string) {
	f.t.Helper()
	before := f.Current()
	testkit.Eventually(f.t, "a trouble with "+text, func() bool { return f.Trouble() != nil && strings.Contains(f.Trouble().Error(), text) })
	if f.Current() != before {
		f.t.Errorf("%s: other settings are in force", text)
	}
}

func (f *following) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *following) write(text string) {
	f.t.Helper()
	f.must(os.WriteFile(f.path, []byte(text), 0o600))
}

// C4: every accident that can befall a file leaves the last good settings in force and is told; when the file is good again, it takes hold.
func TestLiveAccidents(t *testing.T) {
	f := follow(t, write(t, ttlOne), LiveOptions{})
	f.ttl(time.Second)
	good := func(seconds string, want time.Duration) {
		t.Helper()
		f.write("freshness:\n  ttl: " + seconds + "\n")
		f.ttl(want)
	}
	for text, want := range map[string]string{
		"": "is empty", "\n \n": "is empty", "freshness: [": "settings.yaml", "freshness:\n  tll: 1s\n": "tll", "freshness:\n  ttl: soon\n": "ttl",
		"freshness:\n  degraded_after: 1ms\n": "degraded_after is 1ms", "rules:\n  - name: a\n    ttl: 1s\n  - name: b\n    ttl: 2s\n": "rules[1] (b) can never match",
	} {
		f.write(text)
		f.refused(want)
		good("2s", 2*time.Second)
		good("1s", time.Second)
	}
	f.must(os.Remove(f.path))
	f.refused("no such file")
	good("3s", 3*time.Second)
	f.must(os.Remove(f.path))
	f.must(os.Mkdir(f.path, 0o700))
	f.refused("is a directory")
	f.must(os.Remove(f.path))
	good("4s", 4*time.Second)
	other := filepath.Join(filepath.Dir(f.path), "next")
	f.must(os.WriteFile(other, []byte("freshness:\n  ttl: 5s\n"), 0o600))
	f.must(os.Rename(other, f.path))
	f.ttl(5 * time.Second)
}

// C4: a file that is written in two steps is never taken half, and one that comes back as it was ends the trouble.
func TestLiveSteps(t *testing.T) {
	f := follow(t, write(t, ttlOne), LiveOptions{})
	f.write("freshness:\n  ttl: 7")
	f.refused("ttl")
	file, err := os.OpenFile(f.path, os.O_APPEND|os.O_WRONLY, 0)
	f.must(err)
	_, err = file.WriteString("s\n")
	f.must(err)
	f.must(file.Close())
	f.ttl(7 * time.Second)
	f.write("x: y\n")
	f.refused("x")
	before := f.told.Load()
	for range 3 {
		f.hup <- os.Interrupt
	}
	if n := f.told.Load(); n != before {
		t.Errorf("the same trouble was told again, %d times", n-before)
	}
	f.write("freshness:\n  ttl: 7s\n")
	f.ttl(7 * time.Second)
}

// C4: the symlink swap of a Kubernetes ConfigMap: the file is a link into a link to a folder, which is replaced.
func TestLiveConfigMap(t *testing.T) {
	dir := t.TempDir()
	version := func(name, text string) {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "yupiaod.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(name, filepath.Join(dir, "..data_tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	version("..1", ttlOne)
	path := filepath.Join(dir, "yupiaod.yaml")
	if err := os.Symlink(filepath.Join("..data", "yupiaod.yaml"), path); err != nil {
		t.Fatal(err)
	}
	f := follow(t, path, LiveOptions{})
	f.ttl(time.Second)
	version("..2", "freshness:\n  ttl: 2s\n")
	f.ttl(2 * time.Second)
}

// C5: a change that needs a restart is refused as a whole.
func TestLiveRestart(t *testing.T) {
	f := follow(t, write(t, ttlOne), LiveOptions{})
	f.write("freshness:\n  ttl: 2s\nhttp:\n  address: 127.0.0.1:9\nlog:\n  format: text\n")
	f.refused("what has changed in http.address, log.format needs a restart")
	f.write("freshness:\n  ttl: 3s\n")
	f.ttl(3 * time.Second)
}

// C2 holds at a reload: the environment stands above the file. SIGHUP looks at once, and the poll where the file system tells nothing.
func TestLiveSources(t *testing.T) {
	t.Setenv("YUPIAO_FRESHNESS_TTL", "9s")
	f := follow(t, write(t, ttlOne), LiveOptions{})
	f.write("freshness:\n  ttl: 2s\n  client_max_age: 4s\n")
	testkit.Eventually(t, "the other key", func() bool { return f.Current().Freshness.ClientMaxAge == 4*time.Second })
	f.ttl(9 * time.Second)
	f.write("x: y\n")
	f.refused("x")
	f.hup <- os.Interrupt
	f.refused("x")

	// A folder that is not there when it is opened cannot be watched.
	dir := filepath.Join(t.TempDir(), "later")
	f.must(os.Mkdir(dir, 0o700))
	path := filepath.Join(dir, "settings.yaml")
	f.must(os.WriteFile(path, []byte(ttlOne), 0o600))
	live, err := OpenLive(path, LiveOptions{Poll: 5 * time.Millisecond})
	f.must(err)
	f.must(os.Rename(dir, dir+"2"))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- live.Run(ctx) }()
	testkit.Eventually(t, "it is gone", func() bool { return live.Trouble() != nil })
	f.must(os.Rename(dir+"2", dir))
	f.must(os.WriteFile(path, []byte("freshness:\n  client_max_age: 5s\n"), 0o600))
	testkit.Eventually(t, "the poll finds it", func() bool { return live.Current().Freshness.ClientMaxAge == 5*time.Second && live.Trouble() == nil })
	cancel()
	f.must(<-ended)
}

// C4, of the file with the keys of offers: what is in it is in force as a whole or not at all, without the settings file being touched.
func TestLiveFollowsKeys(t *testing.T) {
	keys := write(t, one+"\n")
	changes := make(chan string, 10)
	f := follow(t, write(t, "offers:\n  keys_file: "+keys+"\n"), LiveOptions{Poll: 5 * time.Millisecond, OnChange: func(n *Node) {
		loaded, err := n.Offers.Load()
		changes <- fmt.Sprint(loaded, err)
	}})
	put := func(text string) { f.must(os.WriteFile(keys, []byte(text), 0o600)) }
	next := func(want string) {
		t.Helper()
		testkit.Eventually(t, "keys "+want, func() bool {
			select {
			case got := <-changes:
				return got == want
			default:
				return false
			}
		})
	}
	put(one + "\n" + two + "\n")
	next("k1 k2 <nil>")
	put("nonsense\n")
	f.refused("unusable offer key")
	put(two + "\n" + one + "\n")
	next("k2 k1 <nil>")
	f.must(os.Remove(keys))
	f.refused("no such file")
	for len(changes) > 0 { // what is read while it is being written is read once more
		if got := <-changes; got != "k2 k1 <nil>" {
			t.Errorf("a change more: %s", got)
		}
	}
}
