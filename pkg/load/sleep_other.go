//go:build !linux

package load

func newSleeper() (sleeper, error) { return newTimer(), nil }

// processorTime is not known here.
func processorTime() processors { return processors{} }
