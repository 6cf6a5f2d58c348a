package iam

import (
	"context"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	model "github.com/outcrop/outcrop/internal/api/model/iam"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/principal"
	"github.com/outcrop/outcrop/internal/secret/secrettest"
	"github.com/outcrop/outcrop/internal/store/sqlite"
)

// kit is a front over an account of its own.
type kit struct {
	*testing.T
	*Service
	account string
}

func newKit(t *testing.T) *kit {
	t.Helper()
	k := &kit{T: t}
	dir := t.TempDir()
	box := secrettest.Box(t)
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, "outcrop.db"), sqlite.Options{})
	k.must(err)
	t.Cleanup(func() { k.must(db.Close()) })
	d, _, err := principal.Open(t.Context(), principal.Config{Store: db, Box: box, Rand: rand.Reader, Now: time.Now})
	k.must(err)
	k.Service, k.account = New(d, nil), d.Account().ID
	return k
}

func (k *kit) must(err error) {
	k.Helper()
	if err != nil {
		k.Fatal(err)
	}
}

// as is the context of a call of the root, or of a user.
func (k *kit) as(kind auth.Kind, name string) context.Context {
	p := auth.Principal{Account: k.account, ARN: auth.RootARN(k.account), UserID: k.account, Kind: kind}
	if kind == auth.User {
		p.ARN = "arn:aws:iam::" + k.account + ":user/team/" + name
	}
	return pipeline.WithCall(k.Context(), &pipeline.Call{Principal: p})
}

