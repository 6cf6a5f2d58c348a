package guest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	data "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/outcrop/outcrop/conformance/pinned"
	"github.com/outcrop/outcrop/internal/principal"
	"github.com/outcrop/outcrop/internal/sandbox/network/metadata"
)

// ways are the two in which a client is told where credentials are.
func (k *kit) ways() map[string][]string {
	return map[string][]string{
		"metadata": {"AWS_EC2_METADATA_SERVICE_ENDPOINT=" + k.Metadata},
		"container": {
			"AWS_EC2_METADATA_DISABLED=true", "AWS_CONTAINER_CREDENTIALS_FULL_URI=" + k.Metadata + metadata.ContainerPath,
			"AWS_CONTAINER_AUTHORIZATION_TOKEN=" + containerToken,
		},
	}
}

func TestClients(t *testing.T) {
	k := newKit(t)
	for way, env := range k.ways() {
		t.Run("boto3/"+way, func(t *testing.T) { k.in(t).told(pythonClient(t), env) })
		t.Run("aws-cli/"+way, func(t *testing.T) { k.in(t).cli(env) })
	}
	t.Run("go/metadata", func(t *testing.T) {
		client := imds.New(imds.Options{Endpoint: k.Metadata, EnableFallback: aws.FalseTernary})
		k.in(t).golang(ec2rolecreds.New(func(o *ec2rolecreds.Options) { o.Client = client }))
	})
	t.Run("go/container", func(t *testing.T) {
		k.in(t).golang(endpointcreds.New(k.Metadata+metadata.ContainerPath, func(o *endpointcreds.Options) { o.AuthorizationToken = containerToken }))
	})
}

// in is the kit for a part of its test.
func (k *kit) in(t *testing.T) *kit {
	return &kit{API: k.API, Metadata: k.Metadata, Directory: k.Directory, Session: k.Session, role: k.role, t: t}
}

// TestNothingWithoutCredentials: an agent whose client finds no credentials
// gets nothing from the server, though it came over the guest's own wire.
func TestNothingWithoutCredentials(t *testing.T) {
	k := newKit(t)
	for _, call := range [][2]string{
		{"POST", "/runtimes/"}, {"PUT", "/code/agent.zip"}, {"GET", "/_outcrop/v1/sessions"}, {"GET", "/?Action=GetCallerIdentity&Version=2011-06-15"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), call[0], k.API+call[1], nil)
		k.must(err)
		resp, err := http.DefaultClient.Do(r)
		k.must(err)
		if resp.StatusCode != http.StatusForbidden && resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", call, resp.Status)
		}
		k.must(resp.Body.Close())
	}
}

// TestJavaScript is one test since its client is installed for it.
func TestJavaScript(t *testing.T) {
	k := newKit(t)
	client := nodeClient(t)
	for way, env := range k.ways() {
		t.Run(way, func(t *testing.T) { k.in(t).told(client(t), env) })
	}
	t.Run("renewal", func(t *testing.T) {
		k := newKit(t)
		k.set(-56 * time.Minute) // what is made now is over in four
		p := start(t, client(t), k.env(k.ways()["metadata"]...))
		first := k.check(p.ask(""))
		k.set(0)
		for range 20 { // it renews beside its calls
			if k.check(p.ask("")).Key != first.Key {
				p.end()
				return
			}
		}
		t.Errorf("still signs with %s", first.Key)
	})
}

// TestRenewal: a long-lived client gets new credentials before its own are over.
func TestRenewal(t *testing.T) {
	k := newKit(t)
	p := start(t, pythonClient(t), k.env(k.ways()["metadata"]...))
	first := k.check(p.ask(""))
	k.set(50 * time.Minute)
	if again := k.check(p.ask("")); again.Key != first.Key {
		t.Error("it does not keep what is good for an hour")
	}
	if second := k.check(p.ask("50 minutes later")); second.Key == first.Key {
		t.Errorf("still signs with %s", first.Key)
	}
	p.end()
}

// TestCopies: a client that was copied while it held credentials of the guest it
// was copied from goes on without a failure, and soon as itself.
func TestCopies(t *testing.T) {
	k := newKit(t)
	k.copied(true)
	p := start(t, pythonClient(t), k.env(k.ways()["metadata"]...))
	first := k.check(p.ask(""))
	k.Session.Retire() // the guest was saved; the copy has another session
	template := k.Session
	var err error
	k.Session, err = k.Directory.BeginRoleSession(k.t.Context(), principal.RoleUse{Role: k.role, Name: sessionName + "2"})
	k.must(err)
	k.copied(false)
	k.set(5 * time.Minute)
	second := answer{}
	k.must(json.Unmarshal(p.ask("5 minutes later"), &second))
	if second.Arn != template.ARN() && second.Arn != k.Session.ARN() {
		t.Errorf("five minutes later it is %s", second.Arn)
	}
	k.set(20 * time.Minute)
	if third := k.check(p.ask("20 minutes later")); third.Key == first.Key {
		t.Errorf("still signs with %s", first.Key)
	}
	p.end()
}

// TestTokens: the Go SDK keeps its token for IMDSv2 for hours, and gets another
// where a resumed guest's is refused.
func TestTokens(t *testing.T) {
	k := newKit(t)
	client := imds.New(imds.Options{Endpoint: k.Metadata, EnableFallback: aws.FalseTernary})
	provider := ec2rolecreds.New(func(o *ec2rolecreds.Options) { o.Client = client })
	for range 3 {
		if _, err := provider.Retrieve(t.Context()); err != nil {
			t.Error(err)
		}
		k.copied(false) // another key
	}
}

