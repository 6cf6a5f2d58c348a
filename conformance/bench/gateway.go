package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
	"github.com/go-jose/go-jose/v4"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"golang.org/x/sys/unix"

	"github.com/outcrop/outcrop/conformance/bench/figures"
)

// gatewayBar is what a gateway may add to a call of a tool, beside a bare proxy that
// reads the body first.
const gatewayBar = 1.35

// The row is measured in many short turns, in each of which all ways have theirs: whatever
// else the machine does, it does to all of them. The p50 is that of all of a way's calls.
// Of the CPU times, to which others only ever add, the quietest quarter of the turns counts.
// Where a process's memory happens to lie makes up to a tenth of a call as long as it lives:
// each way has several, one after the other.
const (
	gatewayRounds    = 120
	gatewayProcesses = 4
	gatewayTurn      = 100 * time.Millisecond // one at once
	gatewayTurnMany  = 400 * time.Millisecond // sixteen at once, each fifth time
)

func quiet(v []int64) int64 { return part(v, 4) }

// gatewayRow calls a tool of an MCP server through a gateway with a verified token,
// through a bare proxy, and directly: what each adds to the time of a call, one at once,
// and what it costs its process, sixteen at once. Beside the proxy stands the least that
// can be between two connections of net/http: a handler that reads the body, hands the
// request to a client and writes the answer.
//
// All calls are of the revision that gateway and server agree on, which the server takes
// longer for than for older ones: what it does is the same on all ways.
func gatewayRow(ctx context.Context, o options, report *figures.Report) error {
	upstream, err := helper(ctx, o, "mcp-server", "")
	if err != nil {
		return err
	}
	defer upstream.end()
	issuer, token, err := newIssuer()
	if err != nil {
		return err
	}
	defer issuer.Close()
	names := []string{"direct", "proxy", "relay", "gateway"}
	ways := map[string][]*way{"direct": {{addr: upstream.addr, pid: upstream.cmd.Process.Pid, request: toolCall(upstream.addr, "/mcp", "echo", "")}}}
	for i := range gatewayProcesses {
		for _, name := range []string{"proxy", "relay"} {
			h, err := helper(ctx, o, "mcp-"+name, upstream.addr)
			if err != nil {
				return err
			}
			defer h.end()
			ways[name] = append(ways[name], &way{addr: h.addr, pid: h.cmd.Process.Pid, request: toolCall(h.addr, "/mcp", "echo", "")})
		}
		p, err := serve(ctx, o, filepath.Join(o.dir, "gateway"+strconv.Itoa(i)), "--allow-private", "127.0.0.1")
		if err != nil {
			return err
		}
		defer p.end()
		at, err := p.gateway(ctx, issuer.URL, "http://"+upstream.addr+"/mcp")
		if err != nil {
			return err
		}
		ways["gateway"] = append(ways["gateway"], &way{addr: p.addr, pid: p.cmd.Process.Pid, request: toolCall(p.addr, at.Path, "bench___echo", token)})
	}
	for _, name := range names { // memory that is touched for the first time takes longer
		for _, w := range ways[name] {
			if _, err := w.used(); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	took, cpu := map[string][]time.Duration{}, map[string][]int64{}
	for i := range gatewayRounds {
		for _, name := range names {
			w := ways[name][i%len(ways[name])]
			alone, err := calls(w.addr, w.request, 1, gatewayTurn)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			took[name] = append(took[name], alone...)
			if i%5 != 0 {
				continue
			}
			used, err := w.used()
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			cpu[name] = append(cpu[name], used)
		}
	}
	p50 := func(name string) int64 { return median(took[name]).Nanoseconds() }
	g := &figures.Gateway{
		Direct: p50("direct"), Proxy: p50("proxy"), Through: p50("gateway"), Relay: p50("relay"),
		ProxyCPU: quiet(cpu["proxy"]), ThroughCPU: quiet(cpu["gateway"]), RelayCPU: quiet(cpu["relay"]),
	}
	report.Gateway = g
	fmt.Printf("\n%-26s %10s %10s %10s %10s %8s  bar %.2f\n", "tools/call", "direct", "relay", "proxy", "gateway", "ratio", gatewayBar)
	fmt.Printf("%-26s %10s %10s %10s %10s %8.2f  %s\n", "p50, ratio of what is added", us(g.Direct), us(g.Relay), us(g.Proxy), us(g.Through), g.Added(), verdict(g.Added() <= gatewayBar))
	fmt.Printf("%-26s %10s %10s %10s %10s %8.2f  %s\n", "CPU of a call", "", us(g.RelayCPU), us(g.ProxyCPU), us(g.ThroughCPU), g.CPU(), verdict(g.CPU() <= gatewayBar))
	return nil
}

func us(ns int64) string { return fmt.Sprintf("%.0f µs", float64(ns)/1e3) }

// way is one way to the tool.
type way struct {
	addr    string
	pid     int
	request []byte
}

// used returns the CPU time that the process on the way takes for a call, sixteen at once,
// in nanoseconds.
func (w *way) used() (int64, error) {
	before, err := processTime(w.pid)
	if err != nil {
		return 0, err
	}
	many, err := calls(w.addr, w.request, 16, gatewayTurnMany)
	if err != nil {
		return 0, err
	}
	after, err := processTime(w.pid)
	return (after - before).Nanoseconds() / int64(len(many)), err
}

// calls sends a request again and again over n connections for a time, and returns how
// long each took.
func calls(addr string, request []byte, n int, during time.Duration) ([]time.Duration, error) {
	var mu sync.Mutex
	var all []time.Duration
	var failed error
	var wg sync.WaitGroup
	until := time.Now().Add(during)
	for range n {
		wg.Go(func() {
			took, err := repeat(addr, request, until)
			mu.Lock()
			defer mu.Unlock()
			all, failed = append(all, took...), errors.Join(failed, err)
		})
	}
	wg.Wait()
	return all, failed
}

func repeat(addr string, request []byte, until time.Time) (took []time.Duration, err error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(until.Add(30 * time.Second)); err != nil {
		return nil, err
	}
	r := bufio.NewReader(conn)
	for time.Now().Before(until) {
		begun := time.Now()
		if _, err := conn.Write(request); err != nil {
			return nil, err
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode != http.StatusOK || !strings.Contains(string(body), "outcrop") {
			return nil, fmt.Errorf("%s answered %s: %s", addr, resp.Status, body)
		}
		took = append(took, time.Since(begun))
	}
	return took, nil
}

// toolCall is a request of the newest revision as bytes.
func toolCall(host, path, name, token string) []byte {
	const meta = `{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}`
	body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + name + `","arguments":{"text":"outcrop"},"_meta":` + meta + `}}`
	head := "POST " + path + " HTTP/1.1\r\nHost: " + host + "\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n" +
		"Mcp-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: " + name + "\r\n"
	if token != "" {
		head += "Authorization: Bearer " + token + "\r\n"
	}
	return []byte(head + "Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body)
}

// processTime is the CPU time of all threads that a process has, or has had.
func processTime(pid int) (time.Duration, error) {
	const cpuclockSched = 2 // clock_getcpuclockid(3)
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|cpuclockSched), &t); err != nil {
		return 0, fmt.Errorf("read CPU time of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// aide is this program once more, as a process of its own.
type aide struct {
	addr string
	cmd  *exec.Cmd
	in   io.Closer
}

// helper starts one, which says where it listens and ends with its input.
func helper(ctx context.Context, o options, what, upstream string) (*aide, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "-aide", what, upstream)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, errors.Join(err, cmd.Process.Kill(), cmd.Wait())
	}
	return &aide{strings.TrimSpace(line), cmd, in}, nil
}

func (h *aide) end() {
	_ = h.in.Close()
	_ = h.cmd.Wait() // it was told to
}

// beAide is what such a process does.
func beAide(what, upstream string) error {
	var handler http.Handler
	switch what {
	case "mcp-server":
		handler = toolServer()
	case "mcp-proxy":
		handler = bareProxy(upstream)
	case "mcp-relay":
		handler = leastRelay(upstream)
	default:
		return fmt.Errorf("there is no aide %q", what)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	server := &http.Server{Handler: handler}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // until whoever started us is done
		_ = server.Close()
	}()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// toolServer is a real MCP server with one tool.
func toolServer() http.Handler {
	type in struct {
		Text string `json:"text"`
	}
	s := mcp.NewServer(&mcp.Implementation{Name: "bench", Version: "1"}, nil)
	mcp.AddTool(s, &mcp.Tool{Name: "echo", Description: "Says it again"}, func(_ context.Context, _ *mcp.CallToolRequest, arg in) (*mcp.CallToolResult, any, error) {
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: arg.Text}}}, nil, nil
	})
	return mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s }, &mcp.StreamableHTTPOptions{Stateless: true, JSONResponse: true})
}

