package identity

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/outcrop/outcrop/conformance/agent"
	"github.com/outcrop/outcrop/conformance/server"
)

const bucket = "agents"

// door is a server with runtimes that are called with tokens.
type door struct {
	*server.Server
	python types.AgentManagedRuntimeType
}

// open runs a server that may call an issuer at 127.0.0.1, and nothing else of the
// machine's.
func open(t *testing.T) *door {
	t.Helper()
	d := &door{Server: server.Start(t, server.Options{Args: []string{"--allow-private", "127.0.0.1"}})}
	d.python = d.Python()
	main, err := os.ReadFile("testdata/echo.py")
	if err != nil {
		t.Fatal(err)
	}
	code, err := agent.Pack(map[string][]byte{"main.py": main})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Agents().Store(t.Context(), bucket, agent.Key, code); err != nil {
		t.Fatal(err)
	}
	return d
}

// runtime makes a runtime whose callers are let in by a discovery URL's issuer.
func (d *door) runtime(t *testing.T, name, discovery string, clients, audience []string) string {
	t.Helper()
	in := d.Agents().Input(bucket, name, d.python)
	in.AuthorizerConfiguration = &types.AuthorizerConfigurationMemberCustomJWTAuthorizer{Value: types.CustomJWTAuthorizerConfiguration{
		DiscoveryUrl: &discovery, AllowedClients: clients, AllowedAudience: audience,
	}}
	made, err := d.Agents().Create(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return *made.AgentRuntimeArn
}

// answer is what a caller gets.
type answer struct {
	status                int
	kind, challenge, text string
}

// call invokes a runtime with a token; an empty one is left out.
func (d *door) call(t *testing.T, arn, token string) answer {
	t.Helper()
	a, err := d.try(t.Context(), arn, token)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// try is call for goroutines.
func (d *door) try(ctx context.Context, arn, token string) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, d.URL+"/runtimes/"+url.QueryEscape(arn)+"/invocations?qualifier=DEFAULT", strings.NewReader(`{"prompt":"hi"}`))
	if err != nil {
		return answer{}, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", server.SessionID("attack"))
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	return answer{resp.StatusCode, resp.Header.Get("X-Amzn-Errortype"), resp.Header.Get("Www-Authenticate"), string(body)}, err
}

// TestForgedTokens shows a runtime tokens that it must not take. The good one goes
// first and last, so that what is refused is refused for what is wrong with it.
func TestForgedTokens(t *testing.T) {
	d, p := open(t), newIDP(t)
	arn := d.runtime(t, "guarded", p.URL+"/.well-known/openid-configuration", []string{"app"}, []string{"agents"})
	good := p.token(t, p.claims(nil), nil)
	if a := d.call(t, arn, good); a.status != http.StatusOK {
		t.Fatalf("a good token: %+v\n%s", a, d.Log())
	}
	asked := p.asked.Load()
	spied := newSpy(t, "127.0.0.2:0")
	thief, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Unix()
	head, rest, _ := strings.Cut(good, ".")
	body, sig, _ := strings.Cut(rest, ".")
	none := part(t, map[string]any{"alg": "none", "typ": "JWT"})
	elsewhere := "http://" + spied.Addr().String() + "/keys"
	with := func(name string, value any) string { return p.token(t, p.claims(map[string]any{name: value}), nil) }
	forged := func(header map[string]any) string { return signRSA(t, thief, p.claims(nil), header) }
	for name, attack := range map[string]struct {
		token  string
		status int
	}{
		"alg none":                      {none + "." + body + ".", 401},
		"alg NONE with a signature":     {part(t, map[string]any{"alg": "NONE", "kid": keyID}) + "." + body + "." + sig, 401},
		"no alg":                        {part(t, map[string]any{"kid": keyID}) + "." + body + "." + sig, 401},
		"the public key as a secret":    {signHMAC(t, p.publicPEM(t), p.claims(nil)), 401},
		"the modulus as a secret":       {signHMAC(t, p.key.N.Bytes(), p.claims(nil)), 401},
		"the key's DER as a secret":     {signHMAC(t, x509.MarshalPKCS1PublicKey(&p.key.PublicKey), p.claims(nil)), 401},
		"an empty secret":               {signHMAC(t, nil, p.claims(nil)), 401},
		"no signature":                  {head + "." + body + ".", 401},
		"another token's signature":     {head + "." + body + "." + with("sub", "eve")[strings.LastIndex(with("sub", "eve"), ".")+1:], 401},
		"other claims, this signature":  {head + "." + part(t, p.claims(map[string]any{"sub": "root"})) + "." + sig, 401},
		"a bit of the signature":        {good[:len(good)-12] + flip(good[len(good)-12]) + good[len(good)-11:], 401},
		"the thief's own key":           {forged(nil), 401},
		"the thief's key, embedded":     {forged(map[string]any{"jwk": jwk(&thief.PublicKey, keyID)}), 401},
		"the thief's key, by jku":       {forged(map[string]any{"jku": elsewhere}), 401},
		"the thief's key, by x5u":       {forged(map[string]any{"x5u": elsewhere}), 401},
		"the thief's key, by x5c":       {forged(map[string]any{"x5c": []string{base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PublicKey(&thief.PublicKey))}}), 401},
		"an unknown critical header":    {p.token(t, p.claims(nil), map[string]any{"crit": []string{"b64"}, "b64": false}), 401},
		"another issuer":                {with("iss", "https://idp.example"), 401},
		"an issuer of the machine":      {signRSA(t, thief, p.claims(map[string]any{"iss": "http://" + spied.Addr().String()}), nil), 401},
		"the issuer, with a slash":      {with("iss", p.URL+"/"), 401},
		"no issuer":                     {with("iss", nil), 401},
		"over for an hour":              {with("exp", now-3600), 401},
		"over for two minutes":          {with("exp", now-120), 401},
		"no end":                        {with("exp", nil), 401},
		"an end in words":               {with("exp", "never"), 401},
		"not yet":                       {with("nbf", now+300), 401},
		"made in the future":            {with("iat", now+300), 401},
		"another audience":              {with("aud", "others"), 403},
		"an audience that begins alike": {with("aud", []string{"agents2", "agent"}), 403},
		"no audience":                   {with("aud", nil), 403},
		"another client":                {with("client_id", "another"), 403},
		"no client, but azp":            {p.token(t, p.claims(map[string]any{"client_id": nil, "azp": "app"}), nil), 403},
		"too large":                     {with("padding", strings.Repeat("a", 17<<10)), 401},
		"two claims of one name":        {p.raw(t, `{"iss":"`+p.URL+`","aud":"others","aud":"agents","client_id":"app","exp":`+fmt.Sprint(now+60)+`}`), 401},
		"encrypted, by its looks":       {good + "." + sig + "." + sig, 401},
		"not a token":                   {"hello", 401},
	} {
		a := d.call(t, arn, attack.token)
		wantKind := map[int]string{401: "UnauthorizedException", 403: "AccessDeniedException"}[attack.status]
		if a.status != attack.status || a.kind != wantKind {
			t.Errorf("%s: %d %s %s, want %d", name, a.status, a.kind, a.text, attack.status)
		}
		if (attack.status == 401) != strings.HasPrefix(a.challenge, `Bearer resource_metadata="`) {
			t.Errorf("%s: the challenge is %q", name, a.challenge)
		}
		if len(attack.token) > 40 && strings.Contains(a.text+a.challenge, attack.token[:40]) {
			t.Errorf("%s: the refusal shows the token: %s", name, a.text)
		}
	}
	if a := d.call(t, arn, ""); a.status != http.StatusUnauthorized || !strings.Contains(a.challenge, "/.well-known/oauth-protected-resource?qualifier=DEFAULT") {
		t.Errorf("no token: %+v", a)
	}
	if a := d.call(t, arn, good); a.status != http.StatusOK {
		t.Errorf("the good token afterwards: %+v", a)
	}
	if n := spied.seen.Load(); n != 0 {
		t.Errorf("forged tokens led the server to the machine's own service %d times", n)
	}
	if more := p.asked.Load() - asked; more > 2 {
		t.Errorf("forged tokens made the server ask the issuer %d times", more)
	}
}

