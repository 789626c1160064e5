package timetable

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// busyChinese has trains: three call at VNP, two of which at AOH too, one at SNH.
func busyChinese() *Index {
	return NewIndex(chinese(), []*Pattern{
		newRide("1", Stop{Station: "VNP"}, Stop{Station: "AOH", Arrive: 1}),
		newRide("2", Stop{Station: "VNP"}, Stop{Station: "AOH", Arrive: 1}, Stop{Station: "VNP", Arrive: 2}),
		newRide("3", Stop{Station: "SNH"}, Stop{Station: "VNP", Arrive: 1}),
	})
}

func TestSearch(t *testing.T) {
	x := busyChinese()
	for _, c := range []struct{ name, query, want string }{
		{"a code first", "bjp", "[city:BJP BJP]"},
		{"a code before names", "suzhou", "[SUZHOU city:SZH city:OXH SZH OXH]"},
		{"start of a code", "ao", "[AOH]"},
		{"start of a name, the city first", "北", "[city:BJP VNP BJP EAY]"},
		{"a whole name before its longer ones", "北京南", "[VNP]"},
		{"within a name after its start", "南", "[VNP SNH]"},
		{"busier first", "上海", "[city:SHH AOH SNH]"},
		{"start of the pinyin", "shanghaih", "[AOH]"},
		{"pinyin with capitals and spaces", "Bei Jing N", "[VNP]"},
		{"within the pinyin", "hongqiao", "[AOH]"},
		{"initials", "bjn", "[VNP]"},
		{"start of the initials", "b", "[city:BJP VNP BJP EAY]"},
		{"another language", "beijing so", "[VNP]"},
		{"within another language", "south", "[VNP SNH]"},
		{"Korean, unfinished", "베이", "[VNP BJP]"},
		{"accents", "üru", "[WAR]"},
		{"a letter left out, two after one", "shnghaih", "[AOH city:SHH SNH]"},
		{"a letter too many", "beijjingn", "[VNP city:BJP BJP]"},
		{"a wrong letter", "beifing", "[city:BJP VNP BJP]"},
		{"letters swapped", "wulumuiq", "[city:URC WAR]"},
		{"two errors in a long word", "shanhgaihonqi", "[AOH]"},
		{"two errors in a short word", "beifimg", "[]"},
		{"one error in three letters", "xio", "[]"},
		{"station word", "北京南站", "[VNP]"},
		{"nothing", "", "[]"},
		{"blank", "  ", "[]"},
		{"nothing near", "qqqqqqqq", "[]"},
	} {
		if got := fmt.Sprint(x.Search(c.query, 10)); got != c.want {
			t.Errorf("%s: Search(%q) = %s, want %s", c.name, c.query, got, c.want)
		}
	}
}

func TestSearchLimit(t *testing.T) {
	x := busyChinese()
	all := x.Search("b", 100)
	for _, limit := range []int{-1, 0, 1, 2, 3, 1 << 60} {
		want := all[:max(0, min(limit, len(all)))]
		if got := x.Search("b", limit); !slices.Equal(got, want) {
			t.Errorf("limit %d: %v, want %v", limit, got, want)
		}
	}
}

func TestSearchLongQuery(t *testing.T) {
	x := busyChinese()
	if got := fmt.Sprint(x.Search(strings.Repeat(" ", maxQuery-1)+"京", 10)); got != "[]" {
		t.Errorf("a rune behind %d bytes counts: %s", maxQuery, got)
	}
	if got := fmt.Sprint(x.Search("vnp"+strings.Repeat(" ", maxQuery-3)+"x", 10)); got != "[VNP]" {
		t.Errorf("a letter behind %d bytes counts: %s", maxQuery, got)
	}
}

// naiveDistance is the distance of whole words, by its definition.
func naiveDistance(a, b string) int {
	switch {
	case a == "" || b == "":
		return len(a) + len(b)
	case a[0] == b[0]:
		return naiveDistance(a[1:], b[1:])
	}
	d := 1 + min(naiveDistance(a[1:], b), naiveDistance(a, b[1:]), naiveDistance(a[1:], b[1:]))
	if len(a) > 1 && len(b) > 1 && a[0] == b[1] && a[1] == b[0] {
		d = min(d, 1+naiveDistance(a[2:], b[2:]))
	}
	return d
}

func TestNearNaive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.StringMatching("[abc]{0,8}").Draw(t, "key")
		text := rapid.StringMatching("[abcd]{4,7}").Draw(t, "text")
		typos := rapid.IntRange(1, 2).Draw(t, "typos")
		least := len(text)
		for n := range len(key) + 1 {
			least = min(least, naiveDistance(text, key[:n]))
		}
		q := typed{words: words{name: text}, letters: letters(text), typos: typos}
		mine := []spelling{{key: key, ascii: true, letters: letters(key)}}
		want := noMatch
		if least <= typos {
			want = []strength{oneTypo, oneTypo, twoTypos}[least]
		}
		if got := q.near(mine); got != want {
			t.Fatalf("%q near a start of %q within %d: strength %d, want %d (distance %d)", text, key, typos, got, want, least)
		}
	})
}

// FuzzSearch: whatever is typed, the answer is places of the index, each once, no more than asked for, and a longer answer begins with the
// shorter one.
func FuzzSearch(f *testing.F) {
	x := busyChinese()
	for _, s := range []string{"bjn", "北京", "beijngnan", "베이", "\xff\xfe", "ﷺﷺﷺﷺ", "\u0308", "aaaaaaaaaaaaaaaa", strings.Repeat("ⅷ", 30), "-_'\x00"} {
		f.Add(s, 5)
	}
	f.Fuzz(func(t *testing.T, query string, limit int) {
		found := x.Search(query, limit)
		checkPlaces(t, x, found, 0, max(0, min(limit, maxFound)))
		if all := x.Search(query, maxFound); !slices.Equal(found, all[:len(found)]) {
			t.Errorf("Search(%q, %d) = %v, of %v", query, limit, found, all)
		}
	})
}
