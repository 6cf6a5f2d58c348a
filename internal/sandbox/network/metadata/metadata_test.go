package metadata_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/outcrop/outcrop/internal/sandbox/network/metadata"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	role       = "arn:aws:iam::123456789012:role/service/hello-role"
	tokenPath  = "/latest/api/token"
	lifeHeader = "X-aws-ec2-metadata-token-ttl-seconds"
	header     = "X-aws-ec2-metadata-token"
	rolePath   = "/latest/meta-data/iam/security-credentials/execution_role"
)

// guest is a handler with a clock and credentials that a test controls.
type guest struct {
	*metadata.Handler
	t *testing.T

	mu    sync.Mutex
	now   time.Time
	made  int
	fails bool
}

func (g *guest) clock() time.Time { g.mu.Lock(); defer g.mu.Unlock(); return g.now }

func (g *guest) pass(d time.Duration) { g.mu.Lock(); defer g.mu.Unlock(); g.now = g.now.Add(d) }

func (g *guest) credentials(context.Context) (metadata.Credentials, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.fails {
		return metadata.Credentials{}, errors.New("the session has ended")
	}
	g.made++
	return metadata.Credentials{
		AccessKeyID: fmt.Sprintf("ASIA%016d", g.made), SecretAccessKey: "the/secret+key", Token: "the/token+and==",
		Issued: g.now, Expires: g.now.Add(time.Hour),
	}, nil
}

func newGuest(t *testing.T, change func(*metadata.Config)) *guest {
	g := &guest{t: t, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	cfg := metadata.Config{
		Credentials: g.credentials, Role: role, Region: "us-west-2", Now: g.clock, Log: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&cfg)
	}
	g.Handler = metadata.New(cfg)
	return g
}

// call makes one request; headers are name, value, name, value.
func (g *guest) call(method, path string, headers ...string) *httptest.ResponseRecorder {
	g.t.Helper()
	r := httptest.NewRequestWithContext(g.t.Context(), method, "http://169.254.169.254"+path, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	return w
}

func (g *guest) token(life string) string {
	g.t.Helper()
	w := g.call("PUT", tokenPath, lifeHeader, life)
	if w.Code != 200 || w.Header().Get(lifeHeader) != life {
		g.t.Fatalf("token for %s s: %d, %v", life, w.Code, w.Header())
	}
	return w.Body.String()
}

func (g *guest) get(path string) *httptest.ResponseRecorder {
	g.t.Helper()
	return g.call("GET", path, header, g.token("60"))
}

// TestTree compares everything there is with the golden file, and what is on
// EC2 and not on AgentCore's machines with 404.
func TestTree(t *testing.T) {
	var b strings.Builder
	for _, with := range []bool{true, false} {
		g := newGuest(t, func(c *metadata.Config) {
			if !with {
				c.Credentials = nil
			}
		})
		fmt.Fprintf(&b, "# with a role: %v\n", with)
		for _, path := range []string{
			"/", "/latest", "/latest/", "/latest/meta-data", "/latest/meta-data/", "/latest/meta-data/iam/", "/latest/meta-data/iam/security-credentials",
			"/latest/meta-data/iam/security-credentials/", rolePath, rolePath + "/", "//latest//meta-data/iam/security-credentials/execution_role",
			"/latest/meta-data/placement/", "/latest/meta-data/placement/region", "/latest/meta-data/placement/availability-zone/",
			"/latest/meta-data/iam/info", "/latest/meta-data/iam/security-credentials/hello-role", "/latest/meta-data/iam/security-credentials-extended/",
			"/latest/meta-data/instance-id", "/latest/meta-data/tags/instance", "/latest/dynamic/instance-identity/document", "/latest/user-data",
			"/2021-07-15/meta-data/", "/latest/meta-data/../../etc/passwd", "/latest/meta-data/iam%2Fsecurity-credentials", "/v2/credentials",
		} {
			w := g.get(path)
			text := strings.ReplaceAll(strings.TrimSpace(w.Body.String()), "\n", "\n    ")
			fmt.Fprintf(&b, "%d %s\n    %s\n", w.Code, path, text)
			if w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("%s may be stored", path)
			}
		}
	}
	const golden = "testdata/tree.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("the tree differs from %s; -update rewrites it:\n%s", golden, b.String())
	}
}

