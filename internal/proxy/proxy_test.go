package proxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/outcrop/outcrop/internal/awshost"
	"github.com/outcrop/outcrop/internal/ca"
	"github.com/outcrop/outcrop/internal/gate"
	"github.com/outcrop/outcrop/internal/secret/secrettest"
)

// A refused connection lingers for half a second, so that its client reads why.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// kit is a running proxy before an API.
type kit struct {
	t         testing.TB
	proxy     *Proxy
	addr      string
	authority *ca.Authority
	stop      func()
}

// start runs a proxy until the test ends. change may be nil.
func start(t testing.TB, api http.Handler, change func(*Proxy)) *kit {
	t.Helper()
	k := &kit{t: t, authority: authority(t)}
	log := slog.New(slog.DiscardHandler)
	k.proxy = New(Config{Terminates: awshost.Is, TLS: k.authority.TLS(nil), Handler: api, Log: log})
	// The tests have no other machine than this.
	k.proxy.deny = func(netip.Addr) error { return nil }
	if change != nil {
		change(k.proxy)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k.addr = l.Addr().String()
	server := &http.Server{Handler: api, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), ReadHeaderTimeout: 10 * time.Second}
	if k.proxy.cfg.Gate != nil {
		server.ConnContext = gate.Context
	}
	ctx, cancel := context.WithCancel(context.Background())
	served, answered := make(chan error, 1), make(chan error, 1)
	go func() { served <- k.proxy.Serve(ctx, l) }()
	go func() { answered <- server.Serve(k.proxy.Terminated()) }()
	ended := false
	k.stop = func() {
		if ended {
			return
		}
		ended = true
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if err := <-answered; !errors.Is(err, net.ErrClosed) {
			t.Errorf("the API's server: %v", err)
		}
		_ = server.Close()
	}
	t.Cleanup(k.stop)
	return k
}

func authority(t testing.TB) *ca.Authority {
	t.Helper()
	dir := t.TempDir()
	box := secrettest.Box(t)
	a, err := ca.Open(context.Background(), ca.Config{Dir: dir, Box: box, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (k *kit) client() *http.Client {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(k.authority.Root())
	tr := &http.Transport{
		Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: k.addr}), TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true,
	}
	k.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 20 * time.Second}
}

// raw sends bytes and returns all that comes back.
func (k *kit) raw(request string) string {
	k.t.Helper()
	c := k.dial()
	defer c.Close()
	if _, err := io.WriteString(c, request); err != nil {
		k.t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(2 * time.Second)) // one that only waits for more was not answered
	b, _ := io.ReadAll(c)                                  // a reset says what there is to say
	return string(b)
}

func (k *kit) dial() net.Conn {
	k.t.Helper()
	c, err := net.Dial("tcp", k.addr)
	if err != nil {
		k.t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// open asks for a target and returns the connection behind it.
func (k *kit) open(target string) (net.Conn, *bufio.Reader) {
	k.t.Helper()
	c := k.dial()
	if _, err := fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", target, target); err != nil {
		k.t.Fatal(err)
	}
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect})
	if err != nil || resp.StatusCode != http.StatusOK {
		k.t.Fatalf("CONNECT %s: %v, %v", target, resp, err)
	}
	return c, r
}

// who answers with what the API sees.
var who = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	_, _ = fmt.Fprintf(w, "%s %s %s tls=%v http%d %s", r.Method, r.Host, r.URL.Path, r.TLS != nil, r.ProtoMajor, body)
})

func TestAWSNamesAreAnsweredHere(t *testing.T) {
	k := start(t, who, nil)
	c := k.client()
	for range 2 {
		resp, err := c.Post("https://bedrock-agentcore.us-east-1.amazonaws.com/runtimes", "text/plain", strings.NewReader("hi"))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if want := "POST bedrock-agentcore.us-east-1.amazonaws.com /runtimes tls=true http2 hi"; string(body) != want {
			t.Errorf("%q, want %q", body, want)
		}
	}
	resp, err := c.Get("http://sts.amazonaws.com/x")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if want := "GET sts.amazonaws.com /x tls=false http1 "; string(body) != want {
		t.Errorf("in the clear %q, want %q", body, want)
	}
}

