package oidc

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/issuer"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/secret/secrettest"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/sqlite"
	"github.com/outcrop/outcrop/internal/telemetry"
)

const (
	redirect = "https://app.example/cb?fixed=1"
	password = "Analytical-1"
	// The verifier and the challenge of RFC 7636, appendix B.
	verifier  = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	s256      = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
	ownOrigin = "http://outcrop.test"
)

// kit is a handler with a pool, clients and the user ada.
type kit struct {
	testing.TB
	handler                 *Handler
	pools                   *issuer.Pools
	pool                    issuer.Pool
	public, private, worker issuer.Client
	privateSecret           string
	workerSecret            string
	ahead                   time.Duration

	audit []telemetry.Record
	full  error // of AuditDurable
	// broken is what serves fails with.
	broken error
}

func (k *kit) Audit(_ context.Context, r telemetry.Record) error {
	k.audit = append(k.audit, r)
	return nil
}

// serves knows one resource, at the name that the server is asked by.
func (k *kit) serves(_ context.Context, host, resource string) (bool, error) {
	return resource == "http://"+host+"/runtimes/ours/invocations?qualifier=DEFAULT", k.broken
}

func (k *kit) AuditDurable(_ context.Context, r telemetry.Record) error {
	if k.full == nil {
		k.audit = append(k.audit, r)
	}
	return k.full
}

func newKit(t testing.TB) *kit {
	t.Helper()
	k := &kit{TB: t}
	dir := t.TempDir()
	box := secrettest.Box(t)
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, "outcrop.db"), sqlite.Options{})
	k.must(err)
	t.Cleanup(func() { k.must(db.Close()) })
	begun := time.Now() // and no time passes but ahead: pauses of seconds do not end by themselves on a busy machine
	now := func() time.Time { return begun.Add(k.ahead) }
	k.pools = issuer.New(issuer.Config{Store: db, Box: box, Rand: rand.Reader, Now: now, Log: slog.New(slog.DiscardHandler)})
	k.handler = New(Config{Pools: k.pools, Serves: k.serves, Base: base, HTTP: &http.Client{}, Box: box, Audit: k, Now: now, Log: slog.New(slog.DiscardHandler)})
	scope := store.Scope{Account: "111122223333", Region: "us-east-1"}
	ctx := t.Context()
	k.pool, err = k.pools.CreatePool(ctx, scope, issuer.Settings{Name: "people <b>", Registration: issuer.Registration{Open: true}})
	k.must(err)
	code := issuer.ClientSettings{Name: "app", OAuth: true, Grants: []string{"code"}, Scopes: []string{"openid", "email"}, Callbacks: []string{redirect}, Logouts: []string{"https://app.example/bye"}}
	k.public, err = k.pools.CreateClient(ctx, scope, k.pool.ID, code, false, secret.String{})
	k.must(err)
	k.private, err = k.pools.CreateClient(ctx, scope, k.pool.ID, code, true, secret.String{})
	k.must(err)
	k.must(k.pools.CreateServer(ctx, scope, k.pool.ID, issuer.ResourceServer{Identifier: "tools", Name: "tools", Scopes: []issuer.ServerScope{{Name: "invoke"}}}))
	for _, name := range []string{"https://payroll.example", "https://tools.example"} {
		k.must(k.pools.CreateServer(ctx, scope, k.pool.ID, issuer.ResourceServer{Identifier: name, Name: name, Scopes: []issuer.ServerScope{{Name: "call"}}}))
	}
	k.worker, err = k.pools.CreateClient(ctx, scope, k.pool.ID, issuer.ClientSettings{
		Name: "worker", OAuth: true, Grants: []string{"client_credentials"}, Scopes: []string{"tools/invoke", "https://tools.example/call"},
	}, true, secret.String{})
	k.must(err)
	k.privateSecret, k.workerSecret = k.reveal(k.private), k.reveal(k.worker)
	_, err = k.pools.CreateUser(ctx, k.pool, issuer.NewUser{Name: "ada", Attributes: map[string]string{"email": "ada@example.com"}})
	k.must(err)
	k.must(k.pools.SetPassword(ctx, k.pool, "ada", secret.NewString(password), true))
	return k
}

func (k *kit) must(err error) {
	k.Helper()
	if err != nil {
		k.Fatal(err)
	}
}

func (k *kit) reveal(c issuer.Client) string {
	s, err := k.pools.Secret(k.Context(), c)
	k.must(err)
	return s.Reveal()
}

// jar is a browser's cookies.
type jar map[string]string

// ask sends a request below the pool, with the cookies of a browser, and keeps those
// that it sets.
func (k *kit) ask(j jar, method, path string, form url.Values, header http.Header) *http.Response {
	k.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r := httptest.NewRequest(method, ownOrigin+"/"+k.pool.ID+path, body)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for name, value := range j {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	for name, values := range header {
		r.Header[name] = values
	}
	w := httptest.NewRecorder()
	k.handler.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/"+k.pool.ID+"/" {
			k.Errorf("cookie %s is open: %+v", c.Name, c)
		}
		if j != nil {
			j[c.Name] = c.Value
		}
		if j != nil && c.MaxAge < 0 {
			delete(j, c.Name)
		}
	}
	return w.Result()
}

// asked are the parameters of a good request, with some changed; an empty value takes
// one away.
func (k *kit) asked(change ...string) url.Values {
	q := url.Values{
		"response_type": {"code"}, "client_id": {k.public.ID}, "redirect_uri": {redirect}, "scope": {"openid email"}, "state": {"s&t=1"},
		"nonce": {"n"}, "code_challenge": {s256}, "code_challenge_method": {"S256"},
	}
	for i := 0; i+1 < len(change); i += 2 {
		q.Del(change[i])
		if change[i+1] != "" {
			q.Set(change[i], change[i+1])
		}
	}
	return q
}

var hiddenField = regexp.MustCompile(`name="request" value="([^"]+)"`)

func text(resp *http.Response) string {
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// open opens the page of a request and returns what its form carries.
func (k *kit) open(j jar, q url.Values) string {
	k.Helper()
	resp := k.ask(j, "GET", "/login?"+q.Encode(), nil, nil)
	body := text(resp)
	m := hiddenField.FindStringSubmatch(body)
	if resp.StatusCode != http.StatusOK || m == nil {
		k.Fatalf("the page: %d %s", resp.StatusCode, body)
	}
	return m[1]
}

// signIn goes through the page and returns the address at the client.
func (k *kit) signIn(j jar, q url.Values) *url.URL {
	k.Helper()
	resp := k.ask(j, "POST", "/login", url.Values{"request": {k.open(j, q)}, "username": {"ada"}, "password": {password}}, nil)
	to, err := resp.Location()
	if err != nil || resp.StatusCode != http.StatusSeeOther {
		k.Fatalf("signed in: %d %s", resp.StatusCode, text(resp))
	}
	return to
}

// token asks the token endpoint.
func (k *kit) token(form url.Values, header http.Header) (int, map[string]any) {
	k.Helper()
	resp := k.ask(nil, "POST", "/oauth2/token", form, header)
	out := map[string]any{}
	if body := text(resp); json.Unmarshal([]byte(body), &out) != nil {
		k.Fatalf("the token endpoint: %d %s", resp.StatusCode, body)
	}
	if resp.Header.Get("Cache-Control") != "no-store" {
		k.Error("the answer may be kept")
	}
	return resp.StatusCode, out
}

// base is by which address a request has come.
func base(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}