func TestRefusals(t *testing.T) {
	g := newGuest(t, nil)
	good := g.token("60")
	other := newGuest(t, nil).token("60")
	raw, err := base64.URLEncoding.DecodeString(good)
	if err != nil {
		t.Fatal(err)
	}
	raw[7]++ // a second more
	longer := base64.URLEncoding.EncodeToString(raw)
	tests := []struct {
		name, method, path string
		headers            []string
		want               int
	}{
		{"IMDSv1", "GET", rolePath, nil, 401},
		{"IMDSv1 of a path that is not there", "GET", "/latest/user-data", nil, 401},
		{"no token at all", "GET", rolePath, []string{header, ""}, 401},
		{"a made-up token", "GET", rolePath, []string{header, strings.Repeat("A", len(good))}, 401},
		{"another session's token", "GET", rolePath, []string{header, other}, 401},
		{"a token made longer", "GET", rolePath, []string{header, longer}, 401},
		{"a token with more behind it", "GET", rolePath, []string{header, good + "A"}, 401},
		{"two tokens", "GET", rolePath, []string{header, good, header, good}, 401},
		{"the token", "GET", rolePath, []string{header, good}, 200},
		{"the token, HEAD", "HEAD", rolePath, []string{header, good}, 200},
		{"POST", "POST", rolePath, []string{header, good}, 405},
		{"PUT of data", "PUT", "/latest/meta-data/", []string{header, good}, 405},
		{"GET of a token", "GET", tokenPath, []string{lifeHeader, "60"}, 405},
		{"POST of a token", "POST", tokenPath, []string{lifeHeader, "60"}, 405},
		{"no life", "PUT", tokenPath, nil, 400},
		{"life 0", "PUT", tokenPath, []string{lifeHeader, "0"}, 400},
		{"life -1", "PUT", tokenPath, []string{lifeHeader, "-1"}, 400},
		{"life 6 h", "PUT", tokenPath, []string{lifeHeader, "21600"}, 200},
		{"life 6 h and more", "PUT", tokenPath, []string{lifeHeader, "21601"}, 400},
		{"life huge", "PUT", tokenPath, []string{lifeHeader, "99999999999999999999"}, 400},
		{"life no number", "PUT", tokenPath, []string{lifeHeader, "60s"}, 400},
		{"two lives", "PUT", tokenPath, []string{lifeHeader, "60", lifeHeader, "60"}, 400},
		{"through a proxy", "PUT", tokenPath, []string{lifeHeader, "60", "X-Forwarded-For", "203.0.113.9"}, 403},
		{"through a proxy that says nothing", "PUT", tokenPath, []string{lifeHeader, "60", "X-Forwarded-For", ""}, 403},
		{"token path with a slash", "PUT", tokenPath + "/", []string{lifeHeader, "60"}, 200},
	}
	for _, tt := range tests {
		if w := g.call(tt.method, tt.path, tt.headers...); w.Code != tt.want {
			t.Errorf("%s: %d %s, want %d", tt.name, w.Code, w.Body, tt.want)
		} else if tt.want != 200 && strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%s: a refusal shows credentials", tt.name)
		}
	}
	if g.pass(59 * time.Second); g.call("GET", rolePath, header, good).Code != 200 {
		t.Error("the token ended early")
	}
	if g.pass(time.Second); g.call("GET", rolePath, header, good).Code != 401 {
		t.Error("the token outlives its life")
	}
}

func (g *guest) keyID() string {
	g.t.Helper()
	w := g.get(rolePath)
	var c struct{ AccessKeyId string }
	if err := json.Unmarshal(w.Body.Bytes(), &c); w.Code != 200 || err != nil {
		return w.Result().Status
	}
	return strings.TrimLeft(c.AccessKeyId, "ASI0")
}

