package event

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/yupiao/yupiao/pkg/event/eventpb"
	"github.com/yupiao/yupiao/pkg/rail"
)

// RepairRequest asks the publisher for a fresh RunState; Held is what the asking node has.
type RepairRequest struct {
	Run  rail.RunID
	Held rail.Version
}

// VersionsRequest asks the publisher for the versions behind a digest.
type VersionsRequest struct {
	Partition rail.Partition
	Date      rail.Date
}

// Versions is the publisher's list of the runs of a service date within a partition.
type Versions struct {
	// Through is the partition's last message of the delta stream of which they are; 0: not told.
	Through uint64
	Runs    []RunVersion
}

// EncodeHeartbeat writes a Heartbeat.
func EncodeHeartbeat(h *Heartbeat, f Format) ([]byte, error) {
	m := &eventpb.Heartbeat{Time: timePB(h.Time), IntervalMs: uint32(h.Interval.Milliseconds()), Publisher: h.Publisher, History: h.History, StreamsLast: h.Last}
	for name, at := range h.Created {
		if m.StreamsCreated == nil {
			m.StreamsCreated = make(map[string]*timestamppb.Timestamp, len(h.Created))
		}
		m.StreamsCreated[name] = timestamppb.New(at)
	}
	for _, mark := range h.Marks {
		m.Marks = append(m.Marks, &eventpb.Mark{Partition: uint32(mark.Partition), Sequence: mark.Sequence, Sum: mark.Sum})
	}
	return marshal("heartbeat", m, f)
}

// DecodeHeartbeat reads a Heartbeat. The error wraps ErrBroken.
func DecodeHeartbeat(data []byte, f Format) (*Heartbeat, error) {
	const kind = "heartbeat"
	var m eventpb.Heartbeat
	if err := unmarshal(kind, data, f, &m); err != nil {
		return nil, err
	}
	if m.GetTime() == nil {
		return nil, broken(kind, "time", "missing", "the moment up to which all changes lie at or below the marks")
	}
	at, err := timeOf(kind, "time", m.GetTime())
	if err != nil {
		return nil, err
	}
	if err := errors.Join(checkText(kind, "publisher", m.GetPublisher(), maxName), checkHistory(kind, m.GetHistory())); err != nil {
		return nil, err
	}
	h := &Heartbeat{Time: at, Interval: time.Duration(m.GetIntervalMs()) * time.Millisecond, Publisher: m.GetPublisher(), History: m.GetHistory(), Last: m.GetStreamsLast()}
	for name, t := range m.GetStreamsCreated() {
		if h.Created == nil {
			h.Created = make(map[string]time.Time, len(m.GetStreamsCreated()))
		}
		if h.Created[name], err = timeOf(kind, "streams_created", t); err != nil {
			return nil, err
		}
	}
	for _, mark := range m.GetMarks() {
		p, err := partitionOf(kind, mark.GetPartition())
		if err != nil {
			return nil, err
		}
		h.Marks = append(h.Marks, Mark{p, Place{mark.GetSequence(), mark.GetSum()}})
	}
	return h, nil
}

func partitionOf(kind string, p uint32) (rail.Partition, error) {
	if p >= rail.Partitions {
		return 0, broken(kind, "partition", p, fmt.Sprintf("0 to %d", rail.Partitions-1))
	}
	return rail.Partition(p), nil
}

// EncodeRepairRequest writes a RepairRequest.
func EncodeRepairRequest(r RepairRequest) ([]byte, error) {
	return marshal("repair request", &eventpb.RepairRequest{Run: r.Run.String(), Version: versionPB(r.Held)}, Protobuf)
}

// DecodeRepairRequest reads a RepairRequest. The error wraps ErrBroken.
func DecodeRepairRequest(data []byte, f Format) (r RepairRequest, err error) {
	var m eventpb.RepairRequest
	if err := unmarshal("repair request", data, f, &m); err != nil {
		return r, err
	}
	if r.Run, err = rail.ParseRunID(m.GetRun()); err != nil {
		return r, broken("repair request", "run", fmt.Sprintf("%.80q", m.GetRun()), "YYYYMMDD.trip")
	}
	r.Held = rail.Version{Epoch: m.GetVersion().GetEpoch(), Revision: m.GetVersion().GetRevision()}
	return r, nil
}

