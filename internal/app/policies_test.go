package app

import (
	"crypto/rand"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/issuer"
	"github.com/outcrop/outcrop/internal/object"
	"github.com/outcrop/outcrop/internal/principal"
	"github.com/outcrop/outcrop/internal/secret/secrettest"
	"github.com/outcrop/outcrop/internal/store"
)

// TestTagsOfBucketsAndPools: conditions on aws:ResourceTag allow and deny by the tags of
// a bucket, for it and what is in it, and of a user pool; what is another's has none.
func TestTagsOfBucketsAndPools(t *testing.T) {
	v, ctx, dir := newVault(t), t.Context(), t.TempDir()
	objects, err := object.New(ctx, object.Config{Dir: filepath.Join(dir, "objects"), Store: v.store})
	v.must(err)
	box := secrettest.Box(t)
	pools := issuer.New(issuer.Config{Store: v.store, Box: box, Rand: rand.Reader, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	a := &auth.Authorizer{Identities: v.directory, Resources: &attached{v.account, map[string]auth.Resources{
		"s3": newBuckets(v.store, v.account, objects), "cognito-idp": userPools{pools},
	}}}
	blue, red := map[string]string{"team": "blue"}, map[string]string{"team": "red"}
	scope := store.Scope{Account: v.account, Region: vaultRegion}
	for name, tags := range map[string]map[string]string{"ours": blue, "theirs": red, "plain": nil} {
		_, err := objects.CreateBucket(ctx, v.account, vaultRegion, name, object.NewBucket{Tags: tags})
		v.must(err)
	}
	_, err = objects.CreateBucket(ctx, "999988887777", vaultRegion, "foreign", object.NewBucket{Tags: blue})
	v.must(err)
	pool, err := pools.CreatePool(ctx, scope, issuer.Settings{Name: "p", Tags: blue})
	v.must(err)
	other, err := pools.CreatePool(ctx, scope, issuer.Settings{Name: "q", Tags: red})
	v.must(err)
	const s3 = "arn:aws:s3:::"
	want := map[string]bool{
		s3 + "ours": true, s3 + "ours/a/b": true, s3 + "theirs": false, s3 + "theirs/a": false, s3 + "plain": false, s3 + "none": false, s3 + "foreign": false, s3 + "no bucket": false,
		pool.ARN(): true, other.ARN(): false, issuer.ARN(scope, vaultRegion+"_none"): false, issuer.ARN(store.Scope{Account: v.account, Region: "eu-west-1"}, pool.ID): false,
	}
	for effect, statements := range map[string][]string{
		"Allow": {grant("*", "*", `,"Condition":{"StringEquals":{"aws:ResourceTag/team":"blue"}}`)},
		"Deny":  {grant("*", "*", ""), `{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringNotEquals":{"aws:ResourceTag/Team":"blue"}}}`},
	} {
		c := v.user("by"+effect, statements...)
		key, err := v.directory.Key(ctx, c.AccessKeyID, "")
		v.must(err)
		for arn, allowed := range want {
			d := a.Decide(ctx, key.Principal, auth.Requirement{Action: "s3:GetObject", Resource: arn})
			if d.Err != nil || d.Allowed() != allowed {
				t.Errorf("%s of %s: %+v, want %v", effect, arn, d, allowed)
			}
		}
	}
}

// TestBucketPolicies: a bucket's policy lets in and keeps out for the bucket and what is
// in it, at once after it is changed, but never a root from the policy itself.
func TestBucketPolicies(t *testing.T) {
	v, ctx := newVault(t), t.Context()
	objects, err := object.New(ctx, object.Config{Dir: filepath.Join(t.TempDir(), "objects"), Store: v.store})
	v.must(err)
	a := &auth.Authorizer{Identities: v.directory, Resources: &attached{v.account, map[string]auth.Resources{"s3": newBuckets(v.store, v.account, objects)}}}
	_, err = objects.CreateBucket(ctx, v.account, vaultRegion, "ours", object.NewBucket{})
	v.must(err)
	of := func(c principal.Credentials) auth.Principal {
		key, err := v.directory.Key(ctx, c.AccessKeyID, "")
		v.must(err)
		return key.Principal
	}
	ann, admin, root := of(v.user("ann")), of(v.user("admin", grant("*", "*", ""))), of(v.root)
	wants := func(what string, p auth.Principal, action, resource string, allowed bool) {
		t.Helper()
		if d := a.Decide(ctx, p, auth.Requirement{Action: action, Resource: "arn:aws:s3:::" + resource}); d.Err != nil || d.Allowed() != allowed {
			t.Errorf("%s: %s on %s: %+v, want %v", what, action, resource, d, allowed)
		}
	}
	wants("no policy", ann, "s3:GetObject", "ours/a", false)
	v.must(objects.SetPolicy(ctx, v.account, "ours", policyText(trusting(v.arn("ann"), "s3:GetObject", "arn:aws:s3:::ours/a/*")), nil))
	wants("allowed", ann, "s3:GetObject", "ours/a/b", true)
	wants("elsewhere", ann, "s3:GetObject", "ours/b", false)
	wants("another action", ann, "s3:PutObject", "ours/a/b", false)
	wants("another bucket", ann, "s3:GetObject", "theirs/a/b", false)
	v.must(objects.SetPolicy(ctx, v.account, "ours", policyText(`{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":["arn:aws:s3:::ours","arn:aws:s3:::ours/*"]}`), nil))
	for _, p := range []auth.Principal{ann, admin, root} {
		wants("denied", p, "s3:GetObject", "ours/a/b", false)
		wants("denied", p, "s3:ListBucket", "ours", false)
	}
	wants("denied", admin, "s3:DeleteBucketPolicy", "ours", false)
	wants("a root's way out", root, "s3:DeleteBucketPolicy", "ours", true)
	v.must(objects.SetPolicy(ctx, v.account, "ours", "", nil))
	wants("taken away", admin, "s3:GetObject", "ours/a/b", true)
}
