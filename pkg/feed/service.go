package feed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// ErrRefused says that a node could not do what it was asked; the text is the node's.
var ErrRefused = errors.New("refused")

const (
	serviceName   = "yupiaod"
	subjectFleet  = subjectRoot + "fleet."
	refusedStatus = "400"
	// allowance is how long others are waited for after the first node has answered: the longest way through a fleet.
	allowance = 400 * time.Millisecond
)

// Service is what a node answers to operators, as a NATS micro service that `nats micro ls` shows.
type Service struct {
	// Version of the program, as semantic versioning has it.
	Version string
	// About is shown by others' tools.
	About map[string]string
	// Verbs are what can be asked. Calls of different verbs come side by side, those of one one after the other.
	Verbs map[string]func(ctx context.Context, data []byte) ([]byte, error)
}

// ServeOperators answers operators until ctx ends (nil). Told is given the id by which this node alone can be asked.
func (c *Conn) ServeOperators(ctx context.Context, s Service, told func(id string)) error {
	service, err := micro.AddService(c.nc, micro.Config{Name: serviceName, Version: s.Version, Description: "Yupiao query node", Metadata: s.About, QueueGroupDisabled: true})
	if err != nil {
		return fmt.Errorf("serve operators: %w", err)
	}
	defer func() { _ = service.Stop() }() // the connection may be gone already
	id := service.Info().ID
	told(id)
	for verb, do := range s.Verbs {
		handler := micro.HandlerFunc(func(r micro.Request) {
			data, err := do(ctx, r.Data())
			if err != nil {
				_ = r.Error(refusedStatus, "refused", []byte(err.Error())) // the asker says that there was no answer
				return
			}
			_ = r.Respond(data)
		})
		err = errors.Join(err, service.AddEndpoint(verb, handler, micro.WithEndpointSubject(subjectFleet+verb)),
			service.AddEndpoint(verb+"-"+id, handler, micro.WithEndpointSubject(subjectFleet+verb+"."+id)))
	}
	if err != nil {
		return fmt.Errorf("serve operators: %w", err)
	}
	<-ctx.Done()
	return nil
}

// errLost: whoever asks over a lost connection hears nobody, which is not to be taken for an empty fleet.
var errLost = errors.New("ask the fleet: there is no connection to NATS at present; it is tried again and again")

// AskFleet asks every node, and returns the answers of those that did not refuse, in the order in which they came. The first may take until ctx ends, the
// others little longer than the one before. No node is no error.
func (c *Conn) AskFleet(ctx context.Context, verb string, data []byte) (answers [][]byte, err error) {
	return c.askAll(ctx, subjectFleet+verb, data)
}

func (c *Conn) askAll(ctx context.Context, subject string, data []byte) (answers [][]byte, err error) {
	if !c.nc.IsConnected() {
		return nil, errLost
	}
	ctx, done := c.denials.unlessDenied(ctx, subject)
	defer done(&err)
	inbox := nats.NewInbox()
	sub, err := c.nc.SubscribeSync(inbox)
	if err != nil {
		return nil, fmt.Errorf("ask the fleet: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }() // the connection may be gone already
	if err := c.nc.PublishRequest(subject, inbox, data); err != nil {
		return nil, fmt.Errorf("ask the fleet: %w", err)
	}
	for patience := ctx; ; {
		m, err := sub.NextMsgWithContext(patience)
		switch {
		case errors.Is(err, context.DeadlineExceeded) && !c.nc.IsConnected():
			return answers, errLost
		case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrNoResponders):
			return answers, nil
		case err != nil:
			return answers, fmt.Errorf("ask the fleet: %w", err)
		case m.Header.Get(micro.ErrorCodeHeader) == "":
			answers = append(answers, m.Data)
		}
		var cancel context.CancelFunc
		patience, cancel = context.WithTimeout(ctx, allowance)
		defer cancel()
	}
}

// Present is a node that is connected, whether it answers operators or not.
type Present struct {
	ID    string
	About map[string]string
}

// Fleet lists the nodes that are connected to the servers.
func (c *Conn) Fleet(ctx context.Context) (all []Present, err error) {
	subject, err := micro.ControlSubject(micro.PingVerb, serviceName, "")
	if err != nil {
		return nil, fmt.Errorf("ask the fleet: %w", err)
	}
	answers, err := c.askAll(ctx, subject, nil)
	if err != nil {
		return nil, err
	}
	for _, data := range answers {
		var p micro.Ping
		if err := json.Unmarshal(data, &p); err != nil {
			return nil, fmt.Errorf("a node's presence: %w", err)
		}
		all = append(all, Present{p.ID, p.Metadata})
	}
	return all, nil
}

// AskNode asks one node by its id. Its refusal is ErrRefused with its words.
func (c *Conn) AskNode(ctx context.Context, id, verb string, data []byte) (_ []byte, err error) {
	subject := subjectFleet + verb + "." + id
	ctx, done := c.denials.unlessDenied(ctx, subject)
	defer done(&err)
	m, err := c.nc.RequestWithContext(ctx, subject, data)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return nil, fmt.Errorf("ask node %s: it is not there, or its program does not know %q", id, verb)
	case errors.Is(err, context.DeadlineExceeded):
		return nil, fmt.Errorf("ask node %s: no answer: %w", id, err)
	case err != nil:
		return nil, fmt.Errorf("ask node %s: %w", id, err)
	case m.Header.Get(micro.ErrorCodeHeader) != "":
		return nil, fmt.Errorf("%w: %s", ErrRefused, m.Data)
	}
	return m.Data, nil
}
