package runtime_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/outcrop/outcrop/internal/garbage"
	"github.com/outcrop/outcrop/internal/object"
	"github.com/outcrop/outcrop/internal/runtime"
	"github.com/outcrop/outcrop/internal/runtime/runtimetest"
	"github.com/outcrop/outcrop/internal/work"
)

// endpoint makes one; without a version it is the newest.
func (k kit) endpoint(id, name, version string) (*control.CreateAgentRuntimeEndpointOutput, error) {
	in := &control.CreateAgentRuntimeEndpointInput{AgentRuntimeId: &id, Name: &name}
	if version != "" {
		in.AgentRuntimeVersion = &version
	}
	return k.Control.CreateAgentRuntimeEndpoint(k.Context(), in)
}

func (k kit) roll(id, name, version string) error {
	_, err := k.Control.UpdateAgentRuntimeEndpoint(k.Context(), &control.UpdateAgentRuntimeEndpointInput{
		AgentRuntimeId: &id, EndpointName: &name, AgentRuntimeVersion: &version,
	})
	return err
}

// rolled waits until an endpoint has settled.
func (k kit) rolled(id, name string) *control.GetAgentRuntimeEndpointOutput {
	k.Helper()
	for {
		changed := k.Store.Changed("document/runtime-endpoint")
		out, err := k.Control.GetAgentRuntimeEndpoint(k.Context(), &control.GetAgentRuntimeEndpointInput{AgentRuntimeId: &id, EndpointName: &name})
		if err != nil {
			k.Fatal(err)
		}
		if !strings.HasSuffix(string(out.Status), "ING") {
			return out
		}
		k.wait(changed)
	}
}

// without waits until an endpoint is no more.
func (k kit) without(id, name string) {
	k.Helper()
	for {
		changed := k.Store.Changed("document/runtime-endpoint")
		_, err := k.Control.GetAgentRuntimeEndpoint(k.Context(), &control.GetAgentRuntimeEndpointInput{AgentRuntimeId: &id, EndpointName: &name})
		if codeOf(err) == "ResourceNotFoundException" {
			return
		}
		if err != nil {
			k.Fatal(err)
		}
		k.wait(changed)
	}
}

// again makes a further version of a runtime and waits for it.
func (k kit) again(id string) {
	k.Helper()
	if _, err := k.Control.UpdateAgentRuntime(k.Context(), change(id)); err != nil {
		k.Fatal(err)
	}
	if got := k.settled(id); got.Status != types.AgentRuntimeStatusReady {
		k.Fatalf("%s: %s", got.Status, aws.ToString(got.FailureReason))
	}
}

// at invokes through an endpoint.
func (k kit) at(id, endpoint, session string) error {
	out, err := k.Data.InvokeAgentRuntime(k.Context(), &bedrockagentcore.InvokeAgentRuntimeInput{
		AgentRuntimeArn: aws.String(arn(id)), Qualifier: &endpoint, RuntimeSessionId: aws.String(runtimetest.SessionID(session)), Payload: []byte("hi"),
	})
	if err == nil {
		err = out.Response.Close()
	}
	return err
}

// versions are those that sessions run, by endpoint and session.
func (k kit) versions() map[string]string {
	out := map[string]string{}
	for _, s := range k.Sessions.List(everything) {
		out[s.Key.Endpoint+" "+strings.TrimRight(s.Key.ID, "-")] = s.Version
	}
	return out
}

func is(e *control.GetAgentRuntimeEndpointOutput, status types.AgentRuntimeEndpointStatus, live, target string) bool {
	return e.Status == status && aws.ToString(e.LiveVersion) == live && aws.ToString(e.TargetVersion) == target
}

