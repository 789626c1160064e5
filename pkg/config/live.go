package config

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
)

// LiveOptions of a Live; zero values take the defaults.
type LiveOptions struct {
	// Hup, if set, makes it look at the file at once; a program passes SIGHUP.
	Hup <-chan os.Signal
	// OnChange is told of settings that are in force from now on.
	OnChange func(*Node)
	// OnTrouble is told why what is in the file is not in force; nil when it is again.
	OnTrouble func(error)
	// Poll is how often the file is looked at whatever the file system tells. Default 30 s.
	Poll time.Duration
	// Settle is how long it waits after the last sign of a change, since files are written in steps. Default 100 ms.
	Settle time.Duration
}

func (o LiveOptions) orDefault() LiveOptions {
	if o.OnChange == nil {
		o.OnChange = func(*Node) {}
	}
	if o.OnTrouble == nil {
		o.OnTrouble = func(error) {}
	}
	if o.Poll <= 0 {
		o.Poll = 30 * time.Second
	}
	if o.Settle <= 0 {
		o.Settle = 100 * time.Millisecond
	}
	return o
}

// Live is a node's settings that follow their file, and that of the keys of offers (C4, C5). Its methods are safe for concurrent use.
type Live struct {
	path    string
	options LiveOptions
	current atomic.Pointer[Node]
	trouble atomic.Pointer[error]

	// Of Run alone: the content that is in force, and the one that was looked at last.
	inForce, tried digest
}

// digest tells contents apart; the zero one is that of no file.
type digest [sha256.Size]byte

// OpenLive reads the settings. Run it, so that they follow the file.
func OpenLive(path string, o LiveOptions) (*Live, error) {
	l := &Live{path: path, options: o.orDefault()}
	for range 2 { // the first time for which files to look at: what changes after that is found
		l.inForce, _ = l.digest() // one that cannot be read is refused next
		n, err := LoadNode(path)
		if err != nil {
			return nil, err
		}
		l.current.Store(&n)
	}
	l.tried = l.inForce
	return l, nil
}

// digest is that of the file, and of the one with the keys of offers.
func (l *Live) digest() (digest, error) {
	data, err := os.ReadFile(l.path)
	if err != nil {
		return digest{}, err
	}
	if n := l.current.Load(); n != nil && n.Offers.KeysFile != "" {
		keys, err := os.ReadFile(n.Offers.KeysFile)
		if err != nil {
			return digest{}, err
		}
		data = append(append(data, 0), keys...)
	}
	return sha256.Sum256(data), nil
}

// Current is the settings in force: the last good ones. Do not modify them.
func (l *Live) Current() *Node { return l.current.Load() }

// Trouble says why what is in the file is not in force; nil if it is.
func (l *Live) Trouble() error {
	if err := l.trouble.Load(); err != nil {
		return *err
	}
	return nil
}

// Run follows the file until ctx ends. The folder is watched, since a file that is replaced or removed is watched no longer, and the file is looked at now and then
// in case that the file system tells nothing.
func (l *Live) Run(ctx context.Context) error {
	if l.path == "" {
		<-ctx.Done()
		return nil
	}
	events, stop := watchFolder(filepath.Dir(l.path))
	defer stop()
	poll := time.NewTicker(l.options.Poll)
	defer poll.Stop()
	settle := time.NewTimer(l.options.Settle) // it may have changed since it was opened
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-events:
			settle.Reset(l.options.Settle)
		case <-settle.C:
			l.look(false)
		case <-poll.C:
			l.look(false)
		case <-l.options.Hup:
			l.look(true)
		}
	}
}

// watchFolder tells of whatever happens in a folder. Without a watcher, nothing is told and the poll has to do.
func watchFolder(folder string) (events <-chan fsnotify.Event, stop func()) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, func() {}
	}
	_ = w.Add(folder) // as without a watcher
	go func() {
		for range w.Errors { // an overflow loses events, which the poll finds
		}
	}()
	return w.Events, func() { _ = w.Close() }
}

// look takes the file's content if it is another than the one looked at last, or anyway.
func (l *Live) look(anyway bool) {
	d, err := l.digest()
	switch {
	case err != nil:
		l.refuse(fmt.Errorf("%w: %w", ErrInvalid, err))
	case d == l.inForce:
		l.accept()
	case d != l.tried || anyway:
		l.take(d)
	}
	l.tried = d
}

func (l *Live) take(d digest) {
	next, err := LoadNode(l.path)
	if err == nil {
		err = l.current.Load().canBecome(&next)
	}
	if err != nil {
		l.refuse(err)
		return
	}
	l.inForce = d
	l.current.Store(&next)
	l.accept()
	l.options.OnChange(&next)
}

func (l *Live) accept() {
	if l.trouble.Swap(nil) != nil {
		l.options.OnTrouble(nil)
	}
}

// refuse notes a trouble, and tells of it once.
func (l *Live) refuse(err error) {
	if before := l.trouble.Swap(&err); before == nil || (*before).Error() != err.Error() {
		l.options.OnTrouble(err)
	}
}

// canBecome reports the keys that differ and need a restart.
func (n *Node) canBecome(next *Node) error {
	var keys []string
	before, after := reflect.ValueOf(n).Elem(), reflect.ValueOf(next).Elem()
	for i := range before.NumField() {
		section := before.Type().Field(i).Tag.Get("mapstructure")
		if before.Field(i).Kind() != reflect.Struct {
			continue // the rules, and where everything comes from
		}
		for j := range before.Field(i).NumField() {
			key := section + "." + before.Field(i).Type().Field(j).Tag.Get("mapstructure")
			if !reloads(key) && !reflect.DeepEqual(before.Field(i).Field(j).Interface(), after.Field(i).Field(j).Interface()) {
				keys = append(keys, key)
			}
		}
	}
	if len(keys) == 0 {
		return nil
	}
	return fmt.Errorf("%w: what has changed in %s needs a restart; nothing of the file is taken before it", ErrInvalid, strings.Join(keys, ", "))
}

// reloads reports whether a key takes hold while the node runs.
func reloads(key string) bool {
	switch key {
	case "http.drain", "http.allowed_origins", "http.access_log", "answers.memory_mib", "answers.position_wait", "streams.max", "streams.max_per_client", "page.booking", "log.level":
		return true
	case "limits.key_header":
		return false
	default:
		return strings.HasPrefix(key, "offers.") || strings.HasPrefix(key, "freshness.") || strings.HasPrefix(key, "limits.")
	}
}
