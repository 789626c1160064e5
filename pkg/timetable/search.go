package timetable

import (
	"cmp"
	"math/bits"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds of a search, which keep it short whatever is typed.
const (
	// maxQuery is the number of bytes of a query that are looked at.
	maxQuery = 64
	// maxFound is the greatest number of places that a search returns.
	maxFound = 100
)

// kind says which name of a place a spelling is.
type kind uint8

const (
	cityCode kind = iota
	stationCode
	signName
	pinyin
	otherName
	initials
)

// strength says how well a place fits what was typed, the best first.
type strength uint8

const (
	exactCode strength = iota
	exactName
	signPrefix
	signWithin
	pinyinPrefix
	initialsPrefix
	otherPrefix
	otherWithin
	codePrefix
	pinyinWithin // late, since a few letters are within the pinyin of many a place
	oneTypo      // a typing error away from the start of a name
	twoTypos
	strengths
	noMatch = strengths
)

// spelling is one way to write a place.
type spelling struct {
	key     string
	place   int32
	kind    kind
	ascii   bool   // and the start of a name: it may be meant with a typing error
	letters uint64 // the set of bytes in key
}

// gazetteer is all spellings of all places.
type gazetteer struct {
	// places in the order in which they are proposed: the busiest first, a city before its stations.
	places []Place
	// spellings lie together by place: those of place n start at spelt[n] and end before spelt[n+1].
	spellings []spelling
	spelt     []int32
	// byKey is the numbers of the spellings in the order of their keys.
	byKey []int32
}

// newGazetteer collects the spellings of an index that has its stations already.
func newGazetteer(x *Index, patterns []*Pattern) gazetteer {
	type known struct {
		place Place
		names *Names
		calls int32
	}
	byStation, byArea := x.calls(patterns)
	var all []known
	for n := range x.network.Cities {
		c := &x.network.Cities[n]
		all = append(all, known{Place{City: c.Code}, &c.Names, byArea[n]})
	}
	for n, s := range x.stations {
		all = append(all, known{Place{Station: s.Code}, &s.Names, byStation[n]})
	}
	// A city has at least the calls of each of its stations, and stands before them in all.
	slices.SortStableFunc(all, func(a, b known) int { return cmp.Compare(b.calls, a.calls) })

	var g gazetteer
	for _, k := range all {
		g.add(k.place, k.names)
	}
	g.spelt = append(g.spelt, int32(len(g.spellings)))
	g.sort()
	return g
}

// calls counts the patterns that call at each station and in each area.
func (x *Index) calls(patterns []*Pattern) (byStation, byArea []int32) {
	byStation, byArea = make([]int32, len(x.stations)), make([]int32, len(x.first)-1)
	lastAt, lastIn := make([]int, len(byStation)), make([]int, len(byArea)) // number of the last pattern counted, from 1
	for n, p := range patterns {
		for i := range p.Stops {
			station := x.numbers[p.Stops[i].Station]
			area := x.areas[station]
			if lastAt[station] != n+1 {
				lastAt[station] = n + 1
				byStation[station]++
			}
			if lastIn[area] != n+1 {
				lastIn[area] = n + 1
				byArea[area]++
			}
		}
	}
	return byStation, byArea
}

// add appends a place with its spellings, the stronger kinds first.
func (g *gazetteer) add(p Place, names *Names) {
	g.places = append(g.places, p)
	g.spelt = append(g.spelt, int32(len(g.spellings)))
	code := stationCode
	if p.IsCity() {
		code = cityCode
	}
	g.spell(normal(p.Code()), code)
	g.spell(nameKey(normal(names.Name)), signName)
	g.spell(nameKey(normal(names.Pinyin)), pinyin)
	for _, name := range names.Other {
		g.spell(nameKey(normal(name)), otherName)
	}
	g.spell(nameKey(normal(names.Initials)), initials)
}

// spell appends a spelling of the last place, unless a stronger name of it is written the same.
func (g *gazetteer) spell(key string, k kind) {
	mine := g.spellings[g.spelt[len(g.spelt)-1]:]
	same := func(s spelling) bool { return s.key == key && s.kind >= signName && k <= otherName }
	if key == "" || slices.ContainsFunc(mine, same) {
		return
	}
	s := spelling{key: key, place: int32(len(g.places) - 1), kind: k, letters: letters(key)}
	s.ascii = isASCII(key) && k >= signName && k <= otherName
	g.spellings = append(g.spellings, s)
}

func (g *gazetteer) sort() {
	g.byKey = make([]int32, len(g.spellings))
	for i := range g.byKey {
		g.byKey[i] = int32(i)
	}
	slices.SortFunc(g.byKey, func(a, b int32) int {
		return cmp.Or(cmp.Compare(g.spellings[a].key, g.spellings[b].key), cmp.Compare(a, b))
	})
}

// spelled is the places of which a spelling of the kinds from first to last is key, the busiest first.
func (g *gazetteer) spelled(key string, first, last kind) []Place {
	i, _ := slices.BinarySearchFunc(g.byKey, key, func(n int32, key string) int { return cmp.Compare(g.spellings[n].key, key) })
	var found []Place
	for ; i < len(g.byKey); i++ {
		s := &g.spellings[g.byKey[i]]
		if s.key != key {
			break
		}
		if p := g.places[s.place]; s.kind >= first && s.kind <= last && !slices.Contains(found, p) {
			found = append(found, p)
		}
	}
	return found
}

// Search proposes up to limit places (at most 100) for a text that is being typed, the best first: by code, whole name, start of a name,
// within a name, start of the pinyin, of the initials, of names in other languages, within those, start of a code, within the pinyin. If
// nothing fits, it forgives a typing error in the start of a Latin name, for 4 letters and more, or two, for 8 and more. Among equals the
// place at which more patterns call comes first, and a city before its stations. Of query the first 64 bytes count.
func (x *Index) Search(query string, limit int) []Place {
	limit = min(limit, maxFound)
	t := newTyped(query)
	if limit <= 0 || t.name == "" {
		return nil
	}
	found := finds{limit: limit, places: make([]int32, int(strengths)*limit)}
	for n := range x.places {
		mine := x.spellings[x.spelt[n]:x.spelt[n+1]]
		s := t.match(mine)
		if s == noMatch && !found.sure {
			s = t.near(mine)
		}
		found.add(int32(n), s)
	}
	return found.best(x.places)
}

// finds are the first places of each strength. Since places are looked at in the order in which they are proposed, no sort is needed.
type finds struct {
	limit  int
	sure   bool    // some fit without typing errors, so those with errors are not wanted
	places []int32 // limit of each strength
	count  [strengths]int
}

func (f *finds) add(place int32, s strength) {
	if s == noMatch || f.count[s] == f.limit {
		return
	}
	f.places[int(s)*f.limit+f.count[s]] = place
	f.count[s]++
	f.sure = f.sure || s < oneTypo
}

func (f *finds) best(places []Place) []Place {
	wanted := f.count[:]
	if f.sure {
		wanted = wanted[:oneTypo]
	}
	out := make([]Place, 0, f.limit)
	for s, count := range wanted {
		for _, n := range f.places[s*f.limit:][:min(count, f.limit-len(out))] {
			out = append(out, places[n])
		}
	}
	return out
}

// typed is a query, made ready to be compared with many spellings.
type typed struct {
	words
	letters uint64
	typos   int // how many typing errors are forgiven
}

func newTyped(query string) typed {
	plain := normal(cut(query))
	t := typed{words: words{code: strings.TrimSpace(plain), name: nameKey(plain)}}
	t.letters = letters(t.name)
	switch n := len(t.name); {
	case !isASCII(t.name) || n > maxQuery:
	case n >= 8:
		t.typos = 2
	case n >= 4:
		t.typos = 1
	}
	return t
}

// match is the best strength, typing errors aside, with which one of a place's spellings fits.
func (t *typed) match(mine []spelling) strength {
	best := noMatch
	for i := range mine {
		if t.letters&^mine[i].letters == 0 { // all that was typed occurs; this spares most spellings a comparison
			best = min(best, t.fit(&mine[i]))
		}
	}
	return best
}

func (t *typed) fit(s *spelling) strength {
	switch s.kind {
	case cityCode, stationCode:
		return fitStart(s.key, t.code, exactCode, codePrefix)
	case initials:
		return fitStart(s.key, t.name, initialsPrefix, initialsPrefix)
	case pinyin:
		return fitWithin(s.key, t.name, pinyinPrefix, pinyinWithin)
	case signName:
		return fitWithin(s.key, t.name, signPrefix, signWithin)
	default:
		return fitWithin(s.key, t.name, otherPrefix, otherWithin)
	}
}

func fitStart(key, text string, whole, prefix strength) strength {
	switch {
	case text == "" || !strings.HasPrefix(key, text):
		return noMatch
	case len(key) == len(text):
		return whole
	}
	return prefix
}

func fitWithin(key, text string, prefix, within strength) strength {
	if s := fitStart(key, text, exactName, prefix); s != noMatch {
		return s
	}
	if strings.Contains(key, text) {
		return within
	}
	return noMatch
}

// near is the strength with which the start of one of a place's names is what was typed, but for the typing errors forgiven.
func (t *typed) near(mine []spelling) strength {
	best := noMatch
	if t.typos == 0 {
		return best
	}
	for i := range mine {
		if s := &mine[i]; s.ascii && t.mayBeNear(s) {
			if errors, ok := startDistance(s.key, t.name, t.typos); ok {
				best = min(best, oneTypo+strength(max(errors, 1)-1))
			}
		}
	}
	return best
}

// mayBeNear spares most spellings a comparison: a typing error brings in one foreign letter at most, and takes one away.
func (t *typed) mayBeNear(s *spelling) bool {
	least := len(t.name) - t.typos // the length of the shortest start that can be near
	if len(s.key) < least {
		return false
	}
	foreign := t.letters &^ s.letters
	missed := letters(s.key[:least]) &^ t.letters
	return max(bits.OnesCount64(foreign), bits.OnesCount64(missed)) <= t.typos
}

// startDistance is the least number of insertions, deletions, substitutions and swaps of neighbours (no letter being touched twice) that make
// text, of 1 to maxQuery bytes, some start of key; false if that is more than typos. It works on the diagonals that so few errors can reach.
func startDistance(key, text string, typos int) (errors int, ok bool) {
	const far = maxQuery
	var rows [3][maxQuery + 4]uint8 // distances of a start of text from each start of key: two rows back, one row back, this one
	before, last, row := &rows[0], &rows[1], &rows[2]
	for j := range typos + 1 {
		last[j] = uint8(j)
	}
	last[typos+1] = far
	low := uint8(0)
	for i := 1; i <= len(text); i++ {
		first, end := max(1, i-typos), min(len(key), i+typos)
		row[first-1] = far
		if i <= typos {
			row[0] = uint8(i)
		}
		low = row[first-1]
		for j := first; j <= end; j++ {
			d := min(last[j-1]+differ(text[i-1], key[j-1]), last[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && text[i-1] == key[j-2] && text[i-2] == key[j-1] {
				d = min(d, before[j-2]+1)
			}
			row[j] = d
			low = min(low, d)
		}
		row[end+1] = far
		if int(low) > typos {
			return 0, false // the least of a row never falls from row to row
		}
		before, last, row = last, row, before
	}
	return int(low), true
}

func differ(a, b byte) uint8 {
	if a == b {
		return 0
	}
	return 1
}

// letters is the set of bytes of a key. Bytes 64 apart share a place in it, so a set may hide a foreign letter but never makes one up.
func letters(key string) (set uint64) {
	for i := range len(key) {
		set |= 1 << (key[i] & 63)
	}
	return set
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
