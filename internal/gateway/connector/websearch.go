package connector

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/gateway/tool"
	"github.com/outcrop/outcrop/internal/websearch"
)

// Searcher searches the web for a target, as its gateway's role, which must be allowed
// to. The error is a *fault.Error.
type Searcher interface {
	Search(ctx context.Context, s target.Source, q websearch.Query) ([]websearch.Result, error)
}

// unavailable begins as AWS's refusal does.
const unavailable = "Connector integration web-search is not available for this account. This server has no provider of web search: have the operator configure one (webSearch in connectors.json; docs/targets.md, Web search and other connectors)"

// The versions of the connector. Those since filtersSince let callers filter.
const (
	firstVersion  = "1.1.0"
	filtersSince  = "1.2.0"
	usualMax      = 10
	toolName      = "WebSearch"
	domainsName   = "domainFilter"
	domainsOfRule = `^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$`
)

var domainName = regexp.MustCompile(domainsOfRule)

const describeSearch = "Searches the web, and returns extracts of the pages that fit best, with their titles, addresses and dates."

const (
	queryParameter = `"query":{"type":"string","description":"What to search for, in at most 200 characters","minLength":1,"maxLength":200}`
	maxParameter   = `"maxResults":{"type":"integer","description":"How many results there may be","minimum":1,"maximum":25,"default":10}`
	domainList     = `{"type":"array","items":{"type":"string"},"minItems":1,"maxItems":100,"description":"%s"}`
	dateText       = `{"type":"string","description":"%s, such as 2026-01-31T00:00:00Z"}`
)

// inputSchema is what callers may say.
func inputSchema(version string) json.RawMessage {
	filters := ""
	if version >= filtersSince { // there are no more than these two
		filters = `,"filters":{"type":"object","description":"Which results there may be","properties":{` +
			`"domainFilter":{"type":"object","properties":{"include":` + fmt.Sprintf(domainList, "Only results of these domains and their subdomains") +
			`,"exclude":` + fmt.Sprintf(domainList, "No results of these domains and their subdomains") + `}},` +
			`"publishedDateFilter":{"type":"object","properties":{"from":` + fmt.Sprintf(dateText, "Only what was published then or later") +
			`,"to":` + fmt.Sprintf(dateText, "Only what was published then or earlier") + `}}}}`
	}
	return json.RawMessage(`{"type":"object","properties":{` + queryParameter + `,` + maxParameter + filters + `},"required":["query"]}`)
}

const outputSchema = `{"type":"object","properties":{"id":{"type":"string"},"results":{"type":"array","items":{"type":"object","properties":{` +
	`"text":{"type":"string"},"url":{"type":"string"},"title":{"type":"string"},"publishedDate":{"type":"string"}},"required":["text"]}}},"required":["results"]}`

// search is the tool as a target has it.
type search struct {
	shaped  shaped
	filters bool // callers may filter
	domains domains
}

// domains are a list of what results may be of, and one of what they may not.
type domains struct {
	Include []string `json:"include"`
	Exclude []string `json:"exclude"`
}

func (d domains) check() error {
	for name, list := range map[string][]string{"include": d.Include, "exclude": d.Exclude} {
		if list != nil && len(list) == 0 || len(list) > websearch.MaxDomains {
			return fmt.Errorf("%s.%s has %d domains; it may have 1 to %d", domainsName, name, len(list), websearch.MaxDomains)
		}
		for _, one := range list {
			if len(one) > 253 || !domainName.MatchString(one) {
				return fmt.Errorf("%s.%s: '%s' is no domain, such as example.com", domainsName, name, clip(one))
			}
		}
	}
	return nil
}

// searchTool reads what a target says of web search. The error is a *problem.
func searchTool(of *agentcorecontrol.ConnectorTargetConfiguration) (search, error) {
	version := wire.Text(of.Source.Version)
	switch version {
	case "":
		version = filtersSince
	case firstVersion, filtersSince:
	default:
		return search{}, &problem{versionField, fmt.Sprintf("%s has the versions %s and %s, not '%s'", WebSearch, firstVersion, filtersSince, clip(version))}
	}
	out := search{filters: version == filtersSince}
	mine := *of
	mine.Configurations = slices.Clone(of.Configurations)
	for i := range mine.Configurations {
		if err := out.takeDomains(&mine.Configurations[i], version, fmt.Sprintf("%s.%d.member.parameterValues", configsField, i+1)); err != nil {
			return search{}, err
		}
	}
	var err error
	out.shaped, err = shape(&mine, []tool.Tool{{
		Name: toolName, Description: describeSearch, InputSchema: inputSchema(version), OutputSchema: json.RawMessage(outputSchema),
		Annotations: json.RawMessage(`{"readOnlyHint":true,"openWorldHint":true}`),
	}})
	if err != nil {
		return search{}, err
	}
	return out, out.checkValues()
}

