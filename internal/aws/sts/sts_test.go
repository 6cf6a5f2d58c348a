package sts

import (
	"strings"
	"testing"

	model "github.com/outcrop/outcrop/internal/api/model/sts"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/principal"
)

// TestInherited chains sessions that nobody allowed to take anything along.
func TestInherited(t *testing.T) {
	k := newKit(t)
	account := k.d.Account().ID
	r, err := k.d.CreateRole(t.Context(), principal.NewRole{Name: "next", Trust: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + account + `"},"Action":"sts:AssumeRole"}]}`})
	k.must(err)
	for name, tt := range map[string]struct {
		from auth.Session
		want string
	}{
		"nothing":             {auth.Session{Tags: map[string]string{"team": "a"}}, ""},
		"a source identity":   {auth.Session{SourceIdentity: "ann"}, "sts:SetSourceIdentity on resource: " + r.ARN},
		"a tag that lasts":    {auth.Session{Tags: map[string]string{"team": "a"}, Transitive: []string{"team"}}, "sts:TagSession on resource: " + r.ARN},
		"both, of tags first": {auth.Session{SourceIdentity: "ann", Tags: map[string]string{"team": "a"}, Transitive: []string{"team"}}, "sts:TagSession"},
	} {
		p := auth.Principal{Kind: auth.AssumedRole, ARN: "arn:aws:sts::" + account + ":assumed-role/first/one", Account: account, Session: &tt.from}
		ctx := pipeline.WithCall(t.Context(), &pipeline.Call{Principal: p})
		_, err := k.AssumeRole(ctx, &model.AssumeRoleRequest{RoleArn: &r.ARN, RoleSessionName: new("two")})
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}
