package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/yupiao/yupiao/pkg/limit"
)

// Limits is what a node tells of its limits.
type Limits struct {
	// Gate tells of the work that is no hit, and how many clients were forgotten for want of room.
	Gate func() (gate limit.GateStats, forgotten uint64)
	// Connections tells of the public ones.
	Connections func() limit.ConnectionStats
}

// newLimits has what requests do not tell: those that were limited and shed are in yupiao_http_request_duration_seconds.
func newLimits(l Limits) []prometheus.Collector {
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "yupiao_" + name, Help: help}, value)
	}
	refused := func(bound string, of func(limit.ConnectionStats) uint64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "yupiao_connections_refused_total", Help: "Connections that were closed because there were too many, by what bounds them.", ConstLabels: prometheus.Labels{"bound": bound},
		}, func() float64 { return float64(of(l.Connections())) })
	}
	gate := func(of func(limit.GateStats) float64) func() float64 {
		return func() float64 {
			s, _ := l.Gate()
			return of(s)
		}
	}
	return []prometheus.Collector{
		gauge("work_limit", "How much work that no kept answer saves may be under way at once.", gate(func(s limit.GateStats) float64 { return float64(s.Limit) })),
		gauge("work_in_flight", "How much is under way.", gate(func(s limit.GateStats) float64 { return float64(s.In) })),
		gauge("work_waiting", "How much waits for its turn.", gate(func(s limit.GateStats) float64 { return float64(s.Waiting) })),
		gauge("connections_open", "Open public connections, but for those of trusted proxies.", func() float64 { return float64(l.Connections().Open) }),
		refused("total", func(s limit.ConnectionStats) uint64 { return s.RefusedTotal }),
		refused("wait", func(s limit.ConnectionStats) uint64 { return s.RefusedWaiting }),
		refused("client", func(s limit.ConnectionStats) uint64 { return s.RefusedPerClient }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "yupiao_clients_forgotten_total", Help: "Clients that were forgotten for want of room before they could ask as they like again."},
			func() float64 { _, n := l.Gate(); return float64(n) }),
	}
}