// bareProxy is the standard library's, which is given a body that has been read: one that
// streams it loses calls when a kept connection ends.
func bareProxy(upstream string) http.Handler {
	to := &url.URL{Scheme: "http", Host: upstream}
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(p *httputil.ProxyRequest) { p.SetURL(to) },
		Transport: &http.Transport{MaxIdleConnsPerHost: 256},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = whole(r.Body)
		proxy.ServeHTTP(w, r)
	})
}

// leastRelay hands requests on with what net/http cannot do without.
func leastRelay(upstream string) http.Handler {
	client := &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		on := (&http.Request{
			Method: r.Method, URL: &url.URL{Scheme: "http", Host: upstream, Path: r.URL.Path}, Header: r.Header,
			Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
		}).WithContext(r.Context())
		answer, err := client.RoundTrip(on)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			return
		}
		w.Header().Set("Content-Type", answer.Header.Get("Content-Type"))
		w.WriteHeader(answer.StatusCode)
		_, _ = w.Write(text) // the caller may have left
	})
}

// newIssuer publishes a key, and makes a token with it.
func newIssuer() (*httptest.Server, string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, "", err
	}
	mux := http.NewServeMux()
	s := httptest.NewServer(mux)
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"issuer": %q, "jwks_uri": %q}`, s.URL, s.URL+"/keys")
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "1", Algorithm: "ES256"}}})
	})
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "1"}}, nil)
	if err != nil {
		return nil, "", err
	}
	claims, err := json.Marshal(map[string]any{"iss": s.URL, "sub": "bench", "client_id": "bench", "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix()})
	if err != nil {
		return nil, "", err
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		return nil, "", err
	}
	token, err := signed.CompactSerialize()
	return s, token, err
}

// gateway makes one with the server as its target, and returns its URL.
func (p *program) gateway(ctx context.Context, issuer, upstream string) (*url.URL, error) {
	account := p.account()
	role := "arn:aws:iam::" + account.ID + ":role/outcrop-default"
	control := bedrockagentcorecontrol.NewFromConfig(account.Config)
	made, err := control.CreateGateway(ctx, &bedrockagentcorecontrol.CreateGatewayInput{
		Name: aws.String("bench"), RoleArn: &role, ProtocolType: types.GatewayProtocolTypeMcp, AuthorizerType: types.AuthorizerTypeCustomJwt,
		AuthorizerConfiguration: &types.AuthorizerConfigurationMemberCustomJWTAuthorizer{Value: types.CustomJWTAuthorizerConfiguration{
			DiscoveryUrl: aws.String(issuer + "/.well-known/openid-configuration"), AllowedClients: []string{"bench"},
		}},
	})
	if err != nil {
		return nil, err
	}
	err = until(ctx, "the gateway", func() (bool, error) {
		got, err := control.GetGateway(ctx, &bedrockagentcorecontrol.GetGatewayInput{GatewayIdentifier: made.GatewayId})
		return err == nil && got.Status == types.GatewayStatusReady, err
	})
	if err != nil {
		return nil, err
	}
	target, err := control.CreateGatewayTarget(ctx, &bedrockagentcorecontrol.CreateGatewayTargetInput{
		GatewayIdentifier: made.GatewayId, Name: aws.String("bench"),
		TargetConfiguration: &types.TargetConfigurationMemberMcp{Value: &types.McpTargetConfigurationMemberMcpServer{Value: types.McpServerTargetConfiguration{Endpoint: &upstream}}},
	})
	if err != nil {
		return nil, err
	}
	err = until(ctx, "the target", func() (bool, error) {
		got, err := control.GetGatewayTarget(ctx, &bedrockagentcorecontrol.GetGatewayTargetInput{GatewayIdentifier: made.GatewayId, TargetId: target.TargetId})
		if err == nil && got.Status == types.TargetStatusFailed {
			err = errors.New(strings.Join(got.StatusReasons, "; "))
		}
		return err == nil && got.Status == types.TargetStatusReady, err
	})
	if err != nil {
		return nil, err
	}
	return url.Parse(*made.GatewayUrl)
}
