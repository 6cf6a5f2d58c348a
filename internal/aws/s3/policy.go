package s3

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	model "github.com/outcrop/outcrop/internal/api/model/s3"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/auth/pin"
	"github.com/outcrop/outcrop/internal/auth/policy"
	"github.com/outcrop/outcrop/internal/fault"
)

// maxPolicy bounds a bucket's policy, in bytes (S3 guide, "Bucket policies").
const maxPolicy = 20 << 10

func malformedPolicy(format string, args ...any) error {
	return fault.BadRequest("MalformedPolicy", format, args...)
}

func noPolicy(bucket string) error {
	return notSet("NoSuchBucketPolicy", "The bucket policy does not exist", bucket)
}

// parsePolicy reads the policy of a bucket, which is about that bucket and what is in
// it.
func parsePolicy(text, bucket string) (*policy.Document, error) {
	switch {
	case len(text) > maxPolicy:
		return nil, fault.BadRequest("PolicyTooLarge", "Normalized policy document exceeds the maximum allowed size of %d bytes", maxPolicy)
	case !strings.HasPrefix(text, "{"):
		return nil, malformedPolicy("Policies must be valid JSON and the first byte must be '{'")
	}
	doc, err := policy.Parse([]byte(text), policy.Resource)
	if err != nil {
		return nil, malformedPolicy("%s", err.Error())
	}
	arn := "arn:aws:s3:::" + bucket
	for i := range doc.Statements {
		s := &doc.Statements[i]
		if !slices.ContainsFunc(s.Actions, func(a string) bool { return a == "*" || len(a) > 3 && strings.EqualFold(a[:3], "s3:") }) {
			return nil, malformedPolicy("Policy has invalid action")
		}
		for _, r := range s.Resources {
			if r != arn && !strings.HasPrefix(r, arn+"/") && !(r == arn+"*") {
				return nil, malformedPolicy("Policy has invalid resource: %q is neither %s nor in it", r, arn)
			}
		}
	}
	return doc, nil
}

// isPublic reports whether a policy lets in people whom nothing in it names (S3 guide,
// "The meaning of public").
func isPublic(doc *policy.Document) bool {
	return slices.ContainsFunc(doc.Statements, func(s policy.Statement) bool {
		everybody := s.NotPrincipal || slices.ContainsFunc(s.Principals, func(p policy.PrincipalName) bool { return p.Value == "*" })
		return !s.Deny && everybody && !slices.ContainsFunc(s.Conditions, narrows)
	})
}

// narrows reports whether a condition keeps a statement for everybody to some who are
// fixed.
func narrows(c policy.Condition) bool {
	fixed := !slices.ContainsFunc(c.Values, func(v string) bool { return strings.ContainsAny(v, "*?") || strings.Contains(v, "${") })
	switch strings.TrimPrefix(strings.ToLower(c.Operator), "foranyvalue:") {
	case "stringequals", "stringequalsignorecase", "stringlike", "arnequals", "arnlike", "ipaddress":
	default:
		return false // it holds for others than those who are named: Null, IfExists, ForAllValues
	}
	if !fixed {
		return false
	}
	switch strings.ToLower(c.Key) {
	case "aws:sourceip":
		return !slices.ContainsFunc(c.Values, func(v string) bool { return strings.HasSuffix(v, "/0") })
	case "aws:sourcearn", "aws:sourcevpc", "aws:sourcevpce", "aws:sourceowner", "aws:sourceaccount", "aws:userid", "aws:principalorgid",
		"aws:principalaccount", "aws:principalarn":
		return true
	}
	return false
}

// PutBucketPolicy attaches a policy to a bucket, in place of an older one.
func (s *Service) PutBucketPolicy(ctx context.Context, in *model.PutBucketPolicyRequest) (*model.Nothing, error) {
	c, b, err := s.bucket(ctx, in.Bucket, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	doc, err := parsePolicy(wire.Text(in.Policy), b.Name)
	if err != nil {
		return nil, err
	}
	pins, err := pin.Take(ctx, s.directory, doc)
	if unknown, ok := errors.AsType[*pin.UnknownError](err); ok {
		return nil, malformedPolicy("Invalid principal in policy: %s", unknown.Error())
	}
	if err != nil {
		return nil, err
	}
	if b.PublicAccess != nil && b.PublicAccess.BlockPolicy && isPublic(doc) {
		return nil, fault.New("AccessDenied", http.StatusForbidden,
			"The policy lets in everybody, and public policies are prevented by the BlockPublicPolicy setting of the bucket's public access block. Name those whom it is for")
	}
	return &model.Nothing{}, s.objects.SetPolicy(ctx, c.account, b.Name, wire.Text(in.Policy), pins)
}

// GetBucketPolicy returns the policy of a bucket, or that it has none.
func (s *Service) GetBucketPolicy(ctx context.Context, in *model.GetBucketPolicyRequest) (*model.GetBucketPolicyOutput, error) {
	_, b, err := s.bucket(ctx, in.Bucket, in.ExpectedBucketOwner)
	if err == nil && b.Policy == "" {
		err = noPolicy(b.Name)
	}
	if err != nil {
		return nil, err
	}
	text, err := b.Pins.Text(ctx, s.directory, b.Policy)
	return &model.GetBucketPolicyOutput{Policy: &text}, err
}

// GetBucketPolicyStatus returns whether the policy of a bucket is for everybody. Nobody
// is served without a signature, whatever it says.
func (s *Service) GetBucketPolicyStatus(ctx context.Context, in *model.GetBucketPolicyStatusRequest) (*model.GetBucketPolicyStatusOutput, error) {
	_, b, err := s.bucket(ctx, in.Bucket, in.ExpectedBucketOwner)
	if err == nil && b.Policy == "" {
		err = noPolicy(b.Name)
	}
	if err != nil {
		return nil, err
	}
	doc, err := policy.Parse([]byte(b.Policy), policy.Resource)
	if err != nil {
		return nil, err
	}
	return &model.GetBucketPolicyStatusOutput{PolicyStatus: &model.PolicyStatus{IsPublic: new(isPublic(doc))}}, nil
}

// DeleteBucketPolicy takes the policy of a bucket away, whether it had one or not.
func (s *Service) DeleteBucketPolicy(ctx context.Context, in *model.DeleteBucketPolicyRequest) (*model.Nothing, error) {
	c, err := begin(ctx, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	return &model.Nothing{}, s.objects.SetPolicy(ctx, c.account, wire.Text(in.Bucket), "", nil)
}