// TestRenewal: credentials are made once, again after half of their life, and
// kept when none can be made.
func TestRenewal(t *testing.T) {
	g := newGuest(t, nil)
	steps := []struct {
		pass  time.Duration
		fails bool
		want  string
	}{
		{0, false, "1"},
		{29 * time.Minute, false, "1"},
		{time.Minute, false, "2"},
		{time.Minute, false, "2"},
		{30 * time.Minute, true, "2"},
		{27 * time.Minute, true, "2"},
		{time.Minute, true, "503 Service Unavailable"},
		{0, false, "3"},
		{5 * time.Hour, true, "503 Service Unavailable"},
		{0, false, "4"},
	}
	for i, s := range steps {
		g.pass(s.pass)
		g.mu.Lock()
		g.fails = s.fails
		g.mu.Unlock()
		if got := g.keyID(); got != s.want {
			t.Errorf("step %d: credentials %s, want %s", i, got, s.want)
		}
	}
}

// TestCopied: what copies will hold says that it is nearly over, whenever it is
// asked for, and is not made anew for that.
func TestCopied(t *testing.T) {
	g := newGuest(t, func(c *metadata.Config) { c.Copied = true })
	for _, want := range []string{"2026-03-01T12:01:00Z", "2026-03-01T12:11:00Z"} {
		var c struct{ AccessKeyId, Expiration string }
		if err := json.Unmarshal(g.get(rolePath).Body.Bytes(), &c); err != nil || c.Expiration != want || c.AccessKeyId != "ASIA0000000000000001" {
			t.Errorf("%+v, %v, want %s", c, err, want)
		}
		g.pass(10 * time.Minute)
	}
}

// TestAtOnce: many requests at once make credentials once.
func TestAtOnce(t *testing.T) {
	g := newGuest(t, nil)
	token := g.token("60")
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if w := g.call("GET", rolePath, header, token); w.Code != 200 {
				t.Errorf("%d", w.Code)
			}
		})
	}
	wg.Wait()
	if g.made != 1 {
		t.Errorf("credentials were made %d times", g.made)
	}
}

func TestContainerForm(t *testing.T) {
	g := newGuest(t, func(c *metadata.Config) { c.ContainerToken = "Bearer of the guest" })
	for value, want := range map[string]int{"": 401, "Bearer": 401, "Bearer of the guest": 200, "Bearer of the guest ": 401} {
		w := g.call("GET", metadata.ContainerPath, "Authorization", value)
		if w.Code != want {
			t.Errorf("Authorization %q: %d, want %d", value, w.Code, want)
		}
	}
	w := g.call("GET", metadata.ContainerPath+"/", "Authorization", "Bearer of the guest")
	const want = `{
  "RoleArn": "` + role + `",
  "AccessKeyId": "ASIA0000000000000001",
  "SecretAccessKey": "the/secret+key",
  "Token": "the/token+and==",
  "Expiration": "2026-03-01T13:00:00Z"
}`
	if w.Body.String() != want || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("%v %s", w.Header(), w.Body)
	}
	if w := newGuest(t, nil).call("GET", metadata.ContainerPath); w.Code != 404 {
		t.Errorf("a guest that did not ask for it: %d", w.Code)
	}
}

func TestRate(t *testing.T) {
	g := newGuest(t, nil)
	served := func(n int) (ok int) {
		for range n {
			if w := g.call("PUT", tokenPath, lifeHeader, "60"); w.Code == 200 {
				ok++
			} else if w.Code != 429 || w.Header().Get("Retry-After") == "" {
				t.Fatalf("%d %v", w.Code, w.Header())
			}
		}
		return ok
	}
	if n := served(1000); n != 500 {
		t.Errorf("%d at once", n)
	}
	g.pass(time.Second)
	if n := served(1000); n != 100 {
		t.Errorf("%d a second later", n)
	}
	if g.pass(time.Hour); served(1000) != 500 {
		t.Error("the rest after an hour is not bounded")
	}
}

