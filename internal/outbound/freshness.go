package outbound

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Freshness is how long an answer that came at now is fresh by its header, as a
// private cache counts (RFC 9111 4.2); said is false where it says nothing. What
// cannot be read is stale, as is what may not be kept, or not without asking.
func Freshness(h http.Header, now time.Time) (life time.Duration, said bool) {
	date, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		date = now
	}
	limit := ""
	for name, value := range directives(strings.Join(h.Values("Cache-Control"), ",")) {
		switch {
		case name == "no-store" || name == "no-cache":
			return 0, true
		case name == "max-age" && !said: // the first counts
			limit, said = value, true
		}
	}
	switch {
	case said:
		life = seconds(limit)
	case len(h.Values("Expires")) > 0:
		said = true
		if expires, err := http.ParseTime(h.Get("Expires")); err == nil {
			life = max(expires.Sub(date), 0)
		}
	default:
		return 0, false
	}
	return max(life-max(now.Sub(date), seconds(h.Get("Age"))), 0), true
}

// directives yields the names, in lower case, and the values of a Cache-Control
// field. A quoted value may hold commas.
func directives(field string) func(yield func(name, value string) bool) {
	return func(yield func(name, value string) bool) {
		for quoted, from, i := false, 0, 0; i <= len(field); i++ {
			switch {
			case i < len(field) && quoted && field[i] == '\\':
				i++
			case i < len(field) && field[i] == '"':
				quoted = !quoted
			case i >= len(field) || field[i] == ',' && !quoted:
				name, value, _ := strings.Cut(strings.TrimSpace(field[from:min(i, len(field))]), "=")
				if from = i + 1; !yield(strings.ToLower(name), strings.Trim(value, `"`)) {
					return
				}
			}
		}
	}
}

// seconds reads delta-seconds (RFC 9111 1.2.2): what is too large is 2^31, and what
// is no number nothing.
func seconds(text string) time.Duration {
	if text == "" || strings.Trim(text, "0123456789") != "" {
		return 0
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		n = 1 << 31
	}
	return time.Duration(n) * time.Second
}
