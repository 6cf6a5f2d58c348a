package credential

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gateway/target"
)

// oauth shows tokens of an OAuth2 credential provider.
type oauth struct {
	m         *Maker
	request   Request
	grant     string
	returnURL string
	consenter string // who was asked before to agree to the catalogue
	id        string // the target's
	kept      kept
}

func (m *Maker) oauth(s target.Source, in *agentcorecontrol.OAuthCredentialProvider) (target.Credentials, error) {
	if in == nil {
		return nil, target.Unfitf("credentialProvider: oauthCredentialProvider is required with credentialProviderType OAUTH")
	}
	name, err := provider(s, wire.Text(in.ProviderArn), "oauth2credentialprovider")
	if err != nil {
		return nil, err
	}
	o := &oauth{
		m: m, grant: wire.Text(in.GrantType), returnURL: wire.Text(in.DefaultReturnUrl), consenter: s.Consenter, id: s.ID, kept: kept{now: m.cfg.Now},
		request: Request{Gateway: gatewayOf(s), Provider: name, Scopes: in.Scopes, Parameters: in.CustomParameters},
	}
	switch o.grant {
	case "", agentcorecontrol.OAuthGrantTypeCLIENT_CREDENTIALS, agentcorecontrol.OAuthGrantTypeAUTHORIZATION_CODE, agentcorecontrol.OAuthGrantTypeTOKEN_EXCHANGE:
		return o, nil
	}
	return nil, target.Unfitf("there is no grantType '%s'", o.grant)
}

// Apply implements target.Credentials.
func (o *oauth) Apply(ctx context.Context, r *http.Request, c *target.Call) error {
	if c.Intercepted {
		return nil
	}
	a, err := o.token(ctx, c)
	if err != nil {
		return err
	}
	if !printable(a.Value.Reveal()) {
		return refuse(c, nil, "the authorization server of credential provider '%s' gave a token with characters that no header takes", o.request.Provider)
	}
	bearer(r, a.Value)
	return nil
}

func (o *oauth) token(ctx context.Context, c *target.Call) (Answer, error) {
	switch {
	case o.grant == agentcorecontrol.OAuthGrantTypeAUTHORIZATION_CODE:
		return o.forUser(ctx, c)
	case o.grant == agentcorecontrol.OAuthGrantTypeTOKEN_EXCHANGE && !c.Catalogue:
		return o.exchange(ctx, c)
	}
	a, err := o.kept.shared(ctx, func(ctx context.Context) (Answer, error) {
		r := o.request
		r.Flow = Machine
		return o.m.cfg.Identity.Token(ctx, r)
	})
	return a, o.failed(c, err)
}

func (o *oauth) failed(c *target.Call, err error) error {
	if err == nil {
		return nil
	}
	return failed(c, o.request.Gateway, "a token of credential provider '"+o.request.Provider+"'", err)
}

// user is whom a call is for, or why that is nobody.
func (o *oauth) user(c *target.Call) (User, error) {
	u := User{Issuer: c.Caller.Issuer, Subject: c.Caller.Subject, Token: c.Caller.Token}
	if u.Issuer == "" || u.Subject == "" || u.Token.Empty() {
		return u, refuse(c, nil, "the target is called for a user (grantType %s), and the caller's token names none: give the gateway the authorizerType CUSTOM_JWT, and call it with a token of that issuer", o.grant)
	}
	return u, nil
}

// exchange gets a token for the caller's own (spec/gateway.md 4.5).
func (o *oauth) exchange(ctx context.Context, c *target.Call) (Answer, error) {
	r := o.request
	r.Flow = Exchange
	var err error
	if r.User, err = o.user(c); err != nil {
		return Answer{}, err
	}
	a, err := o.m.cfg.Identity.Token(ctx, r)
	if err == nil {
		return a, nil
	}
	var answered interface {
		error
		HTTPStatus() int
	}
	if errors.As(err, &answered) {
		return Answer{}, target.Fail(kind, err, "Token exchange failed with HTTP status %d. %s", answered.HTTPStatus(), fault.From(err).Message)
	}
	return Answer{}, o.failed(c, err)
}

// forUser gets the token that the user has agreed to, or asks for the user's consent.
func (o *oauth) forUser(ctx context.Context, c *target.Call) (Answer, error) {
	r := o.request
	r.Flow, r.ReturnURL = Federation, o.returnURL
	who := ""
	if c.Catalogue {
		if r.User.ID = o.consenter; r.User.ID == "" {
			// Each has an id of its own, so that nobody's earlier consent counts.
			r.User.ID = r.Gateway.ID + o.id + o.m.newID()
		}
	} else {
		var err error
		if r.User, err = o.user(c); err != nil {
			return Answer{}, err
		}
		asked, err := parseMeta(c.Meta)
		if err != nil {
			return Answer{}, err
		}
		if asked.ReturnURL != "" {
			r.ReturnURL = asked.ReturnURL
		}
		r.Force = asked.Force
		who = strconv.Itoa(len(r.User.Issuer)) + ":" + r.User.Issuer + r.User.Subject
		if a, ok := o.kept.find(who); ok && !r.Force {
			return a, nil
		}
	}
	if r.ReturnURL == "" {
		return Answer{}, refuse(c, nil, "the target has no defaultReturnUrl to which users come back when they have agreed, and the call names none (%s.oauthCredentialProvider.returnUrl in _meta): set one that is among the allowedResourceOauth2ReturnUrls of the gateway's workload identity '%s'", metaKey, r.Gateway.ID)
	}
	a, err := o.m.cfg.Identity.Token(ctx, r)
	switch {
	case err != nil:
		return Answer{}, o.failed(c, err)
	case a.LoginURL != "" && c.Catalogue:
		return Answer{}, &target.Consent{URL: a.LoginURL, UserID: r.User.ID}
	case a.LoginURL != "":
		o.kept.put(who, Answer{})
		return Answer{}, o.elicit(c, a.LoginURL)
	}
	if who != "" {
		o.kept.put(who, a)
	}
	return a, nil
}
