package rail

// State says what a traveller can do with a class on an OD.
type State uint8

// The states. Each but Available and Low is shown with a reason.
const (
	// Unknown: the node cannot vouch for a number (quarantined run).
	Unknown State = iota
	// Available: more than LowAt places.
	Available
	// Low: places are left, but few.
	Low
	// SoldOut: no place is left.
	SoldOut
	// Waitlist: no place is left, and the booking system takes names for returned ones.
	Waitlist
	// NotOnSale: before the sale opens or after it has closed.
	NotOnSale
	// Suspended: the booking system has stopped the run's sale.
	Suspended
	// Restricted: places exist, but no quota allows this OD.
	Restricted
	// NotOffered: the class is not sold on this OD at all.
	NotOffered
	stateCount
)

var stateNames = [stateCount]string{"UNKNOWN", "AVAILABLE", "LOW", "SOLD_OUT", "WAITLIST", "NOT_ON_SALE", "SUSPENDED", "RESTRICTED", "NOT_OFFERED"}

func (s State) String() string {
	if s >= stateCount {
		return stateNames[Unknown]
	}
	return stateNames[s]
}

// Sellable reports whether at least one place can be sold now.
func (s State) Sellable() bool { return s == Available || s == Low }

// LowAt is the greatest count that is shown as Low. China's own site shows a number only up to 20 and "yes" above it.
const LowAt SeatCount = 20

// Accommodation is the kind of a place.
type Accommodation uint8

// The kinds of place.
const (
	Seat Accommodation = iota
	Berth
	Standing
)

func (a Accommodation) String() string {
	switch a {
	case Berth:
		return "BERTH"
	case Standing:
		return "STANDING"
	default:
		return "SEAT"
	}
}

// Lang is a language of names and reasons. The zero Lang means a feed's own names with English reasons.
type Lang string

// The languages that the vocabulary is written in.
const (
	Native  Lang = ""
	Chinese Lang = "zh"
	English Lang = "en"
	Korean  Lang = "ko"
)

// Langs are the languages a caller may ask for.
var Langs = []Lang{Chinese, English, Korean}

// classNames are the seat classes of Chinese trains: codes and names as passengers know them.
var classNames = map[Class][3]string{
	"9":  {"商务座", "Business", "비즈니스석"},
	"P":  {"特等座", "Premier", "특등석"},
	"M":  {"一等座", "First class", "1등석"},
	"O":  {"二等座", "Second class", "2등석"},
	"6":  {"高级软卧", "Deluxe soft sleeper", "고급 연침대"},
	"A":  {"高级动卧", "Deluxe EMU sleeper", "고급 동차 침대"},
	"4":  {"软卧", "Soft sleeper", "연침대"},
	"F":  {"动卧", "EMU sleeper", "동차 침대"},
	"I":  {"一等卧", "First class sleeper", "1등 침대"},
	"3":  {"硬卧", "Hard sleeper", "경침대"},
	"J":  {"二等卧", "Second class sleeper", "2등 침대"},
	"2":  {"软座", "Soft seat", "연좌석"},
	"1":  {"硬座", "Hard seat", "경좌석"},
	"WZ": {"无座", "Standing", "입석"},
}

// Name is the class's name in lang; a class outside the vocabulary is called by its code.
func (c Class) Name(lang Lang) string {
	names, ok := classNames[c]
	if !ok {
		return string(c)
	}
	switch lang {
	case English:
		return names[1]
	case Korean:
		return names[2]
	default:
		return names[0]
	}
}