// takeDomains takes the target's own filter out of the values of its parameters: callers
// never see it, and filter what it leaves.
func (s *search) takeDomains(c *agentcorecontrol.ConnectorConfiguration, version, at string) error {
	values := map[string]json.RawMessage{}
	if len(c.ParameterValues) == 0 || json.Unmarshal(c.ParameterValues, &values) != nil {
		return nil // shape says what is wrong
	}
	text, ok := values[domainsName]
	if !ok {
		return nil
	}
	if err := strictly(text, &s.domains); err != nil {
		return &problem{at, domainsName + ": it is not an object with include and exclude, lists of domains"}
	}
	if err := s.domains.check(); err != nil {
		return &problem{at, err.Error()}
	}
	if s.domains.Include != nil && !s.filters {
		return &problem{at, fmt.Sprintf("%s.include is of version %s; name that in source.version in the place of %s, or leave both out", domainsName, filtersSince, version)}
	}
	delete(values, domainsName)
	rest, err := json.Marshal(values)
	c.ParameterValues = rest
	return err
}

// checkValues holds the values that a target sets against what a call may say.
func (s *search) checkValues() error {
	if len(s.shaped.rules) == 0 {
		return nil
	}
	r := s.shaped.rules[toolName]
	probe := map[string]json.RawMessage{}
	maps.Copy(probe, r.Fixed)
	maps.Copy(probe, r.Defaults)
	if probe["query"] == nil {
		probe["query"] = json.RawMessage(`"x"`)
	}
	text, err := json.Marshal(probe)
	if err != nil {
		return err
	}
	if _, err := s.query(text); err != nil {
		return &problem{configsField + ".1.member.parameterValues", err.Error()}
	}
	return nil
}

// arguments are those of a call.
type arguments struct {
	Query   *string      `json:"query"`
	Max     *json.Number `json:"maxResults"`
	Filters *struct {
		Domains   *domains `json:"domainFilter"`
		Published *struct {
			From *string `json:"from"`
			To   *string `json:"to"`
		} `json:"publishedDateFilter"`
	} `json:"filters"`
}

// query makes a query of the arguments of a call; nothing is left of one that can find
// nothing.
func (s *search) query(text json.RawMessage) (*websearch.Query, error) {
	var in arguments
	if len(text) > 0 {
		if err := strictly(text, &in); err != nil {
			return nil, err
		}
	}
	q := &websearch.Query{Max: usualMax}
	if in.Query != nil {
		q.Text = strings.TrimSpace(*in.Query)
	}
	switch n := utf8.RuneCountInString(q.Text); {
	case n == 0:
		return nil, errors.New("query is missing")
	case n > websearch.MaxText:
		return nil, fmt.Errorf("query has %d characters; it may have at most %d", n, websearch.MaxText)
	}
	if in.Max != nil {
		n, err := in.Max.Float64() // models write 5.0, too
		if q.Max = int(n); err != nil || float64(q.Max) != n || q.Max < 1 || q.Max > websearch.MaxResults {
			return nil, fmt.Errorf("maxResults is %s; it must be a whole number from 1 to %d", clip(in.Max.String()), websearch.MaxResults)
		}
	}
	theirs := domains{}
	if f := in.Filters; f != nil {
		if !s.filters {
			return nil, fmt.Errorf("filters are of version %s of the connector, and the target has %s", filtersSince, firstVersion)
		}
		if f.Domains != nil {
			theirs = *f.Domains
		}
		if err := theirs.check(); err != nil {
			return nil, fmt.Errorf("filters.%w", err)
		}
		if p := f.Published; p != nil {
			var err error
			if q.After, err = moment(p.From, 0); err == nil {
				q.Before, err = moment(p.To, 24*time.Hour-time.Nanosecond)
			}
			if err != nil {
				return nil, fmt.Errorf("filters.publishedDateFilter: %w", err)
			}
			if !q.After.IsZero() && !q.Before.IsZero() && q.Before.Before(q.After) {
				return nil, errors.New("filters.publishedDateFilter: to is earlier than from")
			}
		}
	}
	q.Exclude = append(slices.Clone(s.domains.Exclude), theirs.Exclude...)
	include, some := websearch.Both(s.domains.Include, theirs.Include)
	if q.Include = include; !some {
		return nil, nil
	}
	return q, nil
}

