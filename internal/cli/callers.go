package cli

import (
	"io"
	"os"
	"slices"
	"strings"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/outcrop/outcrop/internal/auth/jwt"
)

// callers are who a deployment lets call its agent with tokens. What it leaves out
// stays as it is.
type callers struct {
	issuer                     string // a discovery URL, or none
	clients, audiences, scopes []string
	headers                    []string // that are passed on to the agent, or none
}

func (c *callers) flags(fs *pflag.FlagSet) {
	fs.StringVar(&c.issuer, "issuer", "", "`URL` of the issuer, or of its discovery document, with whose tokens it is called in place of signatures; or none (see docs/tokens.md)")
	fs.StringSliceVar(&c.clients, "allow-client", nil, "`CLIENTS` of the issuer whose tokens it takes: their client_id")
	fs.StringSliceVar(&c.audiences, "allow-audience", nil, "`AUDIENCES` of which a token must have one")
	fs.StringSliceVar(&c.scopes, "allow-scope", nil, "`SCOPES` of which a token must have one")
	fs.StringSliceVar(&c.headers, "pass-header", nil, "`HEADERS` of requests that reach the agent, Authorization with an --issuer; or none")
}

// noCallers takes away what was there.
const noCallers = "none"

func (c *callers) check() error {
	rules := len(c.clients) + len(c.audiences) + len(c.scopes)
	switch {
	case c.issuer == noCallers && rules > 0:
		return misuse("--issuer none has the agent called with signatures, and --allow-client, --allow-audience and --allow-scope are for tokens")
	case c.issuer == "" && rules > 0:
		return misuse("--allow-client, --allow-audience and --allow-scope are for the tokens of an --issuer")
	case c.issuer == "" || c.issuer == noCallers:
		return nil
	case rules == 0:
		return misuse("--issuer needs --allow-client, --allow-audience or --allow-scope: else every token of the issuer would do")
	}
	if !strings.Contains(c.issuer, "/.well-known/") {
		c.issuer = strings.TrimSuffix(c.issuer, "/") + "/.well-known/openid-configuration"
	}
	if err := jwt.CheckDiscoveryURL(c.issuer); err != nil {
		return misuse("--issuer %s: %w", c.issuer, err)
	}
	return nil
}

// authorizerOf is what an agent is to have that has old.
func (c *callers) authorizerOf(old types.AuthorizerConfiguration) types.AuthorizerConfiguration {
	switch c.issuer {
	case "":
		return old
	case noCallers:
		return nil
	}
	return &types.AuthorizerConfigurationMemberCustomJWTAuthorizer{Value: types.CustomJWTAuthorizerConfiguration{
		DiscoveryUrl: aws.String(c.issuer), AllowedClients: c.clients, AllowedAudience: c.audiences, AllowedScopes: c.scopes,
	}}
}

// widens refuses to put an issuer in the place of rules that no flag can say: without
// them more callers would be let in than the agent's owner has meant.
func (c *callers) widens(old types.AuthorizerConfiguration) error {
	j := jwtIn(old)
	if c.issuer == "" || c.issuer == noCallers || j == nil || len(j.CustomClaims) == 0 && j.AllowedWorkloadConfiguration == nil {
		return nil
	}
	return fail("Leave out --issuer, --allow-client, --allow-audience and --allow-scope: what there is stays. To change it, see aws bedrock-agentcore-control update-agent-runtime help.",
		"the agent's tokens must have what was set by the API alone (%s), and --issuer would let in those without it", strings.Join(rulesIn(j), "; "))
}

// headersOf is what an agent is to have that has old.
func (c *callers) headersOf(old types.RequestHeaderConfiguration) types.RequestHeaderConfiguration {
	switch {
	case len(c.headers) == 0 && c.issuer == noCallers: // which has no use for the one of tokens
		kept := slices.DeleteFunc(slices.Clone(headersIn(old)), func(name string) bool { return strings.EqualFold(name, "Authorization") })
		if len(kept) == 0 {
			return nil
		}
		return &types.RequestHeaderConfigurationMemberRequestHeaderAllowlist{Value: kept}
	case len(c.headers) == 0:
		return old
	case slices.Equal(c.headers, []string{noCallers}):
		return nil
	}
	return &types.RequestHeaderConfigurationMemberRequestHeaderAllowlist{Value: c.headers}
}

// sameCallers reports whether a deployment changes nothing about who calls: it says
// nothing, or the very same.
func (c *callers) sameCallers(authorizer types.AuthorizerConfiguration, headers types.RequestHeaderConfiguration) bool {
	if len(c.headers) > 0 && !slices.Equal(headersIn(c.headersOf(headers)), headersIn(headers)) {
		return false
	}
	if c.issuer == "" {
		return true
	}
	was, is := jwtIn(authorizer), jwtIn(c.authorizerOf(authorizer))
	if was == nil || is == nil {
		return was == is
	}
	return aws.ToString(was.DiscoveryUrl) == aws.ToString(is.DiscoveryUrl) && slices.Equal(was.AllowedClients, is.AllowedClients) &&
		slices.Equal(was.AllowedAudience, is.AllowedAudience) && slices.Equal(was.AllowedScopes, is.AllowedScopes) &&
		len(was.CustomClaims) == 0 && was.AllowedWorkloadConfiguration == nil && len(was.AdvertisedScopeMapping) == 0
}

