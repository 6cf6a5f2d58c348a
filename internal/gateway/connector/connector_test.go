package connector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/gateway/tool"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/settings"
	"github.com/outcrop/outcrop/internal/websearch"
)

// searched is a Searcher that notes what it is asked.
type searched struct {
	asked []websearch.Query
	found []websearch.Result
	err   error
}

func (s *searched) Search(_ context.Context, _ target.Source, q websearch.Query) ([]websearch.Result, error) {
	s.asked = append(s.asked, q)
	return s.found, s.err
}

// library is the driver of a registered connector.
type library struct{ calls []string }

var _ target.Driver = (*library)(nil)

func (l *library) Catalogue(_ context.Context, s target.Source) (target.Catalogue, error) {
	return target.Catalogue{Tools: []tool.Tool{
		{Name: "find", InputSchema: json.RawMessage(`{"type":"object","properties":{"title":{"type":"string"},"year":{"type":"integer"},"shelf":{"type":"object","properties":{"row":{"type":"integer"},"any":true}}},"required":["title","shelf"]}`)},
		{Name: "burn", InputSchema: json.RawMessage(`{"type":"object"}`)},
	}, Prompts: []json.RawMessage{json.RawMessage(`{"name":"p"}`)}, Warnings: []string{"of " + s.Name + " as " + string(s.Kind)}}, nil
}

func (l *library) Open(_ target.Source, c target.Catalogue) (target.Server, error) {
	if len(c.Tools) != 2 {
		return nil, errors.New("it is not its own catalogue")
	}
	return l, nil
}

func (l *library) Call(_ context.Context, c target.Call) (target.Result, error) {
	l.calls = append(l.calls, c.Tool+" "+string(c.Arguments))
	return target.Result{Body: json.RawMessage(`{}`)}, nil
}

func (l *library) Close() error { return nil }

// peerLibrary speaks MCP.
type peerLibrary struct {
	library
	ended string
}

func (l *peerLibrary) Open(target.Source, target.Catalogue) (target.Server, error) { return l, nil }
func (*peerLibrary) Request(context.Context, string, json.RawMessage, target.Call) (json.RawMessage, error) {
	return json.RawMessage(`{}`), nil
}
func (l *peerLibrary) End(_ context.Context, session string) { l.ended = session }

// source is a target of a connector, as the wire's JSON says it.
func source(t testing.TB, text string) target.Source {
	t.Helper()
	var in struct {
		Source         struct{ ConnectorId, Version *string }
		Enabled        []string
		Configurations []struct {
			Name, Description  *string
			ParameterValues    json.RawMessage
			ParameterOverrides []agentcorecontrol.ConnectorParameterOverride
		}
	}
	if err := json.Unmarshal([]byte(text), &in); err != nil {
		t.Fatal(err)
	}
	of := &agentcorecontrol.ConnectorTargetConfiguration{Source: &agentcorecontrol.ConnectorSource{ConnectorId: in.Source.ConnectorId, Version: in.Source.Version}, Enabled: in.Enabled}
	for _, c := range in.Configurations {
		of.Configurations = append(of.Configurations, agentcorecontrol.ConnectorConfiguration{Name: c.Name, Description: c.Description, ParameterValues: jsontext.Value(c.ParameterValues), ParameterOverrides: c.ParameterOverrides})
	}
	return target.Source{Name: "t", Config: &agentcorecontrol.TargetConfiguration{Mcp: &agentcorecontrol.McpTargetConfiguration{Connector: of}}}
}

func served(d target.Driver) Registered {
	return Registered{Driver: d, As: func(s target.Source) target.Source {
		return As(s, "INNER", &agentcorecontrol.TargetConfiguration{}, nil)
	}}
}

// webSearch is a target of web search whose one configuration has these members.
func webSearch(version, members string) string {
	if version != "" {
		version = `,"version":"` + version + `"`
	}
	return `{"source":{"connectorId":"web-search"` + version + `},"configurations":[{"name":"WebSearch"` + members + `}]}`
}

