package cli

import (
	"context"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/outcrop/outcrop/internal/client"
)

// listRuntimes returns all runtimes of the region.
func listRuntimes(ctx context.Context, c *client.Client) ([]types.AgentRuntime, error) {
	var all []types.AgentRuntime
	pages := bedrockagentcorecontrol.NewListAgentRuntimesPaginator(c.Control(), &bedrockagentcorecontrol.ListAgentRuntimesInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, page.AgentRuntimes...)
	}
	return all, nil
}

// findRuntime returns the runtime with this name, id or ARN, or nil.
func findRuntime(ctx context.Context, c *client.Client, ref string) (*types.AgentRuntime, error) {
	all, err := listRuntimes(ctx, c)
	if err != nil {
		return nil, err
	}
	for i, r := range all {
		if ref == aws.ToString(r.AgentRuntimeName) || ref == aws.ToString(r.AgentRuntimeId) || ref == aws.ToString(r.AgentRuntimeArn) {
			return &all[i], nil
		}
	}
	return nil, nil
}

// needRuntime is findRuntime for commands that cannot go on without one.
func needRuntime(ctx context.Context, c *client.Client, ref string) (*types.AgentRuntime, error) {
	r, err := findRuntime(ctx, c, ref)
	if err != nil {
		return nil, err
	}
	if r == nil {
		return nil, fail("See what there is: outcrop ls", "there is no runtime %q in region %s", ref, c.Target().Region)
	}
	return r, nil
}

// openRuntime is what a command on one agent begins with: the server's client,
// and the runtime that ref names there.
func (p *Program) openRuntime(ctx context.Context, f *flags, ref string) (*client.Client, *types.AgentRuntime, error) {
	if err := checkRef(ref, f); err != nil {
		return nil, nil, err
	}
	c, err := p.connect(ctx, f)
	if err != nil {
		return nil, nil, err
	}
	r, err := needRuntime(ctx, c, ref)
	return c, r, err
}

// inChange reports whether the server is at work on a runtime.
func inChange(s types.AgentRuntimeStatus) bool {
	return s == types.AgentRuntimeStatusCreating || s == types.AgentRuntimeStatusUpdating || s == types.AgentRuntimeStatusDeleting
}

// The pauses between looks at a runtime that is changing.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = 2 * time.Second
)

// pollRuntime looks at a runtime until done says so, and returns it as it was
// then. Who wants an end to the waiting ends ctx.
func (p *Program) pollRuntime(ctx context.Context, c *client.Client, id string, done func(types.AgentRuntimeStatus) (bool, error)) (*bedrockagentcorecontrol.GetAgentRuntimeOutput, error) {
	for pause := firstPause; ; pause = min(pause*3/2, lastPause) {
		r, err := c.Control().GetAgentRuntime(ctx, &bedrockagentcorecontrol.GetAgentRuntimeInput{AgentRuntimeId: aws.String(id)})
		if err != nil {
			return nil, err
		}
		if ok, err := done(r.Status); ok || err != nil {
			return r, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
	}
}

// The forms of a reference to a runtime (spec/runtime.md 2.1).
var (
	namePattern = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_]{0,47}$`)
	refPattern  = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_]{0,99}(-[a-zA-Z0-9]{10})?$`)
	functionARN = regexp.MustCompile(`^arn:aws:lambda:([a-z0-9-]+):[0-9]{12}:function:[a-zA-Z0-9-_]{1,64}$`)
	arnPattern  = regexp.MustCompile(`^arn:aws[^:]*:bedrock-agentcore:([a-z0-9-]+):([0-9]{12}):runtime/([a-zA-Z][a-zA-Z0-9_]{0,99}-[a-zA-Z0-9]{10})$`)
)

// checkRef refuses what can name no runtime, and chooses the region an ARN names.
func checkRef(ref string, f *flags) error {
	if refPattern.MatchString(ref) {
		return nil
	}
	if m := arnPattern.FindStringSubmatch(ref); m != nil {
		if f.region != "" && f.region != m[1] {
			return misuse("--region %s differs from that of %s", f.region, ref)
		}
		f.region = m[1]
		return nil
	}
	return misuse("%q names no runtime: give its name, its id or its ARN", ref)
}

// resolveID returns the id that a reference means. Only a name is looked up: the
// log of a deleted runtime can still be read by its id.
func resolveID(ctx context.Context, c *client.Client, ref string) (string, error) {
	if id := ref[strings.LastIndexByte(ref, '/')+1:]; strings.Contains(id, "-") {
		return id, nil
	}
	r, err := needRuntime(ctx, c, ref)
	if err != nil {
		return "", err
	}
	return aws.ToString(r.AgentRuntimeId), nil
}
