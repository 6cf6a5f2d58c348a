package s3

import (
	"context"
	"fmt"

	model "github.com/outcrop/outcrop/internal/api/model/s3"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/object"
)

// sizes is S3's default of what transitions look at. There are no transitions here,
// but clients read it.
const sizes = "all_storage_classes_128K"

// PutBucketLifecycleConfiguration keeps rules by which objects go after some days.
// What else a rule can do is refused by name.
func (s *Service) PutBucketLifecycleConfiguration(ctx context.Context, in *model.PutBucketLifecycleConfigurationRequest) (*model.PutBucketLifecycleConfigurationOutput, error) {
	c, err := begin(ctx, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	if in.LifecycleConfiguration == nil || len(in.LifecycleConfiguration.Rules) == 0 {
		return nil, malformedXML()
	}
	var rules []object.LifecycleRule
	for i := range in.LifecycleConfiguration.Rules {
		rule, err := lifecycleRule(&in.LifecycleConfiguration.Rules[i], i)
		if err != nil {
			return nil, err
		}
		rules = append(rules, rule)
	}
	return &model.PutBucketLifecycleConfigurationOutput{TransitionDefaultMinimumObjectSize: new(sizes)}, s.objects.SetLifecycle(ctx, c.account, wire.Text(in.Bucket), rules)
}

// lifecycleRule reads the i-th rule of a configuration.
func lifecycleRule(r *model.LifecycleRule, i int) (object.LifecycleRule, error) {
	rule := object.LifecycleRule{ID: wire.Text(r.ID), Disabled: wire.Text(r.Status) == "Disabled", Prefix: wire.Text(r.Prefix)}
	if f := r.Filter; f != nil {
		rule.Prefix = wire.Text(f.Prefix)
		if f.And != nil || f.Tag != nil || f.ObjectSizeGreaterThan != nil || f.ObjectSizeLessThan != nil {
			return rule, notImplemented("Filter", "lifecycle rules choose objects by their prefix alone")
		}
	}
	const onlyDays = "lifecycle rules remove objects after some days, and do nothing else"
	switch {
	case r.Status == nil || *r.Status != "Enabled" && *r.Status != "Disabled", r.Filter != nil && r.Prefix != nil, r.Filter == nil && r.Prefix == nil:
		return rule, malformedXML()
	case len(r.Transitions) > 0:
		return rule, notImplemented("Transition", onlyDays)
	case len(r.NoncurrentVersionTransitions) > 0:
		return rule, notImplemented("NoncurrentVersionTransition", onlyDays)
	case r.NoncurrentVersionExpiration != nil:
		return rule, notImplemented("NoncurrentVersionExpiration", onlyDays)
	case r.AbortIncompleteMultipartUpload != nil:
		return rule, notImplemented("AbortIncompleteMultipartUpload", fmt.Sprintf("idle uploads are aborted after %.0f days in every bucket", object.UploadLife.Hours()/24))
	case r.Expiration == nil:
		return rule, invalidRequest("At least one action needs to be specified in a rule")
	case r.Expiration.Date != nil:
		return rule, notImplemented("Expiration.Date", onlyDays)
	case r.Expiration.ExpiredObjectDeleteMarker != nil:
		return rule, notImplemented("Expiration.ExpiredObjectDeleteMarker", onlyDays)
	case r.Expiration.Days == nil:
		return rule, malformedXML()
	}
	rule.Days = int(*r.Expiration.Days)
	if rule.ID == "" {
		rule.ID = fmt.Sprintf("rule-%d", i+1)
	}
	return rule, nil
}

// GetBucketLifecycleConfiguration returns the rules of a bucket.
func (s *Service) GetBucketLifecycleConfiguration(ctx context.Context, in *model.GetBucketLifecycleConfigurationRequest) (*model.GetBucketLifecycleConfigurationOutput, error) {
	_, b, err := s.bucket(ctx, in.Bucket, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	if len(b.Lifecycle) == 0 {
		return nil, notSet("NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist", b.Name)
	}
	out := &model.GetBucketLifecycleConfigurationOutput{TransitionDefaultMinimumObjectSize: new(sizes)}
	for _, r := range b.Lifecycle {
		status := "Enabled"
		if r.Disabled {
			status = "Disabled"
		}
		out.Rules = append(out.Rules, model.LifecycleRule{
			ID: &r.ID, Status: &status, Filter: &model.LifecycleRuleFilter{Prefix: &r.Prefix}, Expiration: &model.LifecycleExpiration{Days: new(int32(r.Days))},
		})
	}
	return out, nil
}

// DeleteBucketLifecycle removes the rules of a bucket, if it has any.
func (s *Service) DeleteBucketLifecycle(ctx context.Context, in *model.DeleteBucketLifecycleRequest) (*model.Nothing, error) {
	c, err := begin(ctx, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	return &model.Nothing{}, s.objects.SetLifecycle(ctx, c.account, wire.Text(in.Bucket), nil)
}
