package client

import (
	"fmt"
	"net/http"
	"net/http/httputil"
	"slices"
	"strconv"
	"strings"

	"github.com/outcrop/outcrop/internal/sessionurl"
)

// unsignedPayload is signed in place of a body's hash, so that it can be streamed.
const unsignedPayload = "UNSIGNED-PAYLOAD"

// Port passes HTTP requests and WebSockets on to a port of a live session, signed
// as calls of ours (docs/runtime.md, Ports). refused is told what did not reach
// it; the caller of the request is told by a 502.
func (c *Client) Port(at Place, port int, refused func(error)) (http.Handler, error) {
	label, err := sessionLabel(at)
	if err != nil {
		return nil, err
	}
	prefix := sessionurl.Path + label + "/" + strconv.Itoa(port)
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			u := *c.base
			u.Path, u.RawPath = prefix+r.In.URL.Path, prefix+r.In.URL.EscapedPath()
			u.RawQuery = r.In.URL.RawQuery
			r.Out.URL, r.Out.Host = &u, ""
			c.signPort(r.Out)
		},
		ModifyResponse: ownPage, Transport: c.agents.Transport, FlushInterval: -1,
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() == nil {
				refused(err)
			}
			w.WriteHeader(http.StatusBadGateway)
		},
	}, nil
}

// signPort signs no more than it must: what stands between may change the rest.
func (c *Client) signPort(out *http.Request) {
	for name := range out.Header {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-amz-") || strings.HasPrefix(lower, "x-amzn-") {
			out.Header.Del(name) // these are of calls, and do not pass
		}
	}
	bare := &http.Request{Method: out.Method, URL: new(*out.URL), Host: c.base.Host, Header: http.Header{"X-Amz-Content-Sha256": {unsignedPayload}}}
	if err := c.sign(out.Context(), bare, unsignedPayload, "bedrock-agentcore"); err != nil {
		return // the server refuses it, and says so
	}
	for name, values := range bare.Header {
		out.Header[name] = values
	}
}

// ownPage takes from an answer what the server adds since its own pages have the
// same origin: here the port has one of its own.
func ownPage(r *http.Response) error {
	const policy = "Content-Security-Policy"
	values := r.Header[policy]
	if i := slices.Index(values, "sandbox"); i >= 0 && r.Header.Get("X-Outcrop-Refused") == "" {
		if r.Header[policy] = slices.Delete(slices.Clone(values), i, i+1); len(values) == 1 {
			r.Header.Del(policy)
		}
	}
	return nil
}

// sessionLabel is what a session is called in the URL of its ports.
func sessionLabel(at Place) (string, error) {
	arn := strings.SplitN(at.ARN, ":", 6)
	if len(arn) != 6 || !strings.HasPrefix(arn[5], "runtime/") {
		return "", fmt.Errorf("%q is no runtime's ARN", at.ARN)
	}
	endpoint := at.Qualifier
	if endpoint == "" {
		endpoint = "DEFAULT"
	}
	return sessionurl.Label(arn[4], arn[3], strings.TrimPrefix(arn[5], "runtime/"), endpoint, at.Session), nil
}
