package signin

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/outcrop/outcrop/conformance/pinned"
	"github.com/outcrop/outcrop/internal/client"
)

// TestRefusals: whose token is good and for something else is refused, and told what to ask
// for if that is a scope alone.
func TestRefusals(t *testing.T) {
	h := newHouse(t)
	ada, bob := h.token("ada"), h.token("bob")
	h.calls(ada)
	c := h.s.Client()
	if err := c.AddScope(t.Context(), h.pool, "stones", "call"); err != nil {
		t.Fatal(err)
	}
	robot, err := c.AddPoolClient(t.Context(), h.pool, client.NewPoolClient{Name: "robot", Machine: true, Scopes: []string{"stones/call"}})
	if err != nil {
		t.Fatal(err)
	}
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {robot.ID}, "client_secret": {robot.Secret.Reveal()}}
	var machine struct {
		Token string `json:"access_token"`
	}
	h.ask(http.MethodPost, h.base()+"/"+h.pool+"/oauth2/token", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, strings.NewReader(form.Encode()), &machine)
	for name, c := range map[string]struct {
		token, challenge string
		status           int
	}{
		"none of the readers":       {bob, "", http.StatusForbidden},
		"for nothing in particular": {machine.Token, "", http.StatusForbidden},
		"tampered with":             {ada[:len(ada)-8], `error="invalid_token"`, http.StatusUnauthorized},
	} {
		resp := h.initialize(c.token)
		if got := resp.Header.Get("WWW-Authenticate"); resp.StatusCode != c.status || (got == "") != (c.challenge == "") || !strings.Contains(got, c.challenge) {
			t.Errorf("%s: %s %q", name, resp.Status, got)
		}
	}
	// The owner wants a scope besides, which he has let clients ask for.
	got, err := h.control.GetGateway(t.Context(), &control.GetGatewayInput{GatewayIdentifier: &h.id})
	if err != nil {
		t.Fatal(err)
	}
	jwt := got.AuthorizerConfiguration.(*types.AuthorizerConfigurationMemberCustomJWTAuthorizer)
	jwt.Value.AllowedScopes = []string{"stones/call"}
	_, err = h.control.UpdateGateway(t.Context(), &control.UpdateGatewayInput{
		GatewayIdentifier: &h.id, Name: got.Name, RoleArn: got.RoleArn, ProtocolType: got.ProtocolType, AuthorizerType: got.AuthorizerType, AuthorizerConfiguration: jwt,
	})
	if err != nil {
		t.Fatal(err)
	}
	h.ready()
	resp := h.initialize(ada)
	if got, want := resp.Header.Get("WWW-Authenticate"), `Bearer resource_metadata="`+strings.Replace(h.gateway, "/gw/", "/.well-known/oauth-protected-resource/gw/", 1)+`", scope="stones/call", error="insufficient_scope"`; resp.StatusCode != http.StatusForbidden || !strings.HasPrefix(got, want) {
		t.Errorf("without the scope: %s %s, want %s", resp.Status, got, want)
	}
	h.s.Run(t, []string{"POOL=" + h.pool}, pinned.Program(t, "python"), "-c", `import boto3, os
boto3.client("cognito-idp", "`+h.s.Region+`").update_user_pool(UserPoolId=os.environ["POOL"], DcrConfiguration={
    "EnableStatus": "Enabled", "OpenDcrEnabled": True, "AllowedScopes": ["openid", "stones/call"]})`)
	step := editors()["Claude Code"]
	step.params = url.Values{"scope": {"openid stones/call"}}
	h.calls(h.signIn(step, "ada"))
}

// initialize is the first that a client with a token sends.
func (h *house) initialize(token string) *http.Response {
	h.Helper()
	return h.ask(http.MethodPost, h.gateway, http.Header{
		"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}, "Authorization": {"Bearer " + token},
	}, strings.NewReader(initialize), nil)
}