// TestCheck refuses what can be known to be wrong, by member and with the way out.
func TestCheck(t *testing.T) {
	d := Driver{Search: &searched{}, Registered: map[string]Registered{"library": served(&library{})}}
	for text, want := range map[string]string{
		webSearch("", `,"parameterValues":{}`): "",
		webSearch("1.2.0", `,"parameterValues":{"domainFilter":{"include":["a.test"]},"maxResults":5}`):                                 "",
		webSearch("1.1.0", `,"parameterValues":{"domainFilter":{"exclude":["a.test"]}},"parameterOverrides":[{"path":"$.maxResults"}]`): "",
		`{"source":{"connectorId":"web-search"}}`:                                                              "",
		`{"source":{"connectorId":"library"},"enabled":["nothing"]}`:                                           "", // its tools are not known yet
		`{"source":{"connectorId":"library","version":"1.0.0"}}`:                                               "source.version: connector 'library' is the operator's and has no versions",
		`{"source":{"connectorId":"x"}}`:                                                                       "source.connectorId|There is no connector 'x'. There are library",
		`{"source":{"connectorId":"bedrock-agentic-retrieve"}}`:                                                "integration bedrock-agentic-retrieve is not available for this account",
		webSearch("2.0.0", ``):                                                                                 "source.version: web-search has the versions 1.1.0 and 1.2.0",
		webSearch("1.1.0", `,"parameterValues":{"domainFilter":{"include":["a.test"]}}`):                       "include is of version 1.2.0",
		webSearch("", `,"parameterValues":{"domainFilter":{"only":["a.test"]}}`):                               "an object with include and exclude",
		webSearch("", `,"parameterValues":{"domainFilter":{"include":[]}}`):                                    "include has 0 domains",
		webSearch("", `,"parameterValues":{"maxResults":26}`):                                                  "maxResults is 26; it must be a whole number from 1 to 25",
		webSearch("", `,"parameterValues":{"maxResults":"5"}`):                                                 "parameterValues.maxResults: the value is not of the type integer",
		webSearch("", `,"parameterValues":{"language":"en"}`):                                                  "no parameter 'language'. It has filters, maxResults, query",
		webSearch("", `,"parameterValues":[]`):                                                                 "not a JSON object",
		webSearch("", `,"parameterOverrides":[{"path":"maxResults"}]`):                                         "no JSON Pointer",
		webSearch("", `,"parameterOverrides":[{"path":"/filters/language"}]`):                                  "no parameter 'filters.language'; beside it there are domainFilter, publishedDateFilter",
		webSearch("", `,"parameterOverrides":[{"path":"/query","visible":false}]`):                             "'query' is required and cannot be hidden",
		`{"source":{"connectorId":"web-search"},"enabled":["Search"]}`:                                         "enabled.1.member: the connector has no tool 'Search'. It has WebSearch",
		`{"source":{"connectorId":"web-search"},"configurations":[{"name":"WebSearch"},{"name":"WebSearch"}]}`: "configurations.2.member.name: the tool 'WebSearch' is configured twice",
	} {
		err := d.Check(source(t, text).Config, nil)
		f, _ := errors.AsType[*fault.Error](err)
		switch {
		case want == "" && err != nil, want != "" && f == nil:
			t.Errorf("%s: %v, want %q", text, err, want)
		case want != "":
			for _, part := range strings.Split(want, "|") {
				if !strings.Contains(f.Message+f.Fields[0].Name, part) {
					t.Errorf("%s: %s %s, want %q", text, f.Fields[0].Name, f.Message, part)
				}
			}
		}
	}
	if err := (Driver{}).Check(source(t, webSearch("", "")).Config, nil); err == nil || !strings.Contains(err.Error(), "Connector integration web-search is not available for this account.") || !strings.Contains(err.Error(), "connectors.json") {
		t.Error(err)
	}
	key := &agentcorecontrol.CredentialProviderConfiguration{CredentialProviderType: new(agentcorecontrol.CredentialProviderTypeAPI_KEY)}
	if err := d.Check(source(t, webSearch("", "")).Config, key); err == nil || !strings.Contains(err.Error(), "only supports GATEWAY_IAM_ROLE") {
		t.Error(err)
	}
}

