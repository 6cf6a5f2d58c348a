// Package agent makes agents for tests and measurements: packs their code, stores
// it and creates the runtime that runs it.
package agent

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/outcrop/outcrop/internal/api/model/outcrop"
	"github.com/outcrop/outcrop/internal/bundle"
)

// Pack is a code zip of files, by name, that may all be executed.
func Pack(files map[string][]byte) ([]byte, error) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		h := &zip.FileHeader{Name: name, Method: zip.Deflate}
		h.SetMode(0o755)
		f, err := w.CreateHeader(h)
		if err != nil {
			return nil, err
		}
		if _, err := f.Write(files[name]); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Executable is a code zip whose main.py becomes a static program at once. The
// program serves 127.0.0.1:8080, as every agent does.
func Executable(path string, args ...string) ([]byte, error) {
	program, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	argv := "'" + strings.Join(append([]string{"agent"}, args...), "', '") + "'"
	return Pack(map[string][]byte{"main.py": []byte("import os\nos.execv('/var/task/agent', [" + argv + "])\n"), "agent": program})
}

// Build builds the Go program of an import path as a static one.
func Build(ctx context.Context, path, program string) error {
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", path, program)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build agent %s: %w: %s", program, err, out)
	}
	return nil
}

// Zip builds the Go program of an import path in dir and is its Executable.
func Zip(ctx context.Context, dir, program string) ([]byte, error) {
	path := filepath.Join(dir, "agent")
	if err := Build(ctx, path, program); err != nil {
		return nil, err
	}
	return Executable(path)
}

// Targets are what the sandboxes of a server can run, for packing an agent.
func Targets(info *outcrop.GetServerResponse) []bundle.Target {
	var out []bundle.Target
	for _, in := range info.Interpreters {
		out = append(out, bundle.Target{Runtime: *in.Runtime, Version: *in.Version, Machine: aws.ToString(in.Machine), Libc: aws.ToString(in.Libc)})
	}
	return out
}

// Account is where an agent is deployed.
type Account struct {
	ID     string
	Config aws.Config
}

// Key is the zip's, where a bucket holds one agent.
const Key = "agent.zip"

// Store puts a code zip into a bucket, which it makes when it is not there.
func (a Account) Store(ctx context.Context, bucket, key string, code []byte) error {
	objects := s3.NewFromConfig(a.Config, func(o *s3.Options) { o.UsePathStyle = true })
	if _, err := objects.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &bucket}); err != nil {
		return err
	}
	_, err := objects.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(code)})
	return err
}

// Artifact is a stored zip of which Python runs one file.
func Artifact(bucket, key string, python types.AgentManagedRuntimeType, entry ...string) *types.AgentRuntimeArtifactMemberCodeConfiguration {
	return &types.AgentRuntimeArtifactMemberCodeConfiguration{Value: types.CodeConfiguration{
		Code: &types.CodeMemberS3{Value: types.S3Location{Bucket: &bucket, Prefix: &key}}, Runtime: python, EntryPoint: entry,
	}}
}

// Input is what creates a runtime of the main.py of BUCKET/agent.zip.
func (a Account) Input(bucket, name string, python types.AgentManagedRuntimeType) *control.CreateAgentRuntimeInput {
	return &control.CreateAgentRuntimeInput{
		AgentRuntimeName: &name, RoleArn: aws.String("arn:aws:iam::" + a.ID + ":role/outcrop-default"),
		NetworkConfiguration: &types.NetworkConfiguration{NetworkMode: types.NetworkModePublic},
		AgentRuntimeArtifact: Artifact(bucket, Key, python, "main.py"),
	}
}

// Create makes a runtime and waits until it is READY, like Settle.
func (a Account) Create(ctx context.Context, in *control.CreateAgentRuntimeInput) (*control.GetAgentRuntimeOutput, error) {
	out, err := control.NewFromConfig(a.Config).CreateAgentRuntime(ctx, in)
	if err != nil {
		return nil, err
	}
	return a.Settle(ctx, *out.AgentRuntimeId)
}

// Settle waits until nothing happens to a runtime any more. One that is not READY
// then is returned with an error that says why.
func (a Account) Settle(ctx context.Context, id string) (*control.GetAgentRuntimeOutput, error) {
	runtimes := control.NewFromConfig(a.Config)
	for {
		got, err := runtimes.GetAgentRuntime(ctx, &control.GetAgentRuntimeInput{AgentRuntimeId: &id})
		if err != nil {
			return nil, err
		}
		switch got.Status {
		case types.AgentRuntimeStatusReady:
			return got, nil
		case types.AgentRuntimeStatusCreating, types.AgentRuntimeStatusUpdating:
		default:
			return got, errors.New(string(got.Status) + ": " + aws.ToString(got.FailureReason))
		}
		select {
		case <-ctx.Done():
			return got, fmt.Errorf("wait until %s is ready: %w", id, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Deploy stores the zip as BUCKET/agent.zip and creates a runtime of it. It tries
// the Pythons from the newest, for agents that leave Python at once.
func Deploy(ctx context.Context, to Account, bucket, name string, code []byte) (*control.GetAgentRuntimeOutput, error) {
	if err := to.Store(ctx, bucket, Key, code); err != nil {
		return nil, err
	}
	var last error
	for _, python := range []types.AgentManagedRuntimeType{"PYTHON_3_14", "PYTHON_3_13", "PYTHON_3_12", "PYTHON_3_11", "PYTHON_3_10"} {
		out, err := to.Create(ctx, to.Input(bucket, name, python))
		if out != nil || err == nil {
			return out, err
		}
		last = err
	}
	return nil, last
}
