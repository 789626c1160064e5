package admin

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/yupiao/yupiao/pkg/config"
)

// Node is what one node tells of itself alone.
type Node interface {
	// History is its last hour, the oldest point first.
	History() []Point
	// Hot are so many of the searches that are asked for most.
	Hot(most int) ([]Hot, error)
	// Curve is which TTL a search gets, by days to the boarding date.
	Curve() []Day
	// Config are the settings in force, without secrets.
	Config() []config.Setting
	// SetLevel changes the log's level until the settings change it, and returns the one before; the error says what would be right, or is an ErrUnrecorded of the fleet.
	SetLevel(ctx context.Context, level, by string) (before string, err error)
}

// Point is a node at a moment.
type Point struct {
	At    time.Time `json:"at"`
	State string    `json:"state"`
	// As in a node's status.
	Requests float64  `json:"requests"`
	HitRatio float64  `json:"hit_ratio"`
	Errors   float64  `json:"errors"`
	P99      float64  `json:"p99_seconds"`
	Age      *float64 `json:"age,omitempty"`
	Lag      uint64   `json:"lag_messages"`
	// Behind are runs behind or quarantined, Changes events applied per second.
	Behind  uint64  `json:"runs_behind"`
	Changes float64 `json:"changes"`
	Streams int     `json:"streams"`
	CPU     float64 `json:"cpu"`
	Memory  uint64  `json:"memory_bytes"`
}

// Hot is a search that is asked for often.
type Hot struct {
	From string `json:"from"`
	To   string `json:"to"`
	Days int    `json:"days"`
	// Requests per second, reckoned from a sample of the last minutes.
	Requests float64 `json:"requests"`
}

// Day is what the rules give a search so many days before boarding: one that is asked once, and one that is asked and changed without end.
type Day struct {
	Days  int    `json:"days"`
	Quiet Ruling `json:"quiet"`
	Busy  Ruling `json:"busy"`
}

// Ruling is a rule, empty for none, and its TTL in seconds.
type Ruling struct {
	Rule string  `json:"rule,omitempty"`
	TTL  float64 `json:"ttl_seconds"`
	Auto bool    `json:"auto,omitempty"`
}

func (h *handler) routes(mux *http.ServeMux) {
	mux.HandleFunc("GET /node/history", h.read(func(w http.ResponseWriter, _ *http.Request) { answer(w, orEmpty(h.Node.History()), nil) }))
	mux.HandleFunc("GET /node/ttl", h.read(func(w http.ResponseWriter, _ *http.Request) { answer(w, orEmpty(h.Node.Curve()), nil) }))
	mux.HandleFunc("GET /node/config", h.read(func(w http.ResponseWriter, _ *http.Request) { answer(w, orEmpty(h.Node.Config()), nil) }))
	mux.HandleFunc("GET /node/hot", h.read(h.hot))
	mux.HandleFunc("POST /node/log", h.write(h.level))
}

// orEmpty is a list that is [] in JSON if there is nothing in it.
func orEmpty[T any](all []T) []T {
	if all == nil {
		return []T{}
	}
	return all
}

func (h *handler) hot(w http.ResponseWriter, r *http.Request) {
	if most, ok := last(w, r, 20); ok {
		all, err := h.Node.Hot(most)
		answer(w, orEmpty(all), err)
	}
}

// last is how many are wanted; false if the request was answered with a problem.
func last(w http.ResponseWriter, r *http.Request, otherwise int) (most int, ok bool) {
	text := r.URL.Query().Get("last")
	if text == "" {
		return otherwise, true
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > mostVersions {
		fail(w, http.StatusBadRequest, "Not understood", fmt.Sprintf("last is %.40q; want 1 to %d", text, mostVersions))
		return 0, false
	}
	return n, true
}

// A log's level, as it is wanted and as it is.
type (
	level struct {
		Level string `json:"level"`
		By    string `json:"by"`
	}
	leveled struct {
		Before     string `json:"before"`
		Level      string `json:"level"`
		Unrecorded string `json:"unrecorded,omitempty"`
	}
)

func (h *handler) level(w http.ResponseWriter, r *http.Request) {
	var want level
	if !understand(w, r, &want) {
		return
	}
	before, err := h.Node.SetLevel(r.Context(), want.Level, want.By)
	out := leveled{Before: before, Level: want.Level}
	out.Unrecorded, err = unrecorded(err)
	answer(w, out, err)
}