// open makes the server of a target, by the catalogue that its driver makes of it.
func open(t testing.TB, d target.Driver, s target.Source) (target.Server, target.Catalogue) {
	t.Helper()
	c, err := d.Catalogue(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(c) // as it is kept
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err != nil {
		t.Fatal(err)
	}
	out, err := d.Open(s, c)
	if err != nil {
		t.Fatal(err)
	}
	return out, c
}

// TestWebSearch holds what calls of the tool search for.
func TestWebSearch(t *testing.T) {
	days := func(from, to string) (a, b time.Time) {
		a, _ = time.Parse(time.RFC3339Nano, from)
		b, _ = time.Parse(time.RFC3339Nano, to)
		return a, b
	}
	from, to := days("2026-01-01T00:00:00Z", "2026-01-31T23:59:59.999999999Z")
	const own = `,"parameterValues":{"domainFilter":{"include":["a.test","b.test"],"exclude":["x.test"]}}`
	for _, tt := range []struct {
		config, arguments string
		want              any // websearch.Query, a text of a refusal, or nil where nobody is asked
	}{
		{webSearch("", ""), `{"query":" granite "}`, websearch.Query{Text: "granite", Max: 10}},
		{webSearch("1.1.0", ""), `{"query":"granite","maxResults":25.0}`, websearch.Query{Text: "granite", Max: 25}},
		{webSearch("", `,"parameterValues":{"maxResults":3}`), `{"query":"granite"}`, websearch.Query{Text: "granite", Max: 3}},
		{webSearch("", `,"parameterValues":{"maxResults":3},"parameterOverrides":[{"path":"/maxResults","visible":true}]`), `{"query":"granite","maxResults":4}`, websearch.Query{Text: "granite", Max: 4}},
		{webSearch("", own), `{"query":"granite","filters":{"domainFilter":{"include":["docs.a.test","c.test"],"exclude":["y.test"]},"publishedDateFilter":{"from":"2026-01-01","to":"2026-01-31"}}}`,
			websearch.Query{Text: "granite", Max: 10, Include: []string{"docs.a.test"}, Exclude: []string{"x.test", "y.test"}, After: from, Before: to}},
		{webSearch("", own), `{"query":"granite","filters":{"domainFilter":{"include":["c.test"]}}}`, nil},
		{webSearch("", ""), `{}`, "query is missing"},
		{webSearch("", ""), `{"query":"x","maxResults":0}`, "maxResults is 0"},
		{webSearch("", ""), `{"query":"x","maxResults":1.5}`, "maxResults is 1.5"},
		{webSearch("", ""), `{"query":"x","count":5}`, `there is no parameter "count"`},
		{webSearch("", ""), `{"query":5}`, "query must not be a number"},
		{webSearch("", ""), `[]`, "must not be"},
		{webSearch("", ""), `{"query":"x","filters":{"domainFilter":{"include":["https://a.test"]}}}`, "filters.domainFilter.include: 'https://a.test' is no domain"},
		{webSearch("", ""), `{"query":"x","filters":{"publishedDateFilter":{"from":"yesterday"}}}`, "'yesterday' is no time"},
		{webSearch("", ""), `{"query":"x","filters":{"publishedDateFilter":{"from":"2026-02-01","to":"2026-01-01"}}}`, "to is earlier than from"},
		{webSearch("1.1.0", ""), `{"query":"x","filters":{}}`, "filters are of version 1.2.0"},
		{webSearch("", `,"parameterOverrides":[{"path":"/filters/publishedDateFilter","visible":false}]`), `{"query":"x","filters":{"publishedDateFilter":{}}}`, "filters.publishedDateFilter is not the caller's to set"},
		{webSearch("", `,"parameterOverrides":[{"path":"/filters/publishedDateFilter","visible":false}]`), `{"query":"x","Filters":{"PUBLISHEDDATEFILTER":{}}}`, "filters.publishedDateFilter is not the caller's to set"},
		{webSearch("", `,"parameterValues":{"maxResults":3}`), `{"query":"x","maxresults":25}`, "maxResults is not the caller's to set"},
	} {
		s := &searched{}
		server, _ := open(t, Driver{Search: s}, source(t, tt.config))
		result, err := server.Call(t.Context(), target.Call{Tool: "WebSearch", Arguments: json.RawMessage(tt.arguments), RequestID: "0123456789"})
		if refusal, ok := tt.want.(string); ok {
			f, _ := errors.AsType[*target.Failure](err)
			if f == nil || !f.Shown || !strings.Contains(f.Text, refusal) || len(s.asked) > 0 {
				t.Errorf("%s: %v, want %s", tt.arguments, err, refusal)
			}
			continue
		}
		asked := fmt.Sprint(s.asked)
		want := "[]"
		if tt.want != nil {
			want = fmt.Sprintf("[%v]", tt.want)
		}
		if err != nil || asked != want {
			t.Errorf("%s of %s asks %s %v, want %s", tt.arguments, tt.config, asked, err, want)
		}
		if got := string(result.Body); got != `{"isError":false,"content":[{"type":"text","text":"{\"id\":\"01234567\",\"results\":[]}"}],"structuredContent":{"id":"01234567","results":[]}}` {
			t.Error(got)
		}
	}
}

// TestFound holds the form of results, and of failures.
func TestFound(t *testing.T) {
	s := &searched{found: []websearch.Result{{Text: "a <b>", URL: "https://a.test/", Title: "A", Published: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}, {Text: "b"}}}
	server, c := open(t, Driver{Search: s}, source(t, webSearch("", `,"description":"Ask"`)))
	call := target.Call{Tool: "WebSearch", Arguments: json.RawMessage(`{"query":"x"}`), RequestID: "r"}
	got, err := server.Call(t.Context(), call)
	const want = `"structuredContent":{"id":"r","results":[{"text":"a \u003cb\u003e","url":"https://a.test/","title":"A","publishedDate":"2026-01-02"},{"text":"b"}]}}`
	if err != nil || !strings.HasSuffix(string(got.Body), want) {
		t.Errorf("%s %v, want %s", got.Body, err, want)
	}
	if c.Tools[0].Description != "Ask" || !json.Valid(c.Tools[0].OutputSchema) || !json.Valid(c.Tools[0].InputSchema) {
		t.Errorf("%+v", c.Tools[0])
	}
	for _, tt := range []struct {
		err   error
		shown bool
		want  string
	}{
		{fault.Throttled("wait"), true, "ThrottlingException - wait"},
		{fault.Denied("nobody allows it"), false, "Access denied while searching the web as the gateway's role. nobody allows it"},
		{fault.New("InternalServerException", http.StatusInternalServerError, "it is off"), false, "WebSearchException - it is off"},
	} {
		s.err = tt.err
		_, err := server.Call(t.Context(), call)
		f, _ := errors.AsType[*target.Failure](err)
		if f == nil || f.Shown != tt.shown || f.Text != tt.want {
			t.Errorf("%v becomes %v", tt.err, err)
		}
	}
	if _, err := server.Call(t.Context(), target.Call{Tool: "Other"}); err == nil {
		t.Error("a tool that is not there is called")
	}
}

// TestRegistered holds the calls of an operator's connector to what its target says.
func TestRegistered(t *testing.T) {
	l := &library{}
	d := Driver{Registered: map[string]Registered{"library": served(l)}}
	server, c := open(t, d, source(t, `{"source":{"connectorId":"library"},"enabled":["find"],"configurations":[{"name":"find","description":"Finds","parameterValues":{"shelf":{"row":1},"year":1990},
		"parameterOverrides":[{"path":"/year","visible":true,"description":"When"},{"path":"$.title","visible":true}]}]}`))
	if len(c.Tools) != 1 || len(c.Prompts) != 0 || len(c.Warnings) != 1 || c.Warnings[0] != "of t as INNER" {
		t.Errorf("%+v", c)
	}
	if got := c.Tools[0].Description + string(c.Tools[0].InputSchema); got != `Finds{"properties":{"title":{"type":"string"},"year":{"default":1990,"description":"When","type":"integer"}},"required":["title"],"type":"object"}` {
		t.Error(got)
	}
	for _, arguments := range []string{`{"title":"a"}`, `{"title":"a","year":2000}`, ``, `{"shelf":{"row":2}}`, `7`} {
		_, err := server.Call(t.Context(), target.Call{Tool: "find", Arguments: json.RawMessage(arguments)})
		if err != nil {
			l.calls = append(l.calls, err.Error())
		}
	}
	if _, err := server.Call(t.Context(), target.Call{Tool: "burn"}); err == nil {
		t.Error("a tool is called that is not enabled")
	}
	const want = `find {"shelf":{"row":1},"title":"a","year":1990}
find {"shelf":{"row":1},"title":"a","year":2000}
find {"shelf":{"row":1},"year":1990}
Parameter validation failed: the argument shelf is not the caller's to set; leave it out
Parameter validation failed: the arguments are no JSON object`
	if got := strings.Join(l.calls, "\n"); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	for text, want := range map[string]string{
		`{"source":{"connectorId":"library"},"enabled":["x"]}`: "no tool 'x'. It has find, burn",
		`{"source":{"connectorId":"gone"}}`:                    "There is no connector 'gone'",
		`{"source":{"connectorId":"library"},"configurations":[{"name":"find","parameterOverrides":[{"path":"/shelf/any","visible":false},{"path":"/shelf/row/x"}]}]}`: "no parameter 'shelf.row.x'",
	} {
		_, err := d.Catalogue(t.Context(), source(t, text))
		if unfit, ok := errors.AsType[*target.Unfit](err); !ok || !strings.Contains(unfit.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	p := &peerLibrary{}
	server, _ = open(t, Driver{Registered: map[string]Registered{"library": served(p)}}, source(t, `{"source":{"connectorId":"library"}}`))
	peer := server.(target.Peer)
	if _, err := peer.Request(t.Context(), "prompts/get", nil, target.Call{}); err == nil {
		t.Error("a connector has prompts")
	}
	if peer.End(t.Context(), "s"); p.ended != "s" {
		t.Error("sessions are not ended")
	}
}

// TestHTTP fills the URL of an operator's endpoint with the parameters of a target.
func TestHTTP(t *testing.T) {
	var opened []string
	d := HTTPDriver{Registered: map[string]Endpoint{"crm": {URL: "https://crm.test/api/{tenant}/v1", Kind: "PASSTHROUGH", Driver: endpoints{&opened}}}}
	config := func(id string, parameters map[string]string) *agentcorecontrol.TargetConfiguration {
		return &agentcorecontrol.TargetConfiguration{Http: &agentcorecontrol.HttpTargetConfiguration{Connector: &agentcorecontrol.HttpConnectorTargetConfiguration{Source: &agentcorecontrol.HttpConnectorSource{ConnectorId: &id}, Parameters: parameters}}}
	}
	for _, tt := range []struct {
		id    string
		given map[string]string
		want  string
	}{
		{"crm", map[string]string{"tenant": "a b?c"}, ""},
		{"crm", nil, "the parameter 'tenant' is missing; the connector has tenant"},
		{"crm", map[string]string{"tenant": "a", "other": "b"}, "no parameter 'other'; it has tenant"},
		{"crm", map[string]string{"tenant": ".."}, "one piece of a path"},
		{"crm", map[string]string{"tenant": ""}, "one piece of a path"},
		{"crm", map[string]string{"tenant": "a/b"}, "one piece of a path"},
		{"agentcore-memory", nil, "the Memory service, which|There are crm"},
	} {
		err := d.Check(config(tt.id, tt.given), nil)
		if tt.want == "" {
			if err != nil {
				t.Error(err)
			}
			if _, err := d.Open(target.Source{Config: config(tt.id, tt.given)}, target.Catalogue{}); err != nil {
				t.Error(err)
			}
			continue
		}
		for _, part := range strings.Split(tt.want, "|") {
			if err == nil || !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(part)) {
				t.Errorf("%s %v: %v, want %s", tt.id, tt.given, err, part)
			}
		}
	}
	if got := fmt.Sprint(opened); got != "[PASSTHROUGH https://crm.test/api/a%20b%3Fc/v1]" {
		t.Error(got)
	}
}

// endpoints is the driver of HTTP endpoints.
type endpoints struct{ opened *[]string }

func (endpoints) Catalogue(context.Context, target.Source) (target.Catalogue, error) {
	return target.Catalogue{}, nil
}

func (e endpoints) Open(s target.Source, _ target.Catalogue) (target.Server, error) {
	*e.opened = append(*e.opened, string(s.Kind)+" "+*s.Config.Http.Passthrough.Endpoint)
	return nil, nil
}

// TestConfig names what is wrong with an operator's connectors.
func TestConfig(t *testing.T) {
	for text, want := range map[string]string{
		`{"a":{"type":"mcp","url":"https://a.test/mcp"},"b":{"type":"openapi","document":"b.yaml","apiKeyEnv":"B"},"c":{"type":"http","url":"https://c.test/{x}/y","header":"X-Key","apiKeyFile":"f"}}`: "",
		`{"web-search":{"type":"mcp","url":"https://a.test"}}`: "connectors.web-search is this server's own",
		`{"A b":{"type":"mcp","url":"https://a.test"}}`:        "is no id",
		`{"a":{}}`:                                                   "connectors.a.type is missing: mcp, openapi or http",
		`{"a":{"type":"lambda"}}`:                                    "connectors.a.type is 'lambda'",
		`{"a":{"type":"mcp"}}`:                                       "connectors.a.url is missing",
		`{"a":{"type":"mcp","url":"a.test"}}`:                        "connectors.a.url must be an http or https URL",
		`{"a":{"type":"mcp","url":"https://a.test/{x}"}}`:            "connectors.a.url has parameters",
		`{"a":{"type":"http","url":"https://{x}.test/"}}`:            "connectors.a.url has a parameter outside of its path",
		`{"a":{"type":"http","url":"https://a.test/v{x}"}}`:          "stands alone between slashes",
		`{"a":{"type":"openapi"}}`:                                   "connectors.a.document is missing",
		`{"a":{"type":"openapi","document":"d","url":"https://x"}}`:  "connectors.a.url is not of type openapi",
		`{"a":{"type":"mcp","url":"https://a.test","header":"X"}}`:   "connectors.a.header is for a key",
		`{"a":{"type":"mcp","url":"https://a.test","document":"d"}}`: "connectors.a.document is of type openapi alone",
	} {
		var all map[string]Config
		if err := settings.Decode([]byte(text), &all); err != nil {
			t.Fatal(err)
		}
		var p settings.Problems
		Check(all, "connectors", &p)
		if err := p.Err(); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// TestKey shows the operator's key, and not in the place of what an interceptor has set.
func TestKey(t *testing.T) {
	for _, tt := range []struct {
		header      string
		intercepted bool
		want        string
	}{{"", false, "map[Authorization:[Bearer k]]"}, {"X-Key", true, "map[X-Key:[k]]"}, {"", true, "map[]"}} {
		r := &http.Request{Header: http.Header{}}
		if err := (Key{tt.header, secret.NewString("k")}).Apply(t.Context(), r, &target.Call{Intercepted: tt.intercepted}); err != nil || fmt.Sprint(r.Header) != tt.want {
			t.Errorf("%v %v %v", tt, r.Header, err)
		}
	}
}

// FuzzCall calls web search and a registered connector with any configuration and
// arguments.
func FuzzCall(f *testing.F) {
	f.Add(`{"maxResults":3,"domainFilter":{"include":["a.test"]}}`, "/maxResults", true, `{"query":"x","filters":{"publishedDateFilter":{"to":"2026-01-01"}}}`)
	f.Add(`{"shelf":{"row":1}}`, "$.shelf.any", false, `{"title":"x"}`)
	f.Fuzz(func(t *testing.T, values, path string, visible bool, arguments string) {
		for name, id := range map[string]string{"WebSearch": WebSearch, "find": "library"} {
			of := &agentcorecontrol.ConnectorTargetConfiguration{Source: &agentcorecontrol.ConnectorSource{ConnectorId: &id}, Configurations: []agentcorecontrol.ConnectorConfiguration{{
				Name: &name, ParameterValues: jsontext.Value(values), ParameterOverrides: []agentcorecontrol.ConnectorParameterOverride{{Path: &path, Visible: &visible}},
			}}}
			s := target.Source{Config: &agentcorecontrol.TargetConfiguration{Mcp: &agentcorecontrol.McpTargetConfiguration{Connector: of}}}
			asked := &searched{}
			d := Driver{Search: asked, Registered: map[string]Registered{"library": served(&library{})}}
			c, err := d.Catalogue(t.Context(), s)
			if err != nil {
				continue
			}
			if !json.Valid(c.Tools[0].InputSchema) {
				t.Fatalf("%s", c.Tools[0].InputSchema)
			}
			server, err := d.Open(s, c)
			if err != nil {
				t.Fatal(err)
			}
			_, err = server.Call(t.Context(), target.Call{Tool: name, Arguments: json.RawMessage(arguments)})
			if _, ok := errors.AsType[*target.Failure](err); err != nil && !ok {
				t.Fatal(err)
			}
			for _, q := range asked.asked {
				if q.Text == "" || q.Max < 1 || q.Max > websearch.MaxResults {
					t.Errorf("%+v", q)
				}
			}
		}
	})
}
