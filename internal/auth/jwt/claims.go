package jwt

import (
	"math"
	"strings"
	"time"
)

// skew is how far the clocks of issuers may be off ours (spec/identity.md 7.2).
const skew = 60 * time.Second

// latest is the end of the year 9999, in seconds: the last NumericDate that is
// taken for one.
const latest = 253402300799

// readClaims reads the registered claims (RFC 7519 4.1).
func (p *parsed) readClaims() error {
	var ok [5]bool
	var issued time.Time
	p.issuer, ok[0] = text(p.claims, "iss")
	p.subject, ok[1] = text(p.claims, "sub")
	p.expires, ok[2] = date(p.claims, "exp")
	p.notBefore, ok[3] = date(p.claims, "nbf")
	issued, ok[4] = date(p.claims, "iat")
	if !ok[1] {
		return invalid(NoText, nil)
	}
	if ok != [5]bool{true, true, true, true, true} {
		return invalid(Malformed, errType)
	}
	if p.expires.IsZero() {
		return invalid(NoExpiry, nil)
	}
	if issued.After(p.notBefore) {
		p.notBefore = issued
	}
	return nil
}

// inTime refuses a token before and after its time.
func (p *parsed) inTime(now time.Time) error {
	switch {
	case !now.Before(p.expires.Add(skew)):
		return invalid(Expired, nil)
	case now.Add(skew).Before(p.notBefore):
		return invalid(NotYet, nil)
	}
	return nil
}

// text returns a claim that is a string or is not there.
func text(claims map[string]any, name string) (string, bool) {
	v, there := claims[name]
	s, ok := v.(string)
	return s, ok || !there
}

// date returns a claim that is a NumericDate (RFC 7519 2), or the zero time where it
// is not there.
func date(claims map[string]any, name string) (time.Time, bool) {
	v, there := claims[name]
	if !there {
		return time.Time{}, true
	}
	seconds, ok := v.(float64)
	if !ok || seconds < 0 || seconds > latest || math.IsNaN(seconds) {
		return time.Time{}, false
	}
	whole, part := math.Modf(seconds)
	return time.Unix(int64(whole), int64(part*1e9)), true
}

// words returns the strings of a claim that is one string or a list of them, each
// split at spaces where it may hold several. Anything else holds none.
func words(v any, split bool) []string {
	var out []string
	add := func(s string) {
		if split {
			out = append(out, strings.Fields(s)...)
		} else {
			out = append(out, s)
		}
	}
	switch v := v.(type) {
	case string:
		add(v)
	case []any:
		for _, item := range v {
			if s, ok := item.(string); ok {
				add(s)
			}
		}
	}
	return out
}
