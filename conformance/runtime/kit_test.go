// Package runtime holds the Runtime service to its word with the real program
// and agents in real sandboxes.
package runtime

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/outcrop/outcrop/conformance/agent"
	"github.com/outcrop/outcrop/conformance/server"
)

const bucket = "agents"

// fixture is a server to which the agents of testdata are deployed.
type fixture struct {
	*server.Server
	*testing.T
	python types.AgentManagedRuntimeType
	zip    []byte
	agents *agents
}

// agents are the runtimes made so far.
type agents struct {
	mu   sync.Mutex
	arns map[string]string // by name
}

// newFixture packs testdata/agents once; every runtime starts another file of it.
func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{Server: server.Start(t, server.Options{}), T: t}
	f.zip, f.python = f.Pack("testdata/agents", "raw.py")
	f.upload()
	return f
}

// upload gives a new server the zip.
func (f *fixture) upload() {
	f.Helper()
	f.agents = &agents{arns: map[string]string{}}
	if err := f.Agents().Store(f.Context(), bucket, agent.Key, f.zip); err != nil {
		f.Fatal(err)
	}
}

// with is the fixture for a subtest.
func (f *fixture) with(t *testing.T) *fixture {
	own := *f
	own.T = t
	return &own
}

// another is the fixture with a server of its own.
func (f *fixture) another() *fixture {
	f.Helper()
	own := *f
	own.Server = server.Start(f.T, server.Options{})
	own.upload()
	return &own
}

// create makes a runtime that starts one file of the zip.
func (f *fixture) create(name, file string, change func(*control.CreateAgentRuntimeInput)) (*control.GetAgentRuntimeOutput, error) {
	in := f.Agents().Input(bucket, name, f.python)
	in.AgentRuntimeArtifact = agent.Artifact(bucket, agent.Key, f.python, file)
	if change != nil {
		change(in)
	}
	return f.Agents().Create(f.Context(), in)
}

// agent makes a runtime that is READY, once for each name.
func (f *fixture) agent(name, file string, change func(*control.CreateAgentRuntimeInput)) string {
	f.Helper()
	f.agents.mu.Lock()
	defer f.agents.mu.Unlock()
	if arn := f.agents.arns[name]; arn != "" {
		return arn
	}
	got, err := f.create(name, file, change)
	if err != nil {
		f.Fatal(err)
	}
	f.agents.arns[name] = *got.AgentRuntimeArn
	return *got.AgentRuntimeArn
}

// raw is the agent that does what it is told.
func (f *fixture) raw() string { f.Helper(); return f.agent("raw", "raw.py", nil) }

// request signs an invocation; a nil hash leaves the body unsigned.
func (f *fixture) request(ctx context.Context, arn, session, deed string, body io.Reader, size int64, signed bool) *http.Request {
	f.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, f.URL+"/runtimes/"+url.QueryEscape(arn)+"/invocations", body)
	if err != nil {
		f.Fatal(err)
	}
	r.ContentLength = size
	r.Header.Set("Accept", deed)
	r.Header.Set("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", session)
	hash := "UNSIGNED-PAYLOAD"
	if signed {
		sum := sha256.New()
		if body != nil {
			if _, err := io.Copy(sum, body); err != nil {
				f.Fatal(err)
			}
			if _, err := body.(io.Seeker).Seek(0, io.SeekStart); err != nil {
				f.Fatal(err)
			}
		}
		hash = hex.EncodeToString(sum.Sum(nil))
	}
	r.Header.Set("X-Amz-Content-Sha256", hash)
	creds := aws.Credentials{AccessKeyID: f.AccessKeyID, SecretAccessKey: f.SecretAccessKey}
	if err := v4.NewSigner().SignHTTP(ctx, creds, r, hash, "bedrock-agentcore", f.Region, time.Now()); err != nil {
		f.Fatal(err)
	}
	return r
}

// refusal is what the server says instead of an answer.
type refusal struct {
	Status        int
	Type, Message string
}

func (r *refusal) Error() string { return fmt.Sprintf("%d %s: %s", r.Status, r.Type, r.Message) }

// do sends a request; an answer that is not 2xx is a *refusal.
func do(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultClient.Do(r)
	if err != nil || resp.StatusCode/100 == 2 {
		return resp, err
	}
	defer resp.Body.Close()
	said := &refusal{Status: resp.StatusCode, Type: resp.Header.Get("X-Amzn-Errortype")}
	if err := json.NewDecoder(resp.Body).Decode(said); err != nil {
		return nil, err
	}
	return nil, said
}

// ask has an agent do something and returns its whole answer.
func (f *fixture) ask(arn, session, deed string) (string, error) {
	resp, err := do(f.request(f.Context(), arn, session, deed, nil, 0, true))
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

// must is ask where nothing may go wrong.
func (f *fixture) must(arn, session, deed string) string {
	f.Helper()
	answer, err := f.ask(arn, session, deed)
	if err != nil {
		f.Fatal(err)
	}
	return answer
}

// refused wants a refusal with a text.
func (f *fixture) refused(err error, status int, fragment string) {
	f.Helper()
	var said *refusal
	if !errors.As(err, &said) || said.Status != status || !strings.Contains(said.Message, fragment) {
		f.Errorf("%v, want %d with %q", err, status, fragment)
	}
}

// logged waits until `outcrop logs` shows a line, and returns all it shows.
func (f *fixture) logged(name, fragment string) string {
	f.Helper()
	var out string
	for deadline := time.Now().Add(server.Wait); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		var err error
		if out, _, err = f.CLI(f.Context(), "logs", name); err == nil && strings.Contains(out, fragment) {
			return out
		}
	}
	f.Errorf("the log of %s lacks %q:\n%s", name, fragment, out)
	return out
}

// stop ends a session.
func (f *fixture) stop(arn, session string) error {
	body := []byte("{}")
	r, err := http.NewRequestWithContext(f.Context(), http.MethodPost, f.URL+"/runtimes/"+url.QueryEscape(arn)+"/stopruntimesession", bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", session)
	sum := sha256.Sum256(body)
	creds := aws.Credentials{AccessKeyID: f.AccessKeyID, SecretAccessKey: f.SecretAccessKey}
	if err := v4.NewSigner().SignHTTP(f.Context(), creds, r, hex.EncodeToString(sum[:]), "bedrock-agentcore", f.Region, time.Now()); err != nil {
		return err
	}
	resp, err := do(r)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// peak is the server's largest resident size since forget, in bytes.
func (f *fixture) peak() int64 {
	f.Helper()
	status, err := os.ReadFile("/proc/" + strconv.Itoa(f.Cmd.Process.Pid) + "/status")
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				f.Fatal(err)
			}
			return kb << 10
		}
	}
	f.Fatal("the process has no VmHWM")
	return 0
}

// forget sets the peak back to what is resident now.
func (f *fixture) forget() {
	f.Helper()
	if err := os.WriteFile("/proc/"+strconv.Itoa(f.Cmd.Process.Pid)+"/clear_refs", []byte("5"), 0); err != nil {
		f.Fatal(err)
	}
}

// holding are the files of the data directory that hold a text.
func holding(f *fixture, text string) (found []string) {
	f.Helper()
	err := filepath.WalkDir(f.DataDir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil // it comes and goes while the server runs
		}
		b, err := os.ReadFile(path)
		if err == nil && bytes.Contains(b, []byte(text)) {
			found = append(found, path)
		}
		return nil
	})
	if err != nil {
		f.Fatal(err)
	}
	return found
}
