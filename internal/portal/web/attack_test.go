package web

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/api/throttle"
	"github.com/outcrop/outcrop/internal/portal"
	"github.com/outcrop/outcrop/internal/secret"
)

// TestStolenSignIn: the address with which somebody comes back from the identity provider is
// good in their browser alone, once, in time, and from that provider.
func TestStolenSignIn(t *testing.T) {
	k := newKit(t, false)
	victim, thief := k.browser(), k.browser()
	victim.get("/login")
	stolen := "/callback?" + url.Values{"code": {"ada"}, "state": {k.asked.State.Reveal()}, "iss": {issuer}}.Encode()
	in := func(b *browser) bool { return strings.Contains(b.get("").text, "signed in as") }
	thief.get("/login") // so that it has a cookie of its own
	for name, at := range map[string]string{"another browser": stolen, "no state": "/callback?code=ada", "no code": "/callback?state=x"} {
		if v := thief.get(at); v.status != http.StatusBadRequest || in(thief) {
			t.Errorf("%s: %d %s", name, v.status, v.text)
		}
	}
	victim.get("/login")
	mine := url.Values{"code": {"ada"}, "state": {k.asked.State.Reveal()}, "iss": {issuer}}
	// Signed in as somebody else: the code is the attacker's, the state is his, too.
	if v := victim.get(stolen + "&code=mallory"); v.status != http.StatusBadRequest || in(victim) {
		t.Errorf("a parameter twice: %d", v.status)
	}
	for _, iss := range []string{"", "https://evil.example"} {
		victim.get("/login")
		if v := victim.get("/callback?" + url.Values{"code": {"ada"}, "state": {k.asked.State.Reveal()}, "iss": {iss}}.Encode()); v.status != http.StatusBadRequest || in(victim) {
			t.Errorf("from %q: %d", iss, v.status)
		}
	}
	k.silent = true
	victim.get("/login")
	if v := victim.get("/callback?" + url.Values{"code": {"ada"}, "state": {k.asked.State.Reveal()}, "iss": {"https://evil.example"}}.Encode()); v.status != http.StatusBadRequest || in(victim) {
		t.Errorf("from another than a silent one: %d", v.status)
	}
	k.asked.Verifier = k.asked.Nonce // of a later sign-in: the code is refused, as it would be there
	if v := victim.get("/callback?" + mine.Encode()); v.status != http.StatusBadGateway || in(victim) {
		t.Errorf("%d %s", v.status, v.text)
	}
	victim.get("/login")
	at := "/callback?" + url.Values{"code": {"ada"}, "state": {k.asked.State.Reveal()}, "iss": {issuer}}.Encode()
	k.pass(signInLife)
	if v := victim.get(at); v.status != http.StatusBadRequest || in(victim) {
		t.Errorf("too late: %d", v.status)
	}
	victim.get("/login")
	at = "/callback?" + url.Values{"code": {"ada"}, "state": {k.asked.State.Reveal()}, "iss": {issuer}}.Encode()
	if v := victim.get(at); v.status != http.StatusFound || !in(victim) {
		t.Fatalf("%d %s", v.status, v.text)
	}
	if v := victim.get(at); v.status != http.StatusBadRequest {
		t.Errorf("replayed: %d", v.status)
	}
	if !in(victim) {
		t.Error("a replay signs the user out")
	}
}

// TestWrongTokens: the two tokens of a user are of one user, who was asked now.
func TestWrongTokens(t *testing.T) {
	k := newKit(t, false)
	for name, c := range map[string]Claims{
		"another nonce": {Nonce: "replayed"}, "another user": {Subject: "eve"}, "another issuer": {Issuer: "https://evil.example"},
	} {
		k.claims = c
		b := k.browser()
		if v := b.signIn("ada"); v.status != http.StatusForbidden || strings.Contains(b.get("").text, "signed in as") {
			t.Errorf("%s: %d", name, v.status)
		}
	}
}

