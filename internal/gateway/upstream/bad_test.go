package upstream

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"go/build"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/outbound"
)

// tight are limits that bad servers reach soon.
var tight = Limits{Call: 20 * time.Second, Answer: 64 << 10, Stream: 256 << 10, Listed: 32 << 10, Pages: 8, Queue: 50 * time.Millisecond, Calls: 4}

// raw is a server that writes bytes of its own to each connection, which ends then.
func raw(t *testing.T, answer string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() { l.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			buf := make([]byte, 64<<10)
			_, _ = c.Read(buf)
			_, _ = io.WriteString(c, answer)
			c.Close()
		}
	})
	return "http://" + l.Addr().String() + "/mcp"
}

func handle(t *testing.T, f http.HandlerFunc) string { return serve(t, f).URL + "/mcp" }

func scripted(t *testing.T, a answers) string {
	return serve(t, &script{t: t, answers: a}).URL + "/mcp"
}

func dead(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String() + "/mcp"
}

// badServers are servers that no target can be made of, and what their owners read.
func badServers(t *testing.T) map[string]struct{ url, want string } {
	silent := func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body); <-r.Context().Done() }
	plain := func(status int, kind, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.Header().Set("Location", "http://127.0.0.1:1/elsewhere?key=secret")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	result := func(text string) func(http.ResponseWriter, *http.Request, envelope) {
		return func(w http.ResponseWriter, _ *http.Request, m envelope) { reply(w, m, text) }
	}
	many := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,{"name":"t%d","inputSchema":{}}`, i)
		}
		return `{"tools":[` + strings.TrimPrefix(b.String(), ",") + `]}`
	}
	closed := func() string {
		srv := httptest.NewUnstartedServer(http.NotFoundHandler())
		srv.Config.ErrorLog = log.New(io.Discard, "", 0)
		srv.StartTLS()
		t.Cleanup(srv.Close)
		return srv.URL
	}()
	page := 0
	return map[string]struct{ url, want string }{
		"dead":           {dead(t), "nothing listens at the endpoint's port"},
		"slow headers":   {handle(t, silent), "does not answer in time"},
		"no HTTP":        {raw(t, "SSH-2.0-OpenSSH_9.6\r\n"), "does not speak HTTP"},
		"hangs up":       {raw(t, ""), "closed the connection before it had answered"},
		"half an answer": {raw(t, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"json"), "closed the connection before it had answered"},
		"half JSON":      {handle(t, plain(200, "application/json", `{"jsonrpc":"2.0","id":1,"res`)), "it is not JSON"},
		"other id":       {handle(t, plain(200, "application/json", `{"jsonrpc":"2.0","id":99,"result":{}}`)), "answers another request"},
		"other JSON":     {handle(t, plain(200, "application/json", `{"method":"POST","path":"/mcp"}`)), "is not of MCP: it is no JSON-RPC message"},
		"other result":   {handle(t, plain(200, "application/json", `{"id":"a","result":{}}`)), "is not of MCP: it is no JSON-RPC message"},
		"plain JSON":     {handle(t, plain(200, "application/json", `{"status":"ok"}`)), "is not of MCP: it is no JSON-RPC message"},
		"no answer":      {handle(t, plain(200, "application/json", `{"jsonrpc":"2.0","method":"notifications/x"}`)), "it has no answer to the request"},
		"a page":         {handle(t, plain(200, "text/html", "<html>")), `Content-Type is "text/html"`},
		"no type":        {raw(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"), `Content-Type is ""`},
		"nothing":        {handle(t, plain(202, "", "")), "HTTP 202 and nothing"},
		"no path":        {handle(t, plain(404, "text/plain", "404 page not found")), "HTTP 404 Not Found: 404 page not found; check the endpoint's path"},
		"unauthorized":   {handle(t, plain(401, "application/json", `{"error":"invalid_token"}`)), "credentialProviderConfigurations"},
		"forbidden":      {handle(t, plain(403, "text/plain", "")), "HTTP 403 Forbidden; check what the target's credential"},
		"redirect":       {handle(t, plain(307, "text/plain", "")), "name http://127.0.0.1:1/elsewhere as the endpoint"},
		"fails":          {handle(t, plain(500, "text/plain", "stack\n\x1b[31mtrace")), "HTTP 500 Internal Server Error: stack [31mtrace"},
		"private":        {"http://127.0.0.2:1/mcp", "127.0.0.2:1 is not called: the address is a loopback address; have the operator open it"},
		"metadata":       {"http://169.254.169.254/latest", "a cloud's metadata service is there"},
		"TLS unknown":    {closed, "signed by an unknown authority"},
		"TLS without":    {strings.Replace(handle(t, silent), "http:", "https:", 1), "does not speak TLS"},
		"no name":        {"https://nobody.invalid/mcp", "nobody.invalid does not resolve"},
		"endless stream": {handle(t, func(w http.ResponseWriter, r *http.Request) { endless(w, r, ": x\n\n") }), "streams without end"},
		"endless line":   {handle(t, func(w http.ResponseWriter, r *http.Request) { endless(w, r, "data: xxxxxxxxxxxxxxx") }), "more than 65536 bytes"},
		"stream ends":    {handle(t, plain(200, "text/event-stream", "data: {\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n\n")), "ended its stream before"},
		"broken event":   {handle(t, plain(200, "text/event-stream", "data: {\n\n")), "it is not JSON"},
		"huge":           {handle(t, func(w http.ResponseWriter, r *http.Request) { hugeJSON(w) }), "more than 65536 bytes"},
		"old revision":   {scripted(t, answers{"initialize": result(`{"protocolVersion":"2024-11-05","capabilities":{"tools":{}}}`)}), "the server speaks revision 2024-11-05 of MCP"},
		"no revision":    {scripted(t, answers{"initialize": result(`{}`)}), "no protocolVersion"},
		"no tools":       {scripted(t, answers{"initialize": result(`{"protocolVersion":"2025-11-25","capabilities":{"prompts":{}}}`)}), "does not declare the capability tools"},
		"odd session": {scripted(t, answers{"initialize": func(w http.ResponseWriter, _ *http.Request, m envelope) {
			w.Header().Set("Mcp-Session-Id", "a b")
			reply(w, m, `{"protocolVersion":"2025-11-25"}`)
		}}), "not visible ASCII"},
		"list fails": {scripted(t, answers{"tools/list": func(w http.ResponseWriter, _ *http.Request, m envelope) {
			jsonError(w, 200, -32603, "database is down")
		}}), "JSON-RPC error -32603: database is down"},
		"no list":        {scripted(t, answers{"tools/list": result(`{"tools":{}}`)}), "has no list tools"},
		"too many tools": {scripted(t, answers{"tools/list": result(many(1001))}), "more than 1000 items"},
		"too many pages": {scripted(t, answers{"tools/list": func(w http.ResponseWriter, _ *http.Request, m envelope) {
			page++
			reply(w, m, fmt.Sprintf(`{"tools":[],"nextCursor":"%d"}`, page))
		}}), "more than 8 pages"},
		"too much listed":  {scripted(t, answers{"tools/list": result(`{"tools":[{"name":"a","description":"` + strings.Repeat("x", 40<<10) + `","inputSchema":{}}]}`)}), "lists more than 32768 bytes"},
		"result no object": {scripted(t, answers{"initialize": result(`[1]`)}), "its result is no JSON object"},
	}
}

func endless(w http.ResponseWriter, r *http.Request, text string) {
	w.Header().Set("Content-Type", "text/event-stream")
	block := bytes.Repeat([]byte(text), 1000)
	for r.Context().Err() == nil {
		if _, err := w.Write(block); err != nil {
			return
		}
	}
}

func hugeJSON(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{"x":"`)
	for range 1 << 10 {
		if _, err := w.Write(bytes.Repeat([]byte("x"), 1<<10)); err != nil {
			return
		}
	}
	_, _ = io.WriteString(w, `"}}`)
}

func TestBadServers(t *testing.T) {
	for name, c := range badServers(t) {
		t.Run(name, func(t *testing.T) {
			limits := tight
			if name == "too many tools" {
				limits.Listed, limits.Answer = 1<<20, 1<<20
			}
			if name == "slow headers" {
				limits.Greeting = 100 * time.Millisecond
			}
			d := New(Config{Client: local(), Limits: limits})
			_, err := d.Catalogue(t.Context(), source(c.url))
			var unfit *target.Unfit
			const begins = "Failed to connect and fetch tools from the provided MCP target server. Error - "
			if !errors.As(err, &unfit) || !strings.HasPrefix(unfit.Reasons[0], begins) || !strings.Contains(unfit.Reasons[0], c.want) || strings.Contains(unfit.Reasons[0], "secret") {
				t.Fatalf("%v, want %s", err, c.want)
			}
			t.Log(strings.TrimPrefix(unfit.Reasons[0], begins))
			s := peer(t, d, source(c.url), target.Catalogue{})
			_, err = s.Call(t.Context(), target.Call{Tool: "echo"})
			var failed *target.Failure
			var rpc *target.Error
			if err != nil && !errors.As(err, &failed) && !errors.As(err, &rpc) {
				t.Errorf("call: %T %v", err, err)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("call tells a secret: %v", err)
			}
		})
	}
}

// TestSecretsStayInQueries holds that no error tells the endpoint's query, where an API key
// may stand.
func TestSecretsStayInQueries(t *testing.T) {
	cfg := Config{Client: local(), Limits: tight, Credentials: func(target.Source) (target.Credentials, error) {
		return applies(func(r *http.Request, _ *target.Call) error {
			r.URL.RawQuery = "key=s3cret"
			r.Header.Set("Authorization", "Bearer s3cret")
			return nil
		}), nil
	}}
	servers := badServers(t)
	for name, of := range map[string]func(*http.Request) string{
		"echoes header": func(r *http.Request) string { return "no such token: " + r.Header.Get("Authorization") },
		"echoes query": func(r *http.Request) string {
			return `{"jsonrpc":"2.0","id":null,"error":{"code":-1,"message":"no ` + r.URL.RawQuery + `"}}`
		},
	} {
		c := servers[name]
		c.url = handle(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, of(r))
		})
		servers[name] = c
	}
	for name, c := range servers {
		if name == "slow headers" {
			continue
		}
		s := unopened(t, cfg, source(c.url))
		_, err := s.Call(t.Context(), target.Call{Tool: "t"})
		for e := err; e != nil; e = errors.Unwrap(e) {
			if strings.Contains(e.Error(), "s3cret") {
				t.Errorf("%s: %v", name, e)
			}
		}
	}
}

func TestBadEndpoints(t *testing.T) {
	for _, url := range []string{"", "mcp", "ftp://h/", "https://", "https://h/%zz"} {
		_, err := New(Config{Client: local()}).Catalogue(t.Context(), source(url))
		var unfit *target.Unfit
		if !errors.As(err, &unfit) || !strings.Contains(unfit.Reasons[0], "mcpServer.endpoint") {
			t.Errorf("%q: %v", url, err)
		}
	}
	if _, err := New(Config{Client: local()}).Catalogue(t.Context(), target.Source{}); err == nil {
		t.Error("a target without configuration is served")
	}
}

func TestAuthorityOfTheTarget(t *testing.T) {
	srv := httptest.NewTLSServer(&script{t: t})
	t.Cleanup(srv.Close)
	src := source(srv.URL + "/mcp")
	src.Certificates = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	s, _ := open(t, Config{}, src)
	if _, err := s.Call(t.Context(), target.Call{Tool: "echo"}); err != nil {
		t.Error(err)
	}
	src.Certificates = []byte("no PEM")
	if _, err := New(Config{Client: local()}).Catalogue(t.Context(), src); err == nil || !strings.Contains(err.Error(), "PEM") {
		t.Errorf("%v", err)
	}
}

func TestDeadTargetHoldsUpNoOther(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	stuck := handle(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body); <-r.Context().Done() })
	slow := unopened(t, Config{Limits: tight}, source(stuck))
	fast := unopened(t, Config{Limits: tight}, source(scripted(t, nil)))
	kinds := make(chan string, 20)
	for range 20 {
		go func() { kinds <- kindOf(second(slow.Call(ctx, target.Call{Tool: "t"}))) }()
	}
	for range 16 { // those beyond the four that a target may have, since nobody is served
		if kind := <-kinds; kind != typeBusy {
			t.Errorf("a call beyond the limit: %s", kind)
		}
	}
	for range 100 {
		if _, err := fast.Call(t.Context(), target.Call{Tool: "t"}); err != nil {
			t.Error(err)
		}
	}
	cancel()
	for range 4 {
		if err := <-kinds; err != "*errors.errorString" {
			t.Errorf("a call that is given up: %s", err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// TestClosedConnection holds that a call is sent again for which net/http had taken a
// connection that its server had closed, and only then.
func TestClosedConnection(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(build.Default.GOROOT, "src/net/http/transport.go"))
	if err == nil && !bytes.Contains(text, []byte(`errors.New("http: server closed idle connection")`)) {
		t.Error("net/http words it otherwise now: closedIdle has to follow")
	}
	sc := &script{t: t}
	s := unopened(t, Config{}, source(serve(t, sc).URL))
	for _, c := range []struct {
		err  error
		kind string
	}{{errors.New("http: server closed idle connection"), "<nil>"}, {syscall.ECONNRESET, typeUnreachable}} {
		if _, err := s.Call(t.Context(), target.Call{Tool: "echo"}); err != nil {
			t.Fatal(err)
		}
		own := s.client.Transport
		s.client.Transport = &failsOnce{RoundTripper: own, err: c.err}
		if _, err := s.Call(t.Context(), target.Call{Tool: "echo"}); kindOf(err) != c.kind {
			t.Errorf("%v: %v", c.err, err)
		}
		s.client.Transport = own
	}
	if n := len(sc.sent("tools/call")); n != 3 {
		t.Errorf("%d calls arrive, want 3", n)
	}
}

type failsOnce struct {
	http.RoundTripper
	err error
}

// RoundTrip implements http.RoundTripper.
func (f *failsOnce) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := f.err; err != nil {
		f.err = nil
		r.Body.Close()
		return nil, err
	}
	return f.RoundTripper.RoundTrip(r)
}

func TestPrivateNetworksStayClosed(t *testing.T) {
	// Nothing is opened here, the loopback neither.
	cfg := Config{Client: HTTP(outbound.Config{}, nil), Limits: tight}
	for _, url := range []string{scripted(t, nil), "https://localhost:1/", "https://10.0.0.1/", "http://[::1]:1/", "https://[fd00::1]/"} {
		_, err := New(cfg).Catalogue(t.Context(), source(url))
		if err == nil || !strings.Contains(err.Error(), "is not called: the address is") {
			t.Errorf("%s: %v", url, err)
		}
	}
}
