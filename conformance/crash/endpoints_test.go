package crash

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
)

// rolledName is a runtime of rolledVersions versions, which nobody changes but for
// its endpoints.
const (
	rolledName     = "rolled"
	rolledVersions = 3
)

func (r *rig) createRolled(ctx context.Context) (id string, err error) {
	in := r.account.Input(codeBucket, rolledName, r.python())
	in.AgentRuntimeArtifact = r.artifact(variantKey(0, 0))
	got, err := r.account.Create(ctx, in)
	if err != nil {
		return "", err
	}
	id = *got.AgentRuntimeId
	for range rolledVersions - 1 {
		if _, err := r.runtimes.UpdateAgentRuntime(ctx, &control.UpdateAgentRuntimeInput{
			AgentRuntimeId: &id, AgentRuntimeArtifact: in.AgentRuntimeArtifact, RoleArn: in.RoleArn, NetworkConfiguration: in.NetworkConfiguration,
		}); err != nil {
			return "", err
		}
		if err := r.settled(ctx, id); err != nil {
			return "", err
		}
	}
	return id, nil
}

// rollWorker makes an endpoint of its own, rolls it from version to version, and
// deletes it now and then.
func (l *load) rollWorker(ctx context.Context, r *rand.Rand, i int, found map[string]string) error {
	name := fmt.Sprintf("ep%d", i)
	journaled := "endpoint/" + name
	there := found[journaled] != absent
	for ctx.Err() == nil {
		version := strconv.Itoa(1 + r.IntN(rolledVersions))
		var err error
		switch {
		case !there:
			err = l.change(journaled, version, func() error {
				_, err := l.runtimes.CreateAgentRuntimeEndpoint(ctx, &control.CreateAgentRuntimeEndpointInput{AgentRuntimeId: &l.rolled, Name: &name, AgentRuntimeVersion: &version})
				return err
			})
			there = true
		case r.IntN(6) == 0:
			err = l.change(journaled, absent, func() error {
				_, err := l.runtimes.DeleteAgentRuntimeEndpoint(ctx, &control.DeleteAgentRuntimeEndpointInput{AgentRuntimeId: &l.rolled, EndpointName: &name})
				return err
			})
			there = false
		default:
			err = l.change(journaled, version, func() error {
				_, err := l.runtimes.UpdateAgentRuntimeEndpoint(ctx, &control.UpdateAgentRuntimeEndpointInput{AgentRuntimeId: &l.rolled, EndpointName: &name, AgentRuntimeVersion: &version})
				return err
			})
		}
		if err != nil {
			return err
		}
		if err := l.rolledTo(ctx, name, version, there); err != nil {
			return err
		}
	}
	return nil
}

// rolledTo waits until an endpoint is as it was acknowledged to become.
func (l *load) rolledTo(ctx context.Context, name, version string, there bool) error {
	for {
		got, err := l.runtimes.GetAgentRuntimeEndpoint(ctx, &control.GetAgentRuntimeEndpointInput{AgentRuntimeId: &l.rolled, EndpointName: &name})
		var gone *types.ResourceNotFoundException
		switch {
		case errors.As(err, &gone) && !there:
			return nil
		case err != nil:
			return err
		case there && got.Status == types.AgentRuntimeEndpointStatusReady:
			if live := aws.ToString(got.LiveVersion); live != version {
				return fmt.Errorf("endpoint %s is READY and runs version %s, want %s", name, live, version)
			}
			return nil
		case there && got.Status != types.AgentRuntimeEndpointStatusCreating && got.Status != types.AgentRuntimeEndpointStatusUpdating:
			return fmt.Errorf("endpoint %s is %s: %s", name, got.Status, aws.ToString(got.FailureReason))
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// surveyEndpoints reads the endpoints of the rolled runtime. One in a transitional
// status is an error.
func (r *rig) surveyEndpoints(ctx context.Context, s *survey, id string) error {
	pages := control.NewListAgentRuntimeEndpointsPaginator(r.runtimes, &control.ListAgentRuntimeEndpointsInput{AgentRuntimeId: &id})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, e := range page.RuntimeEndpoints {
			live := aws.ToString(e.LiveVersion)
			if e.Status != types.AgentRuntimeEndpointStatusReady || live != aws.ToString(e.TargetVersion) {
				return fmt.Errorf("endpoint %s is %s, runs version %q and will %q", *e.Name, e.Status, live, aws.ToString(e.TargetVersion))
			}
			if *e.Name != "DEFAULT" {
				s.found["endpoint/"+*e.Name] = live
			}
		}
	}
	return nil
}
