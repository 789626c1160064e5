package timetable

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/yupiao/yupiao/pkg/rail"
)

// chinese is a few places as they are named in China, and some that make trouble.
func chinese() *Network {
	station := func(code rail.StationCode, city rail.CityCode, name, pinyin, initials, en, ko string) Station {
		return Station{Code: code, City: city, Names: Names{name, pinyin, initials, map[string]string{"en": en, "ko": ko}}}
	}
	city := func(code rail.CityCode, name, pinyin, initials string) City {
		return City{Code: code, Names: Names{Name: name, Pinyin: pinyin, Initials: initials}}
	}
	return &Network{
		Timezone: "Asia/Shanghai", Currency: "CNY", SaleDays: 15,
		Cities: []City{
			city("BJP", "北京", "beijing", "bj"), city("SHH", "上海", "shanghai", "sh"), city("SZH", "苏州", "suzhou", "sz"),
			city("OXH", "宿州", "suzhou", "sz"), city("XI", "西安", "xi'an", "xa"), city("URC", "乌鲁木齐", "wulumuqi", "wlmq"),
		},
		Stations: []Station{
			station("BJP", "BJP", "北京", "beijing", "bj", "Beijing", "베이징역"),
			station("VNP", "BJP", "北京南", "beijingnan", "bjn", "Beijing South Railway Station", "베이징난"),
			station("AOH", "SHH", "上海虹桥", "shanghaihongqiao", "shhq", "Shanghai Hongqiao", "상하이훙차오"),
			station("SNH", "SHH", "上海南站", "shanghainan", "shn", "Shanghai South", ""),
			station("SZH", "SZH", "苏州", "suzhou", "sz", "Suzhou", ""),
			station("OXH", "OXH", "宿州", "suzhou", "sz", "Suzhou", ""),
			station("EAY", "XI", "西安北", "xi'anbei", "xab", "Xi’an North", ""),
			station("WAR", "URC", "乌鲁木齐", "wulumuqi", "wlmq", "Ürümqi", ""),
			station("SUZHOU", "", "Lone-Pine Halt", "", "", "", ""),
			station("tw-1", "BJP", "Twin", "", "", "", ""), station("TW-1", "SHH", "Twin", "", "", "", ""),
		},
	}
}

func TestResolve(t *testing.T) {
	x := NewIndex(chinese(), nil)
	for _, c := range []struct{ name, text, narrow, wide string }{
		{"code", "VNP", "VNP", "city:BJP"},
		{"code in any case and width", " ｖnP ", "VNP", "city:BJP"},
		{"code of a station and a city", "BJP", "BJP", "city:BJP"},
		{"a code beats a name", "Suzhou", "SUZHOU", "SUZHOU"},
		{"city by code", "city:BJP", "city:BJP", "city:BJP"},
		{"city by code in any case and width", "City：bjp", "city:BJP", "city:BJP"},
		{"city by name", "city:北京", "city:BJP", "city:BJP"},
		{"city by pinyin", "city: bei jing", "city:BJP", "city:BJP"},
		{"name of a station and a city", "北京", "BJP", "city:BJP"},
		{"name of a station", "北京南", "VNP", "city:BJP"},
		{"name of a city only", "上海", "city:SHH", "city:SHH"},
		{"station word", "北京南站", "VNP", "city:BJP"},
		{"longer station word", "北京南火车站", "VNP", "city:BJP"},
		{"station word in the network", "上海南", "SNH", "city:SHH"},
		{"pinyin", "beijingnan", "VNP", "city:BJP"},
		{"pinyin with spaces, hyphens, capitals", "Bei-Jing Nan", "VNP", "city:BJP"},
		{"apostrophes of any sort", "xi’an", "city:XI", "city:XI"},
		{"apostrophe left out", "XIANNORTH", "EAY", "city:XI"},
		{"full width", "ｂｅｉｊｉｎｇ　ｎａｎ", "VNP", "city:BJP"},
		{"English with station word", "beijing south station", "VNP", "city:BJP"},
		{"accents", "urumqi", "WAR", "city:URC"},
		{"accents as combining marks", "U\u0308ru\u0308mqi", "WAR", "city:URC"},
		{"Korean", "베이징난역", "VNP", "city:BJP"},
		{"Korean station word in the network", "베이징", "BJP", "city:BJP"},
		{"station without a city", "lone pine halt", "SUZHOU", "SUZHOU"},
		{"case decides between codes", "tw-1", "tw-1", "city:BJP"},
	} {
		for wide, want := range map[bool]string{false: c.narrow, true: c.wide} {
			if got, err := x.Resolve(c.text, wide); err != nil || got.String() != want {
				t.Errorf("%s: Resolve(%q, %t) = %v, %v; want %s", c.name, c.text, wide, got, err, want)
			}
		}
	}
}

