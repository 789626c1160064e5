// Package admin is what operators reach over HTTP, on an address of its own: metrics, profiles, and the whole fleet through any of its nodes.
//
// Invariants (cited by the tests as O1...):
//
//	O1 Nothing is changed without the token, and with one set nothing is read without it either, but for the console's page, which tells nothing by itself. Without
//	   one only what does no harm can be read.
//	O2 Whoever is refused is told why, as a problem (RFC 9457); the token is in no answer and no log.
//	O3 No answer is shown to, or in, a page of another origin. No such page can act through an operator's browser: what changes something takes JSON and the token alone.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/yupiao/yupiao/pkg/bearer"
	"github.com/yupiao/yupiao/pkg/fleet"
	"github.com/yupiao/yupiao/pkg/trial"
)

// Fleet is what an operator can do: over NATS a fleet.Operator, over HTTP a Client.
type Fleet interface {
	// Nodes are those that answer.
	Nodes(ctx context.Context) ([]fleet.Status, error)
	// History is so many of the last versions of the shared settings, the newest first.
	History(ctx context.Context, most int) ([]fleet.Version, error)
	// Share stores a version, and tells what became of it on each node.
	Share(ctx context.Context, p fleet.Proposal) (number uint64, verdicts []fleet.Verdict, err error)
	// OnRun does something to a run on every node, and tells which have it. Version is that of the holds after it, 0 for a purge.
	OnRun(ctx context.Context, a fleet.RunAct) (version uint64, verdicts []fleet.Verdict, err error)
	// Holds are the runs that operators hold.
	Holds(ctx context.Context) (*fleet.Holding, error)
	// Drain drains a node, or takes that back.
	Drain(ctx context.Context, d fleet.DrainOrder) ([]fleet.Verdict, error)
	// Acts are so many of the last things that operators did, the newest first.
	Acts(ctx context.Context, most int) ([]fleet.Act, error)
	// Try asks a node what a document would do.
	Try(ctx context.Context, node, document string) (*fleet.Status, *trial.Report, error)
}

// Options of a handler.
type Options struct {
	Fleet   Fleet
	Node    Node
	Metrics http.Handler
	// Console, if set, answers "/" and "/static/": a page that tells nothing by itself.
	Console http.Handler
	// Document is served at /openapi.yaml.
	Document []byte
	// Token that operators show; the zero one lets nobody change anything.
	Token bearer.Token
}

// maxBody is the longest request that is read.
const maxBody = 256 << 10

// Handler answers operators. It is safe for concurrent use.
func Handler(o Options) http.Handler {
	h := &handler{o}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", h.read(o.Metrics.ServeHTTP))
	mux.HandleFunc("GET /debug/pprof/", h.read(pprof.Index))
	mux.HandleFunc("GET /debug/pprof/profile", h.read(pprof.Profile))
	mux.HandleFunc("GET /debug/pprof/trace", h.read(pprof.Trace))
	mux.HandleFunc("GET /openapi.yaml", h.read(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/yaml")
		_, _ = w.Write(h.Document) // the client has gone
	}))
	mux.HandleFunc("GET /fleet/nodes", h.read(h.nodes))
	mux.HandleFunc("GET /fleet/settings", h.read(h.history))
	mux.HandleFunc("POST /fleet/settings", h.write(h.share))
	mux.HandleFunc("POST /fleet/settings/try", h.write(h.try))
	mux.HandleFunc("GET /fleet/runs", h.read(h.holds))
	mux.HandleFunc("POST /fleet/runs", h.write(h.onRun))
	mux.HandleFunc("POST /fleet/drain", h.write(h.drain))
	mux.HandleFunc("GET /fleet/acts", h.read(h.acts))
	h.routes(mux)
	if h.Console != nil {
		mux.Handle("GET /{$}", h.Console)
		mux.Handle("GET /static/", h.Console)
	}
	mux.HandleFunc("/", h.read(func(w http.ResponseWriter, _ *http.Request) {
		fail(w, http.StatusNotFound, "Not found", "see /openapi.yaml")
	}))
	return guard(mux)
}

// headers stand on every answer: what is no page of the console's may do nothing in a browser, and be in no page. The console has a policy of its own.
var headers = [...][2]string{
	{"Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
	{"Cross-Origin-Resource-Policy", "same-origin"},
	{"Referrer-Policy", "no-referrer"},
	{"X-Content-Type-Options", "nosniff"},
}

func guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, h := range headers {
			w.Header().Set(h[0], h[1])
		}
		next.ServeHTTP(w, r)
	})
}

type handler struct{ Options }

// read is for what does no harm (O1).
func (h *handler) read(do http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if h.Token.Set() && !h.Token.Allows(r) {
			unauthorized(w)
			return
		}
		do(w, r)
	}
}

// write is for what changes something, or costs much (O1, O3).
func (h *handler) write(do http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !h.Token.Set():
			fail(w, http.StatusForbidden, "No token is set", "this node has no admin.token, so that nobody may do this here; set YUPIAO_ADMIN_TOKEN, or use NATS")
			return
		case !h.Token.Allows(r):
			unauthorized(w)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		do(w, r)
	}
}

