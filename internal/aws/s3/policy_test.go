package s3_test

import (
	"context"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// statement is one of a bucket's policy that is about what is in the bucket.
func statement(effect, principal, more string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"` + effect + `","Principal":` + principal + `,"Action":"s3:GetObject","Resource":"arn:aws:s3:::` + bucket + `/*"` + more + `}]}`
}

// TestBucketPolicy puts a policy, reads it as it was written, and takes it away twice.
func TestBucketPolicy(t *testing.T) {
	k := newKit(t).withBucket()
	ctx := t.Context()
	get := func() (*s3.GetBucketPolicyOutput, error) {
		return k.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: aws.String(bucket)})
	}
	status := func() (*s3.GetBucketPolicyStatusOutput, error) {
		return k.GetBucketPolicyStatus(ctx, &s3.GetBucketPolicyStatusInput{Bucket: aws.String(bucket)})
	}
	_, err := get()
	wantFault(t, err, 404, "NoSuchBucketPolicy")
	_, err = status()
	wantFault(t, err, 404, "NoSuchBucketPolicy")
	text := statement("Deny", `"*"`, `,"Condition":{"Bool":{"aws:SecureTransport":"false"}}`)
	must(k.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: aws.String(bucket), Policy: &text}))(t)
	if got := must(get())(t); aws.ToString(got.Policy) != text {
		t.Errorf("the policy is %s", aws.ToString(got.Policy))
	}
	if got := must(status())(t); *got.PolicyStatus.IsPublic {
		t.Error("a Deny is public")
	}
	for range 2 {
		must(k.DeleteBucketPolicy(ctx, &s3.DeleteBucketPolicyInput{Bucket: aws.String(bucket)}))(t)
	}
	_, err = get()
	wantFault(t, err, 404, "NoSuchBucketPolicy")
}

// TestBucketPolicyRefused is what is no policy of this bucket.
func TestBucketPolicyRefused(t *testing.T) {
	k := newKit(t).withBucket()
	good := statement("Allow", `{"AWS":"arn:aws:iam::111122223333:root"}`, "")
	for name, c := range map[string]struct{ text, code string }{
		"no JSON":           {"x", "MalformedPolicy"},
		"a list":            {"[]", "MalformedPolicy"},
		"another bucket":    {strings.Replace(good, bucket, "other", 1), "MalformedPolicy"},
		"a longer name":     {strings.Replace(good, bucket+"/*", bucket+"s/*", 1), "MalformedPolicy"},
		"another's action":  {strings.Replace(good, "s3:GetObject", "iam:GetRole", 1), "MalformedPolicy"},
		"nobody":            {strings.Replace(good, `"Principal":{"AWS":"arn:aws:iam::111122223333:root"},`, "", 1), "MalformedPolicy"},
		"too large":         {strings.Replace(good, `{"Version"`, `{"Id":"`+strings.Repeat("x", 20<<10)+`","Version"`, 1), "PolicyTooLarge"},
		"everybody":         {statement("Allow", `"*"`, ""), "AccessDenied"},
		"everybody on IPv4": {statement("Allow", `{"AWS":"*"}`, `,"Condition":{"IpAddress":{"aws:SourceIp":"0.0.0.0/0"}}`), "AccessDenied"},
		"any organisation":  {statement("Allow", `"*"`, `,"Condition":{"StringLike":{"aws:PrincipalOrgID":"o-*"}}`), "AccessDenied"},
	} {
		_, err := k.PutBucketPolicy(t.Context(), &s3.PutBucketPolicyInput{Bucket: aws.String(bucket), Policy: &c.text})
		status := 400
		if c.code == "AccessDenied" {
			status = 403
		}
		t.Run(name, func(t *testing.T) { wantFault(t, err, status, c.code) })
	}
}

// TestPublicPolicy: without the block a policy for everybody is kept and said to be one;
// nobody is served without a signature by it.
func TestPublicPolicy(t *testing.T) {
	k := newKit(t).withBucket()
	ctx := context.Context(t.Context())
	must(k.PutPublicAccessBlock(ctx, &s3.PutPublicAccessBlockInput{Bucket: aws.String(bucket), PublicAccessBlockConfiguration: &types.PublicAccessBlockConfiguration{}}))(t)
	for _, c := range []struct {
		text   string
		public bool
	}{
		{statement("Allow", `"*"`, ""), true},
		{statement("Allow", `"*"`, `,"Condition":{"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}}`), false},
		{statement("Allow", `"*"`, `,"Condition":{"StringEquals":{"aws:PrincipalAccount":"111122223333"}}`), false},
		{statement("Allow", `"*"`, `,"Condition":{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::111122223333:role/app"}}`), false},
		{statement("Allow", `"*"`, `,"Condition":{"ForAnyValue:StringEqualsIgnoreCase":{"aws:PrincipalAccount":"111122223333"}}`), false},
		{statement("Allow", `"*"`, `,"Condition":{"Null":{"aws:PrincipalArn":"false"}}`), true},
		{statement("Allow", `"*"`, `,"Condition":{"NumericGreaterThan":{"aws:PrincipalAccount":"1"}}`), true},
		{statement("Allow", `"*"`, `,"Condition":{"StringNotEquals":{"aws:PrincipalAccount":"111122223333"}}`), true},
		{statement("Allow", `"*"`, `,"Condition":{"StringEqualsIfExists":{"aws:PrincipalAccount":"111122223333"}}`), true},
	} {
		must(k.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: aws.String(bucket), Policy: &c.text}))(t)
		got := must(k.GetBucketPolicyStatus(ctx, &s3.GetBucketPolicyStatusInput{Bucket: aws.String(bucket)}))(t)
		if *got.PolicyStatus.IsPublic != c.public {
			t.Errorf("%s: public is %v", c.text, !c.public)
		}
	}
}