// TestStolenConsent is the session-binding attack of AWS's guide, and its reverse: what a
// user agreed to at a service counts in the session in which they were sent there alone.
func TestStolenConsent(t *testing.T) {
	k := newKit(t, false)
	ada, eve := k.browser(), k.browser()
	ada.signIn("ada")
	eve.signIn("eve")
	// Eve's link, clicked by Ada: nobody is sent anywhere.
	link := k.wants("eve", "github")
	v := ada.get("/connect?" + url.Values{"request_uri": {link}}.Encode())
	if v.status != http.StatusForbidden || v.to != "" || len(k.states) != 0 || !strings.Contains(v.text, "for somebody else") {
		t.Errorf("%d %s %s", v.status, v.to, v.text)
	}
	v = ada.send(http.MethodPost, "/agree", url.Values{"csrf": {ada.form(v, "Sign out").Get("csrf")}, "request_uri": {link}})
	if v.status != http.StatusForbidden || v.to != "" {
		t.Errorf("by the other form: %d %s", v.status, v.to)
	}
	// Ada is sent away, and somebody else comes back with her address, or she with theirs.
	sent := ada.send(http.MethodPost, "/connect", ada.form(ada.get(""), "Connect"))
	theirs := eve.send(http.MethodPost, "/connect", eve.form(eve.get(""), "Connect"))
	adas, eves := k.returns(uriOf(sent.to)), k.returns(uriOf(theirs.to))
	stranger := k.browser()
	mixed := portal.ReturnPath + "?" + url.Values{"session_id": {uriOf(theirs.to) + ".handle"}, "state": {k.states[uriOf(sent.to)]}}.Encode()
	for name, at := range map[string]struct {
		b  *browser
		at string
	}{
		"hers in another's browser": {eve, adas}, "another's in hers": {ada, eves}, "hers with another's session": {ada, mixed}, "in a browser that is nobody's": {stranger, adas},
		"without a state": {ada, portal.ReturnPath + "?session_id=" + uriOf(sent.to) + ".handle"}, "with nothing": {ada, portal.ReturnPath},
		"of another portal": {ada, strings.Replace(k.url(), portalID, otherID, 1) + adas},
	} {
		if v := at.b.get(at.at); v.status != http.StatusBadRequest || len(k.complete) != 0 {
			t.Errorf("%s: %d %q", name, v.status, k.complete)
		}
	}
	if v := ada.get(adas); v.to != k.url()+"?note=connected" || len(k.complete) != 1 {
		t.Errorf("%d %s", v.status, v.to)
	}
	if v := ada.get(adas); v.status != http.StatusBadRequest || len(k.complete) != 1 {
		t.Errorf("replayed: %d", v.status)
	}
	late := ada.send(http.MethodPost, "/connect", ada.form(ada.get(""), "Connect"))
	k.pass(agreeLife)
	if v := ada.get(k.returns(uriOf(late.to))); v.status != http.StatusBadRequest || len(k.complete) != 1 {
		t.Errorf("too late: %d", v.status)
	}
}

// TestForeignForms: no other site has a user's browser do anything, and no other session's
// form counts.
func TestForeignForms(t *testing.T) {
	k := newKit(t, false)
	b, eve := k.browser(), k.browser()
	b.signIn("ada")
	eve.signIn("eve")
	k.on["adagithub"] = true
	page := b.get("")
	for _, button := range []struct{ path, text string }{{"/connect", "Connect"}, {"/disconnect", "Disconnect"}, {"/logout", "Sign out"}} {
		good := b.form(page, button.text)
		hers := eve.form(eve.get(""), "Sign out").Get("csrf")
		for name, try := range map[string]struct {
			head map[string]string
			csrf []string
		}{
			"another origin":       {map[string]string{"Origin": "https://evil.example"}, good["csrf"]},
			"an opaque origin":     {map[string]string{"Origin": "null"}, good["csrf"]},
			"another site":         {map[string]string{"Sec-Fetch-Site": "cross-site"}, good["csrf"]},
			"a site of the same":   {map[string]string{"Sec-Fetch-Site": "same-site"}, good["csrf"]},
			"no token":             {nil, nil},
			"another's token":      {nil, []string{hers}},
			"an empty token":       {nil, []string{""}},
			"the token and more":   {nil, append([]string{hers}, good["csrf"]...)},
			"what is no form":      {map[string]string{"Content-Type": "text/plain"}, good["csrf"]},
			"a form with no bound": {nil, []string{strings.Repeat("x", maxBody)}},
		} {
			b.head = try.head
			form := url.Values{"connection": good["connection"]}
			if try.csrf != nil {
				form["csrf"] = try.csrf
			}
			if v := b.send(http.MethodPost, button.path, form); v.status != http.StatusBadRequest || v.to != "" {
				t.Errorf("%s, %s: %d %s", button.path, name, v.status, v.to)
			}
		}
		b.head = nil
		if v := b.get(button.path); button.path != "/connect" && v.status != http.StatusMethodNotAllowed {
			t.Errorf("GET %s: %d", button.path, v.status)
		}
	}
	if !k.on["adagithub"] || !strings.Contains(b.get("").text, "signed in as") || len(k.pending) != 0 {
		t.Error("something was done")
	}
	b.head = map[string]string{"Origin": k.server.URL, "Sec-Fetch-Site": "same-origin"}
	if v := b.send(http.MethodPost, "/disconnect", b.form(page, "Disconnect")); v.status != http.StatusSeeOther || k.on["adagithub"] {
		t.Errorf("%d", v.status)
	}
	v := b.send(http.MethodPost, "/connect", url.Values{"csrf": b.form(page, "Sign out")["csrf"], "connection": {"0123456789abcdef0123456789abcdef"}})
	if v.status != http.StatusBadRequest || len(k.pending) != 0 {
		t.Errorf("a connection that the gateway does not have: %d", v.status)
	}
}

