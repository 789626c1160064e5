// Package bookapi is the HTTP API of the reference booking backend: reservations, payments, and what the railway's own people do. It answers no
// availability query.
//
// Invariants (cited by the tests as A1...):
//
//	A1 Bad input gets a problem (RFC 9457) that names the member, its value and what would be right; nothing panics and nothing is half done.
//	A2 An admin call without the token is refused, whatever it asks for; the comparison takes the same time for every token.
//	A3 Only a page of an allowed origin may call from a browser, and no answer is taken there for another kind than it is.
package bookapi

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/yupiao/yupiao/pkg/bearer"
	"github.com/yupiao/yupiao/pkg/payment"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/reservation"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// Options of a Server.
type Options struct {
	// Desk is where requests are carried out; nil while this backend does not lead.
	Desk func() *reservation.Desk
	// Status of the backend, for operators.
	Status func() Status
	// Resync publishes the states of a service date again, or of all dates if it is 0, and returns how many.
	Resync func(ctx context.Context, date rail.Date) (int, error)
	// Offers judges offer tokens; nil: they are not looked at.
	Offers Offers
	// Network names the stations.
	Network *timetable.Network
	// Secrets of the payment webhook, as they are now.
	Secrets func() payment.Secrets
	// AdminToken; empty: all admin calls are refused.
	AdminToken string
	// Origins whose pages may call.
	Origins []string
	// Document is the API's description, served at /openapi.yaml.
	Document []byte
	// Clock is the time; default time.Now.
	Clock func() time.Time
	Log   *slog.Logger
}

// Offers judges the offer tokens that travellers hand back.
type Offers interface {
	// Check refuses a token that is not ours or not for this request. It runs before anything is done.
	Check(token string, q *reservation.Request) error
	// Fared tells what became of the request; err is nil if its places were reserved.
	Fared(token string, err error)
}

// Status of a backend.
type Status struct {
	Name    string `json:"name"`
	Leading bool   `json:"leading"`
	// Why not leading, or why nothing is published.
	Why string `json:"why,omitempty"`
	// Term of the lead, Epoch of the history, Runs that are open.
	Term  int64  `json:"term,omitempty"`
	Epoch uint64 `json:"epoch,omitempty"`
	Runs  int    `json:"runs"`
	// Outbox is how many committed changes are not acknowledged yet, and CompleteTo up to when all are.
	Outbox     int       `json:"outbox"`
	Published  uint64    `json:"published"`
	Publishing bool      `json:"publishing"`
	CompleteTo time.Time `json:"complete_to,omitzero"`
}

// maxBody is the longest request that is read.
const maxBody = 16 << 10

// Server is an http.Handler, safe for concurrent use.
type Server struct {
	Options
	mux   *http.ServeMux
	names map[rail.StationCode]string
}

// New makes a server.
func New(o Options) *Server {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{Options: o, mux: http.NewServeMux(), names: map[rail.StationCode]string{}}
	for _, station := range o.Network.Stations {
		s.names[station.Code] = station.Name
	}
	s.routes()
	return s
}

func (s *Server) routes() {
	s.mux.HandleFunc("POST /v1/reservations", s.handle(s.reserve))
	s.mux.HandleFunc("GET /v1/reservations/{id}", s.handle(s.order))
	s.mux.HandleFunc("DELETE /v1/reservations/{id}", s.handle(s.cancel))
	s.mux.HandleFunc("POST /v1/reservations/{id}/payment", s.handle(s.pay))
	s.mux.HandleFunc("POST /v1/payments/webhook", s.handle(s.webhook))
	for pattern, h := range map[string]handler{
		"GET /admin/v1/status": s.status, "POST /admin/v1/resync": s.resync, "POST /admin/v1/runs/{run}/suspend": s.suspend,
		"POST /admin/v1/runs/{run}/resume": s.resume, "POST /admin/v1/runs/{run}/release": s.release, "PUT /admin/v1/runs/{run}/quota": s.quota,
		"PUT /admin/v1/runs/{run}/formation": s.formation,
	} {
		s.mux.HandleFunc(pattern, s.handle(s.admin(h)))
	}
	s.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	s.mux.HandleFunc("GET /readyz", s.handle(s.readyz))
	s.mux.HandleFunc("GET /openapi.yaml", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/yaml")
		_, _ = w.Write(s.Document) // the client has gone
	})
	s.mux.HandleFunc("/", s.handle(func(r *http.Request) (int, any, error) {
		return 0, nil, problemf(notFound, "path", r.URL.Path, "see /openapi.yaml")
	}))
}

// handler answers with a status and a body that becomes JSON, or with a problem.
type handler func(*http.Request) (int, any, error)

func (s *Server) handle(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		status, body, err := h(r)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		if o, isOrder := body.(orderBody); isOrder && status == http.StatusCreated {
			w.Header().Set("Location", "/v1/reservations/"+o.ID)
		}
		reply(w, status, body)
	}
}

func reply(w http.ResponseWriter, status int, body any) {
	data, err := json.Marshal(body)
	if err != nil { // plain values always can
		status, data = http.StatusInternalServerError, []byte(`{"type":"about:blank"}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	if _, isProblem := body.(*Problem); isProblem {
		h.Set("Content-Type", "application/problem+json")
	}
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(data) // the client has gone
}

// ServeHTTP is http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if p := recover(); p != nil {
			s.Log.Error("panic", "path", r.URL.Path, "panic", p)
			s.fail(w, r, problemf(internal, "", "", "the backend's log says more"))
		}
	}()
	if s.allow(w, r) {
		s.mux.ServeHTTP(w, r)
	}
}

// allow puts on what browsers are told, and answers what they ask about other origins (A3); false if that was all.
func (s *Server) allow(w http.ResponseWriter, r *http.Request) bool {
	origin := r.Header.Get("Origin")
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "same-origin") // what is asked for with CORS is not meant by it
	h.Add("Vary", "Origin")
	if origin == "" || !slices.Contains(s.Origins, origin) {
		return true
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", "Location, Retry-After")
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return true
	}
	h.Set("Access-Control-Allow-Methods", "GET, POST, DELETE")
	h.Set("Access-Control-Allow-Headers", "Content-Type, Idempotency-Key")
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return false
}

// admin lets only those in who have the token (A2).
func (s *Server) admin(h handler) handler {
	token := bearer.New(s.AdminToken)
	return func(r *http.Request) (int, any, error) {
		if !token.Allows(r) {
			return 0, nil, problemf(unauthorized, "Authorization", "", "Bearer and the backend's admin.token")
		}
		return h(r)
	}
}

// desk is where requests are carried out, if this backend leads.
func (s *Server) desk() (*reservation.Desk, error) {
	if d := s.Desk(); d != nil {
		return d, nil
	}
	return nil, problemf(unavailable, "", "", "%s", s.Status().Why)
}