// flip is a letter with another value in base64url.
func flip(b byte) string {
	if b == 'A' {
		return "B"
	}
	return "A"
}

// raw signs a payload as it stands.
func (p *idp) raw(t *testing.T, payload string) string {
	t.Helper()
	return signText(t, p.key, part(t, map[string]any{"alg": "RS256", "kid": keyID})+"."+base64.RawURLEncoding.EncodeToString([]byte(payload)))
}

// TestUnknownKeys floods a runtime with tokens of keys that there are none of: the
// issuer is asked a bounded number of times, and who has a good token gets through.
func TestUnknownKeys(t *testing.T) {
	d, p := open(t), newIDP(t)
	arn := d.runtime(t, "guarded", p.URL+"/.well-known/openid-configuration", []string{"app"}, nil)
	good := p.token(t, p.claims(nil), nil)
	if a := d.call(t, arn, good); a.status != http.StatusOK {
		t.Fatalf("a good token: %+v", a)
	}
	before := p.asked.Load()
	const callers, each = 8, 50
	var all sync.WaitGroup
	for i := range callers {
		tokens := make([]string, each)
		for j := range tokens {
			tokens[j] = p.token(t, p.claims(nil), map[string]any{"kid": fmt.Sprint("unknown-", i, "-", j)})
		}
		all.Go(func() {
			for _, token := range tokens {
				if a, err := d.try(t.Context(), arn, token); err != nil || a.status != http.StatusUnauthorized {
					t.Errorf("an unknown key: %+v, %v", a, err)
					return
				}
			}
		})
	}
	all.Wait()
	if asked := p.asked.Load() - before; asked > 4 { // keys once in 30 s, and their document
		t.Errorf("%d tokens made the server ask the issuer %d times", callers*each, asked)
	}
	if a := d.call(t, arn, good); a.status != http.StatusOK {
		t.Errorf("a good token after the storm: %+v", a)
	}
}

