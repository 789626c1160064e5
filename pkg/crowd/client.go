package crowd

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/yupiao/yupiao/pkg/rail"
)

// ErrRefused marks what the backend has said no to. The text is its problem's.
var ErrRefused = errors.New("refused")

// Client is the Market of a booking backend, over HTTP. What it buys it pays for in the sandbox. Safe for concurrent use.
type Client struct {
	ctx   context.Context //nolint:containedctx // a Market's calls have none
	base  string
	token string
	http  *http.Client
}

// NewClient is a client of the backend at a base URL, "http://127.0.0.1:8082", until ctx ends. The token is the backend's admin.token; empty for a crowd without
// a railway.
func NewClient(ctx context.Context, base, token string) *Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 256}
	return &Client{ctx: ctx, base: base, token: token, http: &http.Client{Transport: transport, Timeout: 30 * time.Second}}
}

// reservation is the part of an answer that counts here.
type reservation struct {
	ID     string `json:"id"`
	State  string `json:"state"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
}

// Call sends a request and reads the answer's JSON into a value, nil for none. It returns the status; the error wraps ErrRefused for a problem.
func (c *Client) Call(method, path string, body, into any, headers ...string) (status int, err error) {
	var data []byte
	if body != nil {
		if data, err = json.Marshal(body); err != nil {
			return 0, err
		}
	}
	request, err := http.NewRequestWithContext(c.ctx, method, c.base+path, bytes.NewReader(data))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := c.http.Do(request)
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }() // it was read
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return response.StatusCode, err
	}
	if response.StatusCode >= 400 {
		var p reservation
		_ = json.Unmarshal(answer, &p) // an answer that is no problem has no title
		return response.StatusCode, fmt.Errorf("%w: %d %s: %s", ErrRefused, response.StatusCode, p.Title, p.Detail)
	}
	if into == nil {
		return response.StatusCode, nil
	}
	return response.StatusCode, json.Unmarshal(answer, into)
}

// Reserve reserves under a key, and gives the reservation's id.
func (c *Client) Reserve(key string, o Order) (id string, err error) {
	var r reservation
	_, err = c.Call(http.MethodPost, "/v1/reservations", map[string]any{
		"run": o.Run.String(), "class": o.Class, "from": o.From, "to": o.To, "passengers": o.Passengers,
	}, &r, "Idempotency-Key", key)
	return r.ID, err
}

// Pay starts a payment that goes as the sandbox is told.
func (c *Client) Pay(id, behaviour string) error {
	_, err := c.Call(http.MethodPost, "/v1/reservations/"+id+"/payment", map[string]string{"behaviour": behaviour}, nil)
	return err
}

// Buy is Market.
func (c *Client) Buy(o Order) (string, error) {
	id, err := c.Reserve(rand.Text(), o)
	if err != nil {
		return "", err
	}
	return id, c.Pay(id, "succeed")
}

// Return is Market.
func (c *Client) Return(ticket string) error {
	_, err := c.Call(http.MethodDelete, "/v1/reservations/"+ticket, nil, nil)
	return err
}

func (c *Client) operate(run rail.RunID, act string, body any) error {
	_, err := c.Call(http.MethodPost, "/admin/v1/runs/"+run.String()+"/"+act, body, nil, "Authorization", "Bearer "+c.token)
	return err
}

// Release is Market.
func (c *Client) Release(run rail.RunID, class rail.Class, places rail.SeatCount) error {
	return c.operate(run, "release", map[string]any{"class": class, "places": places})
}

// Suspend is Market.
func (c *Client) Suspend(run rail.RunID, reason string) error {
	return c.operate(run, "suspend", map[string]string{"reason": reason})
}

// Resume is Market.
func (c *Client) Resume(run rail.RunID) error { return c.operate(run, "resume", nil) }
