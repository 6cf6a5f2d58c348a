package interceptor

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
)

// version is that of the payloads, both ways.
const version = "1.0"

// rawRequest is a request as it came.
type rawRequest struct {
	Body string `json:"body"`
}

type sentRequest struct {
	Path    string            `json:"path"`
	Query   string            `json:"query,omitempty"` // ours: AWS shows none
	Method  string            `json:"httpMethod"`
	Headers map[string]string `json:"headers,omitempty"`
	Body    json.RawMessage   `json:"body"`
}

type mcpResponse struct {
	Status    int               `json:"statusCode"`
	Headers   map[string]string `json:"headers,omitempty"`
	Body      json.RawMessage   `json:"body,omitempty"`
	Streaming bool              `json:"isStreamingResponse"`
}

type httpResponse struct {
	ContentType string            `json:"contentType"`
	Status      int               `json:"statusCode"`
	Headers     map[string]string `json:"headers"`
	Body        json.RawMessage   `json:"body"` // null where it is not shown
}

type mcpInput struct {
	Version string `json:"interceptorInputVersion"`
	MCP     struct {
		Raw      rawRequest   `json:"rawGatewayRequest"`
		Request  sentRequest  `json:"gatewayRequest"`
		Response *mcpResponse `json:"gatewayResponse,omitempty"`
	} `json:"mcp"`
}

type httpInput struct {
	Version string `json:"interceptorInputVersion"`
	HTTP    struct {
		// Request is null beside a response: with both, one that nearly fills a payload
		// could not be shown.
		Request  *sentRequest  `json:"gatewayRequest"`
		Response *httpResponse `json:"gatewayResponse,omitempty"`
	} `json:"http"`
}

// payloadOf is what a function is told of a request, or of the answer to it.
func payloadOf(h *hook, r Request, a *Response) ([]byte, error) {
	sent := sentRequest{Path: r.Path, Method: r.Method}
	if h.headers {
		sent.Headers = joined(r.Header)
	}
	if r.Protocol == HTTP {
		in := httpInput{Version: version}
		if a == nil {
			sent.Query, sent.Body = r.Query, encoded(r.Body)
			in.HTTP.Request = &sent
		} else {
			in.HTTP.Response = &httpResponse{ContentType: a.Header.Get("Content-Type"), Status: a.Status, Headers: joined(a.Header), Body: json.RawMessage("null")}
			if h.body {
				in.HTTP.Response.Body = encoded(a.Body)
			}
		}
		return json.Marshal(in)
	}
	in := mcpInput{Version: version}
	sent.Body = object(r.Body)
	in.MCP.Raw.Body, in.MCP.Request = string(r.Body), sent
	if a != nil {
		in.MCP.Response = &mcpResponse{Status: a.Status, Headers: joined(a.Header), Streaming: a.Streaming}
		if h.body && len(a.Body) > 0 {
			in.MCP.Response.Body = object(a.Body)
		}
	}
	return json.Marshal(in)
}

// joined are headers as interceptors are told them.
func joined(h http.Header) map[string]string {
	out := map[string]string{}
	for name, values := range h {
		out[name] = strings.Join(values, ", ")
	}
	return out
}

// object is a body as interceptors of MCP are told it: JSON as it is, all else as text.
func object(body []byte) json.RawMessage {
	if json.Valid(body) {
		return body
	}
	b, err := json.Marshal(string(body))
	if err != nil { // a string
		return json.RawMessage("null")
	}
	return b
}

// encoded is a body in base64, as a JSON string.
func encoded(body []byte) json.RawMessage {
	out := make([]byte, base64.StdEncoding.EncodedLen(len(body))+2)
	out[0], out[len(out)-1] = '"', '"'
	base64.StdEncoding.Encode(out[1:], body)
	return out
}

// output is what a function has made of what it saw.
type output struct {
	request, response *changed
}

// changed is a request or a response that a function gives. What it leaves out is the
// zero value; given tells an empty body from none.
type changed struct {
	status int
	header http.Header
	body   []byte
	given  bool
}

// answered is the same on the wire.
type answered struct {
	Status      int               `json:"statusCode"`
	ContentType string            `json:"contentType"`
	Headers     map[string]string `json:"headers"`
	Body        json.RawMessage   `json:"body"`
}

// parse reads what a function answered. Its error ends the sentence that begins with the
// function's name: whatever is not understood must not pass for "unchanged".
func parse(p Protocol, payload []byte) (output, error) {
	var envelope map[string]json.RawMessage
	if err := json.Unmarshal(payload, &envelope); err != nil || envelope == nil {
		return output{}, errors.New("answered no JSON object")
	}
	var said string
	if err := json.Unmarshal(envelope["interceptorOutputVersion"], &said); err != nil || said != version {
		return output{}, fmt.Errorf("answered an interceptorOutputVersion that is not %q", version)
	}
	var parts *struct {
		Request  *answered `json:"transformedGatewayRequest"`
		Response *answered `json:"transformedGatewayResponse"`
	}
	if err := json.Unmarshal(envelope[p.key()], &parts); err != nil || parts == nil {
		return output{}, fmt.Errorf("answered nothing that can be read in the member %s, where requests of this kind are", p.key())
	}
	var out output
	var err error
	if parts.Request != nil {
		if out.request, err = parts.Request.read(p); err != nil {
			return output{}, fmt.Errorf("answered a transformedGatewayRequest whose %w", err)
		}
	}
	if parts.Response != nil {
		if out.response, err = parts.Response.read(p); err != nil {
			return output{}, fmt.Errorf("answered a transformedGatewayResponse whose %w", err)
		}
	}
	return out, nil
}

func (a *answered) read(p Protocol) (*changed, error) {
	out := &changed{status: a.Status, header: headers(a.Headers)}
	if a.Status != 0 && (a.Status < 200 || a.Status > 599) {
		return nil, fmt.Errorf("statusCode is %d, which is none of an answer", a.Status)
	}
	if a.ContentType != "" && p == HTTP {
		maps.Copy(out.header, headers(map[string]string{"Content-Type": a.ContentType}))
	}
	null := string(a.Body) == "null"
	switch {
	case a.Body == nil || null && p == HTTP: // of HTTP, null is to leave it as it is
	case null:
		return nil, errors.New("body is null; leave the member out to change nothing")
	case p == MCP:
		out.body, out.given = a.Body, true
	default:
		var text string
		if err := json.Unmarshal(a.Body, &text); err != nil {
			return nil, errors.New("body is no string of base64")
		}
		var err error
		if out.body, err = base64.StdEncoding.DecodeString(text); err != nil {
			return nil, errors.New("body is not in base64")
		}
		out.given = true
	}
	return out, nil
}

// headers are those that an interceptor sets, as far as they are headers.
func headers(set map[string]string) http.Header {
	out := http.Header{}
	for name, value := range set {
		if name != "" && !strings.ContainsFunc(name, notToken) && !strings.ContainsFunc(value, notText) {
			out.Set(name, value)
		}
	}
	return out
}

// notToken reports characters that no header's name has (RFC 9110, 5.6.2).
func notToken(r rune) bool {
	return !('0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || strings.ContainsRune("!#$%&'*+-.^_`|~", r))
}

// notText reports characters that no header's value has.
func notText(r rune) bool { return r < 0x20 && r != '\t' || r == 0x7f }
