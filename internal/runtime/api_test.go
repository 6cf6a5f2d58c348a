package runtime_test

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
	"github.com/aws/smithy-go"

	"github.com/outcrop/outcrop/internal/runtime/runtimetest"
)

// kit is a runtimetest.Kit and what these tests do with it.
type kit struct {
	*runtimetest.Kit
	*testing.T
}

func newKit(t *testing.T, o runtimetest.Options) kit {
	k := kit{runtimetest.New(t, o), t}
	k.Put("agent.zip", runtimetest.Zip(t, "main.py", "print('hello')\n"))
	return k
}

// create is the least that is accepted.
func create(name string) *control.CreateAgentRuntimeInput {
	return &control.CreateAgentRuntimeInput{
		AgentRuntimeName: &name, RoleArn: aws.String(runtimetest.Role), AgentRuntimeArtifact: code("agent.zip", ""),
		NetworkConfiguration: &types.NetworkConfiguration{NetworkMode: types.NetworkModePublic},
	}
}

// vpc is a network as Create and Update take it.
func vpc() *types.NetworkConfiguration {
	return &types.NetworkConfiguration{NetworkMode: types.NetworkModeVpc, NetworkModeConfig: &types.VpcConfig{
		SecurityGroups: []string{"sg-01234567"}, Subnets: []string{"subnet-0123456789abcdef0", "subnet-01234567"},
	}}
}

func code(key, version string) *types.AgentRuntimeArtifactMemberCodeConfiguration {
	at := types.S3Location{Bucket: aws.String(runtimetest.Bucket), Prefix: &key}
	if version != "" {
		at.VersionId = &version
	}
	return &types.AgentRuntimeArtifactMemberCodeConfiguration{Value: types.CodeConfiguration{
		Code: &types.CodeMemberS3{Value: at}, Runtime: types.AgentManagedRuntimeTypePython312, EntryPoint: []string{"main.py"},
	}}
}

func change(id string) *control.UpdateAgentRuntimeInput {
	c := create("x")
	return &control.UpdateAgentRuntimeInput{
		AgentRuntimeId: &id, RoleArn: c.RoleArn, AgentRuntimeArtifact: c.AgentRuntimeArtifact, NetworkConfiguration: c.NetworkConfiguration,
	}
}

// created makes a runtime and waits until it has settled.
func (k kit) created(name string) string {
	k.Helper()
	out, err := k.Control.CreateAgentRuntime(k.Context(), create(name))
	if err != nil {
		k.Fatal(err)
	}
	k.settled(*out.AgentRuntimeId)
	return *out.AgentRuntimeId
}

func (k kit) get(id, version string) *control.GetAgentRuntimeOutput {
	k.Helper()
	in := &control.GetAgentRuntimeInput{AgentRuntimeId: &id}
	if version != "" {
		in.AgentRuntimeVersion = &version
	}
	out, err := k.Control.GetAgentRuntime(k.Context(), in)
	if err != nil {
		k.Fatal(err)
	}
	return out
}

// settled waits for the end of CREATING and UPDATING.
func (k kit) settled(id string) *control.GetAgentRuntimeOutput {
	k.Helper()
	for {
		changed := k.Store.Changed("document/runtime")
		out := k.get(id, "")
		if !strings.HasSuffix(string(out.Status), "ING") {
			return out
		}
		k.wait(changed)
	}
}

// gone waits until a runtime is no more.
func (k kit) gone(id string) {
	k.Helper()
	for {
		changed := k.Store.Changed("document/runtime")
		got, err := k.Control.GetAgentRuntime(k.Context(), &control.GetAgentRuntimeInput{AgentRuntimeId: &id})
		if codeOf(err) == "ResourceNotFoundException" {
			return
		}
		if err != nil || got.Status != types.AgentRuntimeStatusDeleting {
			k.Fatalf("%+v, %v\n%s", got, err, k.Log)
		}
		k.wait(changed)
	}
}

// wait returns at a change, or looks again soon.
func (k kit) wait(changed <-chan struct{}) {
	select {
	case <-changed:
	case <-time.After(20 * time.Millisecond):
	case <-k.Context().Done():
		k.Fatal("it did not settle")
	}
}

