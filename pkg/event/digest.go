package event

import "github.com/yupiao/yupiao/pkg/rail"

// Digest sums up the runs of a service date within a partition, in any order.
type Digest struct {
	Date rail.Date
	Runs uint32
	Hash uint64
}

// Add counts a run at a version in.
func (d *Digest) Add(run rail.RunID, v rail.Version) {
	d.Runs++
	d.Hash += digestHash(run, v)
}

// Move takes a run that was counted in at a version to another one.
func (d *Digest) Move(run rail.RunID, from, to rail.Version) {
	d.Hash += digestHash(run, to) - digestHash(run, from)
}

// digestHash is mix(FNV-1a-64(run) ^ mix(epoch) ^ mix(revision + 2^63)), as the schema says.
func digestHash(run rail.RunID, v rail.Version) uint64 {
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset)
	for _, c := range []byte(run.Date.Compact()) {
		h = (h ^ uint64(c)) * prime
	}
	h = (h ^ '.') * prime
	for i := range len(run.Trip) {
		h = (h ^ uint64(run.Trip[i])) * prime
	}
	return mix(h ^ mix(v.Epoch) ^ mix(v.Revision+1<<63))
}

// mix is the finalizer of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
