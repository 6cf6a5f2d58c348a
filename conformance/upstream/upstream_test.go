// Package upstream holds that targets of gateways may be servers of the official SDKs of
// Python and TypeScript, as their users run them.
package upstream

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outcrop/outcrop/conformance/pinned"
	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/gateway/upstream"
	"github.com/outcrop/outcrop/internal/outbound"
)

// program is a server that can be started again at its port.
type program struct {
	t    *testing.T
	port string
	args []string
	env  []string
	dir  string
	cmd  *exec.Cmd
	said bytes.Buffer
}

func run(t *testing.T, dir string, env []string, args ...string) *program {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	p := &program{t: t, port: port, args: args, dir: dir, env: append(os.Environ(), append(env, "PORT="+port, "MCP_PORT="+port)...)}
	p.start()
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			t.Logf("the server says:\n%.2000s", p.said.String())
		}
	})
	return p
}

func (p *program) url() string { return "http://127.0.0.1:" + p.port + "/mcp" }

func (p *program) start() {
	p.t.Helper()
	p.cmd = exec.Command(p.args[0], p.args[1:]...)
	p.cmd.Dir, p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = p.dir, p.env, &p.said, &p.said
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		conn, err := net.Dial("tcp", "127.0.0.1:"+p.port)
		if err == nil {
			conn.Close()
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			p.t.Fatalf("the server does not listen: %v", err)
		}
	}
}

func (p *program) stop() {
	_ = p.cmd.Process.Kill() // it may be gone
	_ = p.cmd.Wait()         // it was killed
}

func python(t *testing.T, sessions string) *program {
	packages := pinned.Packages(t, "testdata/requirements.txt")
	code, err := filepath.Abs("../mcp/testdata/server")
	if err != nil {
		t.Fatal(err)
	}
	return run(t, code, []string{"PYTHONPATH=" + packages, "PYTHONDONTWRITEBYTECODE=1", "MCP_SESSIONS=" + sessions}, pinned.Program(t, "python"), "main.py")
}

func typescript(t *testing.T) *program {
	node, dir := pinned.Node(t, "testdata")
	return run(t, dir, nil, node, "node_modules/@modelcontextprotocol/server-everything/dist/index.js", "streamableHttp")
}

// posts counts what is asked of a server.
type posts struct {
	http.RoundTripper
	n atomic.Int64
}

// RoundTrip implements http.RoundTripper.
func (p *posts) RoundTrip(r *http.Request) (*http.Response, error) {
	p.n.Add(1)
	return p.RoundTripper.RoundTrip(r)
}

type fixture struct {
	t     *testing.T
	peer  target.Peer
	posts *posts
	target.Catalogue
}

func open(t *testing.T, url string) *fixture {
	t.Helper()
	f := &fixture{t: t, posts: &posts{}}
	make := upstream.HTTP(outbound.Config{Private: outbound.Private{Ranges: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}}, nil)
	d := upstream.New(upstream.Config{Version: "test", Client: func(of target.Source) (*http.Client, error) {
		c, err := make(of)
		if err == nil {
			f.posts.RoundTripper = c.Transport
			c.Transport = f.posts
		}
		return c, err
	}})
	src := target.Source{ID: "TARGET0001", Sessions: true, Config: &agentcorecontrol.TargetConfiguration{Mcp: &agentcorecontrol.McpTargetConfiguration{
		McpServer: &agentcorecontrol.McpServerTargetConfiguration{Endpoint: &url}}}}
	var err error
	if f.Catalogue, err = d.Catalogue(t.Context(), src); err != nil {
		t.Fatal(err)
	}
	if len(f.Warnings) > 0 {
		t.Errorf("warnings: %q", f.Warnings)
	}
	s, err := d.Open(src, f.Catalogue)
	if err != nil {
		t.Fatal(err)
	}
	f.peer = s.(target.Peer)
	t.Cleanup(func() { _ = f.peer.Close() })
	return f
}

// call calls a tool and holds what its result has.
func (f *fixture) call(c target.Call, arguments string, want ...string) {
	f.t.Helper()
	c.Arguments = json.RawMessage(arguments)
	r, err := f.peer.Call(f.t.Context(), c)
	if err != nil {
		f.t.Errorf("%s: %v", c.Tool, err)
		return
	}
	for _, w := range want {
		if !strings.Contains(string(r.Body), w) {
			f.t.Errorf("%s: %s lacks %s", c.Tool, r.Body, w)
		}
	}
}

