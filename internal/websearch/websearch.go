// Package websearch asks the provider of web search that the operator chose
// (docs/targets.md, "Web search and other connectors"). It knows no wire of ours: the
// operation InvokeWebSearch, and by it the connector web-search of gateways, call it.
//
// What a caller wants of domains and dates is said to the provider as far as it has
// words for it, and held against each result here: a provider that only prefers what it
// is told does not show what was excluded.
package websearch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/outbound"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/settings"
)

// The bounds of a query (InvokeWebSearch of AWS's model).
const (
	// MaxText is in characters.
	MaxText = 200
	// MaxResults is what one search finds at most.
	MaxResults = 25
	// MaxDomains is of each of the two lists of a caller's.
	MaxDomains = 100
)

// Query is what is searched for.
type Query struct {
	Text string
	// Max is how many results there may be, 1 to MaxResults.
	Max int
	// Include are the domains that results must be of, subdomains among them; none is all.
	// Exclude are those that no result is of.
	Include, Exclude []string
	// After and Before bound when a result was published, and belong to the range; the
	// zero time is no bound. A result whose time is not known passes where the provider
	// searches by dates itself, and no other.
	After, Before time.Time
}

// Result is a page that was found.
type Result struct {
	// Text is what the page says that concerns the query.
	Text, URL, Title string
	// Published is the zero time where it is not known.
	Published time.Time
}

const (
	// defaultTimeout bounds a search, with all that the provider is asked for it.
	defaultTimeout = 15 * time.Second
	// DefaultRate is how many searches a second may begin (spec/gateway.md 5.6).
	DefaultRate = 10
	// maxBody bounds an answer of a provider, in bytes.
	maxBody = 4 << 20
)

// Options are what a server gives its Searcher. Client and Now are required.
type Options struct {
	settings.Host
	// Client reaches the provider's URL.
	Client *http.Client
	Now    func() time.Time
}

// Searcher asks one provider. It is safe for concurrent use.
type Searcher struct {
	engine  engine
	base    *url.URL
	key     secret.String
	client  http.Client
	timeout time.Duration
	now     func() time.Time

	rate float64
	mu   sync.Mutex
	left float64 // searches that may begin at once
	at   time.Time
}

// New returns a Searcher of a configuration that Check has passed. The error is about the
// key.
func New(c Config, opt Options) (*Searcher, error) {
	key, err := c.Read(opt.Host)
	if err != nil {
		return nil, err
	}
	e := engines()[c.Type]
	base, err := url.Parse(strings.TrimSuffix(cmp.Or(c.URL, e.url), "/"))
	if err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	s := &Searcher{engine: e, base: base, key: key, client: *opt.Client, timeout: defaultTimeout, now: opt.Now, rate: DefaultRate}
	// An answer that leads elsewhere would take the query and the key there.
	s.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if c.TimeoutSeconds != nil {
		s.timeout = time.Duration(*c.TimeoutSeconds) * time.Second
	}
	if c.SearchesPerSecond != nil {
		s.rate = *c.SearchesPerSecond
	}
	s.left, s.at = max(1, s.rate), s.now()
	return s, nil
}

// Close closes connections that nobody uses.
func (s *Searcher) Close() { s.client.CloseIdleConnections() }

// Search returns what the provider finds, best first.
//
// Errors: a *fault.Error, of which ThrottlingException is worth another attempt later.
func (s *Searcher) Search(ctx context.Context, q Query) ([]Result, error) {
	if err := s.begin(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	keep := filterOf(q, s.engine.dates)
	var out []Result
	seen := map[string]bool{}
	for n := range s.engine.pages {
		p, err := s.page(ctx, q, n)
		if err != nil {
			if len(out) > 0 && !errors.Is(err, context.Canceled) {
				return out, nil // what was found is worth more than the reason why there is no more
			}
			return nil, err
		}
		for _, r := range p.results {
			if r, ok := keep.take(r); ok && !seen[r.URL] {
				seen[r.URL] = true
				if out = append(out, r); len(out) == q.Max {
					return out, nil
				}
			}
		}
		if !p.more {
			break
		}
	}
	return out, nil
}

// begin counts a search.
func (s *Searcher) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	s.left, s.at = min(max(1, s.rate), s.left+now.Sub(s.at).Seconds()*s.rate), now
	if s.left < 1 {
		return fault.Throttled("Web search begins at most %g searches a second on this server. Try again later, or have the operator raise webSearch.searchesPerSecond", s.rate)
	}
	s.left--
	return nil
}

// page asks for the nth page of results, beginning with 0.
func (s *Searcher) page(ctx context.Context, q Query, n int) (page, error) {
	r, err := s.engine.request(ctx, ask{base: s.base, query: q, page: n, now: s.now()})
	if err != nil {
		return page{}, fault.Internal(err)
	}
	r.Header.Set("Accept", "application/json")
	if !s.key.Empty() {
		name, prefix := s.engine.header, ""
		if name == "" {
			name, prefix = "Authorization", "Bearer "
		}
		r.Header.Set(name, prefix+s.key.Reveal())
	}
	resp, err := s.client.Do(r)
	if err != nil {
		return page{}, s.unreached(ctx, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	switch {
	case err != nil:
		return page{}, s.unreached(ctx, err)
	case resp.StatusCode == http.StatusTooManyRequests:
		return page{}, fault.Throttled("The provider of web search takes no more searches for now. Try again later").Because(errors.New(s.said(body)))
	case resp.StatusCode != http.StatusOK:
		return page{}, s.fail(nil, "answered with status %d: %s", resp.StatusCode, s.said(body))
	case len(body) > maxBody:
		return page{}, s.fail(nil, "answered with more than %d bytes", maxBody)
	}
	p, err := s.engine.read(body)
	if err != nil {
		return page{}, s.fail(err, "answered with what is no answer of %s: %s", s.engine.title, err)
	}
	return p, nil
}

// failure is a status of AWS's that clients try again.
const failure = "InternalServerException"

func (s *Searcher) fail(cause error, format string, args ...any) error {
	return fault.New(failure, http.StatusInternalServerError, "The provider of web search %s", fmt.Sprintf(format, args...)).Because(cause)
}

// unreached says why there is no answer. The URL is left out: it has what was searched for.
func (s *Searcher) unreached(ctx context.Context, err error) error {
	err = outbound.WithoutURL(err)
	if refused, ok := errors.AsType[*outbound.Refused](err); ok {
		return s.fail(err, "%s", refused.Error())
	}
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return context.Canceled
	case errors.Is(err, context.DeadlineExceeded), errors.Is(ctx.Err(), context.DeadlineExceeded):
		return s.fail(err, "did not answer within %s", s.timeout)
	}
	return s.fail(err, "could not be reached, or broke off its answer")
}

// maxSaid is how much of an answer that is an error is shown, in bytes.
const maxSaid = 300

// said is what an answer says that is an error, without the key that it may repeat.
func (s *Searcher) said(body []byte) string {
	text := s.engine.explain(body)
	if !s.key.Empty() {
		text = strings.ReplaceAll(text, s.key.Reveal(), "[redacted]")
	}
	if text = plain(text); text == "" {
		return "it gave no reason"
	}
	return fault.Clip(text, maxSaid)
}
