package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/secret"
)

// keeper is a server that keeps sessions.
type keeper struct {
	*script
	mu   sync.Mutex
	made int
	live map[string]bool
	// lost writes what a request of an unknown session is answered with.
	lost func(w http.ResponseWriter)
}

func newKeeper(t testing.TB) *keeper {
	k := &keeper{live: map[string]bool{}, lost: func(w http.ResponseWriter) { http.Error(w, "session not found", http.StatusNotFound) }}
	k.script = &script{t: t, answers: map[string]func(http.ResponseWriter, *http.Request, envelope){
		"initialize": func(w http.ResponseWriter, _ *http.Request, m envelope) {
			k.mu.Lock()
			k.made++
			id := fmt.Sprintf("s-%d", k.made)
			k.live[id] = true
			k.mu.Unlock()
			w.Header().Set("Mcp-Session-Id", id)
			reply(w, m, `{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"}}`)
		},
		"tools/call": func(w http.ResponseWriter, r *http.Request, m envelope) {
			id := r.Header.Get("Mcp-Session-Id")
			k.mu.Lock()
			ok := k.live[id]
			k.mu.Unlock()
			if !ok {
				k.lost(w)
				return
			}
			reply(w, m, `{"content":[{"type":"text","text":"`+id+`"}]}`)
		},
		"DELETE": func(w http.ResponseWriter, r *http.Request, _ envelope) {
			k.mu.Lock()
			delete(k.live, r.Header.Get("Mcp-Session-Id"))
			k.mu.Unlock()
		},
	}}
	return k
}

// restart forgets all sessions.
func (k *keeper) restart() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.live = map[string]bool{}
}

func (k *keeper) counts() (made, live int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.made, len(k.live)
}

func TestCatalogueEndsItsSession(t *testing.T) {
	k := newKeeper(t)
	open(t, Config{}, source(serve(t, k).URL))
	if made, live := k.counts(); made != 1 || live != 0 {
		t.Errorf("%d sessions made, %d live", made, live)
	}
}

func TestSharedSession(t *testing.T) {
	k := newKeeper(t)
	s := unopened(t, Config{}, source(serve(t, k).URL))
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if got, err := s.Call(t.Context(), target.Call{Tool: "echo"}); err != nil || text(t, got.Body) != "s-1" {
				t.Errorf("%s, %v", got.Body, err)
			}
		})
	}
	wg.Wait()
	if n := len(k.sent("tools/call")); n != 16 {
		t.Errorf("%d calls", n)
	}
	if n := len(k.sent("server/discover")); n != 1 {
		t.Errorf("%d probes", n)
	}
}

