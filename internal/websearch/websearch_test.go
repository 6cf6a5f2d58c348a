package websearch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/settings"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const key = "key-of-the-provider"

var now = time.Date(2026, 4, 1, 12, 0, 0, 0, time.UTC)

// searcher asks a handler in the place of a provider.
func searcher(t testing.TB, kind string, h http.HandlerFunc, change ...func(*Config)) *Searcher {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c := Config{Type: kind, URL: s.URL + "/base/"}
	if engines()[kind].keyed {
		c.APIKeyEnv = "KEY"
	}
	for _, f := range change {
		f(&c)
	}
	var p settings.Problems
	if c.Check("webSearch", &p); p.Err() != nil {
		t.Fatal(p.Err())
	}
	out, err := New(c, Options{Host: settings.Host{Getenv: func(string) string { return key }}, Client: s.Client(), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(out.Close)
	return out
}

func day(text string) time.Time {
	t, _ := time.Parse(time.DateOnly, text)
	return t
}

// shown is what a search found, a line for each result.
func shown(list []Result) string {
	var out strings.Builder
	for _, r := range list {
		published := "-"
		if !r.Published.IsZero() {
			published = r.Published.Format(time.RFC3339)
		}
		fmt.Fprintf(&out, "%s %s %q %q\n", r.URL, published, r.Title, r.Text)
	}
	return out.String()
}

// TestProviders holds what each provider is asked, and what is made of an answer as it
// documents it.
func TestProviders(t *testing.T) {
	filtered := Query{Text: "granite rocks", Max: 5, Include: []string{"wikipedia.org", "Example.com"}, Exclude: []string{"shop.example.com"}, After: day("2026-01-01"), Before: day("2026-03-31")}
	for _, tt := range []struct {
		kind, asked string
		query       Query
		want        string
	}{
		{"searxng", "GET /base/search?format=json&pageno=1&q=granite", Query{Text: "granite", Max: 2},
			"https://en.wikipedia.org/wiki/Granite - \"Granite\" \"Granite is a coarse-grained rock.\"\n" +
				"https://news.example.com/quarry 2026-03-04T05:06:07Z \"A quarry & its granite\" \"A quarry & its granite\"\n"},
		{"searxng", "GET /base/search?format=json&pageno=1&q=granite+rocks+site%3Awikipedia.org+OR+site%3AExample.com+-site%3Ashop.example.com&time_range=year", filtered,
			"https://news.example.com/quarry 2026-03-04T05:06:07Z \"A quarry & its granite\" \"A quarry & its granite\"\n"},
		{"brave", "GET /base/res/v1/web/search?count=20&q=granite&result_filter=web&text_decorations=false X-Subscription-Token: key-of-the-provider", Query{Text: "granite", Max: 25},
			"https://en.wikipedia.org/wiki/Granite 2026-02-03T04:05:06Z \"Granite - Wikipedia\" \"Granite is a coarse-grained rock, isn't it?\\nIt forms from magma.\\nIt is hard.\"\n" +
				"https://shop.example.net/granite - \"Countertops\" \"Buy\"\n"},
		{"brave", "GET /base/res/v1/web/search?count=20&freshness=2026-01-01to2026-03-31&q=granite+rocks+site%3Awikipedia.org+OR+site%3AExample.com+-site%3Ashop.example.com&result_filter=web&text_decorations=false X-Subscription-Token: key-of-the-provider", filtered,
			"https://en.wikipedia.org/wiki/Granite 2026-02-03T04:05:06Z \"Granite - Wikipedia\" \"Granite is a coarse-grained rock, isn't it?\\nIt forms from magma.\\nIt is hard.\"\n"},
		{"tavily", `POST /base/search Authorization: Bearer key-of-the-provider {"query":"granite rocks","max_results":20,"include_domains":["wikipedia.org","Example.com"],"exclude_domains":["shop.example.com"],"start_date":"2026-01-01","end_date":"2026-03-31"}`, filtered,
			"https://en.wikipedia.org/wiki/Granite - \"Granite\" \"Granite is a coarse-grained rock.\\nIt forms from magma.\"\n" +
				"https://news.example.com/quarry 2026-03-04T05:06:07Z \"A quarry\" \"News\"\n"},
	} {
		recorded, err := os.ReadFile("testdata/" + tt.kind + ".json")
		if err != nil {
			t.Fatal(err)
		}
		asked := ""
		s := searcher(t, tt.kind, func(w http.ResponseWriter, r *http.Request) {
			if asked != "" { // a further page has nothing
				fmt.Fprint(w, `{"type":"search","results":[]}`)
				return
			}
			body, _ := io.ReadAll(r.Body)
			asked = r.Method + " " + r.URL.RequestURI()
			for _, name := range []string{"Authorization", "X-Subscription-Token"} {
				if v := r.Header.Get(name); v != "" {
					asked += " " + name + ": " + v
				}
			}
			asked = strings.TrimSpace(asked + " " + string(body))
			_, _ = w.Write(recorded)
		})
		found, err := s.Search(t.Context(), tt.query)
		if err != nil {
			t.Error(tt.kind, err)
		}
		if asked != tt.asked {
			t.Errorf("%s was asked\n%s\nwant\n%s", tt.kind, asked, tt.asked)
		}
		if got := shown(found); got != tt.want {
			t.Errorf("%s found\n%swant\n%s", tt.kind, got, tt.want)
		}
	}
}

// TestPages asks on until there is enough, and shows no page twice.
func TestPages(t *testing.T) {
	asked := 0
	s := searcher(t, "searxng", func(w http.ResponseWriter, r *http.Request) {
		asked++
		fmt.Fprintf(w, `{"results":[{"url":"https://a.test/same","title":"t","content":"c"},{"url":"https://a.test/%s","title":"t","content":"c"}]}`, r.URL.Query().Get("pageno"))
	})
	for most, want := range map[int]string{1: "1 of 1", 3: "3 of 2", 25: "4 of 3"} {
		asked = 0
		found, err := s.Search(t.Context(), Query{Text: "x", Max: most})
		if got := fmt.Sprintf("%d of %d", len(found), asked); err != nil || got != want {
			t.Errorf("at most %d: %s %v, want %s", most, got, err, want)
		}
	}
}

// TestFailures names what went wrong, and never the key or what was searched for.
func TestFailures(t *testing.T) {
	status := func(code int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code); fmt.Fprint(w, body) }
	}
	for _, tt := range []struct {
		name, kind string
		h          http.HandlerFunc
		code, want string
	}{
		{"no JSON", "searxng", status(403, "<!doctype html>\n<title>403 Forbidden</title>"), failure, "status 403: it gives no JSON; have its settings.yml list json"},
		{"engines", "searxng", status(200, `{"results":[],"unresponsive_engines":[["google","CAPTCHA"]]}`), failure, "of its engines these did not answer: [[google CAPTCHA]]"},
		{"web page", "searxng", status(200, "<html>"), failure, "no answer of SearXNG: it is a web page"},
		{"other JSON", "searxng", status(200, "{}"), failure, "it has no results"},
		{"key", "brave", status(422, `{"type":"ErrorResponse","error":{"id":"1","status":422,"detail":"The token key-of-the-provider is invalid.","code":"SUBSCRIPTION_TOKEN_INVALID"}}`), failure, "status 422: SUBSCRIPTION_TOKEN_INVALID The token [redacted] is invalid."},
		{"not a search", "brave", status(200, `{"type":"ErrorResponse"}`), failure, "its type is 'ErrorResponse'"},
		{"too many", "brave", status(429, `{"error":{"code":"RATE_LIMITED"}}`), "ThrottlingException", "takes no more searches"},
		{"plan", "tavily", status(432, `{"detail":{"error":"This request exceeds your plan's set usage limit."}}`), failure, "status 432: This request exceeds"},
		{"silent", "tavily", status(500, ``), failure, "status 500: it gave no reason"},
		{"elsewhere", "tavily", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://127.0.0.1:1/")
			w.WriteHeader(307)
		}, failure, "status 307"},
		{"huge", "tavily", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, maxBody+2)) }, failure, "more than 4194304 bytes"},
		{"broken", "tavily", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, failure, "could not be reached, or broke off"},
	} {
		_, err := searcher(t, tt.kind, tt.h).Search(t.Context(), Query{Text: "what I look for", Max: 3})
		f, ok := errors.AsType[*fault.Error](err)
		if !ok || f.Code != tt.code || !strings.Contains(f.Message, tt.want) {
			t.Errorf("%s: %v, want %s with %q", tt.name, err, tt.code, tt.want)
			continue
		}
		if text := fmt.Sprintf("%s %v", err, errors.Unwrap(err)); strings.Contains(text, key) || strings.Contains(text, "look") {
			t.Errorf("%s says %s", tt.name, text)
		}
	}
	gone := make(chan struct{})
	s := searcher(t, "tavily", func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
		close(gone)
	}, func(c *Config) { c.TimeoutSeconds = new(1) })
	if _, err := s.Search(t.Context(), Query{Text: "x", Max: 1}); err == nil || !strings.Contains(err.Error(), "did not answer within 1s") {
		t.Error(err)
	}
	<-gone
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Search(ctx, Query{Text: "x", Max: 1}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestRate begins no more searches a second than the operator says.
func TestRate(t *testing.T) {
	s := searcher(t, "tavily", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"results":[]}`) }, func(c *Config) { c.SearchesPerSecond = new(2.5) })
	clock := now
	s.now = func() time.Time { return clock }
	passed := func() (n int) {
		for range 10 {
			_, err := s.Search(t.Context(), Query{Text: "x", Max: 1})
			if err == nil {
				n++
			} else if !fault.Is(err, "ThrottlingException") || !strings.Contains(err.Error(), "2.5 searches a second") {
				t.Fatal(err)
			}
		}
		return n
	}
	first := passed()
	clock = clock.Add(time.Second)
	if second := passed(); first != 2 || second != 2 {
		t.Errorf("%d and %d searches, want 2 and 2", first, second)
	}
}

// TestFilter holds domains and dates against results.
func TestFilter(t *testing.T) {
	at := func(text string) time.Time { return date(text) }
	for _, tt := range []struct {
		name  string
		query Query
		dates bool
		in    Result
		want  bool
	}{
		{"all", Query{}, false, Result{URL: "https://a.test/", Text: "x"}, true},
		{"subdomain", Query{Include: []string{"a.test"}}, false, Result{URL: "https://B.A.test./", Text: "x"}, true},
		{"not a subdomain", Query{Include: []string{"a.test"}}, false, Result{URL: "https://ba.test/", Text: "x"}, false},
		{"excluded of included", Query{Include: []string{"a.test"}, Exclude: []string{"b.a.test"}}, false, Result{URL: "https://b.a.test/", Text: "x"}, false},
		{"bounds belong", Query{After: at("2026-01-01"), Before: at("2026-01-01")}, false, Result{URL: "https://a.test/", Text: "x", Published: at("2026-01-01")}, true},
		{"too early", Query{After: at("2026-01-02")}, true, Result{URL: "https://a.test/", Text: "x", Published: at("2026-01-01")}, false},
		{"no date", Query{After: at("2026-01-02")}, false, Result{URL: "https://a.test/", Text: "x"}, false},
		{"no date, searched by it", Query{After: at("2026-01-02")}, true, Result{URL: "https://a.test/", Text: "x"}, true},
		{"scheme", Query{}, false, Result{URL: "javascript:alert(1)", Text: "x"}, false},
		{"nothing said", Query{}, false, Result{URL: "https://a.test/"}, false},
	} {
		f := filterOf(tt.query, tt.dates)
		if _, got := f.take(tt.in); got != tt.want {
			t.Errorf("%s: %t", tt.name, got)
		}
	}
	if got, some := Both(nil, []string{}); got != nil || !some { // a list without a domain is none on the wire
		t.Errorf("none and none: %v %t", got, some)
	}
	for _, tt := range []struct{ a, b, want []string }{
		{[]string{"a.test"}, nil, []string{"a.test"}}, {[]string{"A.test", "b.test"}, []string{"x.a.test", "b.test", "c.test"}, []string{"b.test", "x.a.test"}}, {[]string{"a.test"}, []string{"b.test"}, nil},
	} {
		got, some := Both(tt.a, tt.b)
		if !slices.Equal(got, tt.want) || some != (tt.want != nil) {
			t.Errorf("%v and %v: %v %t", tt.a, tt.b, got, some)
		}
	}
}

// TestConfig names what is wrong with a configuration.
func TestConfig(t *testing.T) {
	for text, want := range map[string]string{
		`{}`:                 "webSearch.type is missing: one of brave, searxng, tavily",
		`{"type":"bing"}`:    "webSearch.type is 'bing'; it must be one of brave, searxng, tavily",
		`{"type":"searxng"}`: "webSearch.url is missing, such as http://127.0.0.1:8888",
		`{"type":"brave"}`:   "webSearch needs apiKeyEnv or apiKeyFile",
		`{"type":"searxng","url":"http://u:p@h"}`:                      "webSearch.url must have neither credentials",
		`{"type":"tavily","apiKeyEnv":"tvly-1"}`:                       "webSearch.apiKeyEnv must be the name of a variable",
		`{"type":"tavily","apiKey":"x"}`:                               "never written here",
		`{"type":"searxng","url":"http://h","timeoutSeconds":0}`:       "webSearch.timeoutSeconds is 0",
		`{"type":"searxng","url":"http://h","searchesPerSecond":1e9}`:  "webSearch.searchesPerSecond is 1e+09",
		`{"type":"searxng","url":"http://h","searchesPerSecond":"10"}`: "searchesPerSecond must not be a string",
	} {
		var c Config
		err := settings.Decode([]byte(text), &c)
		if err == nil {
			var p settings.Problems
			c.Check("webSearch", &p)
			err = p.Err()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	if _, err := New(Config{Type: "brave", Key: settings.Key{APIKeyEnv: "NONE"}}, Options{Client: http.DefaultClient, Now: time.Now}); err == nil || !strings.Contains(err.Error(), "the variable NONE is not set") {
		t.Error(err)
	}
}

// FuzzAnswer reads what providers, or whoever answers in their place, may say.
func FuzzAnswer(f *testing.F) {
	for kind := range engines() {
		recorded, err := os.ReadFile("testdata/" + kind + ".json")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(kind, recorded)
	}
	f.Add("searxng", []byte(`{"results":[],"unresponsive_engines":[[]]}`))
	f.Add("brave", []byte(`{"type":"search","web":null}`))
	f.Fuzz(func(t *testing.T, kind string, body []byte) {
		e, ok := engines()[kind]
		if !ok {
			return
		}
		e.explain(body)
		p, err := e.read(body)
		if err != nil {
			return
		}
		keep := filterOf(Query{Exclude: []string{"example.net"}, After: day("2000-01-01")}, e.dates)
		for _, r := range p.results {
			r, ok := keep.take(r)
			if !ok {
				continue
			}
			if r.Text == "" || len(r.Text) > maxResultText+3 || len(r.Title) > maxResultTitle+3 || !strings.HasPrefix(strings.ToLower(r.URL), "http") {
				t.Errorf("%#v", r)
			}
			if y := r.Published.Year(); y < 1 || y > 9999 {
				t.Errorf("published in the year %d", y)
			}
		}
	})
}

func BenchmarkSearch(b *testing.B) {
	recorded, err := os.ReadFile("testdata/brave.json")
	if err != nil {
		b.Fatal(err)
	}
	e := engines()["brave"]
	keep := filterOf(Query{Exclude: []string{"example.net"}}, true)
	for b.Loop() {
		p, err := e.read(recorded)
		if err != nil {
			b.Fatal(err)
		}
		for _, r := range p.results {
			keep.take(r)
		}
	}
}
