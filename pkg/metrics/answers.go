package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/yupiao/yupiao/pkg/answer"
)

// answers reads the statistics of a node's answer cache at the moment of a scrape.
type answers struct {
	stats                                    func() answer.Stats
	served, entries, bytes, evicted, refused *prometheus.Desc
	truthChecked, truthWrong, truthOff       *prometheus.Desc
}

func newAnswers(stats func() answer.Stats) *answers {
	single := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("yupiao_answers_"+name, help, labels, nil)
	}
	return &answers{
		stats: stats,
		served: single("served_total",
			"Answers, by what they cost: ttl (served without a look), looked (found unchanged), waited (somebody else made it meanwhile), rendered.", "by"),
		entries: single("kept", "Answers that are kept."),
		bytes:   single("kept_bytes", "What the kept answers weigh; bounded by answers.memory_mib."),
		evicted: single("evicted_total", "Answers that had to make room."),
		refused: single("refused_total", "Answers that were not kept, since others are asked for more often."),
		truthChecked: single("checked_total", "Answers served without a look that were compared with the truth, a sample, by the time since the look (upper bound).",
			"since"),
		truthWrong: single("wrong_total", "Of the compared answers, those that differed from the truth.", "since"),
		truthOff:   single("wrong_seats_total", "Sum of seats by which the compared answers differed.", "since"),
	}
}

// Describe is part of prometheus.Collector.
func (a *answers) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{a.served, a.entries, a.bytes, a.evicted, a.refused, a.truthChecked, a.truthWrong, a.truthOff} {
		out <- d
	}
}

// Collect is part of prometheus.Collector.
func (a *answers) Collect(out chan<- prometheus.Metric) {
	s := a.stats()
	count := func(d *prometheus.Desc, n uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	count(a.served, s.TTL, "ttl")
	count(a.served, s.Looked, "looked")
	count(a.served, s.Waited, "waited")
	count(a.served, s.Rendered, "rendered")
	out <- prometheus.MustNewConstMetric(a.entries, prometheus.GaugeValue, float64(s.Entries))
	out <- prometheus.MustNewConstMetric(a.bytes, prometheus.GaugeValue, float64(s.Bytes))
	count(a.evicted, s.Evicted)
	count(a.refused, s.Refused)
	for _, c := range s.Truth {
		since := since(c.Since)
		count(a.truthChecked, c.Checked, since)
		count(a.truthWrong, c.Wrong, since)
		count(a.truthOff, c.Off, since)
	}
}

// since is an upper bound as a label.
func since(d time.Duration) string {
	if d > time.Hour {
		return "more"
	}
	return d.String()
}