// TestOpenRedirects: no parameter, path or host says where a browser goes.
func TestOpenRedirects(t *testing.T) {
	k := newKit(t, false)
	for _, signedIn := range []bool{false, true} {
		b := k.browser()
		if signedIn {
			b.signIn("ada")
		}
		for _, at := range []string{
			"", "/", "/login?next=https://evil.example", "/login?redirect_uri=https://evil.example&prompt=none", "/connect?request_uri=https://evil.example", "/connect",
			"//evil.example", "/login/..//evil.example", "?note=https://evil.example", "?note=%3Cscript%3E", "/callback?state=https://evil.example", "/connect/callback?session_id=https://evil.example&state=x",
			"/login?prompt=login%0d%0aLocation:%20https://evil.example",
		} {
			v := b.get(at)
			if v.to != "" && !strings.HasPrefix(v.to, k.url()) && !strings.HasPrefix(v.to, idpURL+"?state=") {
				t.Errorf("%q leads to %s", at, v.to)
			}
			if strings.Contains(v.text, "evil") || v.status >= http.StatusInternalServerError {
				t.Errorf("%q: %d %s", at, v.status, v.text)
			}
		}
	}
	// By another name: to the portal's own, and nothing is done.
	for _, host := range []string{"evil.example", "team-abcdefghij.consent-portal.localhost", "127.0.0.1:1"} {
		for _, path := range []string{"/login?prompt=login", "/connect?request_uri=x"} {
			target := "http://" + host + portal.PathPrefix + portalID + path
			if strings.HasSuffix(host, ".localhost") {
				target = "http://" + host + path
			}
			w := httptest.NewRecorder()
			k.h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
			if w.Code != http.StatusFound || w.Header().Get("Location") != k.url()+path || w.Header().Get("Set-Cookie") != "" {
				t.Errorf("%s: %d %s", target, w.Code, w.Header().Get("Location"))
			}
		}
		w := httptest.NewRecorder()
		k.h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "http://"+host+portal.PathPrefix+portalID+"/logout", nil))
		if w.Code < http.StatusBadRequest {
			t.Errorf("a form at %s: %d", host, w.Code)
		}
	}
}

// TestNothingInTheClear: what is on the disk tells neither tokens nor the names of sessions.
func TestNothingInTheClear(t *testing.T) {
	k := newKit(t, false)
	b := k.browser()
	b.signIn("ada")
	home, err := url.Parse(k.url())
	k.must(err)
	var names []string
	for _, c := range b.jar.Cookies(home) {
		names = append(names, c.Value)
	}
	if len(names) != 1 {
		t.Fatalf("cookies %q", names)
	}
	k.must(k.store.Close())
	files, err := filepath.Glob(filepath.Join(k.dir, "*"))
	k.must(err)
	for _, f := range files {
		text, err := os.ReadFile(f)
		k.must(err)
		for _, secret := range append(names, planted, "ada@example.com") {
			if bytes.Contains(text, []byte(secret)) {
				t.Errorf("%s has %s", f, secret)
			}
		}
	}
}

// TestSweep: sessions that are over are forgotten by those who sign in after.
func TestSweep(t *testing.T) {
	k := newKit(t, false)
	k.mu.Lock()
	k.now = time.Now().Add(-24 * time.Hour) // the store has a clock of its own
	k.mu.Unlock()
	name, err := k.h.sessions.start(t.Context(), session{Portal: portalID})
	k.must(err)
	k.mu.Lock()
	k.now = time.Now()
	k.mu.Unlock()
	_, err = k.h.sessions.start(t.Context(), session{Portal: portalID})
	k.must(err)
	k.pass(-24 * time.Hour)
	if _, ok, err := k.h.sessions.find(t.Context(), portalID, name); ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
}

