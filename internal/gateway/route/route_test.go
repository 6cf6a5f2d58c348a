package route_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/outcrop/outcrop/internal/agentcard"
	model "github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gateway"
	"github.com/outcrop/outcrop/internal/gateway/passthrough"
	"github.com/outcrop/outcrop/internal/gateway/ratelimit"
	"github.com/outcrop/outcrop/internal/gateway/route"
	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/outbound"
	"github.com/outcrop/outcrop/internal/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func p[T any](v T) *T { return &v }

// kit is a gateway and what its callers reach it by.
type kit struct {
	t      *testing.T
	router *route.Router
	view   *gateway.View
	caller target.Caller
	url    string
	drive  map[target.Kind]target.Driver
	// shows is what the targets' credentials put into Authorization.
	shows string
}

// key is credentials of one fixed key.
type key string

func (k key) Apply(_ context.Context, r *http.Request, c *target.Call) error {
	if k != "" && !c.Intercepted {
		r.Header.Set("Authorization", string(k))
	}
	return nil
}

func newKit(t *testing.T) *kit {
	t.Helper()
	k := &kit{t: t, router: route.New(route.Config{Now: time.Now, Log: slog.New(slog.DiscardHandler)}), view: &gateway.View{ID: "g-0123456789"}}
	client := func(target.Source) (*http.Client, error) {
		return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}, nil
	}
	cfg := passthrough.Config{Client: client, AllowHTTP: true, Credentials: func(target.Source, string) (target.Credentials, error) { return key(k.shows), nil }}
	k.drive = map[target.Kind]target.Driver{passthrough.Kind: passthrough.Driver{Config: cfg}}
	k.more(cfg)
	server := httptest.NewServer(http.HandlerFunc(k.serve))
	t.Cleanup(func() {
		server.Close()
		for _, t := range k.view.Targets {
			_ = t.Server.Close()
		}
	})
	k.url = server.URL
	return k
}

// serve is what package invoke does.
func (k *kit) serve(w http.ResponseWriter, r *http.Request) {
	h, err := k.router.Handle(r.Context(), route.Request{
		View: k.view, Caller: k.caller, ID: "request-1", Method: r.Method, Base: "https://gateway.example", Path: r.URL.EscapedPath(), Query: r.URL.RawQuery,
		Header: r.Header, Body: target.NewBody(r.Body, r.ContentLength), Source: "192.0.2.9",
	})
	if err != nil {
		f := fault.From(err)
		for name, values := range f.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(f.Status)
		if f.Body == nil {
			f.Body = []byte(f.Code + ": " + f.Message)
		}
		_, _ = w.Write(f.Body)
		return
	}
	h.ServeHTTP(w, r)
}

// open adds a target.
func (k *kit) open(kind target.Kind, name string, c *model.TargetConfiguration, change func(*target.Source)) {
	k.t.Helper()
	s := target.Source{Name: name, Kind: kind, Config: c}
	if change != nil {
		change(&s)
	}
	catalogue, err := k.drive[kind].Catalogue(context.Background(), s)
	if err != nil {
		k.t.Fatal(err)
	}
	server, err := k.drive[kind].Open(s, catalogue)
	if err != nil {
		k.t.Fatal(err)
	}
	k.view.Targets = append(k.view.Targets, &gateway.Target{Source: s, Server: server})
}

// passes adds a target that is an HTTP endpoint.
func (k *kit) passes(name, endpoint string, change func(*target.Source)) {
	k.t.Helper()
	k.open(passthrough.Kind, name, &model.TargetConfiguration{Http: &model.HttpTargetConfiguration{Passthrough: &model.PassthroughTargetConfiguration{Endpoint: &endpoint}}}, change)
}