// TestUpgrade: a WebSocket's handshake and what follows it pass through.
func TestUpgrade(t *testing.T) {
	k := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "websocket" || r.ProtoMajor != 1 {
			t.Errorf("%s %v", r.Proto, r.Header)
		}
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Errorf("hijack: %v", err)
			return
		}
		defer c.Close()
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		_ = rw.Flush()
		_, _ = io.Copy(c, rw)
	}), nil)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(k.authority.Root())
	raw, _ := k.open("bedrock-agentcore.us-east-1.amazonaws.com:443")
	defer raw.Close()
	c := tls.Client(raw, &tls.Config{ServerName: "bedrock-agentcore.us-east-1.amazonaws.com", RootCAs: roots}) // no ALPN, as WebSocket clients
	_, _ = io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: bedrock-agentcore.us-east-1.amazonaws.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v", resp, err)
	}
	frame := bytes.Repeat([]byte("frame"), 20000)
	go func() { _, _ = c.Write(frame) }()
	got := make([]byte, len(frame))
	if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, frame) {
		t.Errorf("echo: %v", err)
	}
}

func TestTunnel(t *testing.T) {
	k := start(t, who, nil)
	far := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "far "+r.URL.Path) }))
	defer far.Close()
	roots := x509.NewCertPool()
	roots.AddCert(far.Certificate())
	tr := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: k.addr}), TLSClientConfig: &tls.Config{RootCAs: roots}}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr}).Get(far.URL + "/there")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if string(body) != "far /there" {
		t.Errorf("%q", body)
	}
}

// echo is a far end that sends back what it gets, until the other way ends.
func echo(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(c, c)
				_ = c.Close()
			}()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l.Addr().String()
}

