package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/outcrop/outcrop/internal/bundle"
	"github.com/outcrop/outcrop/internal/client"
	"github.com/outcrop/outcrop/internal/principal"
)

// release is a deployment whose code is in place.
type release struct {
	deployment
	name, account string
	env           map[string]string
	// bundle and code are a folder's.
	bundle *bundle.Bundle
	code   codeObject
	where  string // flags that lead to the server
}

// release uploads the code, creates or updates the runtime, waits for it and
// says what is next. What is there with the same code and settings stays.
func (p *Program) release(ctx context.Context, c *client.Client, r release, s *standing) error {
	old, err := p.settled(ctx, c, r)
	if err != nil {
		return err
	}
	if r.image == "" {
		if err := r.checkProject(r.folder, old); err != nil { // a Dockerfile's was asked before it was built
			return err
		}
	}
	if old != nil && r.isAsItWas(old) {
		return p.printRelease(old, r, false)
	}
	if r.image == "" {
		if r.code, err = p.upload(ctx, c, r.code, r.bundle); err != nil {
			return err
		}
		s.uploaded = r.code.String()
	}
	id, err := p.createOrUpdate(ctx, c, r, old, s)
	if err != nil {
		return err
	}
	var out *bedrockagentcorecontrol.GetAgentRuntimeOutput
	if r.wait {
		out, err = p.awaitReady(ctx, c, id, r)
	} else {
		out, err = c.Control().GetAgentRuntime(ctx, &bedrockagentcorecontrol.GetAgentRuntimeInput{AgentRuntimeId: aws.String(id)})
	}
	if err != nil {
		return err
	}
	return p.printRelease(out, r, true)
}

// settled returns the runtime that is there, or nil. While an earlier change is
// under way, this one waits its turn.
func (p *Program) settled(ctx context.Context, c *client.Client, r release) (*bedrockagentcorecontrol.GetAgentRuntimeOutput, error) {
	there, err := findRuntime(ctx, c, r.name)
	if there == nil || err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	show := &progress{p: p}
	defer show.done()
	old, err := p.pollRuntime(ctx, c, aws.ToString(there.AgentRuntimeId), func(status types.AgentRuntimeStatus) (bool, error) {
		if inChange(status) {
			show.update("waiting for an earlier change: %s is %s", r.name, status)
		}
		return !inChange(status), nil
	})
	switch {
	case client.Is(err, "ResourceNotFoundException"): // it was being deleted
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("wait for the change of %s that is under way: %w", r.name, err)
	}
	if err := r.callers.widens(old.AuthorizerConfiguration); err != nil {
		return nil, err
	}
	return old, nil
}

// createOrUpdate updates what there is; whoever creates or deletes it in the
// meantime makes it look again.
func (p *Program) createOrUpdate(ctx context.Context, c *client.Client, r release, old *bedrockagentcorecontrol.GetAgentRuntimeOutput, s *standing) (id string, err error) {
	for range 3 {
		s.asked = true
		if old != nil {
			return aws.ToString(old.AgentRuntimeId), p.update(ctx, c, old, r)
		}
		id, err := p.create(ctx, c, r)
		if !client.Is(err, "ConflictException") {
			return id, err
		}
		if old, err = p.settled(ctx, c, r); err != nil {
			return "", err
		}
	}
	return "", fail("Try again.", "%s is being created and deleted at the same time by somebody else", r.name)
}

func (r release) artifact() types.AgentRuntimeArtifact {
	if r.image != "" {
		return &types.AgentRuntimeArtifactMemberContainerConfiguration{Value: types.ContainerConfiguration{ContainerUri: aws.String(r.image)}}
	}
	s3 := types.S3Location{Bucket: aws.String(r.code.bucket), Prefix: aws.String(r.code.key)}
	if len(r.code.version) >= 3 { // what the model wants of one; an unversioned bucket's is "null" or nothing
		s3.VersionId = aws.String(r.code.version)
	}
	return &types.AgentRuntimeArtifactMemberCodeConfiguration{Value: types.CodeConfiguration{
		Code: &types.CodeMemberS3{Value: s3}, EntryPoint: r.bundle.EntryPoint, Runtime: types.AgentManagedRuntimeType(r.bundle.Runtime),
	}}
}

func (r release) defaultRole() string {
	return "arn:aws:iam::" + r.account + ":role/" + principal.AgentRole
}

