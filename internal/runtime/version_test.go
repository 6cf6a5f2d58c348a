package runtime_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/outcrop/outcrop/internal/runtime"
	"github.com/outcrop/outcrop/internal/runtime/runtimetest"
)

func (k kit) listVersions(id string) []types.AgentRuntime {
	k.Helper()
	var all []types.AgentRuntime
	pages := control.NewListAgentRuntimeVersionsPaginator(k.Control, &control.ListAgentRuntimeVersionsInput{AgentRuntimeId: &id, MaxResults: aws.Int32(2)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(k.Context())
		if err != nil {
			k.Fatal(err)
		}
		all = append(all, page.AgentRuntimes...)
	}
	return all
}

// TestVersions: all of them are listed and can be asked for, until they are
// deleted; one that an endpoint runs cannot be.
func TestVersions(t *testing.T) {
	k := newKit(t, runtimetest.Options{})
	in := create("many")
	in.Description = aws.String("the first")
	out, err := k.Control.CreateAgentRuntime(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	id := *out.AgentRuntimeId
	k.settled(id)
	if _, err := k.invoke(arn(id), "old", "hi"); err != nil {
		t.Fatal(err)
	}
	k.again(id)
	k.again(id)
	all := k.listVersions(id)
	if len(all) != 3 || *all[0].AgentRuntimeVersion != "1" || *all[2].AgentRuntimeVersion != "3" || aws.ToString(all[0].Description) != "the first" ||
		all[1].Description == nil || *all[1].AgentRuntimeName != "many" || all[1].Status != types.AgentRuntimeStatusReady {
		t.Errorf("%+v", all)
	}
	if _, err := k.endpoint(id, "prod", "2"); err != nil {
		t.Fatal(err)
	}
	k.rolled(id, "prod")
	remove := func(version string) error {
		out, err := k.Control.DeleteAgentRuntime(t.Context(), &control.DeleteAgentRuntimeInput{AgentRuntimeId: &id, AgentRuntimeVersion: &version})
		if err == nil && (out.Status != types.AgentRuntimeStatusDeleting || aws.ToString(out.AgentRuntimeVersion) != version) {
			t.Errorf("%+v", out)
		}
		return err
	}
	k.refused(remove("2"), "ConflictException", "Version '2' of agent runtime '"+id+"' is in use by the endpoint 'prod'")
	k.refused(remove("3"), "ConflictException", "is in use by the endpoint 'DEFAULT'")
	k.refused(remove("4"), "ResourceNotFoundException", "No version '4' found")
	if err := remove("1"); err != nil {
		t.Fatal(err)
	}
	for changed := k.Store.Changed("document/runtime-version"); len(k.listVersions(id)) > 2; changed = k.Store.Changed("document/runtime-version") {
		k.wait(changed)
	}
	_, err = k.Control.GetAgentRuntime(t.Context(), &control.GetAgentRuntimeInput{AgentRuntimeId: &id, AgentRuntimeVersion: aws.String("1")})
	k.refused(err, "ResourceNotFoundException", "No version '1' found")
	k.refused(k.roll(id, "prod", "1"), "ResourceNotFoundException", "No version '1' found")
	if _, err := k.invoke(arn(id), "old", "hi"); err != nil {
		t.Errorf("the session of the version that is gone: %v", err)
	}
	if got := k.versions(); got["DEFAULT old"] != "1" {
		t.Errorf("sessions run %v", got)
	}
	if got := k.get(id, ""); *got.AgentRuntimeVersion != "3" || got.Status != types.AgentRuntimeStatusReady {
		t.Errorf("%+v", got)
	}
}

// TestVersionQuota: deleting one makes room for another.
func TestVersionQuota(t *testing.T) {
	k := newKit(t, runtimetest.Options{Quotas: runtime.Quotas{Versions: 2, Runtimes: 1}})
	id := k.created("few")
	k.again(id)
	_, err := k.Control.UpdateAgentRuntime(t.Context(), change(id))
	k.refused(err, "ServiceQuotaExceededException", "as many versions as it may have: 2 of 2. Delete some, or raise the quota (outcrop serve --quota versions=N)")
	if _, err := k.Control.DeleteAgentRuntime(t.Context(), &control.DeleteAgentRuntimeInput{AgentRuntimeId: &id, AgentRuntimeVersion: aws.String("1")}); err != nil {
		t.Fatal(err)
	}
	for changed := k.Store.Changed("document/runtime-version"); len(k.listVersions(id)) > 1; changed = k.Store.Changed("document/runtime-version") {
		k.wait(changed)
	}
	k.again(id)
	_, err = k.Control.CreateAgentRuntime(t.Context(), create("more"))
	k.refused(err, "ServiceQuotaExceededException", "Region us-west-2 has as many agent runtimes as it may have: 1 of 1")
}