// TestEndpointsPinAndRoll: DEFAULT follows, an endpoint of one's own stays until it
// is rolled, and a session keeps what it began with.
func TestEndpointsPinAndRoll(t *testing.T) {
	k := newKit(t, runtimetest.Options{})
	id := k.created("pinned")
	made, err := k.endpoint(id, "prod", "")
	if err != nil {
		t.Fatal(err)
	}
	if made.Status != types.AgentRuntimeEndpointStatusCreating || *made.TargetVersion != "1" || *made.EndpointName != "prod" || *made.AgentRuntimeId != id ||
		*made.AgentRuntimeEndpointArn != arn(id)+"/runtime-endpoint/prod" || *made.AgentRuntimeArn != arn(id) {
		t.Errorf("%+v", made)
	}
	first := k.rolled(id, "prod")
	if !is(first, types.AgentRuntimeEndpointStatusReady, "1", "1") || !strings.HasPrefix(*first.Id, "prod-") || len(*first.Id) != len("prod-")+10 ||
		*first.Name != "prod" || first.Description != nil || first.FailureReason != nil {
		t.Errorf("%+v", first)
	}
	if err := k.at(id, "prod", "old"); err != nil {
		t.Fatal(err)
	}
	k.again(id)
	if e := k.rolled(id, "DEFAULT"); !is(e, types.AgentRuntimeEndpointStatusReady, "2", "2") || *e.Id != "DEFAULT" {
		t.Errorf("DEFAULT is %+v", e)
	}
	if e := k.rolled(id, "prod"); !is(e, types.AgentRuntimeEndpointStatusReady, "1", "1") {
		t.Errorf("prod is %+v", e)
	}
	if err := k.roll(id, "prod", "2"); err != nil {
		t.Fatal(err)
	}
	second := k.rolled(id, "prod")
	if !is(second, types.AgentRuntimeEndpointStatusReady, "2", "2") || *second.Id != *first.Id || !second.LastUpdatedAt.After(*first.LastUpdatedAt) || !second.CreatedAt.Equal(*first.CreatedAt) {
		t.Errorf("%+v", second)
	}
	for endpoint, session := range map[string]string{"prod": "new", "DEFAULT": "new"} {
		if err := k.at(id, endpoint, session); err != nil {
			t.Error(err)
		}
	}
	if err := k.at(id, "prod", "old"); err != nil {
		t.Error(err)
	}
	got := k.versions()
	if len(got) != 3 || got["prod old"] != "1" || got["prod new"] != "2" || got["DEFAULT new"] != "2" {
		t.Errorf("sessions run %v", got)
	}
	k.refused(k.at(id, "Prod", "one"), "ResourceNotFoundException", "No endpoint or agent found with qualifier 'Prod' for agent '"+arn(id)+"'")
}

