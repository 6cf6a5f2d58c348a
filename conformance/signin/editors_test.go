package signin

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// editor is a client as it was seen to sign in: what it registers, and where its users come
// back to.
type editor struct {
	registration string
	redirect     string
	// params are further ones of the link that users are sent to.
	params url.Values
	// documents are where it looks for the authorization server, in this order; %s is the
	// path of the issuer.
	documents []string
}

// editors are public applications, by what they were seen to send (2026).
func editors() map[string]editor {
	return map[string]editor{
		"Claude": {
			registration: `{"client_name":"Claude","redirect_uris":["https://claude.ai/api/mcp/auth_callback"],"grant_types":["authorization_code","refresh_token"],"response_types":["code"],"token_endpoint_auth_method":"client_secret_post"}`,
			redirect:     "https://claude.ai/api/mcp/auth_callback",
			documents:    []string{"/.well-known/oauth-authorization-server%s"},
		},
		"Claude Code": {
			registration: `{"client_name":"Claude Code (stones)","redirect_uris":["http://localhost:52117/callback"],"grant_types":["authorization_code","refresh_token"],"response_types":["code"],"token_endpoint_auth_method":"none"}`,
			redirect:     "http://localhost:52117/callback",
			documents:    []string{"/.well-known/oauth-authorization-server%s"},
		},
		"Visual Studio Code": {
			registration: `{"client_name":"Visual Studio Code","client_uri":"https://code.visualstudio.com","grant_types":["authorization_code","refresh_token","urn:ietf:params:oauth:grant-type:device_code"],"response_types":["code"],"redirect_uris":["https://insiders.vscode.dev/redirect","https://vscode.dev/redirect","http://127.0.0.1/","http://127.0.0.1:33418/"],"token_endpoint_auth_method":"none","application_type":"native"}`,
			redirect:     "http://127.0.0.1:59656/", // when another has the port
			documents:    []string{"/.well-known/oauth-authorization-server%s", "/.well-known/openid-configuration%s", "%s/.well-known/openid-configuration"},
		},
		"Cursor": {
			registration: `{"client_name":"Cursor","redirect_uris":["cursor://anysphere.cursor-mcp/oauth/callback","https://www.cursor.com/agents/mcp/oauth/callback","http://localhost:8787/callback"],"grant_types":["authorization_code","refresh_token"],"response_types":["code"],"token_endpoint_auth_method":"none"}`,
			redirect:     "cursor://anysphere.cursor-mcp/oauth/callback",
			documents:    []string{"/.well-known/oauth-authorization-server%s"},
		},
	}
}

// TestEditors: editors sign in as they were seen to.
func TestEditors(t *testing.T) {
	h := newHouse(t)
	for name, e := range editors() {
		t.Run(name, func(t *testing.T) {
			h.T = t
			h.calls(h.signIn(e, "ada"))
		})
	}
}

// token is a token of a user's for the gateway.
func (h *house) token(name string) string {
	h.Helper()
	return h.signIn(editors()["Claude Code"], name)
}

// signIn goes the way of an editor from the gateway's URL to a user's token.
func (h *house) signIn(e editor, name string) string {
	h.Helper()
	version := http.Header{"Mcp-Protocol-Version": {"2025-11-25"}}
	var resource struct {
		Resource string   `json:"resource"`
		Servers  []string `json:"authorization_servers"`
	}
	h.ask(http.MethodGet, h.challenge(), version, nil, &resource)
	if resource.Resource != h.gateway || len(resource.Servers) != 1 {
		h.Fatalf("the resource is %+v", resource)
	}
	issuer, err := url.Parse(resource.Servers[0])
	if err != nil {
		h.Fatal(err)
	}
	var at struct {
		Issuer       string   `json:"issuer"`
		Authorize    string   `json:"authorization_endpoint"`
		Token        string   `json:"token_endpoint"`
		Registration string   `json:"registration_endpoint"`
		Challenges   []string `json:"code_challenge_methods_supported"`
	}
	for _, path := range e.documents {
		h.ask(http.MethodGet, h.base()+strings.ReplaceAll(path, "%s", issuer.Path), version, nil, &at)
		if at.Issuer != issuer.String() || at.Registration == "" || !slices.Equal(at.Challenges, []string{"S256"}) {
			h.Fatalf("%s of %s: %+v", path, issuer, at)
		}
	}
	var client struct {
		ID        string   `json:"client_id"`
		Secret    string   `json:"client_secret"`
		Redirects []string `json:"redirect_uris"`
	}
	if resp := h.ask(http.MethodPost, at.Registration, http.Header{"Content-Type": {"application/json"}}, strings.NewReader(e.registration), &client); resp.StatusCode != http.StatusCreated || len(client.Redirects) == 0 {
		h.Fatalf("registration: %s %+v", resp.Status, client)
	}
	verifier := strings.Repeat("v", 64)
	sum := sha256.Sum256([]byte(verifier))
	q := url.Values{
		"response_type": {"code"}, "client_id": {client.ID}, "redirect_uri": {e.redirect}, "state": {"s"}, "resource": {resource.Resource},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
	for name, values := range e.params {
		q[name] = values
	}
	back := h.pages(at.Authorize+"?"+q.Encode(), name)
	if back.Get("code") == "" || back.Get("state") != "s" || back.Get("iss") != at.Issuer {
		h.Fatalf("the client is sent %v", back)
	}
	form := url.Values{
		"grant_type": {"authorization_code"}, "code": {back.Get("code")}, "redirect_uri": {e.redirect}, "code_verifier": {verifier}, "client_id": {client.ID}, "resource": {resource.Resource},
	}
	if client.Secret != "" {
		form.Set("client_secret", client.Secret)
	}
	var tokens struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	h.ask(http.MethodPost, at.Token, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, strings.NewReader(form.Encode()), &tokens)
	if tokens.Access == "" || tokens.Refresh == "" {
		h.Fatal("no tokens")
	}
	return tokens.Access
}

// challenge is where a client that is signed out is told to look.
func (h *house) challenge() string {
	h.Helper()
	resp := h.ask(http.MethodPost, h.gateway, http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}}, strings.NewReader(initialize), nil)
	_, at, _ := strings.Cut(resp.Header.Get("WWW-Authenticate"), `resource_metadata="`)
	at, _, ok := strings.Cut(at, `"`)
	if resp.StatusCode != http.StatusUnauthorized || !ok {
		h.Fatalf("who is signed out gets %s %v", resp.Status, resp.Header)
	}
	return at
}

const initialize = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"editor","version":"1"}}}`

// calls has the gateway called with a token.
func (h *house) calls(token string) {
	h.Helper()
	header := http.Header{
		"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}, "Authorization": {"Bearer " + token}, "Mcp-Protocol-Version": {"2025-11-25"},
	}
	var out struct {
		Result struct {
			Content []struct{ Text string }
		}
	}
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": map[string]any{"name": tool, "arguments": map[string]string{"word": "granite"}}})
	if err != nil {
		h.Fatal(err)
	}
	if resp := h.ask(http.MethodPost, h.gateway, header, bytes.NewReader(body), &out); resp.StatusCode != http.StatusOK || len(out.Result.Content) != 1 || out.Result.Content[0].Text != found {
		h.Fatalf("%s %+v", resp.Status, out)
	}
}
