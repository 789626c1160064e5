// Package trial tells what a rule set would do before it is put in force: it records a sample of the live queries and of the changes of their answers, and
// lets a cache that does what the real one does run over the record, under any rules.
//
// The sample is spatial and of a fixed size (SHARDS: Waldspurger, Park, Garthwaite, Ahmad, "Efficient MRC Construction with SHARDS", FAST '15): the keys
// with the smallest hashes are kept, each with all its requests, and the bound on the hash goes down when there are too many. Demand is skewed, and whether the
// one hottest key happens to be in such a sample would decide the result; so keys that are asked often are a stratum of their own, recorded whatever their
// hash. The two strata are weighed by the count of all requests.
//
// Invariants (cited by the tests as X1...):
//
//	X1 A simulated cache does, key by key, what the real one does: within its TTL since the last look an entry is served as it is; after that it is served
//	   if its stamp is equal, and the TTL starts anew; otherwise it is rendered. The answer to a query's first request ever is not kept, and nothing is
//	   left out for lack of room. Requests and changes are told apart to 10 ms; a change comes before the requests of its 10 ms.
//	X2 At a sampling rate of 1 every number is that of the whole trace; below it the strata are weighed so that their requests add up to those counted.
//	X3 A key counts from the moment from which all its requests were recorded. A request before the window only warms the simulated cache.
//	X4 With a TTL of 0 no simulated answer is wrong.
//	X5 What is recorded is bounded in keys and bytes, whatever is asked: the sampling rate goes down first, then the window.
//	X6 A request that is not sampled costs a few loads, and one that is a short lock of 1/16 of the keys; neither allocates. Looks are made by one goroutine,
//	   and a bounded number each second.
package trial

import (
	"time"

	"github.com/yupiao/yupiao/pkg/policy"
)

// Probe is a query whose answer can be looked at. Its methods are called by one goroutine at a time.
type Probe interface {
	// Stamp is the sum of the change counters of the answer's runs: it grows by 2 for each change. It is read 50 times a second and must be cheap.
	Stamp() uint64
	// Look renders the answer of this moment.
	Look() Truth
	// Facts is what rules ask of the query; the two rates and the opening times are not used.
	Facts() policy.Facts
}

// Truth is an answer at a moment.
type Truth struct {
	// Digest of the bytes.
	Digest uint64
	// Seats are the numbers in the answer, each cell once. They may be changed by the receiver.
	Seats []Seat
	// Openings are the moments at which the sale of a run of the answer opens or opened.
	Openings []time.Time
}

// Seat is a number in an answer: how many are left. Cell is a hash of run and class.
type Seat struct {
	Cell uint64
	Left int32
}

// Costs is what work costs on the node, as its caller measured it, in CPU time.
type Costs struct {
	// Hit is the cost of every request: to read it, find the entry and write the answer. Look is what a comparison of stamps adds, Render what rendering adds.
	Hit, Look, Render time.Duration
	// Fixed is what the node uses without any request, as a share of one core.
	Fixed float64
}

// Result is what a cache did, or would do, under a rule set.
type Result struct {
	// Seconds is the length of the record.
	Seconds float64 `json:"seconds"`
	// Requests, TTLHits, StampHits and Renders are per second; Requests is the sum of the others.
	Requests  float64 `json:"requests"`
	TTLHits   float64 `json:"ttl_hits"`
	StampHits float64 `json:"stamp_hits"`
	Renders   float64 `json:"renders"`
	// HitRatio is (TTLHits + StampHits) / Requests.
	HitRatio float64 `json:"hit_ratio"`
	// CPU is a share of one core; above 1, more than one.
	CPU float64 `json:"cpu"`
	// Wrong is the share of answers whose bytes differ from what a render at that moment would give.
	Wrong float64 `json:"wrong"`
	// Off is by how many seats the wrong numbers of wrong answers are off.
	Off Off `json:"off"`
	// ByRule has every rule, in their order, and last the queries that none matches.
	ByRule []RuleResult `json:"by_rule,omitempty"`
}

// Off is a distribution of differences in seats, each above 0.
type Off struct {
	Mean float64 `json:"mean"`
	// P99 is the 99th percentile; differences above 1,023 count as 1,023 in it.
	P99 int `json:"p99"`
}

// RuleResult is the part of a Result to which one rule applied.
type RuleResult struct {
	// Rule is its name; "rule 3" for the third if it has none, and "(defaults)" for no rule.
	Rule string `json:"rule"`
	// Share of the requests.
	Share    float64 `json:"share"`
	HitRatio float64 `json:"hit_ratio"`
	// Wrong is the share of its own answers.
	Wrong float64 `json:"wrong"`
}

// Point is a constant TTL for all queries and what it gives.
type Point struct {
	TTL policy.TTL `json:"ttl"`
	Result
}

// TTLs are those of the curve in a report.
var TTLs = []time.Duration{0, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second,
	10 * time.Second, 20 * time.Second, 30 * time.Second, time.Minute}

// Curve is what each of these TTLs would give, were it that of every query. The results are not split by rule.
func Curve(s *Sample, c Costs, ttls []time.Duration) []Point {
	points := make([]Point, 0, len(ttls))
	for _, d := range ttls {
		ttl := policy.TTL{Fixed: d}
		r := Simulate(s, &policy.Policy{Defaults: policy.Effects{TTL: ttl}}, c)
		r.ByRule = nil
		points = append(points, Point{TTL: ttl, Result: r})
	}
	return points
}
