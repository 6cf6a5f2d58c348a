package target

import (
	"iter"
	"net/http"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/wire"
)

// UserAgent is what calls of targets say of who calls, where nobody said another.
const UserAgent = "outcrop"

// Passes reports whether a target's allow-list may let a header of a request through at
// all: nothing that belongs to a connection, or says who somebody is (spec/gateway.md 3.5).
func Passes(name string) bool {
	name = http.CanonicalHeaderKey(name)
	if of, ok := strings.CutPrefix(name, "X-Amzn-"); ok {
		return strings.HasPrefix(of, "Bedrock-Agentcore-Runtime-Custom-") || of == "Bedrock-Agentcore-Runtime-Session-Id" || of == "Bedrock-Agentcore-Policy-Session-Id"
	}
	switch name {
	case "Authorization", "Content-Length", "Content-Encoding", "Accept-Encoding", "Host", "User-Agent", "Cookie", "Set-Cookie", "Origin", "Referer", "Forwarded", "Via",
		"Strict-Transport-Security", "X-Frame-Options", "X-Content-Type-Options", "Content-Security-Policy", "Expect", "Workloadaccesstoken":
		return false
	}
	return !OfConnection(name) && !strings.HasPrefix(name, "Access-Control-") && !strings.HasPrefix(name, "X-Forwarded-") && !strings.HasPrefix(name, "X-Amz-")
}

// maxValue bounds the value of a header that passes, in bytes (spec/gateway.md 3.5).
const maxValue = 4 << 10

// Short reports whether the values of a header are short enough to pass.
func Short(values []string) bool {
	return !slices.ContainsFunc(values, func(v string) bool { return len(v) > maxValue })
}

// Returns reports whether a target's allow-list may let a header of an answer through at
// all: nothing that belongs to a connection, that this server says itself, or that would
// hold for others at this host.
func Returns(name string) bool {
	switch http.CanonicalHeaderKey(name) {
	case "Content-Length", "Content-Encoding", "X-Amzn-Requestid", "Www-Authenticate":
		return false
	}
	return !OfConnection(name) && !OfHost(name)
}

// Allowed are the headers of an allow-list that pass, Passes or Returns, as they are
// written in an http.Header.
func Allowed(list []string, pass func(name string) bool) []string {
	var out []string
	for _, name := range list {
		if pass(name) {
			out = append(out, http.CanonicalHeaderKey(name))
		}
	}
	return out
}

// OfConnection reports whether a header belongs to one connection (RFC 9110, 7.6.1).
func OfConnection(name string) bool {
	switch http.CanonicalHeaderKey(name) {
	case "Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return strings.HasPrefix(http.CanonicalHeaderKey(name), "Proxy-")
}

// OfHost reports whether a header of an answer would hold for others at this host, too.
func OfHost(name string) bool {
	switch http.CanonicalHeaderKey(name) {
	case "Set-Cookie", "Clear-Site-Data", "Strict-Transport-Security", "Alt-Svc", "Service-Worker-Allowed", "X-Content-Type-Options", "Content-Security-Policy":
		return true
	}
	return strings.HasPrefix(http.CanonicalHeaderKey(name), "Access-Control-")
}

// StickyHeaders are the identifiers that calls stick to, all of them at once, each with the
// header that it names.
func StickyHeaders(c *agentcorecontrol.StickinessConfiguration) iter.Seq2[string, string] {
	return func(yield func(identifier, header string) bool) {
		if first := wire.Text(c.Identifier); !yield(first, stickyHeader(first)) {
			return
		}
		for _, more := range c.CompositeIdentifier {
			if !yield(more, stickyHeader(more)) {
				return
			}
		}
	}
}

// stickyHeader reads $context.header.NAME, $.AMZN_AC_GW_CONTEXT.headers.NAME, or NAME itself.
func stickyHeader(identifier string) string {
	for _, mark := range []string{".header.", ".headers."} {
		if _, name, ok := strings.Cut(identifier, mark); ok {
			return name
		}
	}
	return identifier
}
