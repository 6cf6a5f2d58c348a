package principal

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/sigv4"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/secret"
)

const testName = "BedrockAgentCore-5b1d7f3e-8a3c-4c53-9a3e-0e7a1f4c2d11"

func testRole(d *Directory) string {
	return "arn:aws:iam::" + d.account.ID + ":role/service/hello-role"
}

// clock is a Now that a test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.t }

func (c *clock) add(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.t = c.t.Add(d) }

// begun is a directory with one role session and credentials of it.
func begun(t testing.TB) (d *Directory, s *RoleSession, c Credentials, k *clock, views *counting) {
	t.Helper()
	cfg, views := config(t, t.TempDir())
	k = &clock{t: testTime()}
	cfg.Now = k.now
	d, _ = open(t, cfg)
	s, err := d.BeginRoleSession(t.Context(), RoleUse{Role: testRole(d), Name: testName})
	if err != nil {
		t.Fatal(err)
	}
	if c, err = s.Credentials(t.Context(), Lifetime); err != nil {
		t.Fatal(err)
	}
	return d, s, c, k, views
}

func TestTemporaryCredentials(t *testing.T) {
	d, s, c, _, views := begun(t)
	if !regexp.MustCompile(`^ASIA[A-Z2-7]{16}$`).MatchString(c.AccessKeyID) || len(c.Secret.Reveal()) != 40 {
		t.Errorf("credentials %+v", c)
	}
	if n := len(c.SessionToken.Reveal()); n > 600 {
		t.Errorf("the token has %d letters", n)
	}
	if !c.Issued.Equal(testTime()) || c.Expires.Sub(c.Issued) != time.Hour {
		t.Errorf("they live from %s to %s", c.Issued, c.Expires)
	}
	before := views.count()
	key, err := d.Key(t.Context(), c.AccessKeyID, c.SessionToken.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	if views.count() != before {
		t.Error("a token was verified with the store")
	}
	want := auth.Principal{
		Account: d.account.ID, ID: c.AccessKeyID, Kind: auth.AssumedRole, UserID: RoleID(testRole(d)) + ":" + testName,
		ARN: "arn:aws:sts::" + d.account.ID + ":assumed-role/hello-role/" + testName,
	}
	if at := key.Principal.Session; at == nil || !at.Issued.Equal(testTime()) || !at.Guest || at.Source != "" {
		t.Errorf("session %+v", at)
	}
	key.Principal.Session = nil
	if key.Principal != want || s.ARN() != want.ARN || key.Secret != c.Secret.Reveal() {
		t.Errorf("principal %+v, want %+v", key.Principal, want)
	}
	if !regexp.MustCompile(`^AROA[A-Z2-7]{17}$`).MatchString(RoleID(testRole(d))) || RoleID("a") == RoleID("b") {
		t.Errorf("role id %q", RoleID(testRole(d)))
	}
	if text := fmt.Sprintf("%+v %#v", c, c); strings.Contains(text, c.Secret.Reveal()) || strings.Contains(text, c.SessionToken.Reveal()) {
		t.Error("credentials print their secrets")
	}
}

// TestTokenHidesAll: nothing of what a token seals can be read from it.
func TestTokenHidesAll(t *testing.T) {
	_, _, c, _, _ := begun(t)
	raw, err := base64.StdEncoding.DecodeString(c.SessionToken.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{c.Secret.Reveal(), "hello-role", testName} {
		if strings.Contains(string(raw), s) || strings.Contains(c.SessionToken.Reveal(), s) {
			t.Errorf("the token shows %q", s)
		}
	}
}

func TestTokenRefusals(t *testing.T) {
	d, s, c, k, _ := begun(t)
	other, err := s.Credentials(t.Context(), Lifetime)
	if err != nil {
		t.Fatal(err)
	}
	token := c.SessionToken.Reveal()
	stranger, _, foreign, _, _ := begun(t)
	tests := []struct {
		name, id, token string
		want            error
	}{
		{"its own", c.AccessKeyID, token, nil},
		{"none", c.AccessKeyID, "", sigv4.ErrUnknownKey},
		{"another key's", other.AccessKeyID, token, sigv4.ErrBadToken},
		{"another installation's", foreign.AccessKeyID, foreign.SessionToken.Reveal(), sigv4.ErrBadToken},
		{"truncated", c.AccessKeyID, token[:len(token)-8], sigv4.ErrBadToken},
		{"one letter less", c.AccessKeyID, token[:len(token)-1], sigv4.ErrBadToken},
		{"longer", c.AccessKeyID, token + "AAAA", sigv4.ErrBadToken},
		{"with a line end", c.AccessKeyID, token[:80] + "\n" + token[80:], sigv4.ErrBadToken},
		{"far too long", c.AccessKeyID, strings.Repeat("A", maxToken+4), sigv4.ErrBadToken},
		{"no base64", c.AccessKeyID, "-" + token[1:], sigv4.ErrBadToken},
		{"one letter", c.AccessKeyID, "A", sigv4.ErrBadToken},
		{"the long-term key's", d.account.Root, token, sigv4.ErrBadToken},
	}
	for _, tt := range tests {
		if _, err := d.Key(t.Context(), tt.id, tt.token); !errors.Is(err, tt.want) || tt.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	if _, err := stranger.Key(t.Context(), c.AccessKeyID, token); !errors.Is(err, sigv4.ErrBadToken) {
		t.Errorf("another installation takes the token: %v", err)
	}
	for i := range token { // any change at all
		changed := []byte(token)
		if changed[i] == 'A' {
			changed[i] = 'B'
		} else {
			changed[i] = 'A'
		}
		if _, err := d.Key(t.Context(), c.AccessKeyID, string(changed)); !errors.Is(err, sigv4.ErrBadToken) {
			t.Fatalf("letter %d changed: %v", i, err)
		}
	}
	k.add(time.Hour - time.Second)
	if _, err := d.Key(t.Context(), c.AccessKeyID, token); err != nil {
		t.Errorf("in the last second: %v", err)
	}
	k.add(time.Second)
	if _, err := d.Key(t.Context(), c.AccessKeyID, token); !errors.Is(err, sigv4.ErrExpiredToken) {
		t.Errorf("an hour later: %v", err)
	}
}

// TestEndOfSession: credentials end with the last session of their name, for
// good in this process; in another they are good again when it goes on.
func TestEndOfSession(t *testing.T) {
	d, s, c, k, _ := begun(t)
	good := func(d *Directory) bool {
		_, err := d.Key(t.Context(), c.AccessKeyID, c.SessionToken.Reveal())
		if err != nil && !errors.Is(err, sigv4.ErrExpiredToken) {
			t.Errorf("refused with %v", err)
		}
		return err == nil
	}
	begin := func(d *Directory, name string) *RoleSession {
		s, err := d.BeginRoleSession(t.Context(), RoleUse{Role: testRole(d), Name: name})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	second := begin(d, testName)
	s.End()
	s.End()
	if !good(d) {
		t.Error("one end ended both sessions")
	}
	if _, err := s.Credentials(t.Context(), Lifetime); !errors.Is(err, ErrEnded) {
		t.Errorf("a session that has ended gives credentials: %v", err)
	}
	k.add(time.Second)
	if second.End(); good(d) {
		t.Error("the credentials of a session that has ended are good")
	}
	third := begin(d, testName)
	if good(d) {
		t.Error("a new session of the name revives what an old one held")
	}
	fresh, err := third.Credentials(t.Context(), Lifetime)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Key(t.Context(), fresh.AccessKeyID, fresh.SessionToken.Reveal()); err != nil {
		t.Errorf("a new session of the name: %v", err)
	}
	third.End()
	k.add(Lifetime)
	if begin(d, "last"); len(d.sessions.sets) != 1 {
		t.Errorf("%d sessions are remembered, want the last alone", len(d.sessions.sets))
	}

	k.add(-Lifetime)
	restarted, _ := open(t, d.cfg)
	if good(restarted) {
		t.Error("a restart revives a session by itself")
	}
	if begin(restarted, "another-session"); good(restarted) {
		t.Error("another session of the role revives it")
	}
	if begin(restarted, testName); !good(restarted) {
		t.Error("the session goes on after a restart and its credentials do not")
	}
}

// TestRetire: what a saved guest holds is good until it expires, unless the
// session goes on under its name and ends then.
func TestRetire(t *testing.T) {
	d, s, c, k, _ := begun(t)
	short, err := s.Credentials(t.Context(), TemplateLifetime)
	if err != nil || short.Expires.Sub(short.Issued) != 30*time.Minute {
		t.Fatalf("%+v, %v", short, err)
	}
	good := func(c Credentials) bool {
		_, err := d.Key(t.Context(), c.AccessKeyID, c.SessionToken.Reveal())
		return err == nil
	}
	s.Retire()
	s.End() // changes nothing any more
	if _, err := s.Credentials(t.Context(), Lifetime); !errors.Is(err, ErrEnded) {
		t.Errorf("a session that has retired gives credentials: %v", err)
	}
	if !good(c) || !good(short) {
		t.Error("a saved guest has lost its credentials")
	}
	if k.add(TemplateLifetime); !good(c) || good(short) {
		t.Error("half an hour later they are not what their lives say")
	}
	again, err := d.BeginRoleSession(t.Context(), RoleUse{Role: testRole(d), Name: testName})
	if err != nil {
		t.Fatal(err)
	}
	if again.Retire(); !good(c) { // it was given nothing
		t.Error("retiring for a second time took the credentials")
	}
	if again, err = d.BeginRoleSession(t.Context(), RoleUse{Role: testRole(d), Name: testName}); err != nil {
		t.Fatal(err)
	}
	if again.End(); good(c) {
		t.Error("the session has gone on and ended, and what it held before is still good")
	}
}

// TestTemplate: what guests were copied with is good until it expires, after a restart
// and an end of the guest they were copied from too; another guest's is not.
func TestTemplate(t *testing.T) {
	d, _, _, k, _ := begun(t)
	of := func(name string, template bool) Credentials {
		t.Helper()
		s, err := d.BeginRoleSession(t.Context(), RoleUse{Role: testRole(d), Name: name, Template: template})
		if err != nil {
			t.Fatal(err)
		}
		c, err := s.Credentials(t.Context(), TemplateLifetime)
		if err != nil {
			t.Fatal(err)
		}
		s.End()
		return c
	}
	template, other := of("a-template", true), of("a-guest", false)
	restarted, _ := open(t, d.cfg)
	for name, in := range map[string]*Directory{"this process": d, "the next": restarted} {
		key, err := in.Key(t.Context(), template.AccessKeyID, template.SessionToken.Reveal())
		if err != nil || !strings.HasSuffix(key.Principal.ARN, "/a-template") {
			t.Errorf("%s: %s, %v", name, key.Principal.ARN, err)
		}
		if _, err := in.Key(t.Context(), other.AccessKeyID, other.SessionToken.Reveal()); !errors.Is(err, sigv4.ErrExpiredToken) {
			t.Errorf("%s, of no template: %v", name, err)
		}
	}
	k.add(TemplateLifetime)
	if _, err := restarted.Key(t.Context(), template.AccessKeyID, template.SessionToken.Reveal()); !errors.Is(err, sigv4.ErrExpiredToken) {
		t.Errorf("over: %v", err)
	}
}

func TestBeginRefuses(t *testing.T) {
	cfg, _ := config(t, t.TempDir())
	d, _ := open(t, cfg)
	mine := "arn:aws:iam::" + d.account.ID + ":"
	for _, tt := range [][2]string{
		{"", testName}, {"hello-role", testName}, {mine + "user/ann", testName}, {mine + "role/", testName}, {mine + "role/a/", testName},
		{"arn:aws:iam::999999999999:role/r", testName}, {"arn:aws:sts::" + d.account.ID + ":role/r", testName},
		{mine + "role/r", ""}, {mine + "role/r", "x"}, {mine + "role/r", "a/b"}, {mine + "role/r", "a:b"}, {mine + "role/r", strings.Repeat("n", 65)},
	} {
		if _, err := d.BeginRoleSession(t.Context(), RoleUse{Role: tt[0], Name: tt[1]}); err == nil {
			t.Errorf("began session %q of %q", tt[1], tt[0])
		}
	}
	if len(d.sessions.sets) != 0 {
		t.Error("a refusal left a session")
	}
	s, err := d.BeginRoleSession(t.Context(), RoleUse{Role: "arn:aws-cn:iam::" + d.account.ID + ":role/r", Name: "ab"})
	if err != nil || s.ARN() != "arn:aws-cn:sts::"+d.account.ID+":assumed-role/r/ab" {
		t.Errorf("%v, %v", s, err)
	}
}

// TestSignedByRole: what a role signs verifies in both forms and gives it
// nothing; without its token, or with one that is not signed, it does not.
func TestSignedByRole(t *testing.T) {
	d, _, c, _, _ := begun(t)
	v := sigv4.New(sigv4.Config{Keys: d, Now: testTime, SpoolDir: t.TempDir()})
	creds := aws.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.Secret.Reveal(), SessionToken: c.SessionToken.Reveal()}
	verify := func(presign bool, change func(*aws.Credentials), after func(*http.Request)) (auth.Principal, error) {
		cr := creds
		if change != nil {
			change(&cr)
		}
		const empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
		r := httptest.NewRequestWithContext(t.Context(), "GET", "http://192.0.0.1:8642/runtimes/?X-Amz-Expires=60", nil)
		if presign {
			uri, _, err := v4.NewSigner().PresignHTTP(t.Context(), cr, r, empty, "bedrock-agentcore", "us-west-2", testTime())
			if err != nil {
				t.Fatal(err)
			}
			r = httptest.NewRequestWithContext(t.Context(), "GET", uri, nil)
		} else if err := v4.NewSigner().SignHTTP(t.Context(), cr, r, empty, "bedrock-agentcore", "us-west-2", testTime()); err != nil {
			t.Fatal(err)
		}
		if after != nil {
			after(r)
		}
		claim, err := sigv4.Parse(r)
		if err != nil {
			t.Fatal(err)
		}
		id, err := v.Verify(t.Context(), r, claim, sigv4.Expect{})
		if err != nil {
			return auth.Principal{}, err
		}
		defer id.Close()
		return id.Principal, nil
	}
	for _, presign := range []bool{false, true} {
		if p, err := verify(presign, nil, nil); err != nil || p.Kind != auth.AssumedRole || p.ID != c.AccessKeyID {
			t.Fatalf("presigned %v: %+v, %v", presign, p, err)
		}
		for _, tt := range []struct {
			name, code string
			change     func(*aws.Credentials)
			after      func(*http.Request)
		}{
			{"without the token", "UnrecognizedClientException", func(c *aws.Credentials) { c.SessionToken = "" }, nil},
			{"with another token", "UnrecognizedClientException", func(c *aws.Credentials) { c.SessionToken = "x" + c.SessionToken }, nil},
			{"with another secret", "InvalidSignatureException", func(c *aws.Credentials) { c.SecretAccessKey = "x" }, nil},
			{"with the token unsigned", "InvalidSignatureException", func(c *aws.Credentials) { c.SessionToken = "" }, func(r *http.Request) {
				if !presign {
					r.Header.Set("X-Amz-Security-Token", creds.SessionToken)
					return
				}
				q := r.URL.Query()
				q.Set("X-Amz-Security-Token", creds.SessionToken)
				r.URL.RawQuery = q.Encode()
			}},
		} {
			if _, err := verify(presign, tt.change, tt.after); fault.From(err).Code != tt.code {
				t.Errorf("presigned %v, %s: %v, want %s", presign, tt.name, err, tt.code)
			}
		}
	}
	p, err := verify(false, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = auth.NewAuthorizer().Authorize(t.Context(), p, []auth.Requirement{{Action: "bedrock-agentcore:ListAgentRuntimes", Resource: "*"}})
	want := "User: " + p.ARN + " is not authorized to perform: bedrock-agentcore:ListAgentRuntimes on resource: *" +
		" because no identity-based policy allows the bedrock-agentcore:ListAgentRuntimes action"
	if f := fault.From(err); f.Message != want || f.Status != 403 {
		t.Errorf("%v, want %s", err, want)
	}
}

// FuzzToken: no token but the real one is taken, and none breaks anything.
func FuzzToken(f *testing.F) {
	d, _, c, _, _ := begun(f)
	real := c.SessionToken.Reveal()
	f.Add(real)
	f.Add(real[:40])
	f.Add("AQ==")
	f.Add("")
	f.Fuzz(func(t *testing.T, token string) {
		_, err := d.Key(t.Context(), c.AccessKeyID, token)
		switch {
		case (err == nil) != (token == real):
			t.Errorf("token %q: %v", token, err)
		case err != nil && !errors.Is(err, sigv4.ErrBadToken) && !errors.Is(err, sigv4.ErrUnknownKey):
			t.Errorf("token %q is an internal error: %v", token, err)
		}
	})
}

// TestAuthenticTokens: what could only be sealed by another version of the
// program is refused and gives nobody anything.
func TestAuthenticTokens(t *testing.T) {
	d, _, c, _, _ := begun(t)
	good := sealedCredentials{Version: 1, Secret: "s", Role: testRole(d), Name: testName, Expires: testTime().Unix() + 60}
	for name, change := range map[string]func(*sealedCredentials){
		"as ours":         nil,
		"newer":           func(s *sealedCredentials) { s.Version = 2 },
		"no secret":       func(s *sealedCredentials) { s.Secret = "" },
		"no role":         func(s *sealedCredentials) { s.Role = "" },
		"another account": func(s *sealedCredentials) { s.Role = "arn:aws:iam::999999999999:role/r" },
		"no expiry":       func(s *sealedCredentials) { s.Expires = 0 },
	} {
		s := good
		if change != nil {
			change(&s)
		}
		plain, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := d.cfg.Box.Seal(t.Context(), d.tokenOwner(c.AccessKeyID), secret.NewBytes(plain))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Key(t.Context(), c.AccessKeyID, base64.StdEncoding.EncodeToString(sealed)); (err == nil) != (change == nil) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// BenchmarkTemporaryKey is what a token adds to the verification of a signature.
func BenchmarkTemporaryKey(b *testing.B) {
	d, _, c, _, _ := begun(b)
	token := c.SessionToken.Reveal()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Key(context.Background(), c.AccessKeyID, token); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMint(b *testing.B) {
	_, s, _, _, _ := begun(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Credentials(context.Background(), Lifetime); err != nil {
			b.Fatal(err)
		}
	}
}
