package mcp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/outcrop/outcrop/conformance/server"
)

// refused are the scenarios of what gateways do not offer, as AWS's do not: completions,
// levels of logs, and subscriptions to resources (spec/gateway.md 8.2). One of tools sets
// a level first.
func refused() []string {
	return []string{"completion-complete", "logging-set-level", "resources-subscribe", "resources-unsubscribe", "tools-call-with-logging"}
}

// gateway makes one with the server as its only target, and returns its URL.
func gateway(t *testing.T, s *server.Server, name, upstream string, sessions bool) string {
	t.Helper()
	client := control.NewFromConfig(s.AWS())
	in := &control.CreateGatewayInput{
		Name: aws.String(name), RoleArn: aws.String("arn:aws:iam::" + s.Account + ":role/outcrop-default"), ProtocolType: types.GatewayProtocolTypeMcp, AuthorizerType: types.AuthorizerTypeNone,
		ExceptionLevel: types.ExceptionLevelDebug,
	}
	if sessions {
		in.ProtocolConfiguration = &types.GatewayProtocolConfigurationMemberMcp{Value: types.MCPGatewayConfiguration{
			SessionConfiguration:   &types.SessionConfiguration{SessionTimeoutInSeconds: aws.Int32(3600)},
			StreamingConfiguration: &types.StreamingConfiguration{EnableResponseStreaming: aws.Bool(true)},
		}}
	} else {
		in.ProtocolConfiguration = &types.GatewayProtocolConfigurationMemberMcp{Value: types.MCPGatewayConfiguration{
			StreamingConfiguration: &types.StreamingConfiguration{EnableResponseStreaming: aws.Bool(true)},
		}}
	}
	made, err := client.CreateGateway(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	s.Until("the gateway is READY", func() bool {
		got, err := client.GetGateway(t.Context(), &control.GetGatewayInput{GatewayIdentifier: made.GatewayId})
		return err == nil && got.Status == types.GatewayStatusReady
	})
	added, err := client.CreateGatewayTarget(t.Context(), &control.CreateGatewayTargetInput{
		GatewayIdentifier: made.GatewayId, Name: aws.String("everything"),
		TargetConfiguration: &types.TargetConfigurationMemberMcp{Value: &types.McpTargetConfigurationMemberMcpServer{
			Value: types.McpServerTargetConfiguration{Endpoint: aws.String(upstream)},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Until("the target is READY", func() bool {
		got, err := client.GetGatewayTarget(t.Context(), &control.GetGatewayTargetInput{GatewayIdentifier: made.GatewayId, TargetId: added.TargetId})
		if err == nil && got.Status == types.TargetStatusFailed {
			t.Fatal(got.StatusReasons)
		}
		return err == nil && got.Status == types.TargetStatusReady
	})
	return *made.GatewayUrl
}

// passes wants every scenario that passes without the gateway to pass with it, but those
// that it refuses, which must fail.
func passes(t *testing.T, revision string, direct, through map[string][]check) {
	t.Helper()
	sum := totals{what: "servers, through a gateway", revision: revision}
	for _, name := range slices.Sorted(maps.Keys(direct)) {
		bad := failures(through[name])
		switch expected := slices.Contains(refused(), name); {
		case len(through[name]) == 0:
			t.Errorf("%s was not run", name)
		case len(bad) == 0 && !expected:
			sum.passed++
		case len(bad) > 0 && expected:
			sum.refused++
		case len(bad) > 0 && len(failures(direct[name])) == 0:
			t.Errorf("%s: %s", name, lines(bad))
		case len(bad) > 0:
			sum.alike++
		default:
			t.Errorf("%s passes, though gateways refuse what it wants", name)
		}
	}
	for _, name := range refused() {
		if len(direct[name]) == 0 && revision == "2025-11-25" { // the later revision has but some
			t.Errorf("%s is not in the suite any more", name)
		}
	}
	sum.figure(t)
}

func failures(checks []check) (bad []check) {
	for _, c := range checks {
		if c.Status == "FAILURE" {
			bad = append(bad, c)
		}
	}
	return bad
}

// prefix is what the gateway puts before names.
const prefix = "everything___"

// renaming is a proxy to a gateway that knows nothing but that the gateway puts a name
// before those of tools and prompts: it takes the prefix off what it lists, and puts it on
// what is asked for by name. It returns the URL.
func renaming(t *testing.T, gateway string) string {
	t.Helper()
	to, err := url.Parse(gateway)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		FlushInterval: -1,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL, p.Out.Host = to, to.Host
			if name := p.Out.Header.Get("Mcp-Name"); name != "" && named(p.Out.Header.Get("Mcp-Method")) {
				p.Out.Header.Set("Mcp-Name", prefix+name)
			}
			if p.Out.Body != nil {
				body, err := io.ReadAll(p.In.Body)
				if err == nil {
					body = renamed(body)
				}
				p.Out.Body, p.Out.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
			}
		},
		ModifyResponse: func(r *http.Response) error {
			if r.Header.Get("Content-Type") != "application/json" {
				return nil // lists are never streamed
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return err
			}
			body = bytes.ReplaceAll(body, []byte(`"name":"`+prefix), []byte(`"name":"`))
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
			r.Header.Set("Content-Length", strconv.Itoa(len(body)))
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() == nil { // the suite hangs up where it has seen enough
				t.Errorf("%s: %v", r.Method, err)
			}
			w.WriteHeader(http.StatusBadGateway)
		},
	}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !loopback(r.Host) || r.Header.Get("Origin") != "" && !loopback(origin(r)) {
			http.Error(w, "this is for programs on this machine", http.StatusForbidden)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	return front.URL + "/mcp"
}

func named(method string) bool { return method == "tools/call" || method == "prompts/get" }

// renamed puts the prefix before the name in a message.
func renamed(body []byte) []byte {
	var m struct {
		Method string `json:"method"`
		Params struct {
			Name string `json:"name"`
		} `json:"params"`
	}
	if json.Unmarshal(body, &m) != nil || !named(m.Method) {
		return body
	}
	return bytes.Replace(body, []byte(fmt.Sprintf(`"name":%q`, m.Params.Name)), []byte(fmt.Sprintf(`"name":%q`, prefix+m.Params.Name)), 1)
}
