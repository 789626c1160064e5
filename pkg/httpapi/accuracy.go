package httpapi

import (
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/yupiao/yupiao/pkg/accuracy"
	"github.com/yupiao/yupiao/pkg/answer"
	"github.com/yupiao/yupiao/pkg/offer"
)

// accuracyReport is how right this node's answers were, and how the whole fleet's offers held, since the node started.
type accuracyReport struct {
	Since   time.Time    `json:"since"`
	Answers answerReport `json:"answers"`
	Offers  offerReport  `json:"offers"`
}

type answerReport struct {
	// Served is all seat searches; Exact those of them that were read from the replica or seen to be equal to it.
	Served uint64 `json:"served"`
	Exact  uint64 `json:"exact"`
	// Checked are those of the others that were compared with the replica as they were served, and Wrong those that differed.
	Checked uint64 `json:"checked"`
	Wrong   uint64 `json:"wrong"`
	// Accuracy is the share of all that were true when they were served; absent before the first.
	Accuracy *float64 `json:"accuracy,omitempty"`
	// SinceLook parts the checked ones by the time since they were seen to be true.
	SinceLook []sinceLook `json:"since_look"`
}

type sinceLook struct {
	// UpTo in seconds, inclusive; absent for the last, which has no end.
	UpTo     *float64 `json:"up_to,omitempty"`
	Checked  uint64   `json:"checked"`
	Wrong    uint64   `json:"wrong"`
	SeatsOff uint64   `json:"seats_off"`
}

type offerReport struct {
	Held    uint64 `json:"held"`
	SoldOut uint64 `json:"sold_out"`
	Refused uint64 `json:"refused"`
	// Accuracy is held / (held + sold out); absent before the first.
	Accuracy *float64     `json:"accuracy,omitempty"`
	Cells    []offerCells `json:"by_age_and_ttl"`
}

type offerCells struct {
	Age     string `json:"age"`
	TTL     string `json:"ttl"`
	Held    uint64 `json:"held"`
	SoldOut uint64 `json:"sold_out"`
	Refused uint64 `json:"refused"`
}

func (s *Server) accuracy(record *accuracy.Record) gin.HandlerFunc {
	since := s.clock().UTC().Truncate(time.Second)
	return func(c *gin.Context) {
		if _, problem := parseParams(c.Request.URL.RawQuery); problem != nil {
			fail(c, problem)
			return
		}
		c.Header("Cache-Control", "no-cache")
		c.JSON(http.StatusOK, accuracyReport{Since: since, Answers: reportAnswers(s.answers.Stats()), Offers: reportOffers(record.Snapshot())})
	}
}

func reportAnswers(s answer.Stats) answerReport {
	r := answerReport{Served: s.Requests(), Exact: s.Requests() - s.TTL}
	for _, c := range s.Truth {
		cell := sinceLook{Checked: c.Checked, Wrong: c.Wrong, SeatsOff: c.Off}
		if c.Since < time.Hour {
			seconds := c.Since.Seconds()
			cell.UpTo = &seconds
		}
		r.SinceLook = append(r.SinceLook, cell)
		r.Checked, r.Wrong = r.Checked+c.Checked, r.Wrong+c.Wrong
	}
	if r.Served > 0 && (r.Checked > 0 || s.TTL == 0) {
		wrong := float64(r.Wrong) / float64(max(r.Checked, 1)) * float64(s.TTL) / float64(r.Served)
		share := 1 - wrong
		r.Accuracy = &share
	}
	return r
}

func reportOffers(s accuracy.Snapshot) offerReport {
	r := offerReport{Held: s.Total(offer.Held), SoldOut: s.Total(offer.SoldOut), Refused: s.Total(offer.Refused), Cells: []offerCells{}}
	if share, known := s.Share(); known {
		r.Accuracy = &share
	}
	places := map[[2]string]int{}
	for _, c := range s.Cells {
		if c.Count == 0 {
			continue
		}
		at := [2]string{c.Age, c.TTL}
		if _, ok := places[at]; !ok {
			places[at] = len(r.Cells)
			r.Cells = append(r.Cells, offerCells{Age: c.Age, TTL: c.TTL})
		}
		cell := &r.Cells[places[at]]
		switch c.Result {
		case offer.Held:
			cell.Held = c.Count
		case offer.SoldOut:
			cell.SoldOut = c.Count
		case offer.Refused:
			cell.Refused = c.Count
		}
	}
	return r
}
