package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/portal"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/secret/secrettest"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/sqlite"
	"github.com/outcrop/outcrop/internal/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	portalID = "Team-abcdefghij"
	otherID  = "Other-abcdefghij"
	idpURL   = "https://idp.example/authorize"
	vendor   = "https://vendor.example/authorize"
	issuer   = "https://idp.example"
	// planted is in every token of these tests, and in nothing else.
	planted = "pl4nted"
)

// kit is the pages before an identity provider, a gateway and an Identity service that are
// made up.
type kit struct {
	testing.TB
	h      *Handler
	server *httptest.Server
	dir    string
	store  *sqlite.Store
	log    strings.Builder

	mu       sync.Mutex
	now      time.Time         // ahead of the clock by which the store sweeps
	asked    Ask               // last
	silent   bool              // the identity provider does not say who it is
	users    map[string]string // access token to subject
	claims   Claims            // of the next identity token; what is empty is right
	banned   string            // a subject that the gateway does not know
	fail     error             // of everything that is asked
	targets  []Target
	on       map[string]bool // connections by user and key
	pending  map[string]Pending
	states   map[string]string // of what was vouched for, by request_uri
	complete []string
	records  []telemetry.Record
	listed   int
}

func newKit(t testing.TB, tls bool) *kit {
	k := &kit{TB: t, dir: t.TempDir(), now: time.Date(2126, 11, 22, 10, 0, 0, 0, time.UTC), users: map[string]string{}, on: map[string]bool{}, pending: map[string]Pending{}, states: map[string]string{}}
	k.targets = []Target{
		{Name: "notes", Description: "Notes of <all> & everybody", Provider: "github", Vendor: "GithubOauth2", Scopes: []string{"repo", "read"}, ReturnURL: "ours"},
		{Name: "issues", Provider: "github", Vendor: "GithubOauth2", Scopes: []string{"read", "repo"}, ReturnURL: "ours"},
		{Name: "<script>alert(1)</script>", Provider: "crm", Vendor: "CustomOauth2", ReturnURL: "https://elsewhere.example/"},
	}
	var err error
	if k.store, err = sqlite.Open(t.Context(), filepath.Join(k.dir, "db"), sqlite.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.must(k.store.Close()) })
	k.h = New(Config{
		Portals: k, SignIns: k, Gateways: k, Consents: k, Store: k.store, Box: secrettest.Box(t), Audit: k, Now: k.clock,
		Hosted: func(host string) string {
			id, _ := strings.CutSuffix(host, ".consent-portal.localhost")
			if id == host {
				return ""
			}
			return id
		},
		Log: slog.New(slog.NewTextHandler(&k.log, nil)),
	})
	k.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !k.h.Serves(r) {
			http.NotFound(w, r)
			return
		}
		k.h.ServeHTTP(w, r)
	}))
	if tls {
		k.server.StartTLS()
	} else {
		k.server.Start()
	}
	t.Cleanup(k.server.Close)
	for i := range k.targets {
		if k.targets[i].ReturnURL == "ours" {
			k.targets[i].ReturnURL = k.url() + portal.ReturnPath
		}
	}
	return k
}

func (k *kit) url() string { return k.server.URL + portal.PathPrefix + portalID }

func (k *kit) must(err error) {
	k.Helper()
	if err != nil {
		k.Fatal(err)
	}
}

func (k *kit) clock() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.now
}

func (k *kit) pass(d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.now = k.now.Add(d)
}

// Find implements Portals.
func (k *kit) Find(_ context.Context, id string) (portal.Portal, error) {
	for _, is := range []string{portalID, otherID} {
		if strings.EqualFold(is, id) {
			return portal.Portal{
				Scope: store.Scope{Account: "111122223333", Region: "us-west-2"}, ID: is, ARN: "arn:aws:bedrock-agentcore:us-west-2:111122223333:consent-portal/" + is,
				Name: "Team <b>", Gateway: "tools-abcdefghij", Role: "role", Provider: "people", URL: k.server.URL + portal.PathPrefix + is,
			}, nil
		}
	}
	return portal.Portal{}, fault.NotFound("No consent portal found with id '%s'", id)
}

