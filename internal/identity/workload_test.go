package identity_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	data "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"

	"github.com/outcrop/outcrop/internal/auth/jwt"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/workload"
)

func TestWorkloadIdentity(t *testing.T) {
	k := newKit(t, nil)
	ctx, name := t.Context(), aws.String("desk")
	made, err := k.control.CreateWorkloadIdentity(ctx, &control.CreateWorkloadIdentityInput{
		Name: name, AllowedResourceOauth2ReturnUrls: []string{"https://app/back"}, Tags: map[string]string{"team": "a"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := "arn:aws:bedrock-agentcore:us-west-2:111122223333:workload-identity-directory/default/workload-identity/desk"; *made.WorkloadIdentityArn != want {
		t.Errorf("%s, want %s", *made.WorkloadIdentityArn, want)
	}
	_, err = k.control.CreateWorkloadIdentity(ctx, &control.CreateWorkloadIdentityInput{Name: name})
	k.refused(err, "ValidationException", "'desk' already exists")
	_, err = k.control.CreateWorkloadIdentity(ctx, &control.CreateWorkloadIdentityInput{Name: aws.String("evil"), AllowedResourceOauth2ReturnUrls: []string{"javascript:alert(1)"}})
	k.refused(err, "ValidationException", "javascript")

	got, err := k.control.GetWorkloadIdentity(ctx, &control.GetWorkloadIdentityInput{Name: name})
	if err != nil || !slices.Equal(got.AllowedResourceOauth2ReturnUrls, []string{"https://app/back"}) || got.CreatedTime == nil || time.Since(*got.CreatedTime) > time.Minute {
		t.Fatalf("%+v, %v", got, err)
	}
	if _, err := k.control.UpdateWorkloadIdentity(ctx, &control.UpdateWorkloadIdentityInput{Name: name}); err != nil {
		t.Fatal(err)
	}
	got, err = k.control.GetWorkloadIdentity(ctx, &control.GetWorkloadIdentityInput{Name: name})
	if err != nil || len(got.AllowedResourceOauth2ReturnUrls) != 0 {
		t.Errorf("an omitted list is not an empty one: %+v, %v", got, err)
	}
	tags, err := k.control.ListTagsForResource(ctx, &control.ListTagsForResourceInput{ResourceArn: made.WorkloadIdentityArn})
	if err != nil || tags.Tags["team"] != "a" {
		t.Errorf("%+v, %v", tags, err)
	}

	for i := range 4 {
		if _, err := k.control.CreateWorkloadIdentity(ctx, &control.CreateWorkloadIdentityInput{Name: aws.String(fmt.Sprint("more", i))}); err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	pages := control.NewListWorkloadIdentitiesPaginator(k.control, &control.ListWorkloadIdentitiesInput{MaxResults: aws.Int32(2)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range page.WorkloadIdentities {
			names = append(names, *i.Name)
		}
	}
	if !slices.Equal(names, []string{"desk", "more0", "more1", "more2", "more3"}) {
		t.Errorf("listed %v", names)
	}
	if _, err := k.control.DeleteWorkloadIdentity(ctx, &control.DeleteWorkloadIdentityInput{Name: name}); err != nil {
		t.Fatal(err)
	}
	_, err = k.control.GetWorkloadIdentity(ctx, &control.GetWorkloadIdentityInput{Name: name})
	k.refused(err, "ResourceNotFoundException", "desk")
	_, err = k.control.DeleteWorkloadIdentity(ctx, &control.DeleteWorkloadIdentityInput{Name: name})
	k.refused(err, "ResourceNotFoundException", "desk")
}

func TestWorkloadAccessToken(t *testing.T) {
	ends := time.Now().Add(10 * time.Minute).Truncate(time.Second).UTC()
	k := newKit(t, users{"a.b.c": {Issuer: "https://issuer", Subject: "ann", Expires: ends}, "no.b.c": {Issuer: "https://issuer", Expires: ends}})
	ctx, name := t.Context(), aws.String("desk")
	_, err := k.data.GetWorkloadAccessToken(ctx, &data.GetWorkloadAccessTokenInput{WorkloadName: name})
	k.refused(err, "ResourceNotFoundException", "desk")
	if _, err := k.control.CreateWorkloadIdentity(ctx, &control.CreateWorkloadIdentityInput{Name: name}); err != nil {
		t.Fatal(err)
	}
	open := func(token *string, err error) workload.Claims {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		c, err := k.tokens.Open(ctx, *token)
		if err != nil || c.Scope != scope || c.Workload != "desk" || c.Host != "" {
			t.Fatalf("%+v, %v", c, err)
		}
		return c
	}
	for0, err := k.data.GetWorkloadAccessToken(ctx, &data.GetWorkloadAccessTokenInput{WorkloadName: name})
	if c := open(for0.WorkloadAccessToken, err); c.User != (workload.User{}) {
		t.Errorf("for nobody: %+v", c.User)
	}
	forID, err := k.data.GetWorkloadAccessTokenForUserId(ctx, &data.GetWorkloadAccessTokenForUserIdInput{WorkloadName: name, UserId: aws.String("ann")})
	if c := open(forID.WorkloadAccessToken, err); c.User != (workload.User{Kind: workload.ByID, Name: "ann"}) {
		t.Errorf("for an id: %+v", c.User)
	}
	forJWT, err := k.data.GetWorkloadAccessTokenForJWT(ctx, &data.GetWorkloadAccessTokenForJWTInput{WorkloadName: name, UserToken: aws.String("a.b.c")})
	c := open(forJWT.WorkloadAccessToken, err)
	if c.User != (workload.User{Kind: workload.ByJWT, Issuer: "https://issuer", Name: "ann"}) || c.JWT.Reveal() != "a.b.c" || !c.Expires.Equal(ends) {
		t.Errorf("for a JWT: %+v", c)
	}
	_, err = k.data.GetWorkloadAccessTokenForJWT(ctx, &data.GetWorkloadAccessTokenForJWTInput{WorkloadName: name, UserToken: aws.String("x.y.z")})
	k.refused(err, "UnauthorizedException", string(jwt.BadSignature))
	_, err = k.data.GetWorkloadAccessTokenForJWT(ctx, &data.GetWorkloadAccessTokenForJWTInput{WorkloadName: name, UserToken: aws.String("no.b.c")})
	k.refused(err, "ValidationException", "names no subject")
}

// TestLinkedIdentity: that of a runtime goes with it, and only the platform gets its
// tokens.
func TestLinkedIdentity(t *testing.T) {
	k := newKit(t, nil)
	ctx, name := t.Context(), aws.String("agent-AbCdEfGh12")
	err := k.store.Update(ctx, func(tx store.Tx) error {
		_, err := workload.Create(tx, workload.Identity{Scope: scope, Name: *name, Host: "arn:aws:bedrock-agentcore:us-west-2:111122223333:runtime/" + *name})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	const linked = "WorkloadIdentity is linked to a service and cannot retrieve an access token by the caller"
	_, err = k.data.GetWorkloadAccessToken(ctx, &data.GetWorkloadAccessTokenInput{WorkloadName: name})
	_, err2 := k.data.GetWorkloadAccessTokenForUserId(ctx, &data.GetWorkloadAccessTokenForUserIdInput{WorkloadName: name, UserId: aws.String("ann")})
	_, err3 := k.data.GetWorkloadAccessTokenForJWT(ctx, &data.GetWorkloadAccessTokenForJWTInput{WorkloadName: name, UserToken: aws.String("a.b.c")})
	for _, err := range []error{err, err2, err3} {
		k.refused(err, "AccessDeniedException", linked)
	}
	_, err = k.control.DeleteWorkloadIdentity(ctx, &control.DeleteWorkloadIdentityInput{Name: name})
	k.refused(err, "ValidationException", "is linked to arn:aws:bedrock-agentcore")
	if _, err := k.control.UpdateWorkloadIdentity(ctx, &control.UpdateWorkloadIdentityInput{Name: name, AllowedResourceOauth2ReturnUrls: []string{"http://localhost:8081/oauth2/callback"}}); err != nil {
		t.Error(errors.Join(errors.New("its URLs may be changed"), err))
	}
}
