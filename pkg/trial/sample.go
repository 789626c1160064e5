package trial

import (
	"time"

	"github.com/yupiao/yupiao/pkg/policy"
)

// slot is a stretch of 10 ms, counted from the recorder's start.
type slot int64

const (
	tick        = 10 * time.Millisecond
	second slot = slot(time.Second / tick)
	// rateSlots is the time over which rates are taken: 10 s.
	rateSlots = 10 * second
	// never is later than all slots.
	never slot = 1<<63 - 1
)

// Sample is a recorded stretch of time. It is immutable, but for Auto, and then safe for concurrent use.
type Sample struct {
	// Begin and End bound the stretch.
	Begin, End time.Time
	// Requests in it, sampled or not.
	Requests uint64
	// Recorded is how many of them were recorded.
	Recorded uint64
	// Keys are the distinct queries that were recorded, HotKeys those of them that were so because they are asked often.
	Keys, HotKeys int
	// Rate is the share of the other queries that were recorded, by their hash; above 0, at most 1.
	Rate float64
	// Unseen counts changes of which the answer's bytes were looked at later than 20 ms after, for there were too many. Until then each is taken to have
	// changed them.
	Unseen uint64
	// Auto is the present TTLs of the rules with `ttl: auto`, by the rule's name. Whoever has the sample sets it before the first simulation.
	Auto map[string]time.Duration

	start      time.Time // of slot 0
	begin, end slot
	keys       []key
}

// key is what was recorded of one query. Slots rise.
type key struct {
	facts    policy.Facts
	openings []time.Time
	// since is the slot from which on every request was recorded, probed that for changes.
	since, probed slot
	// hot is the first slot that counts in the stratum of the hot keys. Those before it count in the other if cold, else nowhere.
	hot  slot
	cold bool
	// fresh: the first arrival is the key's first request ever, whose answer is not kept.
	fresh bool
	// heavy and light are the weights of a request in the one stratum and in the other.
	heavy, light float64

	arrivals []arrival
	digest   uint64 // before the first change
	changes  []change
}

// arrival is the requests of a slot.
type arrival struct {
	at slot
	n  uint32
}

// change is n changes of the stamp that were found in a slot, and the answer after them. seats are the numbers that differ from those before, by how many. With an n of 0
// the bytes were looked at late.
type change struct {
	at     slot
	n      uint32
	digest uint64
	seats  []Seat
}

// Seconds is the length of the stretch.
func (s *Sample) Seconds() float64 { return (time.Duration(s.end-s.begin) * tick).Seconds() }

func (s *Sample) at(t slot) time.Time { return s.start.Add(time.Duration(t) * tick) }

// weight is how many requests one in a slot stands for (X2, X3).
func (s *Sample) weight(k *key, at slot) float64 {
	switch {
	case at < s.begin || at >= s.end:
		return 0
	case at >= k.hot:
		return k.heavy
	case k.cold:
		return k.light
	default:
		return 0
	}
}

// weigh finds the weights with which the strata add up to the requests that were counted.
//
// The inverse of the sampling rate alone would leave the result to whether some busier keys are in the sample. It is calibrated by what is known, how many
// requests there were in all, by the regression estimator of survey sampling (Deville and Särndal, "Calibration Estimators in Survey Sampling", JASA 87, 1992): busy
// keys are corrected more, since it is they that a sample has too few or too many of. On Zipf demand that halves the error of one correction for all.
func (s *Sample) weigh() {
	var hot, cold, squares, most float64
	for i := range s.keys {
		h, c := s.requests(&s.keys[i])
		hot, cold, squares, most = hot+h, cold+c, squares+c*c, max(most, c)
	}
	s.Recorded = uint64(hot + cold)
	if s.Requests == 0 { // nobody counted
		s.Requests = uint64(hot + cold/s.Rate)
	}
	rest, heavy := float64(s.Requests)-hot, 1.0
	if cold == 0 && hot > 0 {
		heavy = max(float64(s.Requests)/hot, 1)
	}
	light, perRequest := calibrate(s.Rate, rest, cold, squares, most)
	for i := range s.keys {
		k := &s.keys[i]
		_, c := s.requests(k)
		k.heavy, k.light = heavy, light*(1+perRequest*c)
	}
}

// calibrate gives the weight light*(1+perRequest*n) of each request of a key with n requests. Where some weight would come near 0, all keys are corrected alike; where more
// hot requests were recorded than counted in all, none.
func calibrate(rate, rest, cold, squares, most float64) (light, perRequest float64) {
	if rest <= 0 || cold == 0 {
		return 1 / rate, 0
	}
	perRequest = (rest*rate - cold) / squares
	if 1+perRequest*most < 0.1 {
		return rest / cold, 0
	}
	return 1 / rate, perRequest
}

// requests of a key that count, in both strata.
func (s *Sample) requests(k *key) (hot, cold float64) {
	k.heavy, k.light = 1, 1
	for _, a := range k.arrivals {
		switch {
		case s.weight(k, a.at) == 0:
		case a.at >= k.hot:
			hot += float64(a.n)
		default:
			cold += float64(a.n)
		}
	}
	return hot, cold
}
