package invoke_test

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/api/model/agentcore"
	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gateway"
	"github.com/outcrop/outcrop/internal/gateway/invoke"
	"github.com/outcrop/outcrop/internal/inbound"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
)

// gateways is one gateway, or none.
type gateways struct{ v *gateway.View }

func (g gateways) View(_ context.Context, id string) (*gateway.View, error) {
	if g.v == nil || g.v.ID != id {
		return nil, fault.NotFound("Gateway %s not found", id)
	}
	return g.v, nil
}

func service(authorizer string) *invoke.Service {
	v := &gateway.View{MCP: true, Scope: store.Scope{Account: "123456789012", Region: "us-east-1"}, ID: "g-0123456789", ARN: "arn:aws:bedrock-agentcore:us-east-1:123456789012:gateway/g-0123456789", AuthorizerType: authorizer}
	if authorizer == agentcorecontrol.AuthorizerTypeCUSTOM_JWT {
		v.Authorizer = &inbound.Authorizer{Scopes: []string{"invoke"}}
	}
	return invoke.New(invoke.Config{Gateways: gateways{v}, Door: &inbound.Door{}, Ours: func(host string) bool {
		return host == "localhost" || host == "out.example" || strings.HasSuffix(host, ".amazonaws.com")
	},
		Pages: func(host string) bool { return host == "localhost" }})
}

func knock(host string, header http.Header) pipeline.Knock {
	labels := map[string]string{invoke.GatewayLabel: "g-0123456789", "path": "mcp"}
	return pipeline.Knock{Label: func(name string) string { return labels[name] }, Header: header, BaseURL: "http://" + host, Host: host, Path: "/gw/g-0123456789/mcp"}
}

// TestAnybody: a gateway without an authorizer is open to programs, not to the pages of
// others.
func TestAnybody(t *testing.T) {
	s := service(agentcorecontrol.AuthorizerTypeNONE)
	for name, tt := range map[string]struct {
		host, origin string
		ok           bool
	}{
		"a program":                {"127.0.0.1", "", true},
		"by a name of ours":        {"localhost", "", true},
		"by a name of theirs":      {"evil.example", "", false},
		"a page of ours":           {"127.0.0.1", "http://localhost:8642", true},
		"a page below AWS's name":  {"127.0.0.1", "http://x.s3-website-us-east-1.amazonaws.com", false},
		"a page of theirs":         {"127.0.0.1", "https://evil.example", false},
		"a page of the same host":  {"10.0.0.7", "http://10.0.0.7", true},
		"a page without an origin": {"127.0.0.1", "null", false},
	} {
		header := http.Header{}
		if tt.origin != "" {
			header.Set("Origin", tt.origin)
		}
		in, err := s.Admit(t.Context(), knock(tt.host, header))
		if (err == nil) != tt.ok || err == nil && (in.Principal.Kind != auth.Bearer || in.Principal.Admitted == "") || err != nil && fault.From(err).Status != http.StatusForbidden {
			t.Errorf("%s: %+v, %v", name, in, err)
		}
	}
}

// TestRefusals: who is not let in reads why in the protocol's own words.
func TestRefusals(t *testing.T) {
	_, err := service(agentcorecontrol.AuthorizerTypeCUSTOM_JWT).Admit(t.Context(), knock("127.0.0.1", nil))
	f := fault.From(err)
	if f.Status != http.StatusUnauthorized || string(f.Body) != `{"jsonrpc":"2.0","id":0,"error":{"code":-32001,"message":"Missing Bearer token"}}` {
		t.Errorf("%v %s", err, f.Body)
	}
	if got, want := f.Header.Get("Www-Authenticate"), `Bearer resource_metadata="http://127.0.0.1/.well-known/oauth-protected-resource/gw/g-0123456789/mcp", scope="invoke"`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if _, err := service(agentcorecontrol.AuthorizerTypeAWS_IAM).Admit(t.Context(), knock("127.0.0.1", nil)); err != pipeline.ErrSign {
		t.Errorf("%v", err)
	}
	err = service(agentcorecontrol.AuthorizerTypeCUSTOM_JWT).Signed(t.Context(), knock("127.0.0.1", nil), store.Scope{})
	if f := fault.From(err); f.Status != http.StatusForbidden || !json.Valid(f.Body) || !strings.Contains(f.Message, "it wants a bearer token") {
		t.Errorf("%v", err)
	}
}