const (
	goodPolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}`
	goodTrust  = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"bedrock-agentcore.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
)

// filled makes an input whose required members name what is not there.
func (k *kit) filled(op *schema.Operation) any {
	in := op.NewInput()
	if op.Input < 0 {
		return in
	}
	v := reflect.ValueOf(in).Elem()
	for i, m := range model.Service.Shape(op.Input).Members {
		sh := model.Service.Shape(m.Shape)
		if !m.Required && m.Name != "UserName" {
			continue
		}
		text := "nobody"
		switch {
		case m.Name == "PolicyArn" || m.Name == "PermissionsBoundary":
			text = "arn:aws:iam::" + k.account + ":policy/nobody"
		case m.Name == "PolicySourceArn":
			text = "arn:aws:iam::" + k.account + ":user/nobody"
		case m.Name == "OpenIDConnectProviderArn":
			text = "arn:aws:iam::" + k.account + ":oidc-provider/nobody.example"
		case m.Name == "Url":
			text = "https://idp.example.com/realm"
		case m.Name == "AccessKeyId":
			text = "AKIAAAAAAAAAAAAAAAAA"
		case m.Name == "AssumeRolePolicyDocument" || m.Name == "PolicyDocument" && op.Name == "UpdateAssumeRolePolicy":
			text = goodTrust
		case m.Name == "PolicyDocument":
			text = goodPolicy
		case m.Name == "Status":
			text = "Active"
		case m.Name == "VersionId":
			text = "v1"
		case m.Name == "AWSServiceName":
			text = "network.bedrock-agentcore.amazonaws.com"
		}
		switch {
		case sh.Kind == schema.String:
			v.Field(i).Set(reflect.ValueOf(&text))
		case m.Name == "ActionNames":
			v.Field(i).Set(reflect.ValueOf([]string{"s3:GetObject"}))
		case m.Name == "PolicyInputList":
			v.Field(i).Set(reflect.ValueOf([]string{goodPolicy}))
		case m.Name == "ThumbprintList":
			v.Field(i).Set(reflect.ValueOf([]string{strings.Repeat("0a", 20)}))
		case m.Name == "TagKeys":
			v.Field(i).Set(reflect.ValueOf([]string{"k"}))
		case m.Name == "Tags":
			v.Field(i).Set(reflect.ValueOf([]model.Tag{{Key: new("k"), Value: new("v")}}))
		default:
			k.Fatalf("%s.%s: the test has no value for it", op.Name, m.Name)
		}
	}
	return in
}

// TestUnknown calls every operation about what is not there: it says so, in IAM's
// words, and never answers with nothing.
func TestUnknown(t *testing.T) {
	k := newKit(t)
	// What does not ask for something that is there.
	free := strings.Fields(`CreateGroup CreateOpenIDConnectProvider CreatePolicy CreateRole CreateServiceLinkedRole CreateUser DeleteOpenIDConnectProvider GetAccountAuthorizationDetails GetAccountSummary
		GetContextKeysForCustomPolicy ListAccountAliases ListGroups ListOpenIDConnectProviders ListPolicies ListRoles ListSAMLProviders ListUsers
		ListVirtualMFADevices SimulateCustomPolicy`)
	n := 0
	for _, h := range k.Handlers() {
		if slices.Contains(free, h.Operation.Name) || strings.Contains(h.Operation.Name, "Outbound") { // which is on or off
			continue
		}
		n++
		out, err := h.Serve(k.as(auth.Root, ""), k.filled(h.Operation))
		f := fault.From(err)
		if err == nil || f.Code != principal.CodeNoSuchEntity || f.Status != 404 || f.Message == "" {
			t.Errorf("%s: %v, %v, want NoSuchEntity", h.Operation.Name, out, err)
		}
	}
	t.Logf("%d operations", n)
	// And those that do not ask work, twice where nothing is made.
	for _, h := range k.Handlers() {
		if !slices.Contains(free, h.Operation.Name) {
			continue
		}
		in := k.filled(h.Operation)
		if _, err := h.Serve(k.as(auth.Root, ""), in); err != nil {
			t.Errorf("%s: %v", h.Operation.Name, err)
		}
		_, err := h.Serve(k.as(auth.Root, ""), in)
		want := ""
		if strings.HasPrefix(h.Operation.Name, "Create") {
			want = principal.CodeExists
		}
		if h.Operation.Name == "CreateServiceLinkedRole" {
			want = principal.CodeInvalid
		}
		if got := codeOf(err); got != want {
			t.Errorf("%s again: %q, want %q (%v)", h.Operation.Name, got, want, err)
		}
	}
}

func codeOf(err error) string {
	if err == nil {
		return ""
	}
	return fault.From(err).Code
}

// TestDocuments gives every operation that takes a policy some that are none.
func TestDocuments(t *testing.T) {
	k := newKit(t)
	k.world()
	n := 0
	for _, h := range k.Handlers() {
		in := k.filled(h.Operation)
		if h.Operation.Input < 0 {
			continue
		}
		v := reflect.ValueOf(in).Elem()
		for i, m := range model.Service.Shape(h.Operation.Input).Members {
			if m.Name != "PolicyDocument" && m.Name != "AssumeRolePolicyDocument" && m.Name != "PolicyInputList" {
				continue
			}
			k.named(v)
			want := principal.CodeMalformed
			if m.Name == "PolicyInputList" { // the model of those questions has no other
				want = principal.CodeInvalid
			}
			for _, bad := range []string{"{", "[]", `{"Version":"2012-10-17"}`, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*"}]}`, `{"Version":"1999-01-01","Statement":[]}`} {
				n++
				if m.Name == "PolicyInputList" {
					v.Field(i).Set(reflect.ValueOf([]string{goodPolicy, bad}))
				} else {
					v.Field(i).Set(reflect.ValueOf(&bad))
				}
				if _, err := h.Serve(k.as(auth.Root, ""), in); codeOf(err) != want {
					t.Errorf("%s with %s: %v, want %s", h.Operation.Name, bad, err, want)
				}
			}
		}
	}
	if n < 8*5 {
		t.Errorf("%d documents were tried", n)
	}
}

