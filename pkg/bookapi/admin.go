package bookapi

import (
	"net/http"

	"github.com/yupiao/yupiao/pkg/booking"
	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/reservation"
)

func (s *Server) readyz(*http.Request) (int, any, error) {
	status := s.Status()
	if !status.Leading {
		return 0, nil, problemf(unavailable, "", "", "%s", status.Why)
	}
	return http.StatusOK, status, nil
}

func (s *Server) status(*http.Request) (int, any, error) { return http.StatusOK, s.Status(), nil }

func (s *Server) resync(r *http.Request) (int, any, error) {
	var date rail.Date
	if text := r.URL.Query().Get("date"); text != "" {
		var err error
		if date, err = rail.ParseDate(text); err != nil {
			return 0, nil, problemf(invalidRequest, "date", text, "want YYYY-MM-DD, or none for all dates")
		}
	}
	runs, err := s.Resync(r.Context(), date)
	if err != nil {
		return 0, nil, problemf(unavailable, "", "", "%s", err)
	}
	s.Log.Info("published again", "runs", runs, "date", date.String(), "from", r.RemoteAddr)
	return http.StatusOK, map[string]int{"runs": runs}, nil
}

// onRun reads a request about a run, lets do carry it out, and notes it in the log.
func (s *Server) onRun(r *http.Request, what string, body any, do func(*reservation.Desk, rail.RunID) (any, error)) (int, any, error) {
	run, err := rail.ParseRunID(r.PathValue("run"))
	if err != nil {
		return 0, nil, problemf(invalidRequest, "run", r.PathValue("run"), "want the run of an answer")
	}
	if body != nil {
		if err := read(r, body); err != nil {
			return 0, nil, err
		}
	}
	desk, err := s.desk()
	if err != nil {
		return 0, nil, err
	}
	answer, err := do(desk, run)
	s.Log.Info("operator", "act", what, "run", run.String(), "body", body, "from", r.RemoteAddr, "error", err)
	return http.StatusOK, answer, err
}

// change is onRun for what changes a run and has nothing to tell.
func (s *Server) change(r *http.Request, what string, body any, do func(*booking.Tx, rail.RunID) error) (int, any, error) {
	return s.onRun(r, what, body, func(d *reservation.Desk, run rail.RunID) (any, error) {
		return map[string]string{"run": run.String()}, d.Do(r.Context(), func(tx *booking.Tx) error { return do(tx, run) })
	})
}

func (s *Server) suspend(r *http.Request) (int, any, error) {
	var body struct {
		Reason string `json:"reason"`
	}
	return s.change(r, "suspend", &body, func(tx *booking.Tx, run rail.RunID) error {
		if n := len(body.Reason); n < 1 || n > 200 {
			return problemf(invalidRequest, "reason", body.Reason, "want 1 to 200 bytes that tell travellers why")
		}
		return tx.Suspend(run, body.Reason)
	})
}

func (s *Server) resume(r *http.Request) (int, any, error) {
	return s.change(r, "resume", nil, func(tx *booking.Tx, run rail.RunID) error { return tx.Resume(run) })
}

type placesBody struct {
	Class  rail.Class     `json:"class"`
	Places rail.SeatCount `json:"places"`
}

func (s *Server) release(r *http.Request) (int, any, error) {
	var body placesBody
	return s.change(r, "release", &body, func(tx *booking.Tx, run rail.RunID) error { return tx.Release(run, body.Class, body.Places) })
}

func (s *Server) quota(r *http.Request) (int, any, error) {
	var body struct {
		Class  rail.Class `json:"class"`
		Bucket uint8      `json:"bucket"`
		Quotas []struct {
			FromFirst rail.StopIndex `json:"from_first"`
			FromLast  rail.StopIndex `json:"from_last"`
			ToFirst   rail.StopIndex `json:"to_first"`
			ToLast    rail.StopIndex `json:"to_last"`
		} `json:"quotas"`
	}
	return s.change(r, "quota", &body, func(tx *booking.Tx, run rail.RunID) error {
		quotas := make([]inventory.Quota, 0, len(body.Quotas))
		for _, q := range body.Quotas {
			quotas = append(quotas, inventory.Quota(q))
		}
		return tx.SetQuota(run, body.Class, body.Bucket, quotas)
	})
}

// formation answers with the orders whose seats are others now, or that are left without.
func (s *Server) formation(r *http.Request) (int, any, error) {
	var body placesBody
	return s.onRun(r, "formation", &body, func(d *reservation.Desk, run rail.RunID) (any, error) {
		touched, err := d.Reform(r.Context(), run, body.Class, body.Places)
		answer := struct {
			Moved    []orderBody `json:"moved"`
			Unseated []orderBody `json:"unseated"`
		}{[]orderBody{}, []orderBody{}}
		for _, o := range touched {
			if len(o.Labels) < o.Passengers() {
				answer.Unseated = append(answer.Unseated, s.body(o))
			} else {
				answer.Moved = append(answer.Moved, s.body(o))
			}
		}
		return answer, err
	})
}