// moment reads a time, or a day, which is as much later.
func moment(text *string, later time.Duration) (time.Time, error) {
	if text == nil {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, *text); err == nil {
		return t.UTC(), nil
	}
	if t, err := time.Parse(time.DateOnly, *text); err == nil {
		return t.Add(later), nil
	}
	return time.Time{}, fmt.Errorf("'%s' is no time, such as 2026-01-31T00:00:00Z, nor a day, such as 2026-01-31", clip(*text))
}

// strictly reads JSON whose members are all known.
func strictly(text []byte, to any) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	err := dec.Decode(to)
	if name, ok := strings.CutPrefix(fmt.Sprint(err), "json: unknown field "); ok {
		return fmt.Errorf("there is no parameter %s", clip(name))
	}
	if kind, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("%s must not be a %s", kind.Field, kind.Value)
	}
	if err != nil {
		return errors.New("the arguments are no JSON object")
	}
	return nil
}

// searching answers the calls of one target.
type searching struct {
	searcher Searcher
	source   target.Source
	tool     search
}

var _ target.Server = (*searching)(nil)

// Close implements target.Server.
func (*searching) Close() error { return nil }

// found is the wire's result of a search.
type found struct {
	ID      string     `json:"id"`
	Results []foundOne `json:"results"`
}

type foundOne struct {
	Text      string `json:"text"`
	URL       string `json:"url,omitempty"`
	Title     string `json:"title,omitempty"`
	Published string `json:"publishedDate,omitempty"`
}

// Call implements target.Server.
func (s *searching) Call(ctx context.Context, c target.Call) (target.Result, error) {
	if s.searcher == nil {
		return target.Result{}, target.Fail(exception, nil, "%s", unavailable)
	}
	r, ok := s.tool.shaped.rules[c.Tool]
	if !ok {
		return target.Result{}, target.Fail("ResourceNotFoundException", nil, "The target has no tool '%s'", clip(c.Tool))
	}
	given, err := r.apply(c.Arguments)
	if err != nil {
		return target.Result{}, badArguments(err)
	}
	q, err := s.tool.query(given)
	if err != nil {
		return target.Result{}, badArguments(err)
	}
	var results []websearch.Result
	if q != nil {
		if results, err = s.searcher.Search(ctx, s.source, *q); err != nil {
			return target.Result{}, searchFailure(ctx, err)
		}
	}
	return answer(c.RequestID, results)
}

// exception is the type of failures of web search.
const exception = "WebSearchException"

func searchFailure(ctx context.Context, err error) error {
	f := fault.From(err)
	switch {
	case ctx.Err() != nil:
		return target.Fail(exception, err, "The caller left before the search was over")
	case f.Code == "ThrottlingException":
		out := target.Fail(f.Code, err, "%s - %s", f.Code, f.Message)
		out.Shown = true // whoever called can wait
		return out
	case f.Code == "AccessDeniedException":
		return target.Fail(f.Code, err, "Access denied while searching the web as the gateway's role. %s", f.Message)
	}
	return target.Fail(exception, err, "%s - %s", exception, f.Message)
}

// idLength is how long the id of a search is.
const idLength = 8

// answer writes the results of a search as its tool returns them.
func answer(id string, results []websearch.Result) (target.Result, error) {
	out := found{ID: id[:min(len(id), idLength)], Results: make([]foundOne, 0, len(results))}
	for _, r := range results {
		one := foundOne{Text: r.Text, URL: r.URL, Title: r.Title}
		if !r.Published.IsZero() {
			one.Published = r.Published.Format(time.DateOnly)
		}
		out.Results = append(out.Results, one)
	}
	text, err := json.Marshal(out)
	if err != nil {
		return target.Result{}, err
	}
	type content struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	body, err := json.Marshal(struct {
		IsError    bool            `json:"isError"`
		Content    []content       `json:"content"`
		Structured json.RawMessage `json:"structuredContent"`
	}{Content: []content{{"text", string(text)}}, Structured: text})
	return target.Result{Body: body}, err
}