// world makes a user, a group, a role and a policy with three of everything.
func (k *kit) world() {
	k.Helper()
	ctx, d := k.Context(), k.d
	for i, name := range []string{"Zoe", "ann", "Bob"} {
		_, err := d.CreateUser(ctx, principal.NewUser{Name: name, Path: "/team/"})
		k.must(err)
		_, err = d.CreateGroup(ctx, "group"+name, "/team/")
		k.must(err)
		_, err = d.CreateRole(ctx, principal.NewRole{Name: "role" + name, Path: "/team/", Trust: goodTrust})
		k.must(err)
		p, err := d.CreatePolicy(ctx, principal.NewPolicy{Name: "policy" + name, Path: "/team/", Document: goodPolicy})
		k.must(err)
		k.must(d.Join(ctx, "Zoe", "group"+name))
		k.must(d.Join(ctx, name, "groupZoe"))
		tag := []principal.Tag{{Key: fmt.Sprint("k", i), Value: name}}
		for _, h := range []principal.Holder{{Kind: principal.UserHolder, Name: "Zoe"}, {Kind: principal.GroupHolder, Name: "groupZoe"}, {Kind: principal.RoleHolder, Name: "roleZoe"}} {
			k.must(d.PutInline(ctx, h, "own"+name, goodPolicy))
			k.must(d.Attach(ctx, h, p.ARN))
			if h.Kind != principal.GroupHolder {
				k.must(d.TagHolder(ctx, h, tag))
			}
		}
		zoe := "arn:aws:iam::" + k.account + ":policy/team/policyZoe"
		k.must(d.TagPolicy(ctx, zoe, tag))
		idp, err := d.CreateOIDCProvider(ctx, principal.NewOIDCProvider{URL: "https://" + strings.ToLower(name) + ".example"})
		k.must(err)
		k.must(d.TagOIDCProvider(ctx, idp.ARN, append(tag, principal.Tag{Key: "all", Value: "x"})))
		if i < 2 {
			_, _, err = d.CreateAccessKey(ctx, "Zoe")
			k.must(err)
			_, err = d.CreateVersion(ctx, zoe, goodPolicy, false)
			k.must(err)
		}
	}
}

// named names what world made in place of what is not there.
func (k *kit) named(v reflect.Value) {
	for name, value := range map[string]string{
		"UserName": "Zoe", "GroupName": "groupZoe", "RoleName": "roleZoe", "PolicyArn": "arn:aws:iam::" + k.account + ":policy/team/policyZoe",
		"PolicySourceArn": "arn:aws:iam::" + k.account + ":user/team/Zoe", "OpenIDConnectProviderArn": "arn:aws:iam::" + k.account + ":oidc-provider/zoe.example",
	} {
		if f := v.FieldByName(name); f.IsValid() {
			f.Set(reflect.ValueOf(&value))
		}
	}
}

// empty are the lists of what nobody has.
var empty = strings.Fields("ListAccountAliases ListInstanceProfilesForRole ListMFADevices ListServiceSpecificCredentials ListSigningCertificates ListSSHPublicKeys ListVirtualMFADevices")

// TestPages goes through every list, one item at a time: the pages are the list, and
// what is no marker is refused.
func TestPages(t *testing.T) {
	k := newKit(t)
	k.world()
	ctx := k.as(auth.Root, "")
	n := 0
	for _, h := range k.Handlers() {
		in := k.filled(h.Operation)
		v := reflect.ValueOf(in).Elem()
		marker, most := v.FieldByName("Marker"), v.FieldByName("MaxItems")
		if !marker.IsValid() || slices.Contains(empty, h.Operation.Name) {
			continue
		}
		n++
		k.named(v)
		if f := v.FieldByName("ActionNames"); f.IsValid() {
			f.Set(reflect.ValueOf([]string{"s3:GetObject", "s3:PutObject", "iam:PassRole"}))
		}
		whole, _, err := serve(ctx, h, in)
		k.must(err)
		if len(whole) < 2 {
			t.Errorf("%s has %d items to page through", h.Operation.Name, len(whole))
		}
		var got []string
		most.Set(reflect.ValueOf(new(int32(1))))
		for {
			items, next, err := serve(ctx, h, in)
			k.must(err)
			got = append(got, items...)
			if next == nil || len(items) != 1 || len(got) > len(whole) {
				break
			}
			marker.Set(reflect.ValueOf(next))
		}
		slices.Sort(got)
		slices.Sort(whole)
		if !slices.Equal(got, whole) {
			t.Errorf("%s: pages have\n%s, the list\n%s", h.Operation.Name, got, whole)
		}
		marker.Set(reflect.ValueOf(new("!")))
		if _, _, err := serve(ctx, h, in); codeOf(err) != principal.CodeValidation {
			t.Errorf("%s with a marker that is none: %v", h.Operation.Name, err)
		}
	}
	t.Logf("%d lists", n)
}

