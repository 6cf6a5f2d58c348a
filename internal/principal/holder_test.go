package principal

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/sigv4"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/principal/managed"
)

const (
	readAll   = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:Get*","Resource":"*"}]}`
	trustRoot = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"%s"},"Action":"sts:AssumeRole"}]}`
	trustSelf = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"bedrock-agentcore.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
)

func opened(t testing.TB) *Directory {
	t.Helper()
	cfg, _ := config(t, t.TempDir())
	d, _ := open(t, cfg)
	return d
}

// refused checks the code of a refusal.
func refused(t testing.TB, err error, code string) {
	t.Helper()
	if !fault.Is(err, code) {
		t.Errorf("%v, want %s", err, code)
	}
}

// must fails the test on an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestNamesAreUniqueWhateverTheirCase(t *testing.T) {
	d, ctx := opened(t), t.Context()
	u, err := d.CreateUser(ctx, NewUser{Name: "Ann", Path: "/team/", Tags: []Tag{{"stage", "dev"}}})
	must(t, err)
	if !regexp.MustCompile(`^AIDA[A-Z2-7]{17}$`).MatchString(u.ID) || u.ARN != "arn:aws:iam::"+d.account.ID+":user/team/Ann" || u.Created.IsZero() {
		t.Errorf("%+v", u)
	}
	_, err = d.CreateUser(ctx, NewUser{Name: "ANN"})
	refused(t, err, CodeExists)
	_, err = d.User(ctx, "ann")
	refused(t, err, CodeNoSuchEntity)
	for _, name := range []string{"", "a b", "a/b", strings.Repeat("a", 65), "ä"} {
		_, err := d.CreateUser(ctx, NewUser{Name: name})
		refused(t, err, CodeValidation)
	}
	_, err = d.CreateUser(ctx, NewUser{Name: "b", Path: "team"})
	refused(t, err, CodeValidation)
	_, err = d.CreateUser(ctx, NewUser{Name: "b", Tags: []Tag{{"aws:x", ""}}})
	refused(t, err, CodeInvalid)
	_, err = d.CreateUser(ctx, NewUser{Name: "b", Boundary: "arn:aws:iam::aws:policy/None"})
	refused(t, err, CodeNoSuchEntity)
	must(t, d.UpdateUser(ctx, "Ann", "ann", "/"))
	again, err := d.User(ctx, "ann")
	if err != nil || again.ID != u.ID || again.Path != "/" {
		t.Errorf("%+v, %v", again, err)
	}
	users, err := d.Users(ctx, "/team/")
	if err != nil || len(users) != 0 {
		t.Errorf("%+v, %v", users, err)
	}
}

// TestDeleteRules: what still hangs on something keeps it.
func TestDeleteRules(t *testing.T) {
	d, ctx := opened(t), t.Context()
	user, group, role := Holder{UserHolder, "u"}, Holder{GroupHolder, "g"}, Holder{RoleHolder, "r"}
	_, err := d.CreateUser(ctx, NewUser{Name: "u"})
	must(t, err)
	_, err = d.CreateGroup(ctx, "g", "")
	must(t, err)
	_, err = d.CreateRole(ctx, NewRole{Name: "r", Trust: trustSelf})
	must(t, err)
	p, err := d.CreatePolicy(ctx, NewPolicy{Name: "p", Document: readAll})
	must(t, err)
	key, _, err := d.CreateAccessKey(ctx, "u")
	must(t, err)
	must(t, d.Join(ctx, "u", "g"))
	for _, h := range []Holder{user, group, role} {
		must(t, d.Attach(ctx, h, p.ARN))
		must(t, d.Attach(ctx, h, p.ARN)) // twice is once
		must(t, d.PutInline(ctx, h, "own", readAll))
	}
	must(t, d.SetBoundary(ctx, user, p.ARN))
	if p, err = d.Policy(ctx, p.ARN); err != nil || p.Attachments != 3 || p.Boundaries != 1 {
		t.Errorf("%+v, %v", p, err)
	}
	remove := map[Holder]func(context.Context, string) error{user: d.DeleteUser, group: d.DeleteGroup, role: d.DeleteRole}
	for _, h := range []Holder{user, group, role} {
		refused(t, remove[h](ctx, h.Name), CodeConflict)
		must(t, d.Detach(ctx, h, p.ARN))
		refused(t, d.Detach(ctx, h, p.ARN), CodeNoSuchEntity)
		refused(t, remove[h](ctx, h.Name), CodeConflict)
		must(t, d.DeleteInline(ctx, h, "own"))
		refused(t, d.DeleteInline(ctx, h, "own"), CodeNoSuchEntity)
	}
	must(t, d.DeleteRole(ctx, "r"))
	refused(t, d.DeleteGroup(ctx, "g"), CodeConflict) // it has a member
	refused(t, d.DeleteUser(ctx, "u"), CodeConflict)
	must(t, d.Quit(ctx, "u", "g"))
	refused(t, d.Quit(ctx, "u", "g"), CodeNoSuchEntity)
	must(t, d.DeleteGroup(ctx, "g"))
	refused(t, d.DeleteUser(ctx, "u"), CodeConflict) // a key
	refused(t, d.DeletePolicy(ctx, p.ARN), CodeConflict)
	must(t, d.DeleteAccessKey(ctx, "u", key.ID))
	must(t, d.DeleteUser(ctx, "u"))
	must(t, d.DeletePolicy(ctx, p.ARN))
	refused(t, d.DeletePolicy(ctx, p.ARN), CodeNoSuchEntity)
}

func TestVersions(t *testing.T) {
	d, ctx := opened(t), t.Context()
	p, err := d.CreatePolicy(ctx, NewPolicy{Name: "p", Path: "/x/", Document: readAll})
	must(t, err)
	for i := 2; i <= MaxVersions; i++ {
		v, err := d.CreateVersion(ctx, p.ARN, strings.Replace(readAll, "Get*", fmt.Sprint("Get", i), 1), i == 3)
		if err != nil || v.ID != fmt.Sprint("v", i) {
			t.Fatalf("%+v, %v", v, err)
		}
	}
	_, err = d.CreateVersion(ctx, p.ARN, readAll, false)
	refused(t, err, CodeLimit)
	refused(t, d.DeleteVersion(ctx, p.ARN, "v3"), CodeConflict)
	refused(t, d.DeletePolicy(ctx, p.ARN), CodeConflict)
	must(t, d.DeleteVersion(ctx, p.ARN, "v5"))
	v, err := d.CreateVersion(ctx, p.ARN, readAll, false)
	if err != nil || v.ID != "v6" {
		t.Errorf("a number was used again: %+v, %v", v, err)
	}
	must(t, d.SetDefaultVersion(ctx, p.ARN, "v2"))
	v, err = d.Version(ctx, p.ARN, "")
	if err != nil || v.ID != "v2" || !strings.Contains(v.Document, "Get2") {
		t.Errorf("%+v, %v", v, err)
	}
	refused(t, d.SetDefaultVersion(ctx, p.ARN, "v5"), CodeNoSuchEntity)
	_, err = d.CreatePolicy(ctx, NewPolicy{Name: "P", Document: readAll})
	refused(t, err, CodeExists)
	_, err = d.CreatePolicy(ctx, NewPolicy{Name: "q", Document: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow"}]}`})
	refused(t, err, CodeMalformed)
	refused(t, d.DeletePolicy(ctx, managed.Administrator), CodeDenied)
}

