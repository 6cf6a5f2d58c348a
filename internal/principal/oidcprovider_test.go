package principal

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestOIDCProvider takes a provider through its life.
func TestOIDCProvider(t *testing.T) {
	c := newCourt(t)
	ctx := t.Context()
	print := strings.Repeat("aB", 20)
	p, err := c.CreateOIDCProvider(ctx, NewOIDCProvider{
		URL: "https://idp.example.com/realms/one/", ClientIDs: []string{"a", "b", "a"}, Thumbprints: []string{print}, Tags: []Tag{{"z", "1"}, {"team", "red"}},
	})
	must(t, err)
	if want := "arn:aws:iam::" + c.account.ID + ":oidc-provider/idp.example.com/realms/one/"; p.ARN != want || !slices.Equal(p.ClientIDs, []string{"a", "b"}) || p.Tags[0].Key != "team" {
		t.Errorf("%+v, want %s", p, want)
	}
	for _, again := range []string{p.Issuer, "http://idp.example.com/realms/one/"} {
		_, err = c.CreateOIDCProvider(ctx, NewOIDCProvider{URL: again})
		refused(t, err, CodeExists)
	}
	must(t, c.AddClientID(ctx, p.ARN, "c"))
	must(t, c.AddClientID(ctx, p.ARN, "c"))
	must(t, c.RemoveClientID(ctx, p.ARN, "a"))
	must(t, c.RemoveClientID(ctx, p.ARN, "a"))
	must(t, c.SetThumbprints(ctx, p.ARN, nil))
	must(t, c.TagOIDCProvider(ctx, p.ARN, []Tag{{"TEAM", "blue"}}))
	must(t, c.UntagOIDCProvider(ctx, p.ARN, []string{"Z", "none"}))
	got, ok, err := c.OIDCProviderOf(ctx, p.Issuer)
	must(t, err)
	if !ok || !slices.Equal(got.ClientIDs, []string{"b", "c"}) || len(got.Thumbprints) != 0 || !slices.Equal(got.Tags, []Tag{{"TEAM", "blue"}}) {
		t.Errorf("%v %+v", ok, got)
	}
	tags, err := c.ResourceTags(ctx, p.ARN)
	if must(t, err); tags["TEAM"] != "blue" {
		t.Errorf("tags for conditions: %v", tags)
	}
	// A name is one as it is: neither without its slash nor by another scheme.
	for _, other := range []string{"https://idp.example.com/realms/one", "http://idp.example.com/realms/one/", "https://idp.example.com", ""} {
		if _, ok, err := c.OIDCProviderOf(ctx, other); ok || err != nil {
			t.Errorf("%q is known: %v", other, err)
		}
	}
	must(t, c.DeleteOIDCProvider(ctx, p.ARN))
	must(t, c.DeleteOIDCProvider(ctx, p.ARN))
	_, err = c.OIDCProvider(ctx, p.ARN)
	refused(t, err, CodeNoSuchEntity)
	refused(t, c.AddClientID(ctx, p.ARN, "a"), CodeNoSuchEntity)
	for _, arn := range []string{"", "nobody", strings.Replace(p.ARN, c.account.ID, "000000000000", 1), "arn:aws:iam::" + c.account.ID + ":oidc-provider/"} {
		refused(t, c.DeleteOIDCProvider(ctx, arn), CodeInvalid)
	}
}

// TestOIDCProviderLimits refuses what is no issuer, and more than AWS's quotas.
func TestOIDCProviderLimits(t *testing.T) {
	c := newCourt(t)
	ctx := t.Context()
	for _, url := range []string{
		"", "idp.example.com", "ftp://idp.example.com", "https://", "https:///x", "https:idp", "https://a@idp.example.com", "https://idp.example.com?x=1", "https://idp.example.com?",
		"https://idp.example.com#x", "https://idp.example.com/*", "https://IDP.example.com", "HTTPS://idp.example.com", "https://idp.example.com/" + strings.Repeat("a", 255), "https://idp.example.com/a b", "https://idp.example.com/é", "https://idp.example.com/a\n", "https://[::1",
	} {
		_, err := c.CreateOIDCProvider(ctx, NewOIDCProvider{URL: url})
		refused(t, err, CodeInvalid)
	}
	var many []string
	for i := range MaxClientIDs + 1 {
		many = append(many, fmt.Sprint(i))
	}
	bad := map[string]NewOIDCProvider{
		CodeLimit: {URL: "https://a.example", ClientIDs: many}, CodeInvalid: {URL: "https://a.example", Thumbprints: []string{"x"}},
	}
	for code, in := range bad {
		_, err := c.CreateOIDCProvider(ctx, in)
		refused(t, err, code)
	}
	_, err := c.CreateOIDCProvider(ctx, NewOIDCProvider{URL: "https://a.example", Thumbprints: many[:MaxThumbprints+1]})
	refused(t, err, CodeInvalid)
	_, err = c.CreateOIDCProvider(ctx, NewOIDCProvider{URL: "https://a.example", ClientIDs: []string{""}})
	refused(t, err, CodeInvalid)
	for i := range MaxOIDCProviders {
		_, err := c.CreateOIDCProvider(ctx, NewOIDCProvider{URL: fmt.Sprintf("http://localhost:%d/x", 1000+i)})
		must(t, err)
	}
	_, err = c.CreateOIDCProvider(ctx, NewOIDCProvider{URL: "https://a.example"})
	refused(t, err, CodeLimit)
	all, err := c.OIDCProviders(ctx)
	if must(t, err); len(all) != MaxOIDCProviders || all[0].ARN > all[1].ARN {
		t.Errorf("%d providers", len(all))
	}
}
