package web

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/fault"
)

// openRoutes is the whole list of what a portal answers without a signature. It is golden:
// nothing joins it unseen.
var openRoutes = []string{
	"GET ", "GET /callback", "GET /connect", "GET /connect/callback", "GET /login", "POST /agree", "POST /connect", "POST /disconnect", "POST /logout",
}

func TestRoutes(t *testing.T) {
	got := Routes()
	slices.Sort(got)
	if !slices.Equal(got, openRoutes) {
		t.Errorf("routes %q, want %q", got, openRoutes)
	}
}

// TestConnections follows a user from signing in to signing out.
func TestConnections(t *testing.T) {
	k := newKit(t, false)
	b := k.browser()
	if v := b.get(""); v.status != http.StatusOK || !strings.Contains(v.text, `href="/portal/`+portalID+`/login"`) {
		t.Fatalf("%d %s", v.status, v.text)
	}
	v := b.follow(b.signIn("ada"))
	for _, want := range []string{"ada@example.com &lt;i&gt;", "team-tools", "Team &lt;b&gt;", "Notes of &lt;all&gt; &amp; everybody", "&lt;script&gt;alert(1)&lt;/script&gt;", "Github", "leads you back to another page"} {
		if !strings.Contains(v.text, want) {
			t.Errorf("the page does not say %q:\n%s", want, v.text)
		}
	}
	if n := strings.Count(v.text, "Not connected"); n != 2 { // the two targets of github want the same
		t.Errorf("%d connections:\n%s", n, v.text)
	}
	gone := b.send(http.MethodPost, "/connect", b.form(v, "Connect")) // crm is first
	if gone.status != http.StatusSeeOther || !strings.HasPrefix(gone.to, vendor) {
		t.Fatalf("%d %s %s", gone.status, gone.to, gone.text)
	}
	back := b.get(k.returns(uriOf(gone.to)))
	v = b.follow(back)
	if !strings.Contains(v.text, "You are connected.") || strings.Count(v.text, "Not connected") != 1 {
		t.Errorf("%s", v.text)
	}
	if again := b.send(http.MethodPost, "/connect", b.form(v, "Reconnect")); !strings.HasPrefix(again.to, vendor) {
		t.Errorf("%d %s", again.status, again.to)
	} else if v := b.follow(b.get(k.returns(uriOf(again.to)) + "&error=access_denied&error_description=%3Cscript%3E")); !strings.Contains(v.text, "You did not agree") {
		t.Error(v.text)
	}
	v = b.follow(b.send(http.MethodPost, "/disconnect", b.form(v, "Disconnect")))
	if !strings.Contains(v.text, "You are disconnected.") || strings.Count(v.text, "Not connected") != 2 {
		t.Error(v.text)
	}
	v = b.send(http.MethodPost, "/logout", b.form(v, "Sign out"))
	if v.status != http.StatusOK || !strings.Contains(v.text, "Signed out") {
		t.Errorf("%d %s", v.status, v.text)
	}
	if v := b.get(""); strings.Contains(v.text, "ada") {
		t.Error(v.text)
	}
	if strings.Contains(b.seen.String(), planted) || strings.Contains(k.log.String(), planted) {
		t.Error("a token is in what the browser gets, or in the log")
	}
	for event, n := range map[string]int{"SignInToConsentPortal": 1, "ConnectOnConsentPortal": 2, "CompleteOnConsentPortal": 2, "DisconnectOnConsentPortal": 1, "SignOutOfConsentPortal": 1} {
		if got := k.audited(event); len(got) != n || !strings.Contains(got[0], issuer+"#ada") {
			t.Errorf("%s: %q", event, got)
		}
	}
	if k.listed != 1 {
		t.Errorf("the gateway was asked %d times", k.listed)
	}
}

