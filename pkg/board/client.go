// Package board shows answers in a terminal: it asks a node over HTTP and writes a table, once or live.
//
// Invariants (cited by the tests as D1...):
//
//	D1 Columns line up whatever the script: a Chinese character takes two cells.
//	D2 Without colours the output holds no escape sequence.
//	D3 Text that comes from the server cannot steer the terminal.
package board

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// ErrRefused says that the node answered with a problem; the text is its words.
var ErrRefused = errors.New("refused")

// Client asks a node. Safe for concurrent use.
type Client struct {
	// Server is the node's address, "http://127.0.0.1:8080".
	Server string
	// HTTP is the client to use; nil for one that waits ten seconds for headers.
	HTTP *http.Client
}

// Answer is a seat search's answer, as far as a table needs it.
type Answer struct {
	Date     string `json:"date"`
	From, To Place
	Runs     []Run `json:"runs"`
}

// Place is one end of an answer.
type Place struct {
	Code string `json:"code"`
	Name string `json:"name"`
}

// Run is a train of an answer.
type Run struct {
	Train   string    `json:"train"`
	Run     string    `json:"run"`
	From    Stop      `json:"from"`
	To      Stop      `json:"to"`
	Depart  time.Time `json:"depart"`
	Arrive  time.Time `json:"arrive"`
	Minutes int       `json:"minutes"`
	Behind  bool      `json:"behind"`
	Reason  string    `json:"reason"`
	Classes []Class   `json:"classes"`
}

// Key names a run within an answer, as the stream does.
func (r *Run) Key() string { return fmt.Sprintf("%s/%d-%d", r.Run, r.From.Stop, r.To.Stop) }

// Stop is a stop of a run.
type Stop struct {
	Name string `json:"name"`
	Stop int    `json:"stop"`
}

// Class is a class of a run.
type Class struct {
	Class     string `json:"class"`
	Name      string `json:"name"`
	State     string `json:"state"`
	Remaining int    `json:"remaining"`
	Reason    string `json:"reason"`
	Fare      *struct {
		Amount   int    `json:"amount"`
		Currency string `json:"currency"`
	} `json:"fare"`
}

// Freshness is what a node says of its data.
type Freshness struct {
	AsOf  string `json:"as_of"`
	State string `json:"state"`
}

type problem struct {
	Title      string
	Detail     string
	Parameter  string
	Value      string
	Candidates []struct{ Code, Name string }
}

func (p *problem) err() error {
	text := p.Title
	if p.Parameter != "" {
		text += fmt.Sprintf(": %s=%s", p.Parameter, p.Value)
	}
	text += ": " + p.Detail
	names := make([]string, 0, len(p.Candidates))
	for _, c := range p.Candidates {
		names = append(names, fmt.Sprintf("%s (%s)", c.Name, c.Code))
	}
	if len(names) > 0 {
		text += "; did you mean " + strings.Join(names, ", ")
	}
	return fmt.Errorf("%w: %s", ErrRefused, plain(text))
}

func (c *Client) get(ctx context.Context, path string, q url.Values) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(c.Server, "/")+path+"?"+q.Encode(), nil)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", c.Server, err)
	}
	client := c.HTTP
	if client == nil {
		client = &http.Client{Transport: &http.Transport{ResponseHeaderTimeout: 10 * time.Second}}
	}
	w, err := client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("ask %s (is a node running there?): %w", c.Server, err)
	}
	if w.StatusCode == http.StatusOK {
		return w, nil
	}
	defer func() { _ = w.Body.Close() }()
	var p problem
	if err := json.NewDecoder(io.LimitReader(w.Body, 1<<20)).Decode(&p); err != nil || p.Title == "" {
		return nil, fmt.Errorf("%w: %s answered %s", ErrRefused, c.Server, w.Status)
	}
	return nil, p.err()
}

// Query asks once. q holds the parameters of GET /v1/availability.
func (c *Client) Query(ctx context.Context, q url.Values) (*Answer, Freshness, error) {
	w, err := c.get(ctx, "/v1/availability", q)
	if err != nil {
		return nil, Freshness{}, err
	}
	defer func() { _ = w.Body.Close() }()
	var a Answer
	if err := json.NewDecoder(w.Body).Decode(&a); err != nil {
		return nil, Freshness{}, fmt.Errorf("read the answer: %w", err)
	}
	return &a, Freshness{AsOf: w.Header.Get("Yupiao-As-Of"), State: w.Header.Get("Yupiao-State")}, nil
}

// Update is what a stream has brought: the answer as it is now, and the keys of the runs that changed with it.
type Update struct {
	Answer  *Answer
	Fresh   Freshness
	Changed []string
}

// Watch follows a stream and tells each update until ctx ends (nil). A stream that breaks is opened again.
func (c *Client) Watch(ctx context.Context, q url.Values, tell func(Update)) error {
	for {
		err := c.watchOnce(ctx, q, tell)
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, ErrRefused) {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

func (c *Client) watchOnce(ctx context.Context, q url.Values, tell func(Update)) error {
	w, err := c.get(ctx, "/v1/stream", q)
	if err != nil {
		return err
	}
	defer func() { _ = w.Body.Close() }()
	lines := bufio.NewScanner(w.Body)
	lines.Buffer(nil, 16<<20)
	var name string
	var now Update
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch field {
		case "event":
			name = value
		case "data":
			if name == "restart" {
				return nil
			}
			if err := now.take(name, []byte(value)); err != nil {
				return err
			}
			if now.Answer != nil {
				tell(now)
			}
		}
	}
	return lines.Err()
}

// take applies one event.
func (u *Update) take(name string, data []byte) error {
	u.Changed = nil
	var err error
	switch name {
	case "answer":
		u.Answer = new(Answer)
		err = json.Unmarshal(data, u.Answer)
	case "status":
		err = json.Unmarshal(data, &u.Fresh)
	case "runs":
		err = u.merge(data)
	}
	if err != nil {
		return fmt.Errorf("read event %s: %w", name, err)
	}
	return nil
}

func (u *Update) merge(data []byte) error {
	var e struct {
		Runs        []Run
		Gone, Order []string
	}
	if err := json.Unmarshal(data, &e); err != nil || u.Answer == nil {
		return err
	}
	runs := make(map[string]Run, len(u.Answer.Runs))
	var order []string
	for _, r := range u.Answer.Runs {
		runs[r.Key()] = r
		order = append(order, r.Key())
	}
	for _, r := range e.Runs {
		runs[r.Key()] = r
		u.Changed = append(u.Changed, r.Key())
	}
	if e.Order != nil {
		order = e.Order
	}
	next := *u.Answer
	next.Runs = make([]Run, 0, len(order))
	for _, key := range order {
		if r, ok := runs[key]; ok && !slices.Contains(e.Gone, key) {
			next.Runs = append(next.Runs, r)
		}
	}
	u.Answer = &next
	return nil
}
