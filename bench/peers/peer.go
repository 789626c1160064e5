package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Peer is one design that serves the answer. It is started and stopped once in each round; its methods are called by one goroutine.
type Peer interface {
	// Start returns when the design answers. What it started is stopped by Stop, after an error too.
	Start(ctx context.Context) error
	// URL of the answer, on a loopback address.
	URL() string
	// Parts are the processes that the design is made of, each standing for its descendants too.
	Parts() []Part
	// Behind is how many requests went further than the first place that could answer: to the backend of a cache, into a rendering of ours.
	Behind(ctx context.Context) (uint64, error)
	Stop()
}

// Part is a process of a design.
type Part struct {
	Name string
	PID  int
}

// design is a Peer as the command line and the report know it.
type design struct {
	name  string
	title string
	// live designs follow the changes, and their answers are held against the truth.
	live bool
	// needs are programs that must be installed.
	needs []string
	build func(*stage) Peer
}

// Names that ratios in the report refer to.
const (
	nameOurs, nameStatic, nameFastHTTP = "ours", "nginx", "fasthttp"
)

// catalogue is all designs, in the order of the report.
func catalogue() []design {
	bare := func(name, title string) design {
		return design{name: name, title: title, build: func(s *stage) Peer { return &bare{stage: s, role: name} }}
	}
	return []design{
		{name: nameOurs, title: "ours, fast lane", live: true, build: func(s *stage) Peer { return &ours{stage: s, lane: true} }},
		{name: "ours-gin", title: "ours, gin alone", live: true, build: func(s *stage) Peer { return &ours{stage: s} }},
		{name: nameStatic, title: "nginx, static file", needs: []string{"nginx"}, build: func(s *stage) Peer { return &static{stage: s} }},
		{name: "nginx-open", title: "nginx, static, kept open", needs: []string{"nginx"},
			build: func(s *stage) Peer { return &static{stage: s, config: proxyConfig{OpenFiles: true}} }},
		{name: "nginx-cache", title: "nginx, proxy_cache 1 s", live: true, needs: []string{"nginx", "redis-server"},
			build: func(s *stage) Peer { return &proxied{usual: usual{stage: s}, proxy: nginxProxy} }},
		{name: "varnish", title: "Varnish, TTL 1 s", live: true, needs: []string{"varnishd", "redis-server"},
			build: func(s *stage) Peer { return &proxied{usual: usual{stage: s}, proxy: varnishProxy} }},
		bare(nameFastHTTP, "bare fasthttp"), bare("nethttp", "bare net/http"), bare("gin", "bare gin"),
		{name: "redis", title: "gin + Redis + JSON", live: true, needs: []string{"redis-server"}, build: func(s *stage) Peer { return &usual{stage: s} }},
	}
}

func names(all []design) (out []string) {
	for _, d := range all {
		out = append(out, d.name)
	}
	return out
}

// choose picks designs by name, in the order of the catalogue; all if nothing is said.
func choose(only string) ([]design, error) {
	all := catalogue()
	if only == "" {
		return all, nil
	}
	wanted := strings.Split(only, ",")
	for _, name := range wanted {
		if !slices.Contains(names(all), name) {
			return nil, fmt.Errorf("--only: %q; want some of %s", name, strings.Join(names(all), ", "))
		}
	}
	return slices.DeleteFunc(all, func(d design) bool { return !slices.Contains(wanted, d.name) }), nil
}
