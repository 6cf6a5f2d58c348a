package mcp

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/outcrop/outcrop/conformance/server"
)

// signing is what clients that cannot sign use: a proxy on the loopback, at /mcp, to a
// runtime. All that comes through it is one session of the runtime, unless it names
// another. It returns the URL.
func signing(t *testing.T, s *server.Server, arn, session string) string {
	t.Helper()
	to, err := url.Parse(s.URL + "/runtimes/" + url.QueryEscape(arn) + "/invocations")
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		FlushInterval: -1,
		Rewrite:       func(p *httputil.ProxyRequest) { p.Out.URL, p.Out.Host = to, to.Host },
		Transport:     signer{s: s, session: session, creds: aws.Credentials{AccessKeyID: s.AccessKeyID, SecretAccessKey: s.SecretAccessKey}},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() == nil { // the suite hangs up where it has seen enough
				t.Errorf("%s: %v", r.Method, err)
			}
			w.WriteHeader(http.StatusBadGateway)
		},
	}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Whoever listens on the loopback must refuse what a web page can be led to send
		// there (MCP, transports, security warning). It is this proxy that does.
		if !loopback(r.Host) || r.Header.Get("Origin") != "" && !loopback(origin(r)) {
			http.Error(w, "this is for programs on this machine", http.StatusForbidden)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	return front.URL + "/mcp"
}

func origin(r *http.Request) string {
	if u, err := url.Parse(r.Header.Get("Origin")); err == nil {
		return u.Host
	}
	return ""
}

// loopback reports whether a host, with or without a port, is this machine.
func loopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// signer signs requests, as a client with the account's key does.
type signer struct {
	s       *server.Server
	session string
	creds   aws.Credentials
}

func (g signer) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, errors.Join(err, r.Body.Close())
		}
		if err := r.Body.Close(); err != nil {
			return nil, err
		}
	}
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	r = r.Clone(r.Context())
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	for _, name := range []string{"Connection", "X-Forwarded-For", "Accept-Encoding"} {
		r.Header.Del(name)
	}
	r.Header.Set("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", g.session)
	if err := v4.NewSigner().SignHTTP(r.Context(), g.creds, r, hash, "bedrock-agentcore", g.s.Region, time.Now()); err != nil {
		return nil, err
	}
	return http.DefaultTransport.RoundTrip(r)
}
