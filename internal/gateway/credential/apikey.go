package credential

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/gateway/target"
)

// The defaults of an API key's place (spec/gateway.md 4.1).
const (
	defaultHeader = "Authorization"
	defaultPrefix = "Bearer"
	defaultQuery  = "api_key"
)

// apiKey shows the key of a provider.
type apiKey struct {
	m        *Maker
	gateway  Gateway
	provider string
	query    bool
	name     string
	prefix   string // with the space behind it; empty for a bare key
	kept     kept
}

func (m *Maker) apiKey(s target.Source, in *agentcorecontrol.ApiKeyCredentialProvider) (target.Credentials, error) {
	if in == nil {
		return nil, target.Unfitf("credentialProvider: apiKeyCredentialProvider is required with credentialProviderType API_KEY")
	}
	k := &apiKey{m: m, gateway: gatewayOf(s), name: wire.Text(in.CredentialParameterName), kept: kept{now: m.cfg.Now}}
	var err error
	if k.provider, err = provider(s, wire.Text(in.ProviderArn), "apikeycredentialprovider"); err != nil {
		return nil, err
	}
	switch location := wire.Text(in.CredentialLocation); location {
	case agentcorecontrol.ApiKeyCredentialLocationQUERY_PARAMETER:
		k.query = true
		if k.name == "" {
			k.name = defaultQuery
		}
		return k, nil
	case "", agentcorecontrol.ApiKeyCredentialLocationHEADER:
	default:
		return nil, target.Unfitf("credentialLocation '%s' is neither HEADER nor QUERY_PARAMETER", location)
	}
	if k.name == "" {
		k.name = defaultHeader
	}
	if !token(k.name) {
		return nil, target.Unfitf("credentialParameterName '%s' is not the name of a header: use letters, digits and hyphens", k.name)
	}
	prefix := strings.TrimSpace(wire.Text(in.CredentialPrefix))
	if in.CredentialPrefix == nil && strings.EqualFold(k.name, defaultHeader) {
		prefix = defaultPrefix
	}
	if !printable(prefix) {
		return nil, target.Unfitf("credentialPrefix has characters that no header takes")
	}
	if prefix != "" {
		k.prefix = prefix + " "
	}
	return k, nil
}

// token reports whether a text is a token of RFC 9110 5.6.2, as names of headers are.
func token(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= 0x20 || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

// Apply implements target.Credentials.
func (k *apiKey) Apply(ctx context.Context, r *http.Request, c *target.Call) error {
	if c.Intercepted && !k.query && strings.EqualFold(k.name, defaultHeader) {
		return nil
	}
	a, err := k.kept.shared(ctx, func(ctx context.Context) (Answer, error) {
		return k.m.cfg.Identity.APIKey(ctx, k.gateway, k.provider)
	})
	if err != nil {
		return failed(c, k.gateway, "the key of credential provider '"+k.provider+"'", err)
	}
	if k.query {
		r.URL.RawQuery = withParameter(r.URL.RawQuery, k.name, a.Value.Reveal())
		return nil
	}
	value := k.prefix + a.Value.Reveal()
	if !printable(value) {
		return refuse(c, nil, "the key of credential provider '%s' has characters that no header takes, such as the end of a line: update the provider with the key alone", k.provider)
	}
	r.Header.Set(k.name, value)
	return nil
}

// withParameter sets a parameter of a query, and leaves the others as they are written.
func withParameter(query, name, value string) string {
	var parts []string
	for part := range strings.SplitSeq(query, "&") {
		have, _, _ := strings.Cut(part, "=")
		if plain, err := url.QueryUnescape(have); part == "" || err == nil && plain == name {
			continue
		}
		parts = append(parts, part)
	}
	return strings.Join(append(parts, url.QueryEscape(name)+"="+url.QueryEscape(value)), "&")
}
