package main

import (
	"bufio"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/outcrop/outcrop/conformance/agent"
	"github.com/outcrop/outcrop/internal/bundle"
	"github.com/outcrop/outcrop/internal/client"
)

// program is the real server, as a process of its own.
type program struct {
	target
	data   string
	cmd    *exec.Cmd
	client *client.Client
}

// serve runs the program on a data directory, with further arguments, until end.
func serve(ctx context.Context, o options, data string, args ...string) (*program, error) {
	args = append([]string{"serve", "--listen", "127.0.0.1:0", "--data", data, "--grace", "2s"}, args...)
	cmd := exec.CommandContext(ctx, o.binary, args...)
	// The state file of whoever measures is left alone.
	cmd.Env = append(os.Environ(), "XDG_STATE_HOME="+filepath.Join(o.dir, "state"))
	said, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &program{data: data, cmd: cmd}
	ready := make(chan string)
	go func() {
		defer close(ready)
		for lines := bufio.NewScanner(said); lines.Scan(); {
			if _, rest, ok := strings.Cut(lines.Text(), " listens on http://"); ok {
				ready <- strings.Fields(rest)[0]
			} else if strings.Contains(lines.Text(), "level=WARN") || strings.Contains(lines.Text(), "level=ERROR") {
				fmt.Fprintln(os.Stderr, lines.Text()) // what is measured may not be what was meant
			}
		}
	}()
	addr, ok := <-ready
	if !ok {
		return nil, errors.Join(errors.New("the server did not start"), cmd.Wait())
	}
	creds, err := client.ReadCredentials(data)
	if err != nil {
		return nil, errors.Join(err, p.end())
	}
	p.target = target{addr, creds}
	p.client, err = client.New(client.Config{Target: client.Target{
		Endpoint: "http://" + addr, Region: creds.Region, AccessKeyID: creds.AccessKeyID, SecretAccessKey: creds.SecretAccessKey,
	}})
	if err != nil {
		return nil, errors.Join(err, p.end())
	}
	return p, nil
}

// end stops the server in order.
func (p *program) end() error {
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		return err
	}
	return p.cmd.Wait()
}

//go:embed sdk
var sdkAgent embed.FS

// packed is the SDK agent as it is deployed, and a Python of this host to run it
// with outside.
type packed struct {
	*bundle.Bundle
	python string
}

// pack vendors the agent's packages, with the user's own uv or pip.
func (p *program) pack(ctx context.Context, o options) (*packed, error) {
	folder := filepath.Join(o.dir, "sdk")
	if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		if err := os.CopyFS(o.dir, sdkAgent); err != nil {
			return nil, err
		}
	}
	info, err := p.client.Server(ctx)
	if err != nil {
		return nil, err
	}
	pythons := map[string]string{}
	for _, in := range info.Interpreters {
		pythons[*in.Runtime] = aws.ToString(in.Executable)
	}
	b, err := bundle.Build(ctx, bundle.Options{Folder: folder, Targets: agent.Targets(info), Env: os.Environ(), TempDir: o.dir, CacheDir: filepath.Join(o.dir, "vendored")})
	if err != nil {
		return nil, fmt.Errorf("pack the SDK agent: %w", err)
	}
	return &packed{b, pythons[b.Runtime]}, nil
}

// deploy creates a runtime of a packed agent and waits until it is READY.
func (p *program) deploy(ctx context.Context, b *packed, name string, env map[string]string) (arn string, err error) {
	code, err := os.ReadFile(b.Path)
	if err != nil {
		return "", err
	}
	to := p.account()
	if err := to.Store(ctx, name, agent.Key, code); err != nil {
		return "", err
	}
	in := to.Input(name, name, types.AgentManagedRuntimeType(b.Runtime))
	in.AgentRuntimeArtifact = agent.Artifact(name, agent.Key, types.AgentManagedRuntimeType(b.Runtime), b.EntryPoint...)
	in.EnvironmentVariables = env
	got, err := to.Create(ctx, in)
	if err != nil {
		return "", err
	}
	return *got.AgentRuntimeArn, nil
}

// ask sends an empty prompt to a session, and returns the time to the first byte
// of the answer, and the answer. The request is signed before.
func (p *program) ask(ctx context.Context, arn, session string) (time.Duration, string, error) {
	request, err := p.signed(ctx, arn, session, []byte(`{"prompt":""}`))
	if err != nil {
		return 0, "", err
	}
	begun := time.Now()
	finish, err := firstByte(p.addr, request)
	took := time.Since(begun)
	if err != nil {
		return 0, "", err
	}
	text, err := finish()
	return took, text, err
}

// stop ends a session.
func (p *program) stop(ctx context.Context, arn, session string) error {
	_, err := p.client.Data().StopRuntimeSession(ctx, &bedrockagentcore.StopRuntimeSessionInput{AgentRuntimeArn: &arn, RuntimeSessionId: &session})
	return err
}

// sealed are the files of a kind of snapshots, and their size.
func (p *program) sealed(kind string) (n int, size int64, err error) {
	found, err := filepath.Glob(filepath.Join(p.data, "snapshots", kind, "*.sealed"))
	for _, path := range found {
		info, err := os.Stat(path)
		if err != nil {
			return 0, 0, err
		}
		size += info.Size()
	}
	return len(found), size, err
}

// until asks again and again, for two minutes at most.
func until(ctx context.Context, what string, is func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		ok, err := is()
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w", what, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}