// Send implements SignIns.
func (k *kit) Send(_ context.Context, _ portal.Portal, a Ask) (Sent, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked = a
	return Sent{URL: idpURL + "?state=" + a.State.Reveal(), ClientID: "client", Issuer: issuer, NamesItself: !k.silent}, k.fail
}

// Redeem implements SignIns: a code is the name of the user, and good where the verifier is.
func (k *kit) Redeem(_ context.Context, _ portal.Portal, code, verifier secret.String) (Tokens, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fail != nil || !verifier.Equal(k.asked.Verifier) {
		return Tokens{}, errors.Join(k.fail, fault.Validation("invalid_grant"))
	}
	access := fmt.Sprintf("%s-%s-%d", planted, code.Reveal(), len(k.users))
	k.users[access] = code.Reveal()
	return Tokens{Access: secret.NewString(access), ID: code}, nil
}

// Identify implements SignIns.
func (k *kit) Identify(_ context.Context, _ portal.Portal, token secret.String, client string) (Claims, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	c := k.claims
	if client != "client" {
		return c, fault.Denied("for another client")
	}
	if c.Issuer == "" {
		c.Issuer = issuer
	}
	if c.Subject == "" {
		c.Subject = token.Reveal()
	}
	if c.Nonce == "" {
		c.Nonce = k.asked.Nonce.Reveal()
	}
	c.Name = c.Subject + "@example.com <i>"
	return c, k.fail
}

// Verify implements SignIns.
func (k *kit) Verify(_ context.Context, _ portal.Portal, token secret.String) (User, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	sub, ok := k.users[token.Reveal()]
	if !ok || sub == k.banned {
		return User{}, fault.Denied("Claim 'team' value mismatch with configuration of %s.", sub)
	}
	return User{Issuer: issuer, Subject: sub, Expires: time.Date(2126, 11, 22, 11, 0, 0, 0, time.UTC)}, nil
}

// Targets implements Gateways.
func (k *kit) Targets(context.Context, portal.Portal) (Listing, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.listed++
	return Listing{Gateway: "team-tools", Targets: k.targets}, k.fail
}

// Connected implements Consents.
func (k *kit) Connected(_ context.Context, _ portal.Portal, u User, c Connection) (bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.on[u.Subject+c.Provider], nil
}

// Disconnect implements Consents.
func (k *kit) Disconnect(_ context.Context, _ portal.Portal, u User, c Connection) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.on, u.Subject+c.Provider)
	return k.fail
}

// Ask implements Consents.
func (k *kit) Ask(_ context.Context, _ portal.Portal, token secret.String, c Connection, again bool) (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	sub := k.users[token.Reveal()]
	if k.on[sub+c.Provider] && !again || k.fail != nil {
		return "", k.fail
	}
	return k.wants(sub, c.Provider), nil
}

// wants begins a consent of a user's, as a gateway's call does. k.mu is held.
func (k *kit) wants(sub, provider string) string {
	uri := fmt.Sprintf("urn:ietf:params:oauth:request_uri:%s-%d", sub, len(k.pending))
	k.pending[uri] = Pending{Provider: provider, Issuer: issuer, Subject: sub}
	return uri
}

// Pending implements Consents.
func (k *kit) Pending(_ context.Context, p portal.Portal, uri string) (Pending, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	c, ok := k.pending[uri]
	if !ok || p.ID != portalID {
		return c, ErrNone
	}
	return c, nil
}

// Vouch implements Consents.
func (k *kit) Vouch(_ context.Context, _ portal.Portal, uri, state string, c Pending) (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.pending[uri] != c {
		return "", ErrNone
	}
	k.states[uri] = state
	return vendor + "?" + url.Values{"request_uri": {uri}}.Encode(), nil
}

