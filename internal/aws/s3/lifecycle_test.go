package s3_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// TestLifecycle is none at first, what was put, and none once it was deleted; what is
// not done is refused.
func TestLifecycle(t *testing.T) {
	k := newKit(t).withBucket()
	ctx := t.Context()
	put := func(r ...types.LifecycleRule) error {
		_, err := k.PutBucketLifecycleConfiguration(ctx, &s3.PutBucketLifecycleConfigurationInput{
			Bucket: aws.String(bucket), LifecycleConfiguration: &types.BucketLifecycleConfiguration{Rules: r},
		})
		return err
	}
	get := func() ([]types.LifecycleRule, error) {
		out, err := k.GetBucketLifecycleConfiguration(ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: aws.String(bucket)})
		if err != nil {
			return nil, err
		}
		return out.Rules, nil
	}
	_, err := get()
	wantFault(t, err, 404, "NoSuchLifecycleConfiguration")
	days := func(n int32) *types.LifecycleExpiration { return &types.LifecycleExpiration{Days: &n} }
	on := types.ExpirationStatusEnabled
	if err := put(types.LifecycleRule{ID: aws.String("DeleteOldBuilds"), Status: on, Filter: &types.LifecycleRuleFilter{}, Expiration: days(7)},
		types.LifecycleRule{Status: types.ExpirationStatusDisabled, Filter: &types.LifecycleRuleFilter{Prefix: aws.String("logs/")}, Expiration: days(1)}); err != nil {
		t.Fatal(err)
	}
	rules := must(get())(t)
	if len(rules) != 2 || *rules[0].ID != "DeleteOldBuilds" || *rules[0].Expiration.Days != 7 || *rules[0].Filter.Prefix != "" || rules[0].Status != on ||
		*rules[1].ID != "rule-2" || *rules[1].Filter.Prefix != "logs/" || rules[1].Status != types.ExpirationStatusDisabled {
		t.Errorf("%+v", rules)
	}
	everything := &types.LifecycleRuleFilter{}
	for name, c := range map[string]struct {
		rule types.LifecycleRule
		code string
	}{
		"no days":      {types.LifecycleRule{Status: on, Filter: everything, Expiration: days(0)}, "InvalidArgument"},
		"no action":    {types.LifecycleRule{Status: on, Filter: everything}, "InvalidRequest"},
		"no filter":    {types.LifecycleRule{Status: on, Expiration: days(1)}, "MalformedXML"},
		"by a tag":     {types.LifecycleRule{Status: on, Filter: &types.LifecycleRuleFilter{Tag: &types.Tag{Key: aws.String("k"), Value: aws.String("v")}}, Expiration: days(1)}, "NotImplemented"},
		"to a class":   {types.LifecycleRule{Status: on, Filter: everything, Expiration: days(1), Transitions: []types.Transition{{Days: aws.Int32(1), StorageClass: types.TransitionStorageClassGlacier}}}, "NotImplemented"},
		"at a date":    {types.LifecycleRule{Status: on, Filter: everything, Expiration: &types.LifecycleExpiration{Date: aws.Time(time.Now())}}, "NotImplemented"},
		"of uploads":   {types.LifecycleRule{Status: on, Filter: everything, Expiration: days(1), AbortIncompleteMultipartUpload: &types.AbortIncompleteMultipartUpload{DaysAfterInitiation: aws.Int32(1)}}, "NotImplemented"},
		"old versions": {types.LifecycleRule{Status: on, Filter: everything, NoncurrentVersionExpiration: &types.NoncurrentVersionExpiration{NoncurrentDays: aws.Int32(1)}}, "NotImplemented"},
	} {
		t.Run(name, func(t *testing.T) { wantFault(t, put(c.rule), 400, c.code) })
	}
	if len(must(get())(t)) != 2 {
		t.Error("a refused rule changed the others")
	}
	must(k.DeleteBucketLifecycle(ctx, &s3.DeleteBucketLifecycleInput{Bucket: aws.String(bucket)}))(t)
	_, err = get()
	wantFault(t, err, 404, "NoSuchLifecycleConfiguration")
}