func (p *Program) create(ctx context.Context, c *client.Client, r release) (string, error) {
	if r.role == "" {
		if err := p.defaultRole(ctx, c, r.account); err != nil {
			return "", err
		}
	}
	in := &bedrockagentcorecontrol.CreateAgentRuntimeInput{
		AgentRuntimeName: aws.String(r.name), AgentRuntimeArtifact: r.artifact(), RoleArn: aws.String(cmp.Or(r.role, r.defaultRole())),
		NetworkConfiguration: cmp.Or(r.networkOf(nil), publicNetwork()), FilesystemConfigurations: r.filesOf(nil), EnvironmentVariables: r.environmentOf(nil, r.env),
		ProtocolConfiguration: r.protocolOf(nil), LifecycleConfiguration: r.lifeOf(nil), AllowedPorts: r.portsOf(nil),
		AuthorizerConfiguration: r.callers.authorizerOf(nil), RequestHeaderConfiguration: r.callers.headersOf(nil),
	}
	if r.description != "" {
		in.Description = aws.String(r.description)
	}
	out, err := c.Control().CreateAgentRuntime(ctx, in)
	if err != nil {
		return "", err
	}
	p.say("creating %s", r.name)
	return aws.ToString(out.AgentRuntimeId), nil
}

// update sends the new settings.
func (p *Program) update(ctx context.Context, c *client.Client, old *bedrockagentcorecontrol.GetAgentRuntimeOutput, r release) error {
	_, more, err := wholeRuntime(ctx, c, old.AgentRuntimeId)
	if err != nil {
		return err
	}
	if _, err := c.Control().UpdateAgentRuntime(ctx, r.settings(old), withMembers(more)); err != nil {
		return err
	}
	p.say("updating %s", r.name)
	return nil
}

// settings repeat what is there, since an update clears what is left out
// (spec/runtime.md 0), with what this deployment changes.
func (r release) settings(old *bedrockagentcorecontrol.GetAgentRuntimeOutput) *bedrockagentcorecontrol.UpdateAgentRuntimeInput {
	in := &bedrockagentcorecontrol.UpdateAgentRuntimeInput{
		AgentRuntimeId: old.AgentRuntimeId, AgentRuntimeArtifact: r.artifact(),
		RoleArn:                       aws.String(cmp.Or(r.role, aws.ToString(old.RoleArn), r.defaultRole())),
		AllowedPorts:                  r.portsOf(old.AllowedPorts),
		AuthorizerConfiguration:       r.callers.authorizerOf(old.AuthorizerConfiguration),
		CapacityProviderConfiguration: old.CapacityProviderConfiguration,
		Description:                   old.Description,
		EnvironmentVariables:          r.environmentOf(old.EnvironmentVariables, r.env),
		FilesystemConfigurations:      r.filesOf(old.FilesystemConfigurations),
		LifecycleConfiguration:        r.lifeOf(old.LifecycleConfiguration),
		MetadataConfiguration:         old.MetadataConfiguration,
		NetworkConfiguration:          r.networkOf(old.NetworkConfiguration),
		PlatformVersion:               old.PlatformVersion,
		ProtocolConfiguration:         r.protocolOf(old.ProtocolConfiguration),
		RequestHeaderConfiguration:    r.callers.headersOf(old.RequestHeaderConfiguration),
	}
	if r.description != "" {
		in.Description = aws.String(r.description)
	}
	return in
}

// isAsItWas reports whether a runtime runs this very code or image, by its digest,
// with the settings that this deployment wants.
func (r release) isAsItWas(old *bedrockagentcorecontrol.GetAgentRuntimeOutput) bool {
	in := r.settings(old)
	return old.Status == types.AgentRuntimeStatusReady && r.isArtifact(old.AgentRuntimeArtifact) &&
		aws.ToString(in.RoleArn) == aws.ToString(old.RoleArn) && aws.ToString(in.Description) == aws.ToString(old.Description) &&
		maps.Equal(in.EnvironmentVariables, old.EnvironmentVariables) && sameNetwork(in.NetworkConfiguration, old.NetworkConfiguration) &&
		storageIn(in.FilesystemConfigurations) == storageIn(old.FilesystemConfigurations) &&
		protocolIn(in.ProtocolConfiguration) == protocolIn(old.ProtocolConfiguration) && sameLife(in.LifecycleConfiguration, old.LifecycleConfiguration) &&
		slices.Equal(rangesIn(in.AllowedPorts), rangesIn(old.AllowedPorts)) && r.callers.sameCallers(old.AuthorizerConfiguration, old.RequestHeaderConfiguration)
}

