package gateway

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/store"
)

// credential is a way in which a target is shown who calls (spec/gateway.md 4.1), in the
// words of texts.
type credential string

const (
	without     credential = "no credential provider"
	role        credential = agentcorecontrol.CredentialProviderTypeGATEWAY_IAM_ROLE
	roleSigned  credential = role + " with an iamCredentialProvider"
	apiKey      credential = agentcorecontrol.CredentialProviderTypeAPI_KEY
	client      credential = agentcorecontrol.CredentialProviderTypeOAUTH + " (CLIENT_CREDENTIALS)"
	code        credential = agentcorecontrol.CredentialProviderTypeOAUTH + " (AUTHORIZATION_CODE)"
	exchange    credential = agentcorecontrol.CredentialProviderTypeOAUTH + " (TOKEN_EXCHANGE)"
	callerIAM   credential = agentcorecontrol.CredentialProviderTypeCALLER_IAM_CREDENTIALS
	passthrough credential = agentcorecontrol.CredentialProviderTypeJWT_PASSTHROUGH
)

// credentialOf classifies what a request says, and refuses what does not fit together.
func credentialOf(list []agentcorecontrol.CredentialProviderConfiguration) (credential, error) {
	if len(list) == 0 { // and one at most, by the model
		return without, nil
	}
	c := list[0]
	p := c.CredentialProvider
	if p == nil {
		p = &agentcorecontrol.CredentialProvider{}
	}
	kind := *c.CredentialProviderType
	wants := map[string]string{
		agentcorecontrol.CredentialProviderTypeAPI_KEY: "apiKeyCredentialProvider", agentcorecontrol.CredentialProviderTypeOAUTH: "oauthCredentialProvider",
		agentcorecontrol.CredentialProviderTypeCALLER_IAM_CREDENTIALS: "iamCredentialProvider",
	}[kind]
	has := first(map[string]bool{"apiKeyCredentialProvider": p.ApiKeyCredentialProvider != nil, "oauthCredentialProvider": p.OauthCredentialProvider != nil, "iamCredentialProvider": p.IamCredentialProvider != nil})
	const field = credentialField + ".1.member.credentialProvider"
	switch {
	case has == wants:
	case kind == agentcorecontrol.CredentialProviderTypeGATEWAY_IAM_ROLE && has == "iamCredentialProvider":
		return roleSigned, nil
	case wants == "" && kind == agentcorecontrol.CredentialProviderTypeGATEWAY_IAM_ROLE:
		return "", fault.Invalid(field, "%s: credentialProviderType %s takes an iamCredentialProvider or nothing, not %s", field, kind, has)
	case wants == "":
		return "", fault.Invalid(field, "%s: credentialProviderType %s takes no credentialProvider; leave it out", field, kind)
	default:
		return "", fault.Invalid(field, "%s: %s is required with credentialProviderType %s", field, wants, kind)
	}
	if kind != agentcorecontrol.CredentialProviderTypeOAUTH {
		return credential(kind), nil
	}
	switch wire.Text(p.OauthCredentialProvider.GrantType) {
	case agentcorecontrol.OAuthGrantTypeAUTHORIZATION_CODE:
		return code, nil
	case agentcorecontrol.OAuthGrantTypeTOKEN_EXCHANGE:
		return exchange, nil
	}
	return client, nil
}

// checkType refuses a credentialProviderType that targets of a kind are never reached with,
// before it is asked what goes with it.
func (k kind) checkType(list []agentcorecontrol.CredentialProviderConfiguration) error {
	if len(list) == 0 {
		return nil
	}
	kind := *list[0].CredentialProviderType
	if slices.ContainsFunc(k.allowed, func(c credential) bool { return strings.HasPrefix(string(c), kind) }) {
		return nil
	}
	return k.checkCredential(credential(kind))
}

// checkCredential refuses a credential that targets of a kind are not reached with.
func (k kind) checkCredential(c credential) error {
	if slices.Contains(k.allowed, c) || c == without && k.usual != "" {
		return nil
	}
	var names []string
	orNone := ""
	for _, a := range k.allowed {
		if a == without {
			orNone = ", or none"
			continue
		}
		names = append(names, string(a))
	}
	if len(names) == 1 && orNone == "" {
		return fault.Invalid(credentialField, "%s target only supports %s credential provider type", k.title, names[0])
	}
	wayOut := ""
	switch {
	case c == without && slices.Contains(k.allowed, apiKey):
		wayOut = ". Name one in credentialProviderConfigurations; for a service that wants no key, API_KEY with a credential provider of any key"
	case c == without:
		wayOut = ". Name one in credentialProviderConfigurations"
	}
	return fault.Invalid(credentialField, "%s target only supports %s and %s credential provider types%s%s", k.title, strings.Join(names[:len(names)-1], ", "), names[len(names)-1], orNone, wayOut)
}

