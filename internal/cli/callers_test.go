package cli

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
)

func TestCallers(t *testing.T) {
	const at = "https://login.example.com"
	for name, tt := range map[string]struct {
		c    callers
		want string
	}{
		"rules alone":         {callers{clients: []string{"a"}}, "for the tokens of an --issuer"},
		"issuer alone":        {callers{issuer: at}, "every token of the issuer would do"},
		"none and a rule":     {callers{issuer: "none", scopes: []string{"a"}}, "called with signatures"},
		"no URL":              {callers{issuer: "login", clients: []string{"a"}}, "it is not an https URL"},
		"another document":    {callers{issuer: at + "/.well-known/other", clients: []string{"a"}}, "ends neither in"},
		"issuer and a client": {callers{issuer: at, clients: []string{"a"}}, ""},
		"nothing":             {callers{}, ""},
	} {
		err := tt.c.check()
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	c := callers{issuer: at + "/", clients: []string{"a"}, headers: []string{"Authorization", "X-Tenant"}}
	if err := c.check(); err != nil {
		t.Fatal(err)
	}
	was, headers := c.authorizerOf(nil), c.headersOf(nil)
	if j := jwtIn(was); j == nil || *j.DiscoveryUrl != at+"/.well-known/openid-configuration" || !slices.Equal(j.AllowedClients, []string{"a"}) {
		t.Errorf("made %+v", j)
	}
	if !c.sameCallers(was, headers) || (&callers{issuer: c.issuer, clients: []string{"b"}}).sameCallers(was, headers) {
		t.Error("what is the same is taken for a change, or the other way round")
	}
	silent := callers{}
	if silent.authorizerOf(was) != was || !slices.Equal(headersIn(silent.headersOf(headers)), c.headers) || !silent.sameCallers(was, headers) {
		t.Error("a deployment that says nothing changes who calls")
	}
	none := callers{issuer: noCallers}
	if none.authorizerOf(was) != nil || !slices.Equal(headersIn(none.headersOf(headers)), []string{"X-Tenant"}) || none.sameCallers(was, headers) {
		t.Error("none keeps the issuer, or the header that needs it")
	}
	more := *jwtIn(was)
	more.CustomClaims = []types.CustomClaimValidationType{{}}
	more.CustomClaims[0] = types.CustomClaimValidationType{
		InboundTokenClaimName: aws.String("cognito:groups"),
		AuthorizingClaimMatchValue: &types.AuthorizingClaimMatchValueType{
			ClaimMatchOperator: types.ClaimMatchOperatorTypeContainsAny,
			ClaimMatchValue:    &types.ClaimMatchValueTypeMemberMatchValueStringList{Value: []string{"admins", "operators"}},
		},
	}
	if got := rulesIn(&more); !slices.Equal(got, []string{"client: a", "claim cognito:groups: admins, operators"}) {
		t.Errorf("the rules are %q", got)
	}
	guarded := &types.AuthorizerConfigurationMemberCustomJWTAuthorizer{Value: more}
	if err := c.widens(guarded); err == nil || !strings.Contains(err.Error(), "claim cognito:groups: admins, operators") {
		t.Errorf("claims are dropped in silence: %v", err)
	}
	for _, err := range []error{c.widens(was), c.widens(nil), silent.widens(guarded), none.widens(guarded)} {
		if err != nil {
			t.Error(err)
		}
	}
	if c.sameCallers(&types.AuthorizerConfigurationMemberCustomJWTAuthorizer{Value: more}, headers) {
		t.Error("a rule that the flags cannot say is kept in silence")
	}
}