// ErrGone says of a run that no RunState of it will ever be published: the booking system does not know it, or it is over.
var ErrGone = errors.New("no run that is to come")

// EncodeRepairReply writes the answer to a RepairRequest: refusal is nil if a RunState was published, and wraps ErrGone if none ever will be.
func EncodeRepairReply(refusal error) ([]byte, error) {
	m := &eventpb.RepairReply{Published: refusal == nil, Gone: errors.Is(refusal, ErrGone)}
	if refusal != nil {
		m.Reason = refusal.Error()
	}
	return marshal("repair reply", m, Protobuf)
}

// DecodeRepairReply returns the refusal, if there is one; it wraps ErrGone if no RunState will ever be published.
func DecodeRepairReply(data []byte, f Format) (refusal, err error) {
	var m eventpb.RepairReply
	if err := unmarshal("repair reply", data, f, &m); err != nil {
		return nil, err
	}
	switch reason := fmt.Sprintf("refused: %.200s", cmp.Or(m.GetReason(), "no reason given")); {
	case m.GetPublished():
		return nil, nil
	case m.GetGone():
		return fmt.Errorf("%w: %s", ErrGone, reason), nil
	default:
		return errors.New(reason), nil
	}
}

// EncodeVersionsRequest writes a VersionsRequest.
func EncodeVersionsRequest(r VersionsRequest) ([]byte, error) {
	return marshal("versions request", &eventpb.VersionsRequest{Partition: uint32(r.Partition), Date: r.Date.Compact()}, Protobuf)
}

// DecodeVersionsRequest reads a VersionsRequest. The error wraps ErrBroken.
func DecodeVersionsRequest(data []byte, f Format) (r VersionsRequest, err error) {
	const kind = "versions request"
	var m eventpb.VersionsRequest
	if err := unmarshal(kind, data, f, &m); err != nil {
		return r, err
	}
	if r.Partition, err = partitionOf(kind, m.GetPartition()); err != nil {
		return r, err
	}
	if r.Date, err = rail.ParseCompactDate(m.GetDate()); err != nil {
		return r, broken(kind, "date", fmt.Sprintf("%.20q", m.GetDate()), "YYYYMMDD")
	}
	return r, nil
}

// EncodeVersions writes the answer to a VersionsRequest.
func EncodeVersions(v *Versions) ([]byte, error) {
	m := &eventpb.VersionsReply{Through: v.Through}
	for _, r := range v.Runs {
		m.Runs = append(m.Runs, &eventpb.RunVersion{Run: r.Run.String(), Version: versionPB(r.Version), Present: versionPB(r.Present)})
	}
	return marshal("versions", m, Protobuf)
}

// DecodeVersions reads the answer to a VersionsRequest. The error wraps ErrBroken.
func DecodeVersions(data []byte, f Format) (*Versions, error) {
	const kind = "versions"
	var m eventpb.VersionsReply
	if err := unmarshal(kind, data, f, &m); err != nil {
		return nil, err
	}
	if m.GetReason() != "" {
		return nil, fmt.Errorf("%w: versions refused: %.200q", ErrBroken, m.GetReason())
	}
	runs := make([]RunVersion, 0, len(m.GetRuns()))
	for _, r := range m.GetRuns() {
		id, err := rail.ParseRunID(r.GetRun())
		if err != nil {
			return nil, broken(kind, "run", fmt.Sprintf("%.80q", r.GetRun()), "YYYYMMDD.trip")
		}
		v, err := versionOf(kind, r.GetVersion())
		if err != nil {
			return nil, err
		}
		present := rail.Version{Epoch: r.GetPresent().GetEpoch(), Revision: r.GetPresent().GetRevision()}
		runs = append(runs, RunVersion{Run: id, Version: v, Present: present})
	}
	return &Versions{Through: m.GetThrough(), Runs: runs}, nil
}
