package gateway

import (
	"fmt"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gateway/target"
)

// checkMetadata holds the rules of which headers and parameters may pass (spec/gateway.md
// 3.5). What an HTTP target is sent is more its own business than what an MCP target is.
func checkMetadata(m *agentcorecontrol.MetadataConfiguration, k kind, sessions bool) error {
	if m == nil {
		return nil
	}
	if err := checkHeaders("metadataConfiguration.allowedRequestHeaders", m.AllowedRequestHeaders, target.Passes, k, sessions); err != nil {
		return err
	}
	// What cannot be asked for cannot be answered, either (spec/gateway.md 3.5).
	returns := func(name string) bool { return target.Passes(name) && target.Returns(name) }
	if err := checkHeaders("metadataConfiguration.allowedResponseHeaders", m.AllowedResponseHeaders, returns, k, sessions); err != nil {
		return err
	}
	const field = "metadataConfiguration.allowedQueryParameters"
	for i, name := range m.AllowedQueryParameters {
		switch {
		case !plainName(name):
			return fault.Invalid(field, "%s: '%s' may have letters, digits, - and _ alone", field, name)
		case slices.Contains(m.AllowedQueryParameters[:i], name):
			return fault.Invalid(field, "%s: '%s' is listed twice", field, name)
		}
	}
	return nil
}

func checkHeaders(field string, names []string, passes func(string) bool, k kind, sessions bool) error {
	seen := map[string]bool{}
	for _, name := range names {
		lower := strings.ToLower(name)
		switch {
		case !plainName(name):
			return fault.Invalid(field, "%s: '%s' may have letters, digits, - and _ alone", field, name)
		case seen[lower]:
			return fault.Invalid(field, "%s: '%s' is listed twice; names are compared without regard to case", field, name)
		}
		seen[lower] = true
		if why := restricted(lower, passes, k, sessions); why != "" {
			return fault.Invalid(field, "%s: header '%s' cannot be passed on: %s", field, name, why)
		}
	}
	return nil
}

// plainName reports whether a name has the characters that headers are passed on with, and
// that all models take in names of tools.
func plainName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return !('0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || r == '-' || r == '_')
	})
}

// sessionHeader says a session of MCP, in lower case.
const sessionHeader = "mcp-session-id"

// restricted says why a header, in lower case, cannot be passed on, or nothing.
func restricted(lower string, passes func(name string) bool, k kind, sessions bool) string {
	switch {
	case strings.HasPrefix(lower, "x-amz-"):
		return "names that begin with X-Amz- are reserved"
	case strings.HasPrefix(lower, "x-amzn-") && !passes(lower):
		return "of the names that begin with X-Amzn- only X-Amzn-Bedrock-AgentCore-Runtime-Custom-* and the session ids can be"
	case lower == sessionHeader && k.protocol == protocolMCP && sessions:
		return "the gateway keeps MCP sessions of its own"
	case k.protocol == protocolHTTP && slices.Contains([]string{"content-type", "accept", sessionHeader}, lower):
		return ""
	case !passes(lower), lower == "content-type", strings.HasPrefix(lower, "accept"):
		return "it is restricted, for it is about the connection, the body or the browser"
	}
	return ""
}

// withoutSession is a target's metadata configuration without the header that says a session
// of the gateway's own, which is its caller's alone.
func withoutSession(m *agentcorecontrol.MetadataConfiguration) *agentcorecontrol.MetadataConfiguration {
	if m == nil {
		return nil
	}
	is := func(name string) bool { return strings.EqualFold(name, sessionHeader) }
	out := *m
	out.AllowedRequestHeaders = slices.DeleteFunc(slices.Clone(m.AllowedRequestHeaders), is)
	out.AllowedResponseHeaders = slices.DeleteFunc(slices.Clone(m.AllowedResponseHeaders), is)
	return &out
}

// members prints a list for texts: a, b or c.
func members(names []string) string {
	if len(names) == 1 {
		return names[0]
	}
	return fmt.Sprintf("%s or %s", strings.Join(names[:len(names)-1], ", "), names[len(names)-1])
}