// many holds that many calls at once are a request each.
func (f *fixture) many(c target.Call, arguments string) {
	f.t.Helper()
	const calls, at = 200, 8
	c.Arguments = json.RawMessage(arguments)
	before := f.posts.n.Load()
	var wg sync.WaitGroup
	for range at {
		wg.Go(func() {
			for range calls / at {
				if _, err := f.peer.Call(f.t.Context(), c); err != nil {
					f.t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := f.posts.n.Load() - before; n != calls {
		f.t.Errorf("%d requests for %d calls", n, calls)
	}
}

// all is what a person can be asked for.
var all = json.RawMessage(`{"elicitation":{"form":{},"url":{}},"sampling":{},"roots":{}}`)

// person is a caller who answers.
type person struct {
	mu   sync.Mutex
	told []string
	say  string
}

func (p *person) Notify(method string, params json.RawMessage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.told = append(p.told, method+" "+string(params))
}

func (p *person) Ask(_ context.Context, method string, _ json.RawMessage) (json.RawMessage, error) {
	switch method {
	case "elicitation/create":
		return json.RawMessage(p.say), nil
	case "sampling/createMessage":
		return json.RawMessage(`{"role":"assistant","model":"m","content":{"type":"text","text":"sampled"}}`), nil
	case "roots/list":
		return json.RawMessage(`{"roots":[{"uri":"file:///here","name":"here"}]}`), nil
	}
	return nil, fmt.Errorf("unknown method %s", method)
}

func TestPythonWithSessions(t *testing.T) {
	p := python(t, "kept")
	f := open(t, p.url())
	who := &person{say: `{"action":"accept","content":{"response":"Ann"}}`}
	c := func(tool string) target.Call {
		return target.Call{Tool: tool, Version: "2025-11-25", Session: "s", Client: who, Capabilities: all, Meta: json.RawMessage(`{"progressToken":"p-1"}`)}
	}
	f.call(c("test_simple_text"), `{}`, "This is a simple text response")
	f.call(c("test_image_content"), `{}`, `"image/png"`)
	f.call(c("test_error_handling"), `{}`, `"isError":true`)
	f.call(c("test_tool_with_progress"), `{}`, "done")
	if len(who.told) != 3 || !strings.Contains(who.told[1], `"p-1"`) || !strings.Contains(who.told[1], "notifications/progress") {
		t.Errorf("told %q", who.told)
	}
	f.call(c("test_elicitation"), `{"message":"who?"}`, "action=accept", "Ann")
	f.call(c("test_sampling"), `{"prompt":"hi"}`, "LLM response: sampled")
	f.call(c("test_reconnection"), `{}`, "Reconnection test completed")
	if len(f.Prompts) < 4 || len(f.Resources) < 3 || len(f.ResourceTemplates) != 1 {
		t.Errorf("%d prompts, %d resources, %d templates", len(f.Prompts), len(f.Resources), len(f.ResourceTemplates))
	}
	r, err := f.peer.Request(t.Context(), "resources/read", json.RawMessage(`{"uri":"test://template/7/data"}`), c(""))
	if err != nil || !strings.Contains(string(r), "Data for ID: 7") {
		t.Errorf("%s, %v", r, err)
	}
	r, err = f.peer.Request(t.Context(), "prompts/get", json.RawMessage(`{"name":"test_prompt_with_arguments","arguments":{"arg1":"a","arg2":"b"}}`), c(""))
	if err != nil || !strings.Contains(string(r), "arg2='b'") {
		t.Errorf("%s, %v", r, err)
	}
	f.many(c("test_simple_text"), `{}`)
	p.stop()
	p.start()
	f.call(c("test_simple_text"), `{}`, "This is a simple text response")
	f.peer.End(t.Context(), "s")
	f.call(c("test_simple_text"), `{}`, "This is a simple text response")
}

func TestPythonWithout(t *testing.T) {
	p := python(t, "none")
	f := open(t, p.url())
	new := target.Call{Version: "2026-07-28", Client: &person{}}
	as := func(c target.Call, tool string) target.Call { c.Tool = tool; return c }
	f.call(as(new, "test_simple_text"), `{}`, "This is a simple text response")
	f.call(as(new, "test_x_mcp_header"), `{"region":"eu-1"}`, "region=eu-1")
	f.call(as(target.Call{Version: "2025-06-18"}, "test_x_mcp_header"), `{"region":" eu "}`, "region= eu ")
	f.many(as(new, "test_simple_text"), `{}`)
	p.stop()
	p.start()
	f.call(as(new, "test_simple_text"), `{}`, "This is a simple text response")
}

func TestTypeScript(t *testing.T) {
	p := typescript(t)
	f := open(t, p.url())
	who := &person{say: `{"action":"accept","content":{"name":"Ann","check":true,"color":"red","integer":1,"number":2,"date":"2026-01-01"}}`}
	c := func(tool string) target.Call {
		return target.Call{Tool: tool, Version: "2025-11-25", Session: "s", Client: who, Capabilities: all, Meta: json.RawMessage(`{"progressToken":7}`)}
	}
	if want := map[string][]string{"trigger-elicitation-request": {"elicitation", "elicitation.url"}, "trigger-url-elicitation": {"elicitation.url"}, "trigger-sampling-request": {"sampling"}, "get-roots-list": {"roots"}}; !maps.EqualFunc(f.Asking, want, slices.Equal) {
		t.Errorf("the tools that ask are %v", f.Asking)
	}
	f.call(c("echo"), `{"message":"grüße"}`, "Echo: grüße")
	f.call(c("get-sum"), `{"a":1,"b":2}`, "The sum of 1 and 2 is 3")
	f.call(c("get-structured-content"), `{"location":"New York"}`, `"structuredContent"`)
	f.call(c("get-tiny-image"), `{}`, `"image/png"`)
	f.call(c("trigger-long-running-operation"), `{"duration":1,"steps":4}`, "Long running operation completed")
	if n := strings.Count(strings.Join(who.told, "\n"), "notifications/progress"); n != 4 {
		t.Errorf("%d of 4 steps told: %q", n, who.told)
	}
	f.call(c("trigger-elicitation-request"), `{}`, "Ann")
	f.call(c("trigger-sampling-request"), `{"prompt":"hi"}`, "sampled")
	f.call(target.Call{Tool: "echo", Version: "2026-07-28"}, `{"message":"x"}`, "Echo: x")
	f.many(target.Call{Tool: "echo"}, `{"message":"x"}`)
	p.stop()
	p.start()
	f.call(c("echo"), `{"message":"again"}`, "Echo: again")
	f.call(target.Call{Tool: "echo"}, `{"message":"again"}`, "Echo: again")
}
