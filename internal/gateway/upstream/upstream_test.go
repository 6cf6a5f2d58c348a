package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/outbound"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// local reaches servers of tests.
func local() func(target.Source) (*http.Client, error) {
	return HTTP(outbound.Config{Private: outbound.Private{Ranges: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}}, nil)
}

func source(endpoint string) target.Source {
	return target.Source{ID: "TARGET0001", Name: "tools", Config: &agentcorecontrol.TargetConfiguration{
		Mcp: &agentcorecontrol.McpTargetConfiguration{McpServer: &agentcorecontrol.McpServerTargetConfiguration{Endpoint: &endpoint}},
	}}
}

// serve runs a server for a test.
func serve(t testing.TB, h http.Handler) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv
}

// open is a target for a test, and what it offers.
func open(t testing.TB, cfg Config, src target.Source) (*server, target.Catalogue) {
	t.Helper()
	if cfg.Client == nil {
		cfg.Client = local()
	}
	d := New(cfg)
	c, err := d.Catalogue(t.Context(), src)
	if err != nil {
		t.Fatal(err)
	}
	return peer(t, d, src, c), c
}

func peer(t testing.TB, d *Driver, src target.Source, c target.Catalogue) *server {
	t.Helper()
	s, err := d.Open(src, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s.(*server)
}

// unopened is a target that nobody has looked at.
func unopened(t testing.TB, cfg Config, src target.Source) *server {
	t.Helper()
	if cfg.Client == nil {
		cfg.Client = local()
	}
	return peer(t, New(cfg), src, target.Catalogue{})
}

// script is a server made by hand: what it answers to a request's method.
type script struct {
	t  testing.TB
	mu sync.Mutex
	// got are the requests in their order, headers and bodies.
	got []seen
	// answers write an answer to a method; initialize, server/discover and
	// notifications have usual ones, of a server without sessions.
	answers map[string]func(w http.ResponseWriter, r *http.Request, m envelope)
}

type seen struct {
	header http.Header
	url    string
	verb   string
	envelope
}

type envelope struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  *target.Error   `json:"error"`
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var m envelope
	if r.Method == http.MethodPost {
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			s.t.Errorf("decode request: %v", err)
		}
	}
	s.mu.Lock()
	s.got = append(s.got, seen{r.Header.Clone(), r.RequestURI, r.Method, m})
	s.mu.Unlock()
	key := m.Method
	if r.Method != http.MethodPost {
		key = r.Method
	}
	if m.Result != nil || m.Error != nil {
		key = "answer"
	}
	if f := s.answers[key]; f != nil {
		f(w, r, m)
		return
	}
	switch {
	case key == "initialize":
		reply(w, m, `{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"}}`)
	case key == "server/discover":
		http.Error(w, `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Bad Request: no session"}}`, http.StatusBadRequest)
	case strings.HasPrefix(key, "notifications/"), key == "answer":
		w.WriteHeader(http.StatusAccepted)
	case key == "tools/list":
		reply(w, m, `{"tools":[{"name":"echo","inputSchema":{"type":"object"}}]}`)
	case key == "tools/call":
		reply(w, m, `{"content":[{"type":"text","text":"hi"}],"x-new":{"kept":true}}`)
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

// sent are the requests of a method so far.
func (s *script) sent(method string) []seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []seen
	for _, r := range s.got {
		if r.Method == method || r.verb == method {
			out = append(out, r)
		}
	}
	return out
}

func reply(w http.ResponseWriter, m envelope, result string) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(`{"jsonrpc":"2.0","id":` + string(m.ID) + `,"result":` + result + `}`))
}

func sse(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = w.Write([]byte(text + "\n\n"))
	w.(http.Flusher).Flush()
}

// text is the text of a tool's result.
func text(t testing.TB, body json.RawMessage) string {
	t.Helper()
	var r struct {
		Content []struct{ Text string }
		IsError bool
	}
	if err := json.Unmarshal(body, &r); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	var all []string
	for _, c := range r.Content {
		all = append(all, c.Text)
	}
	return strings.Join(all, "|")
}

