package identity

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/outcrop/outcrop/conformance/chromium"
	"github.com/outcrop/outcrop/conformance/leak"
	"github.com/outcrop/outcrop/conformance/pinned"
	"github.com/outcrop/outcrop/conformance/server"
)

// desktop is a server with a gateway before a service that wants its users' own tokens, a
// consent portal, and people with browsers.
type desktop struct {
	*testing.T
	s       *server.Server
	issuer  string // of the service, another project's
	service string
	control *control.Client
	chrome  *chromium.Browser
	made    portalSetup

	mu     sync.Mutex
	tokens []string // that the service was called with
}

// portalSetup is what testdata/portal.py makes. Client is that of the target made last, at
// the service's issuer.
type portalSetup struct {
	Pool, Secret, Gateway, GatewayURL, Portal, PortalID string
	Target, Client, Password                            string
	Tokens                                              map[string]string
}

func newDesktop(t *testing.T) *desktop {
	d := &desktop{T: t, s: server.Start(t, server.Options{Args: []string{"--allow-private", "127.0.0.1"}})}
	d.issuer, d.chrome, d.control = issue(t), chromium.Start(t), control.NewFromConfig(d.s.AWS())
	d.service = d.serve()
	d.run("setup")
	return d
}

// run has testdata/portal.py do something.
func (d *desktop) run(args ...string) {
	d.Helper()
	env := []string{"URL=" + d.s.URL, "ISSUER=" + d.issuer, "SERVICE=" + d.service, "GATEWAY=" + d.made.Gateway, "PORTAL=" + d.made.Portal}
	text := d.s.Run(d.T, env, pinned.Program(d.T, "python"), append([]string{"testdata/portal.py"}, args...)...)
	d.must(json.Unmarshal([]byte(text), &d.made))
}

func (d *desktop) must(err error) {
	d.Helper()
	if err != nil {
		d.Fatalf("%v\n%s", err, d.s.Log())
	}
}

func (d *desktop) becomes(target string, status types.TargetStatus) (got *control.GetGatewayTargetOutput) {
	d.Helper()
	d.s.Until("the target is "+string(status), func() bool {
		var err error
		got, err = d.control.GetGatewayTarget(d.Context(), &control.GetGatewayTargetInput{GatewayIdentifier: &d.made.Gateway, TargetId: &target})
		d.must(err)
		return got.Status == status
	})
	return got
}

// serve runs an MCP server that tells whose token it was called with.
func (d *desktop) serve() string {
	s := mcp.NewServer(&mcp.Implementation{Name: "notes", Version: "1"}, nil)
	mcp.AddTool(s, &mcp.Tool{Name: "tell", Description: "Tells whose notes these are"}, func(_ context.Context, r *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, any, error) {
		_, token, _ := strings.Cut(r.Extra.Header.Get("Authorization"), " ")
		d.mu.Lock()
		d.tokens = append(d.tokens, token)
		d.mu.Unlock()
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "notes of " + d.whose(token)}}}, nil, nil
	})
	h := httptest.NewServer(mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s }, &mcp.StreamableHTTPOptions{Stateless: true, JSONResponse: true}))
	d.Cleanup(h.Close)
	return h.URL
}

// whose asks the issuer about a token; it is nobody's that is not good.
func (d *desktop) whose(token string) string {
	req, err := http.NewRequestWithContext(d.Context(), http.MethodPost, d.issuer+"/token/introspection", strings.NewReader(url.Values{"token": {token}}.Encode()))
	if err != nil {
		return err.Error()
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(d.made.Client), url.QueryEscape(d.made.Password))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	var out struct {
		Active bool
		Sub    string
	}
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil || !out.Active {
		return "nobody"
	}
	return out.Sub
}

// answered is what a tool said, or where the user is to log in.
type answered struct{ text, login string }

