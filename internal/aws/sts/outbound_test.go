package sts

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	model "github.com/outcrop/outcrop/internal/api/model/sts"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/principal"
	"github.com/outcrop/outcrop/internal/store"
)

// TestOwnToken: a token of the account is for services elsewhere, also where somebody
// has registered the account as a provider.
func TestOwnToken(t *testing.T) {
	k := newKit(t)
	issuer, err := k.tokens.Enable(t.Context())
	k.must(err)
	p, err := k.d.CreateOIDCProvider(t.Context(), principal.NewOIDCProvider{URL: issuer, ClientIDs: []string{"app"}})
	k.must(err)
	k.arn = p.ARN
	account := k.d.Account().ID
	ctx := pipeline.WithCall(t.Context(), &pipeline.Call{
		Principal: auth.Principal{Kind: auth.User, ARN: "arn:aws:iam::" + account + ":user/ann", Account: account}, Scope: store.Scope{Account: account, Region: "us-east-1"},
	})
	in := &model.GetWebIdentityTokenRequest{Audience: []string{"app"}, SigningAlgorithm: new("ES384"), Tags: []model.Tag{{Key: new("a"), Value: new("b")}}}
	out, err := k.GetWebIdentityToken(ctx, in)
	k.must(err)
	if strings.Count(*out.WebIdentityToken, ".") != 2 || out.Expiration == nil {
		t.Errorf("%+v", out)
	}
	if _, _, err := k.assume(k.role("own", assumes, ""), *out.WebIdentityToken); fault.From(err).Code != codeToken || !strings.Contains(err.Error(), "services elsewhere") {
		t.Errorf("%v", err)
	}
	in.Tags = append(in.Tags, in.Tags...)
	if _, err := k.GetWebIdentityToken(ctx, in); fault.From(err).Code != principal.CodeInvalid {
		t.Errorf("a tag twice: %v", err)
	}
}

// TestDocuments reads what services verify tokens by, and paths at which nothing is.
func TestDocuments(t *testing.T) {
	k := newKit(t)
	issuer, err := k.tokens.Enable(t.Context())
	k.must(err)
	d := &Documents{Issuer: k.tokens, Log: slog.New(slog.DiscardHandler)}
	path := strings.TrimPrefix(issuer, "https://outcrop.example")
	for _, tt := range []struct {
		method, path string
		status       int
		text         string
	}{
		{"GET", path + discoveryPath, 200, `"jwks_uri":"` + issuer + keysPath + `"`},
		{"GET", path + keysPath, 200, `"alg":"ES384"`},
		{"HEAD", path + keysPath, 200, ""},
		{"POST", path + keysPath, 405, "Use GET"},
		{"GET", "/_outcrop/tokens/other" + keysPath, 404, "nothing"},
		{"GET", path, 0, ""}, {"GET", path + "/", 0, ""}, {"GET", path + "/.well-known/other", 0, ""}, {"GET", "/_outcrop/tokens/" + keysPath, 0, ""}, {"GET", keysPath, 0, ""}, {"GET", "/", 0, ""},
	} {
		r, w := httptest.NewRequest(tt.method, "http://x"+tt.path, nil), httptest.NewRecorder()
		if serves := d.Serves(r); serves != (tt.status != 0) {
			t.Errorf("%s: served is %v", tt.path, serves)
		}
		if tt.status == 0 {
			continue
		}
		d.ServeHTTP(w, r)
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.text) || strings.Contains(w.Body.String(), `"d":`) {
			t.Errorf("%s %s: %d %s", tt.method, tt.path, w.Code, w.Body)
		}
		if tt.status == http.StatusOK && w.Header().Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: pages may not read it", tt.path)
		}
	}
}
