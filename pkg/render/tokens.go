package render

import (
	"time"

	"github.com/yupiao/yupiao/pkg/offer"
	"github.com/yupiao/yupiao/pkg/view"
)

// Tokens is what the offer tokens of an answer say beside the numbers that it shows.
type Tokens struct {
	// Keys sign; there must be one.
	Keys offer.Keys
	// Age of the data, and TTL under which the answer is served (0: exact).
	Age, TTL time.Duration
	// At is when the answer is shown.
	At time.Time
}

// field appends the token of a class.
func (t *Tokens) field(dst []byte, o *view.Offer, c *view.ClassOffer) []byte {
	dst = append(dst, `,"offer":"`...)
	dst = t.Keys.AppendSign(dst, offer.Offer{
		Run: o.Run, Class: c.Class, From: o.From, To: o.To, Version: o.Version, Age: t.Age, TTL: t.TTL, At: t.At,
	})
	return append(dst, '"')
}
