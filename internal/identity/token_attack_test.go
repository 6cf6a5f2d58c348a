package identity_test

import (
	"net/url"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	data "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	dt "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore/types"
)

// TestConsentAttacks: what does not belong together is refused, and changes nothing.
func TestConsentAttacks(t *testing.T) {
	const over = "Invalid or expired session"
	f := newFederation(t)
	f.ask(nil)
	k := f.kit
	for name, at := range map[string]string{"no request_uri": f.url + "/identities/oauth2/authorize", "another": f.link + "x", "no urn": f.url + "/identities/oauth2/authorize?request_uri=1"} {
		if status, _ := visit(t, f.browser, at); status != 400 {
			t.Errorf("%s: %d", name, status)
		}
	}
	f.handle = f.session
	k.refused(f.complete(f.data, byID("ann")), "AccessDeniedException", over) // before anybody was there
	state := f.begin()
	if status, _ := visit(t, f.browser, f.link); status != 400 {
		t.Errorf("a request_uri is good twice: %d", status)
	}
	if status, _ := visit(t, browser(t), f.callback+"?code=evil&state="+url.QueryEscape(state)); status != 400 {
		t.Errorf("another browser comes back: %d", status)
	}
	if status, _ := f.back(state[:len(state)-1], ""); status != 400 {
		t.Errorf("a state that is cut: %d", status)
	}
	if status, _ := f.back("", ""); status != 400 {
		t.Errorf("no state: %d", status)
	}
	mine := f.callback
	f.callback = f.url + "/identities/oauth2/callback/00000000-0000-0000-0000-000000000000"
	if status, _ := f.back(state, ""); status != 400 {
		t.Errorf("another provider's callback: %d", status)
	}
	f.callback = mine
	if status, _ := visit(t, f.browser, f.callback+"?state="+url.QueryEscape(state)); status != 400 {
		t.Errorf("neither code nor error: %d", status)
	}
	if status, at := f.back(state, ""); status != 302 || at.Host != "app.example" {
		t.Fatalf("%d %s", status, at)
	}
	if status, _ := f.back(state, ""); status != 400 {
		t.Errorf("a code comes twice: %d", status)
	}
	k.refused(f.complete(f.as(otherID), byID("ann")), "AccessDeniedException", over)
	session, handle := f.session, f.handle
	for _, f.handle = range []string{handle + "x", session, session + ".", session + "x"} {
		k.refused(f.complete(f.data, byID("ann")), "AccessDeniedException", over)
	}
	f.handle = handle
	_, err := k.token(dt.Oauth2FlowTypeUserFederation, f.token, func(in *data.GetResourceOauth2TokenInput) { withReturn(in); in.SessionUri = &handle })
	k.refused(err, "ValidationException", over) // agents have their own name for it
	if f.vendor.count() != 0 {
		t.Error("a code was exchanged")
	}
	if err := f.complete(f.data, byID("ann")); err != nil {
		t.Error(err)
	}
	k.refused(f.complete(f.data, byID("ann")), "AccessDeniedException", over)

	// Others do not get at the token or the session.
	other := *f
	other.token = f.workloadToken("desk", "bob")
	if got := other.ask(nil); got != "" {
		t.Errorf("bob got %s", got)
	}
	_, err = k.token(dt.Oauth2FlowTypeUserFederation, other.token, func(in *data.GetResourceOauth2TokenInput) { withReturn(in); in.SessionUri = &session })
	k.refused(err, "ValidationException", over)
	other.token = f.workloadToken("other", "ann", returnURL)
	if got := other.ask(nil); got != "" {
		t.Errorf("another agent got %s", got)
	}
	_, err = k.token(dt.Oauth2FlowTypeUserFederation, f.workloadToken("desk", ""), withReturn)
	k.refused(err, "ValidationException", "made for a user")
	_, err = k.token(dt.Oauth2FlowTypeUserFederation, f.token, nil)
	k.refused(err, "ValidationException", "resourceOauth2ReturnUrl is required")
	_, err = k.token(dt.Oauth2FlowTypeUserFederation, f.token, func(in *data.GetResourceOauth2TokenInput) {
		in.ResourceOauth2ReturnUrl = aws.String("https://app.example/back")
	})
	k.refused(err, "ValidationException", "is not one of the allowedResourceOauth2ReturnUrls")
}

// TestMixUp: a service that names itself in its answers must be the one that was asked
// (RFC 9207).
func TestMixUp(t *testing.T) {
	f := newFederation(t)
	f.vendor.more["authorization_response_iss_parameter_supported"] = true
	f.ask(nil)
	state := f.begin()
	for _, more := range []string{"", "&iss=https://evil.example"} {
		if status, _ := f.back(state, more); status != 400 {
			t.Errorf("%q: %d", more, status)
		}
	}
	if status, _ := f.back(state, "&iss="+url.QueryEscape(f.vendor.URL)); status != 302 {
		t.Errorf("its own: %d", status)
	}
}

// TestMixUpUnannounced: one that does not say that it names itself need not, but must not
// name another.
func TestMixUpUnannounced(t *testing.T) {
	f := newFederation(t)
	f.ask(nil)
	state := f.begin()
	for _, issuer := range []string{"https://evil.example", f.vendor.URL + "/"} {
		if status, _ := f.back(state, "&iss="+url.QueryEscape(issuer)); status != 400 {
			t.Errorf("%q: %d", issuer, status)
		}
	}
	if status, _ := f.back(state, ""); status != 302 {
		t.Errorf("without a name: %d", status)
	}
}