// TestHalfClose: one way ends, and what is on the other still arrives.
func TestHalfClose(t *testing.T) {
	k := start(t, who, nil)
	c, r := k.open(echo(t))
	defer c.Close()
	_, _ = io.WriteString(c, "all of it")
	_ = c.(*net.TCPConn).CloseWrite()
	if got, err := io.ReadAll(r); err != nil || string(got) != "all of it" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestEarlyBytes: a client that does not wait for the answer loses nothing.
func TestEarlyBytes(t *testing.T) {
	k := start(t, who, nil)
	target := echo(t)
	c := k.dial()
	defer c.Close()
	_, _ = io.WriteString(c, "CONNECT "+target+" HTTP/1.1\r\nHost: x\r\n\r\nearly")
	got := make([]byte, len(established)+len("early"))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != established+"early" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestTunnelsEndWithTheProxy(t *testing.T) {
	k := start(t, who, nil)
	target := echo(t)
	var readers []*bufio.Reader
	for range 3 {
		c, r := k.open(target)
		defer c.Close()
		readers = append(readers, r)
	}
	k.stop()
	for _, r := range readers {
		if _, err := r.ReadByte(); err == nil {
			t.Error("a tunnel goes on")
		}
	}
}

func TestTunnelsAreBounded(t *testing.T) {
	k := start(t, who, nil)
	for range maxTunnels {
		if !k.proxy.begin(&tunnel{}) {
			t.Fatal("too few")
		}
	}
	if got := k.raw("CONNECT " + echo(t) + " HTTP/1.1\r\nHost: x\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 503 ") {
		t.Errorf("%q", got)
	}
	if c, _ := k.open("sts.amazonaws.com:443"); c != nil { // they leave room for this
		_ = c.Close()
	}
	k.proxy.mu.Lock()
	all := k.proxy.tunnels
	k.proxy.mu.Unlock()
	for t := range all {
		k.proxy.finish(t)
	}
}

// TestLimited: the connection beyond the bound waits, and gets its turn.
func TestLimited(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := limit(inner, 1)
	for range 2 {
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	first, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan net.Conn)
	go func() {
		c, _ := l.Accept()
		accepted <- c
		_, err := l.Accept()
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
		close(accepted)
	}()
	select {
	case <-accepted:
		t.Error("a second connection at once")
	default:
	}
	_, _ = first.Close(), first.Close() // which gives back one place
	second := <-accepted
	_ = l.Close()
	<-accepted
	_ = second.Close()
}

// TestRefusals sends what a proxy must not take for something else.
func TestRefusals(t *testing.T) {
	asked := make(chan string, 100)
	k := start(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.Host + r.URL.Path }), nil)
	for request, want := range map[string]string{
		"CONNECT 127.1:443 HTTP/1.1\r\nHost: x\r\n\r\n":                                                                "400",
		"CONNECT user@sts.amazonaws.com:443 HTTP/1.1\r\nHost: x\r\n\r\n":                                               "400",
		"CONNECT sts.amazonaws.com HTTP/1.1\r\nHost: x\r\n\r\n":                                                        "400",
		"CONNECT /sts.amazonaws.com:443 HTTP/1.1\r\nHost: x\r\n\r\n":                                                   "400",
		"CONNECT http://sts.amazonaws.com:443 HTTP/1.1\r\nHost: x\r\n\r\n":                                             "400",
		"CONNECT sts.amazonaws.com:443 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello":                          "400",
		"CONNECT sts.amazonaws.com:443 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n":             "400",
		"CONNECT sts.amazonaws.com:443 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n": "400",
		"CONNECT sts.amazonaws.com:443\tx HTTP/1.1\r\nHost: x\r\n\r\n":                                                 "400",
		"CONNECT sts.amazonaws.com:80 HTTP/1.1\r\nHost: x\r\n\r\n":                                                     "403",
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n":                                                                            "400",
		"GET http://example.com/ HTTP/1.1\r\nHost: x\r\n\r\n":                                                          "403",
		"GET https://sts.amazonaws.com/ HTTP/1.1\r\nHost: x\r\n\r\n":                                                   "403",
		"GET http://sts.amazonaws.com:8080/ HTTP/1.1\r\nHost: x\r\n\r\n":                                               "403",
		"GET http://169.254.169.254/latest/meta-data/ HTTP/1.1\r\nHost: sts.amazonaws.com\r\n\r\n":                     "403",
		"GET http://sts.amazonaws.com@169.254.169.254/ HTTP/1.1\r\nHost: sts.amazonaws.com\r\n\r\n":                    "403",
		"OPTIONS * HTTP/1.1\r\nHost: sts.amazonaws.com\r\n\r\n":                                                        "400",
		"CONNECT " + strings.Repeat("a", 100<<10) + ":443 HTTP/1.1\r\nHost: x\r\n\r\n":                                 "431",
		"CONNECT sts.amazonaws.com:443 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n":            "501",
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("\x00", 64) + "\r\n\r\n":                       "400",
	} {
		got := k.raw(request)
		if status, ok := strings.CutPrefix(got, "HTTP/1.1 "); !ok && want != "" || want != "" && !strings.HasPrefix(status, want) || strings.HasPrefix(status, "200") {
			t.Errorf("%.80q is answered %.200q, want %s", request, got, want)
		}
	}
	select {
	case what := <-asked:
		t.Errorf("the API was asked for %s", what)
	default:
	}
}

// TestOthersGetNoTunnel: this is no open proxy, and its own machine is not behind it.
func TestOthersGetNoTunnel(t *testing.T) {
	for remote, want := range map[string]bool{
		"127.0.0.1:1": true, "[::1]:1": true, "[::ffff:127.0.0.1]:1": true, "192.0.2.1:1": false, "10.0.0.1:1": false, "[fe80::1%eth0]:1": false, "": false, "@": false,
	} {
		if got := local(remote); got != want {
			t.Errorf("local(%q) = %v", remote, got)
		}
	}
	p := New(Config{Terminates: awshost.Is, Handler: who, Log: slog.New(slog.DiscardHandler)})
	r := httptest.NewRequest(http.MethodConnect, "http://example.com:443", nil)
	r.RequestURI, r.RemoteAddr = "example.com:443", "192.0.2.1:1234"
	w := httptest.NewRecorder()
	if p.ServeHTTP(w, r); w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "NO_PROXY") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestTunnelsDoNotEndHere uses the dialer as it is made.