// TestQuotas: each is told by name.
func TestQuotas(t *testing.T) {
	d, ctx := opened(t), t.Context()
	_, err := d.CreateUser(ctx, NewUser{Name: "u"})
	must(t, err)
	h := Holder{UserHolder, "u"}
	for range MaxKeys {
		_, _, err := d.CreateAccessKey(ctx, "u")
		must(t, err)
	}
	_, _, err = d.CreateAccessKey(ctx, "u")
	refused(t, err, CodeLimit)
	for _, p := range managed.All()[:MaxAttached] {
		must(t, d.Attach(ctx, h, p.ARN))
	}
	refused(t, d.Attach(ctx, h, managed.All()[MaxAttached].ARN), CodeLimit)
	refused(t, d.Attach(ctx, h, "arn:aws:iam::aws:policy/Nothing"), CodeNoSuchEntity)
	refused(t, d.Attach(ctx, h, ""), CodeNoSuchEntity)
	long := strings.Replace(readAll, "s3:Get*", "s3:Get"+strings.Repeat("x", 1500), 1)
	must(t, d.PutInline(ctx, h, "a", long))
	must(t, d.PutInline(ctx, h, "a", long)) // in its own place
	refused(t, d.PutInline(ctx, h, "b", long), CodeLimit)
	for i := range MaxGroupsOfUser + 1 {
		name := fmt.Sprint("g", i)
		_, err := d.CreateGroup(ctx, name, "")
		must(t, err)
		if err := d.Join(ctx, "u", name); (err != nil) != (i == MaxGroupsOfUser) {
			t.Errorf("group %d: %v", i, err)
		}
	}
	tags := make([]Tag, MaxTags+1)
	for i := range tags {
		tags[i] = Tag{fmt.Sprint("k", i), ""}
	}
	refused(t, d.TagHolder(ctx, h, tags), CodeLimit)
	must(t, d.TagHolder(ctx, h, []Tag{{"Team", "a"}}))
	must(t, d.TagHolder(ctx, h, []Tag{{"team", "b"}}))
	u, err := d.User(ctx, "u")
	if err != nil || !slices.Equal(u.Tags, []Tag{{"team", "b"}}) {
		t.Errorf("%+v, %v", u.Tags, err)
	}
}

