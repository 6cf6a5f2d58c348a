package crash

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/outcrop/outcrop/conformance/agent"
)

// variants is how many different zips the runtimes of one worker use.
const variants = 4

func variantKey(worker, n int) string { return fmt.Sprintf("variant-%d-%d.zip", worker, n) }

// putVariants stores zips that can be prepared and are never run, and returns
// their digests by key.
func (r *rig) putVariants(ctx context.Context, workers int) (map[string]string, error) {
	out := map[string]string{}
	for worker := range workers {
		for n := range variants {
			files := map[string][]byte{"main.py": fmt.Appendf(nil, "variant = %d, %d\n", worker, n)}
			for i := range 20 { // so that unpacking takes a moment
				files[fmt.Sprintf("package/module%d.py", i)] = fmt.Appendf(nil, "module = %d\n", i)
			}
			code, err := agent.Pack(files)
			if err != nil {
				return nil, err
			}
			key := variantKey(worker, n)
			if _, err := r.objects.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String(codeBucket), Key: &key, Body: bytes.NewReader(code)}); err != nil {
				return nil, err
			}
			out[key] = digest(code)
		}
	}
	return out, nil
}

// tokened is a call with a client token: made again it must change nothing and
// give the same runtime and version.
type tokened struct {
	what, name string
	call       func(context.Context, *rig) (id, version string, err error)
	// id and version are those of the first answer, empty where there was none.
	id, version string
}

func (l *load) remember(what, name string, call func(context.Context, *rig) (string, string, error)) *tokened {
	c := &tokened{what: what, name: name, call: call}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.replays = append(l.replays, c)
	return c
}

// fire makes the call for the first time.
func (l *load) fire(ctx context.Context, c *tokened, state string) error {
	return l.change("runtime/"+c.name, state, func() error {
		id, version, err := c.call(ctx, l.rig)
		if err == nil {
			c.id, c.version = id, version
		}
		return err
	})
}

func token(r *rand.Rand) *string {
	return aws.String(fmt.Sprintf("%016x-%016x-%016x", r.Uint64(), r.Uint64(), r.Uint64()))
}

// runtimesWorker creates, updates and deletes runtimes of its own. Which there
// are is told by what was found at the start and by the journal since.
func (l *load) runtimesWorker(ctx context.Context, r *rand.Rand, i int, found map[string]string) error {
	live := map[string]string{} // id by name
	versions := map[string]int{}
	for name, state := range found {
		if rest, ok := strings.CutPrefix(name, fmt.Sprintf("runtime/rt%d_", i)); ok {
			var v int
			if _, err := fmt.Sscanf(state, "%d:", &v); err != nil {
				return err
			}
			name := fmt.Sprintf("rt%d_%s", i, rest)
			live[name], versions[name] = found["id/"+name], v
		}
	}
	for ctx.Err() == nil {
		names := keys(live)
		if len(names) == 0 || len(names) < 4 && r.IntN(3) == 0 {
			name := fmt.Sprintf("rt%d_%d_%d", i, l.round, r.IntN(1<<30))
			id, err := l.create(ctx, r, i, name)
			if err != nil {
				return err
			}
			live[name], versions[name] = id, 1
			continue
		}
		name := names[r.IntN(len(names))]
		var err error
		if r.IntN(2) == 0 {
			versions[name]++
			err = l.update(ctx, r, i, name, live[name], versions[name])
		} else {
			err = l.remove(ctx, r, name, live[name])
			delete(live, name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *load) create(ctx context.Context, r *rand.Rand, worker int, name string) (id string, err error) {
	description := fmt.Sprintf("%x", r.Uint64())
	in := l.account.Input(codeBucket, name, l.python())
	in.AgentRuntimeArtifact, in.Description, in.ClientToken = l.artifact(variantKey(worker, r.IntN(variants))), &description, token(r)
	in.EnvironmentVariables = map[string]string{"DESCRIPTION": description}
	c := l.remember("create", name, func(ctx context.Context, rig *rig) (string, string, error) {
		out, err := rig.runtimes.CreateAgentRuntime(ctx, in)
		if err != nil {
			return "", "", err
		}
		return *out.AgentRuntimeId, *out.AgentRuntimeVersion, nil
	})
	if err := l.fire(ctx, c, "1:"+description); err != nil {
		return "", err
	}
	return c.id, l.settled(ctx, c.id)
}

func (l *load) update(ctx context.Context, r *rand.Rand, worker int, name, id string, version int) error {
	description := fmt.Sprintf("%x", r.Uint64())
	as := l.account.Input(codeBucket, name, l.python())
	in := &control.UpdateAgentRuntimeInput{
		AgentRuntimeId: &id, AgentRuntimeArtifact: l.artifact(variantKey(worker, r.IntN(variants))), RoleArn: as.RoleArn,
		NetworkConfiguration: as.NetworkConfiguration, Description: &description, ClientToken: token(r),
		EnvironmentVariables: map[string]string{"DESCRIPTION": description},
	}
	c := l.remember("update", name, func(ctx context.Context, rig *rig) (string, string, error) {
		out, err := rig.runtimes.UpdateAgentRuntime(ctx, in)
		if err != nil {
			return "", "", err
		}
		return *out.AgentRuntimeId, *out.AgentRuntimeVersion, nil
	})
	if err := l.fire(ctx, c, fmt.Sprintf("%d:%s", version, description)); err != nil {
		return err
	}
	return l.settled(ctx, id)
}

func (l *load) remove(ctx context.Context, r *rand.Rand, name, id string) error {
	in := &control.DeleteAgentRuntimeInput{AgentRuntimeId: &id, ClientToken: token(r)}
	c := l.remember("delete", name, func(ctx context.Context, rig *rig) (string, string, error) {
		out, err := rig.runtimes.DeleteAgentRuntime(ctx, in)
		if err != nil {
			return "", "", err
		}
		return *out.AgentRuntimeId, "", nil
	})
	return l.fire(ctx, c, absent)
}

func (r *rig) artifact(key string) *types.AgentRuntimeArtifactMemberCodeConfiguration {
	return agent.Artifact(codeBucket, key, r.python(), "main.py")
}

// settled waits until a runtime is READY: until then a change is refused.
func (r *rig) settled(ctx context.Context, id string) error {
	_, err := r.account.Settle(ctx, id)
	return err
}