// TestHost: a gateway with a host name of its own has its metadata at the root.
func TestHost(t *testing.T) {
	k := knock("g-0123456789.gateway.localhost", nil)
	k.Path = "/mcp"
	_, err := service(agentcorecontrol.AuthorizerTypeCUSTOM_JWT).Admit(t.Context(), k)
	if got := fault.From(err).Header.Get("Www-Authenticate"); !strings.HasPrefix(got, `Bearer resource_metadata="http://g-0123456789.gateway.localhost/.well-known/oauth-protected-resource"`) {
		t.Error(got)
	}
}

// TestPaths: a gateway for more than MCP names as its resource what was asked for, because
// clients compare it with the URL that they were given.
func TestPaths(t *testing.T) {
	v := &gateway.View{ID: "g-0123456789", AuthorizerType: agentcorecontrol.AuthorizerTypeCUSTOM_JWT, Authorizer: &inbound.Authorizer{}}
	s := invoke.New(invoke.Config{Gateways: gateways{v}, Door: &inbound.Door{}})
	for _, c := range []struct{ host, path, want string }{
		{"127.0.0.1", "/gw/g-0123456789/orders/mcp", "/.well-known/oauth-protected-resource/gw/g-0123456789/orders/mcp"},
		{"127.0.0.1", "/gw/g-0123456789/orders/", "/.well-known/oauth-protected-resource/gw/g-0123456789/orders"},
		{"g-0123456789.gateway.localhost", "/orders/mcp", "/.well-known/oauth-protected-resource/orders/mcp"},
	} {
		k := knock(c.host, nil)
		k.Path = c.path
		_, err := s.Admit(t.Context(), k)
		if got, want := fault.From(err).Header.Get("Www-Authenticate"), `Bearer resource_metadata="http://`+c.host+c.want+`"`; got != want {
			t.Errorf("%s: %s, want %s", c.path, got, want)
		}
	}
}

// TestGuards: the resources of a gateway are its MCP endpoint, or all that is below it.
func TestGuards(t *testing.T) {
	jwt, open := service(agentcorecontrol.AuthorizerTypeCUSTOM_JWT), service(agentcorecontrol.AuthorizerTypeNONE)
	general := invoke.New(invoke.Config{Gateways: gateways{&gateway.View{ID: "g-0123456789", Authorizer: &inbound.Authorizer{}}}})
	for path, want := range map[string][3]bool{
		"/gw/g-0123456789/mcp": {true, false, true}, "/gw/g-0123456789/mcp/": {true, false, true}, "/gw/g-0123456789": {false, false, true}, "/gw/g-0123456789/orders/mcp": {false, false, true},
		"/gw/other/mcp": {}, "/gw/": {}, "/gw": {}, "/": {}, "": {}, "/runtimes/g-0123456789/mcp": {},
	} {
		for i, s := range []*invoke.Service{jwt, open, general} {
			if got, err := s.Guards(t.Context(), path); got != want[i] || err != nil {
				t.Errorf("%d %q: %v %v", i, path, got, err)
			}
		}
	}
}

