package runtime_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"

	"github.com/outcrop/outcrop/internal/runtime/runtimetest"
)

func (k kit) tags(arn string) map[string]string {
	k.Helper()
	out, err := k.Control.ListTagsForResource(k.Context(), &control.ListTagsForResourceInput{ResourceArn: &arn})
	if err != nil {
		k.Fatal(err)
	}
	return out.Tags
}

// TestTags of everything of this service that has some.
func TestTags(t *testing.T) {
	k := newKit(t, runtimetest.Options{})
	in := create("tagged")
	in.Tags = map[string]string{"team": "a", "stage": "dev"}
	made, err := k.Control.CreateAgentRuntime(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	id := *made.AgentRuntimeId
	k.settled(id)
	if _, err := k.Control.CreateAgentRuntimeEndpoint(t.Context(), &control.CreateAgentRuntimeEndpointInput{
		AgentRuntimeId: &id, Name: aws.String("prod"), Tags: map[string]string{"team": "a", "stage": "dev"}}); err != nil {
		t.Fatal(err)
	}
	k.rolled(id, "prod")
	_, provider := k.provider("pool")
	for _, name := range []string{arn(id), arn(id) + "/runtime-endpoint/prod", provider} {
		if _, err := k.Control.TagResource(t.Context(), &control.TagResourceInput{ResourceArn: &name, Tags: map[string]string{"team": "b", "cost": ""}}); err != nil {
			t.Fatal(err)
		}
		if _, err := k.Control.UntagResource(t.Context(), &control.UntagResourceInput{ResourceArn: &name, TagKeys: []string{"stage", "never there"}}); err != nil {
			t.Fatal(err)
		}
		if got, want := k.tags(name), map[string]string{"team": "b", "cost": ""}; !maps.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	if got := k.tags(arn(id) + "/runtime-endpoint/DEFAULT"); len(got) != 0 {
		t.Errorf("DEFAULT has %v", got)
	}
	tag := func(arn string, tags map[string]string) error {
		_, err := k.Control.TagResource(t.Context(), &control.TagResourceInput{ResourceArn: &arn, Tags: tags})
		return err
	}
	for _, name := range []string{arn("nobody-0123456789"), arn(id) + "/runtime-endpoint/test", arn(id) + "/endpoint/prod",
		"arn:aws:bedrock-agentcore:us-west-2:111122223333:memory/m-0123456789", strings.Replace(arn(id), "us-west-2", "eu-west-1", 1)} {
		k.refused(tag(name, map[string]string{"a": "b"}), "ResourceNotFoundException", "found")
	}
	k.refused(tag(arn(id), map[string]string{"AWS:x": "b"}), "ValidationException", "The tag key 'AWS:x' is reserved")
	k.refused(tag(arn(id), map[string]string{"outcrop:snapshot": "sometimes"}), "ValidationException", "outcrop:snapshot must be on, off or safe")
	many := map[string]string{}
	for i := range 49 {
		many["k"+strings.Repeat("x", i)] = "v"
	}
	k.refused(tag(arn(id), many), "ServiceQuotaExceededException", "would have 51 tags; it may have at most 50")
}

// TestPolicies are kept for a runtime and an endpoint, and go with them.
func TestPolicies(t *testing.T) {
	k := newKit(t, runtimetest.Options{})
	id := k.created("shared")
	if _, err := k.endpoint(id, "prod", ""); err != nil {
		t.Fatal(err)
	}
	k.rolled(id, "prod")
	put := func(arn, policy string) error {
		_, err := k.Control.PutResourcePolicy(t.Context(), &control.PutResourcePolicyInput{ResourceArn: &arn, Policy: &policy})
		return err
	}
	get := func(arn string) *string {
		out, err := k.Control.GetResourcePolicy(t.Context(), &control.GetResourcePolicyInput{ResourceArn: &arn})
		if err != nil {
			t.Fatal(err)
		}
		return out.Policy
	}
	remove := func(arn string) error {
		_, err := k.Control.DeleteResourcePolicy(t.Context(), &control.DeleteResourcePolicyInput{ResourceArn: &arn})
		return err
	}
	allow := func(arn string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"bedrock-agentcore:InvokeAgentRuntime","Resource":"` + arn + `"}]}`
	}
	prod := arn(id) + "/runtime-endpoint/prod"
	for _, name := range []string{arn(id), prod} {
		if got := get(name); got != nil {
			t.Errorf("%s has %s", name, *got)
		}
		k.refused(remove(name), "ResourceNotFoundException", "There is no resource policy for '"+name+"'")
		if err := put(name, allow(name)); err != nil {
			t.Fatal(err)
		}
		if got := aws.ToString(get(name)); got != allow(name) {
			t.Errorf("%s has %s", name, got)
		}
	}
	k.refused(put(arn(id), allow("*")), "ValidationException", "must be exactly '"+arn(id)+"'")
	k.refused(put(prod, allow(arn(id))), "ValidationException", "must be exactly '"+prod+"'")
	if err := put(arn(id), strings.Replace(allow(arn(id)), "Allow", "Deny", 1)); err != nil {
		t.Errorf("a policy that denies: %v", err)
	}
	k.refused(put(arn("nobody-0123456789"), allow(arn("nobody-0123456789"))), "ResourceNotFoundException", "No agent runtime found")
	_, provider := k.provider("pool")
	k.refused(put(provider, allow(provider)), "ValidationException", "takes no resource policy")
	if err := remove(arn(id)); err != nil {
		t.Error(err)
	}
	if _, err := k.Control.DeleteAgentRuntimeEndpoint(t.Context(), &control.DeleteAgentRuntimeEndpointInput{AgentRuntimeId: &id, EndpointName: aws.String("prod")}); err != nil {
		t.Fatal(err)
	}
	k.without(id, "prod")
	if _, err := k.endpoint(id, "prod", ""); err != nil {
		t.Fatal(err)
	}
	if got := get(prod); got != nil {
		t.Errorf("a new endpoint of the same name has the old one's policy: %s", *got)
	}
}