// call calls the tool of a target with a user's token.
func (d *desktop) call(token, tool string) answered {
	d.Helper()
	body := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":%q,"arguments":{}}}`, tool)
	req, err := http.NewRequestWithContext(d.Context(), http.MethodPost, d.made.GatewayURL, strings.NewReader(body))
	d.must(err)
	for name, value := range map[string]string{"Content-Type": "application/json", "Accept": "application/json, text/event-stream", "Mcp-Protocol-Version": "2025-11-25", "Authorization": "Bearer " + token} {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	d.must(err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	d.must(err)
	var out struct {
		Result struct{ Content []struct{ Text string } }
		Error  struct {
			Code int
			Data struct{ Elicitations []struct{ URL string } }
		}
	}
	if err := json.Unmarshal(text, &out); err != nil {
		d.Fatalf("%d %s", resp.StatusCode, text)
	}
	switch {
	case out.Error.Code == -32042:
		return answered{login: out.Error.Data.Elicitations[0].URL}
	case len(out.Result.Content) == 0:
		d.Fatalf("%d %s\n%s", resp.StatusCode, text, d.s.Log())
	}
	return answered{text: out.Result.Content[0].Text}
}

// The steps of people: at the pool's page, at the issuer's, and on the portal.
func atPool(name, password string) chromium.Step {
	return chromium.Step{Fill: map[string]string{"#username": name, "#password": password}, Click: "[value=login]"}
}

func atIssuer(name string) []chromium.Step {
	return []chromium.Step{{Fill: map[string]string{"[name=login]": name, "[name=password]": "any"}, Click: "[type=submit]"}, {Click: "[type=submit]"}}
}

func titles(pages []chromium.Page) string {
	var out []string
	for _, p := range pages {
		out = append(out, p.Title)
	}
	return strings.Join(out, "; ")
}

// TestConsentPortal: people sign in to the portal of a gateway at a pool, agree at another
// project's authorization server, and the gateway's tool works for them; until they take it
// back. AWS's guide is followed to the letter, its policies included.
func TestConsentPortal(t *testing.T) {
	d := newDesktop(t)
	ada, bob := d.made.Tokens["ada"], d.made.Tokens["bob"]
	begun := d.call(ada, "notes___tell")
	if !strings.Contains(begun.login, "/identities/oauth2/authorize?request_uri=") {
		t.Fatalf("a user who has not agreed gets %+v", begun)
	}

	// By the portal: signing in, connecting, and what the page says.
	portal := d.made.Portal
	pages := d.chrome.Walk(chromium.Visit{Link: portal, Steps: slices.Concat([]chromium.Step{{Click: "a.main"}, atPool("bob", "Bob-12345"), {Click: "button.main"}}, atIssuer("roberta"))})
	want := "Sign in · Team_Portal; Sign in; Connections · Team_Portal"
	if got := titles(pages); !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "Connections · Team_Portal") {
		t.Fatalf("the pages are %s, of which the last says %+v\n%s", got, pages[len(pages)-1], d.s.Log())
	}
	if text := pages[2].Text; !strings.Contains(text, "Not connected") || !strings.Contains(text, "team-tools") || !strings.Contains(text, "notes") || !strings.Contains(text, "bob") {
		t.Errorf("before: %s", text)
	}
	if text := pages[len(pages)-1].Text; !strings.Contains(text, "You are connected.") || strings.Contains(text, "Not connected") {
		t.Errorf("after: %s", text)
	}
	if got := d.call(bob, "notes___tell"); got.text != "notes of roberta" {
		t.Errorf("a user who has agreed gets %+v", got)
	}

	// By the link that the tool gave, without ever having seen the portal; by keyboard and
	// without scripts, whoever likes that.
	pages = d.chrome.Walk(chromium.Visit{Link: begun.login, Plain: true, Steps: append([]chromium.Step{atPool("ada", "Analytical-1")}, atIssuer("augusta")...)})
	if last := pages[len(pages)-1]; !strings.Contains(last.Text, "You are connected.") {
		t.Fatalf("the link leads over %s to %+v\n%s", titles(pages), last, d.s.Log())
	}
	if got := d.call(ada, "notes___tell"); got.text != "notes of augusta" {
		t.Errorf("who came by the link gets %+v", got)
	}

	// Another user's link, in the browser of somebody who is signed in.
	d.s.Kill()
	d.s.Restart()
	pages = d.chrome.Walk(chromium.Visit{Link: portal, Steps: []chromium.Step{{Click: "a.main"}, atPool("ada", "Analytical-1"), {Click: "[aria-label='Disconnect notes']"}}})
	if last := pages[len(pages)-1]; !strings.Contains(last.Text, "Not connected") || !strings.Contains(last.Text, "You are disconnected.") {
		t.Errorf("%+v", last)
	}
	d.mu.Lock()
	token := d.tokens[len(d.tokens)-1]
	d.mu.Unlock()
	if who := d.whose(token); who != "nobody" {
		t.Errorf("a token that was taken back is good at the service, for %s", who)
	}
	if got := d.call(bob, "notes___tell"); got.text != "notes of roberta" {
		t.Errorf("another user's connection is gone: %+v", got)
	}
	again := d.call(ada, "notes___tell")
	if again.login == "" {
		t.Errorf("who took it back is served: %+v", again)
	}
	pages = d.chrome.Walk(chromium.Visit{Link: again.login, Steps: []chromium.Step{atPool("bob", "Bob-12345"), {Click: "[value=logout]"}}})
	if text := pages[1].Text; !strings.Contains(text, "for somebody else") || pages[2].Title != "Signed out · Team_Portal" {
		t.Errorf("another's link: %s, %s", titles(pages), text)
	}

	// What a gateway asks for itself.
	d.run("target", "lists")
	waits := d.becomes(d.made.Target, types.TargetStatusCreatePendingAuth)
	link := waits.AuthorizationData.(*types.AuthorizationDataMemberOauth2).Value.AuthorizationUrl
	pages = d.chrome.Walk(chromium.Visit{Link: *link, Steps: slices.Concat([]chromium.Step{atPool("bob", "Bob-12345"), {Click: "[value=agree]"}}, atIssuer("admin"))})
	if text := pages[1].Text; !strings.Contains(text, "Lend your account?") {
		t.Errorf("%s: %s", titles(pages), text)
	}
	d.becomes(d.made.Target, types.TargetStatusReady)

	audit, _, err := d.s.CLI(t.Context(), "audit")
	d.must(err)
	for _, event := range []string{"SignInToConsentPortal", "DisconnectOnConsentPortal", "GetWorkloadAccessTokenForJWT", "CompleteResourceTokenAuth", "GetResourceOauth2Token"} {
		if !strings.Contains(audit, event) {
			t.Errorf("the audit does not tell of %s", event)
		}
	}
	leak.Check(t, d.s.DataDir, leak.Secrets{"the service's token": token, "the pool's client": d.made.Secret, "the caller's token": bob},
		map[string]string{"the server's log": d.s.Log(), "the audit": audit}, "credentials.json")
}