func TestSessionOfEachCaller(t *testing.T) {
	k := newKeeper(t)
	srv := serve(t, k)
	s := unopened(t, Config{}, source(srv.URL))
	for _, step := range []struct{ session, want string }{{"a", "s-1"}, {"b", "s-2"}, {"a", "s-1"}} {
		got, err := s.Call(t.Context(), target.Call{Tool: "echo", Session: step.session})
		if err != nil || text(t, got.Body) != step.want {
			t.Errorf("session %s: %s, %v", step.session, got.Body, err)
		}
	}
	s.End(t.Context(), "a")
	s.End(t.Context(), "a")
	if made, live := k.counts(); made != 2 || live != 1 {
		t.Errorf("%d made, %d live", made, live)
	}
	if got, err := s.Call(t.Context(), target.Call{Tool: "echo", Session: "a"}); err != nil || text(t, got.Body) != "s-3" {
		t.Errorf("after its end: %s, %v", got.Body, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, live := k.counts(); live != 0 {
		t.Errorf("%d sessions left after Close", live)
	}
}

// TestLinksThatFailed keeps nothing of callers whom a server has not greeted.
func TestLinksThatFailed(t *testing.T) {
	k := newKeeper(t)
	greets := k.answers["initialize"]
	k.answers["initialize"] = func(w http.ResponseWriter, _ *http.Request, _ envelope) {
		http.Error(w, "not now", http.StatusInternalServerError)
	}
	s := unopened(t, Config{}, source(serve(t, k).URL))
	for i := range 20 {
		if _, err := s.Call(t.Context(), target.Call{Tool: "echo", Session: fmt.Sprint(i)}); err == nil {
			t.Fatal("a server that fails has answered")
		}
	}
	if n := len(s.links.byKey); n != 0 {
		t.Errorf("%d sessions are kept with a server that made none", n)
	}
	k.answers["initialize"] = greets
	if _, err := s.Call(t.Context(), target.Call{Tool: "echo", Session: "1"}); err != nil || len(s.links.byKey) != 1 {
		t.Errorf("%d sessions are kept, %v", len(s.links.byKey), err)
	}
}

func TestUsersShareNoSession(t *testing.T) {
	user := func(sub string) target.Caller { return target.Caller{Issuer: "https://i", Subject: sub} }
	grant := agentcorecontrol.OAuthGrantTypeTOKEN_EXCHANGE
	kind := agentcorecontrol.CredentialProviderTypeOAUTH
	exchange := &agentcorecontrol.CredentialProviderConfiguration{CredentialProviderType: &kind,
		CredentialProvider: &agentcorecontrol.CredentialProvider{OauthCredentialProvider: &agentcorecontrol.OAuthCredentialProvider{GrantType: &grant}}}
	calls := map[string]target.Call{
		"one":             {Caller: user("1")},
		"two":             {Caller: user("2")},
		"signed":          {Caller: target.Caller{Principal: "arn:aws:iam::123456789012:user/u"}},
		"token":           {Caller: target.Caller{Token: secret.NewString("t")}},
		"other token":     {Caller: target.Caller{Token: secret.NewString("u")}},
		"header":          {Header: http.Header{"X-User": {"1"}}},
		"other header":    {Header: http.Header{"X-User": {"2"}}},
		"intercepted":     {Caller: user("1"), Intercepted: true, Header: http.Header{"Authorization": {"a"}}},
		"intercepted too": {Caller: user("1"), Intercepted: true, Header: http.Header{"Authorization": {"b"}}},
	}
	src := source(serve(t, newKeeper(t)).URL)
	src.Credential = exchange
	s := unopened(t, Config{}, src)
	seen := map[string]string{}
	for name, c := range calls {
		c.Tool = "echo"
		first, err := s.Call(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		again, err := s.Call(t.Context(), c)
		if err != nil || text(t, again.Body) != text(t, first.Body) {
			t.Errorf("%s: %s then %s, %v", name, first.Body, again.Body, err)
		}
		if other := seen[text(t, first.Body)]; other != "" {
			t.Errorf("%s shares the session of %s", name, other)
		}
		seen[text(t, first.Body)] = name
	}
	plain := unopened(t, Config{}, source(serve(t, newKeeper(t)).URL))
	for _, name := range []string{"one", "two", "signed"} {
		c := calls[name]
		c.Tool = "echo"
		if got, err := plain.Call(t.Context(), c); err != nil || text(t, got.Body) != "s-1" {
			t.Errorf("%s without credentials of its own: %s, %v", name, got.Body, err)
		}
	}
}

func TestLostSession(t *testing.T) {
	for name, lost := range map[string]func(http.ResponseWriter){
		"404":         func(w http.ResponseWriter) { http.Error(w, "gone", http.StatusNotFound) },
		"404 as JSON": func(w http.ResponseWriter) { jsonError(w, http.StatusNotFound, -32001, "Session not found") },
		"400": func(w http.ResponseWriter) {
			jsonError(w, http.StatusBadRequest, -32000, "Bad Request: No valid session ID provided")
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKeeper(t)
			k.lost = lost
			s := unopened(t, Config{}, source(serve(t, k).URL))
			if _, err := s.Call(t.Context(), target.Call{Tool: "echo"}); err != nil {
				t.Fatal(err)
			}
			k.restart()
			var wg sync.WaitGroup
			for range 12 {
				wg.Go(func() {
					if _, err := s.Call(t.Context(), target.Call{Tool: "echo"}); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if made, _ := k.counts(); made != 2 {
				t.Errorf("%d sessions made", made)
			}
		})
	}
}

func TestSessionLostForGood(t *testing.T) {
	k := newKeeper(t)
	s := unopened(t, Config{}, source(serve(t, k).URL))
	k.answers["tools/call"] = func(w http.ResponseWriter, _ *http.Request, _ envelope) { k.lost(w) }
	_, err := s.Call(t.Context(), target.Call{Tool: "echo"})
	var failed *target.Failure
	if !errors.As(err, &failed) || failed.Type != typeRefused {
		t.Errorf("%v", err)
	}
	if n := len(k.sent("tools/call")); n != 2 {
		t.Errorf("%d attempts", n)
	}
}

// TestSessionsExpireMidFlight holds that no call is lost while a server forgets its
// sessions again and again.
func TestSessionsExpireMidFlight(t *testing.T) {
	k := newKeeper(t)
	s := unopened(t, Config{}, source(serve(t, k).URL))
	var done atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if _, err := s.Call(t.Context(), target.Call{Tool: "echo"}); err != nil && codeless(err) {
					t.Error(err)
				}
				if done.Add(1)%100 == 0 {
					k.restart()
				}
			}
		})
	}
	wg.Wait()
}

// codeless tells whether a call failed for another reason than that its server lost two
// sessions in a row, which is its own fault.
func codeless(err error) bool {
	var failed *target.Failure
	return !errors.As(err, &failed) || failed.Type != typeRefused
}

func TestServerChangesItsEra(t *testing.T) {
	var modernNow atomic.Bool
	sc := &script{t: t}
	sc.answers = map[string]func(http.ResponseWriter, *http.Request, envelope){
		"server/discover": func(w http.ResponseWriter, _ *http.Request, m envelope) {
			if modernNow.Load() {
				reply(w, m, `{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}}}`)
				return
			}
			http.Error(w, "Bad Request", http.StatusBadRequest)
		},
		"tools/call": func(w http.ResponseWriter, r *http.Request, m envelope) {
			switch version := r.Header.Get("Mcp-Protocol-Version"); {
			case modernNow.Load() && version != modern:
				jsonError(w, http.StatusBadRequest, codeUnsupportedVersion, "Unsupported protocol version")
			case !modernNow.Load() && version == modern:
				http.Error(w, "Bad Request: Unsupported protocol version", http.StatusBadRequest)
			default:
				reply(w, m, `{"content":[{"type":"text","text":"`+version+`"}]}`)
			}
		},
	}
	s := unopened(t, Config{}, source(serve(t, sc).URL))
	for _, now := range []bool{false, true, false} {
		modernNow.Store(now)
		want := map[bool]string{false: "2025-06-18", true: modern}[now]
		if got, err := s.Call(t.Context(), target.Call{Tool: "echo"}); err != nil || text(t, got.Body) != want {
			t.Errorf("modern %v: %s, %v", now, got.Body, err)
		}
	}
}

func TestOldestSessionGoes(t *testing.T) {
	k := newKeeper(t)
	s := unopened(t, Config{Limits: Limits{Sessions: 2}}, source(serve(t, k).URL))
	for _, session := range []string{"a", "b", "a", "c", "a"} {
		if _, err := s.Call(t.Context(), target.Call{Tool: "echo", Session: session}); err != nil {
			t.Fatal(err)
		}
	}
	s.loose.Wait()
	if made, live := k.counts(); made != 3 || live != 2 {
		t.Errorf("%d made, %d live", made, live)
	}
}

func jsonError(w http.ResponseWriter, status, code int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"jsonrpc":"2.0","id":null,"error":{"code":%d,"message":%q}}`, code, message)
}

// TestServerOfBothEras is one that keeps sessions for those who begin with initialize, and
// also speaks the newest revision: each caller gets its own.
func TestServerOfBothEras(t *testing.T) {
	k := newKeeper(t)
	k.answers["server/discover"] = func(w http.ResponseWriter, _ *http.Request, m envelope) {
		reply(w, m, `{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}}}`)
	}
	call := k.answers["tools/call"]
	k.answers["tools/call"] = func(w http.ResponseWriter, r *http.Request, m envelope) {
		if r.Header.Get("Mcp-Protocol-Version") == modern {
			reply(w, m, `{"resultType":"complete","content":[{"type":"text","text":"modern"}]}`)
			return
		}
		call(w, r, m)
	}
	s := unopened(t, Config{}, source(serve(t, k).URL))
	for _, c := range []struct{ session, version, want string }{
		{"", modern, "modern"}, {"a", legacy, "s-1"}, {"", legacy, "modern"}, {"b", legacy, "s-2"}, {"a", "2025-06-18", "s-1"},
	} {
		got, err := s.Call(t.Context(), target.Call{Tool: "echo", Session: c.session, Version: c.version})
		if err != nil || text(t, got.Body) != c.want {
			t.Errorf("session %q, %s: %s, %v; want %s", c.session, c.version, got.Body, err, c.want)
		}
	}
	if n := len(k.sent("server/discover")); n != 1 {
		t.Errorf("%d probes", n)
	}
}

// TestServerWithoutSessions holds that callers with a session and without begin once.
func TestServerWithoutSessions(t *testing.T) {
	for _, sessions := range [][]string{{"", "a", "b", "a"}, {"a", "", "b", "a"}} {
		sc := &script{t: t}
		s := unopened(t, Config{}, source(serve(t, sc).URL))
		for _, session := range sessions {
			if _, err := s.Call(t.Context(), target.Call{Tool: "echo", Session: session, Version: legacy}); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(sc.sent("initialize")); n > 2 {
			t.Errorf("%q: it begins %d times", sessions, n)
		}
	}
}

func TestIdleSessionGoes(t *testing.T) {
	k := newKeeper(t)
	now := time.Unix(0, 0)
	s := unopened(t, Config{Now: func() time.Time { return now }}, source(serve(t, k).URL))
	for _, step := range []struct {
		session string
		after   time.Duration
	}{{"a", 0}, {"b", maxIdle - 1}, {"c", 2}} {
		now = now.Add(step.after)
		if _, err := s.Call(t.Context(), target.Call{Tool: "echo", Session: step.session}); err != nil {
			t.Fatal(err)
		}
		s.loose.Wait()
	}
	if made, live := k.counts(); made != 3 || live != 2 {
		t.Errorf("%d made, %d live", made, live)
	}
}

// TestCapabilities holds what servers are told that callers can be asked for.
func TestCapabilities(t *testing.T) {
	k := newKeeper(t)
	src := source(serve(t, k).URL)
	src.Sessions = true
	s, _ := open(t, Config{}, src)
	able := json.RawMessage(`{"sampling":{}}`)
	for _, c := range []target.Call{{}, {Session: "a", Capabilities: able}, {Session: "b"}, {Meta: json.RawMessage(`{"io.modelcontextprotocol/clientCapabilities":{"sampling":{}}}`), Version: modern}} {
		c.Tool = "echo"
		if _, err := s.Call(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	var told []string
	for _, r := range k.sent("initialize") {
		var p struct{ Capabilities json.RawMessage }
		if err := json.Unmarshal(r.Params, &p); err != nil {
			t.Fatal(err)
		}
		told = append(told, string(p.Capabilities))
	}
	// The second is for what is listed to everybody.
	if want := []string{`{"elicitation":{"form":{},"url":{}},"sampling":{},"roots":{}}`, `{}`, `{}`, `{"sampling":{}}`, `{}`}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

// TestAsking finds out which tools a server lists only to those who can be asked, and leaves
// no session behind.
func TestAsking(t *testing.T) {
	k := newKeeper(t)
	begin := k.answers["initialize"]
	var able sync.Map // capabilities by session
	k.answers["initialize"] = func(w http.ResponseWriter, r *http.Request, m envelope) {
		begin(w, r, m)
		var p struct{ Capabilities json.RawMessage }
		if err := json.Unmarshal(m.Params, &p); err != nil {
			t.Error(err)
		}
		able.Store(w.Header().Get("Mcp-Session-Id"), string(p.Capabilities))
	}
	refuse := false
	k.answers["tools/list"] = func(w http.ResponseWriter, r *http.Request, m envelope) {
		of, _ := able.Load(r.Header.Get("Mcp-Session-Id"))
		if refuse && of != `{}` && !strings.Contains(of.(string), `"url"`) {
			http.Error(w, "busy", http.StatusServiceUnavailable)
			return
		}
		var tools []string
		for name, needs := range map[string][]string{"plain": nil, "form": {"elicitation"}, "page": {"url"}, "model": {"sampling"}, "both": {"sampling", "roots"}} {
			if !slices.ContainsFunc(needs, func(need string) bool { return !strings.Contains(of.(string), `"`+need+`"`) }) {
				tools = append(tools, `{"name":"`+name+`","inputSchema":{"type":"object"}}`)
			}
		}
		reply(w, m, `{"tools":[`+strings.Join(tools, ",")+`]}`)
	}
	src := source(serve(t, k).URL)
	src.Sessions = true
	list := func() target.Catalogue {
		t.Helper()
		c, err := New(Config{Client: local()}).Catalogue(t.Context(), src)
		if err != nil || len(c.Tools) != 5 || (c.Unasked != "") != refuse {
			t.Fatalf("%+v, %v", c, err)
		}
		if made, live := k.counts(); live != 0 {
			t.Errorf("%d of %d sessions are left", live, made)
		}
		return c
	}
	if got, want := fmt.Sprint(list().Asking), "map[both:[elicitation elicitation.url sampling roots] form:[elicitation elicitation.url] model:[sampling] page:[elicitation.url]]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	refuse = true
	if got := list().Asking; got != nil {
		t.Errorf("%v of a server that does not say", got)
	}
	refuse = false
	// A server that is left alone is asked for its lists alone.
	made, _ := k.counts()
	alone := Listening{Wanted: func(context.Context, *url.URL) bool { return false }}
	c, err := New(Config{Client: local(), Listening: alone}).Catalogue(t.Context(), src)
	if now, _ := k.counts(); err != nil || len(c.Tools) != 5 || c.Asking != nil || c.Unasked != "" || now != made+1 {
		t.Errorf("left alone: %+v, %v, %d sessions", c, err, now-made)
	}
	src.Sessions = false
	c, err = New(Config{Client: local()}).Catalogue(t.Context(), src)
	if err != nil || len(c.Tools) != 1 || c.Asking != nil {
		t.Errorf("without sessions: %+v, %v", c, err)
	}
}

// TestAskingInVain: a server that begins one session alone has its tools listed all the same,
// in little more than the time that a greeting has.
func TestAskingInVain(t *testing.T) {
	k := newKeeper(t)
	begin := k.answers["initialize"]
	k.answers["initialize"] = func(w http.ResponseWriter, r *http.Request, m envelope) {
		if made, _ := k.counts(); made > 0 {
			<-r.Context().Done()
			return
		}
		begin(w, r, m)
	}
	src := source(serve(t, k).URL)
	src.Sessions = true
	began := time.Now()
	c, err := New(Config{Client: local(), Limits: Limits{Greeting: 500 * time.Millisecond, Catalogue: time.Minute}}).Catalogue(t.Context(), src)
	if took := time.Since(began); err != nil || len(c.Tools) != 1 || c.Asking != nil || c.Unasked == "" || took > 20*time.Second {
		t.Errorf("after %s: %+v, %v", took, c, err)
	}
}

// TestSessionsThatDoNotBegin: a session is ended whose server does not hear that it begins.
func TestSessionsThatDoNotBegin(t *testing.T) {
	k := newKeeper(t)
	k.answers["notifications/initialized"] = func(w http.ResponseWriter, _ *http.Request, _ envelope) {
		http.Error(w, "no", http.StatusInternalServerError)
	}
	if _, err := New(Config{Client: local()}).Catalogue(t.Context(), source(serve(t, k).URL)); err == nil {
		t.Error("a session began")
	}
	if made, live := k.counts(); made == 0 || live != 0 {
		t.Errorf("%d of %d sessions are left", live, made)
	}
}

func TestWhoseCredentials(t *testing.T) {
	set := func(s string) *string { return &s }
	oauth := func(grant *string) *agentcorecontrol.CredentialProviderConfiguration {
		return &agentcorecontrol.CredentialProviderConfiguration{CredentialProviderType: set(agentcorecontrol.CredentialProviderTypeOAUTH),
			CredentialProvider: &agentcorecontrol.CredentialProvider{OauthCredentialProvider: &agentcorecontrol.OAuthCredentialProvider{GrantType: grant}}}
	}
	of := func(kind string) *agentcorecontrol.CredentialProviderConfiguration {
		return &agentcorecontrol.CredentialProviderConfiguration{CredentialProviderType: &kind}
	}
	for name, c := range map[string]struct {
		config *agentcorecontrol.CredentialProviderConfiguration
		want   bool
	}{
		"none":               {nil, false},
		"key":                {of(agentcorecontrol.CredentialProviderTypeAPI_KEY), false},
		"role":               {of(agentcorecontrol.CredentialProviderTypeGATEWAY_IAM_ROLE), false},
		"caller":             {of(agentcorecontrol.CredentialProviderTypeCALLER_IAM_CREDENTIALS), true},
		"token":              {of(agentcorecontrol.CredentialProviderTypeJWT_PASSTHROUGH), true},
		"what comes later":   {of("SOMETHING"), true},
		"client":             {oauth(nil), false},
		"client, said":       {oauth(set(agentcorecontrol.OAuthGrantTypeCLIENT_CREDENTIALS)), false},
		"user":               {oauth(set(agentcorecontrol.OAuthGrantTypeAUTHORIZATION_CODE)), true},
		"exchange":           {oauth(set(agentcorecontrol.OAuthGrantTypeTOKEN_EXCHANGE)), true},
		"OAuth without more": {of(agentcorecontrol.CredentialProviderTypeOAUTH), false},
	} {
		if got := callerDependent(c.config); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
