package protocols

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/outcrop/outcrop/conformance/agent"
	"github.com/outcrop/outcrop/conformance/server"
)

var update = flag.Bool("update", false, "write the golden files")

const bucket = "rogues"

// ports are where agents of each protocol listen.
func ports() map[types.ServerProtocol]int {
	return map[types.ServerProtocol]int{types.ServerProtocolHttp: 8080, types.ServerProtocolMcp: 8000, types.ServerProtocolA2a: 9000, types.ServerProtocolAgui: 8080}
}

// fixture is a server with the rogue's code.
type fixture struct {
	*server.Server
	python types.AgentManagedRuntimeType
}

func newFixture(t *testing.T, args ...string) *fixture {
	t.Helper()
	f := &fixture{Server: server.Start(t, server.Options{Args: args})}
	f.python = f.Python()
	files := map[string][]byte{}
	for _, name := range []string{"rogue.py", "polite.py"} {
		code, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = code
	}
	zip, err := agent.Pack(files)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Agents().Store(t.Context(), bucket, agent.Key, zip); err != nil {
		t.Fatal(err)
	}
	return f
}

// rogue deploys the agent that misbehaves.
func (f *fixture) rogue(t *testing.T, protocol types.ServerProtocol, mode string) string {
	t.Helper()
	return f.deploy(t, "rogue.py", protocol, mode)
}

// deploy deploys one of the agents for a protocol.
func (f *fixture) deploy(t *testing.T, file string, protocol types.ServerProtocol, mode string) string {
	t.Helper()
	in := f.Agents().Input(bucket, string(protocol)+"_"+mode, f.python)
	in.AgentRuntimeArtifact = agent.Artifact(bucket, agent.Key, f.python, file)
	in.ProtocolConfiguration = &types.ProtocolConfiguration{ServerProtocol: protocol}
	// They are to start cold: what is tested is how they fail.
	in.EnvironmentVariables = map[string]string{"PORT": strconv.Itoa(ports()[protocol]), "MODE": mode, "OUTCROP_SNAPSHOT": "off"}
	got, err := f.Agents().Create(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return *got.AgentRuntimeArn
}

// ask sends a message that has a deed done.
type ask struct {
	arn, session, deed, query, accept string
}

func (f *fixture) request(t *testing.T, method, target string, header http.Header, body []byte) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, f.URL+target, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(r.Header, header)
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	r.Header.Set("X-Amz-Content-Sha256", hash)
	creds := aws.Credentials{AccessKeyID: f.AccessKeyID, SecretAccessKey: f.SecretAccessKey}
	if err := v4.NewSigner().SignHTTP(t.Context(), creds, r, hash, "bedrock-agentcore", f.Region, time.Now()); err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func (f *fixture) send(t *testing.T, a ask) *http.Response {
	t.Helper()
	if a.accept == "" {
		a.accept = "application/json, text/event-stream"
	}
	header := http.Header{"Content-Type": {"application/json"}, "Accept": {a.accept}, "X-Amzn-Bedrock-Agentcore-Runtime-Session-Id": {a.session}}
	body := fmt.Appendf(nil, `{"jsonrpc":"2.0","method":"do","params":{"deed":%q},"id":"req-1"}`, a.deed)
	return f.request(t, http.MethodPost, "/runtimes/"+url.QueryEscape(a.arn)+"/invocations"+a.query, header, body)
}

// varies is what differs from one run to another.
var varies = regexp.MustCompile(`(arn:[^' ]*)|(before it answered): [^.]*\.`)

// told is what a client is told, as the golden file has it.
func told(resp *http.Response) string {
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s %s\n", resp.StatusCode, resp.Header.Get("Content-Type"), resp.Header.Get("X-Amzn-Errortype"))
	if m := resp.Header.Get("X-Amzn-Errormessage"); m != "" {
		fmt.Fprintf(&b, "  %s\n", m)
	}
	fmt.Fprintf(&b, "  %s\n", strings.TrimSpace(string(body)))
	if err != nil {
		b.WriteString("  and the connection breaks\n")
	}
	return varies.ReplaceAllStringFunc(b.String(), func(s string) string {
		if strings.HasPrefix(s, "arn:") {
			return "ARN"
		}
		return "before it answered."
	})
}

// golden are the answers of one protocol, by what went wrong.
type golden struct {
	mu   sync.Mutex
	said map[string]string
}

func (g *golden) add(name, text string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.said[name] = text
}

func (g *golden) compare(t *testing.T, path string) {
	t.Helper()
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(g.said)) {
		fmt.Fprintf(&b, "%s: %s", name, g.said[name])
	}
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for name, text := range g.said {
		if !strings.Contains("\n"+string(want), "\n"+name+": "+text) {
			t.Errorf("%s has something else for %s: %s", path, name, text)
		}
	}
	if b.Len() != len(want) {
		t.Errorf("%s differs in length; -update rewrites it", path)
	}
}

