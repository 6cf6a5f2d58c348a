package upstream

import (
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/outcrop/outcrop/internal/gateway/jsonraw"
	"github.com/outcrop/outcrop/internal/gateway/target"
)

// The headers of MCP, as net/http spells them.
const (
	headerVersion   = "Mcp-Protocol-Version"
	headerSession   = "Mcp-Session-Id"
	headerMethod    = "Mcp-Method"
	headerName      = "Mcp-Name"
	headerParam     = "Mcp-Param-"
	headerLastEvent = "Last-Event-Id"
)

// request is one on its way to a server, for any revision.
type request struct {
	method string
	// name is the tool's or prompt's, or the resource's URI, as Mcp-Name says it.
	name string
	// params are the members of params but _meta, without the braces.
	params []byte
	// meta is _meta, a JSON object or nothing.
	meta []byte
	// mirrored are arguments that the newest revision repeats as headers.
	mirrored []mirror
}

// calling is the request that calls a tool.
func calling(c *target.Call) *request {
	r := &request{method: "tools/call", name: c.Tool, meta: c.Meta}
	b := make([]byte, 0, len(`"name":,"arguments":`)+len(c.Tool)+8+len(c.Arguments))
	b = append(quote(append(b, `"name":`...), c.Tool), `,"arguments":`...)
	if len(c.Arguments) == 0 {
		b = append(b, "{}"...)
	} else {
		b = append(b, c.Arguments...)
	}
	if len(c.Params) == 0 {
		r.params = b
		return r
	}
	for _, key := range slices.Sorted(maps.Keys(c.Params)) {
		if alias(key) {
			continue
		}
		b = append(append(quote(append(b, ','), key), ':'), c.Params[key]...)
	}
	r.params = b
	return r
}

// asking is another request, from its params.
func asking(method string, params []byte, c *target.Call) (*request, error) {
	r := &request{method: method, meta: c.Meta}
	params = jsonraw.Trim(params)
	if len(params) == 0 || string(params) == "null" {
		return r, nil
	}
	if !jsonraw.Object(params) {
		return nil, &target.Error{Code: -32602, Message: "params of " + method + " are no JSON object"}
	}
	b := make([]byte, 0, len(params))
	for word, value := range jsonraw.Members(params) {
		key := string(word)
		switch {
		case key == "_meta":
			if value[0] == '{' {
				r.meta = value
			}
			continue
		case key == "name" && method == "prompts/get", key == "uri" && method == "resources/read":
			if value[0] == '"' {
				r.name = jsonraw.Text(value)
			}
		}
		if alias(key) {
			continue
		}
		if len(b) > 0 {
			b = append(b, ',')
		}
		b = append(append(quote(b, key), ':'), value...)
	}
	r.params = b
	return r, nil
}

// alias tells whether a member could be taken for another by a server that does not mind
// the case of names: what was let through by one would be done by the other.
func alias(key string) bool {
	for _, own := range [...]string{"name", "arguments", "uri", "_meta"} {
		if strings.EqualFold(key, own) { // ſ is an s, too
			return key != own
		}
	}
	return false
}

// encode is the request as a server of the session's revision takes it.
func (s *server) encode(id int64, got *session, c *target.Call, r *request) []byte {
	b := make([]byte, 0, 96+len(r.method)+len(r.params)+len(r.meta)+metaRoom)
	b = strconv.AppendInt(append(b, `{"jsonrpc":"2.0","id":`...), id, 10)
	b = append(append(append(b, `,"method":"`...), r.method...), `","params":{`...)
	b = append(b, r.params...)
	if meta := s.meta(nil, got, c, r); meta != nil {
		if len(r.params) > 0 {
			b = append(b, ',')
		}
		b = append(append(b, `"_meta":`...), meta...)
	}
	return append(b, "}}"...)
}

// metaRoom is about what the protocol's own members of _meta take, in bytes.
const metaRoom = 256

// gatewayMeta begins the keys of _meta that are said to the gateway (spec/gateway.md 4.4).
const gatewayMeta = "aws.bedrock-agentcore.gateway/"

// The members of _meta that the newest revision has in each request.
const (
	metaVersion      = "io.modelcontextprotocol/protocolVersion"
	metaInfo         = "io.modelcontextprotocol/clientInfo"
	metaCapabilities = "io.modelcontextprotocol/clientCapabilities"
	metaLogLevel     = "io.modelcontextprotocol/logLevel"
)

