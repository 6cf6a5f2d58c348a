package invoke

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/outcrop/outcrop/internal/api/model/agentcore"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/awshost"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/inbound"
	"github.com/outcrop/outcrop/internal/runtime"
	"github.com/outcrop/outcrop/internal/session"
	"github.com/outcrop/outcrop/internal/store"
)

var _ pipeline.Inbound = (*Service)(nil)

// Admit lets a caller in who signs nothing, where the runtime that is called has a
// customJWTAuthorizer.
func (s *Service) Admit(ctx context.Context, k pipeline.Knock) (pipeline.Admission, error) {
	var none pipeline.Admission
	if k.Token.Empty() && k.Label(sessionLabel) != "" {
		return none, pipeline.ErrSign // to find the session of a label takes work
	}
	key, err := s.knocked(k, s.strangers(k))
	if err != nil {
		return none, unlessToken(k, err)
	}
	a, err := s.plans.Authorizer(ctx, key)
	if err != nil {
		return none, unlessToken(k, err)
	}
	refused := pipeline.Admission{Scope: key.Scope, Resource: runtime.ARN(key.Scope, key.Owner)}
	if a == nil {
		return refused, unlessToken(k, pipeline.ErrMismatch())
	}
	t, err := s.door.Admit(ctx, a, inbound.Caller{Scope: key.Scope, Token: k.Token, Workload: k.Header.Get(inbound.WorkloadHeader), Metadata: func() string { return metadataURL(k.BaseURL, key) }})
	if err != nil {
		if t != nil {
			refused.Principal.ARN = inbound.Name(t.Issuer, t.Subject)
		}
		return refused, err
	}
	return pipeline.Admission{
		Principal: auth.Principal{Kind: auth.Bearer, Account: key.Scope.Account, ARN: inbound.Name(t.Issuer, t.Subject), ID: t.Subject, Admitted: runtime.EndpointARN(key.Scope, key.Owner, key.Endpoint)},
		Scope:     key.Scope, Keys: inbound.Keys(t),
		User: pipeline.User{Issuer: t.Issuer, Subject: t.Subject, Token: k.Token, Expires: t.Expires},
	}, nil
}

// unlessToken is the refusal of a caller who came with a token. One without is told
// to sign, as for everything else.
func unlessToken(k pipeline.Knock, err error) error {
	if k.Token.Empty() {
		return pipeline.ErrSign
	}
	return err
}

// Signed refuses a signature where the runtime wants a token. A bare id is one of the
// signer's own account and region, as it is to the handler.
func (s *Service) Signed(ctx context.Context, k pipeline.Knock, scope store.Scope) error {
	key, err := s.knocked(k, scope)
	if err != nil || key.Scope != scope {
		return nil // its handler says so
	}
	a, err := s.plans.Authorizer(ctx, key)
	switch {
	case err != nil && fault.From(err).Status >= http.StatusInternalServerError:
		return err // who is wanted is not known
	case err != nil || a == nil:
		return nil // its handler says so
	}
	return pipeline.ErrMismatch()
}

// The labels of paths that say what is called.
const (
	sessionLabel = "sessionLabel"
	runtimeLabel = "agentRuntimeArn"
)

// strangers is where a runtime is that a caller without a signature names by its bare
// id: in the account beside it, and the region of the host name or this server's own.
func (s *Service) strangers(k pipeline.Knock) store.Scope {
	scope := store.Scope{Account: k.Query.Get("accountId"), Region: s.region}
	if host, ok := awshost.Parse(k.Host); ok && host.Region != "" {
		scope.Region = host.Region
	}
	return scope
}

// knocked reads which endpoint is called out of a request. bare is where a runtime is
// that is named by its bare id.
func (s *Service) knocked(k pipeline.Knock, bare store.Scope) (session.Key, error) {
	if label := k.Label(sessionLabel); label != "" {
		key, ok := s.labels.find(s.sessions, label)
		if !ok {
			return key, errNoSession()
		}
		return key, nil
	}
	scope := bare
	if at, ok := runtime.ParseARN(k.Label(runtimeLabel)); ok {
		scope = at
	}
	return sessionKey(&pipeline.Call{Scope: scope}, k.Label(runtimeLabel), scope.Account, k.Query.Get("qualifier"), nobody)
}

// nobody is the id of a session that no session has: the endpoint alone matters.
const nobody = "-"

// GetRuntimeProtectedResourceMetadata tells clients where to sign in.
func (s *Service) GetRuntimeProtectedResourceMetadata(ctx context.Context, in *agentcore.GetRuntimeProtectedResourceMetadataRequest) (*agentcore.GetRuntimeProtectedResourceMetadataResponse, error) {
	call := pipeline.From(ctx)
	labels := map[string]string{runtimeLabel: *in.AgentRuntimeArn}
	k := pipeline.Knock{
		Label: func(name string) string { return labels[name] }, Host: call.Host(),
		Query: url.Values{"qualifier": {wire.Text(in.Qualifier)}, "accountId": {wire.Text(in.AccountId)}},
	}
	key, err := s.knocked(k, s.strangers(k))
	if err != nil {
		return nil, err
	}
	missing := fault.NotFound("No resource with a customJWTAuthorizer found at this URL")
	a, err := s.plans.Authorizer(ctx, key)
	switch {
	case fault.Is(err, "ResourceNotFoundException"):
		return nil, missing // whether there is one is not told to strangers
	case err != nil:
		return nil, err
	case a == nil:
		return nil, missing
	}
	m := s.door.Metadata(ctx, a, call.BaseURL, resourceURL(call.BaseURL, key, ""))
	return &agentcore.GetRuntimeProtectedResourceMetadataResponse{
		Resource: &m.Resource, AuthorizationServers: m.Servers, ScopesSupported: m.Scopes, BearerMethodsSupported: []string{"header"},
	}, nil
}

// Guards reports whether a URL, wherever it leads, is by its path and query that of an
// endpoint with an authorizer: as its metadata says it, or as callers write it.
func (s *Service) Guards(ctx context.Context, u *url.URL) (bool, error) {
	part := strings.Split(strings.TrimSuffix(u.EscapedPath(), "/"), "/")
	if len(part) != 4 || part[0] != "" || part[1] != "runtimes" || part[3] != "invocations" || u.Fragment != "" {
		return false, nil
	}
	label, err := url.PathUnescape(part[2])
	query, bad := url.ParseQuery(u.RawQuery)
	if err != nil || bad != nil {
		return false, nil
	}
	for name, values := range query {
		if name != "qualifier" && name != "accountId" || len(values) != 1 {
			return false, nil
		}
	}
	labels := map[string]string{runtimeLabel: label}
	k := pipeline.Knock{Label: func(name string) string { return labels[name] }, Host: u.Hostname(), Query: query}
	key, err := s.knocked(k, s.strangers(k))
	var a *inbound.Authorizer
	if err == nil {
		a, err = s.plans.Authorizer(ctx, key)
	}
	if err != nil && fault.From(err).Status < http.StatusInternalServerError {
		return false, nil // whether there is one without an authorizer is not told to strangers
	}
	return a != nil, err
}

// metadataURL is where the metadata of an endpoint is (spec/identity.md 8).
func metadataURL(base string, key session.Key) string {
	return resourceURL(base, key, "/.well-known/oauth-protected-resource")
}

// resourceURL is where an endpoint is invoked.
func resourceURL(base string, key session.Key, path string) string {
	return base + "/runtimes/" + url.PathEscape(runtime.ARN(key.Scope, key.Owner)) + "/invocations" + path + "?qualifier=" + url.QueryEscape(key.Endpoint)
}
