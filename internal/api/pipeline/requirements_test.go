package pipeline

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/api/model/agentcore"
	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/model/s3"
	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/store"
)

// TestRequirements is the golden table of what calls ask to be allowed.
func TestRequirements(t *testing.T) {
	const (
		bare  = "hello-AbCdEfGh12"
		other = "arn:aws:bedrock-agentcore:eu-west-1:444455556666:runtime/theirs-AbCdEfGh12"
		role  = "arn:aws:iam::111122223333:role/agent"
	)
	control, data := &agentcorecontrol.Service, &agentcore.Service
	cases := []struct {
		name string
		svc  *schema.Service
		op   string
		in   any
	}{
		{"create", control, "CreateAgentRuntime", &agentcorecontrol.CreateAgentRuntimeRequest{RoleArn: str(role)}},
		{"create, role is no ARN", control, "CreateAgentRuntime", &agentcorecontrol.CreateAgentRuntimeRequest{RoleArn: str("agent")}},
		{"create, no role", control, "CreateAgentRuntime", &agentcorecontrol.CreateAgentRuntimeRequest{}},
		{"create, of a zip", control, "CreateAgentRuntime", &agentcorecontrol.CreateAgentRuntimeRequest{RoleArn: str(role), AgentRuntimeArtifact: zipped("b", "a/b c.zip", nil)}},
		{"create, of a version of a zip", control, "CreateAgentRuntime", &agentcorecontrol.CreateAgentRuntimeRequest{RoleArn: str(role), AgentRuntimeArtifact: zipped("b", "a.zip", str("v1"))}},
		{"create, of an image", control, "CreateAgentRuntime", &agentcorecontrol.CreateAgentRuntimeRequest{RoleArn: str(role), AgentRuntimeArtifact: &agentcorecontrol.AgentRuntimeArtifact{ContainerConfiguration: &agentcorecontrol.ContainerConfiguration{ContainerUri: str("b/a")}}}},
		{"update, of a zip called like an ARN", control, "UpdateAgentRuntime", &agentcorecontrol.UpdateAgentRuntimeRequest{AgentRuntimeId: str(bare), RoleArn: str(role), AgentRuntimeArtifact: zipped("b", "arn:aws:s3:::other/k", nil)}},
		{"update", control, "UpdateAgentRuntime", &agentcorecontrol.UpdateAgentRuntimeRequest{AgentRuntimeId: str(bare), RoleArn: str(role)}},
		{"get", control, "GetAgentRuntime", &agentcorecontrol.GetAgentRuntimeRequest{AgentRuntimeId: str(bare)}},
		{"get, an id that is an ARN", control, "GetAgentRuntime", &agentcorecontrol.GetAgentRuntimeRequest{AgentRuntimeId: str(other)}},
		{"get, an id that is a template", control, "GetAgentRuntime", &agentcorecontrol.GetAgentRuntimeRequest{AgentRuntimeId: str("{account}")}},
		{"get, an id that is a pattern", control, "GetAgentRuntime", &agentcorecontrol.GetAgentRuntimeRequest{AgentRuntimeId: str("*")}},
		{"list", control, "ListAgentRuntimes", &agentcorecontrol.ListAgentRuntimesRequest{}},
		{"tags", control, "ListTagsForResource", &agentcorecontrol.ListTagsForResourceRequest{ResourceArn: str(other)}},
		{"tags of nothing", control, "ListTagsForResource", &agentcorecontrol.ListTagsForResourceRequest{ResourceArn: str("arn:aws:x")}},
		{"invoke", data, "InvokeAgentRuntime", &agentcore.InvokeAgentRuntimeRequest{AgentRuntimeArn: str(testARN)}},
		{"invoke, no partition", data, "InvokeAgentRuntime", &agentcore.InvokeAgentRuntimeRequest{AgentRuntimeArn: str(strings.Replace(testARN, ":aws:", "::", 1))}},
		{"invoke by id", data, "InvokeAgentRuntime", &agentcore.InvokeAgentRuntimeRequest{AgentRuntimeArn: str(bare)}},
		{"invoke an endpoint", data, "InvokeAgentRuntime", &agentcore.InvokeAgentRuntimeRequest{AgentRuntimeArn: str(bare), Qualifier: str("prod")}},
		{"invoke an endpoint that is an ARN", data, "InvokeAgentRuntime", &agentcore.InvokeAgentRuntimeRequest{AgentRuntimeArn: str(testARN), Qualifier: str(other)}},
		{"invoke for a user", data, "InvokeAgentRuntime", &agentcore.InvokeAgentRuntimeRequest{AgentRuntimeArn: str(testARN), RuntimeUserId: str("u")}},
		{"stop", data, "StopRuntimeSession", &agentcore.StopRuntimeSessionRequest{AgentRuntimeArn: str(testARN), Qualifier: str("prod")}},
		{"list buckets", &s3.Service, "ListBuckets", &s3.ListBucketsRequest{}},
		{"list objects", &s3.Service, "ListObjectsV2", &s3.ListObjectsV2Request{Bucket: str("b")}},
		{"get object", &s3.Service, "GetObject", &s3.GetObjectRequest{Bucket: str("b"), Key: str("a/b c")}},
		{"get version", &s3.Service, "GetObject", &s3.GetObjectRequest{Bucket: str("b"), Key: str("k"), VersionId: str("v")}},
		{"get object called like an ARN", &s3.Service, "GetObject", &s3.GetObjectRequest{Bucket: str("b"), Key: str("arn:aws:s3:::other/k")}},
		{"delete objects", &s3.Service, "DeleteObjects", &s3.DeleteObjectsRequest{Bucket: str("b")}},
	}
	var b strings.Builder
	scope := store.Scope{Account: testAccount, Region: testRegion}
	for _, c := range cases {
		fmt.Fprintf(&b, "%s: %s\n", c.name, c.op)
		for _, r := range requirements(c.svc, c.svc.Operation(c.op), c.in, scope) {
			fmt.Fprintf(&b, "\t%s on %s\n", r.Action, r.Resource)
		}
	}
	path := filepath.Join("testdata", "requirements.golden")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

// zipped is the code of a runtime.
func zipped(bucket, key string, version *string) *agentcorecontrol.AgentRuntimeArtifact {
	return &agentcorecontrol.AgentRuntimeArtifact{CodeConfiguration: &agentcorecontrol.CodeConfiguration{
		Code: &agentcorecontrol.Code{S3: &agentcorecontrol.S3Location{Bucket: &bucket, Prefix: &key, VersionId: version}},
	}}
}

// TestRequirementsAreKnown checks every template of the tables: an ARN or "*",
// whose members are text members of the input, and conditions are members.
func TestRequirementsAreKnown(t *testing.T) {
	for _, svc := range allServices() {
		for i := range svc.Operations {
			op := &svc.Operations[i]
			for _, r := range op.Requires {
				if action, _, _ := strings.Cut(r.Action, ":"); action != svc.SigningName && action != "iam" && action != "s3" {
					t.Errorf("%s asks for %s", op.Name, r.Action)
				}
				if op.Input < 0 {
					continue
				}
				for _, member := range r.When {
					if _, found := shapeAt(svc, svc.Shape(op.Input), strings.TrimPrefix(member, "!")); !found {
						t.Errorf("%s: %s on %s: there is no member %s", op.Name, r.Action, r.Resource, member)
					}
				}
				for _, path := range membersOf(r.Resource) {
					if sh, found := shapeAt(svc, svc.Shape(op.Input), path); !found || sh.Kind != schema.String {
						t.Errorf("%s: %s on %s: there is no text member %s", op.Name, r.Action, r.Resource, path)
					}
				}
			}
		}
	}
}

// shapeAt is the shape of the member at a path.
func shapeAt(svc *schema.Service, sh *schema.Shape, path string) (*schema.Shape, bool) {
	for name := range strings.SplitSeq(path, ".") {
		i := slices.IndexFunc(sh.Members, func(m schema.Member) bool { return m.Name == name })
		if i < 0 {
			return nil, false
		}
		sh = svc.Shape(sh.Members[i].Shape)
	}
	return sh, true
}

// membersOf lists the members that a template names.
func membersOf(template string) []string {
	var out []string
	for {
		_, rest, found := strings.Cut(template, "{")
		if !found {
			return out
		}
		name, after, _ := strings.Cut(rest, "}")
		if name, _, _ = strings.Cut(name, ":"); name != "region" && name != "account" {
			out = append(out, name)
		}
		template = after
	}
}

// TestHandlerAuthorize goes the operation's own way: refused and recorded.
func TestHandlerAuthorize(t *testing.T) {
	c := &Call{Principal: auth.Principal{Kind: auth.User, Account: testAccount, ARN: "arn:aws:iam::111122223333:user/u"}}
	if err := c.Authorize(t.Context(), auth.Requirement{Action: "s3:GetObject", Resource: "arn:aws:s3:::b/k"}); err == nil || !strings.Contains(err.Error(), "is not authorized to perform: s3:GetObject on resource: arn:aws:s3:::b/k") {
		t.Errorf("got %v", err)
	}
	if !slices.Equal(c.resources, []string{"arn:aws:s3:::b/k"}) {
		t.Errorf("recorded %v", c.resources)
	}
	if err := From(t.Context()).Authorize(t.Context(), auth.Requirement{Action: "s3:GetObject", Resource: "*"}); err == nil {
		t.Error("nobody is allowed something")
	}
}
