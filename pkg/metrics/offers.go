package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/yupiao/yupiao/pkg/accuracy"
)

// offers reads a record of outcomes at the moment of a scrape: always the same series, with those of 0.
type offers struct {
	record           *accuracy.Record
	outcomes, broken *prometheus.Desc
}

func newOffers(r *accuracy.Record) *offers {
	return &offers{
		record: r,
		outcomes: prometheus.NewDesc("yupiao_offer_outcomes_total",
			"What came of offers that reservations handed back, in the whole fleet, by the data's age when shown and the TTL served under (upper bounds).",
			[]string{"result", "age", "ttl"}, nil),
		broken: prometheus.NewDesc("yupiao_offer_outcomes_broken_total", "Outcomes of offers that could not be understood.", nil, nil),
	}
}

// Describe is part of prometheus.Collector.
func (o *offers) Describe(out chan<- *prometheus.Desc) {
	out <- o.outcomes
	out <- o.broken
}

// Collect is part of prometheus.Collector.
func (o *offers) Collect(out chan<- prometheus.Metric) {
	s := o.record.Snapshot()
	for _, c := range s.Cells {
		out <- prometheus.MustNewConstMetric(o.outcomes, prometheus.CounterValue, float64(c.Count), c.Result.String(), c.Age, c.TTL)
	}
	out <- prometheus.MustNewConstMetric(o.broken, prometheus.CounterValue, float64(s.Broken))
}
