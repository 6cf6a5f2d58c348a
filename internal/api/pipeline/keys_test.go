package pipeline

import (
	"encoding/base64"
	"maps"
	"slices"
	"testing"

	"github.com/outcrop/outcrop/internal/api/model/agentcore"
	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/model/s3"
	"github.com/outcrop/outcrop/internal/api/schema"
)

// TestConditionKeys: what the table names is read from the input, and nothing else.
func TestConditionKeys(t *testing.T) {
	control := &agentcorecontrol.Service
	const passed, claim = "bedrock-agentcore.amazonaws.com", "bedrock-agentcore:inboundjwtclaim/"
	jwt := func(claims string) string {
		part := base64.RawURLEncoding.EncodeToString
		return part([]byte(`{"alg":"ES256"}`)) + "." + part([]byte(claims)) + ".AAAA"
	}
	token := jwt(`{"iss":"https://issuer","sub":"ann","aud":["a","b"],"scope":"read write","client_id":"app","exp":4102444800,"team":"x"}`)
	bare, twice := jwt(`{"iss":"https://issuer","exp":4102444800}`), jwt(`{"iss":"https://issuer","iss":"https://other","exp":4102444800}`)
	for _, tt := range []struct {
		name string
		svc  *schema.Service
		op   string
		in   any
		want map[string][]string
	}{
		{"little", control, "CreateAgentRuntime", &agentcorecontrol.CreateAgentRuntimeRequest{}, map[string][]string{
			"token": {"t"}, "iam:passedtoservice": {passed}, "bedrock-agentcore:runtimeauthorizertype": {"AWS_IAM"},
		}},
		{"all", control, "CreateAgentRuntime", &agentcorecontrol.CreateAgentRuntimeRequest{
			Tags:                    map[string]string{"Team": "a", "team": "b", "stage": ""},
			AuthorizerConfiguration: &agentcorecontrol.AuthorizerConfiguration{},
			NetworkConfiguration: &agentcorecontrol.NetworkConfiguration{NetworkModeConfig: &agentcorecontrol.VpcConfig{
				Subnets: []string{"subnet-1", "subnet-2"}, SecurityGroups: []string{"sg-1"},
			}},
		}, map[string][]string{
			"token": {"t"}, "iam:passedtoservice": {passed}, "bedrock-agentcore:runtimeauthorizertype": {"CUSTOM_JWT"},
			"aws:requesttag/team": {"a", "b"}, "aws:requesttag/stage": {""}, "aws:tagkeys": {"Team", "stage", "team"},
			"bedrock-agentcore:subnets": {"subnet-1", "subnet-2"}, "bedrock-agentcore:securitygroups": {"sg-1"},
		}},
		{"untag", control, "UntagResource", &agentcorecontrol.UntagResourceRequest{TagKeys: []string{"a", "b"}}, map[string][]string{
			"token": {"t"}, "aws:tagkeys": {"a", "b"},
		}},
		{"list", &s3.Service, "ListObjectsV2", &s3.ListObjectsV2Request{Prefix: str("home/"), MaxKeys: new(int32(7))}, map[string][]string{
			"token": {"t"}, "s3:prefix": {"home/"}, "s3:max-keys": {"7"},
		}},
		{"tag a bucket", &s3.Service, "PutBucketTagging", &s3.PutBucketTaggingRequest{Tagging: &s3.Tagging{TagSet: []s3.Tag{{Key: str("k"), Value: str("v")}}}}, map[string][]string{
			"token": {"t"}, "aws:requesttag/k": {"v"}, "aws:tagkeys": {"k"},
		}},
		{"a user's token", &agentcore.Service, "GetWorkloadAccessTokenForJWT", &agentcore.GetWorkloadAccessTokenForJWTRequest{WorkloadName: str("w"), UserToken: &token}, map[string][]string{
			"token": {"t"}, claim + "iss": {"https://issuer"}, claim + "sub": {"ann"}, claim + "aud": {"a", "b"}, claim + "scope": {"read", "write"}, claim + "client_id": {"app"},
		}},
		{"a user's token, below", &agentcore.Service, "CompleteResourceTokenAuth", &agentcore.CompleteResourceTokenAuthRequest{UserIdentifier: &agentcore.UserIdentifier{UserToken: &bare}}, map[string][]string{
			"token": {"t"}, claim + "iss": {"https://issuer"},
		}},
		{"a user's id", &agentcore.Service, "CompleteResourceTokenAuth", &agentcore.CompleteResourceTokenAuthRequest{UserIdentifier: &agentcore.UserIdentifier{UserId: str("ann")}}, map[string][]string{
			"token": {"t"}, "bedrock-agentcore:userid": {"ann"},
		}},
		{"no token", &agentcore.Service, "GetWorkloadAccessTokenForJWT", &agentcore.GetWorkloadAccessTokenForJWTRequest{UserToken: str("a.b.c")}, map[string][]string{"token": {"t"}}},
		{"a token of one name twice", &agentcore.Service, "GetWorkloadAccessTokenForJWT", &agentcore.GetWorkloadAccessTokenForJWTRequest{UserToken: &twice}, map[string][]string{"token": {"t"}}},
	} {
		have := map[string][]string{"token": {"t"}}
		got := conditionKeys(tt.svc, tt.svc.Operation(tt.op), tt.in, have)
		if !maps.EqualFunc(got, tt.want, slices.Equal) || len(have) != 1 {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