// isArtifact reports whether old is what is deployed. Nobody knows what a tag stands
// for today.
func (r release) isArtifact(old types.AgentRuntimeArtifact) bool {
	switch a := old.(type) {
	case *types.AgentRuntimeArtifactMemberContainerConfiguration:
		return aws.ToString(a.Value.ContainerUri) == r.image && strings.Contains(r.image, "@")
	case *types.AgentRuntimeArtifactMemberCodeConfiguration:
		code, ok := a.Value.Code.(*types.CodeMemberS3)
		return ok && r.image == "" && aws.ToString(code.Value.Bucket) == r.code.bucket && aws.ToString(code.Value.Prefix) == r.code.key &&
			string(a.Value.Runtime) == r.bundle.Runtime && slices.Equal(a.Value.EntryPoint, r.bundle.EntryPoint)
	}
	return false
}

// awaitReady waits until the runtime is READY, or tells why it never will be.
func (p *Program) awaitReady(ctx context.Context, c *client.Client, id string, r release) (*bedrockagentcorecontrol.GetAgentRuntimeOutput, error) {
	deadline, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	show := &progress{p: p}
	defer show.done()
	out, err := p.pollRuntime(deadline, c, id, func(s types.AgentRuntimeStatus) (bool, error) {
		show.update("%s is %s", r.name, s)
		return !inChange(s), nil
	})
	show.done()
	switch {
	case err != nil && errors.Is(deadline.Err(), context.DeadlineExceeded) && ctx.Err() == nil:
		return nil, fail("Look again later: outcrop ls", "%s is not READY after %s", r.name, inUnits(r.timeout))
	case client.Is(err, "ResourceNotFoundException"):
		return nil, fail("", "%s was deleted while it was being deployed", r.name)
	case err != nil:
		return nil, err
	case out.Status != types.AgentRuntimeStatusReady:
		return nil, fail("", "%s is %s: %s", r.name, out.Status, cmp.Or(aws.ToString(out.FailureReason), "the server gives no reason"))
	}
	return out, nil
}

// printRelease puts the ARN, or all as JSON, on standard output.
func (p *Program) printRelease(out *bedrockagentcorecontrol.GetAgentRuntimeOutput, r release, changed bool) error {
	set := settingsOf(out)
	if r.json {
		doc := map[string]any{
			"agentRuntimeArn": aws.ToString(out.AgentRuntimeArn), "agentRuntimeId": aws.ToString(out.AgentRuntimeId),
			"agentRuntimeName": r.name, "agentRuntimeVersion": aws.ToString(out.AgentRuntimeVersion), "status": string(out.Status), "changed": changed,
		}
		if r.image == "" {
			maps.Copy(doc, map[string]any{
				"runtime": r.bundle.Runtime, "entryPoint": r.bundle.EntryPoint, "bucket": r.code.bucket, "key": r.code.key,
				"digest": r.bundle.Digest, "size": r.bundle.Size, "files": r.bundle.Files,
			})
		}
		for name, value := range map[string]string{"versionId": r.code.version, "image": r.image, "networkMode": set.NetworkMode, "sessionStorage": set.Storage, "snapshot": set.Snapshot, "protocol": set.Protocol} {
			if value != "" {
				doc[name] = value
			}
		}
		if len(set.AllowedPorts) > 0 {
			doc["allowedPorts"] = set.AllowedPorts
		}
		return p.printJSON(doc)
	}
	how := "is"
	if !changed {
		how = "is unchanged and"
	}
	on := "from " + r.image
	if r.image == "" {
		on = "on " + r.bundle.Runtime
	}
	p.say("%s %s %s, version %s, %s", r.name, how, out.Status, aws.ToString(out.AgentRuntimeVersion), on)
	if text := set.String(); text != "" {
		p.say("%s", text)
	}
	if _, err := fmt.Fprintln(p.Stdout, aws.ToString(out.AgentRuntimeArn)); err != nil {
		return err
	}
	if inChange(out.Status) {
		p.say("Next: outcrop ls%s shows when it is READY", r.where)
		return nil
	}
	withToken := ""
	if jwtIn(out.AuthorizerConfiguration) != nil {
		withToken = " --token-file FILE"
	}
	p.say("Next: %s%s%s", next(r.name, protocolIn(out.ProtocolConfiguration)), withToken, r.where)
	return nil
}

// next is what to do with an agent that is READY.
func next(name string, protocol types.ServerProtocol) string {
	switch protocol {
	case types.ServerProtocolMcp:
		return "outcrop invoke " + name + ` '{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}'`
	case types.ServerProtocolA2a:
		return "outcrop logs " + name + " -f"
	default:
		return "outcrop invoke " + name + ` '{"prompt": "hi"}'`
	}
}