// TestEndpointWaitsForItsVersion: one of a version that is being prepared is READY
// with it, or fails with its reason.
func TestEndpointWaitsForItsVersion(t *testing.T) {
	k := newKit(t, runtimetest.Options{Idle: true})
	k.Put("bad.zip", []byte("no zip"))
	good, err := k.Control.CreateAgentRuntime(t.Context(), create("good"))
	if err != nil {
		t.Fatal(err)
	}
	in := create("bad")
	in.AgentRuntimeArtifact = code("bad.zip", "")
	bad, err := k.Control.CreateAgentRuntime(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{*good.AgentRuntimeId, *bad.AgentRuntimeId} {
		if _, err := k.endpoint(id, "early", "1"); err != nil {
			t.Fatal(err)
		}
	}
	k.refused(k.at(*good.AgentRuntimeId, "early", "one"), "ConflictException", "Endpoint 'early' of agent runtime '"+*good.AgentRuntimeId+"' is CREATING and has no version that is READY yet")
	k.refused(k.roll(*good.AgentRuntimeId, "early", "1"), "ConflictException", "is CREATING; wait until it has settled")
	k.Work()
	if e := k.rolled(*good.AgentRuntimeId, "early"); !is(e, types.AgentRuntimeEndpointStatusReady, "1", "1") {
		t.Errorf("%+v", e)
	}
	e := k.rolled(*bad.AgentRuntimeId, "early")
	want := "Version '1' of agent runtime '" + *bad.AgentRuntimeId + "' is CREATE_FAILED and cannot be run: "
	if !is(e, types.AgentRuntimeEndpointStatusCreateFailed, "", "1") || !strings.HasPrefix(aws.ToString(e.FailureReason), want) {
		t.Errorf("%s: %s", e.Status, aws.ToString(e.FailureReason))
	}
	_, err = k.endpoint(*bad.AgentRuntimeId, "late", "")
	k.refused(err, "ConflictException", want)
	// It can be rolled to a version that works.
	k.again(*bad.AgentRuntimeId)
	if err := k.roll(*bad.AgentRuntimeId, "early", "2"); err != nil {
		t.Fatal(err)
	}
	if e := k.rolled(*bad.AgentRuntimeId, "early"); !is(e, types.AgentRuntimeEndpointStatusReady, "2", "2") || e.FailureReason != nil {
		t.Errorf("%+v", e)
	}
}

// TestRollFails: the version cannot be brought here any more. What ran goes on.
func TestRollFails(t *testing.T) {
	k := newKit(t, runtimetest.Options{})
	id := k.created("lost")
	k.Put("second.zip", runtimetest.Zip(t, "main.py", "print('second')\n"))
	second := change(id)
	second.AgentRuntimeArtifact = code("second.zip", "")
	if _, err := k.Control.UpdateAgentRuntime(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	k.settled(id)
	if _, err := k.endpoint(id, "prod", "2"); err != nil {
		t.Fatal(err)
	}
	k.rolled(id, "prod")
	// Nobody runs version 1, so its code goes; and then its zip.
	k.pruned(garbage.Options{All: true}, 1, 1)
	if _, err := k.Objects.Delete(t.Context(), runtimetest.Account, runtimetest.Bucket, object.Deletion{Key: "agent.zip"}); err != nil {
		t.Fatal(err)
	}
	if err := k.roll(id, "prod", "1"); err != nil {
		t.Fatal(err)
	}
	e := k.rolled(id, "prod")
	if !is(e, types.AgentRuntimeEndpointStatusUpdateFailed, "2", "1") || !strings.Contains(aws.ToString(e.FailureReason), "s3://code-zips/agent.zip cannot be read") {
		t.Errorf("%+v: %s", e, aws.ToString(e.FailureReason))
	}
	if err := k.at(id, "prod", "one"); err != nil {
		t.Error(err)
	}
	if got := k.versions(); got["prod one"] != "2" {
		t.Errorf("sessions run %v", got)
	}
	if err := k.roll(id, "prod", "2"); err != nil {
		t.Fatal(err)
	}
	if e := k.rolled(id, "prod"); !is(e, types.AgentRuntimeEndpointStatusReady, "2", "2") || e.FailureReason != nil {
		t.Errorf("%+v", e)
	}
}

func TestEndpointRefusals(t *testing.T) {
	k := newKit(t, runtimetest.Options{Quotas: runtime.Quotas{Endpoints: 3}})
	id := k.created("strict")
	if _, err := k.endpoint(id, "prod", ""); err != nil {
		t.Fatal(err)
	}
	k.rolled(id, "prod")
	_, err := k.endpoint(id, "DEFAULT", "")
	k.refused(err, "ConflictException", "An endpoint with the name 'DEFAULT' already exists")
	_, err = k.endpoint(id, "prod", "")
	k.refused(err, "ConflictException", "An endpoint with the name 'prod' already exists for agent runtime '"+id+"'")
	_, err = k.endpoint(id, "no-hyphens", "")
	k.refused(err, "ValidationException", "failed to satisfy constraint")
	_, err = k.endpoint(id, "next", "2")
	k.refused(err, "ResourceNotFoundException", "No version '2' found for agent runtime '"+id+"'")
	_, err = k.endpoint("nobody-0123456789", "prod", "")
	k.refused(err, "ResourceNotFoundException", "No agent runtime found with id 'nobody-0123456789'")
	k.refused(k.roll(id, "prod", "2"), "ResourceNotFoundException", "No version '2' found")
	_, err = k.Control.ListAgentRuntimeEndpoints(t.Context(), &control.ListAgentRuntimeEndpointsInput{AgentRuntimeId: aws.String("nobody-0123456789")})
	k.refused(err, "ValidationException", "No agent runtime found with id 'nobody-0123456789'") // the model knows no other
	k.refused(k.roll(id, "test", "1"), "ResourceNotFoundException", "No endpoint 'test' found for agent runtime '"+id+"'")
	k.refused(k.roll(id, "DEFAULT", "1"), "ValidationException", "follows the newest version that is READY and cannot be pinned")
	_, err = k.Control.DeleteAgentRuntimeEndpoint(t.Context(), &control.DeleteAgentRuntimeEndpointInput{AgentRuntimeId: &id, EndpointName: aws.String("DEFAULT")})
	k.refused(err, "ConflictException", "The endpoint 'DEFAULT' cannot be deleted; it goes with its agent runtime")
	_, err = k.Control.DeleteAgentRuntimeEndpoint(t.Context(), &control.DeleteAgentRuntimeEndpointInput{AgentRuntimeId: &id, EndpointName: aws.String("test")})
	k.refused(err, "ResourceNotFoundException", "No endpoint 'test' found")
	_, err = k.Control.DeleteAgentRuntime(t.Context(), &control.DeleteAgentRuntimeInput{AgentRuntimeId: &id})
	k.refused(err, "ConflictException", "still has endpoints: 'prod'. Delete them first")
	if _, err := k.endpoint(id, "test", ""); err != nil {
		t.Fatal(err)
	}
	_, err = k.endpoint(id, "fourth", "")
	k.refused(err, "ServiceQuotaExceededException", "as many endpoints as it may have: 3 of 3. Delete some, or raise the quota (outcrop serve --quota endpoints=N)")
}

// TestDescribeDefault: it may be described, and nothing else.
func TestDescribeDefault(t *testing.T) {
	k := newKit(t, runtimetest.Options{})
	id := k.created("described")
	out, err := k.Control.UpdateAgentRuntimeEndpoint(t.Context(), &control.UpdateAgentRuntimeEndpointInput{
		AgentRuntimeId: &id, EndpointName: aws.String("DEFAULT"), Description: aws.String("what is new"),
	})
	if err != nil || out.Status != types.AgentRuntimeEndpointStatusUpdating || *out.LiveVersion != "1" || *out.TargetVersion != "1" {
		t.Fatalf("%+v, %v", out, err)
	}
	if e := k.rolled(id, "DEFAULT"); !is(e, types.AgentRuntimeEndpointStatusReady, "1", "1") || aws.ToString(e.Description) != "what is new" {
		t.Errorf("%+v", e)
	}
	k.again(id)
	if e := k.rolled(id, "DEFAULT"); !is(e, types.AgentRuntimeEndpointStatusReady, "2", "2") || aws.ToString(e.Description) != "what is new" {
		t.Errorf("%+v", e)
	}
}

// TestDeleteEndpoint: its sessions go, those of others stay, and one of the same
// name begins anew.
func TestDeleteEndpoint(t *testing.T) {
	k := newKit(t, runtimetest.Options{})
	id := k.created("leaving")
	for _, name := range []string{"a", "b"} {
		if _, err := k.endpoint(id, name, ""); err != nil {
			t.Fatal(err)
		}
		k.rolled(id, name)
		if err := k.at(id, name, "one"); err != nil {
			t.Fatal(err)
		}
	}
	in := &control.DeleteAgentRuntimeEndpointInput{AgentRuntimeId: &id, EndpointName: aws.String("a"), ClientToken: aws.String(strings.Repeat("t", 40))}
	out, err := k.Control.DeleteAgentRuntimeEndpoint(t.Context(), in)
	if err != nil || out.Status != types.AgentRuntimeEndpointStatusDeleting || *out.AgentRuntimeId != id || *out.EndpointName != "a" {
		t.Fatalf("%+v, %v", out, err)
	}
	k.without(id, "a")
	if again, err := k.Control.DeleteAgentRuntimeEndpoint(t.Context(), in); err != nil || again.Status != out.Status {
		t.Errorf("the same call again: %+v, %v", again, err)
	}
	if got := k.versions(); len(got) != 1 || got["b one"] != "1" {
		t.Errorf("sessions run %v", got)
	}
	k.refused(k.at(id, "a", "one"), "ResourceNotFoundException", "No endpoint or agent found with qualifier 'a'")
	list, err := k.Control.ListAgentRuntimeEndpoints(t.Context(), &control.ListAgentRuntimeEndpointsInput{AgentRuntimeId: &id})
	if err != nil || len(list.RuntimeEndpoints) != 2 || *list.RuntimeEndpoints[0].Name != "DEFAULT" || *list.RuntimeEndpoints[1].Name != "b" {
		t.Errorf("%+v, %v", list, err)
	}
	if _, err := k.endpoint(id, "a", ""); err != nil {
		t.Fatal(err)
	}
	k.rolled(id, "a")
	for _, name := range []string{"a", "b"} {
		if _, err := k.Control.DeleteAgentRuntimeEndpoint(t.Context(), &control.DeleteAgentRuntimeEndpointInput{AgentRuntimeId: &id, EndpointName: &name}); err != nil {
			t.Fatal(err)
		}
		k.without(id, name)
	}
	if _, err := k.Control.DeleteAgentRuntime(t.Context(), &control.DeleteAgentRuntimeInput{AgentRuntimeId: &id}); err != nil {
		t.Fatal(err)
	}
	k.gone(id)
}

// TestDeleteEndpointFails: one whose session cannot be stopped says so, and can be
// deleted later.
func TestDeleteEndpointFails(t *testing.T) {
	k := newKit(t, runtimetest.Options{Policy: work.Policy{MaxAttempts: 2, FirstPause: time.Millisecond, Timeout: 300 * time.Millisecond}})
	id := k.created("stuck")
	if _, err := k.endpoint(id, "prod", ""); err != nil {
		t.Fatal(err)
	}
	k.rolled(id, "prod")
	k.Engine.Stuck = true
	if err := k.at(id, "prod", "one"); err != nil {
		t.Fatal(err)
	}
	remove := func() {
		if _, err := k.Control.DeleteAgentRuntimeEndpoint(t.Context(), &control.DeleteAgentRuntimeEndpointInput{AgentRuntimeId: &id, EndpointName: aws.String("prod")}); err != nil {
			t.Fatal(err)
		}
	}
	remove()
	if e := k.rolled(id, "prod"); e.Status != types.AgentRuntimeEndpointStatusDeleteFailed || aws.ToString(e.FailureReason) == "" {
		t.Errorf("%+v", e)
	}
	k.Engine.Crash(1)
	remove()
	k.without(id, "prod")
}

// TestEndpointIdempotency: the same token gives the same answer and makes one.
func TestEndpointIdempotency(t *testing.T) {
	k := newKit(t, runtimetest.Options{})
	id := k.created("once")
	in := &control.CreateAgentRuntimeEndpointInput{AgentRuntimeId: &id, Name: aws.String("prod"), ClientToken: aws.String(strings.Repeat("x", 33))}
	one, err := k.Control.CreateAgentRuntimeEndpoint(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	two, err := k.Control.CreateAgentRuntimeEndpoint(t.Context(), in)
	if err != nil || !two.CreatedAt.Equal(*one.CreatedAt) {
		t.Errorf("%+v, %v", two, err)
	}
	in.Description = aws.String("another")
	_, err = k.Control.CreateAgentRuntimeEndpoint(t.Context(), in)
	k.refused(err, "ValidationException", "client token was used before with other parameters")
}
