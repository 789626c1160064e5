// Package trace tells an OpenTelemetry collector of requests, where one is set. It is the only package that knows OpenTelemetry.
//
// Each request is one span, told when it is over: there is nothing within a search that takes long enough to be a span of its own.
//
// Invariants (cited by the tests as S1...):
//
//	S1 A trace that somebody else has begun (W3C Trace Context) goes on as its parent decided; of all others a share is sampled.
//	S2 A collector that is away or slow delays nobody: spans wait in bounded memory, then they are dropped, and the log says so at most once a minute.
package trace

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Options of a Tracer.
type Options struct {
	// Endpoint is the collector's base URL for OTLP over HTTP, as http://127.0.0.1:4318.
	Endpoint string
	// Sample is the share of the requests without a trace of their own that are told, 0 to 1.
	Sample float64
	// Service, Instance and Version say who tells.
	Service, Instance, Version string
	Log                        *slog.Logger
}

// Tracer tells a collector. A nil Tracer tells nobody. Safe for concurrent use.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	context  propagation.TraceContext
}

// Waiting spans, and how long they wait for others to be told with.
const (
	mostWaiting = 4096
	longestWait = 2 * time.Second
	tellWithin  = 5 * time.Second
)

// New makes a Tracer; nil without an endpoint. It asks nobody yet.
func New(ctx context.Context, o Options) (*Tracer, error) {
	if o.Endpoint == "" {
		return nil, nil
	}
	u, err := url.Parse(o.Endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, errors.New("trace.endpoint is not a base URL; want one such as http://127.0.0.1:4318, without a user") // nor is it told: it may hold a secret
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(u.JoinPath("v1", "traces").String()), otlptracehttp.WithTimeout(tellWithin),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{})) // later spans tell more than old ones
	if err != nil {
		return nil, fmt.Errorf("trace.endpoint: %w", err)
	}
	otel.SetErrorHandler(&complainer{log: o.Log})
	provider := sdk.NewTracerProvider(
		sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(o.Sample))),
		sdk.WithBatcher(exporter, sdk.WithMaxQueueSize(mostWaiting), sdk.WithBatchTimeout(longestWait), sdk.WithExportTimeout(tellWithin)),
		sdk.WithResource(resource.NewSchemaless(attribute.String("service.name", o.Service), attribute.String("service.instance.id", o.Instance), attribute.String("service.version", o.Version))),
	)
	return &Tracer{provider: provider, tracer: provider.Tracer("yupiao")}, nil
}

// complainer is where the library's errors go (S2).
type complainer struct {
	log  *slog.Logger
	last atomic.Int64 // in seconds since 1970
}

// Handle is part of otel.ErrorHandler.
func (c *complainer) Handle(err error) {
	now := time.Now().Unix()
	if last := c.last.Load(); now-last >= 60 && c.last.CompareAndSwap(last, now) {
		c.log.Warn("traces are not told", "error", err)
	}
}

// Request is what is told of one.
type Request struct {
	// Parent is the header traceparent of the request, empty for none.
	Parent string
	// Method, Route and Outcome say what it was, Status what it was answered with.
	Method, Route, Outcome string
	Status                 int
	Began                  time.Time
	Took                   time.Duration
}

// Tell tells of a request that is over (S1).
func (t *Tracer) Tell(r *Request) {
	if t == nil {
		return
	}
	ctx := context.Background()
	if r.Parent != "" {
		ctx = t.context.Extract(ctx, propagation.MapCarrier{"traceparent": r.Parent})
	}
	_, span := t.tracer.Start(ctx, r.Method+" "+r.Route, trace.WithTimestamp(r.Began), trace.WithSpanKind(trace.SpanKindServer))
	if span.IsRecording() {
		span.SetAttributes(attribute.String("http.request.method", r.Method), attribute.String("http.route", r.Route), attribute.String("yupiao.outcome", r.Outcome),
			attribute.Int("http.response.status_code", r.Status))
		if r.Status >= 500 {
			span.SetStatus(codes.Error, r.Outcome)
		}
	}
	span.End(trace.WithTimestamp(r.Began.Add(r.Took)))
}

// Close tells what waits, and no more.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}
