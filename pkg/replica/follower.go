package replica

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/feed"
)

// Follower keeps a replica of the feed for as long as it runs: it loads one, swaps it in when it is ready, and loads another beside it when the
// stream is no longer the one that was read (R9).
type Follower struct {
	link feed.Link
	opts Options
	// RepairsPerSecond limits what all runs in trouble together ask of the feed (R3).
	repairs *rate.Limiter

	current  atomic.Pointer[Replica]
	loading  atomic.Pointer[feed.Reader]
	reloads  atomic.Uint64
	degraded atomic.Pointer[string]
	first    chan struct{}
}

// repairsPerSecond: ten thousand lost runs are mended in ten seconds, and a fleet of a hundred nodes asks a server for no more than it reads.
const repairsPerSecond = 1000

// NewFollower follows the feed.
func NewFollower(link feed.Link, o Options) *Follower {
	return &Follower{link: link, opts: o.orDefault(), repairs: rate.NewLimiter(repairsPerSecond, repairsPerSecond/10), first: make(chan struct{})}
}

// Replica is the one to answer from; nil before the first is ready.
func (f *Follower) Replica() *Replica { return f.current.Load() }

// Ready is closed when the first replica is ready (R6).
func (f *Follower) Ready() <-chan struct{} { return f.first }

// Degraded says why the replica is known not to advance; empty if it does, as far as anyone can tell (R9).
func (f *Follower) Degraded() string {
	if why := f.degraded.Load(); why != nil {
		return *why
	}
	return ""
}

// Reloads counts how often a replica was loaded again.
func (f *Follower) Reloads() uint64 { return f.reloads.Load() }

// Progress of the loading under way, or of the last one.
func (f *Follower) Progress() feed.Progress {
	if r := f.loading.Load(); r != nil {
		return r.Progress()
	}
	return feed.Progress{}
}

// Run follows until ctx ends. Failures are reported to OnFault and tried again.
func (f *Follower) Run(ctx context.Context) error {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		replica, began := New(f.opts), time.Now()
		err := f.attempt(ctx, replica)
		if ctx.Err() != nil {
			return nil
		}
		why := "the feed ended"
		if err != nil {
			why = err.Error()
		}
		f.degraded.Store(&why)
		f.opts.OnFault(Fault{Kind: "reload", Err: errors.Join(errors.New("load again"), err)})
		if replica.isReady() && time.Since(began) > steady {
			wait = 50 * time.Millisecond
		}
		if errors.Is(err, feed.ErrDiverged) {
			f.settle(ctx)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// settling is how long the next replica of a stream that fell back waits for the publisher.
const settling = 30 * time.Second

// settle waits until the publisher tells of the streams as they are, unless a replica would be shown without its word (R9).
func (f *Follower) settle(ctx context.Context) {
	if before := f.current.Load(); before != nil {
		if _, proves := before.AsOf(); proves {
			ctx, cancel := context.WithTimeout(ctx, settling)
			defer cancel()
			_ = feed.Settled(ctx, f.link) // if that does not come, it is loaded all the same
		}
	}
}

// steady is how long a replica has to last for the next to be loaded at once: whatever makes nodes load again and again, they do not spend all their time on it.
const steady = 10 * time.Second

// attempt loads one replica and keeps it until its reader can no longer.
func (f *Follower) attempt(ctx context.Context, replica *Replica) error {
	reader := feed.NewReader(f.link, f.opts.Between(replica))
	f.loading.Store(reader)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := reader.Run(ctx); err != nil {
			return err
		}
		return context.Canceled
	})
	group.Go(func() error { return f.swapIn(ctx, replica) })
	group.Go(func() error { return f.mend(ctx, replica, reader) })
	group.Go(func() error { return keepHouse(ctx, replica) })
	return group.Wait()
}

// swapIn makes a replica the one to answer from as soon as it is ready and, if the one before could prove its age, can prove its own: a stream that
// was just made anew is empty, and whoever fills it again proves nothing until it is full (R9). Nor may a run go back (R8), as long as that can be had.
func (f *Follower) swapIn(ctx context.Context, replica *Replica) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-replica.Ready():
	}
	if err := f.await(ctx, replica); err != nil {
		return err
	}
	if f.current.Swap(replica) == nil {
		close(f.first)
	} else {
		f.reloads.Add(1)
	}
	f.degraded.Store(nil)
	return nil
}

// How long a replica that is ready may take until it is shown all the same.
const (
	// firstProof is four heartbeats: a node that has just begun should not have to say that it does not know how old its numbers are.
	firstProof = time.Second
	// catchingUp is for one that has an older version of a run than the one before, or cannot prove its age: longer than the longest wait of a repair.
	catchingUp = 15 * time.Second
)

func (f *Follower) await(ctx context.Context, replica *Replica) error {
	before := f.current.Load()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for ready := time.Now(); ; {
		if better(replica, before, time.Since(ready)) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// better reports whether a replica that has been ready for a while may take the place of the one before, nil for none.
func better(replica, before *Replica, ready time.Duration) bool {
	_, proved := replica.AsOf()
	if before == nil {
		return proved || ready >= firstProof
	}
	_, proves := before.AsOf()
	return (proved || !proves) && (ready >= catchingUp || replica.reaches(before))
}

// mend carries out what a replica asks for, limited in rate.
func (f *Follower) mend(ctx context.Context, replica *Replica, reader *feed.Reader) error {
	for {
		if err := f.repairs.Wait(ctx); err != nil {
			return err
		}
		want, err := replica.wanted(ctx)
		if err != nil {
			return err
		}
		if err := carryOut(ctx, reader, want); err != nil && ctx.Err() == nil && !feed.IsMissing(err) && !errors.Is(err, event.ErrGone) {
			f.opts.OnFault(Fault{Kind: "repair", Run: want.run, Err: err})
		}
	}
}

func carryOut(ctx context.Context, reader *feed.Reader, want repair) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	switch want.kind {
	case fetchState:
		return reader.FetchState(ctx, want.run)
	case askState:
		return reader.AskState(ctx, want.run, want.held)
	case fetchPattern:
		return reader.FetchPattern(ctx, want.pattern)
	case askVersions:
		return reader.AskVersions(ctx, want.partition, want.date)
	default:
		return fmt.Errorf("unknown repair %d", want.kind)
	}
}

// keepHouse renews the index after a change of the timetable and lets go of days that are over. It takes no more than a tenth of a processor, however often patterns come.
func keepHouse(ctx context.Context, replica *Replica) error {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	var rest time.Time
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		if began := time.Now(); replica.isReady() && began.After(rest) {
			replica.Reindex()
			replica.Expire()
			rest = time.Now().Add(9 * time.Since(began))
		}
	}
}
