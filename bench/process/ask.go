//go:build linux

package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// Client asks the programs that were started.
var Client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}}

// Get is the body of an answer with status 200.
func Get(ctx context.Context, address string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := Client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }() // it was read
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %.200s", request.URL.Path, response.Status, body)
	}
	return body, err
}

// MetricsAt are those of the program whose admin listener has a base URL.
func MetricsAt(ctx context.Context, admin string) (Metrics, error) {
	body, err := Get(ctx, admin+"/metrics")
	if err != nil {
		return nil, err
	}
	return MetricsOf(string(body)), nil
}

// Listening waits for the line that tells the base URLs of a node, which are of this machine, and from then on reads the rest of what it writes.
func (c *Child) Listening() (public, admin string, err error) {
	for {
		line, err := c.Lines.ReadString('\n')
		if err != nil {
			return "", "", fmt.Errorf("start node: it ended before it listened: %w", err)
		}
		var said struct{ Msg, HTTP, Admin string }
		if json.Unmarshal([]byte(line), &said) == nil && said.Msg == "listening" {
			public, admin = "http://"+said.HTTP, "http://"+said.Admin
			go c.Rest()
			return public, admin, errors.Join(Loopback(public), Loopback(admin))
		}
		fmt.Fprint(os.Stderr, line)
	}
}

// Sleep waits, unless ctx ends.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Await looks every so often until something holds, and says what for if it does not within the patience.
func Await(ctx context.Context, patience, every time.Duration, what string, holds func(context.Context) bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	again := time.NewTicker(every)
	defer again.Stop()
	for !holds(ctx) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w", what, ctx.Err())
		case <-again.C:
		}
	}
	return nil
}
