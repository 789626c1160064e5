package bookapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/yupiao/yupiao/pkg/booking"
	"github.com/yupiao/yupiao/pkg/payment"
	"github.com/yupiao/yupiao/pkg/reservation"
)

// Problem is an answer that is none (RFC 9457).
type Problem struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail"`
	Parameter string `json:"parameter,omitempty"`
	Value     string `json:"value,omitempty"`
}

// Error makes a Problem an error on its way to the client.
func (p *Problem) Error() string { return p.Title + ": " + p.Detail }

type kind struct {
	slug, title string
	status      int
}

// The problems: one table from kind to status.
var (
	invalidRequest = kind{"invalid-request", "The request cannot be understood", http.StatusBadRequest}
	unauthorized   = kind{"unauthorized", "Not for everybody", http.StatusUnauthorized}
	notFound       = kind{"not-found", "Not found", http.StatusNotFound}
	unknownRun     = kind{"unknown-run", "No such train is open", http.StatusNotFound}
	unknownOrder   = kind{"unknown-reservation", "No such reservation", http.StatusNotFound}
	notOffered     = kind{"not-offered", "The train does not offer this", http.StatusConflict}
	soldOut        = kind{"sold-out", "Sold out", http.StatusConflict}
	notOnSale      = kind{"not-on-sale", "Not on sale", http.StatusConflict}
	suspended      = kind{"suspended", "The sale is suspended", http.StatusConflict}
	departed       = kind{"departed", "The train has left", http.StatusConflict}
	restricted     = kind{"restricted", "Not sold for this piece of the way", http.StatusConflict}
	wrongState     = kind{"wrong-state", "The reservation does not allow this", http.StatusConflict}
	keyReused      = kind{"idempotency-key-reused", "The Idempotency-Key stands for another request", http.StatusUnprocessableEntity}
	badOffer       = kind{"invalid-offer", "The offer is not ours, or not for this request", http.StatusUnprocessableEntity}
	badPayment     = kind{"contradictory-payment", "The result does not fit the payment", http.StatusUnprocessableEntity}
	badSignature   = kind{"bad-signature", "The signature is not to be believed", http.StatusUnauthorized}
	unavailable    = kind{"unavailable", "Not carried out, or perhaps: ask again with the same Idempotency-Key", http.StatusServiceUnavailable}
	internal       = kind{"internal", "Internal error", http.StatusInternalServerError}
)

// kinds of the errors of those who carry a request out.
var kinds = []struct {
	err  error
	kind kind
}{
	{reservation.ErrUnavailable, unavailable}, {reservation.ErrUnknown, unknownOrder}, {reservation.ErrState, wrongState},
	{reservation.ErrKeyReused, keyReused}, {reservation.ErrPayment, badPayment}, {payment.ErrSignature, badSignature},
	{payment.ErrBehaviour, invalidRequest}, {booking.ErrUnknownRun, unknownRun}, {booking.ErrInvalid, invalidRequest},
	{booking.ErrNotOffered, notOffered}, {booking.ErrSuspended, suspended}, {booking.ErrDeparted, departed},
	{booking.ErrNotOnSale, notOnSale}, {booking.ErrRestricted, restricted}, {booking.ErrSoldOut, soldOut},
	{booking.ErrSale, wrongState}, {context.Canceled, unavailable}, {context.DeadlineExceeded, unavailable},
}

// problemf makes a problem: what is wrong with which member, and what would be right.
func problemf(k kind, parameter, value, format string, args ...any) *Problem {
	return &Problem{
		Type: "/problems/" + k.slug, Title: k.title, Status: k.status, Detail: clip(fmt.Sprintf(format, args...), 400), Parameter: parameter, Value: clip(value, 64),
	}
}

// clip makes hostile text fit to be shown.
func clip(s string, most int) string {
	if len(s) > most {
		s = s[:most] + "..."
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// fail answers with the problem that an error is.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	var p *Problem
	if !errors.As(err, &p) {
		p = s.problemOf(r, err)
	}
	if p.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	reply(w, p.Status, p)
}

func (s *Server) problemOf(r *http.Request, err error) *Problem {
	for _, k := range kinds {
		if !errors.Is(err, k.err) {
			continue
		}
		if k.kind == unavailable {
			s.Log.Warn("request not carried out", "path", r.URL.Path, "error", err)
			return problemf(unavailable, "", "", "the database or its leader is away for a moment") // what exactly is nobody's business
		}
		return problemf(k.kind, "", "", "%s", err)
	}
	s.Log.Error("request failed", "path", r.URL.Path, "error", err)
	return problemf(internal, "", "", "the backend's log says more")
}

// read decodes a request's body strictly (A1).
func read(r *http.Request, into any) error {
	if kind := r.Header.Get("Content-Type"); kind != "" && !strings.HasPrefix(kind, "application/json") {
		return problemf(invalidRequest, "Content-Type", kind, "want application/json")
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(into)
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrongType):
		return problemf(invalidRequest, wrongType.Field, wrongType.Value, "want a %s that fits", wrongType.Type)
	case err != nil:
		return problemf(invalidRequest, "body", "", "%s; want one JSON object of at most %d bytes", err, maxBody)
	case d.More():
		return problemf(invalidRequest, "body", "", "something follows the JSON object")
	}
	return nil
}
