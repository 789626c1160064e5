package demand

import (
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// ErrInvalid marks a file of pairs that cannot be used. The text names the line, the value and what would be right.
var ErrInvalid = errors.New("invalid pairs")

const (
	// mostPairs is more than the pairs of all stations of a big country between which trains run.
	mostPairs = 1_000_000
	// mostWeight keeps the sum of all weights exact enough for the smallest.
	mostWeight = 1e12
)

var placeCode = regexp.MustCompile(`^(city:)?[A-Za-z0-9_-]{1,64}$`)

// weighted is a line of a file.
type weighted struct {
	pair   Pair
	weight float64
}

// Read reads pairs from CSV: from, to, weight, each place a station's code or city: and a city's, the weight above 0. A first line of those names is passed
// over. The error wraps ErrInvalid, or is the reader's.
func Read(r io.Reader) (*Demand, error) {
	lines, err := readLines(r)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(lines, func(a, b weighted) int { return cmp.Or(cmp.Compare(b.weight, a.weight), a.pair.compare(b.pair)) })
	d := &Demand{}
	for _, l := range lines {
		d.pairs = append(d.pairs, l.pair)
		d.ranks.Add(l.weight)
	}
	return d, nil
}

func readLines(r io.Reader) (lines []weighted, err error) {
	records := csv.NewReader(r)
	records.FieldsPerRecord, records.ReuseRecord, records.TrimLeadingSpace = 3, true, true
	seen := map[Pair]bool{}
	for first := true; ; first = false {
		record, err := records.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if wrong := (*csv.ParseError)(nil); errors.As(err, &wrong) {
			return nil, fmt.Errorf("%w: %w; want from,to,weight", ErrInvalid, err)
		}
		if err != nil {
			return nil, err
		}
		if first && slices.Equal(record, []string{"from", "to", "weight"}) {
			continue
		}
		l, err := parseLine(record)
		line, _ := records.FieldPos(0)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%w: line %d: %w", ErrInvalid, line, err)
		case seen[l.pair]:
			return nil, fmt.Errorf("%w: line %d: %s to %s is there twice", ErrInvalid, line, l.pair.From, l.pair.To)
		case len(lines) == mostPairs:
			return nil, fmt.Errorf("%w: line %d: want at most %d pairs", ErrInvalid, line, mostPairs)
		}
		seen[l.pair] = true
		lines = append(lines, l)
	}
	if len(lines) == 0 {
		return nil, fmt.Errorf("%w: no pair in it; want lines of from,to,weight", ErrInvalid)
	}
	return lines, nil
}

func parseLine(record []string) (l weighted, err error) {
	for i, place := range []*timetable.Place{&l.pair.From, &l.pair.To} {
		if !placeCode.MatchString(record[i]) {
			return l, fmt.Errorf("place %.70q; want a station's code, or city: and a city's", record[i])
		}
		if code, ok := strings.CutPrefix(record[i], "city:"); ok {
			place.City = rail.CityCode(code)
		} else {
			place.Station = rail.StationCode(record[i])
		}
	}
	if l.pair.From == l.pair.To {
		return l, fmt.Errorf("%s to itself; want two places", l.pair.From)
	}
	l.weight, err = strconv.ParseFloat(record[2], 64)
	if err != nil || !(l.weight > 0 && l.weight <= mostWeight) { // written so that NaN fails
		return l, fmt.Errorf("weight %.70q; want a number above 0, at most %g", record[2], mostWeight)
	}
	return l, nil
}
