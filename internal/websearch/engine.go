package websearch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// engine is how one kind of provider is asked, and what it answers.
type engine struct {
	title string
	// url is where it is if the configuration does not say, and example is one for those
	// who have to.
	url, example string
	// keyed is set where nobody is answered without a key, and header is what has it;
	// empty is a bearer token.
	keyed  bool
	header string
	// dates is set where the provider leaves out what was published at other times.
	dates bool
	// pages is how many are asked for at most.
	pages   int
	request func(context.Context, ask) (*http.Request, error)
	read    func(body []byte) (page, error)
	// explain finds what an answer that is an error says.
	explain func(body []byte) string
}

// ask is what is asked for.
type ask struct {
	base  *url.URL
	query Query
	page  int
	now   time.Time
}

// page is an answer, and whether another one may follow.
type page struct {
	results []Result
	more    bool
}

// engines are those that there are, by the type in the configuration.
func engines() map[string]engine {
	return map[string]engine{
		// https://docs.searxng.org/dev/search_api.html
		"searxng": {title: "SearXNG", example: "http://127.0.0.1:8888", pages: 3, request: askSearXNG, read: readSearXNG, explain: explainSearXNG},
		// https://api-dashboard.search.brave.com/api-reference/web/search/get
		"brave": {title: "Brave Search", url: "https://api.search.brave.com", keyed: true, header: "X-Subscription-Token", dates: true, pages: 3, request: askBrave, read: readBrave, explain: explainBrave},
		// https://docs.tavily.com/documentation/api-reference/endpoint/search
		"tavily": {title: "Tavily", url: "https://api.tavily.com", keyed: true, dates: true, pages: 1, request: askTavily, read: readTavily, explain: explainTavily},
	}
}

func get(ctx context.Context, base *url.URL, path string, query url.Values) (*http.Request, error) {
	u := *base.JoinPath(path)
	u.RawQuery = query.Encode()
	return http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
}

// The operators of search engines for domains are kept within what is worth to say: more
// than maxSites domains are left to the filter.
const maxSites = 10

// worded is a query with the domains that are wanted or not, as search engines write them,
// as far as they fit into a number of characters.
func worded(q Query, most int) string {
	text := q.Text
	if n := len(q.Include); n > 0 && n <= maxSites {
		if more := text + " site:" + strings.Join(q.Include, " OR site:"); len([]rune(more)) <= most {
			text = more
		}
	}
	for _, d := range q.Exclude[:min(len(q.Exclude), maxSites)] {
		if more := text + " -site:" + d; len([]rune(more)) <= most {
			text = more
		}
	}
	return text
}

// maxWorded bounds a query to SearXNG, which hands it on to engines, in characters.
const maxWorded = 1000

func askSearXNG(ctx context.Context, a ask) (*http.Request, error) {
	q := url.Values{"q": {worded(a.query, maxWorded)}, "format": {"json"}, "pageno": {strconv.Itoa(a.page + 1)}}
	if !a.query.After.IsZero() {
		// The ranges reach from now backwards. One that is too wide loses nothing.
		const day = 24 * time.Hour
		for _, r := range []struct {
			name string
			span time.Duration
		}{{"day", day}, {"month", 28 * day}, {"year", 365 * day}} {
			if a.now.Sub(a.query.After) <= r.span {
				q.Set("time_range", r.name)
				break
			}
		}
	}
	return get(ctx, a.base, "search", q)
}

func readSearXNG(body []byte) (page, error) {
	var answer struct {
		Results *[]struct {
			URL       string  `json:"url"`
			Title     string  `json:"title"`
			Content   *string `json:"content"`
			Published *string `json:"publishedDate"`
		} `json:"results"`
		Silent [][]any `json:"unresponsive_engines"`
	}
	if err := decode(body, &answer); err != nil {
		return page{}, err
	}
	if answer.Results == nil {
		return page{}, errors.New("it has no results")
	}
	if len(*answer.Results) == 0 && len(answer.Silent) > 0 {
		// Nothing was found is something else than nobody has looked.
		return page{}, fmt.Errorf("it found nothing, and of its engines these did not answer: %s", clip(fmt.Sprint(answer.Silent)))
	}
	out := page{more: len(*answer.Results) > 0}
	for _, r := range *answer.Results {
		out.results = append(out.results, Result{Text: text(r.Content), URL: r.URL, Title: r.Title, Published: date(text(r.Published))})
	}
	return out, nil
}