func unauthorized(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", `Bearer realm="yupiao"`)
	fail(w, http.StatusUnauthorized, "Not for everybody", "want the header Authorization: Bearer and the node's admin.token")
}

func (h *handler) nodes(w http.ResponseWriter, r *http.Request) {
	nodes, err := h.Fleet.Nodes(r.Context())
	answer(w, nodes, err)
}

// mostVersions that are told at once.
const mostVersions = 1000

func (h *handler) history(w http.ResponseWriter, r *http.Request) {
	if most, ok := last(w, r, mostVersions); ok {
		versions, err := h.Fleet.History(r.Context(), most)
		answer(w, versions, err)
	}
}

func (h *handler) acts(w http.ResponseWriter, r *http.Request) {
	if most, ok := last(w, r, 50); ok {
		acts, err := h.Fleet.Acts(r.Context(), most)
		answer(w, acts, err)
	}
}

func (h *handler) drain(w http.ResponseWriter, r *http.Request) {
	var d fleet.DrainOrder
	if !understand(w, r, &d) {
		return
	}
	verdicts, err := h.Fleet.Drain(r.Context(), d)
	out := drained{Nodes: verdicts}
	out.Unrecorded, err = unrecorded(err)
	answer(w, out, err)
}

// unrecorded parts what is done and not on record, which is no refusal, from errors that are.
func unrecorded(err error) (why string, other error) {
	if errors.Is(err, fleet.ErrUnrecorded) {
		return err.Error(), nil
	}
	return "", err
}

// drained is the answer to a DrainOrder.
type drained struct {
	Nodes      []fleet.Verdict `json:"nodes"`
	Unrecorded string          `json:"unrecorded,omitempty"`
}

// shared is the answer to a proposal, and to an act on a run.
type shared struct {
	Version    uint64          `json:"version"`
	Nodes      []fleet.Verdict `json:"nodes"`
	Unrecorded string          `json:"unrecorded,omitempty"`
}

func (h *handler) share(w http.ResponseWriter, r *http.Request) {
	var p fleet.Proposal
	if !understand(w, r, &p) {
		return
	}
	number, verdicts, err := h.Fleet.Share(r.Context(), p)
	answer(w, shared{Version: number, Nodes: verdicts}, err)
}

func (h *handler) holds(w http.ResponseWriter, r *http.Request) {
	held, err := h.Fleet.Holds(r.Context())
	answer(w, held, err)
}

func (h *handler) onRun(w http.ResponseWriter, r *http.Request) {
	var a fleet.RunAct
	if !understand(w, r, &a) {
		return
	}
	version, verdicts, err := h.Fleet.OnRun(r.Context(), a)
	out := shared{Version: version, Nodes: verdicts}
	out.Unrecorded, err = unrecorded(err)
	answer(w, out, err)
}

// question and reply of a what-if.
type (
	question struct {
		Node     string `json:"node,omitempty"`
		Document string `json:"document"`
	}
	reply struct {
		Node   *fleet.Status `json:"node"`
		Report *trial.Report `json:"report"`
	}
)

func (h *handler) try(w http.ResponseWriter, r *http.Request) {
	var q question
	if !understand(w, r, &q) {
		return
	}
	node, report, err := h.Fleet.Try(r.Context(), q.Node, q.Document)
	answer(w, reply{node, report}, err)
}

// understand reads a body, strictly; false if the request was answered with a problem.
func understand(w http.ResponseWriter, r *http.Request, into any) bool {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something follows the JSON object")
		}
	}
	if err != nil {
		fail(w, http.StatusBadRequest, "Not understood", "the body: "+err.Error())
	}
	return err == nil
}

// statuses of what cannot be done.
var statuses = map[error]int{
	fleet.ErrInvalid: http.StatusUnprocessableEntity, fleet.ErrRefused: http.StatusUnprocessableEntity, fleet.ErrNewer: http.StatusUnprocessableEntity,
	fleet.ErrConflict: http.StatusConflict, fleet.ErrUnknown: http.StatusNotFound,
}

func answer(w http.ResponseWriter, body any, err error) {
	if err == nil {
		send(w, http.StatusOK, "application/json", body)
		return
	}
	if errors.Is(err, fleet.ErrDenied) {
		fail(w, http.StatusForbidden, "Not permitted", err.Error()+"; this node would need to be given an operator's NATS user for that (admin.nats_user), or use yupiao with --nats")
		return
	}
	for kind, status := range statuses {
		if errors.Is(err, kind) {
			fail(w, status, "Not done", err.Error())
			return
		}
	}
	fail(w, http.StatusBadGateway, "The fleet did not answer", err.Error())
}

// problem is an answer that is none.
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

func fail(w http.ResponseWriter, status int, title, detail string) {
	send(w, status, "application/problem+json", problem{title, status, detail})
}

func send(w http.ResponseWriter, status int, kind string, body any) {
	data, err := json.MarshalIndent(body, "", "  ")
	if err != nil { // plain values always can
		status, data = http.StatusInternalServerError, []byte("{}")
	}
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(data, '\n')) // the client has gone
}

// WriteTimeout is the least that a server of a Handler needs: for a profile of a minute, or a what-if.
const WriteTimeout = 2 * time.Minute