// ask sends a request as it is written.
func (k *kit) ask(method, path string, header http.Header, body io.Reader) (int, http.Header, string) {
	k.t.Helper()
	r, err := http.NewRequest(method, k.url, body)
	if err != nil {
		k.t.Fatal(err)
	}
	path, query, _ := strings.Cut(path, "?")
	r.URL.Opaque = "//" + r.URL.Host + path
	r.URL.RawQuery = query
	for name, values := range header {
		r.Header[name] = values
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	resp, err := client.Do(r)
	if err != nil {
		k.t.Fatal(err)
	}
	defer resp.Body.Close()
	all, err := io.ReadAll(resp.Body)
	if err != nil {
		k.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(all)
}

// upstream is a server that says what it was asked.
func upstream(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func TestPasses(t *testing.T) {
	k := newKit(t)
	k.shows = "Bearer k"
	var got []string
	at := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var h []string
		for name, values := range r.Header {
			h = append(h, name+"="+strings.Join(values, "|"))
		}
		slices.Sort(h)
		got = append([]string{r.Method + " " + r.RequestURI, string(body)}, h...)
		w.Header().Set("Content-Type", "text/x")
		w.Header().Set("X-Seen", "1")
		w.Header().Set("X-Hidden", "1")
		w.Header().Set("Content-Security-Policy", "default-src *")
		w.Header().Set("Set-Cookie", "a=b")
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprint(w, "answer")
	})
	k.passes("api", at+"/base%2Fx/", func(s *target.Source) {
		s.Metadata = &model.MetadataConfiguration{AllowedRequestHeaders: []string{"x-mine", "cookie"}, AllowedResponseHeaders: []string{"x-seen", "set-cookie", "content-security-policy"}}
		s.Config.Http.Passthrough.StaticQueryParameters = map[string]string{"v": "2", "w": "a b"}
	})
	status, header, body := k.ask("PUT", "/api/a%20b/c%2Fd/?q=1&v=%31&q=2", http.Header{
		"X-Mine": {"m"}, "X-Other": {"o"}, "Cookie": {"c"}, "Authorization": {"Bearer caller"}, "Content-Type": {"text/plain"}, "User-Agent": {"x"}, "Connection": {"x-mine"},
	}, strings.NewReader("hello"))
	want := []string{"PUT /base%2Fx/a%20b/c%2Fd/?q=1&v=%31&q=2&w=a+b", "hello", "Accept-Encoding=identity", "Authorization=Bearer k", "Content-Length=5", "Content-Type=text/plain", "User-Agent=outcrop", "X-Mine=m"}
	if !slices.Equal(got, want) {
		t.Errorf("the target got\n%q, want\n%q", got, want)
	}
	if status != http.StatusTeapot || body != "answer" || header.Get("X-Seen") != "1" || header.Get("X-Hidden") != "" || header.Get("Set-Cookie") != "" || header.Get("Content-Type") != "text/x" || header.Get("Content-Security-Policy") != "" {
		t.Errorf("answer %d %v %q", status, header, body)
	}
}

// TestSlashes: a slash at the end is the caller's, and that of the endpoint itself its owner's.
func TestSlashes(t *testing.T) {
	k := newKit(t)
	at := upstream(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.RequestURI) })
	k.passes("root", at, nil)
	k.passes("plain", at+"/h", nil)
	k.passes("slash", at+"/v%2F1/", nil)
	for path, want := range map[string]string{
		"/root": "/", "/root/": "/", "/root/a/": "/a/",
		"/plain": "/h", "/plain/": "/h/", "/plain/a": "/h/a", "/plain/a/?q=1": "/h/a/?q=1", "/plain?q=1": "/h?q=1",
		"/slash": "/v%2F1/", "/slash/": "/v%2F1/", "/slash/a": "/v%2F1/a", "/slash?q=1": "/v%2F1/?q=1",
	} {
		if _, _, body := k.ask("GET", path, nil, nil); body != want {
			t.Errorf("%s reaches %s, want %s", path, body, want)
		}
	}
}

