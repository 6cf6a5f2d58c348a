package app

import (
	"context"
	"net/url"
	"strings"
	"testing"
)

// TestServedResources: a resource is at a name of this server's.
func TestServedResources(t *testing.T) {
	k := kept{port: "8642"}
	s := served{
		public: func() string { return "https://agents.example" }, reaches: k.reaches,
		prefix:   gatewayHosts("localhost", "tools.example"),
		runtimes: func(_ context.Context, u *url.URL) (bool, error) { return strings.HasPrefix(u.Path, "/runtimes/"), nil },
		gateways: func(_ context.Context, path string) (bool, error) { return path == "/gw/g-1/mcp", nil },
	}
	for resource, want := range map[string]bool{
		"http://box.lan:8642/runtimes/x": true, "http://BOX.lan:8642/runtimes/x": true, "http://127.0.0.1:8642/runtimes/x": true, "http://localhost:8642/runtimes/x": true,
		"https://agents.example/runtimes/x": true, "https://bedrock-agentcore.us-west-2.amazonaws.com/runtimes/x": true,
		"http://box.lan:8642/elsewhere": false, "http://box.lan/runtimes/x": false, "http://127.0.0.1:8643/runtimes/x": false, "https://payroll.example/runtimes/x": false,
		"https://agents.example.evil.example/runtimes/x": false, "https://agents.example:444/runtimes/x": false, "https://a@agents.example/runtimes/x": false,
		"ftp://agents.example/runtimes/x": false, "https://bedrock-agentcore-control.us-west-2.amazonaws.com/runtimes/x": true, // one service to signatures
		"https://g-1.gateway.bedrock-agentcore.us-west-2.amazonaws.com/runtimes/x": false, "https://s3.us-west-2.amazonaws.com/runtimes/x": false, "https://[::1/runtimes/x": false,
		"http://box.lan:8642/gw/g-1/mcp": true, "https://agents.example/gw/g-1/mcp": true, "http://localhost:8642/gw/g-1/mcp": true, "https://bedrock-agentcore.us-west-2.amazonaws.com/gw/g-1/mcp": true,
		"http://box.lan:8642/gw/g-2/mcp": false, "http://box.lan:8642/gw/g-1/mcp?x=y": false, "http://box.lan:8642/gw/g-1/mcp#x": false, "https://payroll.example/gw/g-1/mcp": false,
		"http://g-1.gateway.localhost:8642/mcp": true, "https://g-1.gateway.tools.example/mcp": true, "https://g-1.gateway.bedrock-agentcore.us-west-2.amazonaws.com/mcp": true,
		"http://g-1.gateway.localhost:9999/mcp": false, "https://g-2.gateway.tools.example/mcp": false, "https://g-1.gateway.bedrock-agentcore.us-west-2.amazonaws.com:9999/mcp": false,
		"https://g-1.gateway.tools.example/mcp?x=y": false, "https://g-1.gateway.evil.example/mcp": false, "http://g-1.gateway.localhost:8642/runtimes/x": false,
	} {
		if got, err := s.serves(t.Context(), "box.lan:8642", resource); got != want || err != nil {
			t.Errorf("%s: %v %v, want %v", resource, got, err, want)
		}
	}
}
