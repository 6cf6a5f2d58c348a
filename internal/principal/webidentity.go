package principal

import (
	"context"
	"strconv"
	"strings"

	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/policy"
	"github.com/outcrop/outcrop/internal/fault"
)

// WebIdentity is whom an identity token is about.
type WebIdentity struct {
	// Provider is how trust policies name its issuer: the ARN of an OIDC provider of
	// the account, arn:aws:iam::ACCOUNT:oidc-provider/HOST/PATH, and Host its end.
	Provider, Host string
	// Issuer is the name that the token bears.
	Issuer, Subject string
	// Audience are those that it is for among the provider's client ids.
	Audience []string
	// Methods are how its user was authenticated (amr).
	Methods []string
	// Tags, Transitive and SourceIdentity are what the issuer says of the session.
	Tags           []Tag
	Transitive     []string
	SourceIdentity string
}

// Verifier verifies identity tokens. One that is not valid is a fault.Error with
// STS's code (InvalidIdentityToken, ExpiredTokenException, IDPCommunicationError).
type Verifier interface {
	Verify(ctx context.Context, token string) (WebIdentity, error)
}

// AssumeRoleWithWebIdentity makes a session of a role for whom an identity token is
// about. Nobody has signed for it: the role's trust policy alone decides. Tags and a
// source identity are the token's, never the caller's.
func (d *Directory) AssumeRoleWithWebIdentity(ctx context.Context, v Verifier, token string, in Assumption) (Temporary, WebIdentity, error) {
	w, err := v.Verify(ctx, token)
	if err != nil {
		return Temporary{}, w, err
	}
	in.Tags, in.Transitive, in.SourceIdentity = w.Tags, w.Transitive, w.SourceIdentity
	needed := []string{"sts:AssumeRoleWithWebIdentity"}
	if len(in.Tags) > 0 {
		needed = append(needed, "sts:TagSession")
	}
	if in.SourceIdentity != "" {
		needed = append(needed, "sts:SetSourceIdentity")
	}
	k, err := d.assumable(ctx, auth.Principal{}, in.Role, in.Name)
	if fault.Is(err, CodeDenied) {
		err = denied("Not authorized to perform %s", needed[0])
	}
	if err != nil {
		return Temporary{}, w, err
	}
	keys := d.keysOf(ctx, w, in)
	for _, action := range needed {
		r := policy.Evaluate(policy.Policies{Resource: []*policy.Document{k.trust}, ResourceMustAllow: true}, policy.Request{
			Principal: policy.Principal{Kind: policy.Federated, Names: []string{w.Provider, w.Host}},
			Action:    action, Resource: k.arn, Owner: d.account.ID, Keys: keys,
		})
		if r.Effect != policy.Allow {
			return Temporary{}, w, denied("Not authorized to perform %s", action)
		}
	}
	out, err := d.sessionOf(ctx, k, in.Name, auth.Session{Provider: w.Provider, SourceIdentity: in.SourceIdentity}, in.Limits, k.maxSession)
	return out, w, err
}

// keysOf are the condition keys of such a call (IAM guide, "Available keys for AWS OIDC
// federation").
func (d *Directory) keysOf(ctx context.Context, w WebIdentity, in Assumption) policy.Map {
	host, now, call := strings.ToLower(w.Host), d.cfg.Now().UTC(), auth.RequestFrom(ctx)
	keys := policy.Map{
		host + ":sub": {w.Subject}, "sts:rolesessionname": {in.Name}, "aws:federatedprovider": {w.Provider},
		"aws:currenttime": {now.Format("2006-01-02T15:04:05Z")}, "aws:epochtime": {strconv.FormatInt(now.Unix(), 10)},
		"aws:securetransport": {strconv.FormatBool(call.Secure)},
	}
	set := func(key string, values ...string) {
		if len(values) > 0 && values[0] != "" {
			keys[key] = values
		}
	}
	set(host+":aud", w.Audience...)
	set(host+":amr", w.Methods...)
	set("sts:sourceidentity", in.SourceIdentity)
	set("sts:transitivetagkeys", in.Transitive...)
	set("aws:useragent", call.UserAgent)
	set("aws:referer", call.Referer)
	if call.SourceIP.IsValid() {
		set("aws:sourceip", call.SourceIP.String())
	}
	for _, t := range in.Tags {
		key := "aws:requesttag/" + strings.ToLower(t.Key)
		keys[key] = append(keys[key], t.Value)
		keys["aws:tagkeys"] = append(keys["aws:tagkeys"], t.Key)
	}
	return keys
}