func TestStaticOverride(t *testing.T) {
	k := newKit(t)
	at := upstream(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.RequestURI) })
	k.passes("api", at, func(s *target.Source) {
		s.Config.Http.Passthrough.StaticQueryParameters = map[string]string{"key": "ours"}
		s.Config.Http.Passthrough.StaticQueryParameterConflictResolution = p("STATIC_OVERRIDE")
	})
	if _, _, body := k.ask("GET", "/api/x?a=1&k%65y=theirs", nil, nil); body != "/x?a=1&key=ours" {
		t.Error(body)
	}
	if _, _, body := k.ask("GET", "/api", nil, nil); body != "/?key=ours" {
		t.Error(body)
	}
}

func TestBadPaths(t *testing.T) {
	k := newKit(t)
	reached := false
	k.passes("api", upstream(t, func(http.ResponseWriter, *http.Request) { reached = true })+"/v1", nil)
	for _, path := range []string{"/api/../x", "/api/a/%2e%2E/x", "/api/a//b", "/api/..%2fx", "/api/a/..;/x", "/api/a%5cb", "/api/a%00", "/api/.", "/api/x/%2e"} {
		if status, _, body := k.ask("GET", path, nil, nil); status != http.StatusBadRequest || reached {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	for path, want := range map[string]int{"/none/x": 404, "/": 404} {
		if status, _, body := k.ask("GET", path, nil, nil); status != want {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if status, _, body := k.ask("GET", "/", nil, nil); status != http.StatusNotFound || !strings.Contains(body, "Its MCP endpoint is https://gateway.example/mcp, its targets are at https://gateway.example/TARGET/...") {
		t.Errorf("%d %s", status, body)
	}
	if status, _, body := k.ask("GET", "/api/ws", http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"}}, nil); status != http.StatusBadRequest || !strings.Contains(body, "WebSockets") {
		t.Errorf("WebSocket: %d %s", status, body)
	}
}

// TestStreams wants each event while the target still works, and its call ended when the
// caller leaves.
func TestStreams(t *testing.T) {
	k := newKit(t)
	next, left := make(chan struct{}), make(chan struct{})
	k.passes("api", upstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 2 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			w.(http.Flusher).Flush()
			<-next
		}
		<-r.Context().Done()
		close(left)
	}), nil)
	resp, err := http.Get(k.url + "/api/events")
	if err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(resp.Body)
	for i := range 2 {
		line, err := in.ReadString('\n')
		if err != nil || line != fmt.Sprintf("data: %d\n", i) {
			t.Fatalf("%q %v", line, err)
		}
		_, _ = in.ReadString('\n')
		next <- struct{}{}
	}
	resp.Body.Close()
	<-left
	http.DefaultClient.CloseIdleConnections()
}

// TestBrokenOff must not look complete.
func TestBrokenOff(t *testing.T) {
	k := newKit(t)
	k.passes("api", upstream(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "half")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}), nil)
	resp, err := http.Get(k.url + "/api/x")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if all, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("%q looks complete", all)
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestTooLarge(t *testing.T) {
	k := newKit(t)
	k.passes("api", upstream(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }), nil)
	large := strings.Repeat("x", target.MaxBody+1)
	for name, body := range map[string]io.Reader{"with its length": strings.NewReader(large), "in pieces": io.MultiReader(strings.NewReader(large))} {
		if status, _, text := k.ask("POST", "/api/x", nil, body); status != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
}

func TestGuarded(t *testing.T) {
	k := newKit(t)
	at := upstream(t, func(http.ResponseWriter, *http.Request) { t.Error("it was called") })
	k.drive[passthrough.Kind] = passthrough.Driver{Config: passthrough.Config{AllowHTTP: true, Client: func(target.Source) (*http.Client, error) { return outbound.New(outbound.Config{}), nil }}}
	k.passes("api", at, nil)
	status, _, body := k.ask("GET", "/api/x", nil, nil)
	if status != http.StatusBadGateway || strings.Contains(body, "127.0.0.1") {
		t.Errorf("%d %s", status, body)
	}
	k.view.Debug = true
	if _, _, body := k.ask("GET", "/api/x", nil, nil); !strings.Contains(body, "--allow-private") {
		t.Errorf("with DEBUG: %s", body)
	}
}