// TestInwardDiscovery names services of the machine's own, and of its network, as
// issuers: nothing of them is called, and nobody is let in.
func TestInwardDiscovery(t *testing.T) {
	d, p := open(t), newIDP(t)
	loop := newSpy(t, "127.0.0.2:0")
	_, port, err := net.SplitHostPort(loop.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	spies := []*spy{loop, newSpy(t, "[::1]:"+port)}
	token := p.token(t, p.claims(nil), nil)
	const path = "/.well-known/openid-configuration"
	for i, discovery := range []string{
		"http://127.0.0.2:" + port + path, "http://[::1]:" + port + path, "http://[::ffff:127.0.0.2]:" + port + path,
		"http://2130706434:" + port + path, "http://0x7f000002:" + port + path, "http://0177.0.0.2:" + port + path, "http://127.2:" + port + path,
		"http://ip6-localhost:" + port + path, "http://169.254.169.254/latest/meta-data" + path, "http://0.0.0.0:" + port + path,
		"http://user@127.0.0.2:" + port + path, "file:///etc/passwd#" + path, "gopher://127.0.0.2:" + port + path,
	} {
		in := d.Agents().Input(bucket, fmt.Sprint("inward", i), d.python)
		in.AuthorizerConfiguration = &types.AuthorizerConfigurationMemberCustomJWTAuthorizer{Value: types.CustomJWTAuthorizerConfiguration{
			DiscoveryUrl: &discovery, AllowedClients: []string{"app"},
		}}
		made, err := d.Agents().Create(t.Context(), in)
		if err != nil { // refused where it stands
			if !strings.Contains(err.Error(), "ValidationException") {
				t.Errorf("%s: %v", discovery, err)
			}
			continue
		}
		if a := d.call(t, *made.AgentRuntimeArn, token); a.status != http.StatusUnauthorized {
			t.Errorf("%s: %+v", discovery, a)
		}
	}
	// An issuer that may be called does not lead further, by a redirect or by its document.
	for name, document := range map[string]http.HandlerFunc{
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.2:"+port+path, http.StatusFound)
		},
		"jwks": func(w http.ResponseWriter, _ *http.Request) {
			send(t, w, map[string]any{"issuer": p.URL, "jwks_uri": "http://127.0.0.2:" + port + "/keys"})
		},
		"endless": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(bytes.Repeat([]byte(" "), 32<<20)) // the server hangs up
		},
	} {
		other := newIDP(t)
		other.document.Store(&document)
		arn := d.runtime(t, "via_"+name, other.URL+path, []string{"app"}, nil)
		if a := d.call(t, arn, other.token(t, other.claims(nil), nil)); a.status != http.StatusUnauthorized {
			t.Errorf("%s: %+v", name, a)
		}
	}
	// Nor does what a token says of itself, where any issuer's may be shown.
	const workload = "desk"
	if _, err := control.NewFromConfig(d.AWS()).CreateWorkloadIdentity(t.Context(), &control.CreateWorkloadIdentityInput{Name: aws.String(workload)}); err != nil {
		t.Fatal(err)
	}
	for _, issuer := range []string{p.URL, "http://127.0.0.2:" + port, "http://[::1]:" + port, "https://127.0.0.2:" + port, "http://127.0.0.2:" + port + "/#", "http://127.0.0.1@127.0.0.2:" + port} {
		out, err := bedrockagentcore.NewFromConfig(d.AWS()).GetWorkloadAccessTokenForJWT(t.Context(), &bedrockagentcore.GetWorkloadAccessTokenForJWTInput{
			WorkloadName: aws.String(workload), UserToken: aws.String(p.token(t, p.claims(map[string]any{"iss": issuer}), nil)),
		})
		if taken := err == nil && aws.ToString(out.WorkloadAccessToken) != ""; taken != (issuer == p.URL) {
			t.Errorf("a token of %s stands for somebody: %v, %v", issuer, taken, err)
		}
	}
	for _, s := range spies {
		if n := s.seen.Load(); n != 0 {
			t.Errorf("the server called %s %d times", s.Addr(), n)
		}
	}
}