func TestRelaysBytes(t *testing.T) {
	sc := &script{t: t}
	s, c := open(t, Config{}, source(serve(t, sc).URL+"/mcp"))
	if len(c.Tools) != 1 || c.Tools[0].Name != "echo" {
		t.Fatalf("tools: %+v", c.Tools)
	}
	got, err := s.Call(t.Context(), target.Call{Tool: "echo", Arguments: json.RawMessage(`{"a": 1.0,"b":"é"}`),
		Meta: json.RawMessage(`{"progressToken":7,"aws.bedrock-agentcore.gateway/credentialProviderConfiguration":{},"com.example/x":[1, 2],"io.modelcontextprotocol/protocolVersion":"2026-07-28"}`)})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"content":[{"type":"text","text":"hi"}],"x-new":{"kept":true}}`; string(got.Body) != want {
		t.Errorf("result %s, want %s", got.Body, want)
	}
	calls := sc.sent("tools/call")
	if len(calls) != 1 {
		t.Fatalf("%d calls", len(calls))
	}
	if want := `{"name":"echo","arguments":{"a": 1.0,"b":"é"},"_meta":{"progressToken":7,"com.example/x":[1, 2]}}`; string(calls[0].Params) != want {
		t.Errorf("params %s, want %s", calls[0].Params, want)
	}
	if v := calls[0].header.Get("Mcp-Protocol-Version"); v != "2025-06-18" {
		t.Errorf("version %q", v)
	}
}

func TestEndpointStaysAsWritten(t *testing.T) {
	sc := &script{t: t}
	const path = "/runtimes/arn%3Aaws%3Abedrock-agentcore%3Aus-east-1%3A123456789012%3Aruntime%2Fa-0123456789/invocations?qualifier=DEFAULT&x=%7e"
	s, _ := open(t, Config{}, source(serve(t, sc).URL+path))
	if _, err := s.Call(t.Context(), target.Call{Tool: "echo"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Call(t.Context(), target.Call{Tool: "echo", Header: http.Header{"X-Tenant": {"blue"}}, Query: map[string][]string{"q": {"a b"}}}); err != nil {
		t.Fatal(err)
	}
	calls := sc.sent("tools/call")
	if calls[0].url != path || calls[1].url != path+"&q=a+b" || calls[1].header.Get("X-Tenant") != "blue" {
		t.Errorf("asked %s and %s", calls[0].url, calls[1].url)
	}
}

func TestAllowedResponseHeaders(t *testing.T) {
	sc := &script{t: t}
	sc.answers = map[string]func(http.ResponseWriter, *http.Request, envelope){
		"tools/call": func(w http.ResponseWriter, _ *http.Request, m envelope) {
			w.Header().Set("X-Cost", "3")
			w.Header().Set("X-Secret", "no")
			reply(w, m, `{"content":[]}`)
		},
	}
	src := source(serve(t, sc).URL)
	src.Metadata = &agentcorecontrol.MetadataConfiguration{AllowedResponseHeaders: []string{"x-cost", "x-none"}}
	s, _ := open(t, Config{}, src)
	got, err := s.Call(t.Context(), target.Call{Tool: "echo"})
	if err != nil || len(got.Header) != 1 || got.Header.Get("X-Cost") != "3" {
		t.Errorf("headers %v, %v", got.Header, err)
	}
}

func TestErrorsOfTheServer(t *testing.T) {
	sc := &script{t: t, answers: map[string]func(http.ResponseWriter, *http.Request, envelope){
		"tools/call": func(w http.ResponseWriter, _ *http.Request, m envelope) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"jsonrpc":"2.0","id":` + string(m.ID) + `,"error":{"code":-32042,"message":"more","data":{"elicitations":[]}}}`))
		},
	}}
	s, _ := open(t, Config{}, source(serve(t, sc).URL))
	_, err := s.Call(t.Context(), target.Call{Tool: "echo"})
	var rpc *target.Error
	if !errors.As(err, &rpc) || rpc.Code != -32042 || string(rpc.Data) != `{"elicitations":[]}` {
		t.Errorf("error %#v", err)
	}
}

func TestStaticSchema(t *testing.T) {
	src := source("https://nobody.invalid/mcp")
	src.Schema = []byte(` {"tools":[{"name":"a","inputSchema":{"type":"object"},"title":"A"}],"nextCursor":null} `)
	c, err := New(Config{Client: local()}).Catalogue(t.Context(), src)
	if err != nil || len(c.Tools) != 1 || c.Tools[0].Title != "A" || c.Live {
		t.Errorf("%+v, %v", c, err)
	}
	for _, bad := range []string{"{", "[]", `{"tools":{}}`, `{"tools":[{"name":"a"}]}`, `{"tools":[7]}`} {
		src.Schema = []byte(bad)
		_, err := New(Config{Client: local()}).Catalogue(t.Context(), src)
		var unfit *target.Unfit
		if !errors.As(err, &unfit) || !strings.Contains(unfit.Reasons[0], "mcpToolSchema") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestDynamicListing(t *testing.T) {
	sc := &script{t: t}
	src := source(serve(t, sc).URL)
	mode := "DYNAMIC"
	src.Config.Mcp.McpServer.ListingMode = &mode
	sc.answers = answers{"tools/list": func(w http.ResponseWriter, _ *http.Request, m envelope) {
		if string(m.Params) != `{"cursor":"2"}` {
			reply(w, m, `{"tools":[{"name":"a","new":1}],"nextCursor":"2"}`)
			return
		}
		reply(w, m, `{"tools":[{"name":"b"}]}`)
	}}
	s, c := open(t, Config{}, src)
	if !c.Live || len(sc.got) != 0 {
		t.Fatalf("catalogue %+v after %d requests", c, len(sc.got))
	}
	for params, want := range map[string]string{`{}`: `{"tools":[{"name":"a","new":1},{"name":"b"}]}`, `{"cursor":"2"}`: `{"tools":[{"name":"b"}]}`} {
		if got, err := s.Request(t.Context(), "tools/list", json.RawMessage(params), target.Call{}); err != nil || string(got) != want {
			t.Errorf("%s: %s, %v", params, got, err)
		}
	}
}

func TestConsentPasses(t *testing.T) {
	want := &target.Consent{URL: "https://login.invalid/", UserID: "u"}
	cfg := Config{Client: local(), Credentials: func(target.Source) (target.Credentials, error) {
		return applies(func(*http.Request, *target.Call) error { return want }), nil
	}}
	_, err := New(cfg).Catalogue(t.Context(), source("http://127.0.0.1:1/"))
	var got *target.Consent
	if !errors.As(err, &got) || got != want {
		t.Errorf("%v", err)
	}
}

// applies are credentials for a test.
type applies func(*http.Request, *target.Call) error

func (f applies) Apply(_ context.Context, r *http.Request, c *target.Call) error { return f(r, c) }