// meta appends a request's _meta for a server: what the caller sent, without what it said
// to the gateway, and with what the revision wants. It is nil for a request without any.
func (s *server) meta(b []byte, got *session, c *target.Call, r *request) []byte {
	if len(r.meta) == 0 && !got.modern {
		return nil
	}
	info, capabilities, level := s.info, []byte(nil), false
	b = append(b, '{')
	if len(r.meta) > 0 && r.meta[0] == '{' {
		for word, value := range jsonraw.Members(r.meta) {
			key := string(word)
			switch {
			case strings.HasPrefix(key, gatewayMeta), key == metaVersion, !got.modern && key == metaLogLevel:
				continue
			case key == metaInfo:
				info = value
				continue
			case key == metaCapabilities:
				capabilities = value
				continue
			case key == metaLogLevel:
				level = true
			}
			b = append(append(append(quote(b, key), ':'), value...), ',')
		}
	}
	if got.modern {
		if capabilities == nil {
			capabilities = s.declared(c, modern)
		}
		if c.Version < modern && c.Events && !level && len(s.passed) == 0 {
			// Older callers are sent all without asking, unless it would cost them headers of the answer.
			b = append(b, `"`+metaLogLevel+`":"debug",`...)
		}
		b = append(append(b, `"`+metaVersion+`":"`+modern+`","`+metaInfo+`":`...), info...)
		return append(append(append(b, `,"`+metaCapabilities+`":`...), capabilities...), '}')
	}
	if b[len(b)-1] == '{' {
		return nil
	}
	b[len(b)-1] = '}'
	return b
}

// declared is what the gateway tells a server of what its caller can be asked for.
func (s *server) declared(c *target.Call, revision string) []byte {
	switch {
	case c.Catalogue && len(c.Capabilities) > 0:
		return c.Capabilities
	case c.Catalogue && s.sessions:
		// Some servers list tools only to those who can be asked what these ask.
		return []byte(`{"elicitation":{"form":{},"url":{}},"sampling":{},"roots":{}}`)
	case revision != modern && c.Session == "", !jsonraw.Object(c.Capabilities):
		// Others share the session, or nobody can be asked.
		return []byte("{}")
	}
	return c.Capabilities
}

// post sends a message and returns the answer's head.
func (s *server) post(ctx context.Context, got *session, c *target.Call, r *request, body []byte) (*http.Response, error) {
	h := s.header(got, c, 10+len(r.mirrored))
	h["Content-Type"] = []string{"application/json"}
	h["Accept"] = []string{"application/json, text/event-stream"}
	if got.modern {
		h[headerMethod] = []string{r.method}
		if r.name != "" {
			h[headerName] = []string{plainValue(r.name)}
		}
		for _, m := range r.mirrored {
			h[headerParam+m.name] = []string{plainValue(m.value)}
		}
	}
	req := s.to(http.MethodPost, c, h)
	req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	return s.do(req.WithContext(ctx), c)
}

// header is what all requests of a session have.
func (s *server) header(got *session, c *target.Call, room int) http.Header {
	h := make(http.Header, room+len(c.Header))
	for name, values := range c.Header {
		h[http.CanonicalHeaderKey(name)] = slices.Clip(values) // credentials may add to h
	}
	h["User-Agent"] = []string{target.UserAgent}
	if got.revision != "" {
		h[headerVersion] = []string{got.revision}
	}
	if got.id != "" {
		h[headerSession] = []string{got.id}
	}
	return h
}

// to is a request to the endpoint, whose URL stays as its owner wrote it.
func (s *server) to(method string, c *target.Call, h http.Header) *http.Request {
	u := *s.endpoint
	if len(c.Query) > 0 {
		u.RawQuery = joined(u.RawQuery, c.Query)
	}
	return &http.Request{Method: method, URL: &u, Host: u.Host, Header: h, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
}

func joined(raw string, more url.Values) string {
	if raw == "" {
		return more.Encode()
	}
	return raw + "&" + more.Encode()
}

// do sends a request with the target's credentials. One whose kept connection turns out
// to have been closed before is sent again.
func (s *server) do(r *http.Request, c *target.Call) (*http.Response, error) {
	if s.credentials != nil {
		if err := s.credentials.Apply(r.Context(), r, c); err != nil {
			return nil, err
		}
	}
	send := s.client.Do
	if t := s.client.Transport; t != nil && r.Method == http.MethodPost {
		send = t.RoundTrip // the client would follow no redirect of it, and adds nothing
	}
	for again := false; ; again = true {
		a, err := send(r)
		if err == nil || again || !closedIdle(err) {
			return a, err
		}
		if r.GetBody != nil {
			if r.Body, err = r.GetBody(); err != nil {
				return nil, err
			}
		}
	}
}

// plainValue is a value as a header of MCP can have it (2026-07-28, streamable HTTP,
// value encoding).
func plainValue(v string) string {
	odd := strings.HasPrefix(v, "=?base64?") && strings.HasSuffix(v, "?=") || v != strings.Trim(v, " \t")
	for i := 0; i < len(v) && !odd; i++ {
		odd = v[i] != '\t' && (v[i] < 0x20 || v[i] > 0x7e)
	}
	if !odd {
		return v
	}
	return "=?base64?" + base64.StdEncoding.EncodeToString([]byte(v)) + "?="
}