// TestEnd: what an agent held is void when its session has ended.
func TestEnd(t *testing.T) {
	k := newKit(t)
	p := start(t, pythonClient(t), k.env(k.ways()["metadata"]...))
	k.check(p.ask(""))
	k.Session.End()
	if line, err := p.try(""); err == nil {
		t.Errorf("a session that has ended is still let in: %s", line)
	}
	if out := p.stderr.String(); !strings.Contains(out, "(ExpiredToken)") {
		t.Errorf("refused with %s", out)
	}
}

// told runs a program that answers each line with one.
func (k *kit) told(cmd *exec.Cmd, env []string) {
	p := start(k.t, cmd, k.env(env...))
	k.check(p.ask(""))
	p.end()
}

// process is a running client.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr strings.Builder
}

func start(t *testing.T, cmd *exec.Cmd, env []string) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd}
	cmd.Env, cmd.Stderr = env, &p.stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.in, p.out = in, bufio.NewReader(out)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *process) try(line string) ([]byte, error) {
	if _, err := io.WriteString(p.in, line+"\n"); err != nil {
		return nil, err
	}
	answer, err := p.out.ReadBytes('\n')
	if err != nil {
		err = errors.Join(err, p.cmd.Wait())
	}
	return answer, err
}

func (p *process) ask(line string) []byte {
	p.t.Helper()
	answer, err := p.try(line)
	if err != nil {
		p.t.Fatalf("%v: %s", err, p.stderr.String())
	}
	return answer
}

func (p *process) end() {
	p.t.Helper()
	if err := errors.Join(p.in.Close(), p.cmd.Wait()); err != nil {
		p.t.Errorf("%v: %s", err, p.stderr.String())
	}
}

func pythonClient(t *testing.T) *exec.Cmd {
	return exec.CommandContext(t.Context(), pinned.Program(t, "python"), "testdata/whoami.py")
}

// nodeClient installs the packages of conformance/clients for its Node.
func nodeClient(t *testing.T) func(*testing.T) *exec.Cmd {
	t.Helper()
	node, dir := pinned.Node(t, "../clients/testdata", "testdata/whoami.mjs")
	return func(t *testing.T) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), node, "whoami.mjs")
		cmd.Dir = dir
		return cmd
	}
}

// cli asks the AWS CLI, one call a process.
func (k *kit) cli(env []string) {
	aws := func(args ...string) (string, error) {
		cmd := exec.CommandContext(k.t.Context(), pinned.Program(k.t, "aws"), args...)
		cmd.Env = k.env(env...)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	out, err := aws("sts", "get-caller-identity", "--output", "json")
	if err != nil {
		k.t.Fatalf("%v: %s", err, out)
	}
	var me answer
	k.must(json.Unmarshal([]byte(out), &me))
	if me.Arn != k.Session.ARN() {
		k.t.Errorf("it is %+v", me)
	}
	out, err = aws("bedrock-agentcore-control", "list-agent-runtimes")
	if err == nil || !strings.Contains(out, "(AccessDeniedException)") || !strings.Contains(out, "User: "+me.Arn+" is not authorized to perform: bedrock-agentcore:ListAgentRuntimes") {
		k.t.Errorf("%v: %s", err, out)
	}
}

// golang asks the AWS SDK for Go v2.
func (k *kit) golang(provider aws.CredentialsProvider) {
	ctx := k.t.Context()
	cfg := aws.Config{
		Region: region, BaseEndpoint: &k.API, Credentials: aws.NewCredentialsCache(provider), Retryer: func() aws.Retryer { return aws.NopRetryer{} },
	}
	me, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	k.must(err)
	creds, err := cfg.Credentials.Retrieve(ctx)
	k.must(err)
	if !creds.CanExpire || time.Until(creds.Expires) > time.Hour || time.Until(creds.Expires) < 25*time.Minute {
		k.t.Errorf("credentials expire at %s", creds.Expires)
	}
	buckets := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })
	arn := "arn:aws:bedrock-agentcore:" + region + ":" + *me.Account + ":runtime/hello-0123456789"
	line, err := json.Marshal(answer{
		Account: *me.Account, Arn: *me.Arn, UserId: *me.UserId, Key: creds.AccessKeyID,
		Refused: [][]any{
			refusal(control.NewFromConfig(cfg).ListAgentRuntimes(ctx, &control.ListAgentRuntimesInput{})),
			refusal(data.NewFromConfig(cfg).InvokeAgentRuntime(ctx, &data.InvokeAgentRuntimeInput{AgentRuntimeArn: &arn, Payload: []byte("{}")})),
			refusal(buckets.ListBuckets(ctx, &s3.ListBucketsInput{})),
			refusal(buckets.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("code"), Key: aws.String("agent.zip")})),
		},
	})
	k.must(err)
	k.check(line)
}

func refusal[T any](_ T, err error) []any {
	var api smithy.APIError
	var resp *smithyhttp.ResponseError
	if !errors.As(err, &api) || !errors.As(err, &resp) {
		return []any{fmt.Sprint(err)}
	}
	return []any{api.ErrorCode(), resp.HTTPStatusCode(), api.ErrorMessage()}
}