// serve returns the items of all lists of an answer, and its marker.
func serve(ctx context.Context, h schema.Handler, in any) (items []string, next *string, err error) {
	out, err := h.Serve(ctx, in)
	if err != nil {
		return nil, nil, err
	}
	v := reflect.ValueOf(out).Elem()
	for i := range v.NumField() {
		f := v.Field(i)
		if f.Kind() != reflect.Slice {
			continue
		}
		for j := range f.Len() {
			text := fmt.Sprint(f.Index(j).Interface())
			if e := f.Index(j); e.Kind() == reflect.Struct {
				text = nameOf(e)
			}
			items = append(items, v.Type().Field(i).Name+" "+text)
		}
	}
	next, _ = v.FieldByName("Marker").Interface().(*string)
	if told := v.FieldByName("IsTruncated").Interface().(*bool); *told != (next != nil) {
		return nil, nil, fmt.Errorf("IsTruncated is %v with the marker %v", *told, next)
	}
	return items, next, nil
}

// nameOf is what tells an item from the others of its list.
func nameOf(v reflect.Value) string {
	for _, name := range []string{"Arn", "AccessKeyId", "VersionId", "Key", "PolicyArn", "EvalActionName", "UserName", "GroupName", "RoleName"} {
		if f := v.FieldByName(name); f.IsValid() && !f.IsNil() {
			return f.Elem().String()
		}
	}
	return fmt.Sprint(v.Interface())
}

// TestSelf: users may leave their own name out, and nobody else.
func TestSelf(t *testing.T) {
	k := newKit(t)
	k.world()
	zoe := k.as(auth.User, "Zoe")
	got, err := k.GetUser(zoe, &model.GetUserRequest{})
	if err != nil || *got.User.UserName != "Zoe" || *got.User.Arn != "arn:aws:iam::"+k.account+":user/team/Zoe" || len(got.User.Tags) != 3 {
		t.Errorf("GetUser of oneself: %+v, %v", got, err)
	}
	keys, err := k.ListAccessKeys(zoe, &model.ListAccessKeysRequest{})
	if err != nil || len(keys.AccessKeyMetadata) != 2 {
		t.Errorf("ListAccessKeys of oneself: %+v, %v", keys, err)
	}
	if _, err := k.ListAccessKeys(k.as(auth.AssumedRole, ""), &model.ListAccessKeysRequest{}); codeOf(err) != principal.CodeValidation {
		t.Errorf("a role's session has no user: %v", err)
	}
	if root, err := k.GetUser(k.as(auth.Root, ""), &model.GetUserRequest{}); err != nil || *root.User.Arn != auth.RootARN(k.account) {
		t.Errorf("GetUser of the root: %+v, %v", root, err)
	}
}

// TestLinkedNames holds the names of service-linked roles that clients look for.
func TestLinkedNames(t *testing.T) {
	for service, want := range map[string]string{
		"network.bedrock-agentcore.amazonaws.com":          "AWSServiceRoleForBedrockAgentCoreNetwork",
		"runtime-identity.bedrock-agentcore.amazonaws.com": "AWSServiceRoleForBedrockAgentCoreRuntimeIdentity",
		"example.com": "", "amazonaws.com": "", ".amazonaws.com": "", "a..amazonaws.com": "", strings.Repeat("a", 60) + ".amazonaws.com": "",
	} {
		if got, ok := linkedName(service, ""); ok != (want != "") || ok && got != want {
			t.Errorf("%s: %q, %v, want %q", service, got, ok, want)
		}
	}
}

// TestEncoded: documents come percent-encoded after RFC 3986.
func TestEncoded(t *testing.T) {
	if got, want := *encoded(`{"a b": "ü+~"}`), "%7B%22a%20b%22%3A%20%22%C3%BC%2B~%22%7D"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
