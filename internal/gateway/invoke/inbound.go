package invoke

import (
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gateway"
	"github.com/outcrop/outcrop/internal/gateway/mcp"
	"github.com/outcrop/outcrop/internal/inbound"
	"github.com/outcrop/outcrop/internal/store"
)

var _ pipeline.Inbound = (*Service)(nil)

// Admit lets a caller in who signs nothing, where the gateway wants a token, or nothing.
func (s *Service) Admit(ctx context.Context, k pipeline.Knock) (pipeline.Admission, error) {
	isMCP := isMCP(k.Label(pathLabel))
	v, err := s.cfg.Gateways.View(ctx, k.Label(GatewayLabel))
	if err != nil { // whoever comes with any token at all reads that there is none, and so may all
		return pipeline.Admission{}, reworded(isMCP, err)
	}
	refused := pipeline.Admission{Scope: v.Scope, Resource: v.ARN}
	switch {
	case v.AuthorizerType == agentcorecontrol.AuthorizerTypeNONE:
		if err := s.fromPage(k); err != nil {
			return refused, reworded(isMCP, err)
		}
		return pipeline.Admission{
			Principal: auth.Principal{Kind: auth.Bearer, Account: v.Scope.Account, ARN: anybody, Admitted: v.ARN}, Scope: v.Scope, Stranger: true,
		}, nil
	case v.Authorizer == nil && k.Token.Empty():
		return refused, pipeline.ErrSign
	case v.Authorizer == nil:
		return refused, reworded(isMCP, mismatch(v))
	}
	t, err := s.cfg.Door.Admit(ctx, v.Authorizer, inbound.Caller{
		Scope: v.Scope, Token: k.Token, Workload: k.Header.Get(inbound.WorkloadHeader), Debug: v.Debug, Metadata: func() string { return metadataURL(k.BaseURL, k.Path, v) },
	})
	if err != nil {
		if t != nil {
			refused.Principal.ARN = inbound.Name(t.Issuer, t.Subject)
		}
		return refused, challenge(isMCP, k.Token.Empty(), err)
	}
	return pipeline.Admission{
		Principal: auth.Principal{Kind: auth.Bearer, Account: v.Scope.Account, ARN: inbound.Name(t.Issuer, t.Subject), ID: t.Subject, Admitted: v.ARN},
		Scope:     v.Scope, Keys: inbound.Keys(t),
		User: pipeline.User{Issuer: t.Issuer, Subject: t.Subject, Token: k.Token, Expires: t.Expires},
	}, nil
}

// fromPage refuses what pages of others make browsers send to a gateway that asks nobody
// who they are: it may be on a network that the page is not on. Such a page comes with its
// own Origin, or by a name of its own that it has made resolve to this server (MCP,
// transports, security warning).
func (s *Service) fromPage(k pipeline.Knock) error {
	if _, err := netip.ParseAddr(strings.Trim(k.Host, "[]")); err != nil && !s.cfg.Ours(k.Host) {
		return fault.Denied("This gateway asks nobody who they are, and is not reached by the name '%s'. Start the server with --public-url if the name is its own", fault.Clip(k.Host, 100))
	}
	origin := k.Header.Get("Origin")
	if origin == "" && k.Header.Get("Sec-Fetch-Site") == "cross-site" {
		return fault.Denied("This gateway asks nobody who they are, and answers no page of others")
	}
	if origin == "" {
		return nil
	}
	u, err := url.Parse(origin)
	if err != nil || u.Hostname() != k.Host && !s.cfg.Pages(u.Hostname()) {
		return fault.Denied("This gateway asks nobody who they are, and answers no page of '%s'. Serve the page by this server's name (--public-url), or give the gateway an authorizer", fault.Clip(origin, 100))
	}
	return nil
}

// anybody is how the audit names callers of a gateway that asks nobody who they are.
const anybody = "anonymous"

// Signed refuses a signature where the gateway wants a token.
func (s *Service) Signed(ctx context.Context, k pipeline.Knock, _ store.Scope) error {
	v, err := s.cfg.Gateways.View(ctx, k.Label(GatewayLabel))
	switch {
	case err != nil && fault.From(err).Status >= http.StatusInternalServerError:
		return err // who is wanted is not known
	case err != nil, v.Authorizer == nil:
		return nil // its handler says so
	}
	return reworded(isMCP(k.Label(pathLabel)), mismatch(v))
}

func mismatch(v *gateway.View) error {
	want := "a request that is signed (SigV4)"
	if v.Authorizer != nil {
		want = "a bearer token"
	}
	return fault.Denied("Authorization method mismatch. The gateway's authorizerType is %s: it wants %s", v.AuthorizerType, want)
}

// The codes of MCP for callers who are not let in (spec/gateway.md 8.7).
const (
	codeUnauthenticated = -32001
	codeUnauthorized    = -32002
	codeThrottled       = -32003
	codeNotFound        = -32004
	codeInternal        = -32603
)

// challenge words the refusal of a caller's token.
func challenge(isMCP, none bool, err error) error {
	f := fault.From(err)
	if !isMCP || f.Status != http.StatusUnauthorized {
		return reworded(isMCP, err)
	}
	if none {
		return rpc(f, codeUnauthenticated, "Missing Bearer token")
	}
	return rpc(f, codeUnauthenticated, "Invalid Bearer token")
}

// reworded is a refusal as MCP words it, for callers of the MCP endpoint.
func reworded(isMCP bool, err error) error {
	if !isMCP || err == pipeline.ErrSign {
		return err
	}
	f := fault.From(err)
	code := codeInternal
	switch f.Status {
	case http.StatusUnauthorized:
		code = codeUnauthenticated
	case http.StatusForbidden:
		code = codeUnauthorized
	case http.StatusTooManyRequests:
		code = codeThrottled
	case http.StatusNotFound:
		code = codeNotFound
	}
	if code == codeInternal {
		return rpc(f, code, "An internal error occurred. Please retry later.")
	}
	return rpc(f, code, f.Message)
}

// refuse words what is refused before a gateway is asked: that a request is too large, for
// callers of the MCP endpoint.
func refuse(ctx context.Context, _ any, f *fault.Error) *fault.Error {
	if f.Status != http.StatusRequestEntityTooLarge || f.Body != nil || !isMCP(strings.TrimPrefix(below(pipeline.From(ctx).Path), "/")) {
		return f
	}
	return rpc(f, mcp.CodeTooLarge, mcp.TooLarge)
}

// rpc gives a refusal the body of a JSON-RPC error. The message it answers has not been
// read.
func rpc(f *fault.Error, code int, message string) *fault.Error {
	type failure struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}
	body, err := json.Marshal(struct {
		Version string  `json:"jsonrpc"`
		ID      int     `json:"id"`
		Error   failure `json:"error"`
	}{"2.0", 0, failure{code, message}})
	if err != nil { // numbers and text
		return f
	}
	c := *f
	c.Body, c.Header = body, f.Header.Clone()
	if c.Header == nil {
		c.Header = http.Header{}
	}
	c.Header.Set("Content-Type", "application/json")
	return &c
}