// TestTokenOfAnother uses a token that one runtime takes at others.
func TestTokenOfAnother(t *testing.T) {
	d, p, q := open(t), newIDP(t), newIDP(t)
	const path = "/.well-known/openid-configuration"
	own := d.runtime(t, "own", p.URL+path, []string{"app"}, nil)
	client := d.runtime(t, "client", p.URL+path, []string{"other"}, nil)
	issuer := d.runtime(t, "issuer", q.URL+path, []string{"app"}, nil)
	in := d.Agents().Input(bucket, "signed", d.python)
	made, err := d.Agents().Create(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	token := p.token(t, p.claims(nil), nil)
	for arn, want := range map[string]answer{
		own:                   {status: 200},
		client:                {status: 403, kind: "AccessDeniedException", text: "client_id"},
		issuer:                {status: 401, kind: "UnauthorizedException"},
		*made.AgentRuntimeArn: {status: 403, kind: "AccessDeniedException", text: "Authorization method mismatch"},
		strings.Replace(own, d.Account, "999999999999", 1): {status: 404},
	} {
		a := d.call(t, arn, token)
		if refused := want.status == 404 && a.status >= 400 && a.status < 500; !refused && (a.status != want.status || want.kind != "" && a.kind != want.kind || !strings.Contains(a.text, want.text)) {
			t.Errorf("%s: %+v, want %+v", arn, a, want)
		}
	}
}

// presigned is a URL that somebody with the root key signed at a time, for so long.
func (d *door) presigned(t *testing.T, method, at, service string, when time.Time, life time.Duration) *url.URL {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, at, nil)
	if err != nil {
		t.Fatal(err)
	}
	q := r.URL.Query()
	q.Set("X-Amz-Expires", fmt.Sprint(int(life.Seconds())))
	r.URL.RawQuery = q.Encode()
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = service == "s3" })
	creds := aws.Credentials{AccessKeyID: d.AccessKeyID, SecretAccessKey: d.SecretAccessKey}
	signed, _, err := signer.PresignHTTP(t.Context(), creds, r, "UNSIGNED-PAYLOAD", service, d.Region, when)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(signed)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestPresignedPastItsLife uses a presigned URL after its time, stretches it, and