func codeOf(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	return fmt.Sprint(err)
}

// refused wants a refusal of that name whose text has a fragment.
func (k kit) refused(err error, code, fragment string) {
	k.Helper()
	if codeOf(err) != code || !strings.Contains(err.Error(), fragment) {
		k.Errorf("%v, want %s with %q", err, code, fragment)
	}
}

// authorizer fills in where the issuer is.
func authorizer(c types.CustomJWTAuthorizerConfiguration) types.AuthorizerConfiguration {
	if c.DiscoveryUrl == nil {
		c.DiscoveryUrl = aws.String("https://issuer.example/.well-known/openid-configuration")
	}
	return &types.AuthorizerConfigurationMemberCustomJWTAuthorizer{Value: c}
}

func TestCreate(t *testing.T) {
	k := newKit(t, runtimetest.Options{Idle: true})
	t.Run("works", func(t *testing.T) {
		out, err := k.Control.CreateAgentRuntime(t.Context(), create("works"))
		if err != nil {
			t.Fatal(err)
		}
		if want := "arn:aws:bedrock-agentcore:us-west-2:111122223333:runtime/" + *out.AgentRuntimeId; *out.AgentRuntimeArn != want {
			t.Errorf("ARN %s, want %s", *out.AgentRuntimeArn, want)
		}
		if out.Status != types.AgentRuntimeStatusCreating || *out.AgentRuntimeVersion != "1" || out.CreatedAt == nil ||
			*out.WorkloadIdentityDetails.WorkloadIdentityArn != "arn:aws:bedrock-agentcore:us-west-2:111122223333:workload-identity-directory/default/workload-identity/"+*out.AgentRuntimeId {
			t.Errorf("%+v", out)
		}
	})
	invalid := []struct {
		name, fragment string
		change         func(*control.CreateAgentRuntimeInput)
	}{
		{"name", "failed to satisfy constraint", func(in *control.CreateAgentRuntimeInput) { in.AgentRuntimeName = aws.String("no-hyphens") }},
		{"lifecycle", "idleRuntimeSessionTimeout must be less than or equal to maxLifetime", func(in *control.CreateAgentRuntimeInput) {
			in.LifecycleConfiguration = &types.LifecycleConfiguration{IdleRuntimeSessionTimeout: aws.Int32(100), MaxLifetime: aws.Int32(99)}
		}},
		{"header", "'Cookie' is restricted", func(in *control.CreateAgentRuntimeInput) {
			in.RequestHeaderConfiguration = &types.RequestHeaderConfigurationMemberRequestHeaderAllowlist{Value: []string{"Cookie"}}
		}},
		{"interpreter", "has no interpreter for PYTHON_3_14. It has: PYTHON_3_11, PYTHON_3_12", func(in *control.CreateAgentRuntimeInput) {
			in.AgentRuntimeArtifact.(*types.AgentRuntimeArtifactMemberCodeConfiguration).Value.Runtime = "PYTHON_3_14"
		}},
		{"no such zip", "s3://code-zips/nothing.zip cannot be read: The specified key does not exist", func(in *control.CreateAgentRuntimeInput) {
			in.AgentRuntimeArtifact = code("nothing.zip", "")
		}},
		{"no such bucket", "The specified bucket does not exist", func(in *control.CreateAgentRuntimeInput) {
			in.AgentRuntimeArtifact.(*types.AgentRuntimeArtifactMemberCodeConfiguration).Value.Code.(*types.CodeMemberS3).Value.Bucket = aws.String("no-such-bucket")
		}},
		{"no image's name", "'agentRuntimeArtifact.containerConfiguration.containerUri' failed to satisfy constraint", func(in *control.CreateAgentRuntimeInput) {
			in.AgentRuntimeArtifact = container("two words")
		}},
		{"authorizer that lets all in", "must have at least one of allowedAudience, allowedClients, allowedScopes and customClaims", func(in *control.CreateAgentRuntimeInput) {
			in.AuthorizerConfiguration = authorizer(types.CustomJWTAuthorizerConfiguration{})
		}},
		{"authorizer at no URL", "discoveryUrl", func(in *control.CreateAgentRuntimeInput) {
			in.AuthorizerConfiguration = authorizer(types.CustomJWTAuthorizerConfiguration{
				DiscoveryUrl: aws.String("ftp://issuer/.well-known/openid-configuration"), AllowedClients: []string{"c"}})
		}},
		{"authorizer of a claim that cannot match", "a STRING claim is matched by EQUALS", func(in *control.CreateAgentRuntimeInput) {
			in.AuthorizerConfiguration = authorizer(types.CustomJWTAuthorizerConfiguration{CustomClaims: []types.CustomClaimValidationType{{
				InboundTokenClaimName: aws.String("team"), InboundTokenClaimValueType: types.InboundTokenClaimValueTypeString,
				AuthorizingClaimMatchValue: &types.AuthorizingClaimMatchValueType{
					ClaimMatchOperator: types.ClaimMatchOperatorTypeContains, ClaimMatchValue: &types.ClaimMatchValueTypeMemberMatchValueString{Value: "a"}}}}})
		}},
		{"authorizer that advertises what it does not know", "'b' is not among the allowedScopes", func(in *control.CreateAgentRuntimeInput) {
			in.AuthorizerConfiguration = authorizer(types.CustomJWTAuthorizerConfiguration{
				AllowedScopes: []string{"a"}, AdvertisedScopeMapping: map[string]string{"b": "c"}})
		}},
		{"authorizer behind a private endpoint", "--allow-private", func(in *control.CreateAgentRuntimeInput) {
			in.AuthorizerConfiguration = authorizer(types.CustomJWTAuthorizerConfiguration{AllowedClients: []string{"c"},
				PrivateEndpoint: &types.PrivateEndpointMemberSelfManagedLatticeResource{Value: &types.SelfManagedLatticeResourceMemberResourceConfigurationIdentifier{Value: "rcfg-0123456789abcdef0"}}})
		}},
		{"vpc without its network", "networkModeConfig is required when networkMode is VPC", func(in *control.CreateAgentRuntimeInput) {
			in.NetworkConfiguration = &types.NetworkConfiguration{NetworkMode: types.NetworkModeVpc}
		}},
		{"vpc's network without vpc", "networkModeConfig is for networkMode VPC; leave it out when networkMode is PUBLIC", func(in *control.CreateAgentRuntimeInput) {
			in.NetworkConfiguration.NetworkModeConfig = vpc().NetworkModeConfig
		}},
		{"vpc with an endpoint for S3", "networkModeConfig.requireServiceS3Endpoint is not available", func(in *control.CreateAgentRuntimeInput) {
			in.NetworkConfiguration = vpc()
			in.NetworkConfiguration.NetworkModeConfig.RequireServiceS3Endpoint = aws.Bool(true)
		}},
		{"vpc in no subnet", "at 'networkConfiguration.networkModeConfig.subnets' failed to satisfy constraint", func(in *control.CreateAgentRuntimeInput) {
			in.NetworkConfiguration = vpc()
			in.NetworkConfiguration.NetworkModeConfig.Subnets = []string{}
		}},
		{"vpc in no group", "at 'networkConfiguration.networkModeConfig.securityGroups' failed to satisfy constraint", func(in *control.CreateAgentRuntimeInput) {
			in.NetworkConfiguration = vpc()
			in.NetworkConfiguration.NetworkModeConfig.SecurityGroups = []string{}
		}},
		{"vpc in a subnet of no such name", "subnets", func(in *control.CreateAgentRuntimeInput) {
			in.NetworkConfiguration = vpc()
			in.NetworkConfiguration.NetworkModeConfig.Subnets = []string{"subnet-!"}
		}},
		{"protocol's port", "protocolConfiguration.port must not be 8443, which is reserved", func(in *control.CreateAgentRuntimeInput) {
			in.ProtocolConfiguration = &types.ProtocolConfiguration{ServerProtocol: types.ServerProtocolMcp, Port: aws.Int32(8443)}
		}},
		{"protocol's path", "at 'protocolConfiguration.path' failed to satisfy constraint", func(in *control.CreateAgentRuntimeInput) {
			in.ProtocolConfiguration = &types.ProtocolConfiguration{ServerProtocol: types.ServerProtocolMcp, Path: aws.String("mcp")}
		}},
		{"storage outside /mnt", "mountPath '/mnt/..' is not below /mnt", func(in *control.CreateAgentRuntimeInput) {
			in.FilesystemConfigurations = []types.FilesystemConfiguration{&types.FilesystemConfigurationMemberSessionStorage{
				Value: types.SessionStorageConfiguration{MountPath: aws.String("/mnt/..")}}}
		}},
		{"tag", "The tag key 'aws:mine' is reserved", func(in *control.CreateAgentRuntimeInput) {
			in.Tags = map[string]string{"aws:mine": "x"}
		}},
		{"environment", "must not contain '='", func(in *control.CreateAgentRuntimeInput) {
			in.EnvironmentVariables = map[string]string{"A=B": "c"}
		}},
	}
	for _, tt := range invalid {
		t.Run("invalid "+tt.name, func(t *testing.T) {
			in := create("invalid")
			tt.change(in)
			_, err := k.Control.CreateAgentRuntime(t.Context(), in)
			kit{k.Kit, t}.refused(err, "ValidationException", tt.fragment)
		})
	}
	t.Run("conflict", func(t *testing.T) {
		_, err := k.Control.CreateAgentRuntime(t.Context(), create("works"))
		kit{k.Kit, t}.refused(err, "ConflictException", "An agent with the specified name")
	})
	t.Run("nothing of a refusal is left", func(t *testing.T) {
		if got := k.names(100); !slices.Equal(got, []string{"works"}) {
			t.Errorf("runtimes %v", got)
		}
	})
}