// checkProvider refuses a credential provider that is not there, or that the caller may
// not read: who makes a target has its gateway use it.
func (s *Service) checkProvider(ctx context.Context, list []agentcorecontrol.CredentialProviderConfiguration) error {
	if len(list) == 0 || list[0].CredentialProvider == nil {
		return nil
	}
	p := list[0].CredentialProvider
	switch {
	case p.ApiKeyCredentialProvider != nil:
		if err := checkAPIKey(p.ApiKeyCredentialProvider); err != nil {
			return err
		}
		return s.hasProvider(ctx, *p.ApiKeyCredentialProvider.ProviderArn, "apiKeyCredentialProvider", "apikeycredentialprovider/", "GetApiKeyCredentialProvider")
	case p.OauthCredentialProvider != nil:
		return s.hasProvider(ctx, *p.OauthCredentialProvider.ProviderArn, "oauthCredentialProvider", "oauth2credentialprovider/", "GetOauth2CredentialProvider")
	}
	return nil
}

// ownHeaders say themselves what a request is: a key in one is not sent, or spoils it.
var ownHeaders = []string{"Accept-Encoding", "Content-Encoding", "Content-Length", "Content-Type", "Expect", "Host"}

// checkAPIKey refuses a place where no key can be put.
func checkAPIKey(p *agentcorecontrol.ApiKeyCredentialProvider) error {
	const at = credentialField + ".1.member.credentialProvider.apiKeyCredentialProvider"
	query := wire.Text(p.CredentialLocation) == agentcorecontrol.ApiKeyCredentialLocationQUERY_PARAMETER
	name := wire.Text(p.CredentialParameterName)
	switch {
	case query && name == "":
		return fault.Invalid(at+".credentialParameterName", "%s.credentialParameterName is required when credentialLocation is QUERY_PARAMETER", at)
	case !query && name != "" && !isToken(name):
		return fault.Invalid(at+".credentialParameterName", "%s.credentialParameterName: '%s' is no name of a header", at, name)
	case !query && (target.OfConnection(name) || slices.Contains(ownHeaders, http.CanonicalHeaderKey(name))):
		return fault.Invalid(at+".credentialParameterName", "%s.credentialParameterName: no key can be sent in '%s', which is about the connection or the body; name another header", at, name)
	case strings.ContainsFunc(wire.Text(p.CredentialPrefix), func(r rune) bool { return r < ' ' || r > '~' }):
		return fault.Invalid(at+".credentialPrefix", "%s.credentialPrefix: only printable ASCII can stand in a header", at)
	}
	return nil
}

func (s *Service) hasProvider(ctx context.Context, arn, member, kind, action string) error {
	call := pipeline.From(ctx)
	field := credentialField + ".1.member.credentialProvider." + member + ".providerArn"
	vault := vaultARN(call.Scope)
	if name, ok := strings.CutPrefix(arn, vault+"/"+kind); !ok || name == "" || strings.Contains(name, "/") {
		return fault.Invalid(field, "%s: '%s' is no ARN of this account and region that begins with %s/%s", field, arn, vault, kind)
	}
	action = "bedrock-agentcore:" + action
	if err := call.Authorize(ctx, auth.Requirement{Action: action, Resource: vault}, auth.Requirement{Action: action, Resource: arn}); err != nil {
		return err
	}
	there, err := s.cfg.Providers.HasProvider(ctx, call.Scope, arn)
	if err == nil && !there {
		err = fault.Invalid(field, "%s: there is no credential provider '%s'; make it first", field, arn)
	}
	return err
}

func vaultARN(scope store.Scope) string {
	return "arn:aws:bedrock-agentcore:" + scope.Region + ":" + scope.Account + ":token-vault/default"
}

// isToken reports whether a text can be the name of a header (RFC 9110 5.6.2).
func isToken(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return !('0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || strings.ContainsRune("!#$%&'*+-.^_`|~", r))
	})
}

var errNoKind = errors.New("targetConfiguration names no kind of target")