// turns it to something else.
func TestPresignedPastItsLife(t *testing.T) {
	d := open(t)
	object := d.URL + "/" + bucket + "/" + agent.Key
	good := d.presigned(t, http.MethodGet, object, "s3", time.Now(), time.Minute)
	change := func(u *url.URL, name, value string) *url.URL {
		c := *u
		q := c.Query()
		q.Set(name, value)
		c.RawQuery = q.Encode()
		return &c
	}
	old := d.presigned(t, http.MethodGet, object, "s3", time.Now().Add(-2*time.Minute), time.Minute)
	elsewhere := *good
	elsewhere.Path = "/" + bucket + "/another.zip"
	for name, c := range map[string]struct {
		method string
		url    *url.URL
		status int
	}{
		"good":                        {http.MethodGet, good, 200},
		"past its life":               {http.MethodGet, old, 403},
		"stretched":                   {http.MethodGet, change(old, "X-Amz-Expires", "3600"), 403},
		"moved to now":                {http.MethodGet, change(old, "X-Amz-Date", time.Now().UTC().Format("20060102T150405Z")), 403},
		"for a year":                  {http.MethodGet, d.presigned(t, http.MethodGet, object, "s3", time.Now(), 365*24*time.Hour), 0},
		"of tomorrow":                 {http.MethodGet, d.presigned(t, http.MethodGet, object, "s3", time.Now().Add(24*time.Hour), time.Minute), 403},
		"another object":              {http.MethodGet, &elsewhere, 403},
		"another method":              {http.MethodDelete, good, 403},
		"another region":              {http.MethodGet, change(good, "X-Amz-Credential", strings.Replace(good.Query().Get("X-Amz-Credential"), d.Region, "eu-north-1", 1)), 403},
		"another key":                 {http.MethodGet, change(good, "X-Amz-Credential", "AKIAAAAAAAAAAAAAAAAA/"+strings.SplitN(good.Query().Get("X-Amz-Credential"), "/", 2)[1]), 403},
		"a runtime's list, too late":  {http.MethodPost, d.presigned(t, http.MethodPost, d.URL+"/runtimes/", "bedrock-agentcore", time.Now().Add(-10*time.Minute), time.Minute), 403},
		"a WebSocket's URL, too late": {http.MethodGet, d.presigned(t, http.MethodGet, d.URL+"/runtimes/x/ws", "bedrock-agentcore", time.Now().Add(-10*time.Minute), time.Minute), 403},
	} {
		r, err := http.NewRequestWithContext(t.Context(), c.method, c.url.String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
		refused := c.status == 0 && resp.StatusCode >= 400 && resp.StatusCode < 500
		if err != nil || resp.StatusCode != c.status && !refused {
			t.Errorf("%s: %s %.300s, %v, want %d", name, resp.Status, text, err, c.status)
		}
		if strings.Contains(string(text), d.SecretAccessKey) {
			t.Errorf("%s: the refusal shows the secret", name)
		}
	}
}

// invokeSigned calls a runtime as its account does, and wants an answer.
func (d *door) invokeSigned(t *testing.T, arn string) string {
	t.Helper()
	out, err := bedrockagentcore.NewFromConfig(d.AWS()).InvokeAgentRuntime(t.Context(), &bedrockagentcore.InvokeAgentRuntimeInput{
		AgentRuntimeArn: &arn, RuntimeSessionId: aws.String(server.SessionID(t.Name())), Payload: []byte(`{"prompt":"hi"}`), ContentType: aws.String("application/json"),
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, d.Log())
	}
	defer out.Response.Close()
	body, err := io.ReadAll(out.Response)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