func TestTunnelsDoNotEndHere(t *testing.T) {
	k := start(t, who, func(p *Proxy) { p.deny = denied })
	_, port, err := net.SplitHostPort(echo(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0", "169.254.169.254", "[fd00:ec2::254]"} {
		if got := k.raw("CONNECT " + host + ":" + port + " HTTP/1.1\r\nHost: x\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 403 ") {
			t.Errorf("%s: %q", host, got)
		}
	}
}

// TestWrongNameInside: what a terminated connection says it is must be what the
// proxy was asked for.
func TestWrongNameInside(t *testing.T) {
	k := start(t, who, nil)
	raw, _ := k.open("sts.amazonaws.com:443")
	defer raw.Close()
	if err := tls.Client(raw, &tls.Config{ServerName: "iam.amazonaws.com", InsecureSkipVerify: true}).Handshake(); err == nil {
		t.Error("a handshake for another name")
	}
	// No TLS at all is no request either.
	raw, r := k.open("sts.amazonaws.com:443")
	defer raw.Close()
	_, _ = io.WriteString(raw, "GET / HTTP/1.1\r\nHost: sts.amazonaws.com\r\n\r\n")
	if b, _ := io.ReadAll(r); strings.Contains(string(b), "tls=") {
		t.Errorf("the API answered in the clear: %q", b)
	}
}

// TestUpstream goes through another proxy, and not through itself.
func TestUpstream(t *testing.T) {
	target := echo(t)
	second := start(t, who, nil)
	var ask string
	recording, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer recording.Close()
	asked := make(chan string, 1)
	go func() {
		c, err := recording.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err == nil {
			asked <- r.RequestURI + " " + r.Header.Get("Proxy-Authorization")
			_, _ = io.WriteString(c, "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
		}
	}()
	first := start(t, who, func(p *Proxy) {
		p.cfg.Upstream = func(*url.URL) (*url.URL, error) { return url.Parse(ask) }
	})
	ask = "http://" + second.addr
	c, r := first.open(target)
	defer c.Close()
	_, _ = io.WriteString(c, "ping")
	if got, err := r.Peek(4); err != nil || string(got) != "ping" {
		t.Errorf("through two proxies: %q, %v", got, err)
	}
	for _, ask = range []string{"http://" + first.addr, strings.Replace("http://"+first.addr, "127.0.0.1", "localhost", 1)} {
		c, _ := first.open(target)
		_ = c.Close()
	}
	ask = "http://user:pass@" + recording.Addr().String()
	if got := first.raw("CONNECT far.example:443 HTTP/1.1\r\nHost: x\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 502 ") || !strings.Contains(got, "407") || strings.Contains(got, "pass") {
		t.Errorf("%q", got)
	}
	if got := <-asked; got != "far.example:443 Basic dXNlcjpwYXNz" {
		t.Errorf("the next proxy was asked %q", got)
	}
	ask = "socks5://127.0.0.1:1080"
	if got := first.raw("CONNECT far.example:443 HTTP/1.1\r\nHost: x\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 502 ") {
		t.Errorf("%q", got)
	}
}

func TestControl(t *testing.T) {
	var raw syscall.RawConn
	control := New(Config{}).control
	if control(t.Context(), "tcp", "127.0.0.1:1", raw) == nil || control(t.Context(), "tcp", "nonsense", raw) == nil {
		t.Error("dialled")
	}
	if err := control(t.Context(), "tcp", netip.MustParseAddrPort("192.0.2.1:443").String(), raw); err != nil {
		t.Error(err)
	}
}

// BenchmarkTerminated is a request on a new connection, from CONNECT to answer.
func BenchmarkTerminated(b *testing.B) {
	k := start(b, who, nil)
	c := k.client()
	c.Transport.(*http.Transport).DisableKeepAlives = true
	for b.Loop() {
		resp, err := c.Get("https://sts.us-east-1.amazonaws.com/")
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
}