func limit(id string, keys []string, dimensions map[string]string, n float64) gateway.Limit {
	return gateway.Limit{RateLimitId: &id, DimensionKeys: keys, Entries: []model.LimitEntry{{Dimensions: dimensions, Requests: []model.RateConfig{{Rate: &n, Period: p("minute")}}}}}
}

func token(claims string) secret.String {
	return secret.NewString("h." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".s")
}

func TestLimits(t *testing.T) {
	k := newKit(t)
	k.passes("api", upstream(t, func(http.ResponseWriter, *http.Request) {}), nil)
	k.view.Limits = []gateway.Limit{limit("per-team", []string{"targetName", "$.context.jwt.team"}, map[string]string{"targetName": "api", "$.context.jwt.team": "*"}, 1)}
	for i, want := range []int{200, 429, 200} {
		k.caller = target.Caller{Token: token(fmt.Sprintf(`{"team":"team-%d"}`, i/2))}
		status, header, body := k.ask("GET", "/api/x", nil, nil)
		if status != want {
			t.Fatalf("call %d: %d %s", i, status, body)
		}
		if status == 429 && (header.Get("Retry-After") != "60" || body != `{"error":"Rate limit exceeded","success":false,"limitKey":"per-team/targetName=api,$.context.jwt.team=team-0","metric":"requests","retryAfter":60}`) {
			t.Errorf("%v %s", header, body)
		}
	}
}

// TestLimitsOfSaid counts by a header and by members of the body, each with who calls.
func TestLimitsOfSaid(t *testing.T) {
	const user, tier, name = "$.context.jwt.sub", "$.context.request.header.X-Tier", "$.context.request.body.metadata.user.id"
	k := newKit(t)
	k.passes("api", upstream(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }), nil)
	k.view.Limits = []gateway.Limit{
		limit("said", []string{user, tier, name}, map[string]string{user: "*", tier: "*", name: "*"}, 1),
		limit("batch", []string{tier, user}, map[string]string{tier: "batch", user: "*"}, 0),
	}
	for i, c := range []struct {
		sub, tier, body string
		want            int
	}{
		{"ann", "a", `{"metadata":{"user":{"id":"x"}}}`, 200},
		{"ann", "a", `{"metadata":{"user":{"id":"x"}}}`, 429},
		{"ann", "a", `{"metadata":{"user":{"id":"y"}}}`, 200},
		{"ann", "b", `{"metadata":{"user":{"id":"x"}}}`, 200},
		{"bob", "a", `{"metadata":{"user":{"id":"x"}}}`, 200},
		{"ann", "a", `{"metadata":{"user":{"id":7}}}`, 200},
		{"ann", "a", `{"metadata":{"user":{"id":7}}}`, 429},
		{"ann", "a", `{"metadata":"x"}`, 200},  // without a value
		{"ann", "a", `no JSON`, 429},           // all of which count together
		{"ann", "a", `{"metadata":null}`, 429}, // as does this
		{"eve", "batch", `{}`, 429},
	} {
		k.caller = target.Caller{Token: token(fmt.Sprintf(`{"sub":%q}`, c.sub))}
		status, _, body := k.ask("POST", "/api/x", http.Header{"X-Tier": {c.tier}}, strings.NewReader(c.body))
		if status != c.want || status == 200 && body != c.body {
			t.Errorf("call %d: %d %s, want %d", i, status, body, c.want)
		}
	}
	called := ratelimit.Called{Target: "t", Tool: "t___x", Header: http.Header{"X-Tier": {"m"}}, Body: []byte(`{"metadata":{"user":{"id":"z"}}}`)}
	if refused, _, _ := k.router.Take(k.view, target.Caller{}, called); refused != nil {
		t.Fatal(refused)
	}
	if refused, _, _ := k.router.Take(k.view, target.Caller{}, called); refused == nil || !strings.Contains(string(refused.Data), tier+"=m,"+name+"=z") {
		t.Errorf("%+v", refused)
	}
	big := io.MultiReader(strings.NewReader(`{"x":"`), strings.NewReader(strings.Repeat("x", target.MaxBody)))
	if status, _, body := k.ask("POST", "/api/x", nil, big); status != http.StatusRequestEntityTooLarge {
		t.Errorf("%d %s", status, body)
	}
}