// explainSearXNG knows the mistake that everybody makes first: answers are web pages, and
// what they say is worth nothing.
func explainSearXNG(body []byte) string {
	if bytes.Contains(body, []byte("403 Forbidden")) {
		return "it gives no JSON; have its settings.yml list json among search.formats"
	}
	return ""
}

// The bounds of Brave Search: results of a page, and characters of a query.
const (
	braveCount = 20
	braveQuery = 400
)

func askBrave(ctx context.Context, a ask) (*http.Request, error) {
	q := url.Values{
		"q": {worded(a.query, braveQuery)}, "count": {strconv.Itoa(braveCount)}, "result_filter": {"web"}, "text_decorations": {"false"},
	}
	if a.page > 0 {
		q.Set("offset", strconv.Itoa(a.page))
	}
	if from, to := a.query.After, a.query.Before; !from.IsZero() || !to.IsZero() {
		if from.IsZero() {
			from = time.Unix(0, 0)
		}
		if to.IsZero() {
			to = a.now
		}
		q.Set("freshness", from.UTC().Format(time.DateOnly)+"to"+to.UTC().Format(time.DateOnly))
	}
	return get(ctx, a.base, "res/v1/web/search", q)
}

func readBrave(body []byte) (page, error) {
	var answer struct {
		Type  string `json:"type"`
		Query struct {
			More bool `json:"more_results_available"`
		} `json:"query"`
		Web struct {
			Results []struct {
				Title       string   `json:"title"`
				URL         string   `json:"url"`
				Description *string  `json:"description"`
				Age         *string  `json:"page_age"`
				Extra       []string `json:"extra_snippets"`
			} `json:"results"`
		} `json:"web"` // left out where nothing is found
	}
	if err := decode(body, &answer); err != nil {
		return page{}, err
	}
	if answer.Type != "search" {
		return page{}, fmt.Errorf("its type is '%s', not search", clip(answer.Type))
	}
	out := page{more: answer.Query.More}
	for _, r := range answer.Web.Results {
		said := append([]string{text(r.Description)}, r.Extra...)
		said = slices.DeleteFunc(said, func(s string) bool { return s == "" })
		out.results = append(out.results, Result{Text: strings.Join(said, "\n"), URL: r.URL, Title: r.Title, Published: date(text(r.Age))})
	}
	return out, nil
}

func explainBrave(body []byte) string {
	var answer struct {
		Error struct {
			Code   string `json:"code"`
			Detail string `json:"detail"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return ""
	}
	return strings.TrimSpace(answer.Error.Code + " " + answer.Error.Detail)
}

// tavilyCount is how many results Tavily finds at most; it has no pages.
const tavilyCount = 20

func askTavily(ctx context.Context, a ask) (*http.Request, error) {
	in := struct {
		Query   string   `json:"query"`
		Max     int      `json:"max_results"`
		Include []string `json:"include_domains,omitempty"`
		Exclude []string `json:"exclude_domains,omitempty"`
		Start   string   `json:"start_date,omitempty"`
		End     string   `json:"end_date,omitempty"`
	}{Query: a.query.Text, Max: tavilyCount, Include: a.query.Include, Exclude: a.query.Exclude}
	if t := a.query.After; !t.IsZero() {
		in.Start = t.UTC().Format(time.DateOnly)
	}
	if t := a.query.Before; !t.IsZero() {
		in.End = t.UTC().Format(time.DateOnly)
	}
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, a.base.JoinPath("search").String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	return r, nil
}

func readTavily(body []byte) (page, error) {
	var answer struct {
		Results *[]struct {
			Title     string  `json:"title"`
			URL       string  `json:"url"`
			Content   *string `json:"content"`
			Published *string `json:"published_date"`
		} `json:"results"`
	}
	if err := decode(body, &answer); err != nil {
		return page{}, err
	}
	if answer.Results == nil {
		return page{}, errors.New("it has no results")
	}
	var out page
	for _, r := range *answer.Results {
		out.results = append(out.results, Result{Text: text(r.Content), URL: r.URL, Title: r.Title, Published: date(text(r.Published))})
	}
	return out, nil
}

func explainTavily(body []byte) string {
	var answer struct {
		Detail struct {
			Error string `json:"error"`
		} `json:"detail"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return ""
	}
	return answer.Detail.Error
}

// decode reads an answer that should be JSON. A web page in its place is the commonest
// mistake of an URL.
func decode(body []byte, to any) error {
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")) {
		return errors.New("it is a web page, not JSON")
	}
	if err := json.Unmarshal(body, to); err != nil {
		return errors.New("it is no JSON of that form")
	}
	return nil
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
