package crowd

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"
)

// perCrowd is how many acts a second one crowd does with ease, each waiting for the disk.
const perCrowd = 40

// Trade lets people act at a pace until ctx ends (nil): as many crowds side by side as it takes.
func Trade(ctx context.Context, market Market, o Options, perSecond float64) error {
	if perSecond <= 0 {
		return nil
	}
	crowds := int(perSecond/perCrowd) + 1
	group, ctx := errgroup.WithContext(ctx)
	for i := range crowds {
		own := o
		own.Seed += uint64(i)
		c := New(market, own)
		group.Go(func() error {
			pace(ctx, perSecond/float64(crowds), func() { c.Step() })
			return nil
		})
	}
	return group.Wait()
}

// pace does something so many times a second, on average; what it cannot keep up with within a second is left out.
func pace(ctx context.Context, perSecond float64, do func()) {
	const beat = 20 * time.Millisecond
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	for owed := 0.0; ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for owed = min(owed+perSecond*beat.Seconds(), max(perSecond, 1)); owed >= 1 && ctx.Err() == nil; owed-- {
			do()
		}
	}
}
