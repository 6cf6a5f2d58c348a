package crash

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	data "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"golang.org/x/sys/unix"

	"github.com/outcrop/outcrop/conformance/agent"
	"github.com/outcrop/outcrop/conformance/server"
	"github.com/outcrop/outcrop/internal/client"
)

// TestMain makes this process the one that inherits what a killed server
// leaves, so that nothing can hide from the census.
func TestMain(m *testing.M) {
	if runtime.GOOS != "linux" {
		fmt.Println("the server needs Linux")
		return
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		fmt.Fprintln(os.Stderr, "become subreaper:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// nightly tells whether there is time.
func nightly() bool { return os.Getenv("OUTCROP_NIGHTLY") != "" }

// setting is what an environment variable says, or else a default.
func setting[T any](t *testing.T, name string, parse func(string) (T, error), otherwise T) T {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	v, err := parse(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return v
}

// newRand is seeded by OUTCROP_CRASH_SEED or else by chance, and says so.
func newRand(t *testing.T) *rand.Rand {
	t.Helper()
	seed := setting(t, "OUTCROP_CRASH_SEED", func(text string) (uint64, error) { return strconv.ParseUint(text, 10, 64) }, rand.Uint64())
	t.Logf("OUTCROP_CRASH_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// probe is the zip of the agent, built once.
var probe = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "outcrop-probe-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	return agent.Zip(context.Background(), dir, "github.com/outcrop/outcrop/conformance/crash/probe")
})

// rig is a server with the probe deployed, and clients that never try again:
// what they are told is the whole truth.
type rig struct {
	*server.Server
	account agent.Account
	// base is a runtime that no test changes.
	base *control.GetAgentRuntimeOutput
	// zip is the code of all runtimes.
	zip []byte

	runtimes *control.Client
	agents   *data.Client
	objects  *s3.Client
	own      *client.Client

	// ciphertexts are of acknowledged calls, by their keys' names.
	ciphertexts sync.Map
}

const codeBucket = "crash-code"

func newRig(t *testing.T, opt server.Options) *rig {
	t.Helper()
	zip, err := probe()
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{Server: server.Start(t, opt), zip: zip}
	r.connect()
	if r.base, err = agent.Deploy(t.Context(), r.account, codeBucket, "base", zip); err != nil {
		t.Fatalf("%v\n%s", err, r.Log())
	}
	return r
}

// connect makes new clients: connections of the old ones led to a dead server.
func (r *rig) connect() {
	cfg := r.AWS()
	cfg.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
	r.account = agent.Account{ID: r.Account, Config: cfg}
	r.runtimes, r.agents = control.NewFromConfig(cfg), data.NewFromConfig(cfg)
	r.objects = s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })
	r.own = r.Client()
}

// python is the runtime that this host was found to have.
func (r *rig) python() types.AgentManagedRuntimeType {
	return r.base.AgentRuntimeArtifact.(*types.AgentRuntimeArtifactMemberCodeConfiguration).Value.Runtime
}

// open invokes a runtime and returns its answer's body.
func (r *rig) open(ctx context.Context, arn *string, session string, q question) (io.ReadCloser, error) {
	payload, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	out, err := r.agents.InvokeAgentRuntime(ctx, &data.InvokeAgentRuntimeInput{
		AgentRuntimeArn: arn, RuntimeSessionId: &session, Payload: payload,
	})
	if err != nil {
		return nil, err
	}
	return out.Response, nil
}

// ask invokes the base runtime for one answer.
func (r *rig) ask(ctx context.Context, session string, q question) (answer, error) {
	return r.askOf(ctx, r.base.AgentRuntimeArn, session, q)
}

// askOf invokes a runtime for one answer.
func (r *rig) askOf(ctx context.Context, arn *string, session string, q question) (answer, error) {
	var a answer
	body, err := r.open(ctx, arn, session, q)
	if err != nil {
		return a, err
	}
	defer body.Close()
	return a, json.NewDecoder(body).Decode(&a)
}

// end stops a session of the base runtime.
func (r *rig) end(ctx context.Context, session string) error {
	return r.endOf(ctx, r.base.AgentRuntimeArn, session)
}

// endOf stops a session of a runtime.
func (r *rig) endOf(ctx context.Context, arn *string, session string) error {
	_, err := r.agents.StopRuntimeSession(ctx, &data.StopRuntimeSessionInput{AgentRuntimeArn: arn, RuntimeSessionId: &session})
	return err
}

// question and answer are the probe's.
type question struct {
	Stream, Every    int
	Write            []string
	Text             string
	Read, List, Dial []string
	Env              bool
	Keep, Say        string
	Die              bool
}

type answer struct {
	Write, Read, Dial map[string]string
	List              []string
	Env               []string
	Kept, Said        []string
}

// eventually wants check to return nil within limit, and says in the log what
// took long.
func eventually(t *testing.T, limit time.Duration, check func() error) {
	t.Helper()
	begun := time.Now()
	var last error
	for {
		err := check()
		took := time.Since(begun)
		switch {
		case err == nil && took > limit/6 && last != nil:
			t.Logf("it took %v: %v", took.Round(time.Millisecond), last)
			return
		case err == nil:
			return
		case took > limit:
			t.Fatalf("after %v: %v", limit, err)
		}
		last = err
		time.Sleep(100 * time.Millisecond)
	}
}
