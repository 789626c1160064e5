package gtfs

import "strings"

// Mandarin syllables are an initial and a final (ISO 7098). Not every pair of them exists, but that does not matter for cutting real names.
var (
	initialSounds = strings.Fields("zh ch sh b p m f d t n l g k h j q x r z c s y w")
	finalSounds   = strings.Fields("iang iong uang ang eng ing ong ian iao uai uan ai ei ao ou an en in un ia ie iu ua uo ui ue a o e i u v")
	bareSyllables = strings.Fields("ang eng ai ei ao ou an en er a o e")
)

// initials are the first letters of the syllables of a name in pinyin without breaks, the longest syllables first: "beijingnan" gives "bjn".
// Empty if it is not pinyin.
func initials(pinyin string) string {
	if len(pinyin) > 40 { // no name is longer, and trying all ways to cut takes time
		return ""
	}
	out, ok := cut(pinyin)
	if !ok {
		return ""
	}
	return out
}

func cut(s string) (string, bool) {
	if s == "" {
		return "", true
	}
	for _, head := range initialSounds {
		rest, found := strings.CutPrefix(s, head)
		if !found {
			continue
		}
		if out, ok := cutAfter(rest, finalSounds, s[:1]); ok {
			return out, true
		}
	}
	return cutAfter(s, bareSyllables, s[:1])
}

// cutAfter takes one of the sounds and cuts what follows.
func cutAfter(s string, sounds []string, letter string) (string, bool) {
	for _, sound := range sounds {
		if rest, found := strings.CutPrefix(s, sound); found {
			if out, ok := cut(rest); ok {
				return letter + out, true
			}
		}
	}
	return "", false
}