// TestUserKey: a user's key stands for the user as it is now, and for nobody once it
// is inactive or gone.
func TestUserKey(t *testing.T) {
	d, ctx := opened(t), t.Context()
	u, err := d.CreateUser(ctx, NewUser{Name: "u", Path: "/p/"})
	must(t, err)
	key, c, err := d.CreateAccessKey(ctx, "u")
	must(t, err)
	got, err := d.Key(ctx, key.ID, "")
	want := auth.Principal{Account: d.account.ID, ARN: u.ARN, ID: key.ID, UserID: u.ID, Entity: u.ID, Kind: auth.User}
	if err != nil || got.Principal != want || got.Secret != c.Secret.Reveal() {
		t.Errorf("%+v, %v; want %+v", got.Principal, err, want)
	}
	must(t, d.UpdateUser(ctx, "u", "v", ""))
	if got, err = d.Key(ctx, key.ID, ""); err != nil || got.Principal.ARN != strings.TrimSuffix(u.ARN, "u")+"v" {
		t.Errorf("a renamed user: %+v, %v", got.Principal, err)
	}
	d.Used(ctx, got.Principal, "s3", "us-west-2")
	if k, err := d.FindAccessKey(ctx, key.ID); err != nil || k.User != "v" || k.LastUse.Service != "s3" || !k.LastUse.Time.Equal(testTime()) {
		t.Errorf("%+v, %v", k, err)
	}
	must(t, d.SetAccessKey(ctx, "v", key.ID, false))
	if _, err := d.Key(ctx, key.ID, ""); !errors.Is(err, sigv4.ErrUnknownKey) {
		t.Errorf("an inactive key: %v", err)
	}
	must(t, d.SetAccessKey(ctx, "v", key.ID, true))
	_, err = d.Key(ctx, key.ID, "")
	must(t, err)
	_, err = d.CreateUser(ctx, NewUser{Name: "w"})
	must(t, err)
	refused(t, d.DeleteAccessKey(ctx, "w", key.ID), CodeNoSuchEntity) // another's
	refused(t, d.DeleteAccessKey(ctx, "v", d.account.Root), CodeNoSuchEntity)
	must(t, d.DeleteAccessKey(ctx, "v", key.ID))
	if _, err := d.Key(ctx, key.ID, ""); !errors.Is(err, sigv4.ErrUnknownKey) {
		t.Errorf("a deleted key: %v", err)
	}
}

func TestServiceLinkedRole(t *testing.T) {
	d, ctx := opened(t), t.Context()
	r, err := d.ServiceLinked(ctx, "AWSServiceRoleForX", "x.amazonaws.com", "")
	if err != nil || r.Path != "/aws-service-role/x.amazonaws.com/" || r.Service == "" {
		t.Fatalf("%+v, %v", r, err)
	}
	h := Holder{RoleHolder, r.Name}
	for _, err := range []error{
		d.DeleteRole(ctx, r.Name), d.SetTrust(ctx, r.Name, trustSelf), d.PutInline(ctx, h, "p", readAll), d.Attach(ctx, h, managed.Administrator), d.SetBoundary(ctx, h, managed.Administrator),
	} {
		refused(t, err, CodeUnmodifiable)
	}
	must(t, d.DeleteServiceLinked(ctx, r.Name))
}

// TestManagedPoliciesParse: all that come with the server are policies.
func TestManagedPoliciesParse(t *testing.T) {
	d := opened(t)
	for _, p := range managed.All() {
		if err := checkIdentityPolicy(p.Document); err != nil {
			t.Errorf("%s: %v", p.ARN, err)
		}
		if got, err := d.Version(t.Context(), p.ARN, ""); err != nil || got.Document != p.Document || p.Description == "" {
			t.Errorf("%s: %v", p.ARN, err)
		}
	}
	for _, name := range []string{
		"AdministratorAccess", "PowerUserAccess", "ReadOnlyAccess", "BedrockAgentCoreFullAccess", "AmazonBedrockFullAccess", "AmazonBedrockReadOnly",
		"service-role/AWSLambdaBasicExecutionRole", "AmazonS3FullAccess", "AmazonS3ReadOnlyAccess", "CloudWatchLogsFullAccess", "CloudWatchFullAccess", "IAMFullAccess",
		"SecretsManagerReadWrite", "AmazonCognitoPowerUser", "AmazonEC2ContainerRegistryFullAccess", "AmazonEC2ContainerRegistryPowerUser",
		"AmazonEC2ContainerRegistryReadOnly", "AWSXrayWriteOnlyAccess",
	} {
		if _, ok := managed.Find("arn:aws:iam::aws:policy/" + name); !ok {
			t.Errorf("there is no %s", name)
		}
	}
}
