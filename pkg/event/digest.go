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
	h := fnv(fnv(fnv(fnvOffset, run.Date.Compact()), "."), string(run.Trip))
	return mix(h ^ mix(v.Epoch) ^ mix(v.Revision+1<<63))
}

// Sum is the checksum of a message's payload by which the next one of its partition says what it comes after: FNV-1a-64, as the schema says.
func Sum(payload []byte) uint64 { return fnv(fnvOffset, payload) }

// fnvOffset is what FNV-1a-64 begins with (Fowler, Noll, Vo: draft-eastlake-fnv).
const fnvOffset = 14695981039346656037

// fnv goes on with FNV-1a-64.
func fnv[T string | []byte](h uint64, data T) uint64 {
	for i := range len(data) {
		h = (h ^ uint64(data[i])) * 1099511628211
	}
	return h
}

// mix is the finalizer of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