// TestServer: what a guest sends is bounded.
func TestServer(t *testing.T) {
	g := newGuest(t, nil)
	s := httptest.NewUnstartedServer(nil)
	s.Config = metadata.NewServer(g.Handler)
	s.Start()
	defer s.Close()
	client := s.Client()
	do := func(change func(*http.Request)) (int, error) {
		r, err := http.NewRequestWithContext(t.Context(), "PUT", s.URL+tokenPath, strings.NewReader(strings.Repeat("x", 4<<20)))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set(lifeHeader, "60")
		if change != nil {
			change(r)
		}
		resp, err := client.Do(r)
		if err != nil {
			return 0, err
		}
		return resp.StatusCode, resp.Body.Close()
	}
	if code, err := do(func(r *http.Request) { r.Body, r.ContentLength = http.NoBody, 0 }); code != 200 || err != nil {
		t.Errorf("%d, %v", code, err)
	}
	if code, err := do(func(r *http.Request) { r.Header.Set("X-Large", strings.Repeat("x", 64<<10)) }); err == nil && code != 431 {
		t.Errorf("large headers: %d", code)
	}
	if code, err := do(nil); err == nil && code != 200 { // it may be answered before the body is refused
		t.Errorf("a large body: %d", code)
	}
	if c := s.Config; c.ReadHeaderTimeout == 0 || c.ReadTimeout == 0 || c.WriteTimeout == 0 || c.IdleTimeout == 0 {
		t.Errorf("a guest can hold a connection for ever: %+v", c)
	}
}

func TestCredentialsNeverPrint(t *testing.T) {
	c := metadata.Credentials{AccessKeyID: "ASIA", SecretAccessKey: "hush", Token: "hush"}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if got := fmt.Sprintf(verb, c) + fmt.Sprintf(verb, &c); strings.Contains(got, "hush") {
			t.Errorf("%s prints %s", verb, got)
		}
	}
}

// FuzzRequest: no request without the one token gets anything but refusals, and
// none breaks the handler.
func FuzzRequest(f *testing.F) {
	f.Add("GET", rolePath, "", "60", "Bearer")
	f.Add("PUT", tokenPath, "x", "21600", "")
	f.Add("GET", "/latest/meta-data/%2e%2e/x", strings.Repeat("A", 56), "-1", "")
	g := &guest{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	g.Handler = metadata.New(metadata.Config{
		Credentials: g.credentials, Role: role, Region: "us-west-2", ContainerToken: "of the guest", Now: func() time.Time { g.pass(time.Second); return g.clock() },
		Log: slog.New(slog.DiscardHandler),
	})
	f.Fuzz(func(t *testing.T, method, path, token, life, authorization string) {
		r := httptest.NewRequestWithContext(t.Context(), "GET", "http://h/", nil)
		r.Method, r.URL.Path = method, path
		r.Header[http.CanonicalHeaderKey(header)] = []string{token}
		r.Header[http.CanonicalHeaderKey(lifeHeader)] = []string{life}
		r.Header["Authorization"] = []string{authorization}
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		if w.Code == 200 && (method != "PUT" || strings.Contains(w.Body.String(), "secret")) && authorization != "of the guest" {
			t.Errorf("%s %q with token %q: %d %s", method, path, token, w.Code, w.Body)
		}
	})
}

func BenchmarkCredentials(b *testing.B) {
	now := time.Now()
	h := metadata.New(metadata.Config{
		Credentials: func(context.Context) (metadata.Credentials, error) {
			return metadata.Credentials{AccessKeyID: "ASIA", SecretAccessKey: "s", Token: strings.Repeat("t", 500), Issued: now, Expires: now.Add(time.Hour)}, nil
		},
		Region: "us-west-2", Now: func() time.Time { now = now.Add(10 * time.Millisecond); return now }, Log: slog.New(slog.DiscardHandler),
	})
	w := httptest.NewRecorder()
	put := httptest.NewRequestWithContext(b.Context(), "PUT", tokenPath, nil)
	put.Header.Set(lifeHeader, "21600")
	h.ServeHTTP(w, put)
	get := httptest.NewRequestWithContext(b.Context(), "GET", rolePath, nil)
	get.Header.Set(header, w.Body.String())
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, get); w.Code != 200 {
			w = httptest.NewRecorder()
			h.ServeHTTP(w, put)
			get.Header.Set(header, w.Body.String())
		}
	}
}