// TestHint: the URL of a gateway without its end leads to where the end is told.
func TestHint(t *testing.T) {
	for path, want := range map[string]string{
		"/gw/g-1":     "The MCP endpoint of a gateway is at /gw/g-1/mcp; one without protocolType has its targets at /gw/g-1/TARGET/... and models at /gw/g-1/inference/v1/...",
		"/mcp":        "The MCP endpoint of a gateway is at /gw/GATEWAY/mcp, with the gateway's id",
		"/mcp/":       "The MCP endpoint of a gateway is at /gw/GATEWAY/mcp, with the gateway's id",
		"/gw/g-1/mcp": "", "/gw/": "", "/gw": "", "/runtimes/x": "", "/": "", "/mcp/x": "",
	} {
		if got := invoke.Hint(path); got != want {
			t.Errorf("%s: %q", path, got)
		}
	}
}

// TestNone: that there is no such gateway is said alike to callers with a signature, with any
// token and with nothing.
func TestNone(t *testing.T) {
	s := invoke.New(invoke.Config{Gateways: gateways{}})
	id, path := "g-0123456789", "mcp"
	k := knock("127.0.0.1", nil)
	_, unknown := s.Admit(t.Context(), k)
	k.Token = secret.NewString("bad")
	_, bad := s.Admit(t.Context(), k)
	_, signed := s.InvokeGateway(t.Context(), &agentcore.InvokeGatewayRequest{GatewayIdentifier: &id, Path: &path})
	for _, err := range []error{unknown, bad, signed} {
		if f := fault.From(err); f.Status != http.StatusNotFound || !strings.Contains(string(f.Body), `"code":-32004,"message":"Gateway g-0123456789 not found"`) {
			t.Errorf("%v %s", err, f.Body)
		}
	}
}

// TestSlash: the MCP endpoint is the same with a slash at its end, also to who is refused.
func TestSlash(t *testing.T) {
	id, path := "g-0123456789", "mcp/"
	k := knock("127.0.0.1", nil)
	k.Label = func(name string) string { return map[string]string{invoke.GatewayLabel: id, "path": path}[name] }
	s := service(agentcorecontrol.AuthorizerTypeCUSTOM_JWT)
	_, nobody := s.Admit(t.Context(), k)
	signed := s.Signed(t.Context(), k, store.Scope{})
	_, none := invoke.New(invoke.Config{Gateways: gateways{}}).InvokeGateway(t.Context(), &agentcore.InvokeGatewayRequest{GatewayIdentifier: &id, Path: &path})
	for code, err := range map[string]error{"-32001": nobody, "-32002": signed, "-32004": none} {
		if body := string(fault.From(err).Body); !strings.Contains(body, `"error":{"code":`+code+`,`) {
			t.Errorf("%v %s, want %s", err, body, code)
		}
	}
}

// TestTooLarge: a body that is refused before the gateway is asked is, at the MCP endpoint, by
// an error of JSON-RPC.
func TestTooLarge(t *testing.T) {
	handlers := service(agentcorecontrol.AuthorizerTypeAWS_IAM).Handlers()
	i := slices.IndexFunc(handlers, func(h schema.Handler) bool { return h.Operation.Name == "InvokeGateway" })
	tooLarge := fault.New("RequestEntityTooLargeException", http.StatusRequestEntityTooLarge, "The request body exceeds the limit of 6291456 bytes.")
	const rpc = `{"jsonrpc":"2.0","id":0,"error":{"code":-32600,"message":"The request has more than 6291456 bytes. Send less, or a link to what is large"}}`
	for _, tt := range []struct {
		path string
		f    *fault.Error
		want string
	}{
		{"/gw/g-0123456789/mcp", tooLarge, rpc}, {"/gw/g-0123456789/mcp/", tooLarge, rpc}, {"/mcp", tooLarge, rpc},
		{"/gw/g-0123456789/target/mcp", tooLarge, ""}, {"/gw/g-0123456789/mcp", fault.Denied("no"), ""},
	} {
		got := handlers[i].Refuse(pipeline.WithCall(t.Context(), &pipeline.Call{Path: tt.path}), nil, tt.f)
		if string(got.Body) != tt.want || got.Status != tt.f.Status {
			t.Errorf("%s: %d %s, want %s", tt.path, got.Status, got.Body, tt.want)
		}
	}
}