// TestVPC: its network is kept as it was sent, and goes with the version that had
// it. Nothing of it has to be known here: subnets are mapped at any time.
func TestVPC(t *testing.T) {
	k := newKit(t, runtimetest.Options{})
	in := create("private")
	in.NetworkConfiguration = vpc()
	out, err := k.Control.CreateAgentRuntime(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	id := *out.AgentRuntimeId
	got := k.settled(id)
	if got.Status != types.AgentRuntimeStatusReady || !reflect.DeepEqual(got.NetworkConfiguration, vpc()) {
		t.Errorf("%s: %+v", got.Status, got.NetworkConfiguration)
	}
	if _, err := k.Control.UpdateAgentRuntime(t.Context(), change(id)); err != nil {
		t.Fatal(err)
	}
	got = k.settled(id)
	if n := got.NetworkConfiguration; n.NetworkMode != types.NetworkModePublic || n.NetworkModeConfig != nil {
		t.Errorf("after the update: %+v", n)
	}
	if got = k.get(id, "1"); !reflect.DeepEqual(got.NetworkConfiguration, vpc()) {
		t.Errorf("version 1 has become %+v", got.NetworkConfiguration)
	}
}

// TestTokens: the same token and request are one effect and one answer.
func TestTokens(t *testing.T) {
	k := newKit(t, runtimetest.Options{})
	token := aws.String(strings.Repeat("t", 40))
	in := create("once")
	in.ClientToken = token
	first, err := k.Control.CreateAgentRuntime(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	id := *first.AgentRuntimeId
	k.settled(id)
	again, err := k.Control.CreateAgentRuntime(t.Context(), in)
	if err != nil || *again.AgentRuntimeId != id || again.Status != types.AgentRuntimeStatusCreating || !again.CreatedAt.Equal(*first.CreatedAt) {
		t.Errorf("replay of create: %+v, %v", again, err)
	}
	in.Description = aws.String("other")
	_, err = k.Control.CreateAgentRuntime(t.Context(), in)
	k.refused(err, "ValidationException", "client token was used before")
	var invalid *types.ValidationException
	if !errors.As(err, &invalid) || invalid.Reason != "IdempotentParameterMismatchException" {
		t.Errorf("reason of %v", err)
	}

	up := change(id)
	up.ClientToken = token // the same text is another operation's
	for range 2 {
		out, err := k.Control.UpdateAgentRuntime(t.Context(), up)
		if err != nil || *out.AgentRuntimeVersion != "2" {
			t.Fatalf("update: %+v, %v", out, err)
		}
		k.settled(id)
	}
	up.Description = aws.String("other")
	_, err = k.Control.UpdateAgentRuntime(t.Context(), up)
	k.refused(err, "ValidationException", "client token was used before")

	del := &control.DeleteAgentRuntimeInput{AgentRuntimeId: &id, ClientToken: token}
	for range 2 {
		if out, err := k.Control.DeleteAgentRuntime(t.Context(), del); err != nil || out.Status != types.AgentRuntimeStatusDeleting {
			t.Fatalf("delete: %+v, %v", out, err)
		}
		k.gone(id)
	}
	other := k.created("other")
	_, err = k.Control.DeleteAgentRuntime(t.Context(), &control.DeleteAgentRuntimeInput{AgentRuntimeId: &other, ClientToken: token})
	k.refused(err, "ValidationException", "client token was used before")
}

func TestUpdate(t *testing.T) {
	k := newKit(t, runtimetest.Options{})
	in := create("changing")
	in.Description, in.EnvironmentVariables = aws.String("first"), map[string]string{"A": "1"}
	in.LifecycleConfiguration = &types.LifecycleConfiguration{MaxLifetime: aws.Int32(600)}
	made, err := k.Control.CreateAgentRuntime(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	id := *made.AgentRuntimeId
	k.settled(id)
	out, err := k.Control.UpdateAgentRuntime(t.Context(), change(id))
	if err != nil || out.Status != types.AgentRuntimeStatusUpdating || *out.AgentRuntimeVersion != "2" || !out.CreatedAt.Equal(*made.CreatedAt) {
		t.Fatalf("%+v, %v", out, err)
	}
	now := k.settled(id)
	if now.Description != nil || now.EnvironmentVariables != nil || *now.LifecycleConfiguration.MaxLifetime != 28800 {
		t.Errorf("what the update left out is still there: %+v", now)
	}
	old := k.get(id, "1")
	if aws.ToString(old.Description) != "first" || old.EnvironmentVariables["A"] != "1" || *old.LifecycleConfiguration.IdleRuntimeSessionTimeout != 600 ||
		*old.AgentRuntimeVersion != "1" || old.Status != types.AgentRuntimeStatusReady {
		t.Errorf("version 1 has changed: %+v", old)
	}
	_, err = k.Control.UpdateAgentRuntime(t.Context(), change("missing-0123456789"))
	k.refused(err, "ResourceNotFoundException", "missing-0123456789")
	bad := change(id)
	bad.AgentRuntimeArtifact = code("nothing.zip", "")
	_, err = k.Control.UpdateAgentRuntime(t.Context(), bad)
	k.refused(err, "ValidationException", "nothing.zip cannot be read")
	if got := k.get(id, ""); *got.AgentRuntimeVersion != "2" || got.Status != types.AgentRuntimeStatusReady {
		t.Errorf("a refused update left version %s, %s", *got.AgentRuntimeVersion, got.Status)
	}
	_, err = k.Control.GetAgentRuntime(t.Context(), &control.GetAgentRuntimeInput{AgentRuntimeId: &id, AgentRuntimeVersion: aws.String("3")})
	k.refused(err, "ResourceNotFoundException", "'3'")
}

// TestBusy: while a runtime is in a transitional status nothing else begins.
func TestBusy(t *testing.T) {
	k := newKit(t, runtimetest.Options{Idle: true})
	out, err := k.Control.CreateAgentRuntime(t.Context(), create("busy"))
	if err != nil {
		t.Fatal(err)
	}
	id := *out.AgentRuntimeId
	_, err = k.Control.UpdateAgentRuntime(t.Context(), change(id))
	k.refused(err, "ConflictException", "is CREATING")
	_, err = k.Control.DeleteAgentRuntime(t.Context(), &control.DeleteAgentRuntimeInput{AgentRuntimeId: &id})
	k.refused(err, "ConflictException", "is CREATING")
	_, err = k.invoke(*out.AgentRuntimeArn, "one", "hi")
	k.refused(err, "ConflictException", "no version that is READY yet")
	k.Work()
	if got := k.settled(id); got.Status != types.AgentRuntimeStatusReady || got.FailureReason != nil {
		t.Errorf("%+v", got)
	}
}

func TestDelete(t *testing.T) {
	k := newKit(t, runtimetest.Options{})
	id := k.created("doomed")
	if _, err := k.invoke(arn(id), "one", "hi"); err != nil {
		t.Fatal(err)
	}
	_, err := k.Control.DeleteAgentRuntime(t.Context(), &control.DeleteAgentRuntimeInput{AgentRuntimeId: aws.String("missing-0123456789")})
	k.refused(err, "ResourceNotFoundException", "missing-0123456789")
	out, err := k.Control.DeleteAgentRuntime(t.Context(), &control.DeleteAgentRuntimeInput{AgentRuntimeId: &id})
	if err != nil || out.Status != types.AgentRuntimeStatusDeleting || *out.AgentRuntimeId != id || out.AgentRuntimeVersion != nil {
		t.Fatalf("%+v, %v", out, err)
	}
	k.gone(id)
	if n := k.Engine.Alive(); n != 0 {
		t.Errorf("%d sandboxes outlive their runtime", n)
	}
	_, err = k.invoke(arn(id), "one", "hi")
	k.refused(err, "ResourceNotFoundException", "No endpoint or agent found with qualifier 'DEFAULT'")
	k.created("doomed") // the name is free again
}

func TestForbidden(t *testing.T) {
	k := newKit(t, runtimetest.Options{})
	id := k.created("mine")
	foreign := strings.Replace(arn(id), runtimetest.Account, "999999999999", 1)
	_, err := k.invoke(foreign, "one", "hi")
	k.refused(err, "AccessDeniedException", foreign)
	_, err = k.Data.StopRuntimeSession(t.Context(), &bedrockagentcore.StopRuntimeSessionInput{
		AgentRuntimeArn: &foreign, RuntimeSessionId: aws.String(runtimetest.SessionID("one"))})
	k.refused(err, "AccessDeniedException", foreign)
	elsewhere := strings.Replace(arn(id), "us-west-2", "eu-west-1", 1)
	_, err = k.invoke(elsewhere, "one", "hi")
	k.refused(err, "ResourceNotFoundException", elsewhere)
	// The same call signed for another region sees nothing of this one.
	region := func(o *control.Options) { o.Region = "eu-west-1" }
	_, err = k.Control.GetAgentRuntime(t.Context(), &control.GetAgentRuntimeInput{AgentRuntimeId: &id}, region)
	k.refused(err, "ResourceNotFoundException", id)
	_, err = k.Control.UpdateAgentRuntime(t.Context(), change(id), region)
	k.refused(err, "ResourceNotFoundException", id)
	_, err = k.Control.DeleteAgentRuntime(t.Context(), &control.DeleteAgentRuntimeInput{AgentRuntimeId: &id}, region)
	k.refused(err, "ResourceNotFoundException", id)
	if n := k.Engine.Starts(); n != 0 {
		t.Errorf("%d sandboxes were started", n)
	}
}

func TestList(t *testing.T) {
	k := newKit(t, runtimetest.Options{})
	var want []string
	for i := range 5 {
		name := fmt.Sprintf("agent%d", i)
		k.created(name)
		want = append(want, name)
	}
	for _, size := range []int32{1, 2, 3, 100} {
		if got := k.names(size); !slices.Equal(got, want) {
			t.Errorf("pages of %d: %v", size, got)
		}
	}
	page, err := k.Control.ListAgentRuntimes(t.Context(), &control.ListAgentRuntimesInput{MaxResults: aws.Int32(1)})
	if err != nil {
		t.Fatal(err)
	}
	first := page.AgentRuntimes[0]
	if first.Description == nil || *first.Description != "" || first.Status != types.AgentRuntimeStatusReady || *first.AgentRuntimeVersion != "1" || first.LastUpdatedAt == nil {
		t.Errorf("%+v", first)
	}
	_, err = k.Control.ListAgentRuntimes(t.Context(), &control.ListAgentRuntimesInput{NextToken: aws.String("forged")})
	k.refused(err, "ValidationException", "nextToken")
	_, err = k.Control.ListAgentRuntimes(t.Context(), &control.ListAgentRuntimesInput{MaxResults: aws.Int32(101)})
	k.refused(err, "ValidationException", "maxResults")
	empty, err := k.Control.ListAgentRuntimes(t.Context(), &control.ListAgentRuntimesInput{}, func(o *control.Options) { o.Region = "eu-west-1" })
	if err != nil || empty.AgentRuntimes == nil || len(empty.AgentRuntimes) != 0 {
		t.Errorf("another region: %+v, %v", empty, err)
	}
}

// names are those of all runtimes, in pages.
func (k kit) names(size int32) (names []string) {
	k.Helper()
	for pages := control.NewListAgentRuntimesPaginator(k.Control, &control.ListAgentRuntimesInput{MaxResults: &size}); pages.HasMorePages(); {
		page, err := pages.NextPage(k.Context())
		if err != nil {
			k.Fatal(err)
		}
		for _, r := range page.AgentRuntimes {
			names = append(names, *r.AgentRuntimeName)
		}
	}
	return names
}

// TestDescribeShowsWhatWasSet: the raw answer has no member that nobody set.
func TestDescribeShowsWhatWasSet(t *testing.T) {
	k := newKit(t, runtimetest.Options{})
	id := k.created("plain")
	body := k.raw(http.MethodGet, "/runtimes/"+id+"/", "")
	for _, member := range []string{"description", "environmentVariables", "requestHeaderConfiguration", "protocolConfiguration", "failureReason", "null", "tags",
		"authorizerConfiguration", "filesystemConfigurations", "versionId"} {
		if strings.Contains(body, member) {
			t.Errorf("the answer speaks of %s: %s", member, body)
		}
	}
	for _, part := range []string{`"idleRuntimeSessionTimeout":900`, `"maxLifetime":28800`, `"status":"READY"`, `"networkMode":"PUBLIC"`, `"prefix":"agent.zip"`} {
		if !strings.Contains(body, part) {
			t.Errorf("the answer lacks %s: %s", part, body)
		}
	}
}

// TestStopTokens: a stop that is repeated under its token is answered again,
// although the session is gone.
func TestStopTokens(t *testing.T) {
	k := newKit(t, runtimetest.Options{})
	id := k.created("stopped")
	if _, err := k.invoke(arn(id), "one", "hi"); err != nil {
		t.Fatal(err)
	}
	in := &bedrockagentcore.StopRuntimeSessionInput{
		AgentRuntimeArn: aws.String(arn(id)), RuntimeSessionId: aws.String(runtimetest.SessionID("one")), ClientToken: aws.String(strings.Repeat("t", 40)),
	}
	for range 2 {
		out, err := k.Data.StopRuntimeSession(t.Context(), in)
		if err != nil || *out.RuntimeSessionId != runtimetest.SessionID("one") {
			t.Fatalf("%+v, %v", out, err)
		}
	}
	in.RuntimeSessionId = aws.String(runtimetest.SessionID("two"))
	_, err := k.Data.StopRuntimeSession(t.Context(), in)
	k.refused(err, "ValidationException", "client token was used before")
	in.ClientToken = aws.String(strings.Repeat("u", 40))
	_, err = k.Data.StopRuntimeSession(t.Context(), in)
	k.refused(err, "ResourceNotFoundException", "No session found with id")
	in.RuntimeSessionId, in.ClientToken = aws.String("short"), nil
	_, err = k.Data.StopRuntimeSession(t.Context(), in)
	k.refused(err, "ValidationException", "runtimeSessionId")
	if n := k.Engine.Alive(); n != 0 {
		t.Errorf("%d sandboxes are alive", n)
	}
}
