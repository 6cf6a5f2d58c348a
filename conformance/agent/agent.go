// Package agent makes agents for tests and measurements that start at once: a
// static Go program in a code zip whose main.py becomes it, and the runtime that
// runs it.
package agent

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Zip builds the Go program of an import path in dir and packs it. The program
// serves 127.0.0.1:8080, as every agent does.
func Zip(ctx context.Context, dir, program string) ([]byte, error) {
	exe := filepath.Join(dir, "agent")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", exe, program)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build agent %s: %w: %s", program, err, out)
	}
	code, err := os.ReadFile(exe)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, content := range map[string][]byte{
		"main.py": []byte("import os\nos.execv('/var/task/agent', ['agent'])\n"), "agent": code,
	} {
		h := &zip.FileHeader{Name: name, Method: zip.Deflate}
		h.SetMode(0o755)
		f, err := w.CreateHeader(h)
		if err != nil {
			return nil, err
		}
		if _, err := f.Write(content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Account is where an agent is deployed.
type Account struct {
	ID     string
	Config aws.Config
}

// Deploy stores the zip as BUCKET/agent.zip, makes the bucket when it is not
// there, creates a runtime and waits until it is READY.
func Deploy(ctx context.Context, to Account, bucket, name string, code []byte) (*control.GetAgentRuntimeOutput, error) {
	objects := s3.NewFromConfig(to.Config, func(o *s3.Options) { o.UsePathStyle = true })
	if _, err := objects.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &bucket}); err != nil {
		return nil, err
	}
	if _, err := objects.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: aws.String(Key), Body: bytes.NewReader(code)}); err != nil {
		return nil, err
	}
	runtimes := control.NewFromConfig(to.Config)
	created, err := create(ctx, runtimes, to, bucket, name)
	if err != nil {
		return nil, err
	}
	for {
		got, err := runtimes.GetAgentRuntime(ctx, &control.GetAgentRuntimeInput{AgentRuntimeId: created.AgentRuntimeId})
		if err != nil {
			return nil, err
		}
		switch got.Status {
		case types.AgentRuntimeStatusReady:
			return got, nil
		case types.AgentRuntimeStatusCreateFailed:
			return nil, errors.New(aws.ToString(got.FailureReason))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// Key is the zip's.
const Key = "agent.zip"

// Input is what creates a runtime of a zip that Deploy has stored.
func (a Account) Input(bucket, name string, python types.AgentManagedRuntimeType) *control.CreateAgentRuntimeInput {
	return &control.CreateAgentRuntimeInput{
		AgentRuntimeName: &name, RoleArn: aws.String("arn:aws:iam::" + a.ID + ":role/outcrop-default"),
		NetworkConfiguration: &types.NetworkConfiguration{NetworkMode: types.NetworkModePublic},
		AgentRuntimeArtifact: &types.AgentRuntimeArtifactMemberCodeConfiguration{Value: types.CodeConfiguration{
			Code:    &types.CodeMemberS3{Value: types.S3Location{Bucket: &bucket, Prefix: aws.String(Key)}},
			Runtime: python, EntryPoint: []string{"main.py"},
		}},
	}
}

// create tries the Pythons from the newest: the agent leaves Python at once.
func create(ctx context.Context, runtimes *control.Client, to Account, bucket, name string) (*control.CreateAgentRuntimeOutput, error) {
	var last error
	for _, python := range []types.AgentManagedRuntimeType{"PYTHON_3_14", "PYTHON_3_13", "PYTHON_3_12", "PYTHON_3_11", "PYTHON_3_10"} {
		out, err := runtimes.CreateAgentRuntime(ctx, to.Input(bucket, name, python))
		if err == nil {
			return out, nil
		}
		last = err
	}
	return nil, last
}
