package websearch

import (
	"html"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode"

	"github.com/outcrop/outcrop/internal/fault"
)

// The bounds of what a result says, in bytes.
const (
	maxResultText  = 8 << 10
	maxResultTitle = 1 << 10
	maxResultURL   = 2 << 10
)

// filter holds results against a query.
type filter struct {
	include, exclude []string
	after, before    time.Time
	// undated lets results pass whose time is not known.
	undated bool
}

func filterOf(q Query, dates bool) filter {
	return filter{lower(q.Include), lower(q.Exclude), q.After, q.Before, dates || q.After.IsZero() && q.Before.IsZero()}
}

// take makes a result of what a provider found, or leaves it out.
func (f *filter) take(r Result) (Result, bool) {
	u, err := url.Parse(r.URL)
	if err != nil || len(r.URL) > maxResultURL || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" {
		return r, false
	}
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if len(f.include) > 0 && !among(host, f.include) || among(host, f.exclude) {
		return r, false
	}
	switch t := r.Published; {
	case t.IsZero():
		if !f.undated {
			return r, false
		}
	case !f.after.IsZero() && t.Before(f.after), !f.before.IsZero() && t.After(f.before):
		return r, false
	}
	r.Text, r.Title = fault.Clip(plain(r.Text), maxResultText), fault.Clip(plain(r.Title), maxResultTitle)
	if r.Text == "" {
		r.Text = r.Title
	}
	return r, r.Text != ""
}

// among tells whether a host is one of some domains, or below one.
func among(host string, domains []string) bool {
	for _, d := range domains {
		if host == d || strings.HasSuffix(host, d) && host[len(host)-len(d)-1] == '.' {
			return true
		}
	}
	return false
}

// Both are the domains that two lists have in common, where a domain stands for all below
// it. A list that is empty has every one; none in common is reported as false.
func Both(a, b []string) (out []string, ok bool) {
	a, b = lower(a), lower(b)
	if len(a) == 0 || len(b) == 0 {
		return append(a, b...), true
	}
	seen := map[string]bool{}
	for _, pair := range [2][2][]string{{a, b}, {b, a}} {
		for _, d := range pair[0] {
			if !seen[d] && among(d, pair[1]) {
				seen[d] = true
				out = append(out, d)
			}
		}
	}
	return out, len(out) > 0
}

func lower(list []string) (out []string) {
	for _, d := range list {
		out = append(out, strings.ToLower(strings.TrimSuffix(d, ".")))
	}
	return out
}

// markup is what providers set off the words with that were searched for.
var markup = regexp.MustCompile(`</?(?:strong|b|em|i|mark|span|br)\b[^<>]*>`)

// plain is a text without HTML's marks, and with one space where it had many.
func plain(s string) string {
	if strings.ContainsAny(s, "<&") {
		s = html.UnescapeString(markup.ReplaceAllString(s, ""))
	}
	s = strings.ToValidUTF8(s, "")
	var out strings.Builder
	for _, line := range strings.Split(s, "\n") {
		if words := strings.FieldsFunc(line, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }); len(words) > 0 {
			if out.Len() > 0 {
				out.WriteByte('\n')
			}
			out.WriteString(strings.Join(words, " "))
		}
	}
	return out.String()
}

// date reads the forms in which providers say when a page was published, all of them in
// UTC where they name no zone. Anything else is not known.
func date(s string) time.Time {
	s = strings.TrimSpace(s)
	for _, form := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", "2006-01-02T15:04", time.DateOnly, time.RFC1123, time.RFC1123Z} {
		if t, err := time.Parse(form, s); err == nil && t.Year() >= 1 && t.Year() <= 9999 {
			return t.UTC()
		}
	}
	return time.Time{}
}

func clip(s string) string { return fault.Clip(s, 100) }