// TestLimitsOfTools is what the MCP endpoint asks.
func TestLimitsOfTools(t *testing.T) {
	k := newKit(t)
	k.view.Limits = []gateway.Limit{limit("l", []string{"toolName"}, map[string]string{"toolName": "t___x"}, 1)}
	tool := ratelimit.Called{Target: "t", Tool: "t___x"}
	refused, _, release := k.router.Take(k.view, target.Caller{}, tool)
	if refused != nil {
		t.Fatal(refused)
	}
	release()
	refused, header, _ := k.router.Take(k.view, target.Caller{}, tool)
	if refused == nil || refused.Code != -32003 || string(refused.Data) != `{"limitKey":"l/toolName=t___x","metric":"requests","retryAfter":60}` || header.Get("Retry-After") != "60" {
		t.Errorf("%+v %v", refused, header)
	}
	// Names that a target does not list share what they are allowed, unless an entry has them.
	k.view = &gateway.View{ID: "g-1", Limits: []gateway.Limit{limit("l", []string{"toolName"}, map[string]string{"toolName": "*"}, 1)}}
	k.view.Limits[0].Entries = append(k.view.Limits[0].Entries, limit("l", nil, map[string]string{"toolName": "t___known"}, 1).Entries...)
	for name, want := range map[string]bool{"t___1": true, "t___known": true} {
		if refused, _, _ := k.router.Take(k.view, target.Caller{}, ratelimit.Called{Target: "t", Tool: name, Unlisted: true}); (refused == nil) != want {
			t.Errorf("%s: %+v", name, refused)
		}
	}
	refused, _, _ = k.router.Take(k.view, target.Caller{}, ratelimit.Called{Target: "t", Tool: "t___2", Unlisted: true})
	if refused == nil || !strings.Contains(string(refused.Data), `"limitKey":"l/toolName=t___*"`) {
		t.Errorf("another name has an allowance of its own: %+v", refused)
	}
	if refused, _, _ := k.router.Take(&gateway.View{ID: "g-2", Limits: []gateway.Limit{limit("l", []string{"$.context.iam.principal"}, map[string]string{"$.context.iam.principal": "*"}, 0)}}, target.Caller{}, ratelimit.Called{Target: "t", Part: true}); refused != nil {
		t.Errorf("part of a request counts for who calls: %+v", refused)
	}
}

func routed(r *model.RouteToTargetAction) []gateway.Rule {
	return []gateway.Rule{{RuleId: p("r"), Priority: p(int32(1)), Actions: []model.Action{{RouteToTarget: r}}}}
}

