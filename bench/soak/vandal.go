//go:build linux

package main

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/yupiao/yupiao/pkg/rail"
)

// vandal does to NATS what nobody who belongs to the railway does.
type vandal struct {
	nc *nats.Conn
	js jetstream.JetStream
}

func newVandal(address string) (*vandal, error) {
	nc, err := nats.Connect("nats://"+address, nats.Name("vandal"), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(nc)
	return &vandal{nc, js}, err
}

func (v *vandal) close() { v.nc.Close() }

// drop deletes a stream with all that is in it.
func (v *vandal) drop(ctx context.Context, stream string) error {
	return v.js.DeleteStream(ctx, stream)
}

// purge takes the messages of a subject, which may have wildcards, out of a stream.
func (v *vandal) purge(ctx context.Context, stream, subject string) error {
	s, err := v.js.Stream(ctx, stream)
	if err != nil {
		return err
	}
	return s.Purge(ctx, jetstream.WithPurgeSubject(subject))
}

// expire takes the states of a date out of the stream, as their time to live would have done if the days were not so short.
func (v *vandal) expire(ctx context.Context, d rail.Date) error {
	return v.purge(ctx, "YUPIAO_STATE", "yupiao.v1.state."+rail.RunID{Date: d, Trip: "*"}.String())
}

// say publishes something.
func (v *vandal) say(ctx context.Context, subject string, data []byte) error {
	_, err := v.js.Publish(ctx, subject, data)
	return err
}
