package app

import "testing"

func TestGatewayHosts(t *testing.T) {
	hosts := gatewayHosts("localhost", "gw.example")
	for host, want := range map[string]string{
		"g-0123456789.gateway.gw.example":                                "/gw/g-0123456789",
		"G-0123456789.Gateway.gw.example.":                               "/gw/g-0123456789",
		"g-0123456789.gateway.bedrock-agentcore.us-east-1.amazonaws.com": "/gw/g-0123456789",
		"bedrock-agentcore.us-east-1.amazonaws.com":                      "",
		"a.b.gateway.gw.example":                                         "",
		".gateway.gw.example":                                            "",
		"gateway.gw.example":                                             "",
		"g-0123456789.gateway.localhost":                                 "/gw/g-0123456789",
		"gw.example":                                                     "",
		"x.s3.us-east-1.amazonaws.com":                                   "",
		"127.0.0.1":                                                      "",
	} {
		if got := hosts(host); got != want {
			t.Errorf("%s: %q, want %q", host, got, want)
		}
	}
}

// TestReservedNames: nobody may choose the names that callers of the server itself use.
func TestReservedNames(t *testing.T) {
	s := &Server{cfg: Config{PublicURL: "https://agents.example.com", GatewayDomain: "gw.example"}}
	for host, want := range map[string]bool{
		"127.0.0.1": true, "10.1.2.3": true, "[::1]": true, "localhost": true, "x.localhost": true, "Agents.example.com": true, "gw.example": true, "a.gw.example": true,
		"bedrock-agentcore.us-east-1.amazonaws.com": true, "tools.example.com": false, "example.com": false,
	} {
		if got := s.reserved(host); got != want {
			t.Errorf("%s: %v", host, got)
		}
	}
}