// TestLink: a link from a tool's answer leads a user who was never here over signing in to
// the service, and back.
func TestLink(t *testing.T) {
	k := newKit(t, false)
	uri := k.wants("ada", "github")
	b := k.browser()
	v := b.get("/connect?" + url.Values{"request_uri": {uri}}.Encode())
	if !strings.HasPrefix(v.to, idpURL) {
		t.Fatalf("%d %s", v.status, v.text)
	}
	v = b.follow(b.back("ada"))
	if uriOf(v.to) != uri || !strings.HasPrefix(v.to, vendor) {
		t.Fatalf("%d %s %s", v.status, v.to, v.text)
	}
	if v := b.follow(b.get(k.returns(uri))); !strings.Contains(v.text, "You are connected.") {
		t.Error(v.text)
	}
	if v := b.get("/connect?" + url.Values{"request_uri": {uri}}.Encode()); v.status != http.StatusBadRequest || !strings.Contains(v.text, "used before") {
		t.Errorf("the same link again: %d %s", v.status, v.text)
	}
}

// TestGatewayAsksForItself: nobody lends a gateway their account by a link alone.
func TestGatewayAsksForItself(t *testing.T) {
	k := newKit(t, false)
	const uri = "urn:ietf:params:oauth:request_uri:own"
	k.pending[uri] = Pending{Provider: "github", GatewayUser: "tools-abcdefghijTARGETuuid"}
	b := k.browser()
	b.signIn("ada")
	v := b.get("/connect?" + url.Values{"request_uri": {uri}}.Encode())
	if v.status != http.StatusOK || v.to != "" || !strings.Contains(v.text, "Lend your account?") || len(k.states) != 0 {
		t.Fatalf("%d %s %s", v.status, v.to, v.text)
	}
	if v := b.send(http.MethodPost, "/agree", b.form(v, "Go on")); !strings.HasPrefix(v.to, vendor) {
		t.Fatalf("%d %s", v.status, v.text)
	}
	b.get(k.returns(uri))
	if len(k.complete) != 1 || k.complete[0] != uri+".handle tools-abcdefghijTARGETuuid" {
		t.Errorf("%q", k.complete)
	}
}

// TestPages: what every page is under, and every cookie.
func TestPages(t *testing.T) {
	for _, tls := range []bool{false, true} {
		k := newKit(t, tls)
		b := k.browser()
		sent := b.get("/login")
		in := b.back("ada")
		for _, set := range append(sent.head.Values("Set-Cookie"), in.head.Values("Set-Cookie")...) {
			if !strings.Contains(set, "; HttpOnly") || !strings.Contains(set, "; SameSite=Lax") || strings.Contains(set, "; Secure") != tls || !strings.Contains(set, "; Path=/portal/"+portalID) || strings.Contains(set, "Domain") {
				t.Errorf("TLS %v: %s", tls, set)
			}
		}
		for _, v := range []view{b.get(""), b.get("/nothing"), b.get("/callback"), sent} {
			for name, want := range map[string]string{
				"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
			} {
				if got := v.head.Get(name); got != want {
					t.Errorf("%s: %q", name, got)
				}
			}
			policy := v.head.Get("Content-Security-Policy")
			if !strings.HasPrefix(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "script") || strings.Contains(policy, "unsafe") {
				t.Errorf("Content-Security-Policy: %s", policy)
			}
			if strings.Contains(v.text, "<script") || strings.Contains(v.text, " on") && strings.Contains(v.text, "onclick") {
				t.Error(v.text)
			}
		}
	}
}