// TestErrors: each misdeed in each protocol, and what its client is told:
// testdata/PROTOCOL.golden (spec/runtime.md 8.4).
func TestErrors(t *testing.T) {
	f := newFixture(t)
	for protocol := range ports() {
		t.Run(string(protocol), func(t *testing.T) {
			t.Parallel()
			g := &golden{said: map[string]string{}}
			var all sync.WaitGroup
			for _, mode := range []string{"exits", "deaf"} {
				all.Go(func() { f.neverReady(t, g, protocol, mode) })
			}
			all.Go(func() { f.stopping(t, g, protocol) })
			all.Go(func() { f.misdeeds(t, g, protocol) })
			all.Wait()
			if !t.Failed() {
				g.compare(t, "testdata/"+string(protocol)+".golden")
			}
		})
	}
}

// neverReady is an agent that never answers at all. A deaf one takes the whole 30 s
// that an agent has to start.
func (f *fixture) neverReady(t *testing.T, g *golden, protocol types.ServerProtocol, mode string) {
	arn := f.rogue(t, protocol, mode)
	g.add("start "+mode, told(f.send(t, ask{arn: arn, session: server.SessionID(mode), deed: "well"})))
}

// stopping is a session that takes its time to end.
func (f *fixture) stopping(t *testing.T, g *golden, protocol types.ServerProtocol) {
	arn, id := f.rogue(t, protocol, "stubborn"), server.SessionID("stubborn")
	_ = told(f.send(t, ask{arn: arn, session: id, deed: "well"}))
	stopped := make(chan int)
	go func() {
		header := http.Header{"X-Amzn-Bedrock-Agentcore-Runtime-Session-Id": {id}}
		resp := f.request(t, http.MethodPost, "/runtimes/"+url.QueryEscape(arn)+"/stopruntimesession", header, []byte("{}"))
		defer resp.Body.Close()
		stopped <- resp.StatusCode
	}()
	for {
		text := told(f.send(t, ask{arn: arn, session: id, deed: "well"}))
		select {
		case status := <-stopped:
			t.Errorf("the session was stopped, %d, and never seen stopping: %s", status, text)
			return
		default:
		}
		if strings.Contains(text, "RetryableConflictException") { // not one that it broke off
			g.add("stopping", text)
			break
		}
	}
	if status := <-stopped; status != http.StatusOK {
		t.Errorf("the session was stopped with %d", status)
	}
}

// misdeeds are done by an agent that runs, and by its callers.
func (f *fixture) misdeeds(t *testing.T, g *golden, protocol types.ServerProtocol) {
	arn := f.rogue(t, protocol, "")
	shared := server.SessionID("shared")
	for _, deed := range []string{"well", "status=500", "status=404", "status=401", "redirect=/elsewhere", "hang_up", "speak", "half_a_head", "huge_head", "half_a_stream", "half_a_body"} {
		g.add("agent "+deed, told(f.send(t, ask{arn: arn, session: shared, deed: deed})))
	}
	g.add("agent die", told(f.send(t, ask{arn: arn, session: server.SessionID("die"), deed: "die"})))
	closed := server.SessionID("closed")
	if text := told(f.send(t, ask{arn: arn, session: closed, deed: "close_port"})); !strings.HasPrefix(text, "200") {
		t.Error(text)
	}
	g.add("agent close_port", told(f.send(t, ask{arn: arn, session: closed, deed: "well"})))

	g.add("caller short session", told(f.send(t, ask{arn: arn, session: "short", deed: "well"})))
	g.add("caller no such endpoint", told(f.send(t, ask{arn: arn, session: shared, deed: "well", query: "?qualifier=none"})))
	g.add("caller no such agent", told(f.send(t, ask{arn: arn[:len(arn)-10] + "0123456789", session: shared, deed: "well"})))
	g.add("caller accepts JSON alone", told(f.send(t, ask{arn: arn, session: shared, deed: "well", accept: "application/json"})))
}

// TestQuota: no session is left for anybody.
func TestQuota(t *testing.T) {
	f := newFixture(t, "--max-sessions", "1")
	arns := map[types.ServerProtocol]string{}
	for protocol := range ports() {
		arns[protocol] = f.rogue(t, protocol, "")
	}
	held := f.send(t, ask{arn: arns[types.ServerProtocolHttp], session: server.SessionID("held"), deed: "hold"})
	defer held.Body.Close()
	if held.StatusCode != http.StatusOK {
		t.Fatalf("%s", told(held))
	}
	g := &golden{said: map[string]string{}}
	for protocol, arn := range arns {
		g.add(string(protocol), told(f.send(t, ask{arn: arn, session: server.SessionID("another"), deed: "well"})))
	}
	g.compare(t, "testdata/quota.golden")
}
