package policy

import (
	"cmp"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// number is an integer or decimal of any length, without its leading and
// trailing noughts.
type number struct {
	negative    bool
	whole, frac string
}

// parseNumber reads digits with an optional sign and decimals.
func parseNumber(s string) (number, bool) {
	var n number
	if s != "" && (s[0] == '-' || s[0] == '+') {
		n.negative = s[0] == '-'
		s = s[1:]
	}
	whole, frac, point := strings.Cut(s, ".")
	if !digits(whole) || point && !digits(frac) {
		return number{}, false
	}
	n.whole, n.frac = strings.TrimLeft(whole, "0"), strings.TrimRight(frac, "0")
	if n.whole == "" && n.frac == "" {
		n.negative = false // there is one nought
	}
	return n, true
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

func (n number) compare(m number) int {
	if n.negative != m.negative {
		if n.negative {
			return -1
		}
		return 1
	}
	c := cmp.Or(cmp.Compare(len(n.whole), len(m.whole)), strings.Compare(n.whole, m.whole), strings.Compare(n.frac, m.frac))
	if n.negative {
		return -c
	}
	return c
}

// instant is a point in time: seconds since 1970 and nanoseconds.
type instant struct {
	seconds int64
	nanos   int
}

func (i instant) compare(j instant) int {
	return cmp.Or(cmp.Compare(i.seconds, j.seconds), cmp.Compare(i.nanos, j.nanos))
}

// parseInstant reads the forms of ISO 8601 that W3C's NOTE-datetime names, from
// a year and month to fractions of a second, or seconds since 1970 ("operators",
// date). Four digits alone are seconds, as they are for AWS: what has neither a
// "-" nor a "T" is epoch time. A time without a zone is UTC.
func parseInstant(s string) (instant, bool) {
	if digits(s) {
		n, err := strconv.ParseInt(s, 10, 64)
		return instant{seconds: n}, err == nil
	}
	date, clock, timed := strings.Cut(strings.ToUpper(s), "T")
	year, month, day, ok := parseDay(date)
	if !ok || timed && (len(date) != len("2006-01-02")) {
		return instant{}, false
	}
	at := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	if at.Day() != day {
		return instant{}, false // 30 February
	}
	i := instant{seconds: at.Unix()}
	if !timed {
		return i, true
	}
	return i.addClock(clock)
}

// parseDay reads YYYY-MM-DD, YYYY-MM or YYYY (which only a time makes a date).
func parseDay(s string) (year, month, day int, ok bool) {
	month, day = 1, 1
	fields := strings.Split(s, "-")
	if len(fields) > 3 {
		return 0, 0, 0, false
	}
	for i, f := range fields {
		n, good := bounded(f, [3]int{4, 2, 2}[i], [3]int{0, 1, 1}[i], [3]int{9999, 12, 31}[i])
		if !good {
			return 0, 0, 0, false
		}
		switch i {
		case 0:
			year = n
		case 1:
			month = n
		case 2:
			day = n
		}
	}
	return year, month, day, true
}

// addClock reads hh:mm, hh:mm:ss or hh:mm:ss.s with a zone Z, ±hh:mm or none.
func (i instant) addClock(s string) (instant, bool) {
	offset := int64(0)
	if zulu, ok := strings.CutSuffix(s, "Z"); ok {
		s = zulu
	} else if at := strings.IndexAny(s, "+-"); at >= 0 {
		h, m, _ := strings.Cut(s[at+1:], ":")
		hours, okH := bounded(h, 2, 0, 23)
		minutes, okM := bounded(m, 2, 0, 59)
		if !okH || !okM {
			return i, false
		}
		offset = int64(hours*3600 + minutes*60)
		if s[at] == '-' {
			offset = -offset
		}
		s = s[:at]
	}
	s, frac, fraction := strings.Cut(s, ".")
	fields := strings.Split(s, ":")
	if len(fields) < 2 || len(fields) > 3 || fraction && (len(fields) != 3 || !digits(frac) || len(frac) > 9) {
		return i, false
	}
	for j, f := range fields {
		n, ok := bounded(f, 2, 0, [3]int{23, 59, 59}[j])
		if !ok {
			return i, false
		}
		i.seconds += int64(n) * [3]int64{3600, 60, 1}[j]
	}
	if fraction {
		i.nanos, _ = strconv.Atoi((frac + "000000000")[:9])
	}
	i.seconds -= offset
	return i, true
}

// bounded reads exactly width digits.
func bounded(s string, width, least, most int) (int, bool) {
	if len(s) != width || !digits(s) {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	return n, err == nil && least <= n && n <= most
}

// parsePrefix reads an address range or an address, which is a range of one
// ("operators", IP address).
func parsePrefix(s string) (netip.Prefix, bool) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return netip.Prefix{}, false
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, false
	}
	if a := p.Addr(); a.Is4In6() {
		if p.Bits() < 96 {
			return netip.Prefix{}, false
		}
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return p, true
}

func parseBool(s string) (value, ok bool) {
	return strings.EqualFold(s, "true"), strings.EqualFold(s, "true") || strings.EqualFold(s, "false")
}
