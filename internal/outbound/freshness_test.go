package outbound

import (
	"net/http"
	"testing"
	"time"
)

func TestFreshness(t *testing.T) {
	now := time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)
	at := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
	const silent = -1
	for name, test := range map[string]struct {
		header http.Header
		want   time.Duration
	}{
		"nothing":                 {http.Header{}, silent},
		"another directive":       {http.Header{"Cache-Control": {"public"}}, silent},
		"max-age":                 {http.Header{"Cache-Control": {"public, Max-Age=120"}}, 2 * time.Minute},
		"in quotes":               {http.Header{"Cache-Control": {`max-age="120"`}}, 2 * time.Minute},
		"a comma in quotes":       {http.Header{"Cache-Control": {`private="a, max-age=5, \"max-age=6", max-age=120`}}, 2 * time.Minute},
		"quotes that do not end":  {http.Header{"Cache-Control": {`max-age=120, private="a, no-store`}}, 2 * time.Minute},
		"two lines":               {http.Header{"Cache-Control": {"public", "max-age=120"}}, 2 * time.Minute},
		"the first of two":        {http.Header{"Cache-Control": {"max-age=120, max-age=5"}}, 2 * time.Minute},
		"of shared caches":        {http.Header{"Cache-Control": {"max-age=120, s-maxage=5"}}, 2 * time.Minute},
		"no-store":                {http.Header{"Cache-Control": {"max-age=120, no-store"}}, 0},
		"no-cache":                {http.Header{"Cache-Control": {`no-cache="set-cookie", max-age=120`}}, 0},
		"negative":                {http.Header{"Cache-Control": {"max-age=-5"}, "Expires": {at(time.Hour)}}, 0},
		"no number":               {http.Header{"Cache-Control": {"max-age=x"}}, 0},
		"no value":                {http.Header{"Cache-Control": {"max-age"}}, 0},
		"with a plus":             {http.Header{"Cache-Control": {"max-age=+5"}}, 0},
		"too large a number":      {http.Header{"Cache-Control": {"max-age=99999999999999999999"}}, 1 << 31 * time.Second},
		"Age":                     {http.Header{"Cache-Control": {"max-age=120"}, "Age": {"50"}}, 70 * time.Second},
		"Age beyond":              {http.Header{"Cache-Control": {"max-age=120"}, "Age": {"500"}}, 0},
		"Age that is no number":   {http.Header{"Cache-Control": {"max-age=120"}, "Age": {"-50"}}, 2 * time.Minute},
		"Date":                    {http.Header{"Cache-Control": {"max-age=120"}, "Date": {at(-time.Minute)}, "Age": {"50"}}, time.Minute},
		"Date of a clock ahead":   {http.Header{"Cache-Control": {"max-age=120"}, "Date": {at(time.Hour)}}, 2 * time.Minute},
		"Expires":                 {http.Header{"Expires": {at(time.Hour)}}, time.Hour},
		"Expires of a clock":      {http.Header{"Date": {at(time.Hour)}, "Expires": {at(2 * time.Hour)}}, time.Hour},
		"Expires with Age":        {http.Header{"Expires": {at(time.Hour)}, "Age": {"600"}}, 50 * time.Minute},
		"Expires in the past":     {http.Header{"Expires": {at(-time.Hour)}}, 0},
		"Expires: 0":              {http.Header{"Expires": {"0"}}, 0},
		"max-age outdoes Expires": {http.Header{"Cache-Control": {"max-age=120"}, "Expires": {at(time.Hour)}}, 2 * time.Minute},
	} {
		life, said := Freshness(test.header, now)
		if !said {
			life = silent
		}
		if life != test.want {
			t.Errorf("%s: %v, want %v", name, life, test.want)
		}
	}
}

func FuzzFreshness(f *testing.F) {
	now := time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)
	f.Add(`max-age=120, private="a\"b"`, "Mon, 02 Nov 2026 11:00:00 GMT", "0", "5")
	f.Add("", "Fri, 31 Dec 9999 00:00:00 GMT", "Mon, 01 Jan 0001 00:00:00 GMT", "99999999999")
	f.Add(`a="\`, "", "", "")
	f.Fuzz(func(t *testing.T, control, date, expires, age string) {
		life, said := Freshness(http.Header{"Cache-Control": {control}, "Date": {date}, "Expires": {expires}, "Age": {age}}, now)
		if life < 0 || !said {
			t.Errorf("%v, %v", life, said)
		}
	})
}
