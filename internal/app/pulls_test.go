package app

import (
	"context"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/image/registry"
	"github.com/outcrop/outcrop/internal/principal"
	"github.com/outcrop/outcrop/internal/runtime"
	"github.com/outcrop/outcrop/internal/store"
)

// TestRolesPullWhatTheyMay: of this server's registry an agent has the images that its
// role may pull, whoever asks; where there is no such role, those of who asks.
func TestRolesPullWhatTheyMay(t *testing.T) {
	v, ctx := newVault(t), t.Context()
	images, err := registry.New(ctx, registry.Config{Dir: filepath.Join(t.TempDir(), "registry"), Store: v.store})
	v.must(err)
	scope := store.Scope{Account: v.account, Region: vaultRegion}
	mine, shared := registry.Name{Scope: scope, Repository: "team/mine"}, registry.Name{Scope: scope, Repository: "shared"}
	_, err = images.CreateRepository(ctx, mine, registry.Settings{})
	v.must(err)
	token, pull := grant("ecr:GetAuthorizationToken", "*", ""), func(on string) string {
		return `{"Effect":"Allow","Action":["ecr:BatchGetImage","ecr:GetDownloadUrlForLayer"],"Resource":"` + on + `"}`
	}
	role := func(name, path string, statements ...string) string {
		r, err := v.directory.CreateRole(ctx, principal.NewRole{Name: name, Path: path, Trust: principal.AgentTrust(v.account)})
		v.must(err)
		if len(statements) > 0 {
			v.must(v.directory.PutInline(ctx, principal.Holder{Kind: principal.RoleHolder, Name: name}, "p", policyText(statements...)))
		}
		return r.ARN
	}
	own := "arn:aws:iam::" + v.account + ":role/"
	// As the starter toolkit's template, AgentCore's guide and a CDK construct write it.
	toolkit := role("toolkit", "/", pull(mine.ARN()), token)
	guide := role("guide", "/", pull("arn:aws:ecr:us-east-1:"+v.account+":repository/*"), token)
	plain, tokenless := role("plain", "/", grant("s3:*", "*", "")), role("tokenless", "/", pull("*"))
	denied := role("denied", "/", pull("*"), token, `{"Effect":"Deny","Action":"ecr:BatchGetImage","Resource":"`+mine.ARN()+`"}`)
	named := role("named", "/", token)
	inside := role("inside", "/", pull("*"), token, `{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}}}`)
	_, err = images.CreateRepository(ctx, shared, registry.Settings{Policy: policyText(`{"Effect":"Allow","Principal":{"AWS":"` + named + `"},"Action":["ecr:BatchGetImage","ecr:GetDownloadUrlForLayer"]}`)})
	v.must(err)
	p := newPulls(v.store, kept{images: images, account: v.account}, v.directory)
	callers := map[string]context.Context{}
	for name, statements := range map[string][]string{"nothing": {grant("s3:*", "*", "")}, "reader": {pull("*"), token}} {
		c := v.user(name, statements...)
		key, err := v.directory.Key(ctx, c.AccessKeyID, "")
		v.must(err)
		callers[name] = pipeline.WithCall(ctx, &pipeline.Call{Principal: key.Principal})
	}
	root, err := v.directory.Named(ctx, "root")
	v.must(err)
	callers["root"] = pipeline.WithCall(ctx, &pipeline.Call{Principal: root})
	const fragment = "Access denied while validating ECR URI 'called so'. The execution role requires permissions for ecr:GetAuthorizationToken, ecr:BatchGetImage, and ecr:GetDownloadUrlForLayer operations. "
	for _, c := range []struct {
		who, role string
		name      registry.Name
		want      string
	}{
		{"nothing", toolkit, mine, ""},
		{"nothing", guide, mine, ""},
		{"nothing", own + principal.AgentRole, mine, ""},
		{"nothing", named, shared, ""},
		{"nothing", inside, mine, ""},
		{"root", plain, mine, "Here the execution role " + plain + " may not ecr:GetAuthorizationToken on *, and none of its policies allows it"},
		{"reader", plain, mine, "the execution role " + plain + " may not"},
		{"root", tokenless, mine, "may not ecr:GetAuthorizationToken on *"},
		{"root", toolkit, shared, "may not ecr:BatchGetImage on " + shared.ARN() + ", and none"},
		{"root", named, mine, "may not ecr:BatchGetImage on " + mine.ARN()},
		{"root", denied, mine, "may not ecr:BatchGetImage on " + mine.ARN() + ", and a policy denies it"},
		{"root", own + "absent", mine, ""},
		{"reader", own + "absent", mine, ""},
		{"reader", own + "elsewhere/plain", mine, ""}, // another than plain, which is not there
		{"nothing", own + "elsewhere/toolkit", mine, "whose rights count because the execution role " + own + "elsewhere/toolkit does not exist, may not ecr:GetAuthorizationToken on *"},
		{"nothing", own + "absent", mine, "Here the caller arn:aws:iam::" + v.account + ":user/nothing, whose rights count"},
		{"nothing", plain, registry.Name{Scope: store.Scope{Account: "999999999999", Region: vaultRegion}, Repository: "theirs"}, ""}, // which Amazon ECR decides
	} {
		asked := auth.WithRequest(callers[c.who], auth.Request{Time: time.Now(), SourceIP: netip.MustParseAddr("192.0.2.7"), Region: vaultRegion})
		err := p.CheckPull(asked, runtime.Pull{Role: c.role, URI: "called so", Host: registry.Host(c.name.Scope), Repository: c.name.Repository})
		if c.want == "" {
			if err != nil {
				t.Errorf("%s with %s pulls %s: %v", c.who, c.role, c.name, err)
			}
			continue
		}
		if f := fault.From(err); f.Code != "ValidationException" || !strings.HasPrefix(f.Message, fragment) || !strings.Contains(f.Message, c.want) || len(f.Fields) != 1 {
			t.Errorf("%s with %s pulls %s: %v, want %q", c.who, c.role, c.name, err, c.want)
		}
	}
}
