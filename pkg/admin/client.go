package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/yupiao/yupiao/pkg/bearer"
	"github.com/yupiao/yupiao/pkg/fleet"
	"github.com/yupiao/yupiao/pkg/trial"
)

// ErrRefused says that the node answered with a problem; the text is its words.
var ErrRefused = errors.New("refused")

// Client is a Fleet through a node's admin listener. Safe for concurrent use.
type Client struct {
	// Server is the listener's address, "http://127.0.0.1:8081".
	Server string
	// Token that it wants; empty for none.
	Token string
	// HTTP is the client to use; nil for one that waits a minute.
	HTTP *http.Client
}

// How long a node may take that is asked for the fleet, and to drain one: twice as long as it takes if nobody answers it.
const (
	nodesTime = 4 * time.Second
	drainTime = 12 * time.Second
)

// Nodes is part of Fleet.
func (c *Client) Nodes(ctx context.Context) (nodes []fleet.Status, err error) {
	ctx, cancel := context.WithTimeout(ctx, nodesTime)
	defer cancel()
	return nodes, c.ask(ctx, http.MethodGet, "/fleet/nodes", nil, &nodes)
}

// History is part of Fleet.
func (c *Client) History(ctx context.Context, most int) (all []fleet.Version, err error) {
	return all, c.ask(ctx, http.MethodGet, "/fleet/settings?last="+strconv.Itoa(most), nil, &all)
}

// Share is part of Fleet.
func (c *Client) Share(ctx context.Context, p fleet.Proposal) (number uint64, verdicts []fleet.Verdict, err error) {
	var out shared
	err = c.ask(ctx, http.MethodPost, "/fleet/settings", p, &out)
	return out.Version, out.Nodes, err
}

// OnRun is part of Fleet.
func (c *Client) OnRun(ctx context.Context, a fleet.RunAct) (version uint64, verdicts []fleet.Verdict, err error) {
	var out shared
	err = c.ask(ctx, http.MethodPost, "/fleet/runs", a, &out)
	return out.Version, out.Nodes, recorded(out.Unrecorded, err)
}

// Drain is part of Fleet.
func (c *Client) Drain(ctx context.Context, d fleet.DrainOrder) ([]fleet.Verdict, error) {
	ctx, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	var out drained
	err := c.ask(ctx, http.MethodPost, "/fleet/drain", d, &out)
	return out.Nodes, recorded(out.Unrecorded, err)
}

// recorded is the error that unrecorded made a text of.
func recorded(why string, err error) error {
	if err == nil && why != "" {
		return fmt.Errorf("%w%s", fleet.ErrUnrecorded, strings.TrimPrefix(why, fleet.ErrUnrecorded.Error()))
	}
	return err
}

// Acts is part of Fleet.
func (c *Client) Acts(ctx context.Context, most int) (acts []fleet.Act, err error) {
	return acts, c.ask(ctx, http.MethodGet, "/fleet/acts?last="+strconv.Itoa(most), nil, &acts)
}

// Holds is part of Fleet.
func (c *Client) Holds(ctx context.Context) (*fleet.Holding, error) {
	out := &fleet.Holding{}
	return out, c.ask(ctx, http.MethodGet, "/fleet/runs", nil, out)
}

// Try is part of Fleet.
func (c *Client) Try(ctx context.Context, node, document string) (*fleet.Status, *trial.Report, error) {
	var out reply
	err := c.ask(ctx, http.MethodPost, "/fleet/settings/try", question{node, document}, &out)
	return out.Node, out.Report, err
}

var defaultHTTP = &http.Client{Timeout: time.Minute}

// maxAnswer is more than a fleet of a thousand nodes says.
const maxAnswer = 64 << 20

func (c *Client) ask(ctx context.Context, method, path string, body, into any) error {
	if u, err := url.Parse(c.Server); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("the admin listener's address is %.80q; want such as http://127.0.0.1:8081", c.Server)
	}
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.Server, "/")+path, bytes.NewReader(data))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	bearer.Show(r, c.Token)
	client := c.HTTP
	if client == nil {
		client = defaultHTTP
	}
	response, err := client.Do(r)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s does not answer: %w", c.Server, err)
	}
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }() // what counts was read
	if data, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer)); err != nil {
		return fmt.Errorf("read the answer of %s: %w", c.Server, err)
	}
	if response.StatusCode != http.StatusOK {
		var p problem
		if json.Unmarshal(data, &p) != nil || p.Detail == "" {
			p.Detail = response.Status
		}
		return fmt.Errorf("%w: %s", ErrRefused, p.Detail)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("the answer of %s: %w", c.Server, err)
	}
	return nil
}
