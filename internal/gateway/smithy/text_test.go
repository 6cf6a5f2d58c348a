package smithy

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestPlainText(t *testing.T) {
	for doc, want := range map[string]string{
		"":                        "",
		"plain  text\n of  lines": "plain text\nof lines",
		"<p>one</p><p>two</p>":    "one\ntwo",
		"a<br/>b<BR>c":            "a\nb\nc",
		"<ul><li>a</li><li><p>b</p><p>c</p></li></ul>":                                  "- a\n- b\nc",
		"<a href=\"https://example.com/x?a=1&amp;b=2\">link</a>, <code>x &lt; y</code>": "link, x < y",
		"1 < 2 and 3 > 2":     "1 < 2 and 3 > 2",
		"a <- b":              "a <- b",
		"cut <b":              "cut <b",
		"<!-- not --> seen":   "seen",
		"<!-- never ends":     "<!-- never ends",
		"&lt;p&gt;":           "<p>",
		"<":                   "<",
		"bad \xff byte":       "bad \uFFFD byte",
		"<li></li><li>x</li>": "- x",
	} {
		if have := plainText(doc, 1000); have != want {
			t.Errorf("%q is %q, want %q", doc, have, want)
		}
	}
}

func TestShorten(t *testing.T) {
	for text, want := range map[string]string{
		"short":                "short",
		"One two. Three four.": "One two.",
		"one two three four":   "one two …",
		"onetwothreefourfive":  "onetwothreef …",
		"日本語日本語日本語":            "日本語日 …",
	} {
		have := shorten(text, 12)
		if have != want || !utf8.ValidString(have) {
			t.Errorf("%q is %q, want %q", text, have, want)
		}
	}
}

// TestTextThatEndsNowhere takes a time that grows with the text, and no faster.
func TestTextThatEndsNowhere(t *testing.T) {
	for _, part := range []string{"<!--", "<a", "<", "</", "<!-- <a", "-->", "<a>"} {
		for _, end := range []string{"", ">", "-->"} {
			got := plainText(strings.Repeat(part, 1<<20)+end, 40)
			if short := plainText(strings.Repeat(part, 100)+end, 40); end == "" && got != short {
				t.Errorf("%s: %s, of less %s", part, got, short)
			}
		}
	}
}

func FuzzPlainText(f *testing.F) {
	for _, s := range []string{"<p>a</p>", "a < b", "<!-- x", "&lt;", "<li><p>x", "日<b>本</b>語"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, doc string) {
		text := plainText(doc, 100)
		if !utf8.ValidString(text) || len(text) > 100+len(" …") || strings.Contains(text, "\n\n") {
			t.Errorf("%q is %q", doc, text)
		}
	})
}

func TestTimes(t *testing.T) {
	at := time.Date(2014, 4, 29, 18, 30, 38, 120e6, time.UTC)
	before := time.UnixMilli(-1500).UTC()
	for _, c := range []struct {
		at           time.Time
		format, want string
	}{
		{at, dateTime, "2014-04-29T18:30:38.12Z"},
		{at, httpDate, "Tue, 29 Apr 2014 18:30:38 GMT"},
		{at, epochSeconds, "1398796238.12"},
		{before, epochSeconds, "-1.5"},
		{before, dateTime, "1969-12-31T23:59:58.5Z"},
		{time.Unix(0, 0).UTC(), epochSeconds, "0"},
	} {
		have := writeTime(c.at, c.format)
		if have != c.want {
			t.Errorf("%s as %s is %s, want %s", c.at, c.format, have, c.want)
		}
		if c.format != httpDate && readTime(have, c.format) != writeTime(c.at, dateTime) {
			t.Errorf("%s as %s is read as %s", have, c.format, readTime(have, c.format))
		}
	}
	if have := readTime("Sun, 02 Jan 2000 20:34:56.456 GMT", httpDate); have != "2000-01-02T20:34:56.456Z" {
		t.Errorf("a date with a fraction is %s", have)
	}
	for _, text := range []string{"", "x", "NaN", "1e400", "-1e20"} {
		if _, ok := fromEpoch(text); ok {
			t.Errorf("%q is a time", text)
		}
	}
}
