package board

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/width"
)

// Style of a table.
type Style struct {
	// Colour: escape sequences for colours may be written.
	Colour bool
	// Highlight are the keys of runs to show as just changed.
	Highlight []string
	// Now is the time against which the age is shown.
	Now time.Time
}

// Escape sequences: green, amber, grey, reversed.
const (
	green   = "\x1b[32m"
	amber   = "\x1b[33m"
	grey    = "\x1b[90m"
	reverse = "\x1b[7m"
	reset   = "\x1b[0m"
)

// cell is a text with the colour to show it in.
type cell struct{ text, colour string }

// Write writes an answer as a table.
func Write(w io.Writer, a *Answer, f Freshness, s Style) error {
	rows := [][]cell{{{text: "train"}, {text: "from"}, {text: "to"}, {text: "depart"}, {text: "arrive"}, {text: "time"}}}
	classes := classesOf(a)
	for _, c := range classes {
		rows[0] = append(rows[0], cell{text: c.Name})
	}
	for i := range a.Runs {
		rows = append(rows, row(&a.Runs[i], classes))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s → %s  %s  %d trains  %s\n", plain(a.From.Name), plain(a.To.Name), plain(a.Date), len(a.Runs), s.freshness(f))
	widths := widthsOf(rows)
	for i, r := range rows {
		changed := i > 0 && slices.Contains(s.Highlight, a.Runs[i-1].Key())
		s.line(&b, r, widths, changed)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// classesOf lists every class of an answer once, in the order in which they come.
func classesOf(a *Answer) (all []Class) {
	for _, r := range a.Runs {
		for _, c := range r.Classes {
			if !slices.ContainsFunc(all, func(o Class) bool { return o.Class == c.Class }) {
				all = append(all, c)
			}
		}
	}
	return all
}

func row(r *Run, classes []Class) []cell {
	arrive := r.Arrive.Format("15:04")
	if days := calendarDay(r.Arrive) - calendarDay(r.Depart); days > 0 {
		arrive += fmt.Sprintf("+%d", days)
	}
	train := r.Train
	if r.Behind {
		train += "?" // the numbers may be old
	}
	out := []cell{{text: train}, {text: r.From.Name}, {text: r.To.Name}, {text: r.Depart.Format("15:04")}, {text: arrive}, {text: fmt.Sprintf("%d:%02d", r.Minutes/60, r.Minutes%60)}}
	for _, c := range classes {
		i := slices.IndexFunc(r.Classes, func(o Class) bool { return o.Class == c.Class })
		if i < 0 {
			out = append(out, cell{text: "-", colour: grey})
			continue
		}
		out = append(out, classCell(&r.Classes[i]))
	}
	return out
}

// calendarDay counts the days of the local calendar.
func calendarDay(t time.Time) int64 {
	y, m, d := t.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / 86400
}

// words are what stands in the place of a number.
var words = map[string]string{
	"SOLD_OUT": "sold out", "WAITLIST": "waitlist", "NOT_ON_SALE": "not on sale", "SUSPENDED": "suspended", "RESTRICTED": "restricted", "NOT_OFFERED": "-", "UNKNOWN": "?",
}

func classCell(c *Class) cell {
	switch c.State {
	case "AVAILABLE":
		return cell{fmt.Sprintf("%d%s", c.Remaining, fare(c)), green}
	case "LOW":
		return cell{fmt.Sprintf("%d%s", c.Remaining, fare(c)), amber}
	}
	if word, ok := words[c.State]; ok {
		return cell{word, grey}
	}
	return cell{c.State, grey}
}

func fare(c *Class) string {
	if c.Fare == nil {
		return ""
	}
	return fmt.Sprintf(" @%d.%02d", c.Fare.Amount/100, c.Fare.Amount%100)
}

func (s Style) freshness(f Freshness) string {
	text := f.State
	if asOf, err := time.Parse(time.RFC3339Nano, f.AsOf); err == nil && !s.Now.IsZero() {
		text += fmt.Sprintf(", %.1f s old", max(s.Now.Sub(asOf).Seconds(), 0))
	}
	if f.State == "live" {
		return s.paint(text, green)
	}
	return s.paint(plain(text), amber)
}

func (s Style) paint(text, colour string) string {
	if !s.Colour || colour == "" {
		return text
	}
	return colour + text + reset
}

// line writes one row with its columns padded (D1).
func (s Style) line(b *strings.Builder, cells []cell, widths []int, changed bool) {
	for i, c := range cells {
		text := plain(c.text)
		pad := strings.Repeat(" ", widths[i]-cellWidth(text))
		colour := c.colour
		if changed && i == 0 {
			colour = reverse
		}
		b.WriteString(s.paint(text, colour))
		if i < len(cells)-1 {
			b.WriteString(pad + "  ")
		}
	}
	b.WriteByte('\n')
}

func widthsOf(rows [][]cell) []int {
	widths := make([]int, len(rows[0]))
	for _, r := range rows {
		for i, c := range r {
			widths[i] = max(widths[i], cellWidth(plain(c.text)))
		}
	}
	return widths
}

// cellWidth is how many cells of a terminal a text takes.
func cellWidth(s string) (n int) {
	for _, r := range s {
		switch width.LookupRune(r).Kind() {
		case width.EastAsianWide, width.EastAsianFullwidth:
			n += 2
		default:
			n++
		}
	}
	return n
}

// plain drops what could steer the terminal (D3).
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, s)
}
