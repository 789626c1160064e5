//go:build !linux

package load

import "time"

func newSleeper() (sleeper, error) { return newTimer(), nil }

// processorTime is not known here.
func processorTime() time.Duration { return 0 }