// Complete implements Consents.
func (k *kit) Complete(_ context.Context, _ portal.Portal, session string, token secret.String, gatewayUser string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	uri, _, _ := strings.Cut(session, ".")
	c, ok := k.pending[uri]
	if !ok {
		return ErrNone
	}
	delete(k.pending, uri)
	if gatewayUser == "" && c.Subject != k.users[token.Reveal()] || gatewayUser != c.GatewayUser {
		return ErrNone
	}
	k.on[c.Subject+c.Provider] = true
	k.complete = append(k.complete, session+" "+c.Subject+gatewayUser)
	return k.fail
}

// Audit implements Auditor.
func (k *kit) Audit(_ context.Context, r telemetry.Record) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.records = append(k.records, r)
	return nil
}

// audited are the records of an event, as text.
func (k *kit) audited(event string) (out []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, r := range k.records {
		if r.Event == event {
			out = append(out, fmt.Sprintf("%d %s %s %v", r.Status, r.Principal, r.ErrorMessage, r.Resources))
		}
	}
	return out
}

// browser is one person's.
type browser struct {
	*kit
	http *http.Client
	jar  http.CookieJar
	home string
	// head is added to what it sends.
	head map[string]string
	seen strings.Builder // everything that it was told
}

func (k *kit) browser() *browser {
	jar, err := cookiejar.New(nil)
	k.must(err)
	c := k.server.Client()
	transport := c.Transport.(*http.Transport).Clone()
	k.Cleanup(transport.CloseIdleConnections)
	return &browser{kit: k, jar: jar, home: k.url(), http: &http.Client{Jar: jar, Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// view is what a browser gets: a page, or where it is sent.
type view struct {
	status   int
	text, to string
	head     http.Header
}

func (b *browser) send(method, at string, form url.Values) view {
	b.Helper()
	if !strings.HasPrefix(at, "http") {
		at = b.home + at
	}
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(b.Context(), method, at, body)
	b.must(err)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for name, value := range b.head {
		r.Header.Set(name, value)
	}
	resp, err := b.http.Do(r)
	b.must(err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	b.must(err)
	if raw, err := json.Marshal(resp.Header); err == nil {
		b.seen.Write(raw)
	}
	b.seen.Write(text)
	return view{resp.StatusCode, string(text), resp.Header.Get("Location"), resp.Header}
}

func (b *browser) get(at string) view { b.Helper(); return b.send(http.MethodGet, at, nil) }

// follow goes on to where a view leads, which must be the portal.
func (b *browser) follow(v view) view {
	b.Helper()
	if !strings.HasPrefix(v.to, b.server.URL+"/") {
		b.Fatalf("%d leads to %q", v.status, v.to)
	}
	return b.get(v.to)
}

// signIn signs a user in, and returns where that leads.
func (b *browser) signIn(name string) view {
	b.Helper()
	if v := b.get("/login"); !strings.HasPrefix(v.to, idpURL) {
		b.Fatalf("%d %s", v.status, v.text)
	}
	return b.back(name)
}

// back is the identity provider's answer to what was asked last.
func (b *browser) back(name string) view {
	b.Helper()
	return b.get("/callback?" + url.Values{"code": {name}, "state": {b.asked.State.Reveal()}, "iss": {issuer}}.Encode())
}

var field = regexp.MustCompile(`name="([a-z_]+)" value="([^"]*)"`)

// form is the form of a page that leads to a path, by the text of its button.
func (b *browser) form(v view, button string) url.Values {
	b.Helper()
	for part := range strings.SplitSeq(v.text, "<form") {
		if strings.Contains(part, ">"+button+"</button>") {
			out := url.Values{}
			for _, m := range field.FindAllStringSubmatch(part, -1) {
				out.Set(m[1], m[2])
			}
			return out
		}
	}
	b.Fatalf("there is no %s in %s", button, v.text)
	return nil
}

// returns is the vendor's answer to a consent that was begun, by way of Identity.
func (k *kit) returns(uri string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return portal.ReturnPath + "?" + url.Values{"session_id": {uri + ".handle"}, "state": {k.states[uri]}}.Encode()
}

// uriOf is the request_uri in an address.
func uriOf(at string) string {
	u, err := url.Parse(at)
	if err != nil {
		return ""
	}
	return u.Query().Get("request_uri")
}