func TestFallback(t *testing.T) {
	k := newKit(t)
	k.view.Debug = true
	hang := make(chan struct{})
	defer close(hang)
	dead, _ := net.Listen("tcp", "127.0.0.1:0")
	dead.Close()
	var mu sync.Mutex
	asked := map[string]int{}
	named := func(name string, h http.HandlerFunc) {
		k.passes(name, upstream(t, func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			asked[name]++
			mu.Unlock()
			h(w, r)
		}), nil)
	}
	named("well", func(w http.ResponseWriter, r *http.Request) {
		all, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "well %s", all)
	})
	named("bad", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503); fmt.Fprint(w, "bad") })
	named("busy", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(429); fmt.Fprint(w, "busy") })
	named("slow", func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body) // or the server does not see the caller leave
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	})
	k.passes("dead", "http://"+dead.Addr().String(), nil)
	chain := func(first string, f *model.Fallback) {
		k.view = &gateway.View{ID: k.view.ID, Debug: true, Targets: k.view.Targets, Rules: routed(&model.RouteToTargetAction{StaticRoute: &model.StaticRoute{TargetName: &first, Fallback: f}})}
	}
	to := func(names ...string) []model.FallbackTarget {
		var out []model.FallbackTarget
		for _, n := range names {
			out = append(out, model.FallbackTarget{TargetName: p(n)})
		}
		return out
	}
	for _, c := range []struct {
		first  string
		f      model.Fallback
		status int
		body   string
	}{
		{"bad", model.Fallback{TargetFallback: to("well")}, 200, "well hello"},
		{"dead", model.Fallback{TargetFallback: to("well")}, 200, "well hello"},
		{"gone", model.Fallback{TargetFallback: to("well")}, 200, "well hello"},
		{"slow", model.Fallback{TargetFallback: to("well"), FirstByteTimeoutMilliseconds: p(int32(20))}, 200, "well hello"},
		{"busy", model.Fallback{TargetFallback: to("well")}, 429, "busy"},
		{"busy", model.Fallback{TargetFallback: to("well"), TriggerOn: &model.FallbackTriggers{StatusCodes: []string{"4XX"}}}, 200, "well hello"},
		{"bad", model.Fallback{TargetFallback: to("well"), TriggerOn: &model.FallbackTriggers{StatusCodes: []string{"4XX"}}}, 503, "bad"},
		{"dead", model.Fallback{TargetFallback: to("bad", "busy")}, 429, "busy"},
		{"slow", model.Fallback{FirstByteTimeoutMilliseconds: p(int32(20))}, 504, "slow did not begin to answer within 20ms"},
		{"gone", model.Fallback{}, 502, "gone"},
	} {
		chain(c.first, &c.f)
		if status, _, body := k.ask("POST", "/well/x", nil, strings.NewReader("hello")); status != c.status || !strings.Contains(body, c.body) {
			t.Errorf("%s: %d %s, want %d %s", c.first, status, body, c.status, c.body)
		}
	}
	// The breaker leaves the first out, in the end.
	chain("bad", &model.Fallback{TargetFallback: to("well")})
	for range 8 {
		k.ask("POST", "/well/x", nil, nil)
	}
	mu.Lock()
	before := asked["bad"]
	mu.Unlock()
	if k.ask("POST", "/well/x", nil, nil); asked["bad"] != before || before > 8 {
		t.Errorf("the target that fails was asked %d times, then %d", before, asked["bad"])
	}
}

// TestWeightsStick sends sessions to two targets: one is told by a header, and with
// compositeIdentifier by that and the others.
func TestWeightsStick(t *testing.T) {
	for _, others := range [][]string{nil, {"$.AMZN_AC_GW_CONTEXT.headers.x-device", "x-app"}} {
		t.Run(fmt.Sprint(others), func(t *testing.T) {
			k := newKit(t)
			for _, name := range []string{"a", "b"} {
				k.passes(name, upstream(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, name) }), func(s *target.Source) {
					s.Config.Http.Passthrough.StickinessConfiguration = &model.StickinessConfiguration{Identifier: p("$context.header.x-user"), CompositeIdentifier: others}
				})
			}
			k.view.Rules = routed(&model.RouteToTargetAction{WeightedRoute: &model.WeightedRoute{TrafficSplit: []model.TargetTrafficSplitEntry{
				{Name: p("A"), Weight: p(int32(50)), TargetName: p("a")}, {Name: p("B"), Weight: p(int32(50)), TargetName: p("b")}}}})
			seen := map[string]bool{}
			for i := range 20 {
				h := http.Header{"X-User": {fmt.Sprint("user-", i)}, "X-Device": {"one"}, "X-App": {"one"}}
				_, _, first := k.ask("GET", "/a/", h, nil)
				_, _, second := k.ask("GET", "/a/", h, nil)
				if first != second {
					t.Errorf("user %d: %s, then %s", i, first, second)
				}
				seen[first] = true
			}
			if len(seen) != 2 {
				t.Errorf("all went to %v", seen)
			}
		})
	}
}

