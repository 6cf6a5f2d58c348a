package signin

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/outcrop/outcrop/conformance/chromium"
	"github.com/outcrop/outcrop/conformance/server"
	"github.com/outcrop/outcrop/internal/secret"
)

const (
	password = "Analytical-1"
	// tool is the gateway's only one, and found what it says of granite.
	tool  = "stones___find"
	found = `{"stones":["granite"]}`
)

// house is a gateway before a service, and a pool with two users of whom it lets ada in.
type house struct {
	*testing.T
	s       *server.Server
	control *control.Client
	pool    string
	gateway string // its URL
	id      string
	http    *http.Client // of who calls from elsewhere
}

// newHouse has a gateway that takes the tokens of the pool's users that are for it: by the
// audience, which is its URL, and by the group readers.
func newHouse(t *testing.T, args ...string) *house {
	t.Helper()
	stones := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"stones":[%q]}`, r.URL.Query().Get("word")) // a gateway that has left
	}))
	t.Cleanup(stones.Close)
	h := &house{T: t, http: http.DefaultClient, s: server.Start(t, server.Options{Args: append(args, "--allow-private", "127.0.0.1")})}
	h.control = control.NewFromConfig(h.s.AWS())
	h.people()
	h.make()
	added, err := h.control.CreateGatewayTarget(t.Context(), &control.CreateGatewayTargetInput{
		GatewayIdentifier: &h.id, Name: aws.String("stones"), TargetConfiguration: &types.TargetConfigurationMemberMcp{Value: &types.McpTargetConfigurationMemberOpenApiSchema{
			Value: &types.ApiSchemaConfigurationMemberInlinePayload{Value: strings.ReplaceAll(openAPI, "URL", stones.URL)},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	h.s.Until("the target is READY", func() bool {
		got, err := h.control.GetGatewayTarget(t.Context(), &control.GetGatewayTargetInput{GatewayIdentifier: &h.id, TargetId: added.TargetId})
		if err == nil && got.Status == types.TargetStatusFailed {
			t.Fatal(got.StatusReasons)
		}
		return err == nil && got.Status == types.TargetStatusReady
	})
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("server:\n%s", h.s.Log())
		}
	})
	return h
}

const openAPI = `{"openapi": "3.0.3", "info": {"title": "Stones", "version": "1"}, "servers": [{"url": "URL"}],
  "paths": {"/find": {"get": {"operationId": "find", "description": "Finds stones by a word",
    "parameters": [{"name": "word", "in": "query", "required": true, "schema": {"type": "string"}}], "responses": {"200": {"description": "Stones"}}}}}}`

// people makes the pool.
func (h *house) people() {
	h.Helper()
	c, ctx := h.s.Client(), h.Context()
	pool, err := c.CreatePool(ctx, "people", true)
	for _, name := range []string{"ada", "bob"} {
		if err == nil {
			err = c.AddUser(ctx, pool.ID, name, name+"@example.com", secret.NewString(password), false)
		}
	}
	if err == nil {
		err = c.AddGroup(ctx, pool.ID, "readers", []string{"ada"})
	}
	if err != nil {
		h.Fatal(err)
	}
	h.pool = pool.ID
}

// make makes the gateway. Its URL, which tokens are for, is known once it is there.
func (h *house) make() {
	h.Helper()
	jwt := types.CustomJWTAuthorizerConfiguration{
		DiscoveryUrl: aws.String(h.s.Client().Issuer(h.pool) + "/.well-known/openid-configuration"),
		CustomClaims: []types.CustomClaimValidationType{{
			InboundTokenClaimName: aws.String("cognito:groups"), InboundTokenClaimValueType: types.InboundTokenClaimValueTypeStringArray,
			AuthorizingClaimMatchValue: &types.AuthorizingClaimMatchValueType{
				ClaimMatchOperator: types.ClaimMatchOperatorTypeContains, ClaimMatchValue: &types.ClaimMatchValueTypeMemberMatchValueString{Value: "readers"},
			},
		}},
	}
	role := "arn:aws:iam::" + h.s.Account + ":role/outcrop-default"
	made, err := h.control.CreateGateway(h.Context(), &control.CreateGatewayInput{
		Name: aws.String("stones"), RoleArn: &role, ProtocolType: types.GatewayProtocolTypeMcp, AuthorizerType: types.AuthorizerTypeCustomJwt,
		AuthorizerConfiguration: &types.AuthorizerConfigurationMemberCustomJWTAuthorizer{Value: jwt},
	})
	if err != nil {
		h.Fatal(err)
	}
	h.id, h.gateway = *made.GatewayId, *made.GatewayUrl
	h.ready()
	jwt.AllowedAudience = []string{h.gateway}
	_, err = h.control.UpdateGateway(h.Context(), &control.UpdateGatewayInput{
		GatewayIdentifier: &h.id, Name: aws.String("stones"), RoleArn: &role, ProtocolType: types.GatewayProtocolTypeMcp, AuthorizerType: types.AuthorizerTypeCustomJwt,
		AuthorizerConfiguration: &types.AuthorizerConfigurationMemberCustomJWTAuthorizer{Value: jwt},
	})
	if err != nil {
		h.Fatal(err)
	}
	h.ready()
}

func (h *house) ready() {
	h.Helper()
	h.s.Until("the gateway is READY", func() bool {
		got, err := h.control.GetGateway(h.Context(), &control.GetGatewayInput{GatewayIdentifier: &h.id})
		return err == nil && got.Status == types.GatewayStatusReady
	})
}

// signIn is what a person does at the pages of the pool, from the link that a client opens
// to the page that it shows at the end.
func signIn(link, name string) chromium.Visit {
	return chromium.Visit{Link: link, Steps: []chromium.Step{
		{Fill: map[string]string{"#username": name, "#password": password}, Click: "[value=login]"}, {Click: "[value=allow]"},
	}}
}

// base is the server's URL as the gateway's has it.
func (h *house) base() string {
	base, _, _ := strings.Cut(h.gateway, "/gw/")
	return base
}

// pages signs somebody in at the pool's pages without a browser, and returns what the
// client is sent.
func (h *house) pages(link, name string) url.Values {
	h.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		h.Fatal(err)
	}
	plain := &http.Client{Transport: h.http.Transport, Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if !strings.HasPrefix(r.URL.String(), h.base()+"/") {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	resp, err := plain.Get(link)
	for _, answer := range []string{"login", "allow"} {
		if err != nil {
			h.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		held := regexp.MustCompile(`name="request" value="([^"]*)"`).FindSubmatch(body)
		if held == nil {
			h.Fatalf("no form, but %s %s\n%s", resp.Status, resp.Header.Get("Location"), body)
		}
		resp, err = plain.PostForm(h.base()+"/"+h.pool+"/login", url.Values{"request": {string(held[1])}, "action": {answer}, "username": {name}, "password": {password}})
	}
	if err != nil {
		h.Fatal(err)
	}
	resp.Body.Close()
	at, err := url.Parse(resp.Header.Get("Location"))
	if err != nil || resp.StatusCode != http.StatusSeeOther {
		h.Fatalf("not led back: %s %v", resp.Status, err)
	}
	return at.Query()
}

// ask sends a request and reads what it is answered with.
func (h *house) ask(method, at string, header http.Header, body io.Reader, into any) *http.Response {
	h.Helper()
	req, err := http.NewRequestWithContext(h.Context(), method, at, body)
	if err != nil {
		h.Fatal(err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := h.http.Do(req)
	if err != nil {
		h.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && into != nil && resp.StatusCode < http.StatusBadRequest {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		h.Fatalf("%s %s: %s %v: %s", method, at, resp.Status, err, text)
	}
	return resp
}