func jwtIn(c types.AuthorizerConfiguration) *types.CustomJWTAuthorizerConfiguration {
	if j, ok := c.(*types.AuthorizerConfigurationMemberCustomJWTAuthorizer); ok {
		return &j.Value
	}
	return nil
}

// rulesIn says what an authorizer asks of a token, beside its issuer.
func rulesIn(j *types.CustomJWTAuthorizerConfiguration) []string {
	var out []string
	for _, rule := range []struct {
		name   string
		values []string
	}{{"client", j.AllowedClients}, {"audience", j.AllowedAudience}, {"scope", j.AllowedScopes}} {
		if len(rule.values) > 0 {
			out = append(out, rule.name+": "+strings.Join(rule.values, ", "))
		}
	}
	for _, c := range j.CustomClaims {
		var values []string
		if m := c.AuthorizingClaimMatchValue; m != nil {
			switch v := m.ClaimMatchValue.(type) {
			case *types.ClaimMatchValueTypeMemberMatchValueString:
				values = []string{v.Value}
			case *types.ClaimMatchValueTypeMemberMatchValueStringList:
				values = v.Value
			}
		}
		out = append(out, "claim "+aws.ToString(c.InboundTokenClaimName)+": "+strings.Join(values, ", "))
	}
	if w := j.AllowedWorkloadConfiguration; w != nil {
		out = append(out, "token of an agent that calls (allowedWorkloadConfiguration)")
	}
	return out
}

func headersIn(c types.RequestHeaderConfiguration) []string {
	if h, ok := c.(*types.RequestHeaderConfigurationMemberRequestHeaderAllowlist); ok {
		return h.Value
	}
	return nil
}

// maxToken bounds a token, in bytes (jwt.DefaultMaxBytes).
const maxToken = jwt.DefaultMaxBytes

// userFlags are invoke's for whom the agent works for: whose token it is called with,
// or whom the caller, who signs, vouches for.
type userFlags struct {
	bearer, file string
	token        string // once read
	id           string
}

func (t *userFlags) register(fs *pflag.FlagSet) {
	fs.Var((*nonEmpty)(&t.id), "user-id", "`ID` of the user it works for, whom you vouch for: it gets a workload access token then")
	fs.StringVar(&t.bearer, "bearer-token", "", "`TOKEN` to call with, in place of a signature; others on this machine can read it while the command runs")
	fs.StringVar(&t.file, "token-file", "", "`file` that holds such a token; - is standard input")
}

// read finds the token, if one was named.
func (t *userFlags) read(p *Program, cmd *cobra.Command, args []string) error {
	switch {
	case cmd.Flags().Changed("bearer-token") && t.file != "":
		return misuse("--bearer-token and --token-file exclude each other")
	case t.file == "-" && len(args) == 2 && args[1] == "-":
		return misuse("the payload and --token-file cannot both be standard input; give one of them as a file")
	case t.file == "-":
		text, err := io.ReadAll(io.LimitReader(p.Stdin, maxToken+1))
		if err != nil {
			return misuse("--token-file -: %w", err)
		}
		t.token = string(text)
	case t.file != "":
		text, err := os.ReadFile(t.file)
		if err != nil {
			return misuse("--token-file: %w", err)
		}
		t.token = string(text)
	default:
		t.token = t.bearer
	}
	t.token = strings.TrimSpace(t.token)
	if len(t.token) > maxToken {
		return misuse("the token is longer than %d bytes; servers take none that long", maxToken)
	}
	if strings.TrimSpace(t.id) != t.id || strings.ContainsFunc(t.id, unicode.IsControl) { // a header carries neither
		return misuse("--user-id %q has control characters, or white space at its ends; name the user without", t.id)
	}
	if t.token != "" && t.id != "" {
		return misuse("--user-id is for calls that are signed: the token says itself who the user is")
	}
	if t.token == "" && (t.file != "" || cmd.Flags().Changed("bearer-token")) {
		return misuse("there is no token in what --bearer-token or --token-file names")
	}
	if strings.ContainsAny(t.token, " \t\r\n") {
		return misuse("the token has white space inside; name the access token alone")
	}
	return nil
}

// again are the flags that mean the same user. A token itself is not printed.
func (t *userFlags) again() string {
	switch {
	case t.id != "":
		return " --user-id " + quotePOSIX(t.id)
	case t.file != "":
		return " --token-file " + quotePOSIX(t.file)
	case t.token != "":
		return " --token-file FILE"
	}
	return ""
}
