package main

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// contentType of every design's answer.
const contentType = "application/json; charset=utf-8"

// reply is the answer to a search in the shape of api/openapi.yaml, for encoding/json: what the usual design writes, and what all bodies are held against. What
// never changes is text already.
type reply struct {
	Date string     `json:"date"`
	From placeReply `json:"from"`
	To   placeReply `json:"to"`
	Runs []runReply `json:"runs"`
}

type placeReply struct {
	Code rail.StationCode `json:"code"`
	Name string           `json:"name"`
	City bool             `json:"city"`
}

type runReply struct {
	Train   string       `json:"train"`
	Run     string       `json:"run"`
	From    stopReply    `json:"from"`
	To      stopReply    `json:"to"`
	Depart  string       `json:"depart"`
	Arrive  string       `json:"arrive"`
	Minutes rail.Minutes `json:"minutes"`
	Classes []classReply `json:"classes"`
}

type stopReply struct {
	Code rail.StationCode `json:"code"`
	Name string           `json:"name"`
	Stop rail.StopIndex   `json:"stop"`
}

type classReply struct {
	Class     rail.Class     `json:"class"`
	Name      string         `json:"name"`
	State     string         `json:"state"`
	Remaining rail.SeatCount `json:"remaining"`
	Fare      fareReply      `json:"fare"`
}

type fareReply struct {
	Amount   rail.Money `json:"amount"`
	Currency string     `json:"currency"`
}

// fill writes a class's count and its state. No class of this railway ever sells out.
func (c *classReply) fill(n rail.SeatCount) {
	c.Remaining, c.State = n, rail.Available.String()
	if n <= rail.LowAt {
		c.State = rail.Low.String()
	}
}

// path is where the answer is found on every server.
func path(date rail.Date) string {
	return "/v1/availability?from=" + string(origin) + "&to=" + string(destination) + "&date=" + date.String()
}

// plan is what the usual design's server keeps in its own memory: all of the answer but the counts, and where in Redis these are.
type plan struct {
	Reply reply
	// Keys of the runs' hashes and Fields of the classes within, in the order of the reply.
	Keys, Fields []string
}

// parse reads a plan that was written as JSON.
func (p *plan) parse(data []byte) error { return json.Unmarshal(data, p) }

// keyOf is the hash of a run in Redis.
func keyOf(run rail.RunID) string { return "run:" + run.String() }

// fieldOf is the field of a class and an OD within a run's hash.
func fieldOf(class rail.Class, from, to rail.StopIndex) string {
	return string(class) + ":" + strconv.Itoa(int(from)) + ":" + strconv.Itoa(int(to))
}

// stopOf is a stop of a run as the answer shows it.
func (r *railway) stopOf(p *timetable.Pattern, i rail.StopIndex) stopReply {
	code := p.Stops[i].Station
	return stopReply{Code: code, Name: r.names[code], Stop: i}
}

// plan of the answer, without counts.
func (r *railway) plan() plan {
	p := plan{Reply: reply{
		Date: r.date.String(), From: placeReply{Code: origin, Name: r.names[origin]}, To: placeReply{Code: destination, Name: r.names[destination]},
	}}
	for _, c := range classes {
		p.Fields = append(p.Fields, fieldOf(c.code, hotFrom, hotTo))
	}
	for _, hot := range r.hot {
		pattern, from, to := hot.pattern, hot.pattern.Stops[hotFrom].Depart, hot.pattern.Stops[hotTo].Arrive
		out := runReply{
			Train: pattern.Train, Run: hot.id.String(), From: r.stopOf(pattern, hotFrom), To: r.stopOf(pattern, hotTo),
			Depart: r.date.At(from, r.zone).Format(time.RFC3339), Arrive: r.date.At(to, r.zone).Format(time.RFC3339), Minutes: to - from,
		}
		for i, c := range classes {
			amount, _, _ := pattern.Fare(i, hotFrom, hotTo) // known: the railway gives every fare
			out.Classes = append(out.Classes, classReply{Class: c.code, Name: c.code.Name(rail.Native), Fare: fareReply{Amount: amount, Currency: r.network.Currency}})
		}
		p.Reply.Runs, p.Keys = append(p.Reply.Runs, out), append(p.Keys, keyOf(hot.id))
	}
	return p
}

// truth is the answer's body as it would be right now.
func (r *railway) truth() ([]byte, error) {
	p := r.plan()
	r.mu.Lock()
	for i, hot := range r.hot {
		for c, n := range hot.counts(hotFrom, hotTo) {
			p.Reply.Runs[i].Classes[c].fill(n)
		}
	}
	r.mu.Unlock()
	return json.Marshal(p.Reply)
}