func TestResolveErrors(t *testing.T) {
	x := NewIndex(chinese(), nil)
	for _, c := range []struct {
		name, text string
		wide       bool
		ambiguous  bool
		candidates string
	}{
		{"a name of two stations", "su zhou", false, true, "[SZH OXH]"},
		{"a name of two cities", "su zhou", true, true, "[city:SZH city:OXH]"},
		{"a name of two cities, marked", "city:suzhou", false, true, "[city:SZH city:OXH]"},
		{"the same name on the signs", "twin", false, true, "[tw-1 TW-1]"},
		{"a code that case does not decide", "Tw-1", false, true, "[tw-1 TW-1]"},
		{"a typing error", "beijngnan", false, false, "[VNP]"},
		{"a station is no city", "city:VNP", true, false, "[VNP]"},
		{"nothing near", "qqqq", false, false, "[]"},
		{"empty", " ", false, false, "[]"},
		{"no letters", "-'-", false, false, "[]"},
		{"a station word alone", "站", false, false, "[]"},
		{"too long", "VNP" + strings.Repeat(" ", 70), false, false, "[VNP]"},
		{"no UTF-8", "\xff\xfe", false, false, "[]"},
	} {
		got, err := x.Resolve(c.text, c.wide)
		var ambiguous *AmbiguousError
		var unknown *UnknownError
		candidates := []Place{}
		switch {
		case errors.As(err, &ambiguous):
			candidates = ambiguous.Candidates
		case errors.As(err, &unknown):
			candidates = unknown.Candidates
		}
		if (ambiguous != nil) != c.ambiguous || (unknown != nil) == c.ambiguous || fmt.Sprint(candidates) != c.candidates || got != (Place{}) {
			t.Errorf("%s: Resolve(%q) = %v, %v; want ambiguous %t, %s", c.name, c.text, got, err, c.ambiguous, c.candidates)
		}
	}
}

func TestErrorTexts(t *testing.T) {
	for want, err := range map[string]error{
		`place "suzhou" has several meanings; want one of SZH, city:OXH`:                &AmbiguousError{"suzhou", []Place{{Station: "SZH"}, {City: "OXH"}}},
		`place "x" is not known; want a code or name, such as the nearest: SZH`:         &UnknownError{"x", []Place{{Station: "SZH"}}},
		`place "\n" is not known; want a station's code or name, or city: and a city's`: &UnknownError{"\n", nil},
	} {
		if err.Error() != want {
			t.Errorf("%T says %s, want %s", err, err, want)
		}
	}
}

// FuzzResolve: whatever is asked, the answer is a place of the index or one of the two errors, and Resolve reads the place's own text.
func FuzzResolve(f *testing.F) {
	x := NewIndex(chinese(), nil)
	for _, s := range []string{"VNP", "city:BJP", "北京南站", "Xi’an", "ｃｉｔｙ：北京", "베이징역", "\xff", "U\u0308", "city:", "ﷺﷺﷺ", strings.Repeat("京", 99)} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, text string, wide bool) {
		place, err := x.Resolve(text, wide)
		if err != nil {
			checkError(t, x, err)
			return
		}
		if again, err := x.Resolve(place.String(), false); err != nil || again != place {
			t.Errorf("%q is %v, which is %v, %v", text, place, again, err)
		}
	})
}

func checkError(t *testing.T, x *Index, err error) {
	var ambiguous *AmbiguousError
	var unknown *UnknownError
	switch {
	case errors.As(err, &ambiguous):
		checkPlaces(t, x, ambiguous.Candidates, 2, maxCandidates)
	case errors.As(err, &unknown):
		checkPlaces(t, x, unknown.Candidates, 0, maxCandidates)
	default:
		t.Errorf("error %v of type %T", err, err)
	}
	if len(err.Error()) > 1000 || !utf8.ValidString(err.Error()) {
		t.Errorf("error text %q", err)
	}
}

// checkPlaces wants least to most places of the index, each once.
func checkPlaces(t *testing.T, x *Index, places []Place, least, most int) {
	seen := map[Place]bool{}
	for _, p := range places {
		_, city := x.City(p.City)
		_, station := x.Station(p.Station)
		if city == station || seen[p] {
			t.Errorf("%v is not a place, or twice in %v", p, places)
		}
		seen[p] = true
	}
	if len(places) < least || len(places) > most {
		t.Errorf("%d places, want %d to %d", len(places), least, most)
	}
}
