package feed

import (
	"context"
	"errors"
	"fmt"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/rail"
)

// FetchState reads a run's last RunState from the stream and hands it over in its turn. A stale copy does no harm: the sink compares Versions.
func (r *Reader) FetchState(ctx context.Context, run rail.RunID) error {
	msg, err := r.link.LastOn(ctx, streamState, stateSubject(run))
	if err != nil {
		return fmt.Errorf("fetch state of %s: %w", run, err)
	}
	return r.handOverState(ctx, msg)
}

// FetchPattern reads a pattern from the stream and hands it over.
func (r *Reader) FetchPattern(ctx context.Context, id rail.PatternID) error {
	msg, err := r.link.LastOn(ctx, streamReference, subjectPattern+string(id))
	if err != nil {
		return fmt.Errorf("fetch pattern %s: %w", id, err)
	}
	pattern, err := event.DecodePattern(msg.Data, msg.Format)
	if err != nil {
		return fmt.Errorf("fetch pattern %s: %w", id, err)
	}
	r.sink.Pattern(pattern)
	return nil
}

// AskState asks the publisher to publish a run's present RunState. It comes through the stream. If none will ever come the sink is told, and the error wraps event.ErrGone.
func (r *Reader) AskState(ctx context.Context, run rail.RunID, held rail.Version) error {
	data, err := event.EncodeRepairRequest(event.RepairRequest{Run: run, Held: held})
	if err != nil {
		return err
	}
	answer, err := r.link.Ask(ctx, subjectRepair, data)
	if err != nil {
		return fmt.Errorf("ask for the state of %s: %w", run, err)
	}
	refusal, err := event.DecodeRepairReply(answer.Data, answer.Format)
	if err != nil {
		return err
	}
	if refusal != nil {
		err = fmt.Errorf("ask for the state of %s: %w", run, refusal)
	}
	if errors.Is(err, event.ErrGone) {
		return errors.Join(err, r.inLane(ctx, run.Partition(), func() { r.sink.Gone(run.Partition(), run) }))
	}
	return err
}

// AskVersions asks the publisher for the versions behind a digest and hands them over in their turn.
func (r *Reader) AskVersions(ctx context.Context, p rail.Partition, date rail.Date) error {
	versions, err := askVersions(ctx, r.link, p, date)
	if err != nil {
		return err
	}
	return r.inLane(ctx, p, func() { r.sink.Versions(p, date, versions) })
}

// Versions asks the publisher for the versions of a partition's runs on a service date.
func (c *Conn) Versions(ctx context.Context, p rail.Partition, date rail.Date) (*event.Versions, error) {
	return askVersions(ctx, c, p, date)
}

func askVersions(ctx context.Context, link Link, p rail.Partition, date rail.Date) (*event.Versions, error) {
	data, err := event.EncodeVersionsRequest(event.VersionsRequest{Partition: p, Date: date})
	if err != nil {
		return nil, err
	}
	answer, err := link.Ask(ctx, subjectVersions, data)
	if err != nil {
		return nil, fmt.Errorf("ask for versions of %s: %w", date, err)
	}
	return event.DecodeVersions(answer.Data, answer.Format)
}

// IsMissing reports whether an error of FetchState or FetchPattern says that the stream has no such message.
func IsMissing(err error) bool { return errors.Is(err, ErrNoMessage) }
