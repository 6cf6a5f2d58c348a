package passthrough

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/gateway/target"
)

// SessionHeader names a runtime session.
const SessionHeader = "X-Amzn-Bedrock-Agentcore-Runtime-Session-Id"

// requestHeaders are those that pass without being on an allow-list: what a body is, what
// the caller takes, and the trace; and what a protocol cannot do without.
func requestHeaders(protocol string) []string {
	out := []string{"Accept", "Content-Type", "Traceparent", "Tracestate", "Baggage"}
	switch protocol {
	case agentcorecontrol.PassthroughProtocolTypeMCP:
		out = append(out, "Mcp-*", "Last-Event-Id")
	case agentcorecontrol.PassthroughProtocolTypeA2A:
		out = append(out, "A2a-*", "Last-Event-Id")
	case agentcorecontrol.PassthroughProtocolTypeINFERENCE:
		out = append(out, "Anthropic-Version", "Anthropic-Beta")
	}
	return out
}

// responseHeaders are the same of answers.
func responseHeaders(protocol string) []string {
	out := []string{"Content-Type", "Retry-After", "Allow"}
	switch protocol {
	case agentcorecontrol.PassthroughProtocolTypeMCP:
		out = append(out, "Mcp-*")
	case agentcorecontrol.PassthroughProtocolTypeA2A:
		out = append(out, "A2a-*")
	}
	return out
}

// Allowed joins the headers of a request that pass anyway with those that a target's owner
// allows. A * at the end stands for any end.
func Allowed(m *agentcorecontrol.MetadataConfiguration, always []string) []string {
	if m != nil {
		always = append(always, target.Allowed(m.AllowedRequestHeaders, target.Passes)...)
	}
	return always
}

// Returned is the same of an answer.
func Returned(m *agentcorecontrol.MetadataConfiguration, always []string) []string {
	if m != nil {
		always = append(always, target.Allowed(m.AllowedResponseHeaders, target.Returns)...)
	}
	return always
}

// fits matches a header's name with a pattern, which may end in a *.
func fits(pattern, name string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(name, prefix)
	}
	return pattern == name
}

// Header is what passes of a request's, and an Authorization that an interceptor has set.
func Header(in *target.Request, patterns []string) http.Header {
	out := make(http.Header, len(patterns)+2)
	for _, pattern := range patterns {
		if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
			for name, values := range in.Header {
				if strings.HasPrefix(name, prefix) && target.Short(values) {
					out[name] = values
				}
			}
		} else if values := in.Header[pattern]; len(values) > 0 && target.Short(values) {
			out[pattern] = values
		}
	}
	// Else the client would ask for gzip, and hold a stream back to decompress it.
	out["Accept-Encoding"] = []string{"identity"}
	out["User-Agent"] = []string{target.UserAgent}
	if in.Baggage != "" {
		out["Baggage"] = []string{in.Baggage}
	}
	if in.Call.Intercepted {
		out["Authorization"] = in.Call.Header["Authorization"]
	}
	return out
}

// loginURL is where the caller has to agree first, out of MCP's way to say it
// (spec/gateway.md 4.4).
func loginURL(e *target.Error) string {
	var data struct {
		Elicitations []struct {
			URL string `json:"url"`
		} `json:"elicitations"`
	}
	if json.Unmarshal(e.Data, &data) != nil || len(data.Elicitations) == 0 {
		return ""
	}
	return " Sign in at " + data.Elicitations[0].URL + " and try again"
}