// FuzzRequest: whatever comes, nothing breaks here, and no browser is led elsewhere.
func FuzzRequest(f *testing.F) {
	k := newKit(f, false)
	k.h.visits = throttle.NewSources(throttle.Rate{Second: 1e9, Burst: 1e9}, throttle.Rate{Second: 1e9, Burst: 1e9}, k.clock)
	person := k.browser()
	person.signIn("ada")
	home, err := url.Parse(k.url())
	k.must(err)
	session := person.jar.Cookies(home)[0].String()
	sent := person.send(http.MethodPost, "/connect", person.form(person.get(""), "Connect"))
	f.Add("GET", "/connect/callback", strings.TrimPrefix(k.returns(uriOf(sent.to)), portal.ReturnPath+"?"), session, "")
	f.Add("GET", "/connect", "request_uri=urn%3Aietf%3Aparams%3Aoauth%3Arequest_uri%3Aada-0", session, "")
	f.Add("GET", "/callback", "state=abc&code=x&iss=https%3A%2F%2Fidp.example", "outcrop-portal-signin-abc=AAAA", "")
	f.Add("POST", "/disconnect", "", session, "csrf=x&connection=y")
	f.Add("POST", "/agree", "a=%zz&a=b", session, "csrf=x&csrf=y&request_uri=%00")
	f.Add("GET", "//evil", "prompt=login&prompt=none", "outcrop-portal=\"", "")
	f.Fuzz(func(t *testing.T, method, path, query, cookies, body string) {
		r := &http.Request{
			Method: method, URL: &url.URL{Path: portal.PathPrefix + portalID + path, RawQuery: query}, Host: home.Host, RemoteAddr: "192.0.2.1:1",
			Header: http.Header{"Cookie": {cookies}, "Content-Type": {"application/x-www-form-urlencoded"}}, Body: http.NoBody,
		}
		if body != "" {
			r = r.Clone(t.Context())
			r.Body = readCloser{strings.NewReader(body)}
		}
		r = r.WithContext(t.Context())
		if !k.h.Serves(r) {
			return
		}
		w := httptest.NewRecorder()
		k.h.ServeHTTP(w, r)
		to := w.Header().Get("Location")
		if w.Code >= http.StatusInternalServerError || to != "" && !strings.HasPrefix(to, k.url()) && !strings.HasPrefix(to, idpURL+"?") && !strings.HasPrefix(to, vendor+"?") {
			t.Errorf("%s %q?%q: %d %q\n%s", method, path, query, w.Code, to, w.Body)
		}
	})
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

// FuzzOpen: what browsers keep opens for whom it was sealed, or not at all.
func FuzzOpen(f *testing.F) {
	k := newKit(f, false)
	p, err := k.Find(f.Context(), portalID)
	k.must(err)
	good, err := k.h.seal(f.Context(), p, "consent", agreed{URI: "urn:x", Expires: 1})
	k.must(err)
	f.Add(good)
	f.Add(good[1:])
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		var a agreed
		if err := k.h.open(t.Context(), p, "consent", text, &a); (err == nil) != (text == good) {
			t.Errorf("%q: %v", text, err)
		}
		if err := k.h.open(t.Context(), p, "sign-in", text, &a); err == nil {
			t.Errorf("%q opens as another thing", text)
		}
	})
}

// TestPlantedSession: no other host of a portal's domain has a user's browser go on with a
// session of somebody else.
func TestPlantedSession(t *testing.T) {
	k := newKit(t, true)
	k.users["eves"] = "eve"
	name, err := k.h.sessions.start(t.Context(), session{Portal: portalID, Issuer: issuer, Subject: "eve", Access: secret.NewString("eves")})
	k.must(err)
	p, err := k.Find(t.Context(), portalID)
	k.must(err)
	for _, c := range []struct {
		base   string
		secure bool
		cookie string
		in     bool
	}{
		{"", true, "outcrop-portal", false},
		{"", true, "__Host-outcrop-portal", true},
		{"", false, "outcrop-portal", true}, // browsers take the other name over TLS alone
		{"/portal/" + portalID, true, "outcrop-portal", true},
	} {
		w := httptest.NewRecorder()
		v := &visit{Portal: p, w: w, r: httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil), base: c.base, secure: c.secure}
		v.r.AddCookie(&http.Cookie{Name: c.cookie, Value: name})
		if _, in, err := k.h.current(v); in != c.in || err != nil {
			t.Errorf("%+v: %v, %v", c, in, err)
		}
		v.setCookie(v.sessionCookie(), name, "", 1)
		set := w.Header().Get("Set-Cookie")
		if strings.HasPrefix(set, "__Host-") != (c.secure && c.base == "") || strings.HasPrefix(set, "__Host-") && !strings.Contains(set, "; Path=/;") {
			t.Errorf("%+v: %s", c, set)
		}
	}
}