// runtimes is this server's data plane.
type runtimes struct {
	got  *http.Request
	says string
}

func (r *runtimes) RoundTrip(in *http.Request) (*http.Response, error) {
	r.got = in
	return &http.Response{StatusCode: 200, Header: http.Header{passthrough.SessionHeader: in.Header[passthrough.SessionHeader], "Server": {"x"}}, Body: io.NopCloser(strings.NewReader(r.says))}, nil
}

func TestRuntime(t *testing.T) {
	k := newKit(t)
	data := &runtimes{says: "agent"}
	k.drive[passthrough.RuntimeKind] = passthrough.RuntimeDriver{Runtimes: data, Config: passthrough.Config{Credentials: func(_ target.Source, service string) (target.Credentials, error) {
		return key("signed for " + service), nil
	}}}
	arn := "arn:aws:bedrock-agentcore:us-west-2:123456789012:runtime/agent-0123456789"
	k.open(passthrough.RuntimeKind, "agent", &model.TargetConfiguration{Http: &model.HttpTargetConfiguration{AgentcoreRuntime: &model.RuntimeTargetConfiguration{Arn: &arn, Qualifier: p("PROD")}}}, func(s *target.Source) {
		s.Credential = &model.CredentialProviderConfiguration{CredentialProviderType: p("GATEWAY_IAM_ROLE")}
	})
	k.view.Rules = []gateway.Rule{{RuleId: p("r"), Priority: p(int32(1)), Actions: []model.Action{{ConfigurationBundle: &model.ConfigurationBundleAction{StaticOverride: &model.StaticOverride{BundleArn: p("arn:b"), BundleVersion: p("1")}}}}}}
	own := "https://bedrock-agentcore.us-west-2.amazonaws.com/runtimes/" + url.PathEscape(arn)
	session := strings.Repeat("s", 33)
	for asked, want := range map[string]string{
		"/agent/invocations?qualifier=x&a=1":                                  own + "/invocations?a=1&qualifier=PROD",
		"/agent/runtimes/" + url.PathEscape(arn) + "/invocations?qualifier=Y": own + "/invocations?qualifier=PROD",
		"/agent/runtimes/agent-0123456789/invocations":                        own + "/invocations?qualifier=PROD",
		"/agent/.well-known/agent-card.json":                                  own + "/invocations/.well-known/agent-card.json?qualifier=PROD",
		"/agent/":                                                             own + "/invocations?qualifier=PROD",
	} {
		status, h, body := k.ask("POST", asked, http.Header{passthrough.SessionHeader: {session}, "Authorization": {"x"}, "X-Amzn-Bedrock-Agentcore-Runtime-User-Id": {"root"}, "Baggage": {"a=1"}}, strings.NewReader("{}"))
		got := data.got
		if status != 200 || body != "agent" || h.Get(passthrough.SessionHeader) != session || got.URL.String() != want {
			t.Errorf("%s: %d %v %s asked %v, want %s", asked, status, h, body, got.URL, want)
		}
		if got.Header.Get("Authorization") != "signed for bedrock-agentcore" || got.Header.Get("X-Amzn-Bedrock-Agentcore-Runtime-User-Id") != "" || got.GetBody == nil ||
			got.Header.Get("Baggage") != "a=1,aws.agentcore.configbundle_arn=arn:b,aws.agentcore.configbundle_version=1" {
			t.Errorf("%s: header %v", asked, got.Header)
		}
	}
	for _, path := range []string{"/agent/ws", "/agent/commands", "/agent/runtimes/other-0123456789/invocations", "/agent/runtimes/agent-0123456789/commands"} {
		if status, _, body := k.ask("POST", path, nil, nil); status != 400 {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

// TestAgentCard: the card of an agent leads to the gateway, and what is no card is none.
func TestAgentCard(t *testing.T) {
	k := newKit(t)
	data := &runtimes{}
	k.drive[passthrough.RuntimeKind] = passthrough.RuntimeDriver{Runtimes: data}
	k.open(passthrough.RuntimeKind, "agent", &model.TargetConfiguration{Http: &model.HttpTargetConfiguration{AgentcoreRuntime: &model.RuntimeTargetConfiguration{
		Arn: p("arn:aws:bedrock-agentcore:us-west-2:123456789012:runtime/agent-0123456789"),
	}}}, nil)
	const card = "/agent/.well-known/agent-card.json"
	for _, c := range []struct {
		method, path, says string
		status             int
		want               string
	}{
		{"GET", card, `{"url":"https://elsewhere","name":"a"}`, 200, `{"url":"https://gateway.example/agent/","name":"a"}`},
		{"GET", "/agent/invocations/.well-known/agent-card.json", `{"supportedInterfaces":[{"url":"x"}]}`, 200, `{"supportedInterfaces":[{"url":"https://gateway.example/agent/"}]}`},
		{"POST", card, `{"url":"https://elsewhere"}`, 200, `{"url":"https://elsewhere"}`},
		{"GET", "/agent/tasks/1", `{"url":"https://elsewhere"}`, 200, `{"url":"https://elsewhere"}`},
		{"GET", card, `<html>`, 502, "Target agent could not be asked"},
		{"GET", card, `{"a":"` + strings.Repeat("a", agentcard.Max) + `"}`, 502, "Target agent could not be asked"},
	} {
		data.says = c.says
		if status, _, body := k.ask(c.method, c.path, nil, nil); status != c.status || status == 200 && body != c.want || !strings.Contains(body, c.want) {
			t.Errorf("%s %s: %d %.200s, want %s", c.method, c.path, status, body, c.want)
		}
	}
}

func FuzzPath(f *testing.F) {
	for _, s := range []string{"/a/b", "/%2e%2e/x", "//", "/a%2", "/..;/x", "/a b", "/%zz"} {
		f.Add(s)
	}
	k := &recorder{}
	d := passthrough.Driver{Config: passthrough.Config{Client: func(target.Source) (*http.Client, error) { return &http.Client{Transport: k}, nil }}}
	server, err := d.Open(target.Source{Config: &model.TargetConfiguration{Http: &model.HttpTargetConfiguration{Passthrough: &model.PassthroughTargetConfiguration{Endpoint: p("https://api.example/base")}}}}, target.Catalogue{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, path string) {
		k.got = nil
		resp, err := server.(target.Web).Send(context.Background(), &target.Request{Method: "GET", Path: path, Header: http.Header{}})
		if err != nil {
			return
		}
		resp.Body.Close()
		sent := k.got.URL.String()
		if !strings.HasPrefix(sent, "https://api.example/base") || k.got.URL.Host != "api.example" {
			t.Fatalf("%q went to %s", path, sent)
		}
		u, err := url.Parse(sent)
		if err != nil || u.ResolveReference(&url.URL{}).EscapedPath() != k.got.URL.EscapedPath() || strings.Contains(u.Path, "/../") {
			t.Fatalf("%q went to %s, which means %v", path, sent, u)
		}
	})
}

type recorder struct{ got *http.Request }

func (r *recorder) RoundTrip(in *http.Request) (*http.Response, error) {
	r.got = in
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody}, nil
}