// TestSessionsEnd: with the user's token, with the gateway's trust in them, and nowhere else
// than at their portal; never with the server.
func TestSessionsEnd(t *testing.T) {
	k := newKit(t, false)
	b := k.browser()
	b.signIn("ada")
	signedIn := func() bool { return strings.Contains(b.get("").text, "Connections") }
	k.h = New(k.h.cfg) // the server was killed
	if !signedIn() {
		t.Error("a session is over with the server")
	}
	k.banned = "ada"
	if signedIn() {
		t.Error("a user is signed in whom the gateway does not know any more")
	}
	k.banned = ""
	if signedIn() {
		t.Error("a session goes on that was over")
	}
	b.signIn("ada")
	k.pass(59 * time.Minute)
	if !signedIn() {
		t.Error("a session is over too soon")
	}
	k.pass(time.Minute)
	if signedIn() {
		t.Error("a session outlives its token")
	}
	if _, ok, err := k.h.sessions.find(t.Context(), portalID, "x"); ok || err != nil {
		t.Error(err)
	}
	name, err := k.h.sessions.start(t.Context(), session{Portal: otherID, Subject: "ada"})
	k.must(err)
	if _, ok, err := k.h.sessions.find(t.Context(), portalID, name); ok || err != nil {
		t.Errorf("a session is good at another portal: %v", err)
	}
	if _, ok, err := k.h.sessions.find(t.Context(), otherID, name); !ok || err != nil {
		t.Errorf("%v", err)
	}
	k.pass(sessionLife)
	if _, ok, err := k.h.sessions.find(t.Context(), otherID, name); ok || err != nil {
		t.Errorf("a session without an end: %v", err)
	}
}

// TestWhatFails: why somebody refused is for the log and the audit, with a number that the
// user is told.
func TestWhatFails(t *testing.T) {
	k := newKit(t, false)
	b := k.browser()
	b.signIn("ada")
	k.fail = fault.Denied("User: arn:aws:sts::111122223333:assumed-role/portal is not authorized to perform: bedrock-agentcore:GetGateway")
	for at, want := range map[string]string{"": "gateway", "/login": "identity provider"} {
		v := b.get(at)
		if v.status != http.StatusBadGateway || !strings.Contains(v.text, "The "+want+" cannot be used now") || strings.Contains(v.text, "arn:aws") {
			t.Errorf("%s: %d %s", at, v.status, v.text)
		}
	}
	if !strings.Contains(k.log.String(), "not authorized to perform") {
		t.Error("the log does not say why")
	}
	k.fail = nil
	b.get("/login")
	k.banned = "bob"
	v := b.back("bob")
	if v.status != http.StatusForbidden || strings.Contains(v.text, "team") || !strings.Contains(strings.Join(k.audited("SignInToConsentPortal"), "\n"), "Claim 'team' value mismatch") {
		t.Errorf("%d %s %q", v.status, v.text, k.audited("SignInToConsentPortal"))
	}
	b.get("/login")
	v = b.get("/callback?" + url.Values{"error": {"invalid_scope"}, "error_description": {"<b>call 555"}, "state": {k.asked.State.Reveal()}, "iss": {issuer}}.Encode())
	if v.status != http.StatusForbidden || strings.Contains(v.text, "555") {
		t.Errorf("%d %s", v.status, v.text)
	}
}

// TestTooMany: whoever comes too often is told to wait, and nobody else.
func TestTooMany(t *testing.T) {
	k := newKit(t, false)
	b := k.browser()
	for range eachBurst {
		b.get("/login")
	}
	if v := b.get("/login"); v.status != http.StatusTooManyRequests || v.head.Get("Retry-After") == "" {
		t.Errorf("%d %s", v.status, v.text)
	}
	if v := b.get(""); v.status != http.StatusOK {
		t.Errorf("a page that asks nobody: %d", v.status)
	}
	k.pass(time.Second)
	if v := b.get("/login"); v.status != http.StatusFound {
		t.Errorf("%d", v.status)
	}
}

func BenchmarkConnections(b *testing.B) {
	k := newKit(b, false)
	person := k.browser()
	person.signIn("ada")
	b.ReportAllocs()
	for b.Loop() {
		if v := person.get(""); v.status != http.StatusOK {
			b.Fatal(v.text)
		}
		person.seen.Reset()
	}
}
